"""
Publication instants of the USDA's daily report of slaughtered swine, LM_HG201.

Rule: the report of a slaughter day is dated the next weekday and comes out in the late morning, Chicago time; on a federal holiday it
waits for the next federal business day. Unverified against a live look: rows stamped by the rule are ``partial`` until one has seen them.

Source: USDA AMS, National Daily Direct Hog Prior Day - Slaughtered Swine; CME, Lean Hog Index FAQ (posted by 09:00 Chicago of the second
business day).
"""

import datetime as dt
from collections.abc import Callable
from zoneinfo import ZoneInfo

from hydra_assets.core.calendar import DatedTime

CHICAGO = ZoneInfo("America/Chicago")
# The hour of the report's date; the morning's latest, since the exact minute was never observed.
PUBLISHED = DatedTime(((dt.date(2001, 4, 2), dt.time(11)),))
# First and last report date, and an upper bound of when they were out. 2013: the data mart was dark from 1 to 16 October and its gaps were
# filled later, on which day is unverified (Reuters and Farm Progress, October 2013).
WITHHELD = ((dt.date(2013, 10, 1), dt.date(2013, 10, 16), dt.date(2013, 10, 31)),)
IsBusinessDay = Callable[[dt.date], bool]


def report_date_of(day: dt.date) -> dt.date:
    """The weekday after slaughter day *day*, by which the USDA dates the report."""
    return day + dt.timedelta(3 if day.weekday() == 4 else 2 if day.weekday() == 5 else 1)


def published_at(report_date: dt.date, is_business_day: IsBusinessDay) -> dt.datetime:
    """
    UTC instant by which the report of *report_date* is out.

    Args:
        report_date: the report's own date.
        is_business_day: whether federal offices are open on a day.
    """
    day = next((until for first, last, until in WITHHELD if first <= report_date <= last), report_date)
    while not is_business_day(day):
        day += dt.timedelta(1)
    return dt.datetime.combine(day, PUBLISHED.on(day), CHICAGO).astimezone(dt.UTC)
