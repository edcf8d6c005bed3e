"""References for the options math: 40 digits, QuantLib, and markets whose truth is known."""

import numpy as np
import pytest

from hydra_assets.options.black76 import price
from hydra_assets.options.greeks import greeks
from hydra_assets.options.implied_vol import implied_vol

REASON = "installed by the dependency group 'oracles'"


# ---------------------------------------------------------------- 40 digits


class FortyDigits:
    """Black-76 in mpmath, of the very doubles it is given."""

    def __init__(self) -> None:
        self.mp = pytest.importorskip("mpmath", reason=REASON)
        self.mp.mp.dps = 40

    def _d1(self, forward, strike, s):
        return self.mp.log(forward / strike) / s + s / 2

    def price(self, forward, strike, tau, rate, vol, right):
        f, k, t, r, v = (self.mp.mpf(float(part)) for part in (forward, strike, tau, rate, vol))
        return self._price(f, k, t, r, v, int(right))

    def _price(self, f, k, t, r, v, right):
        s = v * self.mp.sqrt(t)
        d1 = self._d1(f, k, s)

        def below(z):
            return self.mp.erfc(-z / self.mp.sqrt(2)) / 2

        return right * self.mp.exp(-r * t) * (f * below(right * d1) - k * below(right * (d1 - s)))

    def implied_vol(self, paid, forward, strike, tau, rate, right, near):
        """Newton's steps from *near*, which must be close: the answer is exact to 30 digits and more."""
        f, k, t, r, v = (self.mp.mpf(float(part)) for part in (forward, strike, tau, rate, near))
        for _ in range(4):
            vega = f * self.mp.exp(-r * t) * self.mp.npdf(self._d1(f, k, v * self.mp.sqrt(t))) * self.mp.sqrt(t)
            v -= (self._price(f, k, t, r, v, int(right)) - self.mp.mpf(float(paid))) / vega
        return v


# ---------------------------------------------------------------- QuantLib


class QuantLibAmerican:
    """American options on a future, day count ACT/365 from one fixed day."""

    def __init__(self, *, rate: float) -> None:
        self.ql = ql = pytest.importorskip("QuantLib", reason=REASON)
        self.today, self.rate = ql.Date(2, 1, 2026), rate
        ql.Settings.instance().evaluationDate = self.today
        self.day_count = ql.Actual365Fixed()
        self.rates = ql.YieldTermStructureHandle(ql.FlatForward(self.today, rate, self.day_count))

    def process(self, forward: float, vol: float):
        ql = self.ql
        vols = ql.BlackVolTermStructureHandle(ql.BlackConstantVol(self.today, ql.NullCalendar(), vol, self.day_count))
        # The dividend yield is the rate: a future carries nothing.
        return ql.GeneralizedBlackScholesProcess(ql.QuoteHandle(ql.SimpleQuote(forward)), self.rates, self.rates, vols)

    def option(self, *, strike: float, days: int, right: int):
        ql = self.ql
        payoff = ql.PlainVanillaPayoff(ql.Option.Call if right > 0 else ql.Option.Put, strike)
        return ql.VanillaOption(payoff, ql.AmericanExercise(self.today, self.today + ql.Period(days, ql.Days)))

    def price(self, forward: float, *, strike: float, days: int, vol: float, right: int) -> float:
        """By the integral equation of the exercise boundary, its scheme of high precision: no tree and no grid of prices."""
        option = self.option(strike=strike, days=days, right=right)
        option.setPricingEngine(self.ql.QdFpAmericanEngine(self.process(forward, vol), self.ql.QdFpAmericanEngine.highPrecisionScheme()))
        return float(option.NPV())

    def both(self, forward: float, *, strike: float, tau: float, vol: float, right: int) -> tuple[float, float]:
        """By Barone-Adesi & Whaley, and truly; on a calendar of 360 days, on which a tenth of a year is a whole number of them."""
        ql = self.ql
        count = ql.Thirty360(ql.Thirty360.BondBasis)
        rates = ql.YieldTermStructureHandle(ql.FlatForward(self.today, self.rate, count))
        vols = ql.BlackVolTermStructureHandle(ql.BlackConstantVol(self.today, ql.NullCalendar(), vol, count))
        process = ql.GeneralizedBlackScholesProcess(ql.QuoteHandle(ql.SimpleQuote(forward)), rates, rates, vols)
        payoff = ql.PlainVanillaPayoff(ql.Option.Call if right > 0 else ql.Option.Put, strike)
        months, days = divmod(round(tau * 360), 30)
        ends = self.today + ql.Period(months, ql.Months) + ql.Period(days, ql.Days)
        option = ql.VanillaOption(payoff, ql.AmericanExercise(self.today, ends))
        engines = (
            ql.BaroneAdesiWhaleyApproximationEngine(process),
            ql.QdFpAmericanEngine(process, ql.QdFpAmericanEngine.highPrecisionScheme()),
        )
        values = []
        for engine in engines:
            option.setPricingEngine(engine)
            values.append(float(option.NPV()))
        return values[0], values[1]


