"""Crashes, flipped bytes, moved files and many writers: what was acknowledged is there, what is there is what was written."""

import datetime as dt
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pyarrow as pa
import pytest

from hydra_assets.errors import CorruptionError
from hydra_assets.storage import local
from hydra_assets.storage.capture import Look
from hydra_assets.storage.lake import ParquetLake
from hydra_assets_tests.conftest import at, rows

HOLD_LOCK = """
import sys, time
from hydra_assets.storage.local import LocalStorage
with LocalStorage(sys.argv[1]).lock(""):
    print('held', flush=True)
    time.sleep(1.0)
"""
FEB = dt.datetime(2026, 2, 10, tzinfo=dt.UTC)


def some(n=200, seed=0):
    dice = random.Random(seed)
    return pa.table({"x": [dice.random() for _ in range(n)], "name": [f"row {i}" for i in range(n)]})


@pytest.mark.slow
def test_kill_minus_nine_loses_nothing_acknowledged_and_leaves_nothing_half(tmp_path):
    program = (
        "import os, sys, datetime as dt, pyarrow as pa\n"
        "from hydra_assets.storage.lake import ParquetLake\n"
        "lake, n = ParquetLake(sys.argv[1], world='sample'), 0\n"
        "while True:\n"
        "    noise = [os.urandom(1000) for _ in range(2000)]\n"
        "    lake.write(pa.table({'n': [n] * 2000, 'x': noise}), 't', 'HE', dt.datetime(2026, 2, 10, tzinfo=dt.UTC))\n"
        "    print(n, flush=True)\n"
        "    n += 1\n"
    )
    for round_ in range(6):
        root = tmp_path / f"lake{round_}"
        with subprocess.Popen([sys.executable, "-c", program, str(root)], stdout=subprocess.PIPE, text=True) as writer:
            writer.stdout.readline()
            time.sleep(0.05 + 0.017 * round_)
            os.kill(writer.pid, signal.SIGKILL)
            acknowledged = writer.stdout.read().split()
        lake = ParquetLake(root)
        read = set(lake.read("t", "HE")["n"].to_pylist())
        assert {0, *map(int, acknowledged)} <= read
        assert lake.verify() == len(lake.files("t", "HE")) == len(read)
        assert all(lake.read("t", "HE")["n"].to_pylist().count(n) == 2000 for n in read)


