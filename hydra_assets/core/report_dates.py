"""
Release days of reports that move hogs and their feed, as far as a public calendar was found, each with its source.

A release counts from the instant at which its calendar was public, at the latest: that of the page that names it, or an upper bound. What
was only found after the fact counts from the beginning of its own day, since these reports come on days announced before. Where no calendar
was found there is no date, and nobody guesses one.

COT: the rule of `core.releases`, whose schedule the CFTC publishes ahead; the table of exceptions is left out, since a shutdown was on
nobody's calendar.
"""

import datetime as dt
from dataclasses import dataclass
from functools import lru_cache

from hydra_assets.core.releases import NEW_YORK, ReleaseCalendar

WASDE, HOGS_AND_PIGS, COLD_STORAGE, COT = "wasde", "hogs", "cold", "cot"
NOON, AFTERNOON = dt.time(12), dt.time(15)


@dataclass(frozen=True)
class ReportDate:
    """
    One release.

    Attributes:
        report: name of the report.
        day: its day; None for the month *period* that was called off.
        clock: its hour, New York; None where *day* is.
        announced: aware instant from which it is taken to be known.
        verified: whether the report's own publisher gives both the day and, as a bound, the instant of its announcement.
        source: address of the page that says so.
        period: month of the report, which a later announcement may move.
    """

    report: str
    day: dt.date | None
    clock: dt.time | None
    announced: dt.datetime
    verified: bool
    source: str
    period: str

    @property
    def release_at(self) -> dt.datetime | None:
        """UTC instant of the release."""
        return None if self.day is None or self.clock is None else _ny(self.day, self.clock)


def _ny(day: dt.date, clock: dt.time = dt.time(23, 59)) -> dt.datetime:
    return dt.datetime.combine(day, clock, NEW_YORK).astimezone(dt.UTC)


def _year(report: str, clock: dt.time, announced: dt.datetime, verified: bool, source: str, year: int, days: str) -> list[ReportDate]:
    dates = [dt.date(year, *map(int, day.split("-"))) for day in days.split()]
    return [ReportDate(report, day, clock, announced, verified, source, f"{day:%Y-%m}") for day in dates]


def _one(report: str, day: dt.date, clock: dt.time, announced: dt.datetime, verified: bool, source: str) -> ReportDate:
    return ReportDate(report, day, clock, announced, verified, source, f"{day:%Y-%m}")


def _found_after(report: str, day: dt.date, clock: dt.time, source: str) -> ReportDate:
    return _one(report, day, clock, dt.datetime.combine(day, dt.time(), dt.UTC), False, source)


_OCE = "https://www.usda.gov/oce/commodity/wasde/"
_CME = "https://www.cmegroup.com/articles/2025/understanding-major-usda-reports-in-2025.html"
_LIBRARY = "https://usda.library.cornell.edu/concern/publications/rj430453j"
_RESET = "https://www.rfdtv.com/mark-your-calendar-usda-resets-wasde-report-release-date-for-november-14"
_RESUMED = "http://poultryproductionnews.blogspot.com/2013/10/usda-statistical-reports-returning-as.html"
_MARCH = (
    "https://norfolkdailynews.com/wjag/news/nass-preparing-for-two-big-producer-surveys-in-march"
    "/article_cd1b89d8-5fe6-11ea-b674-23fc9c30cdad.html"
)
_JUNE = "https://www.republic-online.com/agriculture/usda-to-conduct-june-hogs-and-pigs-survey/article_063dea82-997e-11ea-aad1-af6e4ff6084d.html"
_SEPTEMBER = "https://www.columbiatribune.com/news/20200814/usda-plans-quarterly-hogs-survey"
_COST0824 = "https://esmis.nal.usda.gov/sites/default/release-files/pg15bd892/2f75t108x/02872n49n/cost0824.txt"
_DTN = "https://dev.dtnfarmers.com/usda-cold-storage/"
_D = dt.date

