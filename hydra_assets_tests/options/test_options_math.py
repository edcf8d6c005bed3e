"""The options floor: published values, identities, round trips over the whole domain."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydra_assets.options.black76 import price
from hydra_assets.options.greeks import greeks
from hydra_assets.options.implied_vol import Status, implied_vol

# ---------------------------------------------------------------- prices


def test_published_values():
    """Hull, Options, Futures, and Other Derivatives: a futures put; Haug (2007): Black-76."""
    assert price(20, strike=20, tau=4 / 12, rate=0.09, vol=0.25, right=-1) == pytest.approx(1.116641, abs=5e-7)
    assert price(19, strike=19, tau=0.75, rate=0.10, vol=0.28, right=1) == pytest.approx(1.701051, abs=5e-7)


finite = st.floats(0.2, 5.0), st.floats(0.002, 3.0), st.floats(0.01, 2.0), st.floats(-0.05, 0.15)


@given(*finite)
def test_put_call_parity_and_bounds(moneyness, tau, vol, rate):
    strike = 80 * moneyness
    call, put = (price(80.0, strike=strike, tau=tau, rate=rate, vol=vol, right=right).item() for right in (1, -1))
    discount = math.exp(-rate * tau)
    assert call - put == pytest.approx(discount * (80 - strike), abs=1e-11)
    rounding = 1e-12 * 80
    assert max(discount * (80 - strike), 0) - rounding <= call <= discount * 80 + rounding
    assert price(80.0, strike=strike, tau=tau, rate=rate, vol=vol * 1.1, right=1) >= call - rounding


def test_the_far_wing_does_not_cancel():
    """30 standard deviations out: the leading term of the asymptotic series, where a difference of two normals would be 0."""
    k, s = 3.0, 0.1
    got = price(1.0, strike=math.exp(k), tau=1.0, rate=0.0, vol=s, right=1).item()
    d1 = -k / s + s / 2
    phi = math.exp(-0.5 * d1 * d1) / math.sqrt(2 * math.pi)
    leading = phi * s * (s * s) / (k * k)  # phi(d1) s^3 / k^2 (1 + O((s/k)^2))
    assert got > 0
    assert got / leading == pytest.approx(1.0, rel=0.02)


def test_no_time_no_vol_and_nonsense():
    assert price(85, strike=80, tau=0.0, rate=0.05, vol=0.3, right=1) == 5.0
    assert price(85, strike=80, tau=1.0, rate=0.05, vol=0.0, right=1) == pytest.approx(5 * math.exp(-0.05))
    assert price(85, strike=80, tau=1.0, rate=0.05, vol=0.0, right=-1) == 0.0
    for bad in ({"strike": -1}, {"tau": -0.1}, {"vol": -0.1}, {"right": 2}):
        assert np.isnan(price(85, **({"strike": 80, "tau": 1.0, "rate": 0.05, "vol": 0.2, "right": 1} | bad)))


# ---------------------------------------------------------------- Greeks


def test_charm_holds_the_futures_carry():
    """A spot formula with b = r gives -.18989 for both."""
    call, put = (greeks(100, strike=100, tau=0.25, rate=0.05, vol=0.3, right=right).charm.item() for right in (1, -1))
    assert (call, put) == (pytest.approx(-0.032766, abs=5e-7), pytest.approx(-0.082145, abs=5e-7))


def test_deep_in_the_money_at_expiry_the_delta_is_one():
    got = greeks([100, 60, 80], strike=80, tau=0.0, rate=0.05, vol=0.3, right=1)
    assert got.delta.tolist() == [1.0, 0.0, 0.5]
    assert got.gamma.tolist() == [0.0, 0.0, 0.0]


@given(st.floats(0.7, 1.4), st.floats(0.05, 2.0), st.floats(0.1, 0.8), st.floats(0.0, 0.1), st.sampled_from([1, -1]))
def test_each_greek_is_the_slope_it_says(moneyness, tau, vol, rate, right):
    f, k = 80.0, 80.0 * moneyness

    def value(f=f, tau=tau, vol=vol):
        return price(f, strike=k, tau=tau, rate=rate, vol=vol, right=right).item()

    def delta(f=f, tau=tau, vol=vol):
        return greeks(f, strike=k, tau=tau, rate=rate, vol=vol, right=right).delta.item()

    def slope(function, name, at, step):
        return (function(**{name: at + step}) - function(**{name: at - step})) / (2 * step)

    got = greeks(f, strike=k, tau=tau, rate=rate, vol=vol, right=right)
    assert got.delta == pytest.approx(slope(value, "f", f, 1e-3), abs=1e-6)
    assert got.gamma == pytest.approx(slope(delta, "f", f, 1e-3), abs=1e-6)
    assert got.vega == pytest.approx(slope(value, "vol", vol, 1e-5), rel=1e-5, abs=1e-6)
    assert got.vanna == pytest.approx(slope(delta, "vol", vol, 1e-5), rel=1e-5, abs=1e-6)
    assert got.charm == pytest.approx(-slope(delta, "tau", tau, 1e-5), rel=1e-4, abs=1e-6)
    assert got.theta == pytest.approx(-slope(value, "tau", tau, 1e-5), rel=1e-4, abs=1e-5)


# ---------------------------------------------------------------- implied volatility


def round_trip(k, vol, tau, *, rate=0.03):
    """Relative error of the volatility, out of the money by k = ln(K/F)."""
    right = np.where(k >= 0, 1, -1)
    strike = 80 * np.exp(k)
    paid = price(80.0, strike=strike, tau=tau, rate=rate, vol=vol, right=right)
    got = implied_vol(paid, forward=80.0, strike=strike, tau=tau, rate=rate, right=right)
    return got, np.abs(got.vol / vol - 1), paid


def test_the_round_trip_is_exact_to_twelve_digits():
    dice = np.random.default_rng(20251003)
    n = 200_000
    k, vol, tau = dice.uniform(-0.5, 0.5, n), dice.uniform(0.05, 1.5, n), dice.uniform(1 / 365, 2.0, n)
    got, error, paid = round_trip(k, vol, tau)
    priced = paid > 1e-280  # below, the price itself has no digits left
    assert priced.sum() > 0.95 * n
    assert (got.status[priced] == Status.OK).all()
    # A price close to its time value's end cannot hold twelve digits of the vol: what one ulp of it moves is allowed.
    slope = greeks(80.0, strike=80 * np.exp(k), tau=tau, rate=0.03, vol=vol, right=np.where(k >= 0, 1, -1)).vega
    ulp = 4 * np.spacing(paid) / np.maximum(slope * vol, 1e-300)
    assert (error[priced] <= 1e-12 + ulp[priced]).all()
    assert np.quantile(error[priced], 0.99) < 1e-13


@pytest.mark.parametrize("k", [-5.0, -2.0, -0.1, -1e-6, 0.0, 1e-9, 0.3, 3.0, 5.0])
@pytest.mark.parametrize("s", [0.005, 0.05, 0.5, 2.0, 5.0])
def test_the_whole_domain(k, s):
    got, error, paid = round_trip(np.array([k]), np.array([s]), np.array([1.0]))
    if paid[0] < 1e-290:
        pytest.skip("the price is below what a double can hold")
    assert got.status[0] == Status.OK
    vega = greeks(80.0, strike=80 * np.exp(k), tau=1.0, rate=0.03, vol=s, right=1 if k >= 0 else -1).vega.item()
    assert error[0] <= 1e-11 + 8 * np.spacing(paid[0]) / max(vega * s, 1e-300)


def test_where_there_is_no_answer_it_says_why():
    cases = [
        (5.0, 85, 80, 0.5, 1, Status.AT_OR_BELOW_EXERCISE_VALUE),
        (4.0, 85, 80, 0.5, 1, Status.AT_OR_BELOW_EXERCISE_VALUE),
        (85.0, 85, 80, 0.5, 1, Status.AT_OR_ABOVE_BOUND),
        (80.0, 85, 80, 0.5, -1, Status.AT_OR_ABOVE_BOUND),
        (6.0, 85, 80, 0.0, 1, Status.EXPIRED),
        (float("nan"), 85, 80, 0.5, 1, Status.INVALID),
        (6.0, -85, 80, 0.5, 1, Status.INVALID),
        (6.0, 85, 80, 0.5, 0, Status.INVALID),
    ]
    for paid, forward, strike, tau, right, status in cases:
        got = implied_vol(paid, forward=forward, strike=strike, tau=tau, rate=0.0, right=right)
        assert np.isnan(got.vol)
        assert got.status == status, (paid, forward, strike, tau, right)


def test_shapes_broadcast_and_elements_do_not_touch_each_other():
    vol = np.array([[0.2], [0.4]])
    strike = np.array([70.0, 80.0, 95.0])
    paid = price(80.0, strike=strike, tau=0.3, rate=0.02, vol=vol, right=1)
    got = implied_vol(paid, forward=80.0, strike=strike, tau=0.3, rate=0.02, right=1)
    assert got.vol.shape == (2, 3)
    assert np.allclose(got.vol, vol, rtol=1e-12)
    paid[0, 0] = np.nan
    again = implied_vol(paid, forward=80.0, strike=strike, tau=0.3, rate=0.02, right=1)
    assert np.array_equal(again.vol.ravel()[1:], got.vol.ravel()[1:])
