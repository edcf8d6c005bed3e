"""Instants as whole microseconds UTC: the one conversion in and out of the package."""

import datetime as dt
from collections.abc import Iterable
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.errors import InvalidTimeError

Rounding = Literal["exact", "floor", "ceil"]
INSTANT = pa.timestamp("us", tz="UTC")
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
DAY_US = 86_400_000_000
FIRST_US, LAST_US = -62_135_596_800_000_000, 253_402_300_799_999_999  # the years that a datetime can hold: 1 to 9999


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
    rest = getattr(when, "nanosecond", 0)  # of a pandas Timestamp, recognised without importing pandas (half a second)
    if rest and rounding == "exact":
        raise InvalidTimeError(f"{what} {when.isoformat()} is finer than a microsecond, the precision kept")
    plain = when.to_pydatetime(warn=False) if hasattr(when, "to_pydatetime") else when
    try:
        delta = plain.astimezone(dt.UTC) - EPOCH
    except (OverflowError, ValueError) as error:
        raise InvalidTimeError(f"{what} {when.isoformat()} lies outside the years 1 to 9999 in UTC") from error
    us = (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds + (1 if rest and rounding == "ceil" else 0)
    return _within(us, what)


def span_us(span: object, what: str) -> int | None:
    """
    A span of time as whole microseconds; None stays None, and one longer than all of time is as long as that.

    Args:
        span: a ``timedelta`` of 0 or more.
        what: the argument's name, for the message.

    Raises:
        InvalidTimeError: no timedelta, or a negative one.

    >>> span_us(dt.timedelta(milliseconds=1), "max_age")
    1000
    """
    if span is None:
        return None
    if not isinstance(span, dt.timedelta) or span != span:  # NaT differs from itself
        raise InvalidTimeError(f"{what} must be a timedelta, not {span!r}")
    if span < dt.timedelta(0):
        raise InvalidTimeError(f"{what} {span} is negative; give a span of 0 or more")
    return min(int(span // dt.timedelta(microseconds=1)), LAST_US - FIRST_US)


def utc_day(day: dt.date, what: str) -> dt.date:
    """The UTC day of a date or an aware datetime; InvalidTimeError naming *what*."""
    if isinstance(day, dt.datetime):
        return from_us(to_us(day, what=what, rounding="floor")).date()
    if isinstance(day, dt.date):
        return day
    raise InvalidTimeError(f"{what} must be a date or an aware datetime, not {day!r}")


def instants_us(times: object, *, what: str, rounding: Rounding = "exact") -> np.ndarray:
    """
    One instant or several, as callers hold them, as an ``int64`` array of microseconds UTC.

    Args:
        times: an aware datetime, or a list, pandas index or series, or Arrow column of them.
        what: the argument's name, for the message.
        rounding: see `to_us`.

    Raises:
        InvalidTimeError: none of these, or see `to_us`.
    """
    if isinstance(times, pa.Array | pa.ChunkedArray):
        return column_us(times, what=what, rounding=rounding)
    if isinstance(times, dt.datetime):
        times = [times]
    if isinstance(times, str) or not isinstance(times, Iterable):
        raise InvalidTimeError(f"{what} must be timezone-aware datetimes, not {times!r}")
    return np.array([to_us(time, what=what, rounding=rounding) for time in times], dtype=np.int64)


def _within(us: int, what: str) -> int:
    if not FIRST_US <= us <= LAST_US:
        raise InvalidTimeError(f"{what} lies outside the years 1 to 9999")
    return us


def from_us(us: int) -> dt.datetime:
    """Microseconds since 1970 UTC as an aware datetime."""
    return EPOCH + dt.timedelta(microseconds=int(us))


def rounded_up(when: dt.datetime, step: dt.timedelta) -> dt.datetime:
    """
    An aware instant in UTC at a whole *step*, rounded up, so that a text never shows it too early.

    >>> rounded_up(dt.datetime(2025, 10, 3, 19, 30, 0, 1, tzinfo=dt.UTC), dt.timedelta(minutes=1)).minute
    31
    """
    exact = when.astimezone(dt.UTC)
    rest = (exact - EPOCH) % step
    return exact + (step - rest) if rest else exact


def iso(us: int) -> str:
    """Fixed-width ISO 8601 UTC text, sortable as text: ``2025-10-03T19:30:00.000000Z``."""
    return from_us(us).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


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
    if kind.unit != "ns" and len(raw):
        size = {"s": 1_000_000, "ms": 1_000, "us": 1}[kind.unit]
        _within(int(raw.min()) * size, f"column {what}"), _within(int(raw.max()) * size, f"column {what}")
        return raw if size == 1 else raw * size
    if kind.unit != "ns":
        return raw
    whole, rest = np.divmod(raw, 1000)
    if rounding == "exact" and rest.any():
        raise InvalidTimeError(f"column {what} is finer than a microsecond, the precision kept")
    return whole + (rest > 0) if rounding == "ceil" else whole


def instants(us: np.ndarray) -> pa.Array:
    """An ``int64`` array of microseconds as an Arrow array of UTC instants."""
    return pa.array(np.asarray(us, dtype=np.int64)).cast(INSTANT)
