"""What is late, by the calendars: never on a Sunday or a holiday, and Dagster's own policy wider than any regular pause."""

import datetime as dt
from itertools import pairwise

import pyarrow as pa
import pytest

import hydra_assets
from hydra_assets.config.load import load_config, load_release_calendar
from hydra_assets.core.months import Month
from hydra_assets.core.sessions import session_days
from hydra_assets.core.tables.futures import FUTURES_STATISTICS
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.defs import anomaly_checks, freshness
from hydra_assets.defs.freshness import COT_WINDOW, MARKET_WINDOW, newest_expected
from hydra_assets.defs.judging import by_setting
from hydra_assets.errors import ConfigError
from hydra_assets_tests.conftest import at
from hydra_assets_tests.defs.test_automation import at_the_time
from hydra_assets_tests.defs.test_checks import check_alone, offences, raw_row
from hydra_assets_tests.support.dagster_runs import definitions, run, verdicts
from hydra_assets_tests.support.futures_history import statistic, tables

NOVEMBER = [Month(2025, 11)]


def test_the_policys_window_is_wider_than_any_regular_pause():
    days = session_days(dt.date(2010, 1, 1), dt.date(2035, 1, 1))
    assert max(after - before for before, after in pairwise(days)) + dt.timedelta(hours=6) < MARKET_WINDOW
    calendar = load_release_calendar()
    out = sorted({calendar.release(day).available_at for day in calendar.report_dates(dt.date(2014, 1, 1), dt.date(2026, 12, 1))})
    late = [before.year for before, after in pairwise(out) if after - before + dt.timedelta(hours=2) > COT_WINDOW]
    assert late == [2018, 2023, 2025]  # two shutdowns and a vendor's outage: then it says, truly, that nothing has come
    for node in definitions().resolve_asset_graph().asset_nodes:
        assert node.freshness_policy.fail_window.to_timedelta() == freshness.policy_of(node.key.path[-1]).fail_window.to_timedelta()


def test_nothing_new_is_expected_over_a_weekend_or_thanksgiving():
    # Wednesday's bar could be had on Friday, Friday's on Sunday; a session's grace: no row of Thursday or of the weekend is missed.
    bars = {now: newest_expected("futures_bars", NOVEMBER, at(f"2025-11-{now} 12:00")) for now in (27, 28, 29, 30)}
    assert [day.day for day in bars.values()] == [24, 25, 25, 26]
    # Wednesday's open interest came on Friday morning.
    features = {now: newest_expected("futures_features", NOVEMBER, at(f"2025-11-{now} 20:00")) for now in (26, 27, 28, 29, 30)}
    assert [day.day for day in features.values()] == [21, 24, 24, 25, 25]
    assert newest_expected("cot_features", [Month(2025, 10)], at("2025-11-18")) is None  # the shutdown


def test_a_table_is_fresh_at_its_time_and_stale_a_week_later(monkeypatch):
    run(first="2025-11", last="2025-11")
    at_the_time(monkeypatch, freshness, "2025-12-15 12:00")
    assert check_alone("cot_features", "staleness").passed
    at_the_time(monkeypatch, freshness, "2026-01-20 12:00")
    (row,) = offences(check_alone("cot_features", "staleness"))
    assert (row["market"], row["newest"]) == ("HE", "2025-11-25")


def test_a_day_is_there_when_it_was_settled_for_good_and_a_table_without_a_row_is_stale(monkeypatch):
    at_the_time(monkeypatch, freshness, "2025-12-10 12:00")
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
    with hydra_assets.open() as desk:
        desk.lake.write(pa.Table.from_pylist(rows, schema=FUTURES_STATISTICS.schema), "futures_statistics", "HE", monday["as_of"])
    (row,) = offences(check_alone("futures_statistics", "staleness"))
    assert row["newest"] == "2025-12-01"
    at_the_time(monkeypatch, freshness, "2026-12-10 12:00")  # nothing of the four months before is held
    (row,) = offences(check_alone("futures_statistics", "staleness"))
    assert row["newest"] == "None"


def test_every_table_is_watched_and_the_watch_looks_at_nothing_else():
    job = definitions().resolve_job_def("freshness_watch")
    assert {node.name for node in job.nodes} == {f"{name}_staleness" for name in TABLES}


# ---------------------------------------------------------------- anomalies


