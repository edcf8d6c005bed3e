"""The store made anew from the lake, and the commands for lake and store."""

import contextlib
import datetime as dt
import json
import os
import shutil
import sqlite3
import time

import pyarrow as pa
import pytest

import hydra_assets
from hydra_assets.core.instants import INSTANT
from hydra_assets.core.months import Month, months_between
from hydra_assets.core.tables.cot import COT_DISAGGREGATED
from hydra_assets.errors import ConflictError, CorruptionError, LockTimeoutError, StorageError
from hydra_assets.flow.outdated import outdated_months
from hydra_assets.flow.publish import compute_months, publish_month
from hydra_assets.storage import rebuild
from hydra_assets.storage.capture import Look
from hydra_assets.storage.lake import ParquetLake
from hydra_assets.storage.rebuild import differences, rebuild_store
from hydra_assets.storage.sqlite import swap
from hydra_assets.storage.store import FeatureStore
from hydra_assets_tests.conftest import at
from hydra_assets_tests.defs.test_revisions import load, weeks
from hydra_assets_tests.storage.test_store_bytes import with_a_negative_zero
from hydra_assets_tests.support.cot_history import revised
from hydra_assets_tests.support.demo_home import Demo

MONTHS = months_between("2024-01", "2024-12")
TIMES = [at("2024-01-05") + dt.timedelta(days=3 * n) for n in range(130)] + [at("2026-08-01")]


def publish(store, lake, months, **more):
    """As the asset does: the store first, then the lake."""
    for computed in compute_months(lake, "cot", "LE", months):
        publish_month(store, "cot", "LE", computed, **more)
        look = Look("asset", computed.month.first, computed.month.last, (), dt.datetime.now(dt.UTC))
        key = {"key": ("feature_name",), "stamps": "derived", "look": look, "allow_retract": bool(more)}
        lake.append_new(computed.rows, "cot_features", "LE", computed.month.first, **key)


@pytest.fixture
def history(lake, store):
    """A year published; then a revision that arrived late; then stamps put right, and what rested on them withdrawn."""
    table = weeks(2023, 2024)
    load(lake, table, MONTHS)
    publish(store, lake, MONTHS)
    stops = [dt.datetime.now(dt.UTC)]
    row = revised(table, 70, available_at=at("2026-07-01"), mm_long=1).slice(table.num_rows)
    month = Month.of(row["as_of"][0].as_py())
    look = Look("cftc", month.first, month.last, ("057642",), at("2026-07-01"))
    lake.append_new(row, COT_DISAGGREGATED.name, "LE", month.first, key=COT_DISAGGREGATED.key, stamps="ours", look=look)
    publish(store, lake, MONTHS)
    stops.append(dt.datetime.now(dt.UTC))
    first = table.slice(52, 1)
    right = first.set_column(first.column_names.index("available_at"), first.schema.field("available_at"), [[at("2024-01-09 20:30")]])
    assert lake.restamp(right, "cot_disaggregated", "LE", MONTHS[0].first, key=("cftc_code",), reason="test", versions={}) == 2
    publish(store, lake, MONTHS[:1], allow_retract=True)
    return stops


def answers(store, stops):
    frames = [store.get_training_frame("LE", TIMES, with_meta=True, recorded_by=by) for by in (None, *stops)]
    return frames, [store.get_features_at("LE", t, recorded_by=by) for t in TIMES[::17] for by in (None, *stops)]


def believed(store):
    return store.vintages("LE").drop_columns("recorded_at").to_pylist()


def test_a_rebuilt_store_gives_identical_answers(history, lake, store):
    before, vintages, publishes = answers(store, history), believed(store), store.publishes()
    store.close()
    made = rebuild_store(lake, store.db_path)
    assert made.backup.exists()
    assert made.dropped == ()
    assert made.recordings > made.vintages == len(vintages)
    with FeatureStore(store.db_path, world="sample") as fresh:
        assert answers(fresh, history) == before
        assert believed(fresh) == vintages
        assert fresh.publishes().equals(publishes)
        assert differences(lake, fresh) == []
        assert fresh.check() == made.recordings
        assert outdated_months(fresh, lake, "cot", "LE") == MONTHS[1:]  # as before: only January was published again
        high = max(r["recorded_at"] for r in fresh.vintages("LE").to_pylist())
        fresh.write_feature("LE", "cot_mm_net", at("2024-12-31"), at("2026-07-02"), 1.0)
        assert max(r["recorded_at"] for r in fresh.vintages("LE").to_pylist()) > high
    with FeatureStore(made.backup) as old:  # the old one is whole
        assert answers(old, history) == before
    assert not list(store.db_path.parent.glob(".store*"))