# ---------------------------------------------------------------- markets whose truth is known


class TwoLognormals:
    """
    Many slices whose law at expiry is a mixture of two lognormals: skewed, fat-tailed, and not of the family that is fitted.

    All arrays have shape (n,); the forward is 85 cents, a component's own forward and volatility its two parameters.
    """

    forward, rate, tick = 85.0, 0.04, 0.025

    def __init__(self, n: int, *, seed: int) -> None:
        self.dice = np.random.default_rng(seed)
        self.tau = self.dice.uniform(25, 95, n) / 365
        self.share = self.dice.uniform(0.15, 0.5, n)
        self.vol = np.stack([self.dice.uniform(0.28, 0.45, n), self.dice.uniform(0.16, 0.28, n)])
        # The wilder component sits below the forward more often than above it.
        off = self.dice.uniform(-0.6, 0.3, n) * self.vol[0] * np.sqrt(self.tau)
        low = self.forward * np.exp(off)
        self.means = np.stack([low, (self.forward - self.share * low) / (1 - self.share)])

    def price(self, strike, *, right):
        """European, of strikes of shape (n, m)."""
        parts = [
            price(mean[:, None], strike=strike, tau=self.tau[:, None], rate=self.rate, vol=vol[:, None], right=right)
            for mean, vol in zip(self.means, self.vol, strict=True)
        ]
        return self.share[:, None] * parts[0] + (1 - self.share)[:, None] * parts[1]

    def vols(self, k):
        """True Black-76 volatilities at log-moneyness of shape (n, m)."""
        strike, right = self.forward * np.exp(k), np.where(k >= 0, 1, -1)
        paid = self.price(strike, right=right)
        return implied_vol(paid, forward=self.forward, strike=strike, tau=self.tau[:, None], rate=self.rate, right=right).vol

    def truth(self, *, delta=0.25):
        """Volatility at the money, and the risk reversal at *delta*, read off the true smile on a fine grid."""
        sd = self.vols(np.zeros((len(self.tau), 1))) * np.sqrt(self.tau)[:, None]
        k = np.linspace(-2.5, 2.5, 1001) * sd
        vols = self.vols(k)
        s = vols * np.sqrt(self.tau)[:, None]
        from scipy.special import ndtr

        call = ndtr(-k / s + s / 2)
        at = [
            [np.interp(-level, -call[i], vols[i]) for i in range(len(k))]  # the delta of a call falls with its strike
            for level in (delta, 1 - delta)
        ]
        return vols[:, 500], np.array(at[0]) - np.array(at[1])

    def quotes(self, strikes: int, *, spread: float, step: float = 2.0):
        """
        Log-moneyness, total variance and its standard error of as many out-of-the-money markets, read off bid and ask.

        Args:
            spread: of a market, as a share of the price. Its middle errs, evenly, by up to half a half-spread; then bid and ask are
                rounded away from each other to the tick.
            step: between the strikes, in cents; they lie around the forward.
        """
        strike = self.forward + step * (np.arange(strikes) - (strikes - 1) / 2) * np.ones((len(self.tau), 1))
        right = np.where(strike >= self.forward, 1, -1)
        paid = self.price(strike, right=right)
        middle = paid * (1 + spread / 4 * self.dice.uniform(-1, 1, paid.shape))
        bid = np.floor(middle * (1 - spread / 2) / self.tick) * self.tick
        ask = np.ceil(middle * (1 + spread / 2) / self.tick) * self.tick
        at = {"strike": strike, "tau": self.tau[:, None], "rate": self.rate, "right": right}
        vol = implied_vol((bid + ask) / 2, forward=self.forward, **at).vol
        vega = greeks(self.forward, vol=vol, **at).vega
        error = np.where(bid > 0, 2 * vol * self.tau[:, None] * (ask - bid) / 4 / vega, np.nan)
        return np.log(strike / self.forward), vol**2 * self.tau[:, None], error
