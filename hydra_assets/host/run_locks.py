"""
Which runs of the command line still have a process.

A process that is killed cannot say so, and Dagster would show its run as under way for hours, and count it against the limit
of runs at a time. So a run holds a lock of the operating system's, which ends with its process; who finds it free ends the run.
"""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hydra_assets.config.home import Home

if TYPE_CHECKING:
    import dagster as dg

_YOUNG_S = 60  # its lock may not have been taken yet, or its run not yet written down


def _folder(home: Home) -> Path:
    return home.cache / "runs"


@contextmanager
def living(home: Home, run_id: str) -> Iterator[None]:
    """Hold the lock of *run_id* for as long as the block runs."""
    folder = _folder(home)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / run_id).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        try:
            yield
        finally:
            (folder / run_id).unlink(missing_ok=True)


def dead_runs(home: Home) -> list[str]:
    """Runs whose process ended without a word."""
    found = []
    for path in sorted(_folder(home).glob("*")):
        with path.open() as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            found.append(path.name)
    return found


def bury_the_dead(home: Home, instance: "dg.DagsterInstance") -> None:
    """End the runs whose process is gone: canceled, what they had appended stays, and their slots are free again."""
    for run_id in dead_runs(home):
        path = _folder(home) / run_id
        run = instance.get_run_by_id(run_id)
        if run is None and time.time() - path.stat().st_mtime < _YOUNG_S:
            continue
        if run is not None and not run.is_finished:
            instance.report_run_canceled(run, message="The process of this run was killed; what it had appended is kept.")
        instance.event_log_storage.free_concurrency_slots_for_run(run_id)
        path.unlink(missing_ok=True)
