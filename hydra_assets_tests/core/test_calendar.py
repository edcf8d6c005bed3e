"""Exchange calendars: their days against the exchange's holiday rules, and their clocks over the dates on which they changed."""

import datetime as dt
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
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

import hydra_assets
from hydra_assets.core import exchange_days
from hydra_assets.core.calendar import CALENDARS, ENERGY, GRAINS, LIVESTOCK, DatedTime, calendar_named
from hydra_assets.errors import ConfigError, InvalidTimeError

D = dt.date
FIRST, LAST = D(2010, 1, 1), D(2027, 12, 31)


class ByRule(AbstractHolidayCalendar):
    """The exchange's holiday notices as rules: they agree with the days of 16 years of real trades in LE, HE, GF and ZC."""

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


def days_by_rule():
    closed = set(ByRule().holidays(pd.Timestamp(FIRST), pd.Timestamp(D(2028, 1, 31))).date)
    days = (FIRST + dt.timedelta(n) for n in range((LAST - FIRST).days + 1))
    return [day for day in days if day.weekday() < 5 and day not in closed]


@pytest.mark.parametrize("calendar", CALENDARS.values(), ids=lambda calendar: calendar.name)
def test_the_days_are_those_of_the_holiday_rules(calendar):
    assert calendar.session_days(FIRST, LAST) == days_by_rule()


@pytest.mark.parametrize("calendar", CALENDARS.values(), ids=lambda calendar: calendar.name)
@pytest.mark.parametrize("day", ["2022-06-20", "2023-06-19", "2024-06-19", "2025-06-19", "2026-06-19", "2027-06-18", "2032-06-18"])
def test_juneteenth_is_closed_since_2022(calendar, day):
    day = D.fromisoformat(day)
    assert not calendar.is_session(day)
    assert day not in calendar.session_days(day, day)
    assert calendar.is_session(D(2021, 6, 18))


@pytest.mark.parametrize(
    "closed",
    ["2025-01-01", "2025-01-20", "2025-02-17", "2025-04-18", "2025-05-26", "2025-06-19", "2025-07-04", "2025-09-01", "2025-11-27",
     "2025-12-25", "2023-01-02", "2021-07-05", "2021-12-24", "2026-07-03"],
)  # fmt: skip
def test_closed(closed):
    assert not LIVESTOCK.is_session(D.fromisoformat(closed))


@pytest.mark.parametrize("open_", ["2025-11-28", "2025-12-24", "2025-12-26", "2021-06-18", "2021-12-31", "2025-10-13", "2025-11-11"])
def test_open(open_):
    assert LIVESTOCK.is_session(D.fromisoformat(open_))


def test_a_year_has_its_sessions():
    assert len(LIVESTOCK.session_days(D(2025, 1, 1), D(2025, 12, 31))) == 251


@pytest.mark.parametrize("calendar", CALENDARS.values(), ids=lambda calendar: calendar.name)
def test_days_of_national_mourning_were_sessions(calendar):
    assert calendar.is_session(D(2018, 12, 5))
    assert D(2025, 1, 9) in calendar.session_days(D(2025, 1, 9), D(2025, 1, 9))


@pytest.mark.parametrize("calendar", CALENDARS.values(), ids=lambda calendar: calendar.name)
def test_day_by_day_and_range_by_range_agree(calendar):
    days = [D(2024, 12, 1) + dt.timedelta(n) for n in range(60)]
    assert [day for day in days if calendar.is_session(day)] == calendar.session_days(days[0], days[-1])
    assert calendar.session_days(D(2025, 1, 4), D(2025, 1, 5)) == []
    assert calendar.next_session(D(2025, 1, 17)) == D(2025, 1, 21)


def test_days_as_numbers_are_shared_and_read_only():
    numbers = LIVESTOCK.session_numbers(D(2025, 7, 1), D(2025, 7, 8))
    assert (np.datetime64("1970-01-01") + numbers).astype(str).tolist() == [
        "2025-07-01",
        "2025-07-02",
        "2025-07-03",
        "2025-07-07",
        "2025-07-08",
    ]
    with pytest.raises(ValueError, match="read-only"):
        numbers[0] = 0


def test_early_closes_are_sessions():
    assert [day for day in LIVESTOCK.session_days(D(2025, 1, 1), D(2025, 12, 31)) if LIVESTOCK.closes_early(day)] == [
        D(2025, 11, 28),
        D(2025, 12, 24),
    ]
    assert GRAINS.closes_early(D(2025, 11, 28))
    assert ENERGY.closes_early(D(2025, 11, 28))
    assert not ENERGY.closes_early(D(2025, 1, 20)), "no session, so no early close"


# ---------------------------------------------------------------- clocks


def utc(text):
    return dt.datetime.fromisoformat(text + "+00:00")


