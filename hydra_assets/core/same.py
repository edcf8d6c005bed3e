"""When a recomputed number is the number already held: float noise makes no new recording."""

import math

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
