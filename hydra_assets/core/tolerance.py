"""Equality of a recomputed number and the stored one: float noise makes no new vintage and no new recording."""

import math

import numpy as np

RELATIVE, ABSOLUTE = 1e-12, 1e-15


def same_number(a: float | None, b: float | None) -> bool:
    """
    Equal up to 1e-12 relative (or 1e-15, for noise around zero); NaN equals NaN, None equals None.

    >>> same_number(100.0, 100.0 + 1e-11), same_number(1.0, 1.0 + 1e-11), same_number(None, 0.0)
    (True, False, False)
    """
    if a is None or b is None:
        return a is None and b is None
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    return a == b or math.isclose(a, b, rel_tol=RELATIVE, abs_tol=ABSOLUTE)


def noise_around_zero(largest: float) -> float:
    """
    Absolute tolerance of a series whose *largest* number is known: 1e-15 of it, at most of 1, so that a tiny series has a scale too.

    >>> noise_around_zero(250.0), noise_around_zero(0.5)
    (1e-15, 5e-16)
    """
    return ABSOLUTE * min(1.0, largest)


def same_numbers(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """
    `same_number` of floats element by element, NaN for None.

    >>> same_numbers(np.array([100.0, 1.0, np.nan]), np.array([100.0 + 1e-11, 1.0 + 1e-11, np.nan])).tolist()
    [True, False, True]
    """
    with np.errstate(invalid="ignore", over="ignore"):
        near = np.abs(a - b) <= np.maximum(RELATIVE * np.maximum(np.abs(a), np.abs(b)), ABSOLUTE)
    return np.asarray((a == b) | (near & np.isfinite(a) & np.isfinite(b)) | (np.isnan(a) & np.isnan(b)))
