"""Freshness by the calendars: nothing is late on a Sunday or a holiday, and a day is held once it is settled for good."""

import datetime as dt

import pyarrow as pa
import pytest

from hydra_assets.checks.days import due_reports
from hydra_assets.checks.freshness import newest_expected, newest_held, staleness
from hydra_assets.config.load import load_release_calendar
from hydra_assets.core.months import Month
from hydra_assets.core.tables.futures import FUTURES_STATISTICS
from hydra_assets.core.tables.registry import TABLES
from hydra_assets_tests.conftest import at
from hydra_assets_tests.support.check_scopes import judged, scope, settings_of

NOVEMBER = [Month(2025, 11)]


def expected(table, months, now):
    return newest_expected(scope(table, months, now=now), **settings_of(staleness))


def test_nothing_new_is_expected_over_a_weekend_or_thanksgiving():
    # Wednesday's bar could be had on Friday, Friday's on Sunday; a session's grace: no row of Thursday or of the weekend is missed.
    bars = {now: expected("futures_bars", NOVEMBER, at(f"2025-11-{now} 12:00")) for now in (27, 28, 29, 30)}
    assert [day.day for day in bars.values()] == [24, 25, 25, 26]
    # Wednesday's open interest came on Friday morning.
    features = {now: expected("futures_features", NOVEMBER, at(f"2025-11-{now} 20:00")) for now in (26, 27, 28, 29, 30)}
    assert [day.day for day in features.values()] == [21, 24, 24, 25, 25]
    assert expected("cot_features", [Month(2025, 10)], at("2025-11-18")) is None  # the shutdown


def test_staleness_counts_from_the_release_that_was_due_and_not_from_the_tuesday():
    calendar, october = load_release_calendar(), Month(2025, 10)
    # The report of 30 September came out on 19 November: until a week after, September's newest is that of the 23rd.
    assert due_reports(calendar, [Month(2025, 9)], at("2025-11-26 20:29"), grace_days=7)[-1] == dt.date(2025, 9, 23)
    assert due_reports(calendar, [Month(2025, 9)], at("2025-11-26 20:30"), grace_days=7)[-1] == dt.date(2025, 9, 30)
    assert due_reports(calendar, [october], at("2025-11-20"), grace_days=7) == []
    assert due_reports(calendar, [october], at("2026-06-01"), grace_days=7)[-1] == dt.date(2025, 10, 28)


@pytest.fixture
def statistics():
    """Four evenings of December: settled, settled for now, taken back, and no settlement at all."""
    evenings = [at(f"2025-12-0{n} 23:00") for n in range(1, 5)]
    monday, tuesday, wednesday, thursday = (
        {"as_of": evening.replace(hour=0), "available_at": evening, "stamped_at": evening} for evening in evenings
    )
    settled = {
        **{"instrument": "HEZ5", "instrument_id": 101, "expiration": at("2025-12-12 18:00"), "stat": "settlement", "value": 80.0},
        **{"is_final": True, "quality": "normal", "synthetic": True},
    }
    rows = [
        settled | monday,
        settled | tuesday | {"is_final": False},
        settled | wednesday | {"value": None},
        settled | thursday | {"stat": "open_interest"},
    ]
    return pa.Table.from_pylist(rows, schema=FUTURES_STATISTICS.schema)


def test_a_day_is_held_once_it_is_settled_for_good(statistics):
    assert newest_held(statistics) == dt.date(2025, 12, 1)
    assert newest_held(statistics.slice(1)) is None
    report = judged(staleness, scope("futures_statistics", [Month(2025, 12)], now=at("2025-12-10 12:00")), statistics)
    assert report.failures == [{"market": "HE", "month": "2025-12", "newest": dt.date(2025, 12, 1), "expected": dt.date(2025, 12, 4)}]


def test_a_table_without_a_row_is_stale_and_one_of_a_market_without_options_is_unproven():
    empty = pa.table({})
    late = judged(staleness, scope("futures_statistics", [Month(2025, 12)], now=at("2026-12-10"), alone=True), empty)
    assert (late.verdict, late.failures[0]["newest"]) == ("failed", None)
    reports = judged(staleness, scope("cot_disaggregated", [Month(2025, 12)], market="LE", now=at("2026-12-10"), alone=True), empty)
    newest = load_release_calendar().newest_due(at("2026-12-03")).report_date  # run alone: at now
    assert [(failure["newest"], failure["expected"]) for failure in reports.failures] == [(None, newest)]
    for name, table in TABLES.items():
        report = judged(staleness, scope(name, [Month(2025, 12)], now=at("2026-12-10"), has_options=False), empty)
        assert report.verdict == ("unproven" if table.needs_options else "failed"), name


def test_alone_it_looks_at_the_months_up_to_now_and_in_a_run_at_its_newest():
    months = [Month(2025, 1), Month(2025, 3)]
    assert staleness.span(scope("cot_features", months, now=at("2026-01-10"))) == (dt.date(2025, 3, 1), dt.date(2025, 3, 31))
    alone = staleness.span(scope("cot_features", months, now=at("2026-01-10"), alone=True))
    assert alone == (dt.date(2025, 9, 1), dt.date(2026, 1, 31))