def test_a_damaged_store_is_made_anew_and_kept_beside(history, lake, store):
    before = answers(store, history)[0][0]
    store.close()
    body = store.db_path.read_bytes()
    store.db_path.write_bytes(b"no database" + body[11:])
    with pytest.raises(CorruptionError):
        FeatureStore(store.db_path)
    made = rebuild_store(lake, store.db_path)
    assert made.backup.read_bytes().startswith(b"no database")
    assert made.publishes == 0
    with FeatureStore(store.db_path) as fresh:
        assert fresh.get_training_frame("LE", TIMES, with_meta=True).equals(before)
        assert outdated_months(fresh, lake, "cot", "LE") == MONTHS  # what no publish tells of is looked at once more


def test_what_the_lake_never_held_stops_a_rebuild(history, lake, store):
    store.write_feature("LE", "my_own", at("2024-06-03"), at("2024-06-04"), 1.0)
    store.close()
    with pytest.raises(ConflictError, match=r"LE my_own.*--drop-others"):
        rebuild_store(lake, store.db_path)
    assert rebuild_store(lake, store.db_path, drop_others=True).dropped == ("LE my_own",)


def test_a_store_that_is_open_elsewhere_is_not_swapped(history, lake, store, monkeypatch):
    monkeypatch.setattr(swap, "BUSY_S", 0.05)
    with pytest.raises(LockTimeoutError, match="open elsewhere"):
        rebuild_store(lake, store.db_path)
    assert store.check() > 0
    assert not list(store.db_path.parent.glob("*before*")) + list(store.db_path.parent.glob(".store*"))


def test_what_does_not_agree_with_the_lake_is_not_put_in_its_place(history, lake, store, monkeypatch):
    store.close()
    real = rebuild._recordings
    monkeypatch.setattr(rebuild, "_recordings", lambda *words: list(real(*words))[:-1])
    with pytest.raises(CorruptionError, match="the old store stays"):
        rebuild_store(lake, store.db_path)
    with FeatureStore(store.db_path) as old:
        assert differences(lake, old) == []


def test_one_who_waits_for_the_old_file_gets_the_new_one(history, lake, store, monkeypatch):
    """Between opening and waiting, a rebuilt store took the file's place."""
    store.close()
    from hydra_assets.storage.sqlite import file as module

    real, swapped = module.configure, []

    def configure(connection, timeout_s):
        if not swapped:
            swapped.append(True)
            store.db_path.replace(store.db_path.with_suffix(".old"))
            FeatureStore(store.db_path, world="sample").close()
        real(connection, timeout_s)

    monkeypatch.setattr(module, "configure", configure)
    with FeatureStore(store.db_path) as opened:
        assert opened.features() == []


def test_a_row_recorded_again_with_the_same_value_is_no_recording_of_the_stores(history, lake, store):
    store.close()
    before = rebuild_store(lake, store.db_path)
    (month,) = (c for c in compute_months(lake, "cot", "LE", MONTHS[-1:]))
    other = month.rows.set_column(4, month.rows.schema.field("unit"), pa.array(["another word"] * month.rows.num_rows))
    look = Look("asset", month.month.first, month.month.last, (), dt.datetime.now(dt.UTC))
    first = month.month.first
    assert lake.append_new(other, "cot_features", "LE", first, key=("feature_name",), stamps="derived", look=look) == other.num_rows
    assert rebuild_store(lake, store.db_path).recordings == before.recordings


