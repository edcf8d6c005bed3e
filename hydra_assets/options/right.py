"""The right of an option: +1 call, -1 put, as the functions compute with it; ``C`` and ``P``, as the tables write it."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hydra_assets.errors import InvalidValueError

_SIGNS = {"c": 1.0, "call": 1.0, "p": -1.0, "put": -1.0}


def right_sign(right: ArrayLike) -> NDArray[np.float64]:
    """
    The sign of each right.

    Args:
        right: numbers, which stay as they are, or texts: ``C``, ``P``, ``call``, ``put``, in either case.

    Raises:
        InvalidValueError: another text, or no text and no number.

    >>> right_sign(["C", "put"]).tolist()
    [1.0, -1.0]
    """
    given = np.asarray(right)
    if given.dtype.kind in "iuf":
        return np.asarray(given, dtype=float)
    signs = [_sign(each) for each in given.ravel().tolist()]
    return np.array(signs, dtype=float).reshape(given.shape)


def _sign(right: object) -> float:
    if isinstance(right, str) and right.strip().lower() in _SIGNS:
        return _SIGNS[right.strip().lower()]
    if isinstance(right, int | float) and not isinstance(right, bool):
        return float(right)
    raise InvalidValueError(f"right {right!r} is neither +1 nor -1, nor C or P, nor call or put")
