"""The mirror says what the store says, whatever is written, by whom, and whatever becomes of its files."""

import datetime as dt
import random
import sqlite3
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hydra_assets.core.instants import from_us, to_us
from hydra_assets.core.tables.table import QUALITIES
from hydra_assets.storage import frame, mirror
from hydra_assets.storage.facts import Fact
from hydra_assets.storage.question import Question
from hydra_assets.storage.series import frontier_of
from hydra_assets.storage.sqlite.fact_table import SqliteFactTable
from hydra_assets.storage.store import FeatureStore
from hydra_assets_tests.conftest import at

DAY = dt.timedelta(days=1)
TIMES = [at("2025-01-01") + dt.timedelta(hours=13 * n) for n in range(60)]


def direct(store, markets, times, names, **more):
    """The same question put to the rows themselves, as they are read one by one."""
    with store._table.snapshot():
        rows = {(market, name): frontier_of(store._table.vintages(market, name)) for market in markets for name in names}
    return frame.training_frame(Question.of(markets, times, names, **more), rows)


def point_reads(store, market, times, names, recorded_by):
    """A frame's values, from one point read an instant; these never meet the mirror."""
    answers = [store.get_features_at(market, time, recorded_by=recorded_by) for time in times]
    return {name: [answer.get(name) for answer in answers] for name in names}


def some(dice, market, name, n=40):
    """Vintages with revisions, late rows and equal instants."""
    rows = {}
    for _ in range(n):
        as_of = at("2025-01-01") + DAY * dice.randrange(30)
        available = as_of + dt.timedelta(hours=dice.choice([0, 5, 5, 30, 200]))
        value, quality = (None, "missing") if dice.random() < 0.1 else (dice.random(), dice.choice(["normal", "partial", "degraded"]))
        row = {"market": market, "feature_name": name, "as_of": as_of, "available_at": available, "value": value, "quality": quality}
        rows[as_of, available] = row
    return list(rows.values())


QUESTIONS = [{}, {"max_age": 3 * DAY}, {"delay": dt.timedelta(hours=7)}, {"with_meta": True, "max_age": 2 * DAY, "delay": DAY}]


def agree(store, markets=("HE", "LE"), times=TIMES, features=None):
    names = features or store.features(*markets)
    for question in QUESTIONS:
        assert store.get_training_frame(list(markets), times, names, **question).equals(
            direct(store, list(markets), times, names, **question)
        )
    for market in markets:
        assert in_columns(store, market) == in_rows(store, market)
        mine = [name for name in names if name in store.features(market)]
        held = store._table.recordings({(market, name): (None, None) for name in mine}).recorded_at
        for by in (None, *(from_us(us) for us in np.unique(held)[::3].tolist())):
            served = store.get_training_frame([market], times[::5], mine, recorded_by=by).select(mine).to_pydict()
            assert served == point_reads(store, market, times[::5], mine, by)


def in_columns(store, market):
    """Every vintage of each series, out of the mirror."""
    found = {}
    for name, series in store.series(market).items():
        values = [None if np.isnan(value) else value for value in series.value.tolist()]
        qualities = [QUALITIES[quality] for quality in series.quality]
        rows = list(zip(series.available_at.tolist(), series.as_of.tolist(), values, qualities, strict=True))
        assert [row[:2] for row in rows] == sorted(row[:2] for row in rows)
        found |= {name: rows} if rows else {}
    return found


def in_rows(store, market):
    """The same out of the table of facts."""
    found = {}
    for row in store.vintages(market).to_pylist():
        stamps = (to_us(row["available_at"]), to_us(row["as_of"]))
        found.setdefault(row["feature_name"], []).append((*stamps, row["value"], row["quality"]))
    return {name: sorted(rows, key=lambda row: row[:2]) for name, rows in found.items()}


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 10**6), st.lists(st.sampled_from(["write", "batch", "retract", "reopen", "damage", "delete", "other"]), max_size=8))
def test_the_mirror_answers_as_the_rows_do(tmp_path_factory, seed, steps):
    dice, path = random.Random(seed), tmp_path_factory.mktemp("m") / "s.sqlite"
    store = FeatureStore(path, world="sample")
    try:
        for market in ("HE", "LE"):
            for name in ("a", "b"):
                store.write_features(some(dice, market, name))
        for step in steps:
            row = dice.choice(some(dice, "HE", "a", 3))
            files = sorted(path.parent.glob("*.arrow"))
            if step == "write":
                store.write_features([row])
            elif step == "batch":
                store.write_features(some(dice, dice.choice(["HE", "LE"]), dice.choice(["a", "c"]), 5))
            elif step == "retract":
                gone = dice.choice(store.vintages("HE").to_pylist())
                store.retract("HE", gone["feature_name"], gone["as_of"], gone["available_at"])
            elif step == "other":  # another process's connection
                with FeatureStore(path) as other:
                    other.write_features(some(dice, "LE", "b", 3))
                    agree(other)
            elif step == "reopen":
                store.close()
                store = FeatureStore(path)
            elif files and step == "delete":
                files[0].unlink()
                store.close()
                store = FeatureStore(path)
            elif files and step == "damage":
                store.close()
                body = bytearray(files[0].read_bytes())
                for _ in range(3):
                    body[dice.randrange(len(body))] ^= 1 << dice.randrange(8)
                files[0].write_bytes(body)
                store = FeatureStore(path)
            agree(store)
    finally:
        store.close()


