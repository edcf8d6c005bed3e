"""Instants as whole microseconds UTC: the one conversion in and out of the package."""

import datetime as dt
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.errors import InvalidTimeError

Rounding = Literal["exact", "floor", "ceil"]
INSTANT = pa.timestamp("us", tz="UTC")
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
DAY_US = 86_400_000_000


def to_us(when: object, *, what: str = "instant", rounding: Rounding = "exact") -> int:
    """
    An aware datetime as microseconds since 1970-01-01 UTC.

    Args:
        when: an aware ``datetime`` or ``pandas.Timestamp``, in any zone.
        what: the argument's name, for the message.
        rounding: what to do with nanoseconds: ``ceil`` for ``available_at``, ``floor`` for a reader's cut, else refuse.

    Raises:
        InvalidTimeError: no zone, not a time, or a remainder below a microsecond with ``rounding="exact"``.

    >>> to_us(dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=dt.UTC))
    1000000
    """
    if not isinstance(when, dt.datetime) or when != when:  # NaT alone differs from itself
        raise InvalidTimeError(f"{what} must be a timezone-aware datetime, not {when!r}")
    if when.tzinfo is None or when.utcoffset() is None:
        raise InvalidTimeError(f"{what} {when.isoformat()} has no timezone; give one, for example datetime(..., tzinfo=timezone.utc)")
    if as_unit := getattr(when, "as_unit", None):  # a pandas Timestamp, recognised without importing pandas (half a second)
        ns = int(as_unit("ns").value)
        us, rest = divmod(ns, 1000)
        if rest and rounding == "exact":
            raise InvalidTimeError(f"{what} {when.isoformat()} is finer than a microsecond, the precision kept")
        return us + (1 if rest and rounding == "ceil" else 0)
    delta = when.astimezone(dt.UTC) - EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def from_us(us: int) -> dt.datetime:
    """Microseconds since 1970 UTC as an aware datetime."""
    return EPOCH + dt.timedelta(microseconds=int(us))


def iso(us: int) -> str:
    """Fixed-width ISO 8601 UTC text, sortable as text: ``2025-10-03T19:30:00.000000Z``."""
    return from_us(us).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def now_us() -> int:
    """The wall clock; only writers, and readers who ask about the present, may call it."""
    return to_us(dt.datetime.now(dt.UTC))


def day_us(day: dt.date) -> int:
    """00:00 UTC of *day*: the ``as_of`` of a daily or weekly number."""
    return (day - EPOCH.date()).days * DAY_US


def column_us(column: pa.ChunkedArray | pa.Array, *, what: str, rounding: Rounding = "exact") -> np.ndarray:
    """
    An Arrow column of instants as an ``int64`` array of microseconds UTC.

    Raises:
        InvalidTimeError: no zone, nulls, not a timestamp, or finer than a microsecond with ``rounding="exact"``.
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    kind = column.type
    if not pa.types.is_timestamp(kind):
        raise InvalidTimeError(f"column {what} must be a timestamp with a timezone, not {kind}")
    if kind.tz is None:
        raise InvalidTimeError(f"column {what} has no timezone ({kind}); localise it, then convert to UTC")
    if column.null_count:
        raise InvalidTimeError(f"column {what} has {column.null_count} null instant(s)")
    raw = np.asarray(pc.cast(column, pa.int64()).to_numpy(zero_copy_only=False))
    if kind.unit == "us":
        return raw
    if kind.unit in ("s", "ms"):
        return raw * (1_000_000 if kind.unit == "s" else 1_000)
    whole, rest = np.divmod(raw, 1000)
    if rounding == "exact" and rest.any():
        raise InvalidTimeError(f"column {what} is finer than a microsecond, the precision kept")
    return whole + (rest > 0) if rounding == "ceil" else whole


def instants(us: np.ndarray) -> pa.Array:
    """An ``int64`` array of microseconds as an Arrow array of UTC instants."""
    return pa.array(np.asarray(us, dtype=np.int64)).cast(INSTANT)
