"""Anomalies: each is seen where it is planted, and an ordinary market has none."""

import datetime as dt

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from hydra_assets.checks.anomalies import cot_jumps, settlement_jumps, unchanged_settlements
from hydra_assets.checks.report import CheckReport
from hydra_assets.checks.settlements import settlements_by_contract
from hydra_assets.core.months import Month
from hydra_assets.core.tables.futures import FUTURES_STATISTICS
from hydra_assets_tests.conftest import at
from hydra_assets_tests.support.check_scopes import judged, scope, settings_of
from hydra_assets_tests.support.cot_history import weeks
from hydra_assets_tests.support.futures_history import history, statistic, tables

DECEMBER = [Month(2025, 12)]


@pytest.fixture(scope="module")
def statistics():
    """From the span's beginning in November to the end of December."""
    return history(dt.date(2025, 11, 10), dt.date(2025, 12, 31))["futures_statistics"]


def vandalised(statistics, first, last, change):
    """Final settlements of the contract with most of them, restated by *change* a day later."""
    days = pc.and_(pc.greater_equal(statistics["as_of"], at(first)), pc.less_equal(statistics["as_of"], at(last)))
    final = [row for row in statistics.filter(days).to_pylist() if row["stat"] == "settlement" and row["is_final"]]
    contract = max(sorted({row["instrument"] for row in final}), key=lambda name: sum(r["instrument"] == name for r in final))
    later = [
        row | change(row) | {name: row[name] + dt.timedelta(1) for name in ("available_at", "stamped_at")}
        for row in final
        if row["instrument"] == contract
    ]
    return pa.concat_tables([statistics, pa.Table.from_pylist(later, schema=FUTURES_STATISTICS.schema)])


def test_a_jump_is_seen_also_over_the_months_end(statistics):
    december = scope("futures_statistics", DECEMBER)
    ordinary = judged(settlement_jumps, december, statistics)
    assert (ordinary.verdict, ordinary.rows == ordinary.values > 40) == ("passed", True)
    jumped = vandalised(statistics, "2025-12-01", "2025-12-01", lambda row: {"value": row["value"] * 1.2})
    found = judged(settlement_jumps, december, jumped)
    assert {str(failure["day"]) for failure in found.failures} == {"2025-12-01", "2025-12-02"}
    assert {failure["month"] for failure in found.failures} == {"2025-12"}


def test_a_symbol_that_comes_back_after_ten_years_is_no_jump():
    """February 2016 and February 2026 are both HEG6, here under one id."""

    def settled(year, day, value):
        return statistic("HEG6", at(f"{year}-02-13 18:00"), "settlement", day, at(f"{day} 23:00"), value)

    old = [settled(2016, dt.date(2016, 2, 10), 64.0), settled(2016, dt.date(2016, 2, 11), 65.0)]
    new = [settled(2026, dt.date(2024, 8, 2), 90.0), settled(2026, dt.date(2024, 8, 5), 91.0)]
    found = settlements_by_contract(tables(old + new)["futures_statistics"])
    assert [[row["value"] for row in series] for _, series in found] == [[64.0, 65.0], [90.0, 91.0]]


def test_a_price_that_stands_still_while_it_is_traded_is_seen(statistics):
    december = scope("futures_statistics", DECEMBER)
    assert judged(unchanged_settlements, december, statistics).verdict == "passed"
    still = vandalised(statistics, "2025-12-03", "2025-12-17", lambda row: {"value": 80.0})
    assert judged(unchanged_settlements, december, still).verdict == "failed"
    untraded = still.filter(pc.not_equal(still["stat"], "cleared_volume"))
    assert judged(unchanged_settlements, december, untraded).verdict == "passed"


def test_a_report_far_from_the_one_before_is_seen():
    reports = weeks(2024, 2024)
    march = scope("cot_disaggregated", [Month(2024, 3)], market="LE")
    rows = reports.filter(pc.and_(pc.greater_equal(reports["as_of"], at("2024-02-16")), pc.less(reports["as_of"], at("2024-04-01"))))
    assert judged(cot_jumps, march, rows).verdict == "passed"
    found = judged(cot_jumps, march, rows, cot_jump=0.01).failures
    assert found
    assert all(failure["moved"] > 0.01 * failure["open_interest"] for failure in found)


def test_a_market_of_one_report_is_counted_beside_the_others():
    reports = weeks(2024, 2024)
    report, settings = CheckReport(), settings_of(cot_jumps)
    cot_jumps(report, scope("cot_disaggregated", [Month(2024, 1)], market="LE"), reports.slice(0, 4), **settings)
    before = report.values
    cot_jumps(report, scope("cot_disaggregated", [Month(2024, 1)]), reports.slice(0, 1), **settings)
    assert (report.verdict, report.values) == ("passed", before + 1)
    assert before > 1
