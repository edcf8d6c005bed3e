"""Commands where something is lacking: a key, a network, options."""

import json
import os
import re
import subprocess
import sys
import time

import pytest

from hydra_assets_tests.support.demo_home import PROGRAM
from hydra_assets_tests.support.rude_vendor import addresses

KEY = "db-aaaaaaaaaaaaaaaaaaaaaaaaaaaaa"


def run(*words, **environment):
    variables = {name: value for name, value in os.environ.items() if name != "DATABENTO_API_KEY" and not name.lower().endswith("_proxy")}
    return subprocess.run([PROGRAM, *words], env={**variables, **environment}, capture_output=True, text=True, check=False)


def said(done):
    """Lines on standard error, without what a progress bar leaves where there is no terminal."""
    return [line for line in done.stderr.splitlines() if line.strip() and "starting Dagster" not in line]


@pytest.fixture
def unreachable(home):
    home.mkdir()
    (home / "config.yaml").write_text(json.dumps(addresses("http://127.0.0.1:9")))


@pytest.mark.parametrize("words", [("quote",), ("backfill", "--yes")])
def test_without_a_key_what_works_without_one_is_said(words, home):
    done = run(words[0], "HE", "2025-10", *words[1:], "--world", "live")
    assert done.returncode == 1
    (line,) = said(done)
    assert line.startswith("error DATABENTO_API_KEY is not set, and futures_definitions, ")
    assert re.search(r"COT needs none: .*hydra-assets backfill HE 2025-10\.\.2025-10 --select 'cot_\*' --world live$", line)


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (("quote", "HE", "2025-10"), KEY),
        pytest.param(("backfill", "HE", "2025-10", "--yes"), KEY, marks=pytest.mark.slow),
        pytest.param(("backfill", "HE", "2025-10", "--select", "cot_*"), "", marks=pytest.mark.slow),
    ],
)
def test_without_a_network_one_line_comes_at_once(words, key, unreachable):
    started = time.monotonic()
    done = run(*words, "--world", "live", **({"DATABENTO_API_KEY": key} if key else {}))
    assert done.returncode == 1
    (line,) = said(done)
    assert line.startswith("error no network: 127.0.0.1 cannot be reached")
    assert "Nothing was requested" in line
    idle = time.monotonic()
    subprocess.run([sys.executable, "-c", "import hydra_assets.host.runs"], check=True)
    assert idle - started < 2 * (time.monotonic() - idle) + 5  # no wait for another try: those are of 2, 4, 8 and 16 s


@pytest.mark.slow
def test_a_market_without_options_is_one_line(home):
    home.mkdir()
    (home / "config.yaml").write_text(
        "markets:\n  RB:\n    name: Gasoline\n    exchange: NYMEX\n    timezone: America/New_York\n    calendar: CMEGlobex_Energy\n"
        "    dataset: GLBX.MDP3\n    price_unit: dollars per gallon\n    contract_multiplier: 42000\n    tick: 0.0001\n"
        "    cftc_code: '111659'\n    option_roots: []\n"
    )
    done = run("backfill", "RB", "2025-10", "--select", "option_*", "-q", COLUMNS="120")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith(("warning", "gap"))] == []
    (line,) = [line for line in lines if line.startswith("no rows")]
    assert "RB has no option_roots in its settings, so option_definitions, option_quotes, " in line
