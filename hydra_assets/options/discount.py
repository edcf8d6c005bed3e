"""
The rate at which an option is discounted, from a curve of par yields.

Up to half a year a par yield is that of one payment, and 2 ln(1 + y/2) its continuously compounded rate, exactly. Beyond, where the
security pays coupons, it is taken for the same: over the two years that options live, that is good to a few basis points of rate, or
a hundredth of a tick of a premium. Between two tenors the rate is linear in time; outside of all, that of the nearest.
"""

import numpy as np
from numpy.typing import ArrayLike

from hydra_assets.core.arrays import Floats, Ints


def continuous_rate(par_yield: ArrayLike) -> Floats:
    """
    Continuously compounded yearly rate of a semi-annual bond-equivalent yield, both in decimals; NaN at -2 or less.

    >>> round(float(continuous_rate(0.0455)), 6)
    0.04499
    """
    half = np.asarray(par_yield, dtype=float) / 2
    return np.asarray(2 * np.log1p(np.where(half > -1, half, np.nan)))


def discount_rates(curves: Floats, tenors: Floats, curve: Ints, tau: Floats) -> Floats:
    """
    Rate of each option by its curve.

    Args:
        curves: par yields in decimals, shape (curves, tenors); NaN where none was published.
        tenors: years, ascending.
        curve: number of each option's curve, shape (n,); -1 for none.
        tau: years to expiration, shape (n,).

    Returns:
        Continuously compounded yearly rates, shape (n,); NaN without a curve or a tenor of it.
    """
    rates, answer = continuous_rate(curves), np.full(len(tau), np.nan)
    order = np.argsort(curve, kind="stable")
    numbers, first = np.unique(curve[order], return_index=True)
    for number, rows in zip(numbers.tolist(), np.split(order, first)[1:], strict=True):
        known = np.isfinite(rates[number]) if number >= 0 else np.zeros(0, dtype=bool)
        if known.any():
            answer[rows] = np.interp(tau[rows], tenors[known], rates[number][known])
    return answer
