"""Our definitions with one schedule more, every minute, for the test of a live daemon."""

import dagster as dg

from hydra_assets import definitions
from hydra_assets.defs.freshness import freshness_watch

every_minute = dg.ScheduleDefinition(
    name="every_minute", job=freshness_watch, cron_schedule="* * * * *", default_status=dg.DefaultScheduleStatus.RUNNING
)
defs = dg.Definitions.merge(definitions.defs, dg.Definitions(schedules=[every_minute]))
