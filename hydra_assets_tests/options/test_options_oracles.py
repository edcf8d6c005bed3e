"""Options math against 40 digits, QuantLib, vollib, published values, known truths, and what must hold whatever the numbers."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares

from hydra_assets.options.american import american_price, european_vol
from hydra_assets.options.black76 import price
from hydra_assets.options.density import cumulative, moments
from hydra_assets.options.greeks import greeks
from hydra_assets.options.implied_vol import Status, implied_vol
from hydra_assets.options.smile import fit_smiles
from hydra_assets.options.surface import atm_vol, risk_reversal_and_butterfly, standard_errors, strike_of_delta
from hydra_assets.options.svi import RawSvi, largest_phi
from hydra_assets.options.svi_fit import fit_svi
from hydra_assets_tests.support.jump_wings import jump_wings, of_jump_wings
from hydra_assets_tests.support.pricing_oracles import REASON, FortyDigits, QuantLibAmerican, TwoLognormals

# ---------------------------------------------------------------- implied volatility

# k = ln(K/F) within +-, vol, years to expiry
DOMAINS = {
    "a usual chain": (0.5, (0.1, 1.0), (5 / 365, 2.0)),
    "near expiry, quiet": (0.5, (0.05, 0.3), (1 / 365, 0.1)),
    "at the money but for a hair": (1e-3, (0.05, 1.5), (1 / 365, 2.0)),
    "the last minutes": (2e-3, (0.05, 0.5), (1e-6, 1e-4)),
    "the last seconds": (1e-4, (0.05, 0.2), (3e-8, 1e-6)),
}


@pytest.mark.parametrize("domain", DOMAINS)
def test_implied_vol_to_twelve_digits_of_forty(domain):
    """The volatility of the very double that was paid, out of the money, by either."""
    oracle, dice = FortyDigits(), np.random.default_rng(40)
    width, vols, years = DOMAINS[domain]
    n = 60
    k, vol, tau = dice.uniform(-width, width, n), dice.uniform(*vols, n), dice.uniform(*years, n)
    strike, right = 80 * np.exp(k), np.where(k >= 0, 1, -1)
    paid = np.array([float(oracle.price(80.0, *row)) for row in zip(strike, tau, np.full(n, 0.04), vol, right, strict=True)])
    held = paid > 1e-280  # below, a double has no digits left for it
    assert held.mean() > 0.9
    got = implied_vol(paid, forward=80.0, strike=strike, tau=tau, rate=0.04, right=right)
    assert (got.status[held] == Status.OK).all()
    for i in np.flatnonzero(held):
        true = oracle.implied_vol(paid[i], 80.0, strike[i], tau[i], 0.04, right[i], got.vol[i])
        assert abs(float(got.vol[i] / true - 1)) <= 1e-12, (k[i], vol[i], tau[i])


@pytest.mark.parametrize("domain", DOMAINS)
def test_prices_of_forty_digits(domain):
    oracle, dice = FortyDigits(), np.random.default_rng(41)
    width, vols, years = DOMAINS[domain]
    n = 60
    k, vol, tau = dice.uniform(-width, width, n), dice.uniform(*vols, n), dice.uniform(*years, n)
    strike, right = 80 * np.exp(k), np.where(k >= 0, 1, -1)
    true = np.array([float(oracle.price(80.0, *row)) for row in zip(strike, tau, np.full(n, 0.04), vol, right, strict=True)])
    got = price(80.0, strike=strike, tau=tau, rate=0.04, vol=vol, right=right)
    # An argument rounded to a double moves a far wing by (d1)^2 of its last digit.
    far = 1 + (k / (vol * np.sqrt(tau))) ** 2
    held = true > 1e-280
    assert (np.abs(got / np.where(held, true, 1) - 1)[held] <= 1e-13 * 4 * far[held]).all()


@pytest.mark.parametrize(
    ("k", "s"),  # log-moneyness and volatility of a year
    [(-5.0, 0.2), (-5.0, 9.0), (5.0, 3.0), (2.0, 0.06), (0.0, 12.0), (0.1, 20.0), (0.5, 0.014), (1e-9, 1e-7)],
)
def test_the_ends_of_the_domain(k, s):
    """As exact as a price with sixteen digits can tell: where a unit in its last place moves the answer, by no more than a few of them."""
    oracle, right = FortyDigits(), 1 if k >= 0 else -1
    strike = 80 * math.exp(k)
    paid = float(oracle.price(80.0, strike, 1.0, 0.0, s, right))
    got = implied_vol(paid, forward=80.0, strike=strike, tau=1.0, rate=0.0, right=right)
    if paid == 0 or paid >= (80.0 if right > 0 else strike):
        assert np.isnan(got.vol)
        return
    slope = float(
        (oracle.price(80.0, strike, 1.0, 0.0, s * (1 + 1e-9), right) - oracle.price(80.0, strike, 1.0, 0.0, s, right)) / (s * 1e-9)
    )
    assert abs(got.vol.item() / s - 1) <= 1e-12 + 4 * np.spacing(max(paid, 1e-300)) / (slope * s)


def test_vollib_finds_the_same_volatilities():
    pytest.importorskip("vollib", reason=REASON)
    from vollib.black.implied_volatility import implied_volatility

    dice = np.random.default_rng(42)
    n = 300
    k, vol, tau = dice.uniform(-0.4, 0.4, n), dice.uniform(0.15, 0.6, n), dice.uniform(0.02, 1.0, n)
    strike, right = 85 * np.exp(k), np.where(k >= 0, 1, -1)
    paid = price(85.0, strike=strike, tau=tau, rate=0.04, vol=vol, right=right)
    got = implied_vol(paid, forward=85.0, strike=strike, tau=tau, rate=0.04, right=right).vol
    for i in np.flatnonzero(paid > 1e-8):
        theirs = implied_volatility(float(paid[i]), 85.0, float(strike[i]), 0.04, float(tau[i]), "c" if right[i] > 0 else "p")
        assert got[i] == pytest.approx(theirs, rel=1e-12)


def test_quantlib_has_the_same_prices_and_greeks():
    ql = pytest.importorskip("QuantLib", reason=REASON)
    for strike in (60.0, 85.0, 97.5):
        for right in (1, -1):
            tau, rate, vol = 0.4, 0.05, 0.31
            payoff = ql.PlainVanillaPayoff(ql.Option.Call if right > 0 else ql.Option.Put, strike)
            theirs = ql.BlackCalculator(payoff, 85.0, vol * math.sqrt(tau), math.exp(-rate * tau))
            at = {"strike": strike, "tau": tau, "rate": rate, "vol": vol, "right": right}
            ours = greeks(85.0, **at)
            assert price(85.0, **at).item() == pytest.approx(theirs.value(), rel=1e-12)
            assert ours.delta.item() == pytest.approx(theirs.deltaForward(), rel=1e-12)
            assert ours.gamma.item() == pytest.approx(theirs.gammaForward(), rel=1e-12)
            assert ours.vega.item() == pytest.approx(theirs.vega(tau), rel=1e-12)


@given(st.floats(0.6, 1.6), st.floats(0.05, 1.5), st.floats(0.1, 0.9), st.floats(0.0, 0.1))
def test_a_call_and_the_put_of_its_parity_have_one_volatility(moneyness, tau, vol, rate):
    strike = 80 * moneyness
    call = price(80.0, strike=strike, tau=tau, rate=rate, vol=vol, right=1).item()
    put = call - math.exp(-rate * tau) * (80 - strike)
    pair = [call, put]
    got = implied_vol(pair, forward=80.0, strike=strike, tau=tau, rate=rate, right=[1, -1]).vol
    vega = greeks(80.0, strike=strike, tau=tau, rate=rate, vol=vol, right=1).vega.item()
    if vega > 1e-3:
        assert got == pytest.approx([vol, vol], abs=1e-12 / vega * 100 + 1e-12)


@given(st.floats(0.01, 2.0), st.floats(0.02, 2.0), st.floats(-0.02, 0.15), st.sampled_from([1, -1]))
def test_prices_fall_with_the_strike_of_a_call_and_are_convex_and_rise_with_vol(tau, vol, rate, right):
    strike = np.linspace(40, 160, 121)
    paid = price(80.0, strike=strike, tau=tau, rate=rate, vol=vol, right=right)
    rounding = 1e-11
    assert (right * np.diff(paid) <= rounding).all()
    assert (np.diff(paid, 2) >= -rounding).all()
    dearer = price(80.0, strike=strike, tau=tau, rate=rate, vol=vol * 1.05, right=right)
    assert (dearer >= paid - rounding).all()


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_the_order_and_the_size_of_a_batch_change_no_bit(seed):
    """Implied volatilities, fits, moments and deltas computed alone equal those of a month's batch."""
    dice = np.random.default_rng(seed)
    n = 23
    k, vol, tau = dice.uniform(-0.4, 0.4, n), dice.uniform(0.1, 0.8, n), dice.uniform(0.01, 1.0, n)
    strike, right = 85 * np.exp(k), np.where(k >= 0, 1, -1)
    paid = price(85.0, strike=strike, tau=tau, rate=0.04, vol=vol, right=right)
    order = dice.permutation(n)

    def iv(at):
        return implied_vol(paid[at], forward=85.0, strike=strike[at], tau=tau[at], rate=0.04, right=right[at]).vol

    assert np.array_equal(iv(order), iv(np.arange(n))[order], equal_nan=True)
    assert np.array_equal(iv(order[:5]), iv(np.arange(n))[order[:5]], equal_nan=True)

    ks = np.sort(dice.uniform(-0.3, 0.3, (7, 9)), axis=1)
    ws = 0.02 * np.exp(0.2 * dice.standard_normal(ks.shape)) + 0.1 * ks**2
    ses = 0.05 * ws
    together = fit_smiles(ks, total_variance=ws, standard_error=ses)
    alone = fit_smiles(ks[4:5], total_variance=ws[4:5], standard_error=ses[4:5])
    for name in ("theta", "rho", "phi", "chi2_dof", "covariance"):
        assert np.array_equal(getattr(together, name)[4:5], getattr(alone, name)), name
    whole, one = moments(together.svi), moments(alone.svi)
    for name in ("mean_log", "variance", "skewness", "kurtosis", "simple", "up", "down"):
        assert np.array_equal(getattr(whole, name)[4:5], getattr(one, name)), name
    assert np.array_equal(strike_of_delta(together.svi, delta=0.25, right=-1)[4:5], strike_of_delta(alone.svi, delta=0.25, right=-1))


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_padding_changes_no_bit_of_a_fit(seed):
    dice = np.random.default_rng(seed)
    k = np.sort(dice.uniform(-0.3, 0.3, (1, 11)), axis=1)
    w = 0.02 * np.exp(0.2 * dice.standard_normal(k.shape))
    bare = fit_smiles(k, total_variance=w, standard_error=0.05 * w)
    for more in (1, 5, 30):
        padded = [np.concatenate([part, np.full((1, more), np.nan)], axis=1) for part in (k, w, 0.05 * w)]
        fit = fit_smiles(padded[0], total_variance=padded[1], standard_error=padded[2])
        for name in ("theta", "rho", "phi", "covariance"):
            assert np.array_equal(getattr(fit, name), getattr(bare, name)), (name, more)


