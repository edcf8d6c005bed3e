"""A failed run is told of: in the log, in a file, by a command, by a webhook; and no secret goes with it."""

import json
import sys

import dagster as dg
import pytest
from structlog.testing import capture_logs

from hydra_assets.config.home import resolve_home
from hydra_assets.config.load import AlertSettings, load_config
from hydra_assets.defs.alerting import alert_on_failure
from hydra_assets.defs.resources import AlertResource
from hydra_assets.errors import ConfigError
from hydra_assets.flow import alerts
from hydra_assets.flow.alerts import Alert, notify
from hydra_assets_tests.sources.test_cftc_source import vendor

KEY = "db-" + "a1B2c" * 6
ALERT = Alert("live", "market_refresh", "abc", "HE|2025-12", "futures_bars", f"HTTP 401 for key={KEY}", "2026-01-02T00:00:00+00:00")


def told_of(settings, **more):
    home = resolve_home()
    home.create()
    notify(ALERT, settings, home=home, **more)
    return home


def test_the_log_alone_by_default_and_masked():
    assert load_config().alerts == AlertSettings("log", "")
    with capture_logs() as written:  # before any processor of the log: the alert itself is masked
        home = told_of(load_config().alerts)
    (line,) = written
    assert (line["event"], line["log_level"], line["partition"]) == ("run failed", "error", "HE|2025-12")
    assert KEY not in str(line)
    assert not list(home.root.glob("alerts*"))


def test_a_file_has_a_line_an_alert_and_no_secret():
    home = told_of(AlertSettings("file", ""))
    told_of(AlertSettings("file", ""))
    lines = (home.root / "alerts.jsonl").read_text().splitlines()
    assert [json.loads(line)["failed_step"] for line in lines] == ["futures_bars"] * 2
    assert KEY not in lines[0]
    assert (home.root / "alerts.jsonl").stat().st_mode & 0o077 == 0


def test_a_command_gets_json_and_no_secret_of_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("DATABENTO_API_KEY", KEY)
    out = tmp_path / "got"
    code = f"import os,sys; open({str(out)!r}, 'w').write(sys.stdin.read() + repr(dict(os.environ)))"
    told_of(AlertSettings("command", f'{sys.executable} -c "{code}"'))
    assert '"partition": "HE|2025-12"' in out.read_text()
    assert KEY not in out.read_text()
    with pytest.raises(ConfigError, match="needs a target"):
        told_of(AlertSettings("command", ""))


def test_a_webhook_gets_json_and_is_never_shown():
    bodies = []

    def answer(handler):
        bodies.append(json.loads(handler.rfile.read(int(handler.headers["Content-Length"]))))
        handler.send_response(500 if len(bodies) > 1 else 200)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    with vendor(answer, method="POST") as (url, _):
        told_of(AlertSettings("webhook", ""), webhook=f"{url}/T0/secretpath")
        assert bodies[0]["text"].startswith("market_refresh HE|2025-12 failed at futures_bars: HTTP 401")
        assert KEY not in str(bodies)
        with pytest.raises(OSError, match="HTTP 500"):
            told_of(AlertSettings("webhook", ""), webhook=f"{url}/T0/secretpath")
    with pytest.raises(OSError, match="did not answer") as gone:
        told_of(AlertSettings("webhook", ""), webhook="http://127.0.0.1:9/T0/secretpath")
    assert "secretpath" not in str(gone.value)
    for address in ("", "http://example.com/T0/secretpath"):
        with pytest.raises(ConfigError, match="https") as refused:
            told_of(AlertSettings("webhook", ""), webhook=address)
        assert "secretpath" not in str(refused.value)


def test_a_notifier_of_a_third_party_and_one_that_is_not_there(monkeypatch):
    got = []

    class Point:
        name = "pager"

        def load(self):
            return lambda alert, target: got.append((alert["run_id"], target))

    monkeypatch.setattr(alerts, "entry_points", lambda group: [Point()] if group == "hydra_assets.notifiers" else [])
    told_of(AlertSettings("pager", "desk"))
    assert got == [("abc", "desk")]
    with pytest.raises(ConfigError, match="'fax' is unknown; known are log, file, command, webhook, pager"):
        told_of(AlertSettings("fax", ""))


def test_the_sensor_tells_which_run_failed_where_and_why(home):
    (home / "config.yaml").parent.mkdir(parents=True, exist_ok=True)
    (home / "config.yaml").write_text("alerts: {notifier: file}\n")
    resolve_home().create()

    @dg.op
    def breaks():
        raise ValueError(f"no way with {KEY}")

    @dg.job
    def broken():
        breaks()

    with dg.DagsterInstance.ephemeral() as instance:
        failed = broken.execute_in_process(instance=instance, raise_on_error=False, tags={"dagster/partition": "HE|2025-12"})
        event = failed.filter_events(lambda e: e.event_type_value == "PIPELINE_FAILURE")[0]
        context = dg.build_run_status_sensor_context(
            sensor_name="alert_on_failure",
            dagster_instance=instance,
            dagster_run=failed.dagster_run,
            dagster_event=event,
            resources={"alerts": AlertResource(base=str(home), world="sample", webhook_secret="")},
        )
        alert_on_failure(context.for_run_failure())
    (line,) = (home / "sample" / "alerts.jsonl").read_text().splitlines()
    told = json.loads(line)
    assert (told["job"], told["partition"], told["failed_step"]) == ("broken", "HE|2025-12", "breaks")
    assert told["reason"] == "ValueError: no way with ***"
