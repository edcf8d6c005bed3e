"""A live webserver and daemon: the two entrances, a backfill from the UI's own interface, and an end without remains."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

import hydra_assets
from hydra_assets.config.home import resolve_home
from hydra_assets.core.months import months_between
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.defs.partitions import key_of
from hydra_assets.host.runs import MarketRun
from hydra_assets.host.webserver import start_dagster, stop
from hydra_assets_tests.conftest import at
from hydra_assets_tests.support.dagster_runs import definitions

ROOT = Path(__file__).parents[2]
BACKFILL = """mutation($keys: [String!]!, $assets: [AssetKeyInput!]!) {
  launchPartitionBackfill(backfillParams: {
    partitionNames: $keys, assetSelection: $assets
  }) { __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } }
}"""
STATUS = "query($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status runs { id status } } } }"
LOCATIONS = "{ workspaceOrError { ... on Workspace { locationEntries { name loadStatus displayMetadata { key value } } } } }"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(port, query, **variables):
    answer = requests.post(f"http://127.0.0.1:{port}/graphql", json={"query": query, "variables": variables}, timeout=60)
    answer.raise_for_status()
    document = answer.json()
    assert "errors" not in document, document
    return document["data"]


def wait_for(what, seconds, every=0.5):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            found = what()
        except requests.RequestException:
            found = None
        if found:
            return found
        time.sleep(every)
    raise AssertionError(f"not within {seconds} s: {what}")


@contextmanager
def dagster_dev(port):
    """`dagster dev -w workspace.yaml`, as the README says, over this test's home."""
    home = resolve_home()
    home.prepare_dagster()
    command = [sys.executable, "-W", "ignore", "-m", "dagster", "dev", "-w", "workspace.yaml", "-p", str(port), "-h", "127.0.0.1"]
    environment = {**os.environ, "DAGSTER_HOME": str(home.dagster)}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        stop(process)


@pytest.mark.slow
def test_a_year_of_two_markets_from_the_ui_are_one_run_each_and_the_other_entrance_finds_all_of_it():
    keys = [str(key_of(market, month)) for market in ("HE", "LE") for month in months_between("2025-01", "2025-12")]
    port = free_port()
    with dagster_dev(port):
        wait_for(lambda: requests.get(f"http://127.0.0.1:{port}/server_info", timeout=2).ok, 90)
        launched = ask(port, BACKFILL, keys=keys, assets=[{"path": [name]} for name in TABLES])["launchPartitionBackfill"]
        assert launched["__typename"] == "LaunchBackfillSuccess", launched

        def finished():
            told = ask(port, STATUS, id=launched["backfillId"])["partitionBackfillOrError"]
            return told if told["status"] not in ("REQUESTED",) else None

        told = wait_for(finished, 1500, every=1)
    assert told["status"] == "COMPLETED_SUCCESS", told
    assert [run["status"] for run in told["runs"]] == ["SUCCESS", "SUCCESS"]
    with hydra_assets.open() as desk:
        assert desk.lake.read("cot_disaggregated", "HE").num_rows == 52
        assert len(set(desk.lake.read("futures_bars", "LE")["as_of"].to_pylist())) == 251
        assert desk.store.get_features_at("HE", at("2025-10-20 12:00"))["cot_mm_net"] == 140_103
    # The command line's own way to run finds the same lake and store: nothing is new.
    again = MarketRun(resolve_home(), "HE", months_between("2025-10", "2025-12"))
    again.execute()
    outcome = again.result()
    assert (outcome.new_rows, outcome.failures) == (0, ())
    assert {check.verdict for check in outcome.checks} == {"passed", "nothing_served"}
    assert len(outcome.checks) == sum(len(list(check.check_keys)) for check in definitions().asset_checks)


@pytest.mark.slow
def test_the_ui_shows_its_world_refuses_a_second_daemon_and_stops_whole():
    command = [str(Path(sys.executable).with_name("hydra-assets")), "ui", "--port"]
    port = free_port()
    with subprocess.Popen(
        [*command, str(port)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as first:
        banner = first.stdout.readline()
        while "http://" not in banner:
            assert banner, "the UI ended before it was up"
            banner = first.stdout.readline()
        assert "world sample" in banner
        assert str(port) in banner
        (entry,) = ask(port, LOCATIONS)["workspaceOrError"]["locationEntries"]
        assert entry["loadStatus"] == "LOADED"
        second = subprocess.run([*command, str(free_port())], capture_output=True, text=True, timeout=60, check=False)
        assert second.returncode == 1
        assert "a daemon runs already" in second.stderr
        taken = subprocess.run([*command, str(port)], capture_output=True, text=True, timeout=60, check=False)
        assert f"port {port} on 127.0.0.1 is taken" in taken.stderr
        beside = free_port()
        with subprocess.Popen([*command, str(beside), "--read-only"], stdout=subprocess.PIPE, text=True, start_new_session=True) as looking:
            assert any("without a daemon" in line for line in looking.stdout)
            assert ask(beside, LOCATIONS)["workspaceOrError"]["locationEntries"][0]["loadStatus"] == "LOADED"
            assert not [line for line in _descendants(looking.pid) if "dagster._daemon" in line]
            looking.send_signal(signal.SIGINT)
            assert looking.wait(60) == 0
        children = [int(line.split()[1]) for line in _descendants(first.pid)]
        assert len(children) >= 3  # dagster dev, webserver, daemon
        first.send_signal(signal.SIGINT)
        assert first.wait(60) == 0
    wait_for(lambda: not [pid for pid in children if _alive(pid)], 20)
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://127.0.0.1:{port}/server_info", timeout=2)


def _descendants(pid: int) -> list[str]:
    lines = subprocess.run(["ps", "-eo", "ppid=,pid=,args="], capture_output=True, text=True, check=True).stdout.splitlines()
    found, parents = [], {pid}
    while True:
        more = [line for line in lines if int(line.split()[0]) in parents and line not in found]
        if not more:
            return found
        found += more
        parents |= {int(line.split()[1]) for line in more}


def _alive(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout.strip()
    return bool(state) and not state.startswith("Z")


@pytest.mark.slow
def test_a_ui_that_cannot_start_says_so(monkeypatch):
    home = resolve_home()
    home.prepare_dagster()
    (home.dagster / "dagster.yaml").write_text("telemetry: {enabled: maybe}\n")
    process = start_dagster(home, free_port())
    assert process.wait(60) != 0
    stop(process)
