"""`causal`: functions that look ahead are found in every library, honest ones are left alone, and an answer says how much was looked at."""

import datetime as dt
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import hydra_assets
from hydra_assets.cli.main import app
from hydra_assets.errors import InvalidTimeError, SchemaError

RNG = np.random.default_rng(5)
N = 120
DAYS = pd.date_range("2025-01-01", periods=N, tz="UTC")
X = RNG.normal(size=N).cumsum() + 50
FRAME = pd.DataFrame({"ts": DAYS, "x": X, "k": np.where(np.arange(N) % 2, "a", "b")})
causal = hydra_assets.proof.causal


def look(function, data=FRAME, time="ts", **options):
    return causal(function, data, time=time, seed=3, **options)


HONEST = {
    "trailing mean": lambda f: f["x"].rolling(5).mean(),
    "expanding z": lambda f: (f["x"] - f["x"].expanding().mean()) / f["x"].expanding().std(),
    "shift by a group": lambda f: f.groupby("k")["x"].shift(1),
    "several columns": lambda f: pd.DataFrame({"a": f["x"].diff(), "b": f["x"].ffill()}),
    "a mapping": lambda f: {"a": f["x"].cummax(), "b": f["k"].str.upper()},
}
AHEAD = {
    "shift": (lambda f: f["x"].shift(-3), 3),
    "centred": (lambda f: f["x"].rolling(5, center=True).mean(), 2),
    "whole mean": (lambda f: f["x"] - f["x"].mean(), N - 1),
    "rank": (lambda f: f["x"].rank(), None),
    "back-fill": (lambda f: f["x"].where(np.arange(len(f)) % 4 == 0).bfill(), None),
    "null only": (lambda f: f["x"].where(~(f["x"].shift(-1) < f["x"] * 0.99)), 1),
    "reversed": (lambda f: f["x"][::-1].cumsum()[::-1], None),
}


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_function_passes_and_says_how_much_was_looked_at(name):
    found = look(HONEST[name])
    assert (found.verdict, found.moved, found.rows, found.times) == ("passed", None, N, N)
    assert found.cuts == found.poisoned == 40
    assert found.values > 1000
    assert f"looked at {found.compared:,} rows" in str(found)
    whole = look(HONEST[name], cuts=None)
    assert whole.cuts == N - 1
    assert whole.compared == sum(range(1, N))


@pytest.mark.parametrize("name", AHEAD)
def test_a_function_that_looks_ahead_is_found_with_its_first_row_and_reach(name):
    function, reach = AHEAD[name]
    found = look(function, cuts=None)
    assert found.verdict == "failed"
    whole = function(FRAME)
    moved = found.moved
    if reach is not None:
        assert moved.rows_ahead == reach
        assert moved.ahead == dt.timedelta(reach)
    rows = [i for cut in range(1, N) for i in range(cut) if not same(whole.iloc[i], function(FRAME.iloc[:cut]).iloc[i])]
    assert moved.row == min(rows)
    assert look(function).verdict == "failed"
    assert f"row {moved.row}" in str(found)


def same(a, b):
    return a == b or (a != a and b != b)


def test_every_library_is_cut_and_poisoned():
    pl = pytest.importorskip("polars")
    table = pa.Table.from_pandas(FRAME, preserve_index=False)
    frame = pl.from_arrow(table)
    assert look(lambda f: f["x"].rolling_mean(5), frame).verdict == "passed"
    assert look(lambda f: f["x"].shift(-1), frame).moved.rows_ahead == 1
    assert look(lambda f: f.select(pl.col("x") - pl.col("x").mean().over("k")), frame).verdict == "failed"
    assert look(lambda t: pa.compute.cumulative_sum(t["x"]), table).verdict == "passed"
    assert look(lambda t: pa.compute.subtract(t["x"], pa.compute.mean(t["x"])), table).verdict == "failed"


