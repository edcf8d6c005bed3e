"""Days as integers since 1970-01-01, the unit in which engines count."""

import datetime as dt

import numpy as np
import pyarrow as pa

from hydra_assets.core.arrays import Ints
from hydra_assets.core.calendar import Calendar
from hydra_assets.core.instants import DAY_US, EPOCH, column_us

_UNBOUNDED = 2**40


def day_number(day: dt.date) -> int:
    """Days from 1970-01-01 to *day*."""
    return (day - EPOCH.date()).days


def date_of(number: int) -> dt.date:
    """The date *number* days after 1970-01-01."""
    return EPOCH.date() + dt.timedelta(int(number))


def day_range(start: dt.date | None, end: dt.date | None) -> tuple[int, int]:
    """First and last day number from *start* to *end*; without a bound, one beyond all data."""
    return -_UNBOUNDED if start is None else day_number(start), _UNBOUNDED if end is None else day_number(end)


def days_of(table: pa.Table) -> Ints:
    """Day number of each row's ``as_of``."""
    return column_us(table["as_of"], what="as_of", rounding="floor") // DAY_US


def sessions_between(days: Ints, calendar: Calendar) -> Ints:
    """Sessions from the earliest to the latest of *days*, as day numbers; *days* must not be empty."""
    return calendar.session_numbers(date_of(days.min()), date_of(days.max()))


def next_sessions(days: Ints, calendar: Calendar) -> Ints:
    """The session after each of *days*."""
    if not len(days):
        return days
    sessions = calendar.session_numbers(date_of(days.min()), date_of(days.max() + 14))
    return np.asarray(sessions[np.searchsorted(sessions, days, side="right")])


def previous_sessions(days: Ints, calendar: Calendar) -> Ints:
    """The session before each of *days*."""
    if not len(days):
        return days
    sessions = calendar.session_numbers(date_of(days.min() - 14), date_of(days.max()))
    return np.asarray(sessions[np.searchsorted(sessions, days, side="left") - 1])