def test_negative_zeros_of_the_lake_are_zeros_of_the_store(lake, tmp_path):
    days = [at("2025-01-07"), at("2025-01-08")]
    rows = pa.table(
        {
            "feature_name": ["cot_mm_net"] * 2,
            "as_of": pa.array(days, INSTANT),
            "available_at": pa.array(days, INSTANT),
            "value": [-0.0, 1.0],
            "unit": ["contracts"] * 2,
            "quality": ["normal"] * 2,
        }
    )
    look = Look("asset", days[0].date(), days[1].date(), (), dt.datetime.now(dt.UTC))
    lake.append_new(rows, "cot_features", "LE", days[0], key=("feature_name",), stamps="derived", look=look)
    path = tmp_path / "rebuilt.sqlite"
    assert rebuild_store(lake, path).vintages == 2
    with FeatureStore(path) as store:
        assert str(store.get_features_at("LE", days[0])) == "{'cot_mm_net': 0.0}"
        assert store.check() == 2
        assert differences(lake, store) == []


def test_a_row_of_negative_zero_in_the_store_is_mended_by_a_rebuild(history, lake, store):
    with contextlib.closing(sqlite3.connect(store.db_path)) as old, old:
        old.execute("UPDATE facts SET value = 0.0 WHERE series_id = 1")
    with pytest.raises(CorruptionError):
        store.check()
    store.close()
    rebuild_store(lake, store.db_path)
    with FeatureStore(store.db_path) as mended:
        assert mended.check() > 0
        assert differences(lake, mended) == []


def test_restore_is_for_an_empty_store(history, store):
    with pytest.raises(ConflictError, match="holds facts already"):
        store.restore([])


# ---------------------------------------------------------------- the commands


@pytest.fixture
def mine(demo, tmp_path) -> Demo:
    """The demo's home, to change."""
    shutil.copytree(demo.home, tmp_path / "mine", ignore=shutil.ignore_patterns("dagster", "archives", "cache"))
    return Demo(tmp_path / "mine", "")


def lake_of(home: Demo) -> ParquetLake:
    return ParquetLake(home.home / "sample" / "lake")


