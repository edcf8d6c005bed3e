"""Early exercise, and reading a smile: against a fine tree, against identities, against the defects of simpler ways."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydra_assets.options.american import american_price, european_vol, exercise_premium
from hydra_assets.options.black76 import price
from hydra_assets.options.density import cumulative
from hydra_assets.options.implied_vol import Status, implied_vol
from hydra_assets.options.surface import atm_vol, bracket, risk_reversal_and_butterfly, strike_of_delta
from hydra_assets.options.svi import RawSvi

FINE = (501, 1001)


def test_the_premium_converges_on_a_fine_tree():
    strike = np.array([68.0, 76.0, 85.0, 94.0, 102.0])
    for tau in (30 / 365, 91 / 365, 182 / 365):
        for right in (1, -1):
            asked = {"strike": strike, "tau": tau, "rate": 0.05, "vol": 0.3, "right": right}
            few, fine = exercise_premium(85.0, **asked), exercise_premium(85.0, **asked, steps=FINE)
            assert np.abs(few - fine).max() < 0.003
            assert (fine >= 0).all()


def test_an_american_quote_gives_its_volatility_back():
    """Quotes from a converged tree, read with the small ones: within .005 volatility points out of the money."""
    dice = np.random.default_rng(5)
    n = 400
    k, vol, tau = dice.uniform(-0.2, 0.2, n), dice.uniform(0.2, 0.45, n), dice.uniform(20, 182, n) / 365
    strike, right = 85 * np.exp(k), np.where(k >= 0, 1, -1)
    quote = american_price(85.0, strike=strike, tau=tau, rate=0.05, vol=vol, right=right, steps=FINE)
    got = european_vol(quote, forward=85.0, strike=strike, tau=tau, rate=0.05, right=right)
    assert (got.status == Status.OK).all()
    assert np.abs(got.vol - vol).max() * 100 < 0.005
    ignoring = implied_vol(quote, forward=85.0, strike=strike, tau=tau, rate=0.05, right=right)
    assert np.abs(ignoring.vol - vol).max() * 100 > 0.05  # what it costs to forget about exercise


def test_at_or_below_the_exercise_value_there_is_no_volatility():
    got = european_vol([20.0, 19.0, 21.0], forward=85.0, strike=65.0, tau=30 / 365, rate=0.05, right=1)
    assert np.isnan(got.vol).tolist() == [True, True, False]
    assert got.status.tolist()[:2] == [Status.AT_OR_BELOW_EXERCISE_VALUE] * 2


def test_the_known_case_of_half_a_year():
    """85/85, 182 days, worth 7.02774: 30.00 %; inverted as if it were European it is 30.15 %."""
    got = european_vol(7.02774, forward=85.0, strike=85.0, tau=182 / 365, rate=0.05, right=1)
    assert got.vol.item() * 100 == pytest.approx(30.0, abs=0.01)


def test_without_a_rate_nothing_is_gained_by_exercise():
    asked = {"strike": np.array([70.0, 85.0, 100.0]), "tau": 0.5, "rate": 0.0, "vol": 0.3, "right": 1}
    assert exercise_premium(85.0, **asked).max() < 1e-9
    assert np.allclose(american_price(85.0, **asked), price(85.0, **asked))


# ---------------------------------------------------------------- read off a smile


def test_a_flat_smile_has_no_skew_and_its_deltas_are_black_76s():
    flat = RawSvi.of(a=0.3**2 * 0.25, b=0.0, rho=0.0, m=0.0, sigma=0.1)
    rr, bf = risk_reversal_and_butterfly(flat, tau=0.25)
    assert (rr.item(), bf.item()) == (pytest.approx(0.0, abs=1e-12), pytest.approx(0.0, abs=1e-12))
    assert atm_vol(flat, tau=0.25).item() == pytest.approx(0.3)
    from scipy.special import ndtri

    s = 0.15
    assert strike_of_delta(flat, delta=0.25, right=1).item() == pytest.approx(s * s / 2 - s * ndtri(0.25), abs=1e-12)
    assert strike_of_delta(flat, delta=0.25, right=-1).item() == pytest.approx(s * s / 2 + s * ndtri(0.25), abs=1e-12)


@given(st.floats(0.005, 0.1), st.floats(-0.8, 0.8), st.floats(0.5, 3.0))
def test_the_delta_of_the_strike_found_is_the_one_asked_for(theta, rho, phi):
    from scipy.special import ndtr

    smile = RawSvi.of_ssvi(theta=theta, rho=rho, phi=phi)
    for right in (1, -1):
        k = strike_of_delta(smile, delta=0.25, right=right)
        s = np.sqrt(smile.total_variance(k[:, None])[:, 0])
        assert ndtr(right * (-k / s + s / 2)).item() == pytest.approx(0.25, abs=1e-9)
    assert cumulative(smile, [-0.2]).item() < cumulative(smile, [0.2]).item()


def test_a_put_skew_is_a_negative_risk_reversal():
    rr, bf = risk_reversal_and_butterfly(RawSvi.of_ssvi(theta=0.02, rho=-0.6, phi=4.0), tau=0.25)
    assert rr.item() < -0.01
    assert bf.item() > 0


def test_constant_maturities_are_bracketed_and_never_extrapolated():
    tau = np.array([20.0, 50.0, 80.0]) / 365
    assert bracket(tau, 30 / 365) == (0, 1, pytest.approx(1 / 3), True)
    assert bracket(tau, 50 / 365) == (1, 1, 0.0, True)
    assert bracket(tau, 65 / 365) == (1, 2, pytest.approx(1 / 2), True)  # of several, the two next to it
    assert bracket(tau, 94 / 365) == (2, 2, 0.0, False)  # fourteen days away: partial
    assert bracket(tau, 100 / 365) == (-1, -1, 0.0, False)
    assert bracket(tau, 4 / 365) == (-1, -1, 0.0, False)
    assert bracket(np.zeros(0), 0.1) == (-1, -1, 0.0, False)