# ---------------------------------------------------------------- American options

# Haug (2007), Barone-Adesi & Whaley on a future, K = 100, r = .10: rows of vol, columns F = 90, 100, 110.
HAUG = {
    (1, 0.1): [[0.0206, 1.8771, 10.0089], [0.3159, 3.1280, 10.3919], [0.9495, 4.3777, 11.1679]],
    (1, 0.5): [[0.8208, 4.0842, 10.8087], [2.7437, 6.8015, 13.0170], [5.0063, 9.5106, 15.5689]],
    (-1, 0.1): [[10.0000, 1.8770, 0.0410], [10.2533, 3.1277, 0.4562], [10.8787, 4.3777, 1.2402]],
    (-1, 0.5): [[10.5595, 4.0842, 1.0822], [12.4419, 6.8014, 3.3226], [14.6945, 9.5104, 5.8823]],
}


def test_the_published_table_of_american_futures_options():
    """
    Printed to .003 by QuantLib's Barone-Adesi & Whaley, which says that the oracle is asked the right thing; ours to .0025 of the
    true values, from which the printed approximation is itself off by up to four cents.
    """
    oracle = QuantLibAmerican(rate=0.10)
    for (right, tau), rows in HAUG.items():
        for vol, printed in zip((0.15, 0.25, 0.35), rows, strict=True):
            ours = american_price([90.0, 100.0, 110.0], strike=100.0, tau=tau, rate=0.10, vol=vol, right=right)
            for forward, value, our in zip((90.0, 100.0, 110.0), printed, ours, strict=True):
                approximate, true = oracle.both(forward, strike=100.0, tau=tau, vol=vol, right=right)
                assert approximate == pytest.approx(value, abs=3e-3), (right, tau, vol, forward)
                assert our == pytest.approx(true, abs=2.5e-3), (right, tau, vol, forward)
                assert abs(our - value) < 0.04


