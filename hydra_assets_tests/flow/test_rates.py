"""Par yields on their way into the lake: the same rows for every market, a stamp by rule until a live look confirms it, restatements."""

import datetime as dt
import hashlib

import pytest

from hydra_assets.checks.coverage import coverage
from hydra_assets.checks.freshness import newest_expected, staleness
from hydra_assets.config.load import load_config
from hydra_assets.core.months import Month
from hydra_assets.core.tables.rates import RATES
from hydra_assets.flow.feed import Plan, keep
from hydra_assets.flow.feeds.treasury import TREASURY, RatesFetched
from hydra_assets.sources.treasury import RateFile
from hydra_assets_tests.conftest import at
from hydra_assets_tests.support.check_scopes import judged, scope, settings_of

CONFIG = load_config()
HE, ZC, RULES = CONFIG.market("HE"), CONFIG.market("ZC"), CONFIG.option_rules
OCTOBER = Month(2024, 10)
SCHEDULED = at("2024-10-15 22:00")


def fetched(tmp_path, rows, seen_at, *plans):
    """Answers for *plans* of one file of 2024 that was seen at *seen_at*."""
    body = "".join(f"{line}\n" for line in ('Date,"1 Mo"', *rows)).encode()
    path = tmp_path / f"{hashlib.sha256(body).hexdigest()}.csv"
    path.write_bytes(body)
    return RatesFetched(plans=plans, files={2024: RateFile(2024, path, path.stem, seen_at)})


def kept(lake, tmp_path, rows, seen_at, *markets):
    answer = fetched(tmp_path, rows, seen_at, *(Plan(RATES, market, [OCTOBER]) for market in markets or (HE,)))
    for batch in TREASURY.batches(answer, lake):
        keep(batch, lake)
    return answer


def held(lake, market="HE"):
    rows = sorted(lake.read_vintages("rates", market).to_pylist(), key=lambda row: row["available_at"])
    return [(row["par_1m"], row["available_at"], row["quality"]) for row in rows]


def test_every_market_has_the_same_rows_and_history_is_partial(lake, tmp_path):
    kept(lake, tmp_path, ["10/15/2024,4.9"], at("2025-01-05"), HE, ZC)
    assert held(lake) == held(lake, "ZC") == [(4.9, SCHEDULED, "partial")]


def test_a_look_soon_after_the_hour_confirms_the_stamp_and_one_before_does_not(lake, tmp_path):
    kept(lake, tmp_path, ["10/15/2024,4.9"], SCHEDULED + dt.timedelta(hours=1))
    assert held(lake) == [(4.9, SCHEDULED, "normal")]
    kept(lake, tmp_path, ["10/16/2024,4.8", "10/15/2024,4.9"], at("2024-10-16 20:00"))
    assert held(lake)[1] == (4.8, at("2024-10-16 22:00"), "partial")


def test_another_value_is_a_new_vintage_from_when_it_was_seen(lake, tmp_path):
    kept(lake, tmp_path, ["10/15/2024,4.9"], SCHEDULED + dt.timedelta(hours=1))
    seen = at("2024-10-18 09:00")
    kept(lake, tmp_path, ["10/15/2024,4.91"], seen)
    kept(lake, tmp_path, ["10/15/2024,4.91"], seen + dt.timedelta(1))
    assert held(lake) == [(4.9, SCHEDULED, "normal"), (4.91, seen, "normal")]


def test_a_day_that_was_absent_after_its_hour_is_known_when_it_was_seen(lake, tmp_path):
    kept(lake, tmp_path, ["10/14/2024,4.9"], at("2024-10-17 00:00"))
    kept(lake, tmp_path, ["10/15/2024,4.9"], at("2024-10-21 09:00"))
    assert held(lake)[-1] == (4.9, at("2024-10-21 09:00"), "normal")


def test_a_file_with_too_many_bad_rows_gives_nothing_and_says_why(lake, tmp_path):
    answer = kept(lake, tmp_path, ["10/15/2024,4.9", "10/16/2024,x", "10/17/2024,y"], at("2025-01-05"))
    assert held(lake) == []
    assert "2 of 3 records of the Treasury's 2024 are unusable" in answer.refusal
    one = kept(lake, tmp_path, ["10/15/2024,4.9", "10/16/2024,x"], at("2025-01-05"))
    assert len(held(lake)) == 1
    assert one.facts["quarantined"] == ["line 3, 10/16/2024: 1 Mo: 'x' is no number"]


def test_due_and_coverage_know_the_bond_markets_holidays(lake, tmp_path):
    kept(lake, tmp_path, ["10/18/2024,4.9", "10/11/2024,4.8"], at("2025-01-05"))
    due = TREASURY.due(None, lake, RATES, HE, [OCTOBER], CONFIG, at("2024-10-21 22:00"))
    assert sorted(due.days)[-5:] == [dt.date(2024, 10, day) for day in (10, 15, 16, 17, 21)]  # the 14th is Columbus Day
    assert due.waiting == {}
    states = {day.day: day.state for day in TREASURY.coverage(Plan(RATES, HE, [OCTOBER]), lake, OCTOBER, RULES, at("2024-10-21 22:00"))}
    assert (states[dt.date(2024, 10, 18)], states[dt.date(2024, 10, 17)], states[dt.date(2024, 10, 22)]) == ("held", "gap", "to come")
    assert dt.date(2024, 10, 14) not in states


def test_a_year_that_has_not_begun_is_a_gap(tmp_path):
    class Nobody:
        def fetch_once(self, year):
            raise AssertionError(year)

    answer = TREASURY.fetch(Nobody(), [Plan(RATES, HE, [Month(2999, 1)])], once=True)
    assert answer.facts["gap_years"] == "2999: the year has not begun"
    assert list(TREASURY.batches(answer, None)) == []


@pytest.mark.parametrize("missing", [14, 15])
def test_the_check_of_coverage_expects_no_curve_on_columbus_day(lake, tmp_path, missing):
    days = [day for day in HE.calendar.session_days(OCTOBER.first, OCTOBER.last) if day.day not in (14, missing)]
    kept(lake, tmp_path, [f"{day:%m/%d/%Y},4.9" for day in days], at("2025-01-05"))
    report = judged(coverage, scope("rates", [OCTOBER]), lake.read_vintages("rates", "HE"))
    assert [failure["day"] for failure in report.failures] == ([] if missing == 14 else [dt.date(2024, 10, 15)])
    assert newest_expected(scope("rates", [OCTOBER]), **settings_of(staleness)) == dt.date(2024, 10, 30)
