"""The sensor and the schedule: the right month of all markets, once; never while a run is under way."""

import datetime as dt
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from hydra_assets.config.load import load_release_calendar
from hydra_assets.core.months import Month
from hydra_assets.defs.partitions import parts_of
from hydra_assets.defs.schedules import after_cot_release, released_on
from hydra_assets.defs.sensors import active_runs, cot_release_sensor, due_reports, requests_for
from hydra_assets_tests.conftest import at
from hydra_assets_tests.dagster_runs import definitions, resources
from hydra_assets_tests.test_assets import bent_resource
from hydra_assets_tests.test_cftc_source import sends, vendor

CALENDAR = load_release_calendar()
MARKETS = ["GF", "HE", "LE", "ZC", "ZO", "ZR"]
NEW_YORK = ZoneInfo("America/New_York")


def day(text):
    return dt.date.fromisoformat(text)


def asked(requests):
    return sorted(parts_of(request.partition_key) for request in requests)


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def tick(instance, cursor=None, cftc=None):
    chosen = {"cftc": cftc or resources()["cftc"]}
    context = dg.build_sensor_context(instance=instance, cursor=cursor, resources=chosen, definitions=definitions())
    return cot_release_sensor(context)


def test_a_report_that_is_there_is_asked_for_once_for_every_market(instance):
    newest = CALENDAR.newest_due(dt.datetime.now(dt.UTC)).report_date
    first = tick(instance)
    assert asked(first.run_requests) == [(market, Month.of(newest)) for market in MARKETS]
    assert first.cursor == newest.isoformat()
    assert {request.run_key for request in first.run_requests} == {f"cot-{newest}-{market}" for market in MARKETS}
    again = tick(instance, cursor=first.cursor)  # the cursor is all that a restart leaves
    assert isinstance(again, dg.SkipReason)
    assert "no later one is due" in again.skip_message


def test_a_report_that_was_due_and_is_not_there_is_waited_for(instance, home):
    from hydra_assets_tests.cftc_files import archive

    old = archive(2026, now=at("2026-03-01"))
    with vendor(sends(body=old)) as (url, _):
        told = tick(instance, cftc=bent_resource(url, home))
    assert isinstance(told, dg.SkipReason)
    assert "is not there yet" in told.skip_message


def test_a_vendor_that_is_down_is_a_reason_and_no_failure(instance, home):
    with vendor(sends(503, b"")) as (url, requests):
        told = tick(instance, cftc=bent_resource(url, home))
    assert "HTTP 503" in told.skip_message
    assert len(requests) == 1


def test_nothing_is_asked_while_a_run_on_the_tables_is_under_way(instance):
    job = definitions().resolve_job_def("cot_refresh")
    run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    assert active_runs(instance) == [run.run_id[:8]]
    told = tick(instance)
    assert isinstance(told, dg.SkipReason)
    assert run.run_id[:8] in told.skip_message
    instance.report_run_canceled(run)
    assert active_runs(instance) == []
    assert tick(instance).run_requests


def test_reports_held_back_are_asked_for_as_they_come_out():
    assert due_reports(CALENDAR, "2025-09-23", at("2025-11-19 20:29")) == []
    assert due_reports(CALENDAR, "2025-09-23", at("2025-11-19 20:30")) == [day("2025-09-30")]
    assert due_reports(CALENDAR, "2025-09-23", at("2025-11-26")) == [day("2025-09-30"), day("2025-10-07"), day("2025-10-14")]
    assert due_reports(CALENDAR, None, at("2025-11-26")) == [day("2025-10-14")]
    assert asked(requests_for(day("2025-12-30")))[0] == ("GF", Month(2025, 12))  # released in January


def scheduled(text):
    when = dt.datetime.fromisoformat(text).replace(tzinfo=NEW_YORK)
    return after_cot_release(dg.build_schedule_context(scheduled_execution_time=when))


def test_the_schedule_asks_for_the_reports_own_month_and_skips_other_days_with_a_reason():
    assert asked(scheduled("2025-08-29T15:45")) == [(market, Month(2025, 8)) for market in MARKETS]
    assert asked(scheduled("2025-11-19T15:45")) == [(market, Month(2025, 9)) for market in MARKETS]
    assert asked(scheduled("2026-01-05T15:45")) == [(market, Month(2025, 12)) for market in MARKETS]
    for quiet in ("2025-10-10T15:45", "2025-08-28T15:45"):
        told = scheduled(quiet)
        assert isinstance(told, dg.SkipReason)
        assert quiet[:10] in told.skip_message


def test_every_report_of_twenty_years_is_released_on_one_day_that_the_schedule_sees():
    seen = []
    when = day("2016-01-01")
    while when < day("2026-10-01"):
        seen += released_on(CALENDAR, when)
        when += dt.timedelta(1)
    reports = CALENDAR.report_dates(seen[0], seen[-1])
    assert sorted(seen) == reports
    assert all(CALENDAR.release(r).available_at.astimezone(NEW_YORK).weekday() < 5 for r in reports)


def test_both_are_shipped_stopped_and_after_the_release():
    assert cot_release_sensor.default_status is dg.DefaultSensorStatus.STOPPED
    assert after_cot_release.default_status is dg.DefaultScheduleStatus.STOPPED
    assert (after_cot_release.cron_schedule, after_cot_release.execution_timezone) == ("45 15 * * 1-5", "America/New_York")
