"""Lateness by the calendars: never on a Sunday or a holiday, and Dagster's own policy wider than any regular pause."""

import datetime as dt
from itertools import pairwise

import dagster as dg
import pyarrow as pa
import pytest

import hydra_assets
from hydra_assets.checks.anomalies import settlement_jumps
from hydra_assets.config.load import load_config, load_release_calendar
from hydra_assets.core.calendar import LIVESTOCK
from hydra_assets.core.tables.futures import FUTURES_STATISTICS
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.defs import checks
from hydra_assets.defs.checks import severity_of
from hydra_assets.defs.freshness import WINDOWS, policy_of
from hydra_assets.errors import ConfigError
from hydra_assets_tests.defs.test_automation import at_the_time
from hydra_assets_tests.defs.test_checks import check_alone, violations
from hydra_assets_tests.support.dagster_runs import definitions, run, verdicts


def test_the_policys_window_is_wider_than_any_regular_pause():
    days = LIVESTOCK.session_days(dt.date(2010, 1, 1), dt.date(2035, 1, 1))
    assert max(after - before for before, after in pairwise(days)) + dt.timedelta(hours=6) < WINDOWS["daily"]
    calendar = load_release_calendar()
    out = sorted({calendar.release(day).available_at for day in calendar.report_dates(dt.date(2014, 1, 1), dt.date(2026, 12, 1))})
    late = [before.year for before, after in pairwise(out) if after - before + dt.timedelta(hours=2) > WINDOWS["weekly"]]
    assert late == [2018, 2023, 2025]  # two shutdowns and a vendor's outage: then it says, truly, that nothing has come
    for node in definitions().resolve_asset_graph().asset_nodes:
        assert node.freshness_policy.fail_window.to_timedelta() == policy_of(TABLES[node.key.path[-1]]).fail_window.to_timedelta()


def test_a_table_is_fresh_at_its_time_and_stale_a_week_later(monkeypatch):
    run(first="2025-11", last="2025-11")
    at_the_time(monkeypatch, checks, "2025-12-15 12:00")
    assert check_alone("cot_features", "staleness").passed
    at_the_time(monkeypatch, checks, "2026-01-20 12:00")
    (row,) = violations(check_alone("cot_features", "staleness"))
    assert (row["market"], row["newest"]) == ("HE", "2025-11-25")


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
    days = {row["day"] for row in violations(check_alone("futures_statistics", "jumps"))}
    assert days == {"2025-12-01", "2025-12-02"}
    assert severity_of(settlement_jumps) is dg.AssetCheckSeverity.WARN
    (home / "config.yaml").write_text("checks: {severity: {jumps: ERROR}}\n")
    assert severity_of(settlement_jumps) is dg.AssetCheckSeverity.ERROR
    (home / "config.yaml").write_text("checks: {severity: {jumps: LOUD}}\n")
    with pytest.raises(ConfigError, match="jumps: 'LOUD' is neither WARN nor ERROR"):
        load_config()
