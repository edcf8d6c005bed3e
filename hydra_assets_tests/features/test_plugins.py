"""Features of third parties: sealed, unable to write what they are given, refused by name, and never the end of the others."""

import contextlib
import contextvars
import datetime as dt
import gc
import importlib
import io
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.dataset
import pyarrow.fs
import pyarrow.json
import pyarrow.parquet as pq
import pytest

from hydra_assets.core.feature import Answer, Feature, Window
from hydra_assets.core.sealed.arrow import ARROW
from hydra_assets.core.sealed.seal import sealed_import
from hydra_assets.core.sealed.watch import watched
from hydra_assets.errors import ImpureFeatureError, PluginError
from hydra_assets.features import compute, of_family
from hydra_assets.features.compute import FAMILIES, plugin_faults
from hydra_assets.flow.publish import compute_months, publish_month
from hydra_assets_tests.proof.test_poison import fill
from hydra_assets_tests.support.cot_history import weeks
from hydra_assets_tests.support.entry_points import ROOM, registered

HISTORY = {"cot_disaggregated": weeks(2023, 2024)}


def mine(function, **more):
    return replace(of_family("cot")[0], name="mine", function=function, **more)


def computed(*features):
    with registered(*features):
        return compute("cot", HISTORY, market="LE")


class Callable:
    def __call__(self, cot):
        with open(__file__) as file:  # noqa: PTH123
            return Answer(float(len(file.read())))


def _file(path, cot):
    return Answer(float(len(pd.read_csv(path))))


def _thread(cot):
    threading.Thread(target=print).start()


def _swallowed(cot):
    try:
        return Answer(time.time())
    except Exception:
        return Answer(0.0)


def _another_context(cot):
    return contextvars.Context().run(open, __file__)


LAKE = "/nowhere/lake/data_type=cot_disaggregated/x.parquet"

IMPURE = {
    "a file": lambda cot: open(__file__),  # noqa: PTH123, SIM115
    "a file of pandas": partial(_file, __file__),
    "a file by a callable object": Callable(),
    "a file of numpy": lambda cot: np.load(__file__),
    "a file in another context": _another_context,
    "a socket": lambda cot: socket.socket(),
    "a database": lambda cot: sqlite3.connect(":memory:"),
    "a process": lambda cot: subprocess.run(["true"], check=True),
    "a thread": _thread,
    "a pool of threads": lambda cot: ThreadPoolExecutor(1).submit(len, ()),
    "the lake": lambda cot: importlib.import_module("hydra_assets").open(),
    "Parquet by Arrow": lambda cot: pq.read_table(__file__),
    "Parquet by pandas": lambda cot: pd.read_parquet(__file__),
    "a dataset by Arrow": lambda cot: pyarrow.dataset.dataset(__file__),
    "a file by Arrow": lambda cot: pa.OSFile(__file__),
    "a memory map by Arrow": lambda cot: pa.memory_map(__file__),
    "CSV by Arrow": lambda cot: pyarrow.csv.read_csv(__file__),
    "a file system of Arrow": lambda cot: pyarrow.fs.LocalFileSystem().open_input_file(__file__),
    "a file system of Arrow by its address": lambda cot: pyarrow.fs.FileSystem.from_uri("file:///"),
    "a new memory map by Arrow": lambda cot: pa.MemoryMappedFile.create("/nowhere/x", 1),
    "a stream by Arrow": lambda cot: pa.input_stream(__file__),
    "JSON by Arrow": lambda cot: pyarrow.json.read_json(__file__),
    "messages by Arrow": lambda cot: pa.ipc.open_file(__file__),
    "the clock": lambda cot: Answer(time.time()),
    "the clock of datetime": lambda cot: Answer(float(dt.datetime.now(dt.UTC).year)),
    "the date of today": lambda cot: Answer(float(dt.date.today().year)),  # noqa: DTZ011
    "the clock of pandas": lambda cot: Answer(float(pd.Timestamp.now().year)),
    "a refusal that is swallowed": _swallowed,
    "an end of the watch": lambda cot: sys.setprofile(None),
    "the other objects of the process": lambda cot: gc.get_objects(),
}
with contextlib.suppress(ImportError):
    import polars

    IMPURE["Parquet by polars"] = lambda cot: polars.read_parquet(__file__)
    IMPURE["a lazy scan of polars"] = lambda cot: polars.scan_csv(__file__).collect()
with contextlib.suppress(ImportError):
    import duckdb

    IMPURE["DuckDB"] = lambda cot: duckdb.sql(f"select * from '{__file__}'")
    IMPURE["a connection of DuckDB"] = lambda cot: duckdb.connect()


@pytest.mark.parametrize("name", IMPURE)
def test_what_reaches_outside_is_refused_and_named(name):
    with pytest.raises(ImpureFeatureError, match=r"mine: .* is refused"):
        computed(mine(IMPURE[name]))
    assert open(__file__).read()  # noqa: PTH123, SIM115  outside of a feature nothing is refused


