"""Sensors, shipped stopped: start them under Automation."""

import datetime as dt

import dagster as dg

from hydra_assets.config.load import load_config, load_release_calendar
from hydra_assets.core.months import Month
from hydra_assets.core.releases import ReleaseCalendar
from hydra_assets.defs.jobs import COT_ASSETS, cot_refresh
from hydra_assets.defs.partitions import MARKET_MONTH, key_of
from hydra_assets.defs.resources import CftcResource
from hydra_assets.errors import VendorError
from hydra_assets.sources.cftc_parse import report_dates_of

EVERY_S = 300
ACTIVE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@dg.sensor(
    job=cot_refresh,
    minimum_interval_seconds=EVERY_S,
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Asks once, for every market, for the month of a COT report that was due and is there."
    " Its cursor is the newest report asked for.",
)
def cot_release_sensor(context: dg.SensorEvaluationContext, cftc: CftcResource) -> dg.SensorResult | dg.SkipReason:
    """One request a market when a due report has appeared; none while a run on the same tables is under way."""
    calendar, now = load_release_calendar(), dt.datetime.now(dt.UTC)
    due = due_reports(calendar, context.cursor, now)
    if not due:
        return dg.SkipReason(f"the report of {context.cursor} has been asked for; no later one is due yet")
    active = active_runs(context.instance)
    if active:
        return dg.SkipReason(f"run {active[0]} on the COT tables is under way; looking again after it")
    there = set()
    try:
        with cftc.open() as source:
            for year in sorted({day.year for day in due}):
                archive = source.fetch_once(year)
                there |= report_dates_of(archive.read(), place=f"CFTC {archive.name}")
    except VendorError as error:
        return dg.SkipReason(f"the CFTC gave no archive: {error}")
    out = [day for day in due if day in there]
    if not out:
        was_due = calendar.release(due[-1]).available_at
        return dg.SkipReason(f"the report of {due[-1]} was due {was_due:%Y-%m-%d %H:%MZ} and is not there yet")
    requests = [request for day in _newest_of_each_month(out) for request in requests_for(day)]
    return dg.SensorResult(run_requests=requests, cursor=out[-1].isoformat())


def due_reports(calendar: ReleaseCalendar, cursor: str | None, now: dt.datetime) -> list[dt.date]:
    """Reports out by *now* and later than *cursor*; the newest alone where there is no cursor yet."""
    newest = calendar.newest_due(now).report_date
    if not cursor:
        return [newest]
    after = dt.date.fromisoformat(cursor) + dt.timedelta(1)
    return [day for day in calendar.report_dates(after, newest) if calendar.release(day).available_at <= now]


def requests_for(report: dt.date) -> list[dg.RunRequest]:
    """One run a market for the month of *report*."""
    month = Month.of(report)
    return [
        dg.RunRequest(run_key=f"cot-{report}-{market}", partition_key=key_of(market, month), tags={"hydra/report": report.isoformat()})
        for market in sorted(load_config().markets)
        if MARKET_MONTH.has_partition_key(key_of(market, month))
    ]


def active_runs(instance: dg.DagsterInstance) -> list[str]:
    """Runs under way that write the COT tables, whichever entrance started them."""
    wanted = {dg.AssetKey(name) for name in COT_ASSETS}
    runs = instance.get_runs(dg.RunsFilter(statuses=ACTIVE))
    return [run.run_id[:8] for run in runs if run.job_name == cot_refresh.name or wanted & set(run.asset_selection or ())]


def _newest_of_each_month(reports: list[dt.date]) -> list[dt.date]:
    return list({Month.of(day): day for day in reports}.values())
