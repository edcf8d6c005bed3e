"""Days as integers since 1970-01-01, the unit in which engines count."""

import datetime as dt

import numpy as np
import pyarrow as pa

from hydra_assets.core.arrays import Ints
from hydra_assets.core.calendar import Calendar
from hydra_assets.core.instants import DAY_US, EPOCH, column_us

DAYS = 100_000  # a number, of a contract or an option, and a day number below this fit one integer
_UNBOUNDED = 2**40
_MONDAY = 3  # days from a Monday to 1970-01-01, a Thursday


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


def weekday_of(day: Ints | int) -> Ints:
    """Day of the week, 0 for a Monday to 6 for a Sunday."""
    return np.asarray((day + _MONDAY) % 7)


def week_number(day: Ints | int) -> Ints:
    """Number of the ISO week (Monday to Sunday) of each day; consecutive weeks are consecutive integers."""
    return np.asarray((day + _MONDAY) // 7)


def weekday_number(day: Ints | int) -> Ints:
    """Position of each day among all Mondays to Fridays; a weekend counts as its Friday."""
    return np.asarray(week_number(day) * 5 + np.minimum(weekday_of(day), 4))


def weekdays_between(first: int, last: int) -> Ints:
    """Mondays to Fridays from day *first* to *last*, both included, holidays too."""
    days = np.arange(first, last + 1)
    return days[weekday_of(days) < 5]


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
