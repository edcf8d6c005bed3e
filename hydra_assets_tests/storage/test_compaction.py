"""Compaction and vacuum: every answer stays, whoever writes, reads or dies beside them."""

import datetime as dt
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hydra_assets.errors import CorruptionError, LockTimeoutError
from hydra_assets.storage import compaction, files, local
from hydra_assets.storage.capture import Look
from hydra_assets.storage.lake import ParquetLake
from hydra_assets_tests.conftest import at, rows
from hydra_assets_tests.storage.test_lake_oracle import BASE, FEB, ROW, table

CUTS = [BASE + dt.timedelta(hours=h) for h in (0, 30, 60, 96, 200)]


def aged(lake, hours=2):
    """As if everything in the lake had been written *hours* earlier."""
    for path in lake.base_path.rglob("*.parquet"):
        os.utime(path, (time.time() - hours * 3600,) * 2)


def cells(read: pa.Table) -> Counter:
    return Counter((r["code"], r["as_of"], r["available_at"], r["value"]) for r in read.to_pylist())


def derived(lake, given: pa.Table):
    look = Look("asset", FEB, dt.date(2026, 2, 28), [], dt.datetime.now(dt.UTC))
    return lake.append_new(given, "d", "HE", FEB, key=["code"], stamps="derived", look=look, allow_retract=True)


class Machine(RuleBasedStateMachine):
    """Plain writes to ``t``, recomputations of ``d``, compactions and vacuums, beside a list of what was recorded."""

    def __init__(self):
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.lake = ParquetLake(self.root, world="sample")
        self.log = {"t": [], "d": []}  # (when, code, as_of, available_at, value, retracted)
        self.promises = []

    def teardown(self):
        shutil.rmtree(self.root)

    def note(self, name, row, retracted=False):
        self.log[name].append((dt.datetime.now(dt.UTC), row["code"], row["as_of"], row["available_at"], row["value"], retracted))

    def known(self, name, when, by=None):
        newest, best = {}, {}
        for recorded, code, as_of, available, value, retracted in self.log[name]:
            if by is None or recorded <= by:
                newest[code, as_of, available] = (value, retracted)
        for (code, as_of, available), (value, retracted) in newest.items():
            if not retracted and available <= when and ((code, as_of) not in best or available > best[code, as_of][0]):
                best[code, as_of] = (available, value)
        return {key: value for key, (_, value) in best.items()}

    def asked(self, name, when, by=None):
        read = self.lake.read_known(name, "HE", when, key=["code"], recorded_by=by)
        return {(r["code"], r["as_of"]): r["value"] for r in read.to_pylist()}

    @rule(batch=st.lists(ROW, min_size=0, max_size=4))
    def write(self, batch):
        self.lake.write(table(batch), "t", "HE", FEB)
        for row in table(batch).to_pylist():
            self.note("t", row)

    @rule(batch=st.lists(ROW, max_size=5))
    def recompute(self, batch):
        fresh = {(c, a, lag): (c, a, lag, v) for c, a, lag, v in batch}
        content = {(r["code"], r["as_of"], r["available_at"]): r for r in table(list(fresh.values())).to_pylist()}
        believed = {}
        for _, *vintage, value, retracted in self.log["d"]:
            believed[tuple(vintage)] = None if retracted else value
        derived(self.lake, table(list(fresh.values())))
        for vintage, row in content.items():
            if believed.get(vintage) != row["value"]:
                self.note("d", row)
        for vintage, value in believed.items():
            if value is not None and vintage not in content:
                self.note("d", dict(zip(("code", "as_of", "available_at"), vintage, strict=True)) | {"value": value}, retracted=True)

    @rule()
    def compact(self):
        before = {name: (self.lake.read(name, "HE"), self.lake.watermarks(name, "HE")) for name in ("t", "d")}
        self.lake.compact()
        for name, (read, marks) in before.items():
            assert self.lake.read(name, "HE").equals(read, check_metadata=True)
            assert self.lake.watermarks(name, "HE") == marks
            assert len(self.lake.files(name, "HE")) <= 1

    @rule()
    def vacuum(self):
        aged(self.lake)
        self.lake.vacuum()
        assert {f.name for f in self.root.rglob("*.parquet")} == {f.name for name in ("t", "d") for f in self.lake.files(name, "HE")}

    @rule(name=st.sampled_from(["t", "d"]), when=st.sampled_from(CUTS))
    def promise(self, name, when):
        by = dt.datetime.now(dt.UTC)
        answer = self.asked(name, when, by)
        assert answer == self.known(name, when, by)
        self.promises.append((name, when, by, answer))

    @invariant()
    def every_answer_is_the_oracles(self):
        assert cells(self.lake.read("t", "HE")) == Counter(tuple(row[1:5]) for row in self.log["t"])
        left = {}
        for _, *vintage, value, retracted in self.log["d"]:
            left[tuple(vintage)] = [] if retracted else [*left.get(tuple(vintage), []), value]
        assert cells(self.lake.read("d", "HE")) == Counter((*vintage, value) for vintage, values in left.items() for value in values)
        for when in CUTS[1::2]:
            for name in ("t", "d"):
                assert self.asked(name, when) == self.known(name, when)

    @invariant()
    def kept_promises(self):
        for name, when, by, answer in self.promises[-4:]:
            assert self.asked(name, when, by) == answer