@pytest.fixture
def filled(store):
    dice = random.Random(7)
    for name in ("a", "b"):
        store.write_features(some(dice, "HE", name))
    return store


def reads(monkeypatch):
    """The series of every row that is read from the store, in order."""
    seen = []

    def noted(real):
        def read(table, *more, **named):
            found = real(table, *more, **named)
            if found is not None:
                seen.extend(found.names[series][1] for series in found.series.tolist())
            return found

        return read

    for name in ("recordings", "since"):
        monkeypatch.setattr(SqliteFactTable, name, noted(getattr(SqliteFactTable, name)))
    return seen


def test_only_what_was_written_since_is_read_again(filled, monkeypatch):
    every = len(filled.vintages("HE"))
    seen = reads(monkeypatch)
    filled.get_training_frame("HE", TIMES)
    assert (len(seen), set(seen)) == (every, {"a", "b"})
    filled.get_training_frame("HE", TIMES)
    assert len(seen) == every
    seen.clear()
    filled.write_feature("HE", "b", at("2025-02-01"), at("2025-02-01"), 1.0)
    filled.get_training_frame("HE", TIMES)
    assert seen == ["b"]
    with FeatureStore(filled.db_path) as other:  # and another process finds it on the disk
        other.get_training_frame("HE", TIMES)
    assert seen == ["b"]
    filled.retract("HE", "b", at("2025-02-01"), at("2025-02-01"))
    seen.clear()
    filled.get_training_frame("HE", TIMES)
    assert seen == ["b"]  # what it had hidden comes back out of the mirror
    agree(filled, markets=["HE"])


