"""
Black-76: European options on a future, exact to the last digits also far out of the money.

Every price is made of the out-of-the-money time value, normalised by sqrt(forward x strike) and written with the scaled
complementary error function, so that nothing cancels in the wings. Source: Black (1976); the normalised form after Jaeckel (2017),
"Let's be rational".
"""

import numpy as np
from numpy.typing import ArrayLike

from hydra_assets.core.arrays import Floats
from hydra_assets.lazy import lazy
from hydra_assets.options.right import right_sign

special = lazy("scipy.special")

SQRT2 = float(np.sqrt(2.0))
INV_SQRT_2PI = float(1 / np.sqrt(2 * np.pi))
_SAFE_ERFCX = -26.0  # erfcx overflows below this, where the product is already 0 in double precision


def minus_distance(f: Floats, k: Floats) -> Floats:
    """``-|ln(F/K)|``, to the last digit also where forward and strike nearly meet: their quotient is rounded, their difference not."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        apart = (f - k) / k
        return np.asarray(-np.abs(np.where(np.abs(apart) < 0.5, np.log1p(apart), np.log(f / k))))


def time_value(x: Floats, s: Floats) -> Floats:
    """
    Normalised undiscounted value of an out-of-the-money option.

    Args:
        x: minus the absolute log-moneyness, ``-|ln(F/K)|``, <= 0.
        s: total standard deviation, ``vol sqrt(tau)``, > 0.

    Returns:
        Value / sqrt(F K), in (0, exp(x/2)).
    """
    return time_value_and_slope(x, s)[0]


def time_value_and_slope(x: Floats, s: Floats) -> tuple[Floats, Floats]:
    """`time_value` and its derivative in *s*, of which both are made of one exponential."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"):
        h, t = x / s, 0.5 * s
        slope = np.exp(-0.5 * (h * h + t * t))
        upper = h + t
        value = 0.5 * slope * (special.erfcx(np.maximum(upper / -SQRT2, _SAFE_ERFCX)) - special.erfcx((t - h) / SQRT2))
        # Deep in high vol the scaled form multiplies 0 by infinity; there the plain one is exact.
        if (far := upper > 5.0).any():
            value[far] = np.exp(0.5 * x[far]) * special.ndtr(upper[far]) - np.exp(-0.5 * x[far]) * special.ndtr((h - t)[far])
        # For tiny total vol the difference cancels: use its Taylor series.
        if (close := (t < 0.02) & (x > -1.0)).any():
            value[close] = slope[close] * INV_SQRT_2PI * _mills_difference(h[close], t[close])
        return value, INV_SQRT_2PI * slope


def _mills_difference(h: Floats, t: Floats) -> Floats:
    """Y(h + t) - Y(h - t) for small t, where Y = Phi / phi and so Y' = 1 + h Y, Y^(n+1) = h Y^(n) + n Y^(n-1)."""
    before = special.erfcx(h / -SQRT2) / (2 * INV_SQRT_2PI)
    here = 1 + h * before
    total, power = t * here, t.copy()
    for n in range(1, 7):
        before, here = here, h * here + n * before
        power *= t / (n + 1)
        if n % 2 == 0:
            total += power * here
    return np.asarray(2 * total)


def price(forward: ArrayLike, *, strike: ArrayLike, tau: ArrayLike, rate: ArrayLike, vol: ArrayLike, right: ArrayLike) -> Floats:
    """
    Discounted value of a European option on a future; the arguments broadcast.

    Args:
        forward: price units, > 0.
        strike: price units, > 0.
        tau: years, ACT/365, >= 0.
        rate: continuously compounded, a year.
        vol: decimals a year, >= 0.
        right: +1 or ``C`` call, -1 or ``P`` put.

    Returns:
        Price units; the discounted exercise value where vol or tau is 0; NaN where an argument is outside its domain.

    Source:
        Haug (2007), Black-76: F=19, K=19, tau=.75, r=.10, vol=.28 is worth 1.7011.

    >>> round(price(19.0, strike=19.0, tau=0.75, rate=0.10, vol=0.28, right=1).item(), 4)
    1.7011
    """
    f, k, t, r, v, cp = (np.asarray(a, dtype=float) for a in np.broadcast_arrays(forward, strike, tau, rate, vol, right_sign(right)))
    with np.errstate(invalid="ignore", divide="ignore"):
        valid = (f > 0) & (k > 0) & (t >= 0) & (v >= 0) & (np.abs(cp) == 1)
        s = v * np.sqrt(t)
        value = time_value(np.atleast_1d(minus_distance(f, k)), np.atleast_1d(np.where(s > 0, s, 1.0))).reshape(s.shape)
        undiscounted = np.maximum(cp * (f - k), 0.0) + np.where(s > 0, value, 0.0) * np.sqrt(f * k)
        return np.asarray(np.where(valid, np.exp(-r * t) * undiscounted, np.nan))
