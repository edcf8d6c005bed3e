"""Locked, full, missing, forbidden and read-only disks: an error of ours in bounded time, that names path and remedy; then it goes on."""

import contextlib
import datetime as dt
import os
import resource
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pytest

from hydra_assets.core.instants import INSTANT
from hydra_assets.errors import CorruptionError, HydraError, InvalidValueError, LockTimeoutError, StorageError
from hydra_assets.sources.ledger import Ledger, ledger_health
from hydra_assets.sources.publications import Publications
from hydra_assets.storage.capture import Look
from hydra_assets.storage.health import lake_health
from hydra_assets.storage.lake import ParquetLake
from hydra_assets.storage.sqlite.findings import Findings
from hydra_assets.storage.store import FeatureStore
from hydra_assets_tests.conftest import at

DAY, LATER = at("2025-01-07"), at("2025-01-10")


def row(market="HE", day=DAY):
    return pa.table({"k": ["a"], "as_of": pa.array([day], INSTANT), "available_at": pa.array([day], INSTANT), "v": [1.0]})


@pytest.fixture
def home():
    """A folder that another user can reach, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="hydra-disk-"))
    folder.chmod(0o755)
    yield folder
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir():
            path.chmod(0o700)
    shutil.rmtree(folder)


@contextlib.contextmanager
def no_superuser():
    """The rights of a user who owns nothing, where the tests run as root."""
    if os.geteuid():
        yield
        return
    group, groups = os.getegid(), os.getgroups()
    os.setgroups([])
    os.setegid(65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


@contextlib.contextmanager
def file_size_limit(size):
    """Files grow no larger than *size*: as a full disk, for this process alone."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


# ---------------------------------------------------------------- locked

HOLDER = """
import select, sqlite3, sys
held = sqlite3.connect(sys.argv[1], isolation_level=None)
if sys.argv[2] == "for itself":
    held.execute("PRAGMA locking_mode=EXCLUSIVE")
held.execute("BEGIN IMMEDIATE" if sys.argv[2] == "to write" else "BEGIN EXCLUSIVE")
print("held", flush=True)
select.select([sys.stdin], [], [], float(sys.argv[3]))
"""
WAIT_S, HELD_S = 0.2, 30.0  # who waits for longer than told is served once the holder lets go, and the test says so


