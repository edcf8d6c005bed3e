"""Schedules, shipped stopped: start them under Automation."""

import datetime as dt
from zoneinfo import ZoneInfo

import dagster as dg

from hydra_assets.config.load import load_release_calendar
from hydra_assets.core.releases import ReleaseCalendar
from hydra_assets.defs.jobs import cot_refresh
from hydra_assets.defs.sensors import requests_for

NEW_YORK = "America/New_York"


@dg.schedule(
    job=cot_refresh,
    cron_schedule="45 15 * * 1-5",
    execution_timezone=NEW_YORK,
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="A quarter of an hour after 15:30 New York on days on which the calendar has a COT report come out; the last December"
    " report comes out in January, and is asked for in its own month.",
)
def after_cot_release(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
    """The month of every report released today, for every market."""
    today = context.scheduled_execution_time.astimezone(ZoneInfo(NEW_YORK)).date()
    reports = released_on(load_release_calendar(), today)
    if not reports:
        return dg.SkipReason(f"the calendar has no COT report come out on {today}")
    return [request for report in reports for request in requests_for(report)]


def released_on(calendar: ReleaseCalendar, day: dt.date) -> list[dt.date]:
    """Report dates whose release falls on *day* in New York; a shutdown can hold one back by months."""
    zone = ZoneInfo(NEW_YORK)
    candidates = calendar.report_dates(day - dt.timedelta(120), day)
    return [report for report in candidates if calendar.release(report).available_at.astimezone(zone).date() == day]