DATES: tuple[ReportDate, ...] = (
    # The page that lists the year speaks of January 2020 as begun; the bound is its end, so January's own date is of no use.
    *_year(WASDE, NOON, _ny(_D(2020, 1, 31)), True, _OCE, 2020, "2-11 3-10 4-9 5-12 6-11 7-10 8-12 9-11 10-9 11-10 12-10"),
    # The exchange's article names the year's dates; its own day is not known.
    *_year(WASDE, NOON, _ny(_D(2025, 1, 31)), False, _CME, 2025, "2-11 3-11 4-10 5-12 6-12 7-11 8-12 9-12 10-9 11-10 12-9"),
    # Called off in two shutdowns: known, at the latest, when the hour had passed.
    ReportDate(WASDE, None, None, _ny(_D(2025, 10, 9), NOON), False, _RESET, "2025-10"),
    _one(WASDE, _D(2025, 11, 14), NOON, _ny(_D(2025, 11, 13)), False, _RESET),
    _one(WASDE, _D(2013, 11, 8), NOON, _ny(_D(2013, 10, 31)), False, _RESUMED),
    # Listed as upcoming on the library's page after the June report; the bound is the day before the first of them.
    _one(HOGS_AND_PIGS, _D(2022, 9, 29), AFTERNOON, _ny(_D(2022, 9, 28)), True, _LIBRARY),
    _one(HOGS_AND_PIGS, _D(2022, 12, 23), AFTERNOON, _ny(_D(2022, 9, 28)), True, _LIBRARY),
    _one(HOGS_AND_PIGS, _D(2020, 3, 26), AFTERNOON, _ny(_D(2020, 3, 19)), False, _MARCH),
    _one(HOGS_AND_PIGS, _D(2020, 6, 25), AFTERNOON, _ny(_D(2020, 5, 31)), False, _JUNE),
    _one(HOGS_AND_PIGS, _D(2020, 9, 24), AFTERNOON, _ny(_D(2020, 8, 14)), False, _SEPTEMBER),
    _found_after(COLD_STORAGE, _D(2024, 8, 23), AFTERNOON, _COST0824),
    _found_after(COLD_STORAGE, _D(2026, 3, 24), AFTERNOON, _DTN),
)
_RULE = ReleaseCalendar(reviewed_until=dt.date.max)


@dataclass(frozen=True)
class NextRelease:
    """The next release of a report, as its calendar has it; `verified` as in `ReportDate`."""

    day: dt.date
    verified: bool


def next_release(report: str, day: dt.date) -> NextRelease | None:
    """
    The next release of *report* on *day* or later, as known when *day* begins in UTC; None where no calendar known then has one.

    A later announcement of a report's month replaces the earlier ones, or calls it off.

    >>> next_release(WASDE, dt.date(2020, 6, 1)).day
    datetime.date(2020, 6, 11)
    """
    if report == COT:
        return NextRelease(_next_cot(day), verified=False)
    begins = dt.datetime.combine(day, dt.time(), dt.UTC)
    newest = {each.period: each for each in _of(report) if each.announced <= begins}
    coming = [each for each in newest.values() if each.day is not None and each.day >= day]
    found = min(coming, key=lambda each: each.day or dt.date.max, default=None)
    return None if found is None or found.day is None else NextRelease(found.day, found.verified)


@lru_cache(maxsize=8)
def _of(report: str) -> tuple[ReportDate, ...]:
    """Dates of *report*, in order of their announcement."""
    return tuple(sorted((each for each in DATES if each.report == report), key=lambda each: each.announced))


@lru_cache(maxsize=4096)
def _next_cot(day: dt.date) -> dt.date:
    """Day, New York, of the first release by the rule on *day* or later."""
    reports = _RULE.report_dates(day - dt.timedelta(14), day + dt.timedelta(7))
    days = (_RULE.release(report).rule_at.astimezone(NEW_YORK).date() for report in reports)
    return min(each for each in days if each >= day)
