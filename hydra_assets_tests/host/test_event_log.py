"""The event log that a command keeps open holds what Dagster's own class then reads, and leaves the process as it was."""

import os

import dagster as dg
import pytest
from dagster._core.instance.config import dagster_instance_config

from hydra_assets.config.home import resolve_home
from hydra_assets.host import event_log
from hydra_assets.host.event_log import KeptEventLog, command_instance, kept_open
from hydra_assets.host.runs import backfill


def recorded(home):
    """Partitions of COT positions and verdicts of the newest run, as the webserver's class reads them."""
    with dg.DagsterInstance.from_config(str(home.dagster)) as instance:
        assert not isinstance(instance.event_log_storage, KeptEventLog)
        (run,) = instance.get_runs(limit=1)
        positions = dg.AssetKey("cot_disaggregated")
        months = instance.get_materialized_partitions(positions)
        types = [entry.dagster_event_type.value for entry in instance.all_logs(run.run_id) if entry.is_dagster_event]
        (check,) = instance.event_log_storage.get_latest_asset_check_execution_by_key([dg.AssetCheckKey(positions, "keys_unique")]).values()
        return {month.split("|")[-1] for month in months}, types, check.status.value, run.status


def test_a_command_records_what_the_webserver_reads(monkeypatch):
    opened, create = [], event_log.create_engine
    monkeypatch.setattr(event_log, "create_engine", lambda url, **options: opened.append(url) or create(url, **options))
    assert backfill("HE", "2025-10", "2025-11", assets=["cot_disaggregated"]).ok
    months, types, check, status = recorded(resolve_home("sample"))
    assert {"2025-10", "2025-11"} <= months
    assert types.count("ASSET_MATERIALIZATION") == types.count("ASSET_MATERIALIZATION_PLANNED") == 2
    assert types.count("STEP_START") == types.count("STEP_SUCCESS") > 5
    assert (check, status) == ("SUCCEEDED", dg.DagsterRunStatus.SUCCESS)
    assert len(opened) == 2  # the run's file and the index


def test_a_storage_of_ones_own_is_left_alone(tmp_path):
    (tmp_path / "dagster.yaml").write_text("storage:\n  sqlite:\n    base_dir: elsewhere\n")
    settings, _ = dagster_instance_config(str(tmp_path))
    assert kept_open(tmp_path, settings) == {}
    assert kept_open(tmp_path, {})["event_log_storage"]["class"] == "KeptEventLog"


@pytest.mark.parametrize("before", [None, "7"])
def test_the_size_of_a_batch_is_put_back(monkeypatch, before):
    name = "DAGSTER_EVENT_BATCH_SIZE"
    monkeypatch.setenv(name, before) if before else monkeypatch.delenv(name, raising=False)
    with command_instance(resolve_home("sample")):
        assert int(os.environ[name]) > 100
    assert os.environ.get(name) == before
