"""Smiles: published slices, arbitrage seen and avoided, densities that integrate to what they must."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from hydra_assets.errors import InvalidValueError
from hydra_assets.options.black76 import price
from hydra_assets.options.density import cumulative, density, moments
from hydra_assets.options.smile import fit_smiles
from hydra_assets.options.svi import RawSvi, largest_phi
from hydra_assets_tests.support.jump_wings import jump_wings, of_jump_wings

VOGT = RawSvi.of(a=-0.0410, b=0.1331, rho=0.3060, m=0.3586, sigma=0.4153)
GRID = np.linspace(-1.5, 1.5, 3001)
REFERENCE = RawSvi.of_ssvi(theta=0.0225, rho=-0.35, phi=6.0)


# ---------------------------------------------------------------- slices


def test_the_butterfly_test_sees_the_smile_of_axel_vogt():
    """Its second derivative is positive everywhere, and its density is not. Source: Gatheral & Jacquier (2014), section 3.2."""
    g = VOGT.g(GRID)[0]
    assert g.min() == pytest.approx(-0.03286, abs=5e-6)
    assert GRID[g.argmin()] == pytest.approx(0.879, abs=1e-3)
    negative = GRID[g < 0]
    assert (negative[0], negative[-1]) == (pytest.approx(0.6425, abs=2e-3), pytest.approx(1.2569, abs=2e-3))
    assert (VOGT.derivatives(GRID)[2] > 0).all()


def test_jump_wings_of_the_paper_and_back():
    wings = [float(part[0]) for part in jump_wings(VOGT, 1.0)]
    assert wings == pytest.approx([0.01742625, -0.1752111, 0.6997381, 1.316798, 0.0116249], abs=5e-7)
    names = ("variance", "skew", "put_wing", "call_wing", "minimum")
    back = of_jump_wings(tau=1.0, **dict(zip(names, wings, strict=True)))
    for name in ("a", "b", "rho", "m", "sigma"):
        assert getattr(back, name)[0] == pytest.approx(getattr(VOGT, name)[0], abs=1e-9)
    mended = of_jump_wings(tau=1.0, **dict(zip(names, [*wings[:3], 0.3493158, 0.01548182], strict=True)))
    assert [float(getattr(mended, n)[0]) for n in ("a", "b", "rho", "m", "sigma")] == pytest.approx(
        [0.00774089, 0.06924203, -0.33403651, 0.0420338, 0.11860801], abs=5e-7
    )
    assert mended.g(GRID).min() > 0


def test_ssvi_in_raw_form_and_too_curved_to_be_one():
    raw = RawSvi.of_ssvi(theta=0.04, rho=-0.7, phi=3.0)
    assert [float(getattr(raw, n)[0]) for n in ("a", "b", "rho", "m", "sigma")] == pytest.approx(
        [0.0102, 0.06, -0.7, 0.2333, 0.23805], abs=5e-5
    )
    assert raw.g(GRID).min() > 0
    assert RawSvi.of_ssvi(theta=0.04, rho=-0.7, phi=60.0).g(np.linspace(-0.5, 0.5, 4001)).min() < -5


@given(st.floats(1e-4, 1.0), st.floats(-0.998, 0.998), st.floats(0.001, 1.0))
def test_every_slice_within_the_bound_is_free_of_butterflies(theta, rho, share):
    phi = largest_phi(np.array([theta]), np.array([rho])) * share
    slice_ = RawSvi.of_ssvi(theta=theta, rho=rho, phi=phi)
    scale = np.sqrt(theta)
    assert slice_.g(np.linspace(-12, 12, 2001) * scale).min() > -1e-9


# ---------------------------------------------------------------- density


def test_moments_of_a_lognormal():
    w = 0.3**2 * 0.25
    got = moments(RawSvi.of(a=w, b=0.0, rho=0.0, m=0.0, sigma=0.1))
    assert got.mass == pytest.approx(1.0, abs=1e-12)
    assert got.mean_ratio == pytest.approx(1.0, abs=1e-12)
    assert (got.mean_log.item(), got.variance.item()) == (pytest.approx(-w / 2, abs=1e-12), pytest.approx(w, rel=1e-10))
    assert (got.skewness.item(), got.kurtosis.item()) == (pytest.approx(0.0, abs=1e-9), pytest.approx(3.0, abs=1e-9))
    assert got.model_free.item() == pytest.approx(w, rel=1e-10)
    assert got.simple.item() == pytest.approx(np.expm1(w), rel=1e-10)
    assert (got.up + got.down).item() == pytest.approx(got.simple.item(), rel=1e-12)


def test_moments_of_a_skewed_slice():
    got = moments(REFERENCE)
    assert got.model_free.item() == pytest.approx(0.02854741, abs=5e-9)
    assert got.simple.item() == pytest.approx(0.02587146, abs=5e-9)
    assert got.variance.item() == pytest.approx(0.03059147, abs=5e-9)
    assert got.skewness.item() == pytest.approx(-1.340109, abs=5e-6)
    assert got.kurtosis.item() == pytest.approx(8.08484, abs=5e-4)
    assert got.mean_ratio.item() == pytest.approx(1.0, abs=1e-9)


@given(st.floats(0.002, 0.2), st.floats(-0.9, 0.9), st.floats(0.05, 0.6))
def test_the_implied_mean_is_the_forward(theta, rho, share):
    phi = largest_phi(np.array([theta]), np.array([rho])) * share
    got = moments(RawSvi.of_ssvi(theta=theta, rho=rho, phi=phi))
    assert got.mean_ratio.item() == pytest.approx(1.0, abs=1e-9)
    assert got.mass.item() == pytest.approx(1.0, abs=1e-9)


def test_an_infinite_variance_is_not_a_number():
    got = moments(RawSvi.of(a=0.0, b=[0.2, 0.4], rho=0.0, m=0.0, sigma=0.1))
    assert np.isfinite(got.simple).tolist() == np.isfinite(got.up).tolist() == [True, False]
    assert np.isfinite(got.model_free).all()


def test_the_distribution_function_is_the_integral_of_the_density_and_the_slope_of_puts():
    for k in (-0.4, -0.1, 0.0, 0.15, 0.5):
        below = quad(lambda x: float(density(REFERENCE, [x])[0, 0]), -6, k, limit=400, epsabs=1e-12)[0]
        told = cumulative(REFERENCE, [k])[0, 0]
        assert told == pytest.approx(below, abs=1e-9)

        def put(strike):
            w = REFERENCE.total_variance([np.log(strike)])[0, 0]
            return price(1.0, strike=strike, tau=1.0, rate=0.0, vol=np.sqrt(w), right=-1).item()

        strike, h = np.exp(k), 1e-5
        assert (put(strike + h) - put(strike - h)) / (2 * h) == pytest.approx(told, abs=1e-8)


# ---------------------------------------------------------------- fits


def quotes(theta, rho, phi, *, n=9, width=0.25):
    k = np.linspace(-width, width, n)
    return k, RawSvi.of_ssvi(theta=theta, rho=rho, phi=phi).total_variance(k)[0]


def test_a_slice_is_found_again_from_its_own_quotes():
    truth = [(0.02, -0.3, 4.0), (0.05, 0.4, 2.0), (0.004, -0.6, 9.0), (0.09, 0.0, 1.0)]
    parts = [quotes(*one) for one in truth]
    k, w = (np.array([part[i] for part in parts]) for i in range(2))
    fit = fit_smiles(k, total_variance=w, standard_error=np.full(k.shape, 1e-6))
    assert np.allclose(np.stack([fit.theta, fit.rho, fit.phi], axis=1), truth, rtol=2e-4, atol=2e-4)
    assert (fit.chi2_dof < 0.1).all()
    assert fit.quotes.tolist() == [9] * 4


def test_each_slice_stands_alone_and_order_and_padding_do_not_matter():
    dice = np.random.default_rng(3)
    k, w = quotes(0.03, -0.4, 4.0)
    w = w * (1 + 0.02 * dice.standard_normal(len(w)))
    se = np.full(len(k), 0.02 * 0.03)
    alone = fit_smiles(k, total_variance=w, standard_error=se)
    order = dice.permutation(len(k))
    padded = [np.concatenate([part[order], [fill] * 3]) for part, fill in ((k, np.nan), (w, np.nan), (se, np.nan))]
    other = [np.full(len(k) + 3, v) for v in (0.1, 0.5, 0.01)]
    stacked = [np.stack([first, second]) for first, second in zip(other, padded, strict=True)]
    many = fit_smiles(stacked[0], total_variance=stacked[1], standard_error=stacked[2])
    for name in ("theta", "rho", "phi"):
        assert getattr(many, name)[1] == pytest.approx(getattr(alone, name)[0], rel=1e-6)


@given(st.integers(0, 10_000), st.integers(3, 14))
def test_no_fit_has_a_butterfly_whatever_the_quotes(seed, n):
    dice = np.random.default_rng(seed)
    k = np.sort(dice.uniform(-0.5, 0.5, n))
    w = np.exp(dice.normal(-3.5, 1.0, n))
    fit = fit_smiles(k, total_variance=w, standard_error=w * dice.uniform(0.01, 0.5, n))
    assert fit.svi.g(np.linspace(-3, 3, 1201)).min() > -1e-9
    assert np.isfinite([fit.theta[0], fit.rho[0], fit.phi[0]]).all()


def test_standard_errors_are_those_of_repeated_samples():
    """200 noisy samples of one smile: the spread of theta is what one fit says of it."""
    dice = np.random.default_rng(11)
    k, w = quotes(0.03, -0.4, 3.0, n=10)
    se = np.full((200, len(k)), 0.03 * 0.03)
    fit = fit_smiles(np.tile(k, (200, 1)), total_variance=w + se * dice.standard_normal(se.shape), standard_error=se)
    said = np.sqrt(np.median(fit.covariance[:, 0, 0]))
    assert fit.theta.std() == pytest.approx(said, rel=0.25)
    assert np.median(fit.chi2_dof) == pytest.approx(1.0, abs=0.35)


def test_no_quotes_and_wrong_quotes():
    empty = fit_smiles(np.full((1, 4), np.nan), total_variance=np.full((1, 4), np.nan), standard_error=np.full((1, 4), np.nan))
    assert np.isnan(empty.theta[0])
    assert empty.quotes[0] == 0
    with pytest.raises(InvalidValueError, match="differ in shape"):
        fit_smiles(np.zeros((1, 3)), total_variance=np.ones((1, 4)), standard_error=np.ones((1, 4)))
    with pytest.raises(InvalidValueError, match="not positive"):
        fit_smiles(np.zeros((1, 3)), total_variance=np.ones((1, 3)), standard_error=np.zeros((1, 3)))
