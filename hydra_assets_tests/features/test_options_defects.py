"""
Cases that simpler ways of reading an options chain get wrong, each with its right answer.

The wrong answer of the simpler way stands in the test's own words, or is computed beside the right one, so that a reader sees what
is at stake.
"""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import least_squares
from scipy.special import ndtr

from hydra_assets.options.american import american_price, european_vol
from hydra_assets.options.black76 import price
from hydra_assets.options.density import cumulative, density, moments
from hydra_assets.options.greeks import greeks
from hydra_assets.options.implied_vol import Status, implied_vol
from hydra_assets.options.smile import PRIOR_SD, fit_smiles
from hydra_assets.options.surface import atm_vol, risk_reversal_and_butterfly
from hydra_assets.options.svi import SAFELY, RawSvi, largest_phi
from hydra_assets_tests.support.pricing_oracles import TwoLognormals

FORWARD, TAU, VOL = 85.0, 0.25, 0.30
VOGT = RawSvi.of(a=-0.0410, b=0.1331, rho=0.3060, m=0.3586, sigma=0.4153)


def flat_smile(strikes):
    """The fit of flat 30 % quotes at *strikes*."""
    k = np.log(np.asarray(strikes, dtype=float) / FORWARD)[None, :]
    w = np.full(k.shape, VOL**2 * TAU)
    return fit_smiles(k, total_variance=w, standard_error=1e-4 * w).svi


# ---------------------------------------------------------------- densities


@pytest.mark.parametrize("strikes", [np.arange(77, 92, 2), np.arange(65, 110, 4)])
def test_the_tails_beyond_the_quoted_strikes_are_not_cut_off(strikes):
    """Cut to the strikes and renormalised, the variance is 0.077 of the true one, kurtosis 1.84, and nobody is warned."""
    smile = flat_smile(strikes)

    def moment(power, centre):
        return quad(lambda x: (FORWARD * np.exp(x) - centre) ** power * density(smile, [x]).item(), -4, 4, limit=400, points=[0.0])[0]

    mean = moment(1, 0.0)
    variance, third, fourth = (moment(power, mean) for power in (2, 3, 4))
    e = np.exp(VOL**2 * TAU)
    assert mean == pytest.approx(FORWARD, rel=1e-6)
    assert variance == pytest.approx(FORWARD**2 * (e - 1), rel=2e-3)
    assert variance == pytest.approx(164.4, abs=0.3)
    assert third / variance**1.5 == pytest.approx((e + 2) * np.sqrt(e - 1), abs=5e-3)
    assert third / variance**1.5 == pytest.approx(0.456, abs=5e-3)
    assert fourth / variance**2 == pytest.approx(e**4 + 2 * e**3 + 3 * e**2 - 3, abs=0.02)
    assert fourth / variance**2 == pytest.approx(3.37, abs=0.02)


def test_what_lies_beyond_the_strikes_is_told():
    """Half of the law of this market is beyond its quotes: to be said, not to be divided away."""
    smile, ends, s = flat_smile(np.arange(77, 92, 2)), np.log(np.array([77.0, 91.0]) / FORWARD), VOL * np.sqrt(TAU)
    low, high = cumulative(smile, ends)[0]
    assert low == pytest.approx(ndtr(ends[0] / s + s / 2), abs=2e-4)
    assert 1 - high == pytest.approx(ndtr(-ends[1] / s - s / 2), abs=2e-4)
    assert low + 1 - high > 0.5
    assert moments(smile).mass.item() == pytest.approx(1.0, abs=1e-10)


@pytest.mark.parametrize("strikes", [np.arange(77, 100, 2), np.arange(69, 92, 2)])
def test_the_implied_mean_is_no_signal(strikes):
    """Strikes that lean to one side make a truncated mean of +2.37 % or -5.28 % of a market that leans to none."""
    assert moments(flat_smile(strikes)).mean_ratio.item() == pytest.approx(1.0, abs=1e-9)


def test_a_convex_smile_can_have_butterflies():
    """d2w/dk2 is never negative for SVI; g is, between .6425 and 1.2569."""
    k = np.linspace(-1.5, 1.5, 3001)
    assert (VOGT.derivatives(k)[2] >= 0).all()
    assert VOGT.g_min().item() == pytest.approx(-0.03286, abs=5e-6)
    assert (density(VOGT, [0.7, 0.9, 1.2]) < 0).all()
    assert (density(VOGT, [0.6, 1.3]) > 0).all()


