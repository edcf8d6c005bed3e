"""Features of third parties: sealed, unable to write what they are given, refused by name, and never the end of the others."""

import importlib
import socket
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest

from hydra_assets.core.feature import Answer, Feature, Window
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


IMPURE = {
    "a file": lambda cot: open(__file__),  # noqa: PTH123, SIM115
    "a file of pandas": partial(_file, __file__),
    "a file by a callable object": Callable(),
    "a file of numpy": lambda cot: np.load(__file__),
    "a socket": lambda cot: socket.socket(),
    "a database": lambda cot: sqlite3.connect(":memory:"),
    "a process": lambda cot: subprocess.run(["true"], check=True),
    "a thread": _thread,
    "the lake": lambda cot: importlib.import_module("hydra_assets").open(),
}


if sys.version_info < (3, 12):
    del IMPURE["a thread"]  # Python tells no hook of it; the proofs' own process still has nothing to open a file with


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
