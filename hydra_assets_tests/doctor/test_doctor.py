"""`hydra-assets doctor`: each fault rehearsed is named with its remedy, and looking changes nothing."""

import datetime as dt
import fcntl
import importlib.metadata
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from hydra_assets.cli.main import app
from hydra_assets.config.home import resolve_home
from hydra_assets.config.load import load_release_calendar
from hydra_assets.core.feature import Feature
from hydra_assets.core.instants import INSTANT
from hydra_assets.doctor import home as examine_home
from hydra_assets.storage.lake import ParquetLake
from hydra_assets.storage.sqlite.findings import Findings
from hydra_assets.storage.store import FeatureStore
from hydra_assets_tests.conftest import at, rows

KEY = "db-" + "x1" * 14


def doctor(*words):
    done = CliRunner().invoke(app, ["doctor", "--json", *words])
    told = json.loads(done.stdout)
    assert done.exit_code == (1 if told["problem"] else 0)
    return told


def found(name, *words):
    """The first finding under *name* that is not well, else the first."""
    mine = [finding for finding in doctor(*words)["findings"] if finding["name"] == name]
    return next((finding for finding in mine if finding["status"] != "ok"), mine[0] if mine else None)


@pytest.fixture
def kept():
    """A home with a lake, a store that has published the lake's month of features, and Dagster's settings."""
    home = resolve_home("sample")
    home.prepare_dagster()
    lake = ParquetLake(home.lake, world="sample")
    lake.write(rows(as_of=["2025-10-07"], available_at=["2025-10-10 19:30"], value=[1.0]), "cot_features", "HE", at("2025-10-07"))
    with FeatureStore(home.store, world="sample") as store:
        publish(store, "2025-10", "2025-10-07")
    return home


def publish(store, month, day):
    table = pa.table(
        {
            "feature_name": ["cot_mm_net"],
            "as_of": pa.array([at(day)], INSTANT),
            "available_at": pa.array([at(f"{day} 20:00")], INSTANT),
            "value": [1.0],
            "quality": ["normal"],
        }
    )
    store.publish("HE", month, table, features=["cot_mm_net"], inputs={}, audit=lambda t: None)


def listing(folder):
    """Every file and its last change; SQLite's own two side files come and go with every reader."""
    every = [path for path in Path(folder).rglob("*") if not path.name.endswith(("-wal", "-shm"))]
    return {(path, path.stat().st_mtime_ns if path.is_file() else None) for path in every}


def test_a_home_in_order_has_no_problem_and_is_not_touched(kept):
    before = listing(kept.base)
    told = doctor()
    assert told["problem"] == 0, told
    well = {finding["name"] for finding in told["findings"] if finding["status"] == "ok"}
    assert {"python", "settings", "time zones", "home", "lake", "store", "store and lake", "clock", "leftovers", "dagster", "key"} <= well
    assert listing(kept.base) == before
    printed = CliRunner().invoke(app, ["doctor"]).stdout
    assert "0 problem(s)" in printed


def test_without_a_home_it_says_how_to_get_one_and_makes_none(home):
    assert "hydra-assets demo" in found("home")["remedy"]
    assert not home.exists()


def test_settings_and_environment(kept, monkeypatch):
    (kept.base / "config.yaml").write_text("thresholds:\n  min_io: 50\n")
    wrong = found("settings")
    assert wrong["status"] == "problem"
    assert "unknown key 'min_io'; did you mean 'min_oi'?" in wrong["message"]
    monkeypatch.setenv("HYDRA_WRLD", "live")
    assert found("environment")["remedy"] == "did you mean HYDRA_WORLD?"


def test_packages_that_are_missing_or_too_old(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: ["numpy>=999", "surely-not-installed>=1", "pyarrow>=1"])
    wrong = found("packages")
    assert wrong["status"] == "problem"
    assert "is not >=999" in wrong["message"]
    assert "surely-not-installed is missing" in wrong["message"]
    assert "pyarrow" not in wrong["message"]


