"""Coverage day by day: each state, and the release of each report."""

import datetime as dt

from hydra_assets.config.load import load_release_calendar
from hydra_assets.core.months import Month
from hydra_assets.plots.coverage import report_coverage, session_coverage
from hydra_assets_tests.conftest import at


def test_a_session_is_held_degraded_a_gap_or_to_come():
    first, second, third, fourth = (dt.date(2025, 11, day) for day in (3, 4, 5, 6))
    days = session_coverage(
        (first, second, third, fourth), fetched={first, second, third}, gaps={third: "the vendor says pending"}, degraded={second}
    )
    assert [(day.day, day.state) for day in days] == [(first, "held"), (second, "degraded"), (third, "gap"), (fourth, "to come")]
    assert days[2].note == "the vendor says pending"


def test_a_report_is_held_a_gap_or_to_come_and_says_when_its_release_moved():
    days = report_coverage(load_release_calendar(), Month(2025, 9), {dt.date(2025, 9, 2)}, at("2025-10-01"))
    assert [day.state for day in days] == ["held", "gap", "gap", "gap", "to come"]
    assert days[0].note == "released 2025-09-05 19:30Z"
    assert days[-1].note == "released 2025-11-19 20:30Z, moved from 2025-10-03"
