"""COT reports of a market that the CFTC leaves out of some: an empty month, not due again, and no gap of the coverage."""

import datetime as dt
import hashlib

import pytest

from hydra_assets.checks.coverage import coverage
from hydra_assets.checks.freshness import newest_expected, staleness
from hydra_assets.config.load import load_config
from hydra_assets.core.months import Month
from hydra_assets.core.tables.cot import COT_DISAGGREGATED
from hydra_assets.flow.due import reports_due
from hydra_assets.flow.feed import Plan, keep
from hydra_assets.flow.feeds.cot import COT, CotFetched
from hydra_assets.sources.cftc import CftcSource, CotArchive
from hydra_assets.sources.cftc_file import CODE, POSITION_COLUMNS
from hydra_assets.storage.lake import ParquetLake
from hydra_assets_tests.conftest import at
from hydra_assets_tests.support.cftc_files import CALENDAR, HE, NOW, bent
from hydra_assets_tests.support.check_scopes import judged, scope, settings_of

pytestmark = pytest.mark.usefixtures("forked_library")
CONFIG = load_config()
TABLE, OATS, RULES = COT_DISAGGREGATED.name, CONFIG.market("ZO"), CONFIG.option_rules
JANUARY, SEPTEMBER = Month(2025, 1), Month(2025, 9)


def held_at(tmp_path, rude_vendor, now, months, market=OATS):
    """A lake after a fetch of *months* at *now*, from a vendor without oats until September 2025."""
    source = CftcSource(tmp_path / "archives", CALENDAR, base_url=rude_vendor("absent_market", now=now).url, now=lambda: now)
    lake = ParquetLake(tmp_path / "lake")
    return lake, kept(source, lake, months, market)


def kept(source, lake, months, market=OATS):
    plan = COT.plan(source, lake, COT_DISAGGREGATED, market, months, CONFIG, NOW)
    fetched = COT.fetch(source, [plan])
    for batch in COT.batches(fetched, lake):
        keep(batch, lake)
    return fetched


@pytest.mark.parametrize(("now", "month"), [("2025-01-15", 1), ("2025-03-05", 2), ("2025-05-28", 5), ("2025-08-27", 8)])
def test_a_month_without_the_market_is_empty_and_not_due_again(tmp_path, rude_vendor, now, month):
    month, seen, week = Month(2025, month), at(f"{now} 12:00"), dt.timedelta(7)
    due = [day for day in reports_due(CALENDAR, ParquetLake(tmp_path / "none"), OATS, seen - week, seen) if Month.of(day) == month]
    assert due
    lake, fetched = held_at(tmp_path, rude_vendor, seen, [month])
    assert lake.read(TABLE, "ZO").num_rows == 0
    published = [day for day in CALENDAR.report_dates(month.first, month.last) if CALENDAR.release(day).available_at <= seen]
    assert sorted(lake.unpublished(TABLE, "ZO")) == published
    assert fetched.unpublished == {"ZO": len(published)}
    assert not set(reports_due(CALENDAR, lake, OATS, seen - week, seen)) & set(due)
    assert set(due) <= set(reports_due(CALENDAR, lake, CONFIG.market("HE"), seen - week, seen))
    later = seen + dt.timedelta(8)
    assert reports_due(CALENDAR, lake, OATS, later - dt.timedelta(7), later)  # the next report is looked for
    (plan,) = fetched.plans
    states = {day.day: day.state for day in COT.coverage(plan, lake, month, RULES, seen)}
    assert {states.pop(day) for day in published} == {"not published"}
    assert set(states.values()) <= {"to come"}
    assert COT.due(None, lake, COT_DISAGGREGATED, OATS, [month], CONFIG, seen).days == {}
    assert fetched.facts["not_published"] == f"ZO: {len(published)} report(s) of other markets alone"


def test_coverage_and_staleness_wait_for_no_report_that_was_not_published_for_the_market(tmp_path, rude_vendor):
    lake, _ = held_at(tmp_path, rude_vendor, at("2025-12-20 12:00"), [JANUARY, SEPTEMBER])
    unpublished = lake.unpublished(TABLE, "ZO")
    assert len(unpublished) == 4  # of January
    rows = lake.read_vintages(TABLE, "ZO")
    assert rows.num_rows == 5  # of September
    told = scope(TABLE, [JANUARY, SEPTEMBER], market="ZO", unpublished=unpublished)
    assert judged(coverage, told, rows).failures == []
    unaware = scope(TABLE, [JANUARY, SEPTEMBER], market="ZO")
    assert [failure["report"] for failure in judged(coverage, unaware, rows).failures] == sorted(unpublished)
    assert newest_expected(scope(TABLE, [JANUARY], market="ZO", unpublished=unpublished), **settings_of(staleness)) is None
    assert newest_expected(scope(TABLE, [JANUARY], market="ZO"), **settings_of(staleness)) == max(unpublished)


@pytest.mark.parametrize(("bad", "share"), [(1, "1 of 52 rows (1.92%)"), (27, "27 of 52 rows (51.92%)")])
def test_the_share_of_rows_that_do_not_add_up_is_shown_and_above_a_half_refuses_the_archive(tmp_path, bad, share):
    def spoil(header, rows):
        mine = [row for row in rows if row[header.index(CODE)] == HE]
        for row in mine[:bad]:
            row[header.index(POSITION_COLUMNS["open_interest"])] = "1"

    path, year = tmp_path / "2025.zip", [Month(2025, month) for month in range(1, 13)]
    path.write_bytes(bent(spoil))
    archive = CotArchive("2025", path, hashlib.sha256(path.read_bytes()).hexdigest(), NOW, None, 104)
    fetched = CotFetched(plans=[Plan(COT_DISAGGREGATED, CONFIG.market("HE"), year)], archives={2025: archive})
    rows = sum(batch.rows.num_rows for batch in COT.batches(fetched, ParquetLake(tmp_path / "lake")))
    assert (fetched.facts["quarantined_share"], rows) == (share, 51 if bad == 1 else 0)
    assert (fetched.refusal is None) == (bad == 1)


def test_a_market_of_which_no_report_was_ever_held_is_named_when_all_is_judged():
    told = scope(TABLE, [JANUARY], market="ZO", alone=True, unpublished={dt.date(2025, 1, 28)})
    failures = judged(coverage, told, COT_DISAGGREGATED.schema.empty_table()).failures
    assert [failure["report"] for failure in failures if "cftc_code" in failure["fault"]] == [dt.date(2025, 1, 28)]


def test_a_report_that_comes_late_to_the_market_is_known_from_its_sight_and_unpublished_no_more(tmp_path, rude_vendor):
    lake, _ = held_at(tmp_path, rude_vendor, at("2025-05-28 12:00"), [JANUARY])
    assert len(lake.unpublished(TABLE, "ZO")) == 4
    seen = at("2025-06-30 12:00")
    polite = CftcSource(tmp_path / "other", CALENDAR, base_url=rude_vendor(now=seen).url, now=lambda: seen)
    kept(polite, lake, [JANUARY])
    assert lake.unpublished(TABLE, "ZO") == set()
    assert set(lake.read(TABLE, "ZO")["available_at"].to_pylist()) == {seen}
