"""One fact of the store: checked before it is written, protected by a checksum of its own."""

import math
import numbers
import struct
import zlib
from dataclasses import dataclass
from typing import Any

from hydra_assets.core.instants import iso, to_us
from hydra_assets.core.label import is_label
from hydra_assets.core.tables.table import QUALITIES
from hydra_assets.errors import InvalidTimeError, InvalidValueError, LabelError
from hydra_assets.lazy import lazy
from hydra_assets.storage.names import checked_name

pd = lazy("pandas")

Vintage = tuple[str, str, int, int]  # market, feature_name, as_of, available_at


@dataclass(frozen=True)
class Fact:
    """One value of one vintage; instants in microseconds UTC."""

    market: str
    feature_name: str
    as_of: int
    available_at: int
    value: float | None
    quality: str = "normal"

    @property
    def vintage(self) -> Vintage:
        """The part that a later recording of the same fact shares."""
        return (self.market, self.feature_name, self.as_of, self.available_at)


def fact_of(market: Any, feature_name: Any, as_of: Any, available_at: Any, value: Any, quality: Any = "normal") -> Fact:
    """
    A Fact from what a caller gave.

    Raises:
        InvalidNameError: naming the argument.
        InvalidTimeError: naming the argument.
        InvalidValueError: naming the argument.
    """
    checked_name(market, "market"), checked_name(feature_name, "feature_name")
    if is_label(feature_name):
        raise LabelError(f"{market} {feature_name}: a label is no feature; the store serves what was known, labels are known only later")
    described = to_us(as_of, what=f"{feature_name} as_of")
    known = to_us(available_at, what=f"{feature_name} available_at", rounding="ceil")
    if known < described:
        raise InvalidTimeError(f"{market} {feature_name}: available_at {iso(known)} lies before as_of {iso(described)}")
    if quality not in QUALITIES:
        raise InvalidValueError(f"{market} {feature_name}: quality {quality!r} is none of {', '.join(QUALITIES)}")
    return Fact(market, feature_name, described, known, _number(value, f"{market} {feature_name} {iso(described)}"), quality)


def _number(value: Any, place: str) -> float | None:
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise InvalidValueError(f"{place}: value must be a finite number or None, not {value!r} ({type(value).__name__})")
    try:
        number = float(value)
    except OverflowError:
        raise InvalidValueError(f"{place}: value {value} is larger than a number of 64 bits can be") from None
    if not math.isfinite(number):
        raise InvalidValueError(f"{place}: value {number} is not finite; what is unknown is None, and quality says why")
    return number + 0.0  # -0.0 is 0.0: not every table keeps the sign of zero


def crc(series_id: int, as_of: int, available_at: int, recorded_at: int, value: float | None, quality: str, retracted: int) -> int:
    """CRC-32 over a row: catches the flipped bits that SQLite's own integrity check cannot see."""
    packed = struct.pack(
        "<qqqqB?d", series_id, as_of, available_at, recorded_at, retracted, value is None, value if value is not None else 0.0
    )
    return zlib.crc32(packed + quality.encode())