def test_imports_warnings_and_time_zones_are_no_reads_from_outside():
    def honest(cot):
        import sunau  # noqa: F401  nothing else imports it

        np.log(np.array([-1.0]))
        return Answer(float(pd.Timestamp("2025-01-01", tz="Asia/Kathmandu").hour))

    with pytest.warns(RuntimeWarning):
        rows = computed(mine(honest))
    assert "mine" in rows["feature_name"].to_pylist()


def test_inputs_cannot_be_written_and_the_features_shipped_are_not_touched():
    def writes(cot):
        cot["mm_long"] -= cot["mm_long"].mean()
        return Answer(0.0)

    with pytest.raises(PluginError, match="read-only"):
        computed(mine(writes))

    def replaces(cot):
        cot["mm_long"] = cot["mm_long"] * 0
        return Answer(float(cot["mm_long"][-1]))

    rows = computed(mine(replaces))
    assert rows.filter(pd.Series(rows["feature_name"].to_pylist()).ne("mine").to_numpy()).equals(computed())


def broken(cot):
    raise ZeroDivisionError("a third party's mistake")


def test_a_feature_that_cannot_be_computed_is_left_out_of_the_publish_and_the_rest_goes_on(lake, store):
    fill(lake, "LE", HISTORY)
    good = replace(mine(lambda cot: Answer(float(cot["mm_long"][-1]))), name="good")
    with registered(mine(broken), good):
        (month,) = compute_months(lake, "cot", "LE", [next(iter(months("2024-10")))])
        assert set(month.faults) == {"mine"}
        assert "ZeroDivisionError: a third party's mistake" in str(month.faults["mine"])
        publish_month(store, "cot", "LE", month)
    assert {"good", "cot_mm_net"} <= set(store.features("LE"))
    assert "mine" not in store.features("LE")
    assert all("mine" not in row["features"].split(",") for row in store.publishes("LE").to_pylist())


def months(text):
    from hydra_assets.core.months import months_between

    return months_between(text, text)


def unreadable():
    raise ImportError("no module named x")


class Entry:
    name, value = "theirs", "theirs:FEATURES"

    def __init__(self, load):
        self.load = load


GOOD = {"name": "fine", "family": "cot", "unit": "ratio", "function": len, "formula": "", "source": "", "availability": ""}
WEEK = (Window("cot_disaggregated", 0),)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"family": "mine"}, "there is no family 'mine'"),
        ({"name": "a,b"}, "other characters"),
        ({"name": "label_fwd_5d"}, "label"),
        ({"name": "cot_mm_net"}, "duplicate declaration"),
        ({"function": 3}, "cannot be called"),
        ({"windows": (Window("cot_disaggregated", 0, 1),)}, "which nobody knows yet"),
        ({"windows": (Window("cot_disaggregated", -1, -3),)}, "begins"),
        ({"windows": (Window("cot_disaggregated", -3, unit="sessions"),)}, "counts sessions"),
        ({"windows": (Window("futures_statistics", 0),)}, "no input of the family"),
        ({"windows": (Window("cot_disaggregated", -(10**6)),)}, "reaches back 1000000 weeks"),
        ({"windows": (Window("cot_disaggregated", 0, at_least=9),)}, "needs 9 periods"),
        ({"windows": WEEK * 2}, "one window"),
        ({"family": "futures", "windows": (Window("futures_statistics", 0, unit="sessions"),)}, "Readiness"),
    ],
)
def test_nonsense_is_refused_by_name_and_everything_else_goes_on(monkeypatch, change, fault):
    wrong, fine = Feature(**{**GOOD, "windows": WEEK, **change}), Feature(**{**GOOD, "name": "also_fine", "windows": WEEK})
    monkeypatch.setattr(ROOM, "entry_points", lambda group: [Entry(unreadable), Entry(lambda: [wrong, fine])])
    ROOM.registered.cache_clear()
    try:
        names = [feature.name for feature in ROOM.registered()]
        assert names == [*(f.name for family in FAMILIES.values() for f in family.features), "also_fine"]
        unloaded, refused = plugin_faults()
        assert "theirs = theirs:FEATURES: ImportError: no module named x" in str(unloaded)
        assert fault in str(refused)
        assert "hydra_assets.features" in str(refused)
    finally:
        ROOM.registered.cache_clear()


def test_a_package_that_reads_a_database_when_it_is_imported_is_left_out(monkeypatch):
    def reads():
        sqlite3.connect(":memory:")
        return mine(len)

    monkeypatch.setattr(ROOM, "entry_points", lambda group: [Entry(reads)])
    (fault,) = plugin_faults()
    assert "sqlite3.connect" in str(fault)


