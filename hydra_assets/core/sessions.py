"""CME livestock trading days, by rule (see the exchange's holiday notices); known in advance, so no point-in-time question."""

import datetime as dt
from bisect import bisect_left, bisect_right
from functools import lru_cache
from zoneinfo import ZoneInfo

import pandas as pd
from pandas.tseries.holiday import (
    AbstractHolidayCalendar,
    GoodFriday,
    Holiday,
    USLaborDay,
    USMartinLutherKingJr,
    USMemorialDay,
    USPresidentsDay,
    USThanksgivingDay,
    nearest_workday,
    sunday_to_monday,
)

from hydra_assets.errors import InvalidTimeError


class _Livestock(AbstractHolidayCalendar):
    rules = [  # noqa: RUF012  pandas reads this class attribute
        Holiday("New Year", month=1, day=1, observance=sunday_to_monday),  # a Saturday is not made up for
        USMartinLutherKingJr,
        USPresidentsDay,
        GoodFriday,
        USMemorialDay,
        Holiday("Juneteenth", month=6, day=19, start_date="2022-06-01", observance=nearest_workday),
        Holiday("Independence Day", month=7, day=4, observance=nearest_workday),
        USLaborDay,
        USThanksgivingDay,
        Holiday("Christmas", month=12, day=25, observance=nearest_workday),
    ]


@lru_cache(maxsize=64)
def _holidays(year: int) -> frozenset[dt.date]:
    # Days of the neighbouring years can be observed in this one.
    days = _Livestock().holidays(pd.Timestamp(year - 1, 12, 1), pd.Timestamp(year + 1, 1, 31))
    return frozenset(day.date() for day in days if day.year == year)


def is_session(day: dt.date) -> bool:
    """Whether livestock futures trade on *day*; early closes are sessions."""
    return day.weekday() < 5 and day not in _holidays(day.year)


@lru_cache(maxsize=64)
def _sessions_of(year: int) -> tuple[dt.date, ...]:
    first = dt.date(year, 1, 1)
    days = (first + dt.timedelta(n) for n in range((dt.date(year, 12, 31) - first).days + 1))
    return tuple(day for day in days if is_session(day))


def session_days(start: dt.date, end: dt.date) -> list[dt.date]:
    """All sessions from *start* to *end*, both included."""
    days = [day for year in range(start.year, end.year + 1) for day in _sessions_of(year)]
    return days[bisect_left(days, start) : bisect_right(days, end)]


def sessions(start: dt.date, end: dt.date, *, at: str = "18:30", timezone: str = "America/Chicago") -> list[dt.datetime]:
    """
    One aware instant a session: *at* o'clock on its day in *timezone*.

    Raises:
        InvalidTimeError: *at* is not ``HH:MM``.
    """
    try:
        clock = dt.time.fromisoformat(at)
    except ValueError as error:
        raise InvalidTimeError(f"at={at!r} is not a time of day; write HH:MM, for example 18:30") from error
    zone = ZoneInfo(timezone)
    return [dt.datetime.combine(day, clock, zone) for day in session_days(start, end)]
