"""A live daemon behind the guarded webserver: ticks, a backfill that is killed, and the same backfill after a new start."""

import collections
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
import requests
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import TickStatus
from websockets.sync.client import connect

import hydra_assets
from hydra_assets.config.home import resolve_home
from hydra_assets.core.months import months_between
from hydra_assets.defs.in_flight import places_of
from hydra_assets.defs.partitions import key_of
from hydra_assets.features import of_family
from hydra_assets.host.webserver import stop
from hydra_assets_tests.host.test_live import BACKFILL, STATUS, ask, free_port, wait_for

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
MODULE = "hydra_assets_tests.support.minutely"
MARKETS = ("GF", "HE", "LE")
MONTHS = months_between("2025-09", "2025-10")
KEYS = [str(key_of(market, month)) for market in MARKETS for month in MONTHS]
COT = ["cot_disaggregated", "cot_features"]
START = """mutation($sensor: SensorSelector!) { startSensor(sensorSelector: $sensor) { __typename ... on PythonError { message } } }"""
STOP = """mutation($origin: String!, $selector: String!) {
  stopSensor(jobOriginId: $origin, jobSelectorId: $selector) { __typename }
}"""


@contextmanager
def served(home, port):
    """The guarded webserver, its code server and its daemon, over this test's home."""
    environment = {**os.environ, "DAGSTER_HOME": str(home.dagster), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "ignore", "-m", "hydra_assets.host.serve", "--port", str(port), "--module", MODULE]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)
    try:
        wait_for(lambda: requests.get(f"http://127.0.0.1:{port}/server_info", timeout=2).ok, 120)
        yield process
    finally:
        stop(process)


@pytest.fixture
def prepared():
    """A home whose dead runs are found in seconds."""
    home = resolve_home()
    home.prepare_dagster()
    settings = home.dagster / "dagster.yaml"
    settings.write_text(settings.read_text().replace("poll_interval_seconds: 10", "poll_interval_seconds: 2"))
    return home


def ticks(instance, kind, name):
    """Ticks of a schedule or sensor: (status, skip reason) of each."""
    states = [state for state in instance.all_instigator_state() if (state.instigator_type, state.instigator_name) == (kind, name)]
    return [(tick.status, tick.skip_reason) for s in states for tick in instance.get_ticks(s.instigator_origin_id, s.selector_id)]


def test_ticks_and_a_backfill_that_is_killed_and_ends_with_every_partition_once(prepared):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with dg.DagsterInstance.from_config(str(prepared.dagster)) as instance:
        with served(prepared, port) as process:
            # The guard, in place: what a page of another site could send is refused, this page's own websocket is not.
            mutation = "mutation{setAutoMaterializePaused(paused:false)}"
            refused = requests.get(f"{url}/graphql", params={"query": mutation}, timeout=30)
            assert refused.status_code == 405
            foreign = requests.post(f"{url}/graphql", json={"query": mutation}, headers={"Origin": "http://evil.example"}, timeout=30)
            assert foreign.status_code == 403
            with connect(f"ws://127.0.0.1:{port}/graphql", origin=url, subprotocols=["graphql-ws"]) as socket:
                socket.send('{"type": "connection_init"}')
                assert "connection_ack" in socket.recv(timeout=30)
            # A sensor's tick by the daemon.
            sensor = {"repositoryLocationName": MODULE, "repositoryName": "__repository__", "sensorName": "vendor_update_sensor"}
            assert ask(port, START, sensor=sensor)["startSensor"]["__typename"] == "Sensor"
            skipped = (TickStatus.SKIPPED, "no market is held yet: begin with a backfill")
            wait_for(lambda: skipped in ticks(instance, InstigatorType.SENSOR, "vendor_update_sensor"), 120)
            (state,) = [s for s in instance.all_instigator_state() if s.instigator_name == "vendor_update_sensor"]
            stopped = ask(port, STOP, origin=state.instigator_origin_id, selector=state.selector_id)
            assert stopped["stopSensor"]["__typename"] == "StopSensorMutationResult"
            # A backfill, killed with everything else as soon as one of its runs has begun.
            launched = ask(port, BACKFILL, keys=KEYS, assets=[{"path": [name]} for name in COT])["launchPartitionBackfill"]
            assert launched["__typename"] == "LaunchBackfillSuccess", launched
            mine = dg.RunsFilter(tags={"dagster/backfill": launched["backfillId"]})
            begun = dg.DagsterRunStatus.STARTED
            wait_for(lambda: any(run.status is begun for run in instance.get_runs(mine)), 120, every=0.05)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        assert any(not run.is_finished for run in instance.get_runs(mine))
        with served(prepared, port):

            def ended():
                told = ask(port, STATUS, id=launched["backfillId"])["partitionBackfillOrError"]
                return told if told["status"] != "REQUESTED" else None

            assert wait_for(ended, 300, every=1)["status"].startswith("COMPLETED")
            wait_for(lambda: all(run.is_finished for run in instance.get_runs(mine)), 120)
            # A schedule's tick by the daemon, and its run, which is asked for: a kill between the two leaves no tick that succeeded.
            scheduled = dg.RunsFilter(tags={"dagster/schedule_name": "every_minute"}, statuses=[dg.DagsterRunStatus.SUCCESS])
            wait_for(lambda: instance.get_runs(scheduled), 180)
        runs = instance.get_runs(mine)
        ended = collections.Counter(place for run in runs if run.is_success for place in places_of(run.tags))
        assert ended == {(market, month): 1 for market in MARKETS for month in MONTHS}
        assert any("its process is gone" in (entry.message or "") for run in runs for entry in instance.all_logs(run.run_id))
    with hydra_assets.open() as desk:
        for market in MARKETS:
            reports = desk.lake.read("cot_disaggregated", market)["as_of"].to_pylist()
            assert len(reports) == len(set(reports)) == 9
            assert desk.lake.read("cot_features", market).num_rows == 9 * len(of_family("cot"))
        desk.lake.verify()
