"""Kills at system calls of publish, compaction, vacuum, the mirror and the ledger: what was acknowledged is there exactly once."""

import datetime as dt
import os
import shutil
import subprocess
import sys
import time

import pyarrow as pa
import pytest

from hydra_assets.core.instants import INSTANT
from hydra_assets.sources.ledger import Ledger
from hydra_assets.storage.lake import ParquetLake
from hydra_assets.storage.store import FeatureStore
from hydra_assets_tests.conftest import at

STRACE = shutil.which("strace")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::hydra_assets.errors.UnprovenWarning"),  # its features are of no registered family
    pytest.mark.skipif(STRACE is None, reason="strace is not installed (Debian: apt-get install strace)"),
]
CALLS = "pwrite64,fsync,fdatasync,ftruncate,link,linkat,rename,renameat,renameat2,unlink,unlinkat"
FLAGS = ["-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", f"trace={CALLS}"]
POINTS = [*range(1, 16), *range(16, 64, 4)]
DAY = at("2025-01-07")
NAMES = [f"f{i}" for i in range(3)]
# Each child does one thing on a home of its own; the counter of calls is each process's own, and the parent makes none of them.
DRIVER = """
import datetime as dt, os, sys
from pathlib import Path
from hydra_assets_tests.storage import test_crash_points as work
import pyarrow.dataset, pyarrow.parquet
for name in work.WORK:
    child = os.fork()
    if not child:
        try:
            work.WORK[name](Path(sys.argv[1]) / name)
            os.write(1, (name + "\\n").encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
"""


def rows(value, n=40):
    days = [DAY + dt.timedelta(hours=i) for i in range(n)]
    return pa.table(
        {
            "feature_name": [NAMES[i % 3] for i in range(n)],
            "as_of": pa.array(days, INSTANT),
            "available_at": pa.array(days, INSTANT),
            "value": [value + i for i in range(n)],
            "quality": ["normal"] * n,
        }
    )


def publish(home, value=2.0):
    with FeatureStore(home / "store.sqlite") as store:
        store.publish("HE", "2025-01", rows(value), features=NAMES, inputs={"folder": DAY}, audit=lambda _rows: None)


def compact(home):
    ParquetLake(home / "lake").compact()


def vacuum(home):
    ParquetLake(home / "lake").vacuum()


def mirror(home):
    with FeatureStore(home / "store.sqlite") as store:
        store.get_training_frame("HE", [DAY + dt.timedelta(days=9)])


def ledger(home):
    with Ledger(home / "ledger.sqlite") as opened:
        opened.capture("futures_bars", "HE", [(DAY.date(), DAY.date())], DAY)


WORK = {"publish": publish, "compact": compact, "vacuum": vacuum, "mirror": mirror, "ledger": ledger}


@pytest.fixture(scope="module")
def homes(tmp_path_factory):
    """A home for each piece of work, ready for it."""
    base = tmp_path_factory.mktemp("homes")
    for name in WORK:
        home = base / name
        home.mkdir()
        publish(home, 1.0)
        lake = ParquetLake(home / "lake")
        for value in range(4):
            lake.write(rows(float(value)), "x", "HE", DAY)
        if name == "vacuum":
            (base_file,) = lake.compact()
            os.utime(base_file, (time.time() - 7200,) * 2)  # what it replaced may go
        Ledger(home / "ledger.sqlite").close()
    return base


def lake_rows(home):
    return sorted(map(str, ParquetLake(home / "lake").read("x", "HE").to_pylist()))


def verify(name, home, right, acknowledged):
    """Nothing acknowledged is lost, nothing is there twice or by half, and the work can be done again."""
    if name == "publish":
        with FeatureStore(home / "store.sqlite") as store:
            values = sorted(store.vintages("HE")["value"].to_pylist())
            assert values == [1.0 + i + (1 if store.publishes().num_rows == 2 else 0) for i in range(40)]
            assert not acknowledged or store.publishes().num_rows == 2
            assert store.check() in (40, 80)
    elif name in ("compact", "vacuum"):
        assert lake_rows(home) == right
        assert ParquetLake(home / "lake").verify() >= 1
    elif name == "mirror":
        with FeatureStore(home / "store.sqlite") as store:
            assert [store.get_training_frame("HE", [DAY + dt.timedelta(days=9)])[f].to_pylist() for f in NAMES] == [[40.0], [38.0], [39.0]]
    else:
        with Ledger(home / "ledger.sqlite") as opened:
            days = opened.captured("futures_bars", "HE")
            assert {day: found.fetches for day, found in days.items()} in ({DAY.date(): 1}, {} if not acknowledged else None)
    WORK[name](home)
    if name in ("compact", "vacuum"):
        assert lake_rows(home) == right


def test_a_kill_at_each_system_call_loses_nothing_acknowledged(homes, tmp_path):
    right = lake_rows(homes / "compact")
    killed = dict.fromkeys(WORK, 0)
    for point in POINTS:
        copy = tmp_path / str(point)
        shutil.copytree(homes, copy)
        inject = f"inject={CALLS}:signal=SIGKILL:when={point}"
        done = subprocess.run(
            [STRACE, *FLAGS, "-e", inject, sys.executable, "-B", "-c", DRIVER, str(copy)],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        if "ptrace" in done.stderr:
            pytest.skip(f"strace may not trace here: {done.stderr.strip()[:200]}")
        assert done.returncode == 0, done.stderr
        acknowledged = set(done.stdout.split())
        for name in WORK:
            killed[name] += name not in acknowledged
            verify(name, copy / name, right, name in acknowledged)
        shutil.rmtree(copy)
        if acknowledged == set(WORK):
            break
    assert min(killed.values()) >= 1, killed
