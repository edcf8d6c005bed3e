"""
Daily price limits, and whether a settlement stands at one: a price at its limit says how far trading was allowed, not where it ended.

The one judgement that the futures' panel, the options' chain and the lake table ``futures_limits`` share.
"""

import numpy as np
import numpy.typing as npt

from hydra_assets.core.arrays import Floats

UP, DOWN, NONE, UNKNOWN = 1, -1, 0, 2
WORDS = {UP: "up", DOWN: "down", NONE: "none", UNKNOWN: "unknown"}
# Limits lie on both sides of the settlement before, equally far: what is further off the middle than this share of their distance, or
# nearer or wider than these shares of the price, was not in force on the day.
MAX_OFF_MIDDLE, NEAREST, WIDEST = 0.10, 0.002, 0.50
_SAME = 1e-9  # relative


def sane_limits(low: npt.ArrayLike, high: npt.ArrayLike, before: npt.ArrayLike) -> tuple[Floats, Floats]:
    """
    Limits that can have been in force, given the settlement *before*; both NaN where one is missing or they are absurd.

    >>> [side.tolist() for side in sane_limits([97.0, 90.0], [103.0, 103.0], [100.0, 100.0])]
    [[97.0, nan], [103.0, nan]]
    """
    low, high, before = (np.asarray(a, dtype=float) for a in (low, high, before))
    with np.errstate(invalid="ignore"):
        distance, size = (high - low) / 2, np.abs(before)
        sane = (low < before) & (before < high) & (np.abs((low + high) / 2 - before) <= MAX_OFF_MIDDLE * distance)
        sane &= (distance >= NEAREST * size) & (distance <= WIDEST * size)
    return np.where(sane, low, np.nan), np.where(sane, high, np.nan)


def at_limit(settlement: npt.ArrayLike, low: npt.ArrayLike, high: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """
    UP, DOWN or NONE; UNKNOWN without a settlement or limits, and of one beyond them: those were not in force.

    >>> at_limit([103.0, 97.0, 99.0, 104.0], 97.0, 103.0).tolist()
    [1, -1, 0, 2]
    """
    s, low, high = (np.asarray(a, dtype=float) for a in (settlement, low, high))
    with np.errstate(invalid="ignore"):
        near_high, near_low = (np.abs(s - side) <= _SAME * np.maximum(1.0, np.abs(side)) for side in (high, low))
        return np.select([near_high, near_low, (low < s) & (s < high)], [UP, DOWN, NONE], UNKNOWN).astype(np.int64)


def is_locked(code: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Whether a code of `at_limit` says up or down."""
    code = np.asarray(code)
    return np.asarray((code == UP) | (code == DOWN))
