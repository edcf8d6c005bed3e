"""The COT release calendar: rule, holidays, shutdowns, both sides of daylight saving, and every row of the shipped table."""

import csv
import datetime as dt
from importlib.resources import files
from zoneinfo import ZoneInfo

import pytest
import yaml

from hydra_assets.config.load import load_release_calendar
from hydra_assets.core.releases import ReleaseCalendar
from hydra_assets.errors import ConfigError, InvalidTimeError
from hydra_assets_tests.conftest import at

EXCEPTIONS = list(csv.DictReader((files("hydra_assets.config") / "cot_releases.csv").read_text().splitlines()))
CLOSURES = yaml.safe_load((files("hydra_assets.config") / "cot_calendar.yaml").read_text())["closures"]
CALENDAR = load_release_calendar()
NEW_YORK = ZoneInfo("America/New_York")


def day(text):
    return dt.date.fromisoformat(text)


def released(text):
    return f"{CALENDAR.release(day(text)).available_at:%Y-%m-%d %H:%M}"


@pytest.mark.parametrize(
    ("report", "instant"),
    [
        ("2025-08-26", "2025-08-29 19:30"),  # daylight saving: 19:30 UTC
        ("2025-01-28", "2025-01-31 20:30"),  # standard time: 20:30 UTC
        ("2024-10-29", "2024-11-01 19:30"),  # the Friday before the change
        ("2024-11-05", "2024-11-08 20:30"),  # the Friday after it
        ("2024-07-02", "2024-07-08 19:30"),  # Thursday 4 July closed: Monday
        ("2024-11-26", "2024-12-02 20:30"),  # Thanksgiving
        ("2024-12-24", "2024-12-30 20:30"),  # Christmas Eve by executive order, Christmas: Monday
        ("2014-12-23", "2014-12-30 20:30"),  # 25th, and the 26th by executive order: Tuesday
        ("2018-12-04", "2018-12-10 20:30"),  # day of mourning on the 5th
        ("2025-01-07", "2025-01-13 20:30"),  # day of mourning on the 9th
        ("2020-12-21", "2020-12-28 20:30"),  # counted on a Monday; the 24th by executive order, Christmas
        ("2021-06-15", "2021-06-21 19:30"),  # Juneteenth, signed into law that week
        ("2024-02-20", "2024-02-23 20:30"),  # a Monday holiday moves nothing
    ],
)
def test_the_rule(report, instant):
    release = CALENDAR.release(day(report))
    assert (f"{release.available_at:%Y-%m-%d %H:%M}", release.status, release.quality) == (instant, "rule", "normal")


@pytest.mark.parametrize("monday", ["2025-06-09", "2018-12-31", "2025-09-29"])
def test_a_monday_of_an_ordinary_week_is_not_stamped_before_the_weeks_release(monday):
    """Also where the week's release was moved by an exception."""
    week = CALENDAR.report_date(day(monday))
    assert CALENDAR.release(day(monday)).available_at >= CALENDAR.release(week).available_at
    assert CALENDAR.release(day(monday)).report_date == day(monday)


@pytest.mark.parametrize("row", EXCEPTIONS, ids=lambda row: row["report_date"])
def test_every_row_of_the_table_holds_and_the_later_of_rule_and_row_counts(row):
    release = CALENDAR.release(day(row["report_date"]))
    stated = dt.datetime.fromisoformat(row["available_at_et"])
    rule = ReleaseCalendar(reviewed_until=CALENDAR.reviewed_until, closures=CLOSURES).release(day(row["report_date"]))
    assert release.available_at == max(stated, rule.available_at)
    assert release.rule_at == rule.available_at
    assert (release.source, release.status) == (row["source"], row["status"])
    assert release.reviewed


def test_the_table_has_the_four_known_stoppages():
    by_year = {year: sum(row["report_date"].startswith(year) for row in EXCEPTIONS) for year in ("2013", "2018", "2019", "2023", "2025")}
    assert by_year == {"2013": 5, "2018": 2, "2019": 8, "2023": 7, "2025": 13}


def test_the_autumn_of_2025():
    assert released("2025-09-23") == "2025-09-26 19:30"
    assert released("2025-09-30") == "2025-11-19 20:30"
    assert released("2025-11-10") == "2025-12-10 20:30"  # a Monday: Tuesday the 11th was Veterans Day
    assert released("2025-12-23") == "2025-12-31 20:30"  # the table's earlier date cannot bring it forward
    assert released("2025-12-30") == "2026-01-05 20:30"


def test_history_published_in_2009_is_available_then_and_uncertain():
    release = CALENDAR.release(day("2007-05-15"))
    assert (release.available_at, release.quality) == (at("2009-09-04 19:30"), "partial")
    assert CALENDAR.release(day("2009-08-25")).available_at == at("2009-09-04 19:30")
    assert CALENDAR.release(day("2009-09-01")).available_at == at("2009-09-04 19:30")
    assert CALENDAR.release(day("2009-09-01")).quality == "normal"


def test_beyond_the_review_the_rule_answers_and_says_so():
    release = CALENDAR.release(day("2026-11-03"))
    assert (release.reviewed, release.quality, release.status) == (False, "partial", "rule")
    assert CALENDAR.release(day("2026-10-27")).quality == "normal"


def test_report_dates_are_tuesdays_or_the_monday_before_a_holiday():
    dates = CALENDAR.report_dates(day("2025-01-01"), day("2025-12-31"))
    assert len(dates) == 52
    assert [d.isoformat() for d in dates if d.weekday() != 1] == ["2025-11-10"]
    assert CALENDAR.report_dates(day("2018-12-01"), day("2019-01-10"))[-3:] == [day("2018-12-24"), day("2018-12-31"), day("2019-01-08")]
    assert CALENDAR.report_dates(day("2005-01-01"), day("2006-06-30"))[0] == day("2006-06-13")
    assert CALENDAR.report_date(day("2025-11-14")) == day("2025-11-10")


def test_no_report_is_out_before_three_days_or_its_own_rule():
    for report in CALENDAR.report_dates(day("2006-06-01"), day("2026-12-31")):
        release = CALENDAR.release(report)
        assert release.available_at >= release.rule_at
        assert release.rule_at.astimezone(NEW_YORK).date() >= report + dt.timedelta(3)


def test_newest_due_is_the_newest_that_is_out_to_the_microsecond():
    release = at("2025-11-19 20:30")
    assert CALENDAR.newest_due(release).report_date == day("2025-09-30")
    assert CALENDAR.newest_due(release - dt.timedelta(microseconds=1)).report_date == day("2025-09-23")
    with pytest.raises(InvalidTimeError, match="timezone"):
        CALENDAR.newest_due(dt.datetime(2025, 1, 1))  # noqa: DTZ001


def test_a_row_without_an_offset_is_refused_and_an_early_row_cannot_bring_a_number_forward():
    early = {"report_date": "2025-08-26", "available_at_et": "2025-08-27T15:30:00-04:00", "status": "x", "source": "y"}
    calendar = ReleaseCalendar([early], reviewed_until=day("2026-01-01"))
    assert calendar.release(day("2025-08-26")).available_at == at("2025-08-29 19:30")
    with pytest.raises(ConfigError, match="2025-08-26"):
        ReleaseCalendar([{**early, "available_at_et": "2025-08-27T15:30:00"}], reviewed_until=day("2026-01-01"))
    with pytest.raises(InvalidTimeError, match="date"):
        calendar.release(at("2025-08-26"))