def vandalised(months, change):
    with hydra_assets.open() as desk:
        rows = desk.lake.read("futures_statistics", "HE", *months).to_pylist()
        final = [row for row in rows if row["stat"] == "settlement" and row["is_final"]]
        contract = max(sorted({row["instrument"] for row in final}), key=lambda name: sum(r["instrument"] == name for r in final))
        for row in change([row for row in final if row["instrument"] == contract]):
            moved = row | {"available_at": row["available_at"] + dt.timedelta(1), "stamped_at": row["stamped_at"] + dt.timedelta(1)}
            desk.lake.write(pa.Table.from_pylist([moved], schema=FUTURES_STATISTICS.schema), "futures_statistics", "HE", row["as_of"])


@pytest.fixture(scope="module")
def raw():
    return ["futures_definitions", "futures_bars", "futures_statistics"]


def test_a_jump_is_seen_also_over_the_months_end_and_blocks_where_the_settings_say_so(raw, home):
    assert verdicts(run(first="2025-11", last="2025-12", only=raw))["futures_statistics", "jumps"] == "passed"
    first = (dt.date(2025, 12, 1), dt.date(2025, 12, 1))
    vandalised(first, lambda rows: [row | {"value": row["value"] * 1.2} for row in rows])
    december = run(first="2025-12", last="2025-12", only=raw)
    assert december.success
    assert verdicts(december)["futures_statistics", "jumps"] == "failed"
    days = {row["day"] for row in offences(check_alone("futures_statistics", "jumps"))}
    assert days == {"2025-12-01", "2025-12-02"}
    assert not by_setting("jumps").blocking
    (home / "config.yaml").write_text("checks: {severity: {jumps: ERROR}}\n")
    assert by_setting("jumps").blocking
    (home / "config.yaml").write_text("checks: {severity: {jumps: LOUD}}\n")
    with pytest.raises(ConfigError, match="jumps: 'LOUD' is neither WARN nor ERROR"):
        load_config()


def test_a_symbol_that_comes_back_after_ten_years_is_no_jump():
    """February 2016 and February 2026 are both HEG6, here under one id."""

    def settled(year, day, value):
        return statistic("HEG6", at(f"{year}-02-13 18:00"), "settlement", day, at(f"{day} 23:00"), value)

    old = [settled(2016, dt.date(2016, 2, 10), 64.0), settled(2016, dt.date(2016, 2, 11), 65.0)]
    new = [settled(2026, dt.date(2024, 8, 2), 90.0), settled(2026, dt.date(2024, 8, 5), 91.0)]
    rows = tables(old + new)["futures_statistics"]
    found = anomaly_checks._by_contract(rows)
    assert [[row["value"] for row in series] for _, series in found] == [[64.0, 65.0], [90.0, 91.0]]


def test_a_price_that_stands_still_while_it_is_traded_is_seen(raw):
    assert verdicts(run(first="2025-12", last="2025-12", only=raw))["futures_statistics", "standing_still"] == "passed"
    vandalised((dt.date(2025, 12, 3), dt.date(2025, 12, 17)), lambda rows: [row | {"value": 80.0} for row in rows])
    assert verdicts(run(first="2025-12", last="2025-12", only=raw))["futures_statistics", "standing_still"] == "failed"


def test_a_report_far_from_the_one_before_is_seen(monkeypatch):
    assert verdicts(run(first="2025-11", last="2025-12"))["cot_disaggregated", "jumps"] == "passed"
    config = load_config()
    low = type(config)(**{**vars(config), "checks": type(config.checks)(**{**vars(config.checks), "cot_jump": 0.01})})
    monkeypatch.setattr(anomaly_checks, "load_config", lambda: low)
    told = offences(check_alone("cot_disaggregated", "jumps"))
    assert told
    assert all(int(row["moved"]) > 0.01 * int(row["open_interest"]) for row in told)


def test_a_market_of_one_report_is_counted_beside_the_others():
    run(first="2025-11", last="2025-11")
    before = check_alone("cot_disaggregated", "jumps").metadata["values"].value
    row = raw_row()
    with hydra_assets.open() as desk:
        desk.lake.write(row, "cot_disaggregated", "LE", row["as_of"][0].as_py())
    told = check_alone("cot_disaggregated", "jumps")
    assert (told.passed, told.metadata["values"].value) == (True, before + 1)
    assert before > 1
