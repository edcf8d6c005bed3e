"""
Greeks of a European option on a future.

The future carries nothing, so its own drift does not enter; the option's price is discounted, which does: charm and theta hold a
term of the rate. Source: Haug (2007), chapter 2, with cost of carry b = 0.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hydra_assets.core.arrays import Floats
from hydra_assets.lazy import lazy
from hydra_assets.options.black76 import INV_SQRT_2PI
from hydra_assets.options.right import right_sign

special = lazy("scipy.special")


@dataclass(frozen=True)
class Greeks:
    """
    Sensitivities, arrays of one shape; NaN where an argument is outside its domain.

    Attributes:
        delta: price per unit of the future, discounted; +-1 (discounted) in the money at expiry.
        gamma: delta per unit of the future.
        vega: price per 1.00 of vol.
        vanna: delta per 1.00 of vol.
        charm: delta per year of calendar time that passes.
        theta: price per year that passes.
    """

    delta: Floats
    gamma: Floats
    vega: Floats
    vanna: Floats
    charm: Floats
    theta: Floats


def greeks(forward: ArrayLike, *, strike: ArrayLike, tau: ArrayLike, rate: ArrayLike, vol: ArrayLike, right: ArrayLike) -> Greeks:
    """
    All Greeks at once; arguments as `black76.price`, all broadcast.

    >>> round(greeks(100.0, strike=100.0, tau=0.25, rate=0.05, vol=0.3, right=1).charm.item(), 6)
    -0.032766
    """
    f, k, t, r, v, cp = (np.asarray(a, dtype=float) for a in np.broadcast_arrays(forward, strike, tau, rate, vol, right_sign(right)))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        valid = (f > 0) & (k > 0) & (t >= 0) & (v >= 0) & (np.abs(cp) == 1)
        s = v * np.sqrt(t)
        alive = s > 0
        safe = np.where(alive, s, 1.0)
        d1 = np.log(f / k) / safe + 0.5 * safe
        d2 = d1 - safe
        discount = np.exp(-r * t)
        density = INV_SQRT_2PI * np.exp(-0.5 * d1 * d1) * discount
        # Without time or vol the option is the future or nothing, at the money half of it.
        exercised = np.where(cp * (f - k) > 0, 1.0, np.where(f == k, 0.5, 0.0))
        delta = cp * discount * np.where(alive, special.ndtr(cp * d1), exercised)
        value = cp * discount * (f * special.ndtr(cp * d1) - k * special.ndtr(cp * d2))
        years = np.where(t > 0, t, np.nan)

        def living(number: Floats) -> Floats:
            return np.asarray(np.where(valid, np.where(alive, number, 0.0), np.nan))

        return Greeks(
            delta=np.asarray(np.where(valid, delta, np.nan)),
            gamma=living(density / (f * safe)),
            vega=living(f * density * np.sqrt(t)),
            vanna=living(-density * d2 / np.where(v > 0, v, 1.0)),
            charm=living(r * delta + density * d2 / (2 * years)),
            theta=living(r * value - f * density * v / (2 * np.sqrt(years))),
        )