def test_american_prices_by_another_method():
    """Against the integral equation of the exercise boundary: a tenth of a tick and less."""
    oracle, dice = QuantLibAmerican(rate=0.05), np.random.default_rng(6)
    n = 40
    strike, vol = 85 * np.exp(dice.uniform(-0.25, 0.25, n)), dice.uniform(0.18, 0.5, n)
    days, right = dice.integers(7, 365, n), dice.choice([-1, 1], n)
    got = american_price(85.0, strike=strike, tau=days / 365, rate=0.05, vol=vol, right=right)
    true = [oracle.price(85.0, strike=float(strike[i]), days=int(days[i]), vol=float(vol[i]), right=int(right[i])) for i in range(n)]
    assert np.abs(got - true).max() < 0.0025


def test_quotes_made_european_by_another_methods_prices():
    """Out of the money, a week to a year, 5 %: within .005 volatility points of the volatility QuantLib priced with."""
    oracle, dice = QuantLibAmerican(rate=0.05), np.random.default_rng(7)
    n = 60
    k, vol, days = dice.uniform(-0.25, 0.25, n), dice.uniform(0.18, 0.5, n), dice.integers(7, 365, n)
    strike, right = 85 * np.exp(k), np.where(k >= 0, 1, -1)
    quote = np.array(
        [oracle.price(85.0, strike=float(strike[i]), days=int(days[i]), vol=float(vol[i]), right=int(right[i])) for i in range(n)]
    )
    priced = quote > 0.005
    assert priced.sum() > 50
    got = european_vol(quote, forward=85.0, strike=strike, tau=days / 365, rate=0.05, right=right)
    assert np.abs(got.vol - vol)[priced].max() * 100 < 0.005


