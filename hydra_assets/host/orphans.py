"""
Started runs whose process was killed, or stopped with the machine.

Dagster's run monitoring learns of a dead run from the code server that started it. Where that server is gone too, the run stays
started for hours: the backfill behind it waits, and the sensors take its months to be in flight.
"""

import datetime as dt
import subprocess

import dagster as dg

_CLOCK_TOLERANCE = dt.timedelta(seconds=5)  # between the event's clock and the whole seconds of ps


def fail_orphans(instance: dg.DagsterInstance) -> list[str]:
    """Report every started run whose process is gone as failed, so that it is retried; return the ids."""
    failed = []
    for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        processes = _processes(instance, run.run_id)
        if processes and not any(_runs_since(pid, seen) for pid, seen in processes):
            instance.report_run_failed(run, "its process is gone: it was killed, or the machine stopped")
            failed.append(run.run_id)
    return failed


def _processes(instance: dg.DagsterInstance, run_id: str) -> list[tuple[int, dt.datetime]]:
    """Process ids in a run's events, each with the time of the event."""
    found = []
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
        data = entry.dagster_event.event_specific_data if entry.dagster_event is not None else None
        pid = getattr(data, "metadata", {}).get("pid")
        if pid is not None:
            found.append((int(str(pid.value)), dt.datetime.fromtimestamp(entry.timestamp, dt.UTC)))
    return found


def _runs_since(pid: int, seen: dt.datetime) -> bool:
    """Whether the process *pid* of the time *seen* still runs; the system reuses process ids, soon in a container."""
    try:
        fields = subprocess.run(["ps", "-o", "etime=,stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout.split()
    except FileNotFoundError:
        return True  # no ps: leave the run to Dagster's own time limit
    if len(fields) != 2 or fields[1].startswith("Z"):
        return False
    days, _, clock = fields[0].rpartition("-")
    hours, minutes, seconds = (["0", "0", *clock.split(":")])[-3:]
    age = dt.timedelta(days=int(days or 0), hours=int(hours), minutes=int(minutes), seconds=int(seconds))
    return dt.datetime.now(dt.UTC) - age <= seen + _CLOCK_TOLERANCE
