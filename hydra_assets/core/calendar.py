"""Exchange calendars: the sessions of a market, its wall-clock times, and when the prints of a session are complete."""

import datetime as dt
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from hydra_assets.core import exchange_days
from hydra_assets.errors import ConfigError, InvalidTimeError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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
        name: what ``calendar:`` in the settings calls it; a name of `pandas_market_calendars`.
        timezone: IANA zone of the exchange.
        settles_at: wall-clock time of the daily settlement; early closes do not move it.
        quote_cut: wall-clock time up to which a day's option quotes count; early closes do not move it.
        sessions_from: the calendar of `pandas_market_calendars` whose days these are.
        early_closes_from: the one whose early closes these are.
        closed: days without a session that `sessions_from` has as one.
        opened: sessions that `sessions_from` leaves out.
        delivery_lag: months from the one of a contract's last trade to the one of its delivery, which its symbol names.
        utc_bars_from: the first day from which on all of a session trades on its own UTC date; None where that is never so.
        listed: sessions of years that are known without `pandas_market_calendars`, which takes half a second to load; see `with_listed`.
    """

    name: str
    timezone: str
    settles_at: DatedTime
    quote_cut: DatedTime
    sessions_from: str
    early_closes_from: str
    closed: frozenset[dt.date] = frozenset()
    opened: frozenset[dt.date] = frozenset()
    delivery_lag: int = 0
    utc_bars_from: dt.date | None = None
    listed: tuple[tuple[int, frozenset[dt.date]], ...] = ()

    @property
    def zone(self) -> ZoneInfo:
        """The exchange's time zone."""
        return ZoneInfo(self.timezone)

    def is_session(self, day: dt.date) -> bool:
        """Whether the market trades and settles on *day*; early closes are sessions."""
        if day in self.closed or day in self.opened:
            return day in self.opened
        return day in self._exchange_days(day.year)

    def bar_is_session(self, day: dt.date) -> bool:
        """Whether a bar of the UTC date *day* holds one whole session and nothing else."""
        return self.utc_bars_from is not None and day >= self.utc_bars_from and self.is_session(day)

    def closes_early(self, day: dt.date) -> bool:
        """Whether *day* is a session that ends before its usual hour."""
        return self.is_session(day) and day in exchange_days.early_closes(self.early_closes_from, day.year)

    def _exchange_days(self, year: int) -> frozenset[dt.date]:
        found = next((days for each, days in self.listed if each == year), None)
        return exchange_days.session_days(self.sessions_from, year) if found is None else found

    def with_listed(self, first: int, last: int) -> "Calendar":
        """The same calendar, with the sessions of the years from *first* to *last* in it."""
        return replace(self, listed=tuple((year, self._exchange_days(year)) for year in range(first, last + 1)))

    def session_days(self, start: dt.date, end: dt.date) -> list[dt.date]:
        """All sessions from *start* to *end*, both included."""
        days = [day for year in range(start.year, end.year + 1) for day in _sessions_of(self, year)]
        return days[bisect_left(days, start) : bisect_right(days, end)]

    def session_numbers(self, start: dt.date, end: dt.date) -> "NDArray[np.int64]":
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
            InvalidTimeError: *at* is not ``HH:MM``, or names a zone.
        """
        try:
            clock = dt.time.fromisoformat(at)
        except (TypeError, ValueError) as error:
            raise InvalidTimeError(f"at={at!r} is not a time of day; write HH:MM, for example 18:30") from error
        if clock.tzinfo is not None:
            raise InvalidTimeError(f"at={at!r} names a zone; write HH:MM, which is o'clock at the exchange, {self.timezone}")
        return [dt.datetime.combine(day, clock, self.zone) for day in self.session_days(start, end)]


@lru_cache(maxsize=512)
def _sessions_of(calendar: Calendar, year: int) -> tuple[dt.date, ...]:
    days = calendar._exchange_days(year) | {day for day in calendar.opened if day.year == year}
    return tuple(sorted(days - calendar.closed))


@lru_cache(maxsize=64)
def _numbers(calendar: Calendar, start: dt.date, end: dt.date) -> "NDArray[np.int64]":
    import numpy as np

    numbers = np.array(calendar.session_days(start, end), dtype="datetime64[D]").astype(np.int64)
    numbers.flags.writeable = False
    return numbers


def _juneteenth(year: int) -> dt.date:
    day = dt.date(year, 6, 19)
    return day + dt.timedelta({5: -1, 6: 1}.get(day.weekday(), 0))  # a Saturday is kept on Friday, a Sunday on Monday


# ---------------------------------------------------------------- the calendars; to add one, add a block and its name to CALENDARS

_FIRST = dt.date(2010, 1, 1)
# Since 2022 the exchange closes agricultural products on Juneteenth; pandas_market_calendars 5.5 has them open.
# With that its days are those of 16 years of real trades in LE, HE, GF and ZC, days of national mourning (2018-12-05, 2025-01-09) included.
_JUNETEENTHS = frozenset(_juneteenth(year) for year in range(2022, 2100))
_DAYS_OF_MOURNING = frozenset({dt.date(2018, 12, 5), dt.date(2025, 1, 9)})

# Lean hogs settle on 12:59:30 to 13:00, unchanged by the shorter trading hours of 2016.
_LIVESTOCK_SETTLEMENT = DatedTime(((_FIRST, dt.time(13)),))
LIVESTOCK = Calendar(
    name="CMEGlobex_Livestock",
    timezone="America/Chicago",
    settles_at=_LIVESTOCK_SETTLEMENT,
    quote_cut=_LIVESTOCK_SETTLEMENT,
    sessions_from="CMEGlobex_Livestock",
    early_closes_from="CMEGlobex_Livestock",
    closed=_JUNETEENTHS,
    utc_bars_from=dt.date(2014, 10, 27),  # until then Globex traded from 17:00 of the day before (CME SER-7591)
)

# 13:15; moved to 14:00 with the pit's close on 2012-06-25 (CME, 8 June 2012) and back on trade date 2013-04-08 (CBOT submission 13-092).
_GRAINS_SETTLEMENT = DatedTime(
    ((_FIRST, dt.time(13, 15)), (dt.date(2012, 6, 25), dt.time(14)), (dt.date(2013, 4, 8), dt.time(13, 15))),
)
GRAINS = Calendar(
    name="CMEGlobex_Grains",
    timezone="America/Chicago",
    settles_at=_GRAINS_SETTLEMENT,
    quote_cut=_GRAINS_SETTLEMENT,
    sessions_from="CMEGlobex_Grains",
    early_closes_from="CMEGlobex_Livestock",  # grains end at noon on the same days; their own calendar lists none
    closed=_JUNETEENTHS,
    utc_bars_from=dt.date(2013, 4, 8),  # Globex opens at 19:00 of the day before, 00:00Z or 01:00Z; until then at 17:00 or 18:00
)

# Crude oil and natural gas settle on the trades of 14:28 to 14:30 New York (CME, settlement procedures of NG and CL). Their Globex calendar
# has every half holiday (Martin Luther King Day, ...) open, but what trades then belongs to the next trade date and nothing settles, so the
# days are the exchange's trade dates. Unverified: the days (mourning included) have not been held against a feed of ours.
# A session begins at 18:00 New York of the day before and ends at 17:00 (17:15 until 2015-09-18), so a UTC date never holds one: it lacks
# the session's first hour or two and ends with those of the next. No bar of a UTC date is whole, in any year.
_ENERGY_SETTLEMENT = DatedTime(((_FIRST, dt.time(14, 30)),))
ENERGY = Calendar(
    name="CMEGlobex_Energy",
    timezone="America/New_York",
    settles_at=_ENERGY_SETTLEMENT,
    quote_cut=_ENERGY_SETTLEMENT,
    sessions_from="CME_TradeDate",
    early_closes_from="CMEGlobex_Energy",
    opened=_DAYS_OF_MOURNING,
    delivery_lag=1,  # CL ends before the 25th, NG with the third last business day, of the month before delivery (NYMEX rulebook)
)

CALENDARS: Mapping[str, Calendar] = {calendar.name: calendar for calendar in (LIVESTOCK, GRAINS, ENERGY)}
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