@given(st.floats(0.75, 1.3), st.floats(0.02, 1.0), st.floats(0.15, 0.6), st.floats(0.0, 0.08), st.sampled_from([1, -1]))
def test_an_american_option_is_worth_its_european_its_exercise_and_rises_with_time(moneyness, tau, vol, rate, right):
    at = {"strike": 85 * moneyness, "rate": rate, "vol": vol, "right": right}
    worth = american_price(85.0, tau=[tau, tau * 1.2], **at)
    assert worth[0] >= price(85.0, tau=tau, **at) - 1e-12
    assert worth[0] >= right * (85 - 85 * moneyness)
    assert worth[1] >= worth[0] - 0.002


@given(st.floats(-0.2, 0.2), st.floats(0.03, 0.9), st.floats(0.15, 0.6), st.floats(0.0, 0.08))
def test_out_of_the_money_the_round_trip_through_a_quote_is_the_identity(k, tau, vol, rate):
    right = 1 if k >= 0 else -1
    at = {"strike": 85 * math.exp(k), "tau": tau, "rate": rate, "right": right}
    quote = american_price(85.0, vol=vol, **at).item()
    if quote > 1e-3:
        got = european_vol(quote, forward=85.0, **at)
        assert got.vol.item() == pytest.approx(vol, abs=2e-5)
        assert price(85.0, vol=got.vol, **at).item() + got.premium.item() == pytest.approx(quote, abs=1e-5)