def test_the_lake_is_listed_compacted_vacuumed_and_verified(mine):
    lake = lake_of(mine)
    for _ in range(2):
        look = Look("asset", dt.date(2025, 12, 1), dt.date(2025, 12, 31), (), dt.datetime.now(dt.UTC))
        rows = lake.read("cot_features", "HE", dt.date(2025, 12, 1), dt.date(2025, 12, 31))
        key = {"key": ("feature_name",), "stamps": "derived", "look": look, "allow_retract": True}
        lake.append_new(rows.slice(0, 20), "cot_features", "HE", dt.date(2025, 12, 1), **key)
        lake.append_new(rows, "cot_features", "HE", dt.date(2025, 12, 1), **key)
    told = json.loads(mine.run("lake", "ls", "--json").stdout)
    before = {(row["table"], row["market"]): row for row in told["tables"]}
    assert before["cot_features", "HE"]["files"] == before["cot_features", "HE"]["months"] + 4
    assert "futures_bars" in mine.run("lake", "ls", "--table", "futures_bars").stdout
    answer = lake.read("cot_features", "HE")
    months = before["cot_features", "HE"]["months"]
    assert f"1 of {months} months had more than one file" in mine.run("lake", "compact", "--table", "cot_features").stdout
    assert json.loads(mine.run("lake", "compact", "--until", "2025-12", "--table", "cot_features", "--json").stdout)["base_files"] == []
    assert lake.read("cot_features", "HE").equals(answer)
    (row,) = json.loads(mine.run("lake", "ls", "--table", "cot_features", "--json").stdout)["tables"]
    assert (row["files"], row["replaced"], row["rows"]) == (months, 5, before["cot_features", "HE"]["rows"])
    assert json.loads(mine.run("lake", "vacuum", "--json").stdout)["removed"] == []  # the hour of grace
    (base,) = lake.base_path.rglob("base_*.parquet")
    os.utime(base, (time.time() - 7200,) * 2)
    assert "5 replaced files removed" in mine.run("lake", "vacuum").stdout
    assert "files are whole" in mine.run("lake", "verify").stdout
    body = base.read_bytes()
    base.write_bytes(body[: len(body) // 2])
    done = mine.run("lake", "verify", "--json", check=False)
    assert done.returncode == 1
    assert [base.name in line for line in json.loads(done.stdout)["bad"]] == [True]
    assert mine.run("lake", "vacuum", "--hours", "0.5", check=False).returncode == 2
    assert "write 2026-01" in mine.run("lake", "compact", "--until", "soon", check=False).stderr


def test_the_store_is_checked_and_rebuilt(mine):
    path = mine.home / "sample" / "store.sqlite"
    assert "rows are as they were written" in mine.run("store", "check").stdout
    with FeatureStore(path) as store:
        frame = store.get_training_frame("HE", [at("2025-11-20") + dt.timedelta(days=n) for n in range(30)], with_meta=True)
        store.write_feature("HE", "cot_mm_net", at("2025-12-02"), at("2025-12-30"), 1.0)
    done = mine.run("store", "check", "--json", check=False)
    assert done.returncode == 1
    assert "cot_features HE" in json.loads(done.stdout)["wrong"][0]
    told = json.loads(mine.run("store", "rebuild", "--json").stdout)
    assert told["publishes"] > 0
    assert "rows are as they were written" in mine.run("store", "check").stdout
    with FeatureStore(path) as store:
        assert store.get_training_frame("HE", [at("2025-11-20") + dt.timedelta(days=n) for n in range(30)], with_meta=True).equals(frame)
    with sqlite3.connect(told["backup"]) as old:
        assert old.execute("SELECT count(*) FROM facts").fetchone()[0] == told["recordings"] + 1
    path.write_bytes(b"x" * 5000)
    broken = mine.run("store", "check", check=False)
    assert broken.returncode == 1
    assert "hydra-assets store rebuild" in broken.stdout
    assert "rebuilt from the lake" in mine.run("store", "rebuild").stdout


@pytest.mark.parametrize(
    "words", [("lake",), ("lake", "ls"), ("lake", "verify"), ("lake", "compact"), ("lake", "vacuum"), ("store", "rebuild")]
)
def test_help_teaches(demo, words):
    said = demo.run(*words, "--help").stdout
    assert f"Usage: hydra-assets {' '.join(words)}" in said
    assert len(said.split()) > 50


def test_a_store_that_is_held_is_not_taken_for_an_empty_one(tmp_path, lake, monkeypatch):
    monkeypatch.setattr(swap, "BUSY_S", 0.1)
    path = tmp_path / "held.sqlite"
    with FeatureStore(path) as store:
        store.write_feature("HE", "by_hand", at("2025-01-07"), at("2025-01-10"), 1.0)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LockTimeoutError, match=r"held\.sqlite.*another process"):
            rebuild_store(lake, path, drop_others=True)
    with pytest.raises(ConflictError, match="HE by_hand"):
        rebuild_store(lake, path)


def test_a_store_that_is_missing_beside_its_lake_is_not_begun_anew(mine, monkeypatch):
    monkeypatch.setenv("HYDRA_HOME", str(mine.home))
    path = mine.home / "sample" / "store.sqlite"
    path.unlink()
    with pytest.raises(StorageError, match=r"store\.sqlite: is missing.*store rebuild"):
        hydra_assets.open()
    checked = mine.run("store", "check", check=False)
    assert checked.returncode != 0
    assert not path.exists()
    assert "rebuilt from the lake" in mine.run("store", "rebuild").stdout
    with hydra_assets.open() as desk:
        assert desk.store.markets() == ["HE"]


def test_the_check_repairs_negative_zeros(mine):
    path = mine.home / "sample" / "store.sqlite"
    with FeatureStore(path) as store:
        store.write_feature("HE", "cot_mm_net", at("2020-01-07"), at("2020-01-10"), 0.0)
        series = store._table._series()["HE", "cot_mm_net"]
    with_a_negative_zero(path, series)
    assert "checksum" in mine.run("store", "check", check=False).stderr
    assert "1 rows mended" in mine.run("store", "check", "--repair", check=False).stdout


def test_an_empty_world_is_no_failure(home):
    with hydra_assets.open() as desk:
        assert rebuild_store(desk.lake, home / "sample" / "other.sqlite").backup is None
    empty = Demo(home, "")
    assert "holds nothing" in empty.run("lake", "ls").stdout
    assert "The lake is empty" in empty.run("lake", "verify").stdout
