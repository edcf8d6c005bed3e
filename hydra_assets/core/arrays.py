"""Names for the array types that signatures use, and arrays that cannot be written."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Made = TypeVar("Made")


def read_only(array: np.ndarray) -> np.ndarray:
    """The same cells, which cannot be written through the answer."""
    view = array.view()
    view.flags.writeable = False
    return view


def frozen(value: Made) -> Made:
    """*value* itself, every array inside of it (a dataclass, mapping or tuple) made unwritable."""
    if isinstance(value, np.ndarray):
        value.flags.writeable = False
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            frozen(getattr(value, field.name))
    elif isinstance(value, Mapping | tuple):
        for inner in value.values() if isinstance(value, Mapping) else value:
            frozen(inner)
    return value