@pytest.mark.parametrize("how", ["cut", "empty", "text", "other store", "other market"])
def test_a_file_that_is_no_mirror_of_this_store_is_made_anew(filled, tmp_path, monkeypatch, how):
    answer = filled.get_training_frame("HE", TIMES, with_meta=True)
    (file,) = tmp_path.glob("*.mirror-HE.arrow")
    body = file.read_bytes()
    with FeatureStore(tmp_path / "other.sqlite", world="sample") as other:
        other.write_feature("HE", "a", at("2025-01-01"), at("2025-01-01"), 9.0)
        other.get_training_frame("HE", TIMES)
    foreign = (tmp_path / "other.sqlite.mirror-HE.arrow").read_bytes()
    file.write_bytes({"cut": body[: len(body) // 2], "empty": b"", "text": b"mirror", "other store": foreign, "other market": body}[how])
    if how == "other market":
        filled.write_features([{**row, "market": "LE"} for row in some(random.Random(8), "LE", "a")])
        file.replace(tmp_path / "store.sqlite.mirror-LE.arrow")
    filled.close()
    seen = reads(monkeypatch)
    with FeatureStore(filled.db_path) as again:
        assert again.get_training_frame("HE", TIMES, with_meta=True).equals(answer)
        assert set(seen) == {"a", "b"}
        if how == "other market":
            agree(again)


def test_what_a_withdrawn_vintage_had_hidden_comes_back_also_beside_other_news(filled):
    filled.write_feature("HE", "a", at("2025-02-01"), at("2025-02-01"), 1.0)
    filled.write_feature("HE", "a", at("2025-01-31"), at("2025-02-02"), 2.0)  # late: hidden by the first
    assert filled.get_training_frame("HE", [at("2025-02-03")], ["a"])["a"].to_pylist() == [1.0]
    filled.retract("HE", "a", at("2025-02-01"), at("2025-02-01"))
    filled.write_feature("HE", "a", at("2025-02-04"), at("2025-02-04"), 3.0)
    assert filled.get_training_frame("HE", [at("2025-02-03"), at("2025-02-05")], ["a"])["a"].to_pylist() == [2.0, 3.0]


def test_a_vintage_recorded_again_takes_the_place_of_the_old_one(filled):
    filled.write_feature("HE", "a", at("2025-02-01"), at("2025-02-01"), 0.0)
    held = len(filled.series("HE")["a"].value)
    for value in (1.0, 2.0, 3.0):
        filled.write_feature("HE", "a", at("2025-02-01"), at("2025-02-01"), value)
        assert filled.get_training_frame("HE", [at("2025-02-03")], ["a"])["a"].to_pylist() == [value]
        assert len(filled.series("HE")["a"].value) == held


def test_a_twin_with_the_same_stamps_is_another_store(tmp_path):
    """As two rebuilds from one lake are."""
    us = int(at("2025-02-01").timestamp() * 1e6)
    for name, value in (("one", 1.0), ("two", 2.0)):
        with FeatureStore(tmp_path / name, world="sample") as made:
            made.restore([(Fact("HE", "a", us, us, value), False, us)])
            made.get_training_frame("HE", TIMES, ["a"])
    (tmp_path / "one.mirror-HE.arrow").replace(tmp_path / "two.mirror-HE.arrow")
    with FeatureStore(tmp_path / "two") as two:
        assert two.get_training_frame("HE", [at("2025-02-02")], ["a"])["a"].to_pylist() == [2.0]


def test_a_store_put_back_from_a_backup_is_not_answered_from_a_later_mirror(filled, tmp_path):
    filled.close()
    backup = filled.db_path.read_bytes()
    with FeatureStore(filled.db_path) as later:
        later.write_feature("HE", "a", at("2025-02-01"), at("2025-02-01"), 1.0)
        later.get_training_frame("HE", TIMES)
    filled.db_path.write_bytes(backup)
    with FeatureStore(filled.db_path) as restored:
        restored.write_feature("HE", "a", at("2025-01-31"), at("2025-02-02"), 2.0)
        agree(restored, markets=["HE"], times=[at("2025-03-01")])
        assert restored.get_training_frame("HE", [at("2025-03-01")], ["a"])["a"].to_pylist() == [2.0]


def test_a_mirror_that_cannot_be_written_costs_time_and_no_answer(filled, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(mirror.pa, "OSFile", full)
    agree(filled, markets=["HE"])
    assert not list(filled.db_path.parent.glob("*mirror*"))


def test_a_store_of_the_first_version_gets_what_the_mirror_needs(filled, monkeypatch):
    answer = filled.get_training_frame("HE", TIMES)
    filled.close()
    with sqlite3.connect(filled.db_path) as old:
        old.execute("DROP TABLE blocks")
        old.execute("DROP TABLE publish_seals")
        old.execute("DROP TABLE newest")
        old.execute("DELETE FROM about WHERE key = 'identity'")
        old.execute("PRAGMA user_version = 1")
    with FeatureStore(filled.db_path) as migrated:
        assert migrated.get_training_frame("HE", TIMES).equals(answer)
        agree(migrated, markets=["HE"])


def test_a_market_without_a_feature_and_no_rows_at_all(store):
    store.write_feature("HE", "a", at("2025-01-01"), at("2025-01-02"), 1.0)
    store.write_feature("LE", "b", at("2025-01-01"), at("2025-01-02"), None, "missing")
    agree(store)
    mixed = pa.table({"market": ["LE", "HE", "LE"], "time": [at("2025-01-03")] * 3})
    read = store.get_training_frame(mixed, features=["a", "b"], with_meta=True).to_pylist()
    assert [row["a"] for row in read] == [None, 1.0, None]
    assert [row["b__quality"] for row in read] == ["missing", None, "missing"]
    assert store.get_training_frame(["HE"], [], ["a"], with_meta=True).num_rows == 0
    assert store.get_training_frame(["HE", "HE"], [at("2025-01-03")], ["a"])["a"].to_pylist() == [1.0, 1.0]


def test_series_known_at_the_same_instants_share_one_search(filled, monkeypatch):
    for row in filled.vintages("HE", ["a"]).to_pylist():
        filled.write_feature("HE", "twin", row["as_of"], row["available_at"], 1.0)
    filled.get_training_frame("HE", TIMES)
    searched, real = [], np.searchsorted
    monkeypatch.setattr(frame.np, "searchsorted", lambda *words, **more: (searched.append(1), real(*words, **more))[1])
    filled.get_training_frame("HE", TIMES)
    assert len(searched) == 2


def test_processes_that_write_and_read_at_once_agree(filled):
    program = (
        "import sys, datetime as dt\n"
        "from hydra_assets.storage.store import FeatureStore\n"
        "day = dt.datetime(2025, 3, 1, tzinfo=dt.UTC)\n"
        "with FeatureStore(sys.argv[1]) as store:\n"
        "    for n in range(15):\n"
        "        store.write_feature('HE', sys.argv[2], day + dt.timedelta(n), day + dt.timedelta(n), float(n))\n"
        "        got = store.get_training_frame('HE', [day + dt.timedelta(n)], [sys.argv[2]])[sys.argv[2]].to_pylist()\n"
        "        assert got == [float(n)], (n, got)\n"
    )
    workers = [subprocess.Popen([sys.executable, "-c", program, str(filled.db_path), name]) for name in ("a", "b")]
    assert [worker.wait(120) for worker in workers] == [0, 0]
    agree(filled, markets=["HE"], times=[at("2025-03-20")])


def test_a_frontier_by_hand():
    rows = [
        {"as_of": 1, "available_at": 5, "value": 1.0, "quality": "normal"},
        {"as_of": 2, "available_at": 5, "value": 2.0, "quality": "partial"},
        {"as_of": 1, "available_at": 6, "value": 9.0, "quality": "normal"},  # late, of an older day: never served
        {"as_of": 2, "available_at": 7, "value": None, "quality": "missing"},
    ]
    found = frontier_of(rows)
    assert found.as_of.tolist()[-2:] == [2, 2]
    assert found.available_at.tolist()[-2:] == [5, 7]
    assert 9.0 not in found.value.tolist()