def test_arrays_of_numpy_and_series_by_their_index():
    assert look(np.cumsum, X, None).verdict == "passed"
    ahead = look(np.gradient, X, None)
    assert (ahead.verdict, ahead.moved.rows_ahead) == ("failed", 1)
    both = np.stack([np.arange(N, dtype=float), X], axis=1)
    assert look(lambda a: np.maximum.accumulate(a[:, 1]), both, 0).verdict == "passed"
    assert look(lambda a: a[:, 1] / a[:, 1].max(), both, 0).verdict == "failed"
    assert look(lambda a: a - a.max(), X, DAYS.to_numpy()).verdict == "failed"
    series = FRAME.set_index("ts")["x"]
    assert look(lambda s: s.ewm(span=5).mean(), series, None).verdict == "passed"
    assert look(lambda s: s.shift(freq="-1D").reindex(s.index), series, None).verdict == "failed"


def test_the_last_bit_counts_and_rows_of_one_time_are_known_together():
    by_last_bit = look(lambda f: f["x"] + (len(f) == N) * np.spacing(f["x"]))
    assert by_last_bit.verdict == "failed"
    twice = pd.concat([FRAME, FRAME.assign(k="z")], ignore_index=True)  # two markets, one below the other
    assert look(lambda f: f["x"] - f.groupby("ts")["x"].transform("mean"), twice).verdict == "passed"
    assert look(lambda f: f["x"].shift(-1), twice).verdict == "failed"


def test_poison_finds_what_cuts_cannot():
    """A function that only answers where it is given all rows, and takes the last one."""

    def stubborn(f):
        if len(f) < N:
            raise ValueError("too few")
        return f["x"] - f["x"].iloc[-1]

    found = look(stubborn)
    assert (found.verdict, found.moved.how, found.cuts) == ("failed", "poison", 0)


def test_nothing_to_compare_is_unproven_and_what_cannot_be_used_says_why():
    assert look(lambda f: f["x"] * np.nan).verdict == "unproven"
    assert "another answer to the same rows" in look(lambda f: f["x"] + RNG.normal()).reason
    with pytest.raises(SchemaError, match="rows for"):
        look(lambda f: f["x"].dropna().head(3))
    with pytest.raises(SchemaError, match="no column 'nothing'"):
        look(lambda f: f["x"], time="nothing")
    with pytest.raises(SchemaError, match="is not read"):
        look(lambda f: f, data=[1, 2], time=None)
    with pytest.raises(InvalidTimeError):
        look(lambda f: f["x"], data=FRAME.assign(ts=FRAME["ts"].where(FRAME["x"] > 50)))


def test_the_users_data_stay_as_they_are_and_progress_is_told():
    before, steps = FRAME.copy(deep=True), []

    def writes(f):
        f["x"] -= f["x"].expanding().mean()
        return f["x"]

    assert look(writes, progress=lambda done, total: steps.append((done, total))).verdict == "passed"
    pd.testing.assert_frame_equal(FRAME, before)
    assert steps[-1] == (80, 80)


MODULE = """
import numpy as np
MEAN = []

def trailing(f):
    return f["x"].rolling(3).mean()

def ahead(f):
    return f["x"].shift(-1)

def remembers(f):
    if not MEAN:
        MEAN.append(f["x"].mean())
    return f["x"] - MEAN[0]

def nothing(f):
    return f["x"] * np.nan
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mine.py").write_text(MODULE)
    pq.write_table(pa.Table.from_pandas(FRAME, preserve_index=False), tmp_path / "frame.parquet")
    return tmp_path


@pytest.mark.parametrize(("function", "code"), [("trailing", 0), ("ahead", 1), ("remembers", 1), ("nothing", 2), ("absent", 2)])
def test_the_command_ends_with_a_code_for_ci(folder, function, code):
    """A statistic that the module keeps from its first call is seen, too: the whole and the copies have an interpreter each."""
    words = ["causal", f"{folder}/mine.py:{function}", f"{folder}/frame.parquet", "--time", "ts", "--cuts", "15"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == code, done.output
    if function == "ahead":
        told = json.loads(CliRunner().invoke(app, [*words, "--json", "--seed", "1"]).stdout)
        assert (told["verdict"], told["moved"]["rows_ahead"], told["seed"]) == ("failed", 1, 1)
