"""`hydra-assets backfill` and `hydra_assets.backfill`: a range as one run, gone on with after Ctrl-C, a kill or a fault."""

import datetime as dt
import json
import re
import shutil
import signal
import subprocess
import sys

import dagster as dg
import pytest
import yaml
from typer.testing import CliRunner

import hydra_assets
from hydra_assets.cli.main import app
from hydra_assets.config.home import Home, resolve_home
from hydra_assets.core.months import Month
from hydra_assets.errors import BudgetError, ConfigError, HydraError, InvalidTimeError
from hydra_assets.host.outcome import Gap, TableOutcome
from hydra_assets.host.run_locks import dead_runs
from hydra_assets.host.runs import selected
from hydra_assets.sources.ledger import Ledger
from hydra_assets.sources.sample.databento import SAMPLE_KEY
from hydra_assets.storage.lake import ParquetLake
from hydra_assets_tests.support.rude_vendor import addresses, serving

COT = ("cot_disaggregated", "cot_features")


@pytest.fixture(scope="session")
def new_instance(tmp_path_factory):
    """Dagster's empty tables, made once: making them takes longer than most of these runs."""
    home = Home("sample", tmp_path_factory.mktemp("instance"))
    home.prepare_dagster()
    with dg.DagsterInstance.from_config(str(home.dagster)) as instance:
        assert not instance.get_runs()
    return home.dagster


@pytest.fixture(autouse=True)
def prepared(home, new_instance):
    shutil.copytree(new_instance, resolve_home("sample").dagster)
    shutil.copytree(new_instance, resolve_home("live").dagster)


def run(*words, answer=None):
    return CliRunner().invoke(app, ["backfill", *words], input=answer)


def runs_of(home):
    with dg.DagsterInstance.from_config(str(home.dagster)) as instance:
        return {run.run_id: run for run in instance.get_runs()}


def test_a_range_is_one_run_in_the_homes_own_instance_and_a_second_time_for_nothing():
    first = run("HE", "2025-09..2025-10", "--select", ",".join(COT), "--json")
    assert first.exit_code == 0, first.output
    told = json.loads(first.stdout)
    assert (told["ok"], told["world"], told["failures"]) == (True, "sample", [])
    assert {table["table"]: (table["status"], table["months"]) for table in told["tables"]} == dict.fromkeys(COT, ("done", 2))
    assert told["new_rows"] == sum(table["new_rows"] for table in told["tables"]) > 9
    assert {check["verdict"] for check in told["checks"]} == {"passed", "nothing_served"}
    with hydra_assets.open() as desk:
        assert desk.lake.read("cot_disaggregated", "HE").num_rows == 9
    ((run_id, made),) = runs_of(resolve_home()).items()
    assert (run_id, made.status) == (told["run_id"], dg.DagsterRunStatus.SUCCESS)
    assert made.tags["dagster/max_retries"] == "0"

    again = hydra_assets.backfill("HE", "2025-09", Month(2025, 10), assets=COT)
    assert again.ok
    assert again.new_rows == 0
    assert [table.months for table in again.tables] == [2, 2]


def test_what_it_did_is_told_table_by_table_and_a_day_that_is_not_out_is_a_gap_with_its_reason():
    this_month = str(Month.of(dt.datetime.now(dt.UTC).date()))
    done = run("HE", this_month, "--assets", "futures_definitions,futures_statistics", "-q")
    assert done.exit_code == 0, done.output
    assert f"HE {this_month} (sample world)" in done.stdout
    assert "futures_definitions │ done" in done.stdout
    # The last session's open interest comes the next morning, so there is always a day to wait for.
    assert re.search(r"gap +futures_statistics 2\d\d\d-\d\d-\d\d: its last record can come until", done.stdout)
    told = json.loads(run("HE", this_month, "--select", "futures_statistics", "--json").stdout)
    gap = told["tables"][0]["gaps"][-1]
    assert gap["reason"].startswith("its last record can come until")
    assert told["tables"][0]["gaps_by_reason"][-1] == f"{gap['when']}: {gap['reason']}"
    assert told["ok"]


def test_gaps_of_one_reason_are_one_line():
    gaps = tuple(Gap(f"2025-10-{day:02}", "no listed options" if day < 30 else "not out yet") for day in range(1, 31))
    outcome = TableOutcome("option_quotes", "done", 1, 0, gaps, 0.0)
    assert [str(group) for group in outcome.gaps_by_reason] == [
        "2025-10-01..2025-10-29 (29): no listed options",
        "2025-10-30: not out yet",
    ]


def test_ctrl_c_keeps_what_it_had_and_the_same_command_goes_on_from_there():
    def stop(done, doing):
        if doing == "futures_bars":
            signal.raise_signal(signal.SIGINT)

    wanted = ("futures_definitions", "futures_bars")
    stopped = hydra_assets.backfill("HE", "2025-10", assets=wanted, progress=stop)
    assert stopped.interrupted
    assert not stopped.ok
    assert not stopped.failures
    status = {table.table: table.status for table in stopped.tables}
    assert status["futures_definitions"] == "done"
    assert status["futures_bars"] in ("stopped", "not run")
    with Ledger(resolve_home().ledger) as ledger:
        assert len(ledger.requests()) == 1
    ended = hydra_assets.backfill("HE", "2025-10", assets=wanted)
    assert ended.ok
    assert {table.status for table in ended.tables} == {"done"}
    with Ledger(resolve_home().ledger) as ledger:
        schemas = [request["schema"] for request in ledger.requests()]
        assert sorted(schemas) == ["definition", "ohlcv-1d"]  # each was asked once: nothing is paid twice