def test_the_density_is_no_difference_of_differences():
    """Exact at every strike and at both edges, where np.gradient applied twice is one-sided and wide."""
    smile = RawSvi.of_ssvi(theta=0.0225, rho=-0.35, phi=6.0)
    strike = np.arange(0.75, 1.2501, 0.02)
    k = np.log(strike)
    calls = price(1.0, strike=strike, tau=1.0, rate=0.0, vol=np.sqrt(smile.total_variance(k)[0]), right=1)
    true = density(smile, k)[0] / strike
    by_gradient = np.gradient(np.gradient(calls, strike), strike)

    def call(at):
        return price(1.0, strike=at, tau=1.0, rate=0.0, vol=np.sqrt(smile.total_variance(np.log(at))[0]), right=1)

    h = 1e-3
    near = (-call(strike + 2 * h) + 16 * call(strike + h) - 30 * call(strike) + 16 * call(strike - h) - call(strike - 2 * h)) / (12 * h * h)
    assert true == pytest.approx(near, abs=1e-6)
    assert np.abs(by_gradient - true).max() > 0.05


def test_an_integral_that_was_divided_by_itself_warns_of_nothing():
    """The law of a slice with butterflies is reported as it is: negative in places, its mass untouched."""
    k = np.linspace(-6, 6, 40_001)
    law = density(VOGT, k)[0]
    assert law.min() < -1e-4
    assert np.trapezoid(np.maximum(law, 0), k) > 1 + 2e-5  # what clipping would add, and dividing hide
    assert moments(VOGT).mass.item() == pytest.approx(1.0, abs=1e-6)


# ---------------------------------------------------------------- Greeks


def test_charm_of_a_future_has_no_carry_but_has_the_discount():
    """With the carry of a share, b = r, and without r times delta, both come out -.18989."""
    call, put = (greeks(100, strike=100, tau=0.25, rate=0.05, vol=0.3, right=right).charm.item() for right in (1, -1))
    assert call == pytest.approx(-0.032766, abs=5e-7)
    assert put == pytest.approx(-0.082145, abs=5e-7)


@pytest.mark.parametrize(("strike", "right", "delta"), [(80, 1, 1.0), (120, -1, -1.0), (120, 1, 0.0), (80, -1, 0.0)])
def test_at_expiry_the_delta_of_what_is_exercised_is_one(strike, right, delta):
    """Not 0 because the time is."""
    assert greeks(100, strike=strike, tau=0.0, rate=0.05, vol=0.3, right=right).delta.item() == delta


# ---------------------------------------------------------------- American quotes


def test_a_quote_at_its_exercise_value_has_no_volatility():
    """85/65, thirty days, 20.00: read as European it says 46.6 %, and the truth is 30."""
    at = {"strike": 65.0, "tau": 30 / 365, "rate": 0.05, "right": 1}
    worth = american_price(FORWARD, vol=0.30, **at).item()
    assert worth == pytest.approx(20.0, abs=5e-3)
    assert implied_vol(20.0, forward=FORWARD, **at).vol.item() * 100 == pytest.approx(46.6, abs=0.1)
    got = european_vol(20.0, forward=FORWARD, **at)
    assert np.isnan(got.vol)
    assert got.status == Status.AT_OR_BELOW_EXERCISE_VALUE


@pytest.mark.parametrize(("strike", "quote", "as_european"), [(85.0, 7.02774, 30.15), (70.0, 16.3334, 31.1)])
def test_early_exercise_is_not_read_as_volatility(strike, quote, as_european):
    at = {"strike": strike, "tau": 182 / 365, "rate": 0.05, "right": 1}
    assert implied_vol(quote, forward=FORWARD, **at).vol.item() * 100 == pytest.approx(as_european, abs=0.05)
    assert european_vol(quote, forward=FORWARD, **at).vol.item() * 100 == pytest.approx(30.0, abs=0.01)


# ---------------------------------------------------------------- fits and times


