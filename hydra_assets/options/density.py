"""
The risk-neutral distribution of a smile, in closed form: density, distribution function, moments, model-free variances.

No strike is cut off and nothing is renormalised: the mean is the forward because the smile is one, and what lies beyond the quoted
strikes is reported as tail mass. Source: Breeden & Litzenberger (1978) for the density; Bakshi, Kapadia & Madan (2003) for the
moments; Carr & Madan (1998) for the model-free variance; Martin (2017) for the simple variance.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike

from hydra_assets.core.arrays import Floats
from hydra_assets.lazy import lazy
from hydra_assets.options.black76 import INV_SQRT_2PI
from hydra_assets.options.svi import REACH, Smile, density_factor

special = lazy("scipy.special")

NODES = 401
CHUNK = 32  # slices at once, whose nodes stay in the cache
_NOTHING = -700.0  # numbers below the exponential of this are slow and add nothing
# With a steeper call wing the second moment of S is infinite. Source: Lee (2004), the moment formula, for p = 1.
STEEPEST_WING = 2 - 4 * (np.sqrt(2.0) - 1)


@dataclass(frozen=True)
class Moments:
    """
    Moments of ln(S/F) and S/F under Q, shape (slices,); per horizon, not annualised.

    Attributes:
        mass: total probability; 1, up to the integration.
        mean_ratio: E[S/F]; 1, up to the integration.
        mean_log: mean of ln(S/F).
        variance: variance of ln(S/F).
        skewness: skewness of ln(S/F).
        kurtosis: raw kurtosis of ln(S/F), 3 for a normal.
        model_free: E[-2 ln(S/F)].
        simple: Var[S/F]; NaN where the call wing is so steep that it is infinite.
        up: part of *simple* above the forward; NaN as it is.
        down: part of *simple* below the forward.
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
    w, first, second = smile.derivatives(k)
    s = np.sqrt(w)
    d = k / s + s / 2
    return np.asarray(density_factor(k, w, first, second) * INV_SQRT_2PI / s * np.exp(np.maximum(-d * d / 2, _NOTHING)))


def cumulative(smile: Smile, log_moneyness: ArrayLike) -> Floats:
    """Q(S <= F e^k): what a digital put is worth, undiscounted; shape (slices, m)."""
    k = np.asarray(log_moneyness, dtype=float)
    w, slope, _ = smile.derivatives(k)
    s = np.sqrt(w)
    d = -k / s - s / 2
    return np.asarray(special.ndtr(-d) + INV_SQRT_2PI * np.exp(-d * d / 2) * slope / (2 * s))


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
    if smile.size > CHUNK:
        parts = [moments(smile[first : first + CHUNK]) for first in range(0, smile.size, CHUNK)]
        return Moments(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Moments)))
    sd = np.sqrt(np.maximum(smile.total_variance(np.zeros((smile.size, 1)))[:, 0], 1e-12))
    reach = np.arcsinh(REACH / (2 * sd))
    u = reach[:, None] * np.linspace(-1, 1, NODES)
    k = 2 * sd[:, None] * np.sinh(u)
    measure = density(smile, k) * 2 * sd[:, None] * np.cosh(u) * (2 * reach / (NODES - 1))[:, None]

    def expect(values: Floats) -> Floats:
        return np.asarray((measure * values).sum(axis=1))

    mean = expect(k)
    centred = k - mean[:, None]
    square = centred * centred
    variance = expect(square)
    excess = np.expm1(k)
    ratio = expect(excess)
    squares = (excess - ratio[:, None]) ** 2
    infinite = smile.call_wing >= STEEPEST_WING
    return Moments(
        mass=expect(np.ones_like(k)),
        mean_ratio=1 + ratio,
        mean_log=mean,
        variance=variance,
        skewness=expect(square * centred) / variance**1.5,
        kurtosis=expect(square * square) / variance**2,
        model_free=-2 * mean,
        simple=np.where(infinite, np.nan, expect(squares)),
        up=np.where(infinite, np.nan, expect(np.where(k > 0, squares, 0.0))),
        down=expect(np.where(k < 0, squares, 0.0)),
    )