@pytest.mark.parametrize(
    ("reads", "call"),
    [
        (lambda: pq.read_table(LAKE), "pyarrow.parquet.core.read_table"),
        (lambda: pyarrow.dataset.dataset("/nowhere/lake"), "pyarrow.dataset.dataset"),
        (lambda: pyarrow.csv.read_csv("/nowhere/lake/data_type=x/x.csv"), "pyarrow.read_csv"),
        (lambda: pa.memory_map(LAKE), "pyarrow.memory_map"),
        (lambda: importlib.import_module("duckdb").connect(":memory:"), "duckdb.connect"),
        (lambda: threading.Thread(target=len, args=((),)).start(), "_thread.start_new_thread"),
    ],
)
def test_a_package_that_reads_a_lake_or_starts_a_thread_when_it_is_imported_is_left_out(monkeypatch, reads, call):
    if call.startswith("duckdb"):
        pytest.importorskip("duckdb", reason="DuckDB is not installed")

    def loads():
        reads()
        return mine(len)

    monkeypatch.setattr(ROOM, "entry_points", lambda group: [Entry(loads)])
    (fault,) = plugin_faults()
    assert call in str(fault)


def test_a_package_may_read_its_own_files_when_it_is_imported_and_honest_code_may_count_time(monkeypatch, tmp_path):
    pq.write_table(pa.table({"a": [2.0]}), tmp_path / "own.parquet")

    def loads():
        held = pq.read_table(tmp_path / "own.parquet")["a"][0].as_py()
        return mine(lambda cot: Answer(held + 0 * time.perf_counter()))

    monkeypatch.setattr(ROOM, "entry_points", lambda group: [Entry(loads)])
    assert plugin_faults() == ()
    rows = computed(mine(lambda cot: Answer(float(dt.datetime(2025, 1, 1, tzinfo=dt.UTC).year))))
    assert "mine" in rows["feature_name"].to_pylist()


@pytest.fixture
def other_thread():
    stop = threading.Event()
    other = threading.Thread(target=stop.wait)
    other.start()
    yield
    stop.set()
    other.join()


@pytest.mark.usefixtures("other_thread")
@pytest.mark.parametrize("name", IMPURE)
def test_beside_other_threads_the_same_is_refused(name):
    """The process cannot be left without descriptors then."""
    with pytest.raises(ImpureFeatureError, match=r"mine: .* is refused"):
        computed(mine(IMPURE[name]))


@contextlib.contextmanager
def outlasting_another(block):
    """A block of this thread that begins inside of an equal one of another thread; what it surrounds runs once that one has ended."""
    first_began, both, first_left = threading.Event(), threading.Barrier(2), threading.Event()

    def first():
        with block():
            first_began.set()
            both.wait(10)
        first_left.set()

    thread = threading.Thread(target=first)
    thread.start()
    assert first_began.wait(10)
    with block():
        both.wait(10)
        assert first_left.wait(10)
        yield
    thread.join()


def test_openers_of_arrow_are_back_once_the_last_thread_has_left():
    before = pa.OSFile, pa.memory_map, pyarrow.csv.read_csv, pyarrow.fs.LocalFileSystem
    refused = []

    def refuse(name, _):
        refused.append(name)

    with outlasting_another(lambda: ARROW.watched(refuse)):
        pa.memory_map(__file__)
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(lambda: pa.OSFile(__file__).readable()).result()  # a thread in no block opens as before
        assert isinstance(before[3](), pyarrow.fs.LocalFileSystem)
    assert refused == ["pyarrow.memory_map"]
    assert (pa.OSFile, pa.memory_map, pyarrow.csv.read_csv, pyarrow.fs.LocalFileSystem) == before


def test_the_clock_of_pandas_is_back_once_the_last_thread_has_left():
    before = vars(pd.Timestamp)["now"]
    refused = []
    with outlasting_another(lambda: watched(refused.append, lambda: None)):
        pd.Timestamp.now()
    assert "Timestamp.now" in refused
    assert vars(pd.Timestamp)["now"] is before


@pytest.mark.usefixtures("other_thread")
def test_an_opener_that_a_package_keeps_as_it_is_imported_is_refused_in_its_function(tmp_path):
    own = tmp_path / "own.csv"
    own.write_text("a\n2\n")
    with sealed_import("theirs"):
        from pyarrow.csv import read_csv

        assert read_csv(own).num_rows == 1
    assert read_csv is not pyarrow.csv.read_csv
    assert read_csv(own).num_rows == 1
    with pytest.raises(ImpureFeatureError, match=r"mine: pyarrow.read_csv is refused"):
        computed(mine(lambda cot: read_csv(own)))


def test_arrow_may_read_what_is_in_memory():
    def honest(cot):
        table = pyarrow.csv.read_csv(io.BytesIO(b"a\n2\n"))
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        pyarrow.csv.write_csv(table, io.BytesIO())
        read = pa.ipc.open_stream(sink.getvalue()).read_all()
        return Answer(float(read["a"][0].as_py() + pa.input_stream(pa.py_buffer(b"abc")).size()))

    rows = computed(mine(honest))
    assert 5.0 in rows.filter(pa.compute.equal(rows["feature_name"], "mine"))["value"].to_pylist()