def test_a_fit_goes_on_to_the_bottom():
    """
    Started once, unweighted, and stopped where an objective of a millionth no longer seems to move, a fit of eight noisy strikes
    misses them by twice what it must. No start of a general optimiser finds a lower cost than ours, the prior's share included.
    """
    k, w, se = TwoLognormals(25, seed=13).quotes(8, spread=0.08)
    fit = fit_smiles(k, total_variance=w, standard_error=se)
    for i in range(25):
        on = np.isfinite(se[i])
        level = np.log(w[i, on][np.abs(k[i, on]).argmin()])
        centre = np.array([level, 0.0, -1.0])

        def misses(z, i=i, on=on, centre=centre):
            theta, rho = np.exp(z[:1]), SAFELY * np.tanh(z[1:2])
            phi = largest_phi(theta, rho) / (1 + np.exp(-z[2]))
            model = RawSvi.of_ssvi(theta=theta, rho=rho, phi=phi).total_variance(k[i, on])[0]
            return np.concatenate([(model - w[i, on]) / se[i, on], (z - centre) / PRIOR_SD])

        starts = [centre + np.array([0.0, rho, phi]) for rho in (-0.8, -0.1, 0.5) for phi in (-1.0, 1.5)]
        best = min(2 * least_squares(misses, start, xtol=1e-12, ftol=1e-12, gtol=1e-12).cost for start in starts)
        share = fit.phi[i] / largest_phi(fit.theta[i : i + 1], fit.rho[i : i + 1])[0]
        z = np.array([np.log(fit.theta[i]), np.arctanh(fit.rho[i] / SAFELY), np.log(share / (1 - share))])
        assert (misses(z) ** 2).sum() <= best * (1 + 1e-6) + 1e-9


def test_a_wide_market_does_not_bend_the_smile():
    """Weighted by their spreads, one far quote that is off by 20 % and says so leaves the others' skew; unweighted it makes one."""
    k = np.linspace(-0.15, 0.15, 8)[None, :]
    w = np.full(k.shape, 0.0225)
    w[0, 0] *= 1.4
    honest = np.full(k.shape, 0.0225 * 0.02)
    honest[0, 0] *= 20
    weighted = fit_smiles(k, total_variance=w, standard_error=honest).svi
    unweighted = fit_smiles(k, total_variance=w, standard_error=np.full(k.shape, 0.0225 * 0.02)).svi
    skew, false_skew = (risk_reversal_and_butterfly(smile, tau=TAU)[0].item() * 100 for smile in (weighted, unweighted))
    assert abs(skew) < 0.3
    assert false_skew < -1.5


def test_volatility_at_the_money_is_read_at_the_money():
    """Between 84 and 86 with the future at 85: not the vol of whichever strike is nearest."""
    smile = RawSvi.of_ssvi(theta=0.0225, rho=-0.6, phi=5.0)
    strikes = np.array([78.0, 80, 82, 84, 86, 88, 90, 92])
    k = np.log(strikes / FORWARD)[None, :]
    w = smile.total_variance(k)
    got = atm_vol(fit_smiles(k, total_variance=w, standard_error=1e-4 * w).svi, tau=TAU).item()
    assert got == pytest.approx(np.sqrt(0.0225 / TAU), abs=1e-5)
    nearest = np.sqrt(w[0, 3:5] / TAU)
    assert np.abs(nearest - got).min() > 2e-3


@pytest.mark.parametrize(("hours", "days", "wrong"), [(22, 1, 28.7), (7 * 24 - 2, 7, 29.8)])
def test_time_is_not_counted_in_whole_days(hours, days, wrong):
    """A day less two hours at 30 % is 30 %; by whole days it is 28.7 %."""
    at = {"strike": FORWARD, "rate": 0.05, "right": 1}
    paid = price(FORWARD, tau=hours / 24 / 365, vol=VOL, **at)
    assert implied_vol(paid, forward=FORWARD, tau=hours / 24 / 365, **at).vol.item() * 100 == pytest.approx(30.0, abs=1e-10)
    assert implied_vol(paid, forward=FORWARD, tau=days / 365, **at).vol.item() * 100 == pytest.approx(wrong, abs=0.05)


def test_half_a_cent_of_the_wrong_contract_is_a_volatility_point():
    """A forward off by .5 c moves the call's volatility at the money down by 1.6 points, the put's up by 1.4: each its own contract."""
    at = {"strike": FORWARD, "tau": 91 / 365, "rate": 0.05}
    for right, moved in ((1, -1.6), (-1, 1.4)):
        paid = price(FORWARD, vol=VOL, right=right, **at)
        off = implied_vol(paid, forward=FORWARD + 0.5, right=right, **at).vol.item()
        assert (off - VOL) * 100 == pytest.approx(moved, abs=0.25)
        assert implied_vol(paid, forward=FORWARD, right=right, **at).vol.item() == pytest.approx(VOL, rel=1e-12)