@contextlib.contextmanager
def held(path, how, seconds=HELD_S):
    """Another process that holds a SQLite file, for so many seconds at most."""
    command = [sys.executable, "-c", HOLDER, str(path), how, str(seconds)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        yield
        holder.stdin.close()


def refused_in_time(act, path):
    begun = time.monotonic()
    with pytest.raises(LockTimeoutError, match=rf"{path.name}.*another process holds the file.*storage\.busy_timeout_s"):
        act()
    assert time.monotonic() - begun < HELD_S / 2


@pytest.fixture
def short_waits(monkeypatch):
    from hydra_assets.sources import ledger, publications
    from hydra_assets.storage.sqlite import file

    monkeypatch.setattr(file, "BUSY_TIMEOUT_S", WAIT_S)
    monkeypatch.setattr(ledger, "BUSY_S", WAIT_S)
    monkeypatch.setattr(publications, "BUSY_S", WAIT_S)


def test_a_store_that_another_process_holds_is_waited_for_no_longer_than_told(tmp_path):
    path = tmp_path / "store.sqlite"
    with FeatureStore(path, busy_timeout_s=WAIT_S) as store:
        store.write_feature("HE", "x", DAY, LATER, 1.0)
        with held(path, "to write"):
            refused_in_time(lambda: store.write_feature("HE", "x", DAY, LATER, 2.0), path)
            refused_in_time(lambda: store.retract("HE", "x", DAY, LATER), path)
            refused_in_time(store.repair, path)
            assert store.get_features_at("HE", LATER) == {"x": 1.0}
        assert store.write_feature("HE", "x", DAY, LATER, 2.0) == 1
    with held(path, "for itself"):
        refused_in_time(lambda: FeatureStore(path, busy_timeout_s=WAIT_S), path)
    with FeatureStore(path) as store:
        assert store.get_features_at("HE", LATER) == {"x": 2.0}


def test_a_store_is_opened_once_another_process_has_let_it_go(tmp_path):
    path = tmp_path / "store.sqlite"
    FeatureStore(path).close()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode=DELETE")  # as a copy or an older tool leaves it
    with held(path, "alone", 1.0), FeatureStore(path, busy_timeout_s=HELD_S) as store:
        assert store.write_feature("HE", "x", DAY, LATER, 1.0) == 1


def test_a_log_of_answers_that_another_process_holds_is_waited_for_no_longer_than_told(tmp_path, short_waits):
    with FeatureStore(tmp_path / "store.sqlite") as store:
        store.get_features_at("HE", LATER, log=True)
        path = store.served_path
        with held(path, "to write"):
            refused_in_time(lambda: store.get_features_at("HE", LATER, log=True), path)
            assert len(store.served()) == 1
    with held(path, "for itself"), FeatureStore(tmp_path / "store.sqlite") as store:
        refused_in_time(store.served, path)


@pytest.mark.parametrize("how", ["to write", *(pytest.param(how, marks=pytest.mark.slow) for how in ("alone", "for itself"))])
def test_findings_and_ledger_that_another_process_holds_are_waited_for_no_longer_than_told(tmp_path, short_waits, how):
    path = tmp_path / "findings.sqlite"
    with Findings(path) as findings:
        with held(path, how):
            refused_in_time(lambda: findings.judge("a", "check", [("HE", "2025-01")], {}), path)
            if how != "to write":  # readers and a writer go together until it commits
                refused_in_time(lambda: findings.open_of("a"), path)
                refused_in_time(lambda: Findings(path), path)
        assert findings.open_of("a") == []
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        with held(path, how):
            refused_in_time(lambda: ledger.capture("futures_bars", "HE", [(DAY.date(), DAY.date())], DAY), path)
            refused_in_time(lambda: Ledger(path), path)
            refused_in_time(lambda: Publications(path), path)
            if how != "to write":
                refused_in_time(lambda: ledger.captured("futures_bars", "HE"), path)
                refused_in_time(ledger.spent, path)
                health = ledger_health(path)
                assert "locked" in health.fault
                assert "another process holds the file" in health.remedy
        assert ledger.captured("futures_bars", "HE") == {}


def test_a_ledger_whose_disk_is_full_says_so_and_goes_on(tmp_path):
    def capture(opened, days):
        opened.capture("futures_bars", "HE", [(DAY.date() + dt.timedelta(n), DAY.date()) for n in range(days)], DAY)

    with Ledger(tmp_path / "ledger.sqlite") as opened:
        with file_size_limit(48 * 1024), pytest.raises(StorageError, match=r"ledger\.sqlite") as full:
            capture(opened, 3000)
        assert "rollback" not in str(full.value)
        assert opened.captured("futures_bars", "HE") == {}
        capture(opened, 3000)
        assert len(opened.captured("futures_bars", "HE")) == 3000


# ---------------------------------------------------------------- full


def test_a_full_disk_is_said_and_once_there_is_room_the_store_goes_on(tmp_path):
    path = tmp_path / "store.sqlite"

    def batch(n):
        return [
            {"market": "HE", "feature_name": f"f{i % 5}", "as_of": DAY + dt.timedelta(i), "available_at": DAY + dt.timedelta(i), "value": n}
            for i in range(3000)
        ]

    with FeatureStore(path) as store:
        store.write_feature("HE", "x", DAY, LATER, 1.0)
        with file_size_limit(64 * 1024):
            with pytest.raises(StorageError, match=r"store\.sqlite: .*acknowledged") as full:
                store.write_features(batch(1.0))
            assert "cannot rollback" not in str(full.value)
            assert store.get_features_at("HE", LATER) == {"x": 1.0}
        assert store.write_features(batch(2.0)) == 3000
        assert store.check() == 3001


def test_a_full_disk_is_said_and_once_there_is_room_the_lake_goes_on(tmp_path):
    lake = ParquetLake(tmp_path / "lake")
    lake.write(row(), "x", "HE", DAY)
    large = pa.table({"n": list(range(20_000)), "x": [os.urandom(20) for _ in range(20_000)]})
    with file_size_limit(64 * 1024), pytest.raises(StorageError, match=r"lake.*acknowledged"):
        lake.write(large, "y", "HE", DAY)
    assert lake.read("x", "HE").num_rows == 1
    assert lake.read("y", "HE").num_rows == 0
    assert not list((tmp_path / "lake" / ".staging").iterdir())
    lake.write(large, "y", "HE", DAY)
    assert lake.verify() == 2


def test_a_line_of_the_look_log_that_a_full_disk_cut_is_taken_back(tmp_path):
    lake = ParquetLake(tmp_path / "lake")

    def look(number):
        seen = Look("test", DAY.date(), DAY.date(), ("s" * 3000,), LATER + dt.timedelta(number))
        lake.append_new(row(), "x", "HE", DAY, key=["k"], stamps="ours", look=seen)

    look(1)
    with file_size_limit(5000), pytest.raises(StorageError, match=r"_looks\.jsonl"):
        look(2)
    assert lake.looks().num_rows == 1
    look(3)
    assert lake.looks().num_rows == 2


# ---------------------------------------------------------------- no such path, no right


def test_a_folder_in_the_place_of_a_file_and_a_file_in_that_of_a_folder(tmp_path):
    with pytest.raises(StorageError, match="is a folder"):
        FeatureStore(tmp_path)
    (tmp_path / "file").write_text("x")
    for opened in (lambda: FeatureStore(tmp_path / "file" / "store.sqlite"), lambda: ParquetLake(tmp_path / "file")):
        with pytest.raises(StorageError, match="file"):
            opened()


@pytest.mark.parametrize("opened", [FeatureStore, Findings, Ledger, ParquetLake])
def test_a_path_that_is_none_is_named(tmp_path, opened):
    (tmp_path / "unmounted").symlink_to(tmp_path / "disk")
    for path, reason in (
        (tmp_path / ("a" * 300), "name too long"),
        (tmp_path / "unmounted" / "b", "not mounted"),
        (Path("/proc/nowhere/c"), "cannot be made"),
        (Path("zero\0byte"), "zero"),
    ):
        with pytest.raises(HydraError, match=reason):
            opened(path)


def test_a_lake_has_a_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidValueError, match="base_path"):
        ParquetLake("")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"two worlds"])
