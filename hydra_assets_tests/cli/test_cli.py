"""The command line as a person meets it, over a home that the real demo made; what a process alone shows, in real processes."""

import json
import os
import re
import signal
import sqlite3
import stat
import subprocess

import dagster as dg
import pytest
import requests

import hydra_assets
from hydra_assets.cli.walkthrough import REAL
from hydra_assets.core.months import months_between
from hydra_assets.defs.partitions import parts_of
from hydra_assets.features import ALL, of_family
from hydra_assets.storage.lake import ParquetLake
from hydra_assets_tests.support.demo_home import PROGRAM, Demo

COMMANDS = [
    *("demo", "ui", "features", "history", "explain", "backfill", "export", "quote", "catalogue", "doctor", "sample-vendor", "config"),
    *("prove", "lint", "audit", "verify"),
]


def contents(home):
    lake = {path.relative_to(home).as_posix() for path in home.rglob("*.parquet")}
    with sqlite3.connect(home / "sample" / "store.sqlite") as plain:
        return lake, plain.execute("SELECT count(*), max(recorded_at) FROM facts").fetchone()


def test_the_demo_shows_the_shutdown_and_counts_the_cheating(demo):
    printed = demo.printed
    assert "world sample" in printed
    assert "synthetic" in printed
    assert re.search(r"available_at │ Fri 2025-08-29 19:30Z", printed)
    # As of 30 September, published on 19 November: the naive join has it 49 days early on the day after.
    assert re.search(r"Wed 10-01 │ 144,954 │ 09-30 │ +140,103 │ 09-23 │ wrong, 49 days early", printed)
    assert re.search(r"Mon 09-29 │ 140,103 │ 09-23 │ +140,103 │ 09-23 │ right", printed)
    assert re.search(r"used 1,098 of\s+1,470 values before they existed, on 183 of 245 days; the earliest by 50 days", printed)
    assert re.search(r"used 1,004 of 1,004\s+values of 4 price features before they existed", printed)
    verdicts = re.findall(r"│ (?:\w+_\w+|rates) +│ ([\w ]+?) +│ (\w+) ", printed)
    assert [name for name, _ in verdicts] == ["no_lookahead", "replay"] * 5 + [
        f"{n} checks" for n in (4, 4, 3, 6, 4, 4, 6, 3, 4, 4, 4, 10, 6, 5, 4, 6, 4, 5, 4)
    ]
    assert {verdict for _, verdict in verdicts} == {"passed"}
    assert re.search(r"│ 5 tables +│ served +│ - +│ nothing was handed out", printed)
    assert "356,858 new rows" in printed


def test_the_demo_shows_when_each_number_of_a_winters_evening_was_known(demo):
    told = demo.printed.split("(c)")[1].split("(d)")[0]
    assert re.search(r"settlement, preliminary │ +[\d.]+ │ Wed 2025-12-03 19:08", told)
    assert re.search(r"settlement, final +│ +[\d.]+ │ Thu 2025-12-04 00:00:01Z", told)  # 18:00 in Chicago is the next UTC day
    assert re.search(r"open interest +│ +[\d,]+ │ Thu 2025-12-04 12:45", told)


@pytest.mark.slow
def test_a_second_demo_is_faster_and_changes_nothing(demo):
    before = contents(demo.home)
    done = demo.process("demo", "-q")
    again = done.stdout
    assert done.stderr == ""
    assert "0 new rows in the lake: it held them all" in again
    assert contents(demo.home) == before
    table = re.compile(r"\(b\).*?earliest by", re.S)
    assert table.search(again)[0] == table.search(demo.printed)[0]


def test_the_demos_2025_is_in_dagsters_own_records(demo):
    events = sqlite3.connect(demo.home / "sample" / "dagster" / "history" / "runs.db").execute("SELECT status FROM runs").fetchall()
    assert ("SUCCESS",) in events
    for path in (demo.home / "sample").rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                assert file.read(2) != b"\x80\x04", f"a pickle: {path}"


def test_the_ui_shows_the_months_of_the_warm_up_as_filled(demo):
    with dg.DagsterInstance.from_config(str(demo.home / "sample" / "dagster")) as instance:
        months = {table: instance.get_materialized_partitions(dg.AssetKey(table)) for table in ("futures_bars", "cot_features")}
    assert {str(parts_of(key)[1]) for key in months["futures_bars"]} == set(map(str, months_between("2022-01", "2025-12")))
    assert {str(parts_of(key)[1]) for key in months["cot_features"]} == set(map(str, months_between("2025-01", "2025-12")))


def test_what_is_shown_as_real_rests_on_real_rows_alone(demo):
    told = json.loads(demo.run("features", "HE", "--at", "2025-10-20T12:00Z", "--json").stdout)
    synthetic = {name for name, row in told["features"].items() if row["synthetic"]}

    assert not synthetic & set(REAL)
    cot = {"cot_mm_pct_52", "cot_sentiment", "cot_index_156", "cot_mm_z_156", "cot_chg_1w", "cot_chg_4w", "cot_crowding"}
    assert synthetic == cot | {feature.name for family in ("futures", "options", "cash", "divergence") for feature in of_family(family)}
    lake = ParquetLake(demo.home / "sample" / "lake")
    flags = {row["as_of"].year: row["synthetic"] for row in lake.read("cot_disaggregated", "HE").to_pylist()}
    assert flags == {2022: True, 2023: True, 2024: True, 2025: False}


