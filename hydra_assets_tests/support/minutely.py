"""Our definitions with one schedule more, every minute until a run of it has succeeded, for the test of a live daemon."""

import dagster as dg

from hydra_assets import definitions
from hydra_assets.defs.freshness import freshness_watch


@dg.schedule(job=freshness_watch, cron_schedule="* * * * *", default_status=dg.DefaultScheduleStatus.RUNNING)
def every_minute(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    succeeded = dg.RunsFilter(job_name=freshness_watch.name, statuses=[dg.DagsterRunStatus.SUCCESS])
    return dg.SkipReason("a run of it has succeeded") if context.instance.get_runs_count(succeeded) else dg.RunRequest()


defs = dg.Definitions.merge(definitions.defs, dg.Definitions(schedules=[every_minute]))
