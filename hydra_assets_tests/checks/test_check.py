"""Declarations of checks: tables by their facts, settings by the judge's own arguments, and the verdict of a report."""

import datetime as dt

import pytest

from hydra_assets.checks.check import from_days_before, months_judged
from hydra_assets.checks.registry import CHECKS
from hydra_assets.checks.report import CheckReport
from hydra_assets.core.months import Month
from hydra_assets.core.tables.registry import TABLES
from hydra_assets_tests.support.check_scopes import scope, settings_of


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: f"{check.name}-{check.judge.__name__}")
def test_every_check_says_what_it_holds_of_which_tables_and_its_settings_exist(check):
    assert check.description.endswith(".")
    assert check.tables
    assert check.beside is None or check.beside in TABLES
    assert set(settings_of(check)) == set(check.settings)


def test_a_name_stands_once_on_a_table():
    placed = [(table.name, check.name) for check in CHECKS for table in check.tables]
    assert len(placed) == len(set(placed))


def test_a_report_without_values_is_unproven_and_a_failure_belongs_to_its_month():
    report = CheckReport()
    report.count(3, 0)
    assert report.verdict == "unproven"
    report.count(2)
    assert (report.rows, report.values, report.verdict) == (5, 2, "passed")
    for when in (Month(2025, 9), dt.date(2025, 9, 30), dt.datetime(2025, 9, 30, tzinfo=dt.UTC)):
        report.add_failure("HE", when, fault="bad")
    assert report.failures == [{"market": "HE", "month": "2025-09", "fault": "bad"}] * 3
    assert report.verdict == "failed"


def test_the_span_reaches_before_the_months():
    months = scope("cot_disaggregated", [Month(2025, 9), Month(2025, 10)])
    assert months_judged(months) == (dt.date(2025, 9, 1), dt.date(2025, 10, 31))
    assert from_days_before(14)(months) == (dt.date(2025, 8, 18), dt.date(2025, 10, 31))
