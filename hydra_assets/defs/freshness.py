"""
Age of a table: Dagster's policy by the clock, and the job that runs every `staleness` check.

Dagster's freshness policy counts hours since the last materialisation and knows no holiday; its window is therefore wider than the
longest time between two regular runs (four days over a holiday weekend, eleven between two COT reports), so that it never alarms on a
Sunday or on Thanksgiving. It shows that nobody runs the pipeline any more. Whether the newest value is the newest that is out, the
check `staleness` shows, by the exchange's sessions and the COT release calendar.
"""

import datetime as dt
from collections.abc import Mapping

import dagster as dg

from hydra_assets.checks.freshness import staleness
from hydra_assets.core.tables.table import Table

WINDOWS: Mapping[str, dt.timedelta] = {"daily": dt.timedelta(5), "weekly": dt.timedelta(12)}


def policy_of(table: Table) -> dg.FreshnessPolicy:
    """Dagster's policy of a table: the time after which somebody has forgotten to run it."""
    return dg.FreshnessPolicy.time_window(fail_window=WINDOWS[table.cadence])


freshness_watch = dg.define_asset_job(
    "freshness_watch",
    selection=dg.AssetSelection.checks(*(dg.AssetCheckKey(dg.AssetKey(table.name), staleness.name) for table in staleness.tables)),
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
