"""Exchange calendars: the sessions of a market, its wall-clock times, and when the prints of a session are complete."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from hydra_assets.core import sessions
from hydra_assets.core.instants import EPOCH
from hydra_assets.errors import ConfigError, InvalidTimeError

NOON = dt.time(12)


@dataclass(frozen=True)
class DatedTime:
    """
    A wall-clock time that the exchange changed on known days.

    Attributes:
        changes: (first day, time) pairs, ascending; the first pair also holds for earlier days.
    """

    changes: tuple[tuple[dt.date, dt.time], ...]

    def on(self, day: dt.date) -> dt.time:
        """The time that holds on *day*."""
        known = [clock for first, clock in self.changes if first <= day]
        return known[-1] if known else self.changes[0][1]


@dataclass(frozen=True)
class Calendar:
    """
    One exchange calendar.

    Attributes:
        name: as in `pandas_market_calendars`, for example ``CMEGlobex_Livestock``.
        timezone: IANA zone of the exchange.
        settles_at: wall-clock time of the daily settlement.
        quote_cut: wall-clock time up to which a day's option quotes count.
    """

    name: str
    timezone: str
    settles_at: DatedTime
    quote_cut: DatedTime

    @property
    def zone(self) -> ZoneInfo:
        """The exchange's time zone."""
        return ZoneInfo(self.timezone)

    def is_session(self, day: dt.date) -> bool:
        """Whether the market trades on *day*; early closes are sessions."""
        return sessions.is_session(day)

    def session_days(self, start: dt.date, end: dt.date) -> list[dt.date]:
        """All sessions from *start* to *end*, both included."""
        return sessions.session_days(start, end)

    def session_numbers(self, start: dt.date, end: dt.date) -> NDArray[np.int64]:
        """Sessions from *start* to *end* as days since 1970-01-01, ascending; read-only."""
        return _numbers(self, start, end)

    def next_session(self, day: dt.date) -> dt.date:
        """The first session after *day*."""
        return self.session_days(day + dt.timedelta(1), day + dt.timedelta(15))[0]

    def at(self, day: dt.date, clock: dt.time) -> dt.datetime:
        """*clock* in the exchange's zone on *day*, as a UTC instant."""
        return dt.datetime.combine(day, clock, self.zone).astimezone(dt.UTC)

    def settlement(self, day: dt.date) -> dt.datetime:
        """UTC instant of the daily settlement on *day*."""
        return self.at(day, self.settles_at.on(day))

    def cut(self, day: dt.date) -> dt.datetime:
        """UTC instant up to which option quotes of *day* count."""
        return self.at(day, self.quote_cut.on(day))

    def prints_complete(self, day: dt.date) -> dt.datetime:
        """UTC instant by which all statistics of session *day* are out: noon of the next session."""
        return self.at(self.next_session(day), NOON)

    def instants(self, start: dt.date, end: dt.date, *, at: str = "18:30") -> list[dt.datetime]:
        """
        One aware instant a session: *at* o'clock on its day in the exchange's zone.

        Raises:
            InvalidTimeError: *at* is not ``HH:MM``.
        """
        try:
            clock = dt.time.fromisoformat(at)
        except ValueError as error:
            raise InvalidTimeError(f"at={at!r} is not a time of day; write HH:MM, for example 18:30") from error
        return [dt.datetime.combine(day, clock, self.zone) for day in self.session_days(start, end)]


@lru_cache(maxsize=64)
def _numbers(calendar: Calendar, start: dt.date, end: dt.date) -> NDArray[np.int64]:
    numbers = np.array([(day - EPOCH.date()).days for day in calendar.session_days(start, end)], dtype=np.int64)
    numbers.flags.writeable = False
    return numbers


_ALWAYS = dt.date(2010, 1, 1)
LIVESTOCK = Calendar(
    name="CMEGlobex_Livestock",
    timezone="America/Chicago",
    settles_at=DatedTime(((_ALWAYS, dt.time(13)),)),
    quote_cut=DatedTime(((_ALWAYS, dt.time(13)),)),
)
CALENDARS: Mapping[str, Calendar] = {calendar.name: calendar for calendar in (LIVESTOCK,)}
DEFAULT_CALENDAR = LIVESTOCK


def calendar_named(name: str) -> Calendar:
    """
    The calendar called *name*.

    Raises:
        ConfigError: no such calendar; the known ones are named.
    """
    if name not in CALENDARS:
        raise ConfigError(f"calendar {name!r} is unknown; known are {', '.join(sorted(CALENDARS))}")
    return CALENDARS[name]