def test_where_there_is_no_volatility_there_is_no_premium_either():
    got = european_vol([20.0, 21.0], forward=85.0, strike=65.0, tau=30 / 365, rate=0.05, right=1)
    assert np.isnan(got.premium).tolist() == np.isnan(got.vol).tolist() == [True, False]


# ---------------------------------------------------------------- slices

PAPER = {"variance": 0.01742625, "skew": -0.1752111, "put_wing": 0.6997381}  # Gatheral & Jacquier (2014), section 5


def test_both_mended_smiles_of_the_paper():
    mended = of_jump_wings(tau=1.0, call_wing=[0.3493158, 0.8564763], minimum=[0.01548182, 0.0116249], **PAPER)
    raw = np.array([getattr(mended, name) for name in ("a", "b", "rho", "m", "sigma")]).T
    assert raw[0] == pytest.approx([0.00774089, 0.06924203, -0.33403651, 0.0420338, 0.11860801], abs=5e-7)
    assert raw[1] == pytest.approx([-0.03051991, 0.10271678, 0.10071761, 0.27234419, 0.41239815], abs=5e-7)
    least = mended.g_min()
    assert least[0] > 0
    assert least[1] == pytest.approx(0.00812, abs=5e-6)


@given(st.floats(0.005, 0.3), st.floats(-0.9, 0.9), st.floats(0.05, 0.95), st.floats(0.05, 2.0))
def test_jump_wings_there_and_back(theta, rho, share, tau):
    assume(abs(rho) > 0.02)  # at 0 the vertex lies at the money, the two variances are one, and jump wings do not say how sharp it is
    raw = RawSvi.of_ssvi(theta=theta, rho=rho, phi=largest_phi(np.array([theta]), np.array([rho])) * share)
    names = ("variance", "skew", "put_wing", "call_wing", "minimum")
    back = of_jump_wings(tau=tau, **dict(zip(names, jump_wings(raw, tau), strict=True)))
    k = np.linspace(-1, 1, 21)
    assert back.total_variance(k) == pytest.approx(raw.total_variance(k), rel=1e-6)


def test_g_min_finds_a_butterfly_wherever_it_hides():
    """At the vertex of a sharp slice, far in a steep wing, and the published one: as a grid of millions of nodes would."""
    vogt = {"a": -0.0410, "b": 0.1331, "rho": 0.3060, "m": 0.3586, "sigma": 0.4153}
    sharp = {"a": 0.000529, "b": 0.40666, "rho": 0.01777, "m": 0.014862, "sigma": 0.000571}
    steep = {"a": 0.01, "b": 1.2, "rho": 0.8, "m": 0.0, "sigma": 0.5}
    smiles = RawSvi.of(**{name: [each[name] for each in (vogt, sharp, steep)] for name in vogt})
    reach = (3.0, 0.05, 60.0)
    fine = np.array([smiles[i : i + 1].g(np.linspace(-reach[i], reach[i], 600_001)).min() for i in range(3)])
    got = smiles.g_min()
    assert got[0] == pytest.approx(-0.03286, abs=5e-6)
    assert (got <= fine + 1e-6 * np.abs(fine)).all()
    assert (got < 0).all()


# ---------------------------------------------------------------- fits


