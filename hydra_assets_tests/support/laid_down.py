"""Homes laid down once a session, by whichever worker comes first, and copied by the tests that start from them."""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """The session's folder *name*, filled by *make* once; other workers wait for it."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    folder.mkdir(exist_ok=True)
    done = folder.with_name(f"{name}.done")
    with folder.with_name(f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            make(folder)
            done.touch()
    return folder


def cot(folder: Path) -> None:
    """COT of HE from September to November 2025."""
    _run_into(folder, "COT", first="2025-09", last="2025-11")


def futures(folder: Path) -> None:
    """Futures of HE in November and December 2025, raw and features."""
    _run_into(folder, "FUTURES", first="2025-11", last="2025-12")


def instance(folder: Path) -> None:
    """Dagster's empty tables, which take longer to make than most tests of an instance run."""
    import dagster as dg

    with dg.DagsterInstance.local_temp(str(folder)) as made:
        assert not [*made.get_runs(), *made.get_asset_keys(), *made.all_instigator_state()]  # each opens a file


def _run_into(folder: Path, tables: str, **months: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYDRA_HOME", str(folder))  # before the import, which makes the home of its moment
        from hydra_assets_tests.support import dagster_runs  # Dagster takes a second to load, and most tests need none

        assert dagster_runs.run(only=getattr(dagster_runs, tables), **months).success


def copy(laid: Path, home: Path) -> None:
    """A copy to change: nothing is shared with *laid*."""
    shutil.copytree(laid, home, ignore=shutil.ignore_patterns("cache"))
