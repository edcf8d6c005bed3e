"""`hydra-assets export`: the training frame in a file, the same as in code, whole or not at all."""

import datetime as dt
import json
import os

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import hydra_assets
from hydra_assets.cli.main import app
from hydra_assets.config.home import resolve_home
from hydra_assets.errors import ConfigError, HydraError, InvalidTimeError, SchemaError, UnknownFeatureError
from hydra_assets.storage.store import FeatureStore
from hydra_assets_tests.conftest import at

SEPTEMBER = ("HE", "--start", "2025-09-02", "--end", "2025-09-30")


def export(*words):
    return CliRunner().invoke(app, ["export", *map(str, words)])


@pytest.fixture
def held():
    """Two features of HE, one of LE, a late revision and a null."""
    home = resolve_home("sample")
    home.create()
    with FeatureStore(home.store, world="sample") as store:
        for day in range(1, 29):
            store.write_feature("HE", "fut_ret_1d", at(f"2025-09-{day:02d}"), at(f"2025-09-{day:02d} 23:00"), day / 100)
        store.write_feature("HE", "cot_mm_net", at("2025-09-02"), at("2025-09-05 19:30"), 100.0)
        store.write_feature("HE", "cot_mm_net", at("2025-09-09"), at("2025-09-12 19:30"), None, "missing")
        store.write_feature("LE", "cot_mm_net", at("2025-09-02"), at("2025-09-05 19:30"), 7.0)
    return home


def test_the_file_holds_what_the_store_answers(held, tmp_path):
    out = tmp_path / "hogs.parquet"
    done = export(*SEPTEMBER, "-o", out, "--with-meta", "--max-age", "6d", "--delay", "18h")
    assert done.exit_code == 0, done.output
    with hydra_assets.open() as desk:
        times = hydra_assets.sessions("HE", "2025-09-02", "2025-09-30")
        asked = desk.store.get_training_frame(["HE"], times, max_age=dt.timedelta(6), delay=dt.timedelta(hours=18), with_meta=True)
    assert pq.read_table(out).equals(asked)
    assert "21 rows, 10 columns, 2 of them features" in " ".join(done.stdout.split())
    meta = pq.read_schema(out).metadata
    assert (meta[b"hydra.world"], meta[b"hydra.delay"], meta[b"hydra.max_age"]) == (b"sample", b"18h", b"6d")


def test_a_csv_says_the_same_with_its_instants_in_utc(held, tmp_path):
    out = tmp_path / "two.csv"
    done = export(
        "HE", "LE", "--start", "2025-09-05", "--end", "2025-09-15", "--at", "12:00", "-o", out, "--features", "cot_mm_net", "--json"
    )
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    frame = pd.read_csv(out, parse_dates=["time"])
    assert list(frame.columns) == told["columns"] == ["market", "time", "cot_mm_net"]
    assert (told["rows"], told["nulls"]) == (len(frame), {"cot_mm_net": int(frame["cot_mm_net"].isna().sum())})
    assert told["nulls"]["cot_mm_net"] == 3  # noon of the 5th twice; HE from the null's release on the 12th: noon of the 15th
    assert list(frame["market"]) == ["HE"] * 7 + ["LE"] * 7
    assert frame["time"].iloc[0] == pd.Timestamp("2025-09-05 17:00", tz="UTC")
    assert '"2025-09-05T17:00:00.000000Z"' in out.read_text()


def test_pairs_come_from_a_file_in_their_own_order(held, tmp_path):
    given, out = tmp_path / "pairs.csv", tmp_path / "out.parquet"
    given.write_text("market,time\nLE,2025-09-30T18:00:00-05:00\nHE,2025-09-05T19:29:59Z\nHE,2025-09-05T19:30:00Z\n")
    assert export("--pairs", given, "-o", out, "--features", "cot_mm_net").exit_code == 0
    assert pq.read_table(out).to_pydict() == {
        "market": ["LE", "HE", "HE"],
        "time": [at("2025-09-30 23:00"), at("2025-09-05 19:29:59"), at("2025-09-05 19:30")],
        "cot_mm_net": [7.0, None, 100.0],
    }
    pq.write_table(pq.read_table(out), given.with_suffix(".parquet"))
    again = tmp_path / "again.parquet"
    assert export("--pairs", given.with_suffix(".parquet"), "-o", again, "--features", "cot_mm_net").exit_code == 0
    assert pq.read_table(again).equals(pq.read_table(out))