Machine.TestCase.settings = settings(max_examples=15, stateful_step_count=12, suppress_health_check=list(HealthCheck))
TestCompactionIsInvisible = Machine.TestCase


# ---------------------------------------------------------------- the files


def cot(value, code="x"):
    return rows(code=[code], as_of=["2026-02-10"], available_at=["2026-02-13 20:30"], value=[value])


def test_the_base_file_names_all_that_it_replaces_transitively(lake):
    first = [lake.write(cot(n), "t", "HE", FEB).name for n in range(2)]
    (one,) = lake.compact("t")
    assert re.fullmatch(r"base_[0-9a-f]{32}_[0-9a-f]{16}\.parquet", one.name)
    third = lake.write(cot(2), "t", "HE", FEB).name
    (two,) = lake.compact()
    meta = {k.decode(): v.decode() for k, v in pq.read_schema(two).metadata.items()}
    assert set(json.loads(meta["hydra.replaces"])) == {*first, one.name, third}
    assert lake.files("t", "HE") == [two]
    assert lake.compact() == []
    assert lake.verify() == 5  # all are still there, and whole


def test_rows_without_as_of_keep_the_day_of_their_write_and_columns_added_later_stay_null(lake):
    lake.write(pa.table({"x": [1.0]}), "plain", "HE", dt.date(2026, 2, 10))
    lake.write(pa.table({"x": [float("nan")], "y": ["new"]}), "plain", "HE", dt.date(2026, 2, 11))
    before = lake.read("plain", "HE").to_pylist()
    lake.compact()
    assert repr(lake.read("plain", "HE").to_pylist()) == repr(before)
    assert lake.read("plain", "HE", dt.date(2026, 2, 10), dt.date(2026, 2, 10))["x"].to_pylist() == [1.0]
    assert lake.read("plain", "HE", dt.date(2026, 2, 11))["y"].to_pylist() == ["new"]


def test_only_the_folders_asked_are_compacted(lake):
    for market in ("HE", "LE"):
        for month in (2, 3):
            for _ in range(2):
                lake.write(pa.table({"x": [1]}), "t", market, dt.date(2026, month, 10))
    seen = []
    made = lake.compact("t", "HE", dt.date(2026, 3, 1), progress=lambda folder: seen.append(folder.key))
    assert [path.parent.name for path in made] == ["month=03"]
    assert seen == ["data_type=t/market=HE/year=2026/month=03"]


