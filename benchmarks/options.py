"""
Options math beside vollib and QuantLib, and its own rates: CPU seconds of one process, rivals alternated, medians.

    uv run --group bench python -m benchmarks.options [--rounds 5]

Implied volatility: one call here; a loop over the same numbers, as plain floats, there. De-Americanisation: one call here; QuantLib's
own implied volatility of an American option (Leisen-Reimer, 101 steps) in a loop there. All data are synthetic; a ratio above 1 says
how many times less time ours takes.
"""

import argparse
import math
from collections.abc import Iterator

import numpy as np
import QuantLib as ql  # noqa: N813
from vollib.black.implied_volatility import implied_volatility

from benchmarks.table import Row, alternated, drawn
from hydra_assets.options.american import european_vol
from hydra_assets.options.black76 import Floats, price
from hydra_assets.options.density import moments
from hydra_assets.options.implied_vol import implied_vol
from hydra_assets.options.smile import fit_smiles
from hydra_assets.options.surface import risk_reversal_and_butterfly, standard_errors
from hydra_assets.options.svi import RawSvi
from hydra_assets.options.svi_fit import fit_svi

FORWARD, RATE = 85.0, 0.04


def quotes(n: int) -> dict[str, Floats]:
    """Out-of-the-money options as a year of chains holds them, |ln(K/F)| <= .4, each worth a hundredth of a tick and more."""
    dice = np.random.default_rng(n)
    k, vol, tau = dice.uniform(-0.4, 0.4, 3 * n), dice.uniform(0.15, 0.6, 3 * n), dice.uniform(0.02, 1.0, 3 * n)
    strike, right = FORWARD * np.exp(k), np.where(k >= 0, 1, -1)
    paid = price(FORWARD, strike=strike, tau=tau, rate=RATE, vol=vol, right=right)
    worth = np.flatnonzero(paid > 2.5e-4)[:n]
    return {"paid": paid[worth], "strike": strike[worth], "tau": tau[worth], "right": right[worth], "vol": vol[worth]}


def volatilities(n: int, rounds: int) -> Iterator[Row]:
    """Implied volatility beside two loops."""
    data = quotes(n)
    paid, strike, tau, vol = (data[name].tolist() for name in ("paid", "strike", "tau", "vol"))
    flags = ["c" if right > 0 else "p" for right in data["right"]]
    types = [ql.Option.Call if right > 0 else ql.Option.Put for right in data["right"]]
    discounts = [math.exp(-RATE * each) for each in tau]

    def ours() -> Floats:
        return implied_vol(data["paid"], forward=FORWARD, strike=data["strike"], tau=data["tau"], rate=RATE, right=data["right"]).vol

    def vollib() -> list[float]:
        return [implied_volatility(p, FORWARD, k, RATE, t, c) for p, k, t, c in zip(paid, strike, tau, flags, strict=True)]

    def quantlib() -> list[float]:
        return [
            ql.blackFormulaImpliedStdDev(c, k, FORWARD, p, d, 0.0, 0.3 * math.sqrt(t), 1e-12, 100) / math.sqrt(t)
            for p, k, t, c, d in zip(paid, strike, tau, types, discounts, strict=True)
        ]

    errors = [float(np.abs(np.asarray(work()) / vol - 1).max()) for work in (ours, vollib, quantlib)]
    assert errors[0] <= 1e-12, errors
    own, first, second = alternated(rounds, ours, vollib, quantlib)
    yield Row(f"implied volatility, {n:,}, error {errors[0]:.0e}", own, "vollib loop", first, most=0.01 if n == 20_000 else None)
    yield Row(f"implied volatility, {n:,}, error of theirs {errors[2]:.0e}", own, "QuantLib loop", second)


def de_americanised(n: int, rounds: int, rivals: int = 100) -> Iterator[Row]:
    """De-Americanisation beside a loop. The rival's loop runs over the first hundred: it is timed per option."""
    data = quotes(n)
    today = ql.Date(2, 1, 2026)
    ql.Settings.instance().evaluationDate = today
    count = ql.Actual365Fixed()
    rates = ql.YieldTermStructureHandle(ql.FlatForward(today, RATE, count))
    vols = ql.BlackVolTermStructureHandle(ql.BlackConstantVol(today, ql.NullCalendar(), 0.3, count))
    process = ql.GeneralizedBlackScholesProcess(ql.QuoteHandle(ql.SimpleQuote(FORWARD)), rates, rates, vols)
    options = []
    for strike, tau, right in zip(data["strike"][:rivals], data["tau"][:rivals], data["right"][:rivals], strict=True):
        payoff = ql.PlainVanillaPayoff(ql.Option.Call if right > 0 else ql.Option.Put, float(strike))
        option = ql.VanillaOption(payoff, ql.AmericanExercise(today, today + max(int(tau * 365), 1)))
        option.setPricingEngine(ql.BinomialVanillaEngine(process, "lr", 101))
        options.append((option, option.NPV()))

    def ours() -> Floats:
        return european_vol(data["paid"], forward=FORWARD, strike=data["strike"], tau=data["tau"], rate=RATE, right=data["right"]).vol

    def quantlib() -> list[float]:
        return [option.impliedVolatility(worth, process, 1e-6, 100, 1e-4, 4.0) for option, worth in options if worth > 2.5e-4]

    own, other = alternated(rounds, ours, quantlib)
    per = other / sum(worth > 2.5e-4 for _, worth in options)
    yield Row(f"de-Americanisation, {n:,}", own, "QuantLib loop", per * n)


def smiles(slices: int, strikes: int, rounds: int) -> None:
    dice = np.random.default_rng(slices)
    theta = dice.uniform(0.005, 0.05, slices)
    truth = RawSvi.of_ssvi(theta=theta, rho=dice.uniform(-0.6, 0.4, slices), phi=dice.uniform(1, 6, slices))
    k = np.sqrt(theta)[:, None] * np.linspace(-1.5, 1.5, strikes)
    w = truth.total_variance(k)
    se = 0.03 * w
    w = w + se * dice.standard_normal(w.shape)
    fit = fit_smiles(k, total_variance=w, standard_error=se)

    def read() -> None:
        moments(fit.svi)
        risk_reversal_and_butterfly(fit.svi, tau=0.2)
        standard_errors(fit.svi, covariance=fit.raw_covariance, tau=0.2)

    fitted, five, derived = alternated(
        rounds,
        lambda: fit_smiles(k, total_variance=w, standard_error=se),
        lambda: fit_svi(k, total_variance=w, standard_error=se),
        read,
    )
    print(
        f"{slices:>4} slices of {strikes} strikes: SSVI {fitted * 1e3:7.2f} ms ({slices / fitted:8,.0f} fits/s)   "
        f"with five parameters {five * 1e3:8.2f} ms ({slices / five:7,.0f}/s)   moments, RR, BF, errors {derived * 1e3:7.2f} ms"
    )


def rows(*, rounds: int, long: bool = False) -> Iterator[Row]:
    """Implied volatility and de-Americanisation."""
    for n in (160, 3_000, 20_000):
        yield from volatilities(n, rounds)
    for n in (160, 3_000):
        yield from de_americanised(n, rounds)


def main() -> None:
    """Print these rows, and the rates of the smile's fits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    print(drawn(rows(rounds=rounds)))
    for slices, strikes in ((1, 9), (6, 9), (240, 9), (6, 18), (240, 18)):
        smiles(slices, strikes, rounds)


if __name__ == "__main__":
    main()