class Entry:
    """An entry point as an installed package would declare it."""

    dist = None

    def __init__(self, name, given):
        self.name, self.value, self._given = name, f"{name}:FEATURES", given

    def load(self):
        if isinstance(self._given, Exception):
            raise self._given
        return self._given


def test_features_of_others_that_do_not_load(monkeypatch):
    good = Feature("own_one", "cot", "ratio", len, (), "", "", "")
    given = []
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: given)
    given[:] = [Entry("good", good), Entry("broken", ImportError("no module named x"))]
    assert "broken = broken:FEATURES: ImportError" in found("features of others")["message"]
    given[:] = [Entry("good", good), Entry("strange", ["text"])]
    assert "'text' is no Feature" in found("features of others")["message"]
    given[:] = [Entry("good", good), Entry("again", [good])]
    assert "duplicate declaration: own_one" in found("features of others")["message"]
    given[:] = [Entry("good", good)]
    assert found("features of others")["status"] == "ok"


def test_the_release_calendar_grows_old():
    until = load_release_calendar().reviewed_until
    old = dt.datetime.now(dt.UTC).date() > until
    assert found("release calendar")["status"] == ("warning" if old else "ok")
    assert str(until) in found("release calendar")["message"]


def test_time_zone_data_that_is_wrong(monkeypatch):
    from zoneinfo import ZoneInfo

    monkeypatch.setattr("hydra_assets.doctor.machine.ZoneInfo", lambda name: ZoneInfo("Etc/UTC"))
    wrong = found("time zones")
    assert wrong["status"] == "problem"
    assert "tzdata" in wrong["remedy"]


def test_a_home_that_others_can_read(kept):
    kept.root.chmod(0o755)
    open_to_others = found("home")
    assert (open_to_others["status"], open_to_others["remedy"]) == ("warning", f"chmod 700 {kept.root}")


def test_a_disk_that_fills(kept, monkeypatch):
    for free, status in ((0.1e9, "problem"), (2e9, "warning"), (50e9, "ok")):
        monkeypatch.setattr(examine_home.shutil, "disk_usage", lambda _, free=free: type("Usage", (), {"free": free}))
        assert found("disk")["status"] == status
    monkeypatch.undo()


def test_the_other_worlds_lake_and_store(kept):
    (kept.lake / "WORLD").write_text("live")
    with sqlite3.connect(kept.store) as db:
        db.execute("UPDATE about SET value = 'live' WHERE key = 'world'")
    for name in ("lake", "store"):
        assert found(name)["status"] == "problem"
        assert "belongs to the world live, not to sample" in found(name)["message"]


def test_a_damaged_lake_file_and_a_damaged_store(kept):
    (file,) = kept.lake.rglob("*.parquet")
    bytes_of = bytearray(file.read_bytes())
    bytes_of[-20] ^= 1
    file.write_bytes(bytes_of)
    assert "the footer is not the one that was written" in found("lake")["message"]
    kept.store.write_bytes(b"no database " * 1000)
    wrong = found("store")
    assert wrong["status"] == "problem"
    assert "store rebuild" in wrong["remedy"]


def test_a_store_of_a_newer_package(kept):
    with sqlite3.connect(kept.store) as db:
        db.execute("PRAGMA user_version = 99")
    assert "upgrade" in found("store")["remedy"]


def test_a_store_restored_from_before_the_lakes_last_month(kept):
    lake = ParquetLake(kept.lake)
    lake.write(rows(as_of=["2025-11-04"], available_at=["2025-11-07 20:30"], value=[1.0]), "cot_features", "HE", at("2025-11-04"))
    behind = found("store and lake")
    assert behind["status"] == "warning"
    assert "1 months of features are in the lake and not in the store, the first HE 2025-11" in behind["message"]