def best_by_scipy(k, w, se):
    """The smallest weighted squares of raw SVI, from two starts."""

    def misses(p):
        return (p[0] + p[1] * (p[2] * (k - p[3]) + np.sqrt((k - p[3]) ** 2 + p[4] ** 2)) - w) / se

    width = k.max() - k.min()
    bounds = ([-1, 0, -0.999, -width, 0.05 * width], [1, 2, 0.999, width, 4 * width])
    starts = ([w.min() / 2, 0.05, 0.0, 0.0, width / 3], [w.min() / 2, 0.08, -0.4, 0.05, width / 6])
    tight = {"xtol": 1e-12, "ftol": 1e-12, "gtol": 1e-12, "x_scale": [0.01, 0.1, 0.5, 0.1, 0.2]}
    return min(2 * least_squares(misses, start, bounds=bounds, **tight).cost for start in starts)


def rich_slices(n, quotes, noise, seed):
    """Slices that SSVI cannot bend to: their vertex is where it likes."""
    dice = np.random.default_rng(seed)
    truth = RawSvi.of(
        a=dice.uniform(0.004, 0.01, n),
        b=dice.uniform(0.03, 0.1, n),
        rho=dice.uniform(-0.6, 0.4, n),
        m=dice.uniform(-0.08, 0.08, n),
        sigma=dice.uniform(0.06, 0.2, n),
    )
    k = np.linspace(-0.4, 0.4, quotes) * np.ones((n, 1))
    w = truth.total_variance(k)
    return truth, k, w * (1 + noise * dice.standard_normal(k.shape)), noise * w


def test_five_parameters_are_the_best_there_are():
    """No better slice is found by a general optimiser."""
    _, k, w, se = rich_slices(12, 21, 0.01, seed=8)
    fit = fit_svi(k, total_variance=w, standard_error=se)
    assert fit.five.sum() >= 10
    for i in np.flatnonzero(fit.five):
        assert fit.chi2_dof[i] * (21 - 5) <= best_by_scipy(k[i], w[i], se[i]) + 0.02


def test_five_parameters_only_where_they_win_with_fifteen_quotes_and_without_butterflies():
    truth, k, w, se = rich_slices(30, 21, 0.01, seed=9)
    fit = fit_svi(k, total_variance=w, standard_error=se)
    assert fit.five.mean() > 0.7
    assert np.median(fit.chi2_dof) == pytest.approx(1.0, abs=0.2)
    assert np.abs(fit.svi.total_variance(k)[fit.five] / truth.total_variance(k)[fit.five] - 1).max() < 0.04
    # Fourteen quotes are not enough, however well five parameters would fit.
    few = fit_svi(k[:, :14], total_variance=w[:, :14], standard_error=se[:, :14])
    assert not few.five.any()
    assert np.array_equal(few.svi.a, few.ssvi.svi.a)
    # Quotes of an SSVI slice are left to SSVI but for the odd one.
    plain = RawSvi.of_ssvi(theta=np.full(60, 0.02), rho=-0.3, phi=4.0)
    ks = np.linspace(-0.3, 0.3, 18) * np.ones((60, 1))
    noise = np.random.default_rng(10).standard_normal(ks.shape)
    held = fit_svi(ks, total_variance=plain.total_variance(ks) * (1 + 0.02 * noise), standard_error=0.02 * plain.total_variance(ks))
    assert held.five.mean() < 0.15
    # The smile of Axel Vogt is what five parameters would fit best, and it has a butterfly.
    vogt = RawSvi.of(a=-0.0410, b=0.1331, rho=0.3060, m=0.3586, sigma=0.4153)
    ks = np.linspace(-1.2, 1.2, 25)[None, :]
    ws = vogt.total_variance(ks)
    refused = fit_svi(ks, total_variance=ws, standard_error=0.005 * ws)
    assert not refused.five.any()
    assert refused.svi.g_min().item() > -1e-9


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.integers(15, 24))
def test_no_choice_has_a_butterfly_whatever_the_quotes(seed, n):
    dice = np.random.default_rng(seed)
    k = np.sort(dice.uniform(-0.5, 0.5, (2, n)), axis=1)
    w = 0.03 * np.exp(dice.normal(0, 0.2, (2, n))) + dice.uniform(0, 0.5) * k**2
    fit = fit_svi(k, total_variance=w, standard_error=0.03 * w)
    assert fit.svi.g_min().min() > -1e-9
    assert (fit.svi.total_variance(np.linspace(-5, 5, 201)) > 0).all()
    assert np.isfinite(fit.raw_covariance).all()


