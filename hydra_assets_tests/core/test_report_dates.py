"""Release days known ahead: from when each calendar was public, what replaced it, and nothing where none was found."""

import datetime as dt
from collections import Counter
from urllib.parse import urlsplit

import pytest

from hydra_assets.core import report_dates
from hydra_assets.core.releases import NEW_YORK
from hydra_assets.core.report_dates import COLD_STORAGE, COT, DATES, HOGS_AND_PIGS, WASDE, ReportDate, next_release

D = dt.date


def next_day(report, day):
    found = next_release(report, day)
    return None if found is None else found.day


def test_every_date_has_its_source_and_was_announced_before_its_hour():
    for each in DATES:
        assert urlsplit(each.source).hostname, each
        assert each.announced.utcoffset() == dt.timedelta(0)
        if each.release_at is not None:
            assert each.announced < each.release_at
            assert each.day.weekday() < 5
            assert each.release_at.astimezone(NEW_YORK).time() in (dt.time(12), dt.time(15))
            assert each.period == f"{each.day:%Y-%m}"
    assert Counter(each.report for each in DATES) == {WASDE: 25, HOGS_AND_PIGS: 5, COLD_STORAGE: 2}
    assert {each.report for each in DATES if each.verified} == {WASDE, HOGS_AND_PIGS}


@pytest.mark.parametrize(
    ("report", "day", "coming"),
    [
        (WASDE, D(2020, 2, 1), None),  # the year's calendar counts from the end of that day in New York
        (WASDE, D(2020, 2, 2), D(2020, 2, 11)),
        (WASDE, D(2020, 2, 11), D(2020, 2, 11)),
        (WASDE, D(2020, 2, 12), D(2020, 3, 10)),
        (WASDE, D(2020, 12, 11), None),
        (WASDE, D(2025, 10, 9), D(2025, 10, 9)),  # nobody had called it off yet
        (WASDE, D(2025, 10, 10), D(2025, 11, 10)),
        (WASDE, D(2025, 11, 15), D(2025, 12, 9)),
        (HOGS_AND_PIGS, D(2020, 6, 2), D(2020, 6, 25)),
        (HOGS_AND_PIGS, D(2020, 6, 1), None),
        (HOGS_AND_PIGS, D(2022, 9, 30), D(2022, 12, 23)),
        (COLD_STORAGE, D(2024, 8, 22), None),  # found after the fact: known on its own day
        (COLD_STORAGE, D(2024, 8, 23), D(2024, 8, 23)),
        (COT, D(2025, 10, 6), D(2025, 10, 10)),  # a shutdown is on nobody's calendar
        (COT, D(2025, 11, 24), D(2025, 12, 1)),  # Thanksgiving is
        (COT, D(2025, 12, 1), D(2025, 12, 1)),
    ],
)
def test_the_next_release_is_the_one_public_when_the_day_began(report, day, coming):
    assert next_day(report, day) == coming


def test_what_is_announced_later_changes_no_earlier_day():
    moved = D(2025, 11, 14)
    (announced,) = {each.announced for each in DATES if each.day == moved}
    for day in (D(2025, 10, 20) + dt.timedelta(n) for n in range(30)):
        if dt.datetime.combine(day, dt.time(), dt.UTC) < announced:
            assert next_day(WASDE, day) != moved


def test_of_two_announcements_the_later_counts_whatever_their_order(monkeypatch):
    first, moved = D(2031, 5, 12), D(2031, 5, 20)
    early, late = (dt.datetime(2031, 1, day, tzinfo=dt.UTC) for day in (5, 9))
    shared = {"report": WASDE, "clock": dt.time(12), "verified": False, "source": "https://example.org", "period": "2031-05"}
    dates = [ReportDate(day=moved, announced=late, **shared), ReportDate(day=first, announced=early, **shared)]
    for order in (dates, dates[::-1]):
        monkeypatch.setattr(report_dates, "DATES", tuple(order))
        report_dates._of.cache_clear()
        assert [next_day(WASDE, D(2031, 1, day)) for day in (4, 5, 9)] == [None, first, moved]
    report_dates._of.cache_clear()


def test_the_cots_rule_gives_a_release_within_the_next_days_on_every_day():
    for n in range(0, 4000, 3):
        day = D(2012, 1, 1) + dt.timedelta(n)
        assert dt.timedelta(0) <= next_day(COT, day) - day <= dt.timedelta(11)
        assert next_release(COT, day).verified is False
