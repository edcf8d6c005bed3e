"""
Locks that tell which runs of the command line still have a process.

A killed process cannot report its end: Dagster would show its run as started for hours and count it against the limit of
concurrent runs. Each run therefore holds an operating system lock, which ends with its process; a later command that finds the
lock free cancels the run.
"""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hydra_assets.config.home import Home
from hydra_assets.private_files import make_file, make_folder

if TYPE_CHECKING:
    import dagster as dg

_GRACE_S = 60  # a starting process may not have taken its lock, or recorded its run, yet


@contextmanager
def run_lock(home: Home, run_id: str) -> Iterator[None]:
    """Hold the lock of *run_id* for as long as the block runs."""
    folder = _folder(home)
    make_folder(folder, 0o700)
    make_file(folder / run_id)
    with (folder / run_id).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            (folder / run_id).unlink(missing_ok=True)


def dead_runs(home: Home) -> list[str]:
    """Ids of runs whose process is gone."""
    found = []
    for path in sorted(_folder(home).glob("*")):
        with path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            found.append(path.name)
    return found


def cancel_dead_runs(home: Home, instance: "dg.DagsterInstance") -> None:
    """Mark runs whose process is gone as canceled and free their concurrency slots; rows that they appended stay."""
    for run_id in dead_runs(home):
        path = _folder(home) / run_id
        run = instance.get_run_by_id(run_id)
        if run is None and time.time() - path.stat().st_mtime < _GRACE_S:
            continue
        if run is not None and not run.is_finished:
            instance.report_run_canceled(run, message="The process of this run was killed; what it had appended is kept.")
        instance.event_log_storage.free_concurrency_slots_for_run(run_id)
        path.unlink(missing_ok=True)


def _folder(home: Home) -> Path:
    return home.cache / "runs"
