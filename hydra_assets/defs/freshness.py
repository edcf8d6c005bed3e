"""
How old a table may be: Dagster's policy by the clock, and a check by the calendars.

Dagster's freshness policy counts hours since the last materialisation and knows no holiday; its window is therefore wider than the
longest time between two regular runs (four days over a holiday weekend, eleven between two COT reports), so that it never alarms on a
Sunday or on Thanksgiving. It says that nobody runs the pipeline any more. Whether the newest value is the newest that is out, the
check `staleness` says, by the trading days and by the COT release calendar; the schedule `freshness_watch` looks every day.
"""

import datetime as dt
from collections.abc import Sequence

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.config.load import load_config, load_release_calendar
from hydra_assets.core.months import Month, months_between
from hydra_assets.core.releases import ReleaseCalendar
from hydra_assets.core.sessions import session_days
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.core.tables.table import Table
from hydra_assets.defs.judging import Judgement, asked_of, by_setting, of_partitions, verdict_of
from hydra_assets.defs.resources import FindingsResource, LakeResource
from hydra_assets.flow.feeds.databento import SCHEMAS, complete_at

MARKET_WINDOW, COT_WINDOW = dt.timedelta(5), dt.timedelta(12)
DELIVERED_AFTER = dt.timedelta(1)  # a historical API has a day about so long after its last record
_LOOK_BACK = dt.timedelta(120)  # a shutdown can hold a report back by two months
_OF_OPTIONS = ("option_", "divergence_")


def policy_of(table: str) -> dg.FreshnessPolicy:
    """Dagster's policy of a table: the time after which somebody has forgotten to run it."""
    return dg.FreshnessPolicy.time_window(fail_window=COT_WINDOW if table.startswith("cot_") else MARKET_WINDOW)


def due_sessions(data_type: str, months: Sequence[Month], now: dt.datetime, *, grace: int = 0) -> list[dt.date]:
    """Sessions of *months* whose last record was out, and could be had, by *now*; less the newest *grace* of them."""
    days = [day for month in months for day in session_days(month.first, month.last)]
    cut = load_config().option_rules.cut_time
    out = [day for day in days if complete_at(data_type, day, cut=cut) + DELIVERED_AFTER <= now]
    return out[: max(len(out) - grace, 0)]


def reports_expected(calendar: ReleaseCalendar, months: Sequence[Month], now: dt.datetime, stale_days: int) -> list[dt.date]:
    """The COT reports of *months* that were out for *stale_days* at *now*."""
    grace = dt.timedelta(days=stale_days)
    days = calendar.report_dates(months[0].first, months[-1].last)
    return [day for day in days if calendar.release(day).available_at + grace <= now]


def newest_expected(table: str, months: Sequence[Month], now: dt.datetime) -> dt.date | None:
    """The newest ``as_of`` of *months* that *table* should hold at *now*, by its calendar and the settings; None where there is none."""
    allowed = load_config().thresholds
    if table.startswith("cot_"):
        due = reports_expected(load_release_calendar(), months, now, allowed.cot_stale_days)
    else:
        grace = allowed.options_stale_days if table.startswith(_OF_OPTIONS) else allowed.futures_stale_days
        # A table made of others is complete with the last of them, the statistics.
        due = due_sessions(table if table in SCHEMAS else "futures_statistics", months, now, grace=grace)
    return due[-1] if due else None


def staleness(dataset: Table) -> dg.AssetChecksDefinition:
    """The newest row held is the newest that should be: in a run at the earlier of now and its newest month's end, alone at now."""
    table = dataset.name

    @dg.asset_check(asset=table, name="staleness", description=staleness.__doc__, blocking=by_setting("staleness").blocking)
    def check(context: dg.AssetCheckExecutionContext, lake: LakeResource, findings: FindingsResource) -> dg.AssetCheckResult:
        opened, judged, now = lake.open(), Judgement(), dt.datetime.now(dt.UTC)
        asked = asked_of(context, opened, table)
        for market, months in asked.items():
            looked = months[-1:] if of_partitions(context) else months_between((now - _LOOK_BACK).date(), now.date())
            listed = bool(load_config().market(market).option_roots) or not table.startswith(_OF_OPTIONS)
            expected = newest_expected(table, looked, now) if listed else None
            first, last = looked[0].first, looked[-1].last
            rows = opened.read_vintages(table, market, first, last, key=dataset.key)  # lookahead-ok: a check looks for the newest row
            newest = _newest(rows)
            judged.rows += 1
            judged.values += listed  # of a market without options nothing is looked at: unproven, not green
            if expected is not None and (newest is None or newest < expected):
                judged.accuse(market, str(months[-1]), newest=newest, expected=expected)
        looked_at = f"the newest row of {len(asked)} market(s) against the calendar"
        severity = by_setting("staleness").severity
        return verdict_of(judged, findings, asked, asset=table, check="staleness", severity=severity, looked_at=looked_at)

    return check


def _newest(rows: pa.Table) -> dt.date | None:
    if not rows.num_rows:
        return None
    if "is_final" in rows.column_names:  # statistics: a day is there when it has been settled for good
        settled = pc.and_(pc.equal(rows["stat"], "settlement"), pc.fill_null(rows["is_final"], False))
        rows = rows.filter(pc.and_(settled, pc.is_valid(rows["value"])))
    newest = pc.max(rows["as_of"]).as_py()
    return newest.date() if newest is not None else None


STALENESS = [staleness(dataset) for dataset in TABLES.values()]

freshness_watch = dg.define_asset_job(
    "freshness_watch",
    selection=dg.AssetSelection.checks(*STALENESS),
    description="Every table's `staleness` check alone, over all markets held, at now by the calendars. Fetches and computes nothing.",
)
daily_freshness_watch = dg.ScheduleDefinition(
    name="daily_freshness_watch",
    job=freshness_watch,
    cron_schedule="0 8 * * *",
    execution_timezone="America/Chicago",
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Every morning: is the newest row of each market and table the newest that is out? It knows weekends, exchange holidays"
    " and delayed COT reports, so what turns red is late.",
)