@pytest.mark.parametrize(
    ("calendar", "day", "instant"),
    [
        (LIVESTOCK, "2012-07-02", "2012-07-02 18:00"),
        (LIVESTOCK, "2025-10-31", "2025-10-31 18:00"),
        (LIVESTOCK, "2025-11-03", "2025-11-03 19:00"),
        (GRAINS, "2012-06-22", "2012-06-22 18:15"),
        (GRAINS, "2012-06-25", "2012-06-25 19:00"),
        (GRAINS, "2012-11-02", "2012-11-02 19:00"),
        (GRAINS, "2012-11-05", "2012-11-05 20:00"),
        (GRAINS, "2013-03-08", "2013-03-08 20:00"),
        (GRAINS, "2013-03-11", "2013-03-11 19:00"),
        (GRAINS, "2013-04-05", "2013-04-05 19:00"),
        (GRAINS, "2013-04-08", "2013-04-08 18:15"),
        (GRAINS, "2025-11-03", "2025-11-03 19:15"),
        (ENERGY, "2025-11-03", "2025-11-03 19:30"),
    ],
)
def test_settlement_and_cut_keep_the_exchanges_clock_of_the_day(calendar, day, instant):
    assert calendar.settlement(D.fromisoformat(day)) == utc(instant)
    assert calendar.cut(D.fromisoformat(day)) == utc(instant)
    assert calendar.cut(D.fromisoformat(day)).tzinfo is dt.UTC


def test_a_dated_time_holds_before_its_first_day_too():
    clock = DatedTime(((D(2012, 1, 1), dt.time(9)), (D(2013, 1, 1), dt.time(10))))
    assert [clock.on(D(year, 1, 1)).hour for year in (2000, 2012, 2013, 2020)] == [9, 9, 10, 10]


def test_a_sessions_prints_are_complete_at_noon_of_the_next():
    assert LIVESTOCK.prints_complete(D(2025, 10, 31)) == utc("2025-11-03 18:00")
    assert GRAINS.prints_complete(D(2025, 1, 17)) == utc("2025-01-21 18:00")


def test_an_unknown_calendar_is_named_with_the_known_ones():
    assert calendar_named("CMEGlobex_Grains") is GRAINS
    with pytest.raises(ConfigError, match=r"'CME_Hogs'.*CMEGlobex_Energy, CMEGlobex_Grains, CMEGlobex_Livestock"):
        calendar_named("CME_Hogs")


# ---------------------------------------------------------------- the notebook's list of instants


def test_sessions_are_aware_and_keep_the_wall_clock_over_daylight_saving():
    times = hydra_assets.sessions("HE", "2025-10-31", dt.date(2025, 11, 3))
    assert [t.isoformat() for t in times] == ["2025-10-31T18:30:00-05:00", "2025-11-03T18:30:00-06:00"]
    assert hydra_assets.sessions("HE", "2025-10-31", "2025-10-31", at="07:00")[0].hour == 7
    with pytest.raises(InvalidTimeError, match="HH:MM"):
        hydra_assets.sessions("HE", "2025-10-31", "2025-10-31", at="late")
    with pytest.raises(ConfigError, match=r"'XX'.*HE"):
        hydra_assets.sessions("XX", "2025-10-31", "2025-10-31")


def test_sessions_answer_for_grains_and_for_a_market_in_another_zone(monkeypatch, tmp_path):
    assert [t.isoformat() for t in hydra_assets.sessions("ZC", "2025-06-18", "2025-06-20", at="13:15")] == [
        "2025-06-18T13:15:00-05:00",
        "2025-06-20T13:15:00-05:00",
    ]
    (tmp_path / "config.yaml").write_text("markets: {HE: {calendar: CMEGlobex_Energy, timezone: America/New_York}}")
    monkeypatch.setenv("HYDRA_CONFIG", str(tmp_path / "config.yaml"))
    assert [t.isoformat() for t in hydra_assets.sessions("HE", "2025-06-18", "2025-06-18")] == ["2025-06-18T18:30:00-04:00"]


def test_the_calendar_package_is_imported_with_the_first_day_only():
    code = (
        "import sys; from hydra_assets.config.load import load_config; load_config().market('HE').calendar.cut;"
        "assert not {'pandas_market_calendars', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", sorted({calendar.sessions_from for calendar in CALENDARS.values()}))
def test_years_asked_for_at_once_are_those_asked_for_one_by_one(name):
    import pandas_market_calendars

    exchange = pandas_market_calendars.get_calendar(name)
    for year in (1999, 2000, 2019, 2020, 2025, 2039, 2040):
        bounds = dt.date(year, 1, 1), dt.date(year, 12, 31)
        assert exchange_days.session_days(name, year) == {day.date() for day in exchange.valid_days(*bounds)}
        assert exchange_days.early_closes(name, year) == {day.date() for day in exchange.special_dates("market_close", *bounds).index}
