"""
Release instants of the CFTC's Commitments of Traders reports.

Rule: 15:30 America/New_York on the third federal business day after the as-of date, which is the Tuesday of the week, or its
Monday when the Tuesday is a federal holiday. Shutdowns and incidents moved single reports: those stand in a table of
exceptions, and the later of rule and exception holds, so that a wrong row can delay a number but never bring it forward.

Source: CFTC, Commitments of Traders: Release Schedule and Historical Special Announcements.
"""

import datetime as dt
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from zoneinfo import ZoneInfo

from hydra_assets.errors import ConfigError, InvalidTimeError

NEW_YORK = ZoneInfo("America/New_York")
RELEASE_TIME = dt.time(15, 30)
BUSINESS_DAYS_AFTER = 3
FIRST_REPORT = dt.date(2006, 6, 13)
# The disaggregated format began on 2009-09-04; the CFTC computed and published its history from 2006 then.
FIRST_DISAGGREGATED = dt.date(2009, 9, 1)
HISTORY_PUBLISHED = dt.datetime(2009, 9, 4, 15, 30, tzinfo=NEW_YORK)


@dataclass(frozen=True)
class Release:
    """
    The first print of one report.

    Attributes:
        available_at: UTC instant at which it could first be known.
        rule_at: what the rule alone says, UTC.
        source: ``rule``, or the exception's source.
        status: ``rule``, or how sure the exception is (``announced``, ``actual``, ``derived``, ``derived-upper-bound``, ``conflict``).
        reviewed: whether a person has looked for exceptions around this date.
        quality: ``partial`` where the instant is not certain: later than the review, or published only as history.
    """

    report_date: dt.date
    available_at: dt.datetime
    rule_at: dt.datetime
    source: str
    status: str
    reviewed: bool
    quality: str


@lru_cache(maxsize=64)
def federal_holidays(year: int) -> frozenset[dt.date]:
    """Federal holidays of *year*, on the weekdays on which they are kept."""
    import pandas as pd  # half a second to load, for what few commands need
    from pandas.tseries.holiday import USFederalHolidayCalendar

    days = USFederalHolidayCalendar().holidays(pd.Timestamp(year - 1, 12, 1), pd.Timestamp(year + 1, 1, 31))
    return frozenset(day.date() for day in days if day.year == year)


class ReleaseCalendar:
    """
    The calendar: rule, extra closures, exceptions.

    Args:
        exceptions: rows with ``report_date``, ``available_at_et``, ``status`` and ``source``.
        closures: days on which federal offices were closed by executive order or mourning.
        reviewed_until: last day up to which exceptions were looked for.
    """

    def __init__(self, exceptions: Iterable[Mapping[str, str]] = (), *, reviewed_until: dt.date, closures: Iterable[dt.date] = ()) -> None:
        self.reviewed_until = reviewed_until
        self._closures = frozenset(closures)
        self._exceptions: dict[dt.date, tuple[dt.datetime, str, str]] = {}
        for row in exceptions:
            day = dt.date.fromisoformat(row["report_date"])
            available = dt.datetime.fromisoformat(row["available_at_et"])
            if available.tzinfo is None:
                raise ConfigError(f"COT release exception {day}: available_at_et {row['available_at_et']!r} has no offset")
            self._exceptions[day] = (available.astimezone(dt.UTC), row["status"], row["source"])

    @property
    def version(self) -> str:
        """A hash of rule and tables: another one where any stamp may be another."""
        rule = (
            RELEASE_TIME,
            BUSINESS_DAYS_AFTER,
            FIRST_DISAGGREGATED,
            HISTORY_PUBLISHED.astimezone(dt.UTC),
            "not before the week's report",
        )
        tables = (sorted(self._exceptions.items()), sorted(self._closures), self.reviewed_until)
        return hashlib.sha256(repr((rule, tables)).encode()).hexdigest()[:16]

    def is_business_day(self, day: dt.date) -> bool:
        """Whether federal offices are open on *day* (shutdowns do not count: they are exceptions)."""
        return day.weekday() < 5 and day not in federal_holidays(day.year) and day not in self._closures

    def _is_ordinary_week(self, day: dt.date) -> bool:
        monday = day - dt.timedelta(day.weekday())
        return all(self.is_business_day(monday + dt.timedelta(n)) for n in range(5))

    def report_date(self, day: dt.date) -> dt.date:
        """The as-of date of the report of *day*'s ISO week."""
        tuesday = day + dt.timedelta(1 - day.weekday())
        return tuesday if tuesday not in federal_holidays(tuesday.year) else tuesday - dt.timedelta(1)

    def report_dates(self, start: dt.date, end: dt.date) -> list[dt.date]:
        """The as-of dates from *start* to *end*, both included, none before the first report of 2006-06-13."""
        start = max(start, FIRST_REPORT)
        weeks = range(0, max((end - start).days, 0) + 14, 7)
        dates = sorted({self.report_date(start + dt.timedelta(n - 7)) for n in weeks})
        return [day for day in dates if start <= day <= end]

    def release(self, report_date: dt.date) -> Release:
        """
        The instant at which the report of *report_date* was first public; beyond ``reviewed_until`` by the rule alone, and marked so.

        A Monday in a week without a closed day is not published before the week's own report; a closed day moves reports to a Monday.
        """
        if isinstance(report_date, dt.datetime):
            raise InvalidTimeError(f"report_date must be a date, not the instant {report_date!r}")
        of_week = self.report_date(report_date)
        if report_date < of_week and report_date not in self._exceptions and self._is_ordinary_week(report_date):
            return replace(self.release(of_week), report_date=report_date)
        day, open_days = report_date, 0
        while open_days < BUSINESS_DAYS_AFTER:
            day += dt.timedelta(1)
            open_days += self.is_business_day(day)
        rule_at = dt.datetime.combine(day, RELEASE_TIME, NEW_YORK).astimezone(dt.UTC)
        if report_date < FIRST_DISAGGREGATED:
            published = HISTORY_PUBLISHED.astimezone(dt.UTC)
            return Release(report_date, published, rule_at, "history published in 2009", "derived", True, "partial")
        reviewed = report_date <= self.reviewed_until
        if report_date in self._exceptions:
            at, status, source = self._exceptions[report_date]
            return Release(report_date, max(at, rule_at), rule_at, source, status, reviewed, "normal")
        return Release(report_date, rule_at, rule_at, "rule", "rule", reviewed, "normal" if reviewed else "partial")

    def newest_due(self, now: dt.datetime) -> Release:
        """The newest report whose release instant is not after *now*."""
        if now.tzinfo is None:
            raise InvalidTimeError(f"now {now!r} has no timezone")
        day = now.astimezone(NEW_YORK).date()
        for weeks in range(60):
            release = self.release(self.report_date(day - dt.timedelta(7 * weeks)))
            if release.available_at <= now:
                return release
        raise InvalidTimeError(f"no COT report was out at {now.isoformat()}; the first is of {FIRST_REPORT}")
