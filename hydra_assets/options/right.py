"""The right of an option: +1 call, -1 put, as the functions compute with it; ``C`` and ``P``, as the tables write it."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hydra_assets.errors import InvalidValueError

_SIGNS = {"c": 1.0, "call": 1.0, "p": -1.0, "put": -1.0}


def right_sign(right: ArrayLike) -> NDArray[np.float64]:
    """
    The sign of each right.

    Args:
        right: +1 and -1, or texts: ``C``, ``P``, ``call``, ``put``, in either case.

    Returns:
        +1 or -1; NaN for any other number.

    Raises:
        InvalidValueError: another text, or no text and no number.

    >>> right_sign(["C", "put"]).tolist()
    [1.0, -1.0]
    """
    given = np.asarray(right)
    if given.dtype.kind not in "iuf":
        given = np.array([_sign(each) for each in given.ravel().tolist()], dtype=float).reshape(given.shape)
    signs = given.astype(float)
    return np.where(np.abs(signs) == 1.0, signs, np.nan)


def _sign(right: object) -> float:
    if isinstance(right, str) and right.strip().lower() in _SIGNS:
        return _SIGNS[right.strip().lower()]
    if isinstance(right, int | float) and not isinstance(right, bool):
        return float(right)
    raise InvalidValueError(f"right {right!r} is neither +1 nor -1, nor C or P, nor call or put")