def test_a_damaged_name_of_the_world_is_named(tmp_path, body):
    ParquetLake(tmp_path)
    (tmp_path / "WORLD").write_bytes(body)
    with pytest.raises(CorruptionError, match="WORLD: names no world"):
        ParquetLake(tmp_path)
    (problem,) = lake_health(tmp_path, "sample").problems
    assert ("WORLD" in problem.detail, problem.remedy) == (True, "write the right one into it: sample or live")


def test_no_right_is_no_damage_and_no_empty_lake(home):
    with FeatureStore(home / "store.sqlite") as store:
        store.write_feature("HE", "x", DAY, LATER, 1.0)
    lake = ParquetLake(home / "lake")
    lake.write(row(), "x", "HE", DAY)
    home.chmod(0o755)
    (home / "lake").chmod(0o755)
    with no_superuser():
        for act in (lambda: FeatureStore(home / "store.sqlite"), lambda: lake.read("x", "HE"), lambda: lake.write(row(), "x", "HE", DAY)):
            with pytest.raises(StorageError, match=f"{home}.*owner"):
                act()
        with pytest.raises(StorageError, match="new"):
            FeatureStore(home / "new" / "store.sqlite")
        with pytest.raises(StorageError, match="new"):
            ParquetLake(home / "new")


@pytest.fixture
def read_only(home):
    """A home of store and lake that may be read and not written."""
    with FeatureStore(home / "store.sqlite") as store:
        store.write_feature("HE", "x", DAY, LATER, 1.0)
    lake = ParquetLake(home / "lake")
    lake.append_new(row(), "x", "HE", DAY, key=["k"], stamps="ours", look=Look("test", DAY.date(), DAY.date(), (), LATER))
    lake.append_new(row(), "x", "HE", DAY, key=["k"], stamps="ours", look=Look("test", DAY.date(), DAY.date(), (), LATER))
    for path in sorted([home, *home.rglob("*")], reverse=True):
        path.chmod(0o555 if path.is_dir() else 0o444)
    with no_superuser():
        yield home