def test_every_flipped_byte_is_noticed_and_named(tmp_path):
    lake = ParquetLake(tmp_path / "lake", world="sample")
    table = some()
    path = lake.write(table, "t", "HE", FEB)
    body, dice = path.read_bytes(), random.Random(1)
    silent = unnamed = 0
    for _ in range(300):
        i = dice.randrange(len(body))
        path.write_bytes(body[:i] + bytes([body[i] ^ (1 << dice.randrange(8))]) + body[i + 1 :])
        try:
            silent += lake.read("t", "HE") != table
        except CorruptionError as error:
            unnamed += path.name not in str(error)
    assert (silent, unnamed) == (0, 0)
    path.write_bytes(body[: len(body) // 2])
    with pytest.raises(CorruptionError, match="1 of 1 files are bad"):
        lake.verify()
    path.write_bytes(body)
    assert lake.verify() == 1


def test_a_moved_copied_or_alien_file_is_refused_by_name(tmp_path):
    lake = ParquetLake(tmp_path / "lake", world="sample")
    path = lake.write(some(), "t", "HE", FEB)
    lake.write(some(), "t", "LE", FEB)
    stranger = lake.files("t", "LE")[0].parent / path.name
    shutil.copy(path, stranger)
    with pytest.raises(CorruptionError, match="moved or copied"):
        lake.read("t", "LE")
    stranger.unlink()
    live = ParquetLake(tmp_path / "live", world="live")
    other = live.write(some(), "t", "HE", FEB)
    shutil.copy(other, path.parent / other.name)
    with pytest.raises(CorruptionError, match="belongs to world live"):
        lake.read("t", "HE")


def test_strangers_symlinks_and_staging_are_not_read(tmp_path):
    lake = ParquetLake(tmp_path / "lake", world="sample")
    path = lake.write(some(), "t", "HE", FEB)
    (path.parent / "notes.txt").write_text("x")
    (path.parent / "batch_20260210_part.parquet").write_bytes(b"half")
    (path.parent / f"batch_20260210_{'0' * 32}_{'0' * 16}.parquet").symlink_to(path)
    (lake.base_path / local.STAGING / "dead").mkdir(parents=True)
    assert lake.read("t", "HE").num_rows == 200
    assert lake.files("t", "HE") == [path]


def test_a_killed_writers_staging_is_swept_after_an_hour_and_not_before(tmp_path):
    lake = ParquetLake(tmp_path / "lake", world="sample")
    old, young = (lake.base_path / local.STAGING / name for name in ("old", "young"))
    for folder in (old, young):
        folder.mkdir(parents=True)
    os.utime(old, (time.time() - 7200, time.time() - 7200))
    lake.write(some(), "t", "HE", FEB)
    assert not old.exists()
    assert young.exists()


def test_a_full_disk_leaves_no_trace(tmp_path, monkeypatch):
    lake = ParquetLake(tmp_path / "lake", world="sample")
    lake.write(some(), "t", "LE", FEB)  # the table's columns are known

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(local.os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            lake.write(some(), "t", "HE", FEB)
    assert lake.files("t", "HE") == []
    assert list((lake.base_path / local.STAGING).iterdir()) == []


def _append(root: str, worker: int) -> int:
    lake = ParquetLake(root)
    table = rows(cftc_code=["054642"] * 20, as_of=["2026-02-10"] * 20, available_at=["2026-02-13 20:30"] * 20)
    table = table.append_column("name", pa.array([f"{i}" for i in range(20)])).append_column("v", pa.array([1.0] * 20))
    look = Look("cftc", FEB.date(), FEB.date(), [], at("2026-02-14"))
    return lake.append_new(table, "cot", "HE", FEB, key=["cftc_code", "name"], stamps="ours", look=look)


def test_eight_writers_at_once_append_each_row_once(tmp_path):
    root = str(tmp_path / "lake")
    ParquetLake(root, world="sample")
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        new = pool.starmap(_append, [(root, n) for n in range(8)])
    assert sorted(new) == [0] * 7 + [20]
    assert ParquetLake(root).read("cot", "HE").num_rows == 20


def test_recording_stamps_rise_strictly_even_when_the_clock_falls(tmp_path, monkeypatch):
    lake = ParquetLake(tmp_path / "lake", world="sample")
    folder = "data_type=t/market=HE/year=2026/month=02"
    seen = []
    for clock in (10_000_000, 5_000_000, 5_000_001, 20_000_000):
        monkeypatch.setattr(local, "now_us", lambda clock=clock: clock)
        lake.write(some(1), "t", "HE", FEB)
        seen.append(lake.newest_recorded(folder))
    assert seen == sorted(set(seen))


def test_a_reader_of_the_very_present_waits_for_a_writer_that_holds_an_older_stamp(tmp_path):
    """Else an answer under recorded_by would change once that writer commits."""
    lake = ParquetLake(tmp_path / "lake", world="sample")
    cot = rows(code=["x"], as_of=["2026-02-10"], available_at=["2026-02-13 20:30"])
    path = lake.write(cot, "cot", "HE", FEB)
    lock = subprocess.Popen(
        [
            sys.executable,
            "-c",
            HOLD_LOCK,
            str(path.parent),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert lock.stdout.readline().strip() == "held"
    begun = time.monotonic()
    lake.read_known("cot", "HE", at("2026-03-01"), key=["code"], recorded_by=dt.datetime.now(dt.UTC))
    assert time.monotonic() - begun > 0.3
    lock.wait()


def test_a_torn_line_of_the_look_log_is_dropped_and_the_next_one_is_whole(tmp_path):
    lake = ParquetLake(tmp_path / "lake", world="sample")
    cot = rows(code=["x"], as_of=["2026-02-10"], available_at=["2026-02-13 20:30"])

    def add(day):
        look = Look("cftc", FEB.date(), FEB.date(), [], at(day))
        lake.append_new(cot, "cot", "HE", FEB, key=["code"], stamps="ours", look=look)

    add("2026-02-14")
    log = next(lake.base_path.rglob("_looks.jsonl"))
    with log.open("ab") as file:
        file.write(b'{"source": "cft')
    assert lake.looks().num_rows == 1
    add("2026-02-15")
    assert lake.looks().num_rows == 2