def test_ctrl_c_ends_a_wait_for_another_run_too():
    home, waits = resolve_home(), []
    with dg.DagsterInstance.from_config(str(home.dagster)) as instance:
        storage = instance.event_log_storage
        assert storage.initialize_concurrency_limit_to_default("vendor")
        assert storage.claim_concurrency_slot("vendor", "another-run", "futures_bars").is_claimed

    def stop(done, doing):
        if "waits" in doing:
            waits.append(doing)
            signal.raise_signal(signal.SIGINT)

    stopped = hydra_assets.backfill("HE", "2025-10", assets=["futures_definitions"], progress=stop)
    assert waits == ["futures_definitions waits for another run to end"]
    assert stopped.interrupted
    assert not stopped.failures
    assert [table.status for table in stopped.tables] == ["not run"]


@pytest.mark.slow
def test_a_killed_run_is_ended_by_the_next_and_leaves_no_half_of_anything():
    program = (
        "import hydra_assets, os\n"
        "def die(done, doing):\n    if doing == 'futures_bars': os.kill(os.getpid(), 9)\n"
        "hydra_assets.backfill('HE', '2025-10', assets=['futures_definitions', 'futures_bars'], progress=die)"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode == -9
    home = resolve_home()
    (dead,) = dead_runs(home)
    assert runs_of(home)[dead].status is dg.DagsterRunStatus.STARTED  # as Dagster would show it for hours
    outcome = hydra_assets.backfill("HE", "2025-10", assets=["futures_definitions", "futures_bars"])
    assert outcome.ok
    assert {table.table: table.new_rows > 0 for table in outcome.tables} == {"futures_definitions": False, "futures_bars": True}
    assert runs_of(home)[dead].status is dg.DagsterRunStatus.CANCELED
    assert dead_runs(home) == []


def test_a_failed_step_is_told_with_its_reason_and_exit_code_1():
    home = resolve_home()
    home.create()
    ParquetLake(home.lake, world="live")  # somebody copied the wrong folder
    done = run("HE", "2025-10", "--select", "futures_definitions,futures_bars", "-q")
    assert done.exit_code == 1
    assert "futures_definitions │ failed" in done.stdout
    assert "futures_bars        │ not run" in done.stdout
    assert "failed   futures_definitions:" in done.stdout
    assert "belongs to the world 'live'" in done.stdout


def test_a_failed_blocking_check_is_told_and_exit_code_1():
    assert hydra_assets.backfill("HE", "2025-10", assets=["futures_definitions"]).ok
    with hydra_assets.open() as desk:  # the same rows once more, past the capture rule
        desk.lake.write(desk.lake.read("futures_definitions", "HE"), "futures_definitions", "HE", dt.date(2025, 10, 31))
    done = run("HE", "2025-10", "--select", "futures_definitions", "--json")
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert (told["ok"], told["failures"]) == (False, [])
    assert "keys_unique" in [check["name"] for check in told["checks"] if check["verdict"] == "failed"]


@pytest.mark.parametrize(
    ("words", "kind", "says"),
    [
        (["HE", "2009-12"], InvalidTimeError, "2009-12 is no partition: they go from 2010-06"),
        (["HE", "2025-10..2025-09"], InvalidTimeError, "ends before it begins"),
        (["HE", "2025"], InvalidTimeError, "not a range of months"),
        (["he", "2025-10"], ConfigError, "did you mean HE?"),
        (["HE", "2025-10", "--select", "cot_featurs"], ConfigError, "did you mean cot_features?"),
    ],
)
def test_what_is_asked_wrongly_is_said_clearly(words, kind, says):
    done = run(*words)
    assert done.exit_code == 1
    assert isinstance(done.exception, kind)
    assert says in str(done.exception)


def test_a_selection_is_of_tables_and_groups_in_the_order_of_the_graph():
    assert selected(["features", "cot_disaggregated"]) == [n for n in selected(None) if n.endswith("_features") or n == "cot_disaggregated"]


@pytest.fixture
def live_vendor(home, monkeypatch):
    """The live world of this home, pointed at a vendor on loopback that takes the key and names prices."""
    with serving(cache=home / "cache", now=None) as vendor:
        blocks = addresses(vendor.url)
        blocks["databento"] = {**blocks["databento"], "run_budget_usd": 2.0}
        (home / "config.yaml").write_text(yaml.safe_dump(blocks))
        monkeypatch.setenv("DATABENTO_API_KEY", SAMPLE_KEY)
        yield resolve_home("live")


LIVE = ("HE", "2025-10", "--world", "live", "--select", "futures_definitions,futures_bars")


def test_in_the_live_world_the_price_comes_first_and_no_means_no(live_vendor):
    refused = run(*LIVE, answer="n\n")
    assert refused.exit_code == 1
    assert "Pay $0.0" in refused.output
    with Ledger(live_vendor.ledger) as ledger:
        assert ledger.requests() == []
    assert runs_of(live_vendor) == {}
    mute = run(*LIVE, "--json")
    assert isinstance(mute.exception, HydraError)
    assert "add --yes" in str(mute.exception)

    paid = run(*LIVE, answer="y\n")
    assert paid.exit_code == 0, paid.output
    with Ledger(live_vendor.ledger) as ledger:
        assert len(ledger.requests()) == 2
        assert ledger.spent() > 0
    told = json.loads(run(*LIVE, "--json", "--yes").stdout)
    assert (told["world"], told["new_rows"], told["paid_usd"]) == ("live", 0, 0)


def test_what_does_not_fit_a_budget_is_refused_at_once_and_says_what_to_set(live_vendor, home):
    months = ("HE", "2025-09..2025-10", "--world", "live")
    priced = json.loads(CliRunner().invoke(app, ["quote", *months, "--json"]).stdout)
    by_table = {row["table"]: row["usd"] for row in priced["tables"]}
    price, file = by_table["futures_definitions"], home / "config.yaml"
    budget = price * 0.6  # one of two months
    file.write_text(file.read_text().replace("run_budget_usd: 2.0", f"run_budget_usd: {budget}\n  day_budget_usd: {price / 2}"))
    lacking = json.loads(CliRunner().invoke(app, ["quote", *months, "--json"]).stdout)["lacking"]
    assert len(lacking) == 2
    words = (*months, "--select", "futures_definitions")
    refused = run(*words, "--yes", "--json")
    assert isinstance(refused.exception, BudgetError)
    for part in (f"costs ${price:,.4f}", "databento.run_budget_usd to 0.0", "databento.day_budget_usd to 0.0", str(file), "--up-to-budget"):
        assert part in str(refused.exception)
    with Ledger(live_vendor.ledger) as ledger:
        assert ledger.requests() == []
    file.write_text(file.read_text().replace(f"day_budget_usd: {price / 2}", "day_budget_usd: 9.0"))
    partly = run(*words, "--up-to-budget", answer="y\n")
    assert partly.exit_code == 0, partly.output
    assert "Pay what the budgets allow of" in partly.output
    assert re.search(r"gap +futures_definitions .*over budget", partly.output)
    with Ledger(live_vendor.ledger) as ledger:
        assert 0 < ledger.spent() <= budget
    rest = run(*words, answer="y\n")  # another run, with a budget of its own
    assert rest.exit_code == 0, rest.output
    with Ledger(live_vendor.ledger) as ledger:
        assert ledger.spent() == pytest.approx(price)


def test_days_held_have_a_price_of_their_own_and_are_paid_again_on_request_alone(live_vendor):
    words = ("HE", "2025-10", "--world", "live")
    assert run(*words, "--select", "futures_definitions", "--yes", "--json").exit_code == 0
    with Ledger(live_vendor.ledger) as ledger:
        price = ledger.spent()
        ((number,),) = ledger._db.execute("SELECT id FROM requests").fetchall()
        ledger._update(number, "UPDATE requests SET seen_at = ?, asked_at = ? WHERE id = ?", *["2026-01-02T00:00:00+00:00"] * 2)
    shown = CliRunner().invoke(app, ["quote", *words, "--again"])
    assert f"Already held: 23 table-days that are asked for again, ${price:,.4f}" in " ".join(shown.output.split())
    rows = {row["table"]: row for row in json.loads(CliRunner().invoke(app, ["quote", *words, "--again", "--json"]).stdout)["tables"]}
    assert rows["futures_definitions"]["again_usd"] == rows["futures_definitions"]["usd"] == pytest.approx(price)
    assert rows["futures_bars"]["again_usd"] == 0 < rows["futures_bars"]["usd"]
    for _ in range(2):  # the second time they were seen today
        assert run(*words, "--select", "futures_definitions", "--again", "--yes", "--json").exit_code == 0
        with Ledger(live_vendor.ledger) as ledger:
            assert ledger.spent() == pytest.approx(2 * price)


def test_the_progress_of_what_takes_long_is_shown(home):
    (home / "config.yaml").write_text("databento: {batch_above_mb: 0.0}\nsample: {rude: slow_jobs, busy_polls: 1}\n")
    shown = []
    done = hydra_assets.backfill("HE", "2025-10", assets=["futures_definitions"], progress=lambda count, line: shown.append(line))
    assert not done.failures
    assert any(re.search(r"futures_definitions .*batch job \S+ is queued", line) for line in shown)


def test_what_is_free_is_not_asked_about(live_vendor, monkeypatch):
    monkeypatch.delenv("DATABENTO_API_KEY")
    done = run("HE", "2025-10", "--world", "live", "--select", "futures_continuous", "-q")
    assert done.exit_code == 0, done.output
    assert "Pay" not in done.output
    assert re.search(r"warning +futures_continuous keys_unique: unproven", done.output)
