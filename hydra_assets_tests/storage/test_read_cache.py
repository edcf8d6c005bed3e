"""Months that a reader holds: the same rows without decoding them again, never those of bytes that were touched since."""

import datetime as dt
import os
import time

import pyarrow as pa
import pytest

from hydra_assets.errors import CorruptionError
from hydra_assets.storage import files, local
from hydra_assets.storage.lake import ParquetLake
from hydra_assets.storage.local import SETTLED_NS
from hydra_assets.storage.read_cache import ReadCache

DAY = dt.date(2026, 2, 3)
EIGHT_KIB = 8 * 1024


def numbers(n):
    return pa.table({"value": pa.array(range(n), pa.int64())})


@pytest.fixture
def reads(monkeypatch):
    """The keys of the files that were decoded."""
    decoded, get = [], files.get
    monkeypatch.setattr(files, "get", lambda storage, key: decoded.append(key) or get(storage, key))
    return decoded


def settle():
    time.sleep(2 * SETTLED_NS / 1e9)


def test_a_file_is_decoded_once(tmp_path, reads):
    lake = ParquetLake(tmp_path / "lake")
    lake.write(numbers(5), "t", "HE", DAY)
    settle()
    assert lake.read("t", "HE").equals(lake.read("t", "HE"))
    assert len(reads) == 1
    lake.write(numbers(2), "t", "HE", DAY)
    settle()
    assert lake.read("t", "HE").num_rows == 7
    assert len(reads) == 2


def test_bytes_that_change_after_a_read_are_noticed_though_the_times_are_set_back(tmp_path):
    lake = ParquetLake(tmp_path / "lake")
    file = lake.write(numbers(1000), "t", "HE", DAY)
    settle()
    lake.read("t", "HE")
    before = file.stat()
    body = bytearray(file.read_bytes())
    body[40] ^= 1
    file.write_bytes(body)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(CorruptionError, match=file.name):
        lake.read("t", "HE")


def test_a_file_that_has_only_just_changed_is_not_held(tmp_path):
    lake = ParquetLake(tmp_path / "lake")
    file = lake.write(numbers(1000), "t", "HE", DAY)
    lake.read("t", "HE")
    body = bytearray(file.read_bytes())
    body[40] ^= 1
    file.write_bytes(body)
    with pytest.raises(CorruptionError, match=file.name):
        lake.read("t", "HE")


@pytest.mark.parametrize(("settled_ns", "unknown"), [(10**18, True), (0, False)])
def test_the_state_of_a_file_is_unknown_until_another_change_would_show(tmp_path, monkeypatch, settled_ns, unknown):
    monkeypatch.setattr(local, "SETTLED_NS", settled_ns)
    lake = ParquetLake(tmp_path / "lake")
    file = lake.write(numbers(5), "t", "HE", DAY)
    key = file.relative_to(lake.base_path).as_posix()
    assert (local.LocalStorage(lake.base_path).state(key) is None) is unknown


def test_the_longest_unused_tables_go_first():
    cache, read = ReadCache(most_bytes=2 * EIGHT_KIB), []

    def table(key):
        read.append(key)
        return numbers(1024)

    for key in ("a", "b", "a", "c", "a", "b"):
        cache.table(key, 1, table)
    assert read == ["a", "b", "c", "b"]


def test_another_state_is_read_anew_and_an_unknown_one_is_not_held():
    cache, read = ReadCache(), []
    for state in (1, 1, 2, None, None, 2):
        cache.table("a", state, lambda key: read.append(key) or numbers(1))
    assert len(read) == 4
