"""Health of lake, store and findings: each fault is named with its place and remedy, and looking changes nothing."""

import contextlib
import os
import sqlite3
import time

import pyarrow as pa
import pytest

from hydra_assets.core.instants import INSTANT
from hydra_assets.storage.health import FindingsHealth, LakeHealth, StoreHealth, lake_health
from hydra_assets.storage.sqlite.findings import Findings
from hydra_assets.storage.sqlite.health import findings_health, store_health
from hydra_assets.storage.store import FeatureStore
from hydra_assets_tests.conftest import at, rows


@pytest.fixture
def filled(lake):
    for day, available in (("2025-10-07", "2025-10-10 19:30"), ("2025-11-04", "2025-11-07 20:30")):
        lake.write(rows(as_of=[day], available_at=[available], value=[1.0]), "cot_features", "HE", at(day))
    lake.write(pa.table({"x": [1]}), "others", "LE", at("2025-10-01"))
    return lake


def publish(store):
    table = pa.table(
        {
            "feature_name": ["cot_mm_net"],
            "as_of": pa.array([at("2025-10-07")], INSTANT),
            "available_at": pa.array([at("2025-10-10 20:00")], INSTANT),
            "value": [1.0],
            "quality": ["normal"],
        }
    )
    store.publish("HE", "2025-10", table, features=["cot_mm_net"], inputs={}, audit=lambda t: None)


def test_what_does_not_exist_has_no_problem_and_is_not_made(tmp_path):
    assert lake_health(tmp_path / "lake", "sample") == LakeHealth()
    assert store_health(tmp_path / "store", "sample") == StoreHealth()
    assert findings_health(tmp_path / "findings") == FindingsHealth()
    assert not list(tmp_path.iterdir())


def test_a_lake_in_order(filled):
    before = {path: path.stat().st_mtime_ns for path in filled.base_path.rglob("*")}
    health = filled.health()
    assert (health.world, health.tables, health.problems, health.orphans) == ("sample", 2, (), ())
    assert health.feature_months == {("HE", "2025-10"), ("HE", "2025-11")}
    assert health.last_recorded_at == filled.newest_recorded("data_type=others/market=LE/year=2025/month=10")
    assert {path: path.stat().st_mtime_ns for path in filled.base_path.rglob("*")} == before


def test_a_lake_of_the_other_world_a_damaged_file_and_an_alien_one(filled):
    (problem,) = lake_health(filled.base_path, "live").problems
    assert "belongs to the world sample, not to live" in problem.detail
    newest = filled.files("cot_features", "HE")[-1]
    body = newest.read_bytes()
    newest.write_bytes(body[:-20] + bytes([body[-20] ^ 1]) + body[-19:])
    (problem,) = filled.health().problems
    assert (problem.subject, problem.place, problem.severity) == ("lake", str(newest), "problem")
    assert "the footer is not the one that was written" in problem.detail
    newest.write_bytes(body)
    (filled.base_path / "WORLD").write_text("live")
    assert len(lake_health(filled.base_path, "live").problems) == 2  # the newest file of each table


def test_leftovers_of_killed_writers_count_after_an_hour(filled):
    stage = filled.base_path / ".staging" / "0123-9"
    stage.mkdir()
    assert filled.health().orphans == ()
    os.utime(stage, (time.time() - 7200,) * 2)
    assert filled.health().orphans == (str(stage),)


def test_a_store_in_order_and_each_of_its_faults(store):
    publish(store)
    health = store.health()
    assert (health.world, health.series, health.published, health.problems) == ("sample", 1, {("HE", "2025-10")}, ())
    assert health.last_recorded_at == store.newest_recorded()
    (problem,) = store_health(store.db_path, "live").problems
    assert "belongs to the world sample, not to live" in problem.detail
    with contextlib.closing(sqlite3.connect(store.db_path)) as db:
        db.execute("PRAGMA user_version = 99")
    (problem,) = store.health().problems
    assert "upgrade" in problem.remedy
    store.close()
    store.db_path.write_bytes(b"no database " * 1000)
    (problem,) = store_health(store.db_path, "sample").problems
    assert "store rebuild" in problem.remedy


def test_health_takes_no_writers_lock(store):
    with FeatureStore(store.db_path) as other, other._table.transaction():
        assert store.health().problems == ()


def test_open_findings_are_counted_and_a_damaged_table_is_named(tmp_path):
    path = tmp_path / "findings.sqlite"
    with Findings(path) as findings:
        findings.judge("cot_features", "replay", [("HE", "2025-10")], {("HE", "2025-10"): "value: 3"})
    assert findings_health(path) == FindingsHealth(1)
    path.write_bytes(b"garbage " * 500)
    (problem,) = findings_health(path).problems
    assert "move it away" in problem.remedy