def test_a_vacuum_waits_an_hour_whatever_is_asked_and_takes_the_oldest_first(lake, monkeypatch):
    for n in range(3):
        lake.write(cot(n), "t", "HE", FEB)
    batches = lake.files("t", "HE")
    (base,) = lake.compact()
    for path in batches:  # old as they are, they were replaced only now
        os.utime(path, (0, 0))
    assert lake.vacuum(dt.timedelta(0)) == []
    os.utime(base, (time.time() - 3700,) * 2)
    assert lake.vacuum(dt.timedelta(hours=2)) == []
    order = []
    real = lake._storage.delete
    monkeypatch.setattr(lake._storage, "delete", lambda key: (order.append(lake.base_path / key), real(key)))
    assert lake.vacuum() == batches == order
    assert lake.read("t", "HE")["value"].to_pylist() == [0, 1, 2]


def test_a_vacuum_keeps_what_a_damaged_base_file_replaced(lake):
    for n in range(2):
        lake.write(cot(n), "t", "HE", FEB)
    (base,) = lake.compact()
    body = base.read_bytes()
    base.write_bytes(body[:20] + bytes([body[20] ^ 1]) + body[21:])
    aged(lake)
    with pytest.raises(CorruptionError, match=base.name):
        lake.vacuum()
    base.unlink()  # the remedy: what it replaced counts again
    assert lake.read("t", "HE")["value"].to_pylist() == [0, 1]


def test_rows_that_do_not_survive_the_writing_stop_the_commit(lake, monkeypatch):
    for n in range(2):
        lake.write(cot(n), "t", "HE", FEB)
    real = files.pq.read_table

    def one_short(*given, **more):
        return real(*given, **more).slice(1)

    monkeypatch.setattr(files.pq, "read_table", one_short)
    with pytest.raises(CorruptionError, match="was not committed"):
        lake.compact()
    assert len(lake.files("t", "HE")) == 2
    assert list((lake.base_path / local.STAGING).iterdir()) == []


def test_a_reader_that_meets_a_vanished_file_lists_again(lake, monkeypatch):
    for n in range(3):
        lake.write(cot(n), "t", "HE", FEB)
    real, met = files.get, []

    def get(storage, key):
        if not met:  # between this reader's listing and its reading, a compaction and (an hour later) a vacuum
            met.append(lake.base_path / key)
            ParquetLake(lake.base_path).compact()
            aged(lake)
            ParquetLake(lake.base_path).vacuum()
        return real(storage, key)

    monkeypatch.setattr(files, "get", get)
    assert lake.read("t", "HE")["value"].to_pylist() == [0, 1, 2]
    assert met
    assert not met[0].exists()
    monkeypatch.setattr(files, "get", lambda storage, key: (_ for _ in ()).throw(FileNotFoundError(key)))
    with pytest.raises(CorruptionError, match="deleting files there"):
        lake.read("t", "HE")


def test_both_wait_for_the_folders_writers_lock(lake, monkeypatch):
    """Two compactions that merged the same files side by side would make each row count twice."""
    for n in range(2):
        lake.write(cot(n), "t", "HE", FEB)
    monkeypatch.setattr(local, "LOCK_TIMEOUT_S", 0.05)
    (folder,) = lake.folders()
    with lake._storage.lock(folder.key), pytest.raises(LockTimeoutError, match="month=02"):
        lake.compact()
    lake.compact()
    aged(lake)
    with lake._storage.lock(folder.key), pytest.raises(LockTimeoutError, match="month=02"):
        lake.vacuum()


def test_orphaned_staging_goes_after_an_hour(lake):
    lake.write(cot(1), "t", "HE", FEB)
    old, young = (lake.base_path / local.STAGING / name for name in ("old", "young"))
    for folder in (old, young):
        folder.mkdir(parents=True)
    os.utime(old, (0, 0))
    lake.vacuum()
    assert (old.exists(), young.exists()) == (False, True)


