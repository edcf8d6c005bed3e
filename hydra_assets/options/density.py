"""
The risk-neutral distribution of a smile, in closed form: density, distribution function, moments, model-free variances.

No strike is cut off and nothing is renormalised: the mean is the forward because the smile is one, and what lies beyond the quoted
strikes is told as tail mass. Source: Breeden & Litzenberger (1978) for the density; Bakshi, Kapadia & Madan (2003) for the
moments; Carr & Madan (1998) for the model-free variance; Martin (2017) for the simple variance.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from hydra_assets.options.black76 import INV_SQRT_2PI, Floats
from hydra_assets.options.svi import Smile, density_factor

NODES = 801
REACH = 60.0  # |ln(S/F)| to which moments are taken: wings of SVI are heavy
# With a steeper call wing the second moment of S is infinite. Source: Lee (2004), the moment formula, for p = 1.
STEEPEST_WING = 2 - 4 * (np.sqrt(2.0) - 1)


@dataclass(frozen=True)
class Moments:
    """
    Of ln(S/F) and S/F under Q, shape (slices,); per horizon, not annualised.

    Attributes:
        mass, mean_ratio: total probability and E[S/F]: 1 and 1, up to the integration.
        mean_log, variance, skewness, kurtosis: of ln(S/F); kurtosis raw (3 for a normal).
        model_free: E[-2 ln(S/F)]. simple: Var[S/F]. up, down: its parts above and below the forward; simple and up are NaN
            where the call wing is so steep that they are infinite.
    """

    mass: Floats
    mean_ratio: Floats
    mean_log: Floats
    variance: Floats
    skewness: Floats
    kurtosis: Floats
    model_free: Floats
    simple: Floats
    up: Floats
    down: Floats


def density(smile: Smile, log_moneyness: ArrayLike) -> Floats:
    """Density of ln(S/F) at *log_moneyness*, shape (slices, m)."""
    k = np.asarray(log_moneyness, dtype=float)
    w = smile.total_variance(k)
    d = -k / np.sqrt(w) - np.sqrt(w) / 2
    return np.asarray(density_factor(smile, k) * INV_SQRT_2PI / np.sqrt(w) * np.exp(-d * d / 2))


def cumulative(smile: Smile, log_moneyness: ArrayLike) -> Floats:
    """Q(S <= F e^k): what a digital put is worth, undiscounted; shape (slices, m)."""
    k = np.asarray(log_moneyness, dtype=float)
    w, slope, _ = smile.derivatives(k)
    s = np.sqrt(w)
    d = -k / s - s / 2
    return np.asarray(ndtr(-d) + INV_SQRT_2PI * np.exp(-d * d / 2) * slope / (2 * s))


def quantile(smile: Smile, probability: float) -> Floats:
    """Log-moneyness below which S lies with *probability*, shape (slices,); by bisection of `cumulative`."""
    low, high = np.full(smile.size, -4.0), np.full(smile.size, 4.0)
    for _ in range(60):
        middle = 0.5 * (low + high)
        below = cumulative(smile, middle[:, None])[:, 0] < probability
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray(0.5 * (low + high))


def moments(smile: Smile) -> Moments:
    """
    Integrals over the whole line, on nodes that are dense at the money and reach |ln(S/F)| = 60.

    The trapezoid rule on a sinh-stretched grid converges faster than any power for such integrands.
    """
    sd = np.sqrt(np.maximum(smile.total_variance(np.zeros((smile.size, 1)))[:, 0], 1e-12))
    reach = np.arcsinh(REACH / (2 * sd))
    u = reach[:, None] * np.linspace(-1, 1, NODES)
    k = 2 * sd[:, None] * np.sinh(u)
    measure = density(smile, k) * 2 * sd[:, None] * np.cosh(u) * (2 * reach / (NODES - 1))[:, None]

    def expect(values: Floats) -> Floats:
        return np.asarray((measure * values).sum(axis=1))

    mean = expect(k)
    centred = k - mean[:, None]
    variance = expect(centred**2)
    excess = np.expm1(k)
    ratio = expect(excess)
    squares = (excess - ratio[:, None]) ** 2
    infinite = smile.call_wing >= STEEPEST_WING
    return Moments(
        mass=expect(np.ones_like(k)),
        mean_ratio=1 + ratio,
        mean_log=mean,
        variance=variance,
        skewness=expect(centred**3) / variance**1.5,
        kurtosis=expect(centred**4) / variance**2,
        model_free=-2 * mean,
        simple=np.where(infinite, np.nan, expect(squares)),
        up=np.where(infinite, np.nan, expect(np.where(k > 0, squares, 0.0))),
        down=expect(np.where(k < 0, squares, 0.0)),
    )