def test_features_explain_and_history_agree(demo):
    told = json.loads(demo.run("features", "HE", "--at", "2025-10-20T07:00-05:00", "--json").stdout)
    assert (told["world"], told["at"]) == ("sample", "2025-10-20T07:00:00-05:00")
    row = told["features"]["cot_mm_net"]
    assert (row["value"], row["as_of"][:10], row["available_at"]) == (140103, "2025-09-23", "2025-09-26T19:30:00+00:00")
    why = json.loads(demo.run("explain", "HE", "cot_mm_net", "--at", "2025-10-20T12:00Z", "--json").stdout)
    assert why["served"]["value"] == 140103
    assert [w["available_at"][:10] for w in why["withheld"]] == ["2025-11-19", "2025-11-21", "2025-11-25"]
    history = json.loads(demo.run("history", "HE", "cot_mm_net", "--start", "2025-09-30", "--end", "2025-10-07", "--json").stdout)
    assert [v["value"] for v in history["vintages"]] == [144954, 141060]
    assert "withheld  144,954" in demo.run("explain", "HE", "cot_mm_net", "--at", "2025-10-20T12:00Z").stdout
    assert "2 vintages" in demo.run("history", "HE", "cot_mm_net", "--start", "2025-09-30", "--end", "2025-10-07").stdout
    assert "nothing: no row of it was available yet" in demo.run("explain", "HE", "cot_mm_net", "--at", "2024-01-01T00:00Z").stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["features", "HE", "--at", "2025-10-20T12:00"], "has no zone"),
        (["features", "HE", "--at", "yesterday"], "not an ISO 8601 instant"),
        (["features", "XX"], "'XX' is not configured"),
        (["features", "he"], "did you mean HE? configured are CL, GF"),
        (["explain", "HE", "cot_net"], "no feature 'cot_net'"),
        (["explain", "HE", "cot_mm_nett"], "did you mean cot_mm_net?"),
        (["history", "HE", "cot_mm_nett"], "did you mean cot_mm_net?"),
        (["history", "HE", "cot_mm_net", "--start", "soon"], "--start 'soon' is not a day"),
        (["features", "HE", "--world", "test"], "choose one of sample, live"),
        (["lake", "ls", "--table", "cot_disagregated"], "--table: no table 'cot_disagregated'; did you mean cot_disaggregated?"),
    ],
)
def test_an_error_is_one_clear_line_and_exit_code_1(demo, words, says):
    done = demo.run(*words, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert says in " ".join(done.stderr.split())


def test_a_command_that_does_not_exist_is_met_with_the_nearest(demo):
    done = demo.process("fetures", check=False)
    assert done.returncode == 2
    assert "Did you mean 'features'?" in done.stderr


def test_an_empty_world_says_how_to_fill_it(tmp_path):
    done = subprocess.run([PROGRAM, "features", "HE"], capture_output=True, text=True, check=True)
    assert "hydra-assets demo" in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches(command, demo):
    done = demo.run(command, "--help")
    assert "Usage: hydra-assets" in done.stdout
    assert len(done.stdout.split()) > 20


def beyond(path, rights):
    """Rights of a file beyond *rights*; none of a journal that went since it was listed, when its last reader closed."""
    try:
        return stat.S_IMODE(path.stat().st_mode) & ~rights
    except FileNotFoundError:
        return 0


def test_all_that_a_run_leaves_is_for_owner_and_group_at_most(demo):
    """Lake, store, archives, ledger and Dagster's own files alike."""
    made = [path for folder in demo.home.glob("*/") for path in (folder, *folder.rglob("*"))]
    assert {"dagster", "lake", "store.sqlite", "ledger.sqlite"} <= {path.name for path in made}
    assert [path for path in made if beyond(path, 0o750 if path.is_dir() else 0o640)] == []


def test_the_version(demo):
    assert demo.process("--version").stdout.strip() == hydra_assets.__version__


def test_config_shows_and_starts_a_file_and_never_overwrites_one(home):
    def run(*words):
        return Demo(home, "").run("config", *words, check=False)

    home.mkdir()
    assert "min_oi: 50" in run("show").stdout
    assert "no file of your own" in run("show").stdout
    assert run("init").returncode == 0
    assert (home / "config.yaml").read_text().startswith("# ")
    assert "min_oi: 50" in run("show").stdout
    again = Demo(home, "").process("config", "init", check=False)
    assert again.returncode == 1
    assert "exists already" in again.stderr


def test_config_show_and_the_catalogue_as_json(home):
    home.mkdir()
    fresh = Demo(home, "")

    def told(*words):
        return json.loads(fresh.run(*words, "--json").stdout)

    shown = told("config", "show")
    assert shown["file"] is None
    assert shown["settings"]["thresholds"]["min_oi"] == 50
    assert {row["name"] for row in told("catalogue")} == {feature.name for feature in ALL}
    (home / "config.yaml").write_text("tresholds: {}\n")
    wrong = fresh.run("config", "show", check=False)
    assert wrong.returncode == 1
    assert "did you mean 'thresholds'?" in wrong.stderr


def test_the_sample_vendor_serves_until_it_is_stopped():
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen([PROGRAM, "sample-vendor", "--port", "0"], stdout=subprocess.PIPE, text=True, env=environment) as vendor:
        url = re.search(r"http://127\.0\.0\.1:\d+", vendor.stdout.readline())[0]
        got = requests.get(f"{url}/files/dea/history/fut_disagg_txt_2025.zip", timeout=30)
        assert got.content.startswith(b"PK")
        vendor.send_signal(signal.SIGINT)
        assert vendor.wait(20) == 0