# ---------------------------------------------------------------- processes


def _write_many(root: str, worker: int) -> None:
    lake = ParquetLake(root)
    for n in range(12):
        lake.write(cot(worker * 100 + n), "t", "HE", FEB)


def _compact_many(root: str, worker: int) -> None:
    lake = ParquetLake(root)
    for _ in range(12):
        lake.compact()
        lake.read("t", "HE")
        aged_safely(lake)
        lake.vacuum()


def aged_safely(lake):
    for path in lake.base_path.rglob("base_*.parquet"):
        try:
            os.utime(path, (time.time() - 7200,) * 2)
        except FileNotFoundError:
            continue


def test_no_batch_written_beside_compactions_and_vacuums_is_lost(tmp_path):
    root = str(tmp_path / "lake")
    ParquetLake(root, world="sample")
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=job, args=(root, n)) for n, job in enumerate((_write_many, _write_many, _compact_many, _compact_many))
    ]
    for worker in workers:
        worker.start()
    seen = 0
    while any(worker.is_alive() for worker in workers):
        now = ParquetLake(root).read("t", "HE").num_rows
        assert now >= seen  # what was there is never gone for a moment, nor there twice
        seen = now
    assert [worker.exitcode for worker in workers] == [0, 0, 0, 0]
    assert sorted(ParquetLake(root).read("t", "HE")["value"].to_pylist()) == [w * 100 + n for w in range(2) for n in range(12)]


def test_killed_during_compaction_the_lake_reads_the_same(tmp_path):
    program = (
        "import sys, datetime as dt, pyarrow as pa\n"
        "from hydra_assets.storage.lake import ParquetLake\n"
        "lake = ParquetLake(sys.argv[1])\n"
        "print('begun', flush=True)\n"
        "while True:\n"
        "    lake.compact()\n"
        "    lake.write(pa.table({'n': pa.array([], pa.int64())}), 't', 'HE', dt.date(2026, 2, 10))\n"
    )
    lake = ParquetLake(tmp_path / "lake", world="sample")
    for n in range(30):
        lake.write(pa.table({"n": [n] * 500}), "t", "HE", FEB)
    before = Counter(lake.read("t", "HE")["n"].to_pylist())
    for round_ in range(4):
        with subprocess.Popen([sys.executable, "-c", program, str(lake.base_path)], stdout=subprocess.PIPE, text=True) as worker:
            worker.stdout.readline()
            time.sleep(0.003 + 0.017 * round_)
            os.kill(worker.pid, signal.SIGKILL)
        assert Counter(lake.read("t", "HE")["n"].to_pylist()) == before
        lake.verify()
    lake.compact()
    assert Counter(lake.read("t", "HE")["n"].to_pylist()) == before
    assert compaction.compact_folder(lake._reader, lake.folders("t")[0]) is None


def test_append_new_after_a_compaction_still_knows_what_it_holds(lake):
    look = Look("cftc", FEB, dt.date(2026, 2, 28), [], at("2026-02-14"))
    for code in ("x", "y"):
        lake.append_new(cot(1, code), "cot", "HE", FEB, key=["code"], stamps="ours", look=look)
    lake.compact()
    assert lake.read_vintages("cot", "HE").num_rows == 2  # the key came along
    again = Look("cftc", FEB, dt.date(2026, 2, 28), [], at("2026-02-15"))
    assert lake.append_new(cot(1), "cot", "HE", FEB, key=["code"], stamps="ours", look=again) == 0
    assert lake.append_new(cot(2), "cot", "HE", FEB, key=["code"], stamps="ours", look=again) == 1
    assert lake.read_known("cot", "HE", at("2026-02-14 12:00"), key=["code"])["value"].to_pylist() == [1, 1]
    assert lake.read_vintages("cot", "HE").num_rows == 3
