"""The graph as Dagster sees it, and that nothing shows a key."""

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.execution.api import create_execution_plan

from hydra_assets.checks.registry import CHECKS
from hydra_assets.config.home import resolve_home
from hydra_assets.core.months import Month
from hydra_assets.core.tables.registry import FEATURE_TABLES, TABLES
from hydra_assets.definitions import definitions_for
from hydra_assets.defs.partitions import MARKET_MONTH, key_of
from hydra_assets.defs.resources import SecretlessResource
from hydra_assets_tests.support.dagster_runs import definitions
from hydra_assets_tests.support.snapshot import check_snapshot

ROOT = Path(__file__).parents[2]
SNAPSHOT = Path(__file__).with_name("definitions.json")


def test_the_graph_and_its_checks_are_as_in_the_snapshot():
    """Groups and dependencies, which checks block, and the names of jobs, schedules and sensors."""
    built = definitions()
    graph = built.resolve_asset_graph()
    nodes = {key.path[-1]: graph.get(key) for key in graph.get_all_asset_keys()}
    specs = [spec for check in built.asset_checks for spec in check.check_specs]
    made = {
        "assets": {name: {"group": n.group_name, "reads": sorted(k.path[-1] for k in n.parent_keys)} for name, n in nodes.items()},
        "checks": {name: {s.name: "blocks" if s.blocking else "warns" for s in specs if s.asset_key.path[-1] == name} for name in nodes},
        "jobs": sorted(job.name for job in built.jobs or ()),
        "schedules": sorted(schedule.name for schedule in built.schedules or ()),
        "sensors": sorted(sensor.name for sensor in built.sensors or ()),
    }
    check_snapshot(SNAPSHOT, made)
    assert set(nodes) == set(TABLES)


def test_every_asset_is_a_market_and_a_month_and_says_its_world():
    graph = definitions().resolve_asset_graph()
    for node in map(graph.get, graph.get_all_asset_keys()):
        assert node.partitions_def == MARKET_MONTH
        assert node.backfill_policy == dg.BackfillPolicy.single_run()
        assert node.metadata["world"].value == "sample"
        assert node.tags["world"] == "sample"
        assert node.description


def test_every_table_has_its_checks_and_what_would_be_wrong_blocks():
    blocking = {(s.asset_key.path[-1], s.name): s.blocking for check in definitions().asset_checks for s in check.check_specs}
    every = {(name, check): check == "keys_unique" for name in TABLES for check in ("keys_unique", "open_findings", "staleness")}
    proofs = {(table.name, check): True for table in FEATURE_TABLES.values() for check in ("no_lookahead", "replay", "poison")}
    served = {(table.name, "served"): False for table in FEATURE_TABLES.values()}
    assert {**blocking, **every, **proofs, **served} == blocking


BESIDE = [
    (table.name, check.name, check.beside) for check in CHECKS if check.beside for table in check.tables if check.beside != table.name
]


@pytest.fixture(scope="module")
def steps():
    """Each step of a run of everything, with the steps that it waits for."""
    plan = create_execution_plan(definitions().resolve_implicit_global_asset_job_def())
    return {step.key: step.get_execution_dependency_keys() for step in plan.steps}


@pytest.mark.parametrize(("table", "check", "beside"), BESIDE)
def test_a_check_of_two_tables_waits_for_both(table, check, beside, steps):
    """The check comes after the last try of either table, and not before the rows of both are held."""
    assert {table, beside} <= steps[f"{table}_{check}"]


def test_every_asset_writes_through_the_lakes_io_manager_and_runs_in_process():
    built = definitions()
    for asset in built.assets:
        assert {out.io_manager_key for out in asset.op.output_defs} == {"lake_io"}
    assert built.executor is dg.in_process_executor


def test_no_resource_shows_a_key():
    key = "db-" + "a1B2c" * 6

    class Keyed(SecretlessResource):
        api_key: str
        url: str

    shown = Keyed(api_key=key, url=f"https://x?api_key={key}")
    for text in (repr(shown), str(shown), f"{shown}"):
        assert key not in text
        assert "Keyed(" in text
    for resource in definitions().resources.values():
        assert "db-" not in repr(resource)


def test_the_live_world_needs_its_key_for_futures_alone_and_never_shows_it(monkeypatch):
    monkeypatch.delenv("DATABENTO_API_KEY", raising=False)
    without = definitions_for(resolve_home("live"))
    assert without.resources["databento"].api_key == ""
    job = without.resolve_implicit_global_asset_job_def()
    key = str(key_of("HE", Month(2025, 10)))
    tags = {"dagster/asset_partition_range_start": key, "dagster/asset_partition_range_end": key}
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    done = job.execute_in_process(tags=tags, asset_selection=[dg.AssetKey("futures_definitions")], run_config=quiet, raise_on_error=False)
    (failed,) = done.get_step_failure_events()
    assert "set DATABENTO_API_KEY" in failed.event_specific_data.error.to_string()
    assert job.execute_in_process(tags=tags, asset_selection=[dg.AssetKey("cot_features")], run_config=quiet).success
    monkeypatch.setenv("DATABENTO_API_KEY", "db-" + "x1" * 14)
    keyed = definitions_for(resolve_home("live")).resources["databento"]
    assert isinstance(keyed.api_key, dg.EnvVar)
    assert "x1x1" not in repr(keyed)


def test_the_workspace_file_loads_here(tmp_path):
    """`dagster definitions validate` on workspace.yaml, as a newcomer would."""
    command = [sys.executable, "-W", "ignore", "-m", "dagster", "definitions", "validate", "-w", "workspace.yaml"]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "DAGSTER_HOME": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed validation" in done.stdout + done.stderr


@pytest.mark.slow
def test_dg_checks_and_lists_the_definitions():
    dg_command = Path(sys.executable).with_name("dg")
    done = subprocess.run([dg_command, "check", "defs"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    listed = subprocess.run([dg_command, "list", "defs"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert listed.returncode == 0, listed.stderr
    for name in ("cot_disaggregated", "cot_features", "cot_release_sensor", "after_cot_release", "no_lookahead"):
        assert name in listed.stdout


def test_every_table_says_whose_it_is_what_its_columns_mean_and_how_to_read_it():
    built = definitions()
    for key, spec in _specs(built).items():
        name = key.path[-1]
        assert spec.owners == ["team:desk"]
        assert spec.kinds
        assert {"world", "stamps", "cadence"} <= set(spec.tags)
        columns = spec.metadata["dagster/column_schema"].columns
        assert [column.name for column in columns] == TABLES[name].schema.names
        assert [column.name for column in columns if not column.description] == [], f"{name}: say what they mean in defs/columns.py"
        assert TABLES[name].description[:40] in spec.description or "Commitments of Traders" in spec.description
        assert f"read_known('{name}'" in spec.description
    assert all(job.description for job in built.jobs)


def _specs(built):
    return {spec.key: spec for asset in built.assets for spec in asset.specs}