def test_a_home_that_may_only_be_read_is_read(read_only):
    before = sorted(read_only.rglob("*"))
    with FeatureStore(read_only / "store.sqlite") as store:
        assert store.get_features_at("HE", LATER, recorded_by=dt.datetime.now(dt.UTC)) == {"x": 1.0}
        assert store.get_training_frame("HE", [LATER])["x"].to_pylist() == [1.0]
        assert store.check() == 1
        assert store.served() == []
        assert store.health().problems == ()
        for act in (
            lambda: store.write_feature("HE", "x", DAY, LATER, 2.0),
            lambda: store.get_features_at("HE", LATER, log=True),
        ):
            with pytest.raises(StorageError, match=f"{read_only}.*store"):
                act()
    lake = ParquetLake(read_only / "lake")
    now = dt.datetime.now(dt.UTC)
    assert lake.read_known("x", "HE", LATER, key=["k"], recorded_by=now).num_rows == lake.read("x", "HE").num_rows == 1
    assert lake.verify() == 1
    with pytest.raises(StorageError, match="owner"):
        lake.write(row(), "x", "HE", DAY)
    assert sorted(read_only.rglob("*")) == before


def test_an_older_store_that_may_only_be_read_is_brought_up_in_memory(home):
    from hydra_assets_tests.storage.test_store_bytes import as_of_version_two

    path = home / "store.sqlite"
    with FeatureStore(path) as store:
        store.write_feature("HE", "x", DAY, LATER, 1.0)
    as_of_version_two(path)
    path.chmod(0o444)
    home.chmod(0o555)
    body = path.read_bytes()
    with no_superuser(), FeatureStore(path) as store:
        assert store.get_features_at("HE", LATER) == {"x": 1.0}
    assert path.read_bytes() == body


def test_a_store_that_may_only_be_read_follows_its_writer(home):
    path = home / "store.sqlite"
    with FeatureStore(path) as store:
        store.write_feature("HE", "x", DAY, LATER, 1.0)
    path.chmod(0o644)
    with no_superuser():
        reader = FeatureStore(path)
        assert reader.get_features_at("HE", LATER) == {"x": 1.0}
    with FeatureStore(path) as store:
        store.write_feature("HE", "x", DAY, LATER, 2.0)
    with no_superuser(), reader:
        assert reader.get_features_at("HE", LATER) == {"x": 2.0}


def test_a_closed_store_says_so(tmp_path):
    store = FeatureStore(tmp_path / "store.sqlite")
    store.close()
    with pytest.raises(StorageError, match="open it again"):
        store.get_features_at("HE", LATER)


# ---------------------------------------------------------------- modes


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_what_is_made_is_for_owner_and_group_at_most(tmp_path, umask):
    before = os.umask(umask)
    try:
        lake = ParquetLake(tmp_path / "a" / "lake")
        for _ in range(2):
            lake.append_new(row(), "x", "HE", DAY, key=["k"], stamps="ours", look=Look("test", DAY.date(), DAY.date(), (), LATER))
            lake.write(row(), "x", "HE", DAY)
        lake.compact()
        with FeatureStore(tmp_path / "b" / "c" / "store.sqlite") as store:
            store.write_feature("HE", "x", DAY, LATER, 1.0)
            store.get_training_frame("HE", [LATER])
            store.get_features_at("HE", LATER, log=True)
            made = [*tmp_path.rglob("*")]
        Ledger(tmp_path / "d" / "ledger.sqlite").close()
        Findings(tmp_path / "e" / "findings.sqlite").close()
    finally:
        os.umask(before)
    for path in {*made, *tmp_path.rglob("*")}:
        if path.exists():
            allowed = 0o750 if path.is_dir() else 0o640
            assert stat.S_IMODE(path.stat().st_mode) & ~allowed == 0, path
    assert any(path.name.startswith("store.sqlite.mirror") for path in made)


def test_every_error_of_the_disk_is_one_of_ours():
    assert issubclass(StorageError, HydraError)
    assert issubclass(StorageError, OSError)
    assert not issubclass(StorageError, CorruptionError)