def test_a_ledger_that_cannot_be_read_and_open_findings(kept):
    kept.ledger.write_bytes(b"garbage " * 500)
    assert found("ledger")["status"] == "problem"
    with Findings(kept.findings) as findings:
        findings.judge("cot_features", "replay", [("HE", "2025-10")], {("HE", "2025-10"): "value: 3"})
    assert found("findings")["message"] == "1 open finding(s) of checks"


def test_a_clock_behind_the_newest_recording(kept):
    with sqlite3.connect(kept.store) as db:
        db.execute("UPDATE about SET value = ? WHERE key = 'last_recorded_at'", (str(int((time.time() + 3600) * 1e6)),))
    ahead = found("clock")
    assert ahead["status"] == "problem"
    assert "ahead of this clock" in ahead["message"]
    assert "NTP" in ahead["remedy"]


def test_leftovers_of_killed_writers(kept):
    stage = kept.lake / ".staging" / "0123-9"
    stage.mkdir(parents=True)
    assert found("leftovers")["status"] == "ok"  # a writer may be at work
    os.utime(stage, (time.time() - 7200,) * 2)
    assert "1 unfinished file(s)" in found("leftovers")["message"]
    shutil.rmtree(stage)
    runs = kept.cache / "runs"
    runs.mkdir()
    with (runs / "aaaabbbb-1").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert found("leftovers")["status"] == "ok"
    assert "whose process was killed: aaaabbbb" in found("leftovers")["message"]


def test_dagsters_settings(kept, monkeypatch):
    path = kept.dagster / "dagster.yaml"
    shipped = path.read_text()
    path.write_text(shipped.replace("max_concurrent_runs: 2", "max_concurrent_runs: 4"))
    assert found("dagster")["message"].endswith("with concurrency of your own")
    path.write_text("telemetry:\n  enabled: false\n")
    lacking = found("dagster")
    assert lacking["status"] == "warning"
    assert "lacks concurrency, nux, retention, run_monitoring, run_retries" in lacking["message"]
    path.write_text("telemetry: [")
    assert found("dagster")["status"] == "problem"
    path.unlink()
    assert "puts the shipped one there" in found("dagster")["remedy"]
    monkeypatch.setenv("DAGSTER_HOME", "/elsewhere")
    assert "DAGSTER_HOME is /elsewhere" in found("dagster")["message"]


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are looked for in /proc")
def test_two_daemons_on_one_home(kept):
    # Processes that look as daemons do; what they would do is not of interest here.
    environment = {**os.environ, "DAGSTER_HOME": str(kept.dagster)}
    command = [sys.executable, "-c", "import sys; print(1, flush=True); sys.stdin.read()", "dagster._daemon", "run"]
    started = [subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)]
    try:
        for process in started:
            process.stdout.readline()
        two = found("daemon")
        assert two["status"] == "problem"
        assert all(str(process.pid) in two["message"] for process in started)
        started[0].communicate()
        assert found("daemon")["message"] == f"one runs (process {started[1].pid})"
    finally:
        for process in started:
            process.kill()
            process.communicate()
    assert found("daemon")["message"].startswith("none runs")


def test_a_port_that_is_taken():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert found("port", "--port", port)["status"] == "warning"


def test_the_key_is_looked_for_in_the_live_world_and_never_printed(monkeypatch):
    monkeypatch.delenv("DATABENTO_API_KEY", raising=False)
    assert found("key", "--world", "live")["status"] == "warning"
    monkeypatch.setenv("DATABENTO_API_KEY", "secret of another kind")
    assert found("key", "--world", "live")["status"] == "problem"
    monkeypatch.setenv("DATABENTO_API_KEY", KEY)
    assert found("key", "--world", "live")["status"] == "ok"
    for words in (["doctor", "--world", "live"], ["doctor"], ["doctor", "--json", "--world", "live"]):
        assert "x1x1" not in CliRunner().invoke(app, words).output
