"""COT checks: positions that do not add up, and reports that are missing or unknown."""

import datetime as dt

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from hydra_assets.checks.cot import cot_identity
from hydra_assets.checks.coverage import coverage
from hydra_assets.core.months import Month
from hydra_assets_tests.conftest import at
from hydra_assets_tests.support.check_scopes import judged, scope
from hydra_assets_tests.support.cot_history import revised, weeks

SEPTEMBER = scope("cot_disaggregated", [Month(2024, 9)], market="LE", now=at("2024-12-01"))


@pytest.fixture(scope="module")
def reports():
    found = weeks(2024, 2024)
    return found.filter(pc.and_(pc.greater_equal(found["as_of"], at("2024-09-01")), pc.less(found["as_of"], at("2024-10-01"))))


def test_positions_that_do_not_add_up_are_caught(reports):
    ordinary = judged(cot_identity, SEPTEMBER, reports)
    assert (ordinary.verdict, ordinary.values) == ("passed", 4)
    bad = revised(reports, 1, available_at=at("2024-12-20"), mm_long=1)
    (failure,) = judged(cot_identity, SEPTEMBER, bad).failures
    assert (failure["market"], failure["month"], failure["side"]) == ("LE", "2024-09", "long")
    null = revised(bad, 2, available_at=at("2024-12-20"), mm_short=None)
    assert [failure["side"] for failure in judged(cot_identity, SEPTEMBER, null).failures] == ["long", "short"]


def test_missing_and_unknown_reports_are_listed(reports):
    assert judged(coverage, SEPTEMBER, reports).verdict == "passed"
    strange = revised(reports, 0, available_at=at("2024-12-20"), as_of=at("2024-09-04"))
    assert judged(coverage, SEPTEMBER, strange).failures == [
        {"market": "LE", "month": "2024-09", "report": dt.date(2024, 9, 4), "fault": "no report date of the calendar", "due": ""}
    ]
    missing = judged(coverage, SEPTEMBER, pa.table({}))
    assert [str(failure["report"]) for failure in missing.failures] == ["2024-09-03", "2024-09-10", "2024-09-17", "2024-09-24"]
    assert missing.failures[0]["due"] == at("2024-09-06 19:30")


def test_a_report_is_due_when_it_is_out():
    early = scope("cot_disaggregated", [Month(2024, 9)], market="LE", now=at("2024-09-13 19:29"))
    assert judged(coverage, early, pa.table({})).rows == 1
    later = scope("cot_disaggregated", [Month(2024, 9)], market="LE", now=at("2024-09-13 19:30"))
    assert judged(coverage, later, pa.table({})).rows == 2
