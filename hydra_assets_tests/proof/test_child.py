"""Proofs in a fresh interpreter: what a module of others kept in memory is not there, and what the template loads is little."""

import datetime as dt
import importlib
import subprocess
import sys
from dataclasses import replace

import pytest

from hydra_assets.core.calendar import LIVESTOCK
from hydra_assets.features import compute, of_family
from hydra_assets.proof.child import fresh_interpreter
from hydra_assets.proof.replay import replay
from hydra_assets_tests.support.cot_history import weeks
from hydra_assets_tests.support.entry_points import registered

D = dt.date
FILE = """
from hydra_assets.core.feature import Answer

SEEN = []

def beside_the_largest(cot):
    SEEN.append(float(cot["mm_long"][-1]))
    return Answer(SEEN[-1] - max(SEEN))
"""


@pytest.fixture
def theirs(tmp_path, monkeypatch):
    """A feature that keeps what it has seen in its module."""
    (tmp_path / "keeps_what_it_saw.py").write_text(FILE)
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("keeps_what_it_saw")
    yield replace(of_family("cot")[0], name="mine", function=module.beside_the_largest)
    del sys.modules["keeps_what_it_saw"]


@pytest.mark.parametrize("sample", [None, 40])
def test_a_statistic_of_the_whole_sample_kept_in_a_module_is_seen(theirs, sample):
    """In the process that published it passes: its module knows the largest number of all, and so does the replay."""
    inputs, bounds = {"cot_disaggregated": weeks(2023, 2024)}, {"start": D(2024, 7, 1), "end": D(2024, 12, 31)}
    with registered(theirs):
        for _ in range(2):  # a month is published again
            rows = compute("cot", inputs, market="LE", names=["mine"], **bounds)
        arguments = {"rows": rows, "inputs": inputs, "family": "cot", "market": "LE", "sample": sample, "seed": 1, "names": ["mine"]}
        arguments["features"] = of_family("cot")
        assert replay(**arguments).verdict == "passed"
        assert fresh_interpreter().run(replay, **arguments).verdict == "failed"


def sessions(calendar, first, last):
    """Sessions, and whether the package of calendars was loaded for them."""
    return calendar.session_days(first, last), "pandas_market_calendars" in sys.modules


def test_the_template_loads_no_program_around_the_features():
    """Each costs a month's publish as much as it takes to load."""
    text = "import sys, hydra_assets.proof.child, hydra_assets.proof.poison, hydra_assets.proof.replay; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", text], check=True, capture_output=True, text=True).stdout.split()
    assert not {"dagster", "structlog", "rich", "typer", "pandas_market_calendars", "hydra_assets.storage.lake"} & set(loaded)


@pytest.mark.parametrize(("years", "loads"), [(3, False), (12, True)])
def test_a_task_is_told_the_sessions_of_the_years_around_and_finds_others_itself(years, loads):
    today = dt.datetime.now(dt.UTC).date()
    first, last = D(today.year - years, 1, 1), today
    days, was_loaded = fresh_interpreter().run(sessions, calendar=LIVESTOCK, first=first, last=last)
    assert days == LIVESTOCK.session_days(first, last)
    assert was_loaded is loads