def test_the_delta_method_says_what_repeated_samples_do():
    """400 samples of one smile: the spread of the volatility at the money, the risk reversal and the butterfly."""
    dice, tau = np.random.default_rng(12), 0.2
    truth = RawSvi.of_ssvi(theta=0.03, rho=-0.4, phi=3.0)
    k = np.linspace(-0.35, 0.35, 12) * np.ones((400, 1))
    w = truth.total_variance(k)
    fit = fit_smiles(k, total_variance=w * (1 + 0.01 * dice.standard_normal(k.shape)), standard_error=0.01 * w)
    said = standard_errors(fit.svi, covariance=fit.raw_covariance, tau=tau)
    rr, bf = risk_reversal_and_butterfly(fit.svi, tau=tau)
    for name, numbers in (("atm_vol", atm_vol(fit.svi, tau=tau)), ("risk_reversal", rr), ("butterfly", bf)):
        assert np.median(getattr(said, name)) == pytest.approx(numbers.std(), rel=0.15), name


@given(st.floats(0.005, 0.1), st.floats(-0.8, 0.8), st.floats(0.1, 0.8), st.integers(0, 4))
def test_the_gradient_of_a_delta_is_the_slope_it_says(theta, rho, share, which):
    """Standard errors of one raw parameter at a time, by bumping it: the slope's size times the parameter's error."""
    raw = RawSvi.of_ssvi(theta=theta, rho=rho, phi=largest_phi(np.array([theta]), np.array([rho])) * share)
    covariance = np.zeros((1, 5, 5))
    covariance[0, which, which] = 1.0
    said = standard_errors(raw, covariance=covariance, tau=0.25)
    names = ("a", "b", "rho", "m", "sigma")
    step = 1e-6 * max(abs(getattr(raw, names[which]).item()), 1e-2)
    bumped = [RawSvi.of(**{name: getattr(raw, name) + sign * step * (i == which) for i, name in enumerate(names)}) for sign in (1, -1)]
    (rr_up, bf_up), (rr_down, bf_down) = (risk_reversal_and_butterfly(each, tau=0.25) for each in bumped)
    assert said.risk_reversal.item() == pytest.approx(abs(rr_up - rr_down).item() / (2 * step), rel=1e-3, abs=1e-5)
    assert said.butterfly.item() == pytest.approx(abs(bf_up - bf_down).item() / (2 * step), rel=1e-3, abs=1e-5)


def test_eight_strikes_of_markets_whose_truth_is_known():
    """
    300 laws of two lognormals, markets 8 % wide: what eight strikes two cents apart tell of them, in volatility points.

    Synthetic: the truth is outside the family fitted, the noise is this test's own.
    """
    truth = TwoLognormals(300, seed=2025)
    atm, rr = truth.truth()
    k, w, se = truth.quotes(8, spread=0.08)
    fit = fit_smiles(k, total_variance=w, standard_error=se)
    got, (got_rr, _) = atm_vol(fit.svi, tau=truth.tau), risk_reversal_and_butterfly(fit.svi, tau=truth.tau)
    assert np.median(np.abs(got - atm)) * 100 <= 0.10
    assert np.median(np.abs(got_rr - rr)) * 100 <= 0.30
    assert np.median(np.abs(rr)) * 100 > 1  # there was something to find
    assert fit.svi.g_min().min() >= -1e-9
    said = standard_errors(fit.svi, covariance=fit.raw_covariance, tau=truth.tau)
    assert (np.abs(got - atm) < 2 * said.atm_vol).mean() > 0.95
    assert (np.abs(got_rr - rr) < 2 * said.risk_reversal).mean() > 0.9
    whole = moments(fit.svi)
    assert np.abs(whole.mean_ratio - 1).max() < 1e-9
    assert (cumulative(fit.svi, k[0]) > 0).all()
