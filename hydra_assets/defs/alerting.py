"""The sensor that tells a person of a failed run, shipped stopped: start it under Automation."""

import datetime as dt

import dagster as dg

from hydra_assets.defs.resources import AlertResource
from hydra_assets.flow.alerts import Alert

_PLACE = ("dagster/partition", "dagster/asset_partition_range_start", "dagster/asset_partition_range_end")


@dg.run_failure_sensor(
    name="alert_on_failure",
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Tells of every failed run, whichever entrance started it: in the log, and by the notifier of the settings' block"
    " `alerts` (a file, a command, a webhook). Secrets are masked.",
)
def alert_on_failure(context: dg.RunFailureSensorContext, alerts: AlertResource) -> None:
    """One alert a failed run."""
    run, first = context.dagster_run, next(iter(context.get_step_failure_events()), None)
    reason = context.failure_event.message or "no reason given"
    if first is not None and first.step_failure_data.error is not None:
        error = first.step_failure_data.error
        reason = (error.cause or error).message.strip()
    alerts.tell(
        Alert(
            world=alerts.world,
            job=run.job_name,
            run_id=run.run_id,
            partition=" to ".join(dict.fromkeys(run.tags[tag] for tag in _PLACE if tag in run.tags)),
            failed_step=first.step_key or "" if first is not None else "",
            reason=reason,
            at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        )
    )