def test_recorded_by_writes_what_the_store_would_have_written_then(held, tmp_path):
    before = dt.datetime.now(dt.UTC)
    with FeatureStore(held.store) as store:
        store.write_feature("HE", "cot_mm_net", at("2025-09-02"), at("2025-09-05 19:30"), 101.0)
    for words, value in ((["--recorded-by", before.isoformat()], 100.0), ([], 101.0)):
        out = tmp_path / "cut.parquet"
        assert export("HE", "--start", "2025-09-08", "--end", "2025-09-08", "--features", "cot_mm_net", "-o", out, *words).exit_code == 0
        assert pq.read_table(out)["cot_mm_net"].to_pylist() == [value]


def test_what_is_null_is_said(held, tmp_path):
    told = " ".join(export("HE", "--start", "2025-09-12", "--end", "2025-09-16", "-o", tmp_path / "a.csv").stdout.split())
    assert "Null throughout: cot_mm_net." in told
    assert "every price is synthetic" in told


def test_a_file_appears_whole_or_not_at_all(held, tmp_path, monkeypatch):
    out = tmp_path / "kept.parquet"
    assert export(*SEPTEMBER, "-o", out).exit_code == 0
    before = out.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    failed = export(*SEPTEMBER, "-o", out, "--features", "cot_mm_net")
    assert failed.exit_code == 1
    assert out.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["kept.parquet"]
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("words", "kind", "says"),
    [
        ([*SEPTEMBER, "-o", "x.json"], SchemaError, "end it in .parquet or .csv"),
        ([*SEPTEMBER, "-o", "nowhere/x.csv"], SchemaError, "there is no such folder"),
        (["HE", "--start", "2025-09-02", "-o", "x.csv"], InvalidTimeError, "--start and --end are needed"),
        (["-o", "x.csv"], InvalidTimeError, "name a market"),
        ([*SEPTEMBER, "-o", "x.csv", "--pairs", "p.csv"], InvalidTimeError, "leave out markets"),
        (["--pairs", "none.csv", "-o", "x.csv"], SchemaError, "there is no such file"),
        (["--pairs", "zoneless.csv", "-o", "x.csv"], InvalidTimeError, "has no zone"),
        (["--pairs", "other.csv", "-o", "x.csv"], SchemaError, "the columns market and time are needed; it has a, b"),
        ([*SEPTEMBER, "-o", "x.csv", "--delay", "18"], InvalidTimeError, "--delay '18' is not a span of time"),
        ([*SEPTEMBER, "-o", "x.csv", "--at", "half six"], InvalidTimeError, "is not a time of day"),
        ([*SEPTEMBER, "-o", "x.csv", "--features", "cot_mm_nett"], UnknownFeatureError, "did you mean cot_mm_net?"),
        (["HR", *SEPTEMBER[1:], "-o", "x.csv"], ConfigError, "configured are CL, GF"),
        (["GF", *SEPTEMBER[1:], "-o", "x.csv"], UnknownFeatureError, "holds no features of GF yet"),
        (["HE", "--start", "2025-09-06", "--end", "2025-09-07", "-o", "x.csv"], InvalidTimeError, "no trading day"),
    ],
)
def test_what_is_asked_wrongly_is_said_clearly_and_nothing_is_written(held, tmp_path, monkeypatch, words, kind, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "zoneless.csv").write_text("market,time\nHE,2025-09-05T19:30:00\n")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    done = export(*words)
    assert done.exit_code == 1
    assert isinstance(done.exception, kind)
    assert isinstance(done.exception, HydraError)
    assert says in str(done.exception)
    assert not (tmp_path / "x.csv").exists()


def test_times_of_a_parquet_file_without_a_zone_are_refused(held, tmp_path):
    given = tmp_path / "naive.parquet"
    pq.write_table(pa.table({"market": ["HE"], "time": pa.array([dt.datetime(2025, 9, 5)], pa.timestamp("us"))}), given)  # noqa: DTZ001
    assert isinstance(export("--pairs", given, "-o", tmp_path / "x.csv").exception, InvalidTimeError)
