"""A certificate makes its frame again, bit for bit, whatever was recorded since; and says what differs where it cannot."""

import datetime as dt
import json
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from typer.testing import CliRunner

import hydra_assets
from hydra_assets.cli.main import app, main
from hydra_assets.config import load
from hydra_assets.core.instants import INSTANT, from_us, to_us
from hydra_assets.errors import ConfigError, CorruptionError, WorldError
from hydra_assets.proof.certificate import verify
from hydra_assets.storage import facts
from hydra_assets.storage.certificate import code_sha256, fingerprint, read_certificate
from hydra_assets.storage.question import Question
from hydra_assets.storage.sqlite.seals import seal_all
from hydra_assets.storage.store import FeatureStore
from hydra_assets_tests.conftest import at

DAY = dt.timedelta(1)
TIMES = [at("2025-01-06 18:00") + i * DAY for i in range(30)]


def fill(store, first=0, count=20, add=0.0):
    """Two features of two markets, every other day one; out a day later."""
    rows = [
        {
            "market": m,
            "feature_name": f,
            "as_of": at("2025-01-01") + i * DAY,
            "available_at": at("2025-01-02 18:00") + i * DAY,
            "value": i / 7 + add,
        }
        for m in ("HE", "LE")
        for f in ("a", "b")
        for i in range(first, first + count)
        if f == "a" or i % 2
    ]
    store.write_features(rows)


@pytest.fixture
def filled(store):
    fill(store)
    store.write_feature("HE", "a", at("2025-01-21"), at("2025-01-22"), None, "missing")
    return store


def certified(store, path, **options):
    return store.get_training_frame(["HE", "LE"], TIMES, certificate=path, **options)


def test_a_certificate_holds_the_question_and_no_wall_clock(filled, tmp_path):
    frame = certified(filled, tmp_path / "a.json", max_age=9 * DAY)
    again = certified(filled, tmp_path / "b.json", max_age=9 * DAY)
    assert frame.equals(again)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    told = json.loads((tmp_path / "a.json").read_text())
    assert told["store"] == {"world": "sample", "recorded_at": told["store"]["recorded_at"]}
    newest = max(v["recorded_at"] for m in ("HE", "LE") for v in filled.get_feature_history(m, "a", at("2025-01-01"), at("2026-01-01")))
    assert dt.datetime.fromisoformat(told["store"]["recorded_at"]) == newest == filled.newest_recorded()
    query = told["query"]
    assert (query["markets"], len(query["times"]), query["features"]) == (["HE", "LE"], 30, ["a", "b"])
    assert (query["max_age_us"], query["delay_us"], query["recorded_by"], query["with_meta"]) == (9 * 86_400_000_000, None, None, False)
    assert told["code"]["version"] == hydra_assets.__version__
    for digest in (told["code"]["sha256"], told["config"]["sha256"], told["release_calendar"]["sha256"], told["result"]["sha256"]):
        assert len(digest) == 64


def test_without_the_argument_nothing_is_written(filled, tmp_path):
    before = set(tmp_path.rglob("*"))
    filled.get_training_frame(["HE"], TIMES)
    assert {path for path in set(tmp_path.rglob("*")) - before if "mirror" not in str(path)} == set()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"features": ["b"]},
        {"max_age": 3 * DAY},
        {"delay": dt.timedelta(hours=30)},
        {"with_meta": True},
        {"with_meta": True, "max_age": 2 * DAY, "delay": DAY, "features": ["b", "a"]},
    ],
)
def test_the_frame_is_made_again_whatever_was_recorded_since(filled, tmp_path, options):
    path = tmp_path / "c.json"
    frame = certified(filled, path, **options)
    assert verify(path, filled).identical
    fill(filled, add=0.5)  # other values for the same vintages
    fill(filled, first=20)  # and later days
    filled.write_feature("HE", "new", TIMES[0] - 9 * DAY, TIMES[0] - 8 * DAY, 1.0)
    filled.retract("HE", "b", at("2025-01-02"), at("2025-01-03 18:00"))
    assert not frame.equals(filled.get_training_frame(["HE", "LE"], TIMES, **options))
    assert verify(path, filled) == verify(path, filled)
    assert verify(path, filled).identical


def test_a_frame_of_pairs_and_one_of_an_earlier_recording_are_made_again(filled, tmp_path):
    then = filled.newest_recorded()
    fill(filled, add=0.5)
    pairs = pa.table({"market": ["LE", "HE", "LE"], "time": pa.array([TIMES[5], TIMES[3], TIMES[3]], INSTANT)})
    filled.get_training_frame(pairs, features=["b"], certificate=tmp_path / "pairs.json")
    old = certified(filled, tmp_path / "old.json", recorded_by=then)
    assert not old.equals(certified(filled, tmp_path / "now.json"))
    fill(filled, add=0.7)
    for name in ("pairs", "old", "now"):
        assert verify(tmp_path / f"{name}.json", filled).identical
    assert json.loads((tmp_path / "pairs.json").read_text())["query"]["pairs"]["market"] == ["LE", "HE", "LE"]
    assert json.loads((tmp_path / "old.json").read_text())["query"]["recorded_by"] is not None


def forged(store, market, feature, as_of, value):
    """A fact changed behind the store's back, its checksum made right."""
    with sqlite3.connect(store.db_path) as plain:
        series, as_of_us = plain.execute(
            "SELECT series_id, as_of FROM facts JOIN series USING (series_id) WHERE market = ? AND feature_name = ? AND as_of = ?",
            (market, feature, to_us(as_of)),
        ).fetchone()
        row = plain.execute("SELECT * FROM facts WHERE series_id = ? AND as_of = ?", (series, as_of_us)).fetchone()
        crc = facts.crc(series, as_of_us, row[2], row[3], value, row[5], row[6])
        plain.execute("UPDATE facts SET value = ?, crc = ? WHERE series_id = ? AND as_of = ?", (value, crc, series, as_of_us))


def test_what_differs_is_named_by_column_row_and_cell(filled, tmp_path):
    path = tmp_path / "c.json"
    frame = certified(filled, path)
    forged(filled, "LE", "b", at("2025-01-10"), 3.0)
    found = verify(path, filled)
    now = filled.answer(Question.of(["HE", "LE"], TIMES), mirrored=False)
    rows = tuple(i for i in range(60) if frame["b"][i].as_py() != now["b"][i].as_py())
    assert len(rows) == 2
    assert (found.identical, found.columns, found.rows, found.reason) == (False, ("b",), rows, "")
    cell = found.cells[0]
    assert (cell.row, cell.market, cell.column, cell.value) == (rows[0], "LE", "b", 3.0)
    assert cell.time == TIMES[rows[0] - 30]


def test_a_store_that_lacks_facts_is_told(filled, tmp_path):
    certified(filled, tmp_path / "c.json")
    with FeatureStore(tmp_path / "other.sqlite", world="sample") as empty:
        found = verify(tmp_path / "c.json", empty)
        assert not found.identical
        assert "unknown feature" in found.reason
        assert any("older than the certificate" in note for note in found.notes)


def test_the_other_worlds_store_is_refused(filled, tmp_path):
    certified(filled, tmp_path / "c.json")
    with FeatureStore(tmp_path / "live.sqlite", world="live") as live, pytest.raises(WorldError, match="made in the world 'sample'"):
        verify(tmp_path / "c.json", live)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text.replace('"LE"', '"HE"', 1), "changed after it was written"),
        (lambda text: text.replace('"format": 1', '"format": 9'), "format 9"),
        (lambda text: text[: len(text) // 2], "no certificate"),
        (lambda _: "[]", "no certificate"),
        (lambda _: '{"a": 1}', "no certificate"),
    ],
)
def test_a_certificate_that_was_changed_is_refused(filled, tmp_path, change, says):
    path = tmp_path / "c.json"
    certified(filled, path)
    path.write_text(change(path.read_text()))
    with pytest.raises(CorruptionError, match=says):
        verify(path, filled)


def test_a_folder_that_is_not_there_is_named(filled, tmp_path):
    with pytest.raises(ConfigError, match="cannot be written"):
        certified(filled, tmp_path / "nowhere" / "c.json")


def test_code_settings_and_calendar_that_changed_are_noted_and_no_difference(filled, tmp_path, home, monkeypatch):
    with hydra_assets.open() as desk:
        fill(desk.store)
        certified(desk.store, tmp_path / "open.json")
        home.mkdir(exist_ok=True)
        (home / "config.yaml").write_text("default_market: LE\n")
        certified(desk.store, tmp_path / "changed.json")
    told, changed = (read_certificate(tmp_path / f"{name}.json") for name in ("open", "changed"))
    assert told["config"]["of"] == changed["config"]["of"] == "the settings in force"
    assert told["config"]["sha256"] != changed["config"]["sha256"]
    assert told["release_calendar"] == changed["release_calendar"]
    certified(filled, tmp_path / "alone.json")
    assert read_certificate(tmp_path / "alone.json")["config"]["of"] == "the shipped settings"
    monkeypatch.setattr("hydra_assets.proof.certificate.code_sha256", lambda: "0" * 64)
    found = verify(tmp_path / "alone.json", filled)
    assert found.identical
    assert found.notes == (f"the code is not the same as then (version 0.1.0, {told['code']['sha256'][:12]})",)


def test_a_frame_of_another_shape_is_told_by_its_shape(filled, tmp_path, monkeypatch):
    """As other code would make it: the question fixes rows and columns."""
    certified(filled, tmp_path / "c.json")
    for change, shape in ((lambda table: table.slice(1), "59 and 4"), (lambda table: table.drop_columns("b"), "60 and 3")):
        monkeypatch.setattr("hydra_assets.proof.certificate.fingerprint", lambda table, change=change: fingerprint(change(table)))
        found = verify(tmp_path / "c.json", filled)
        assert (found.identical, found.rows, found.cells) == (False, (), ())
        assert found.reason == f"it had 60 rows and 4 columns, and has {shape}"


def test_the_codes_hash_is_of_every_modules_path_and_content(tmp_path, monkeypatch):
    monkeypatch.setattr("hydra_assets.storage.certificate._PACKAGE", tmp_path)
    (tmp_path / "inner").mkdir()
    hashes = []
    for path, text in (("a.py", "x = 1"), ("a.py", "x = 2"), ("inner/b.py", "")):
        (tmp_path / path).write_text(text)
        hashes.append(code_sha256())
    (tmp_path / "notes.txt").write_text("no code")
    assert code_sha256() == hashes[-1]
    assert len(set(hashes)) == 3


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("cot_releases.csv", "the release calendar is"),
        ("cot_calendar.yaml", "the release calendar is"),
        ("default.yaml", "the shipped settings are"),
        ("markets.yaml", "the shipped settings are"),
    ],
)
def test_each_shipped_table_that_changed_is_noted(filled, tmp_path, monkeypatch, name, what):
    certified(filled, tmp_path / "c.json")
    assert verify(tmp_path / "c.json", filled).notes == ()
    shipped = tmp_path / "config"
    shutil.copytree(Path(load.__file__).parent, shipped)
    with (shipped / name).open("a") as file:
        file.write("\n")
    monkeypatch.setattr("hydra_assets.storage.certificate.files", lambda _: shipped)
    found = verify(tmp_path / "c.json", filled)
    assert (found.identical, found.notes) == (True, (f"{what} not the same as then",))


def test_settings_in_force_are_held_against_settings_in_force_alone(filled, tmp_path, home):
    with hydra_assets.open() as desk:
        fill(desk.store)
        certified(desk.store, tmp_path / "open.json")
        db_path = desk.store.db_path
    certified(filled, tmp_path / "alone.json")  # a store opened by itself knows the shipped settings and no others

    def notes(name, path):
        return json.loads(run(tmp_path / name, "--store", path, "--json").stdout)["notes"]

    assert notes("open.json", db_path) == notes("alone.json", filled.db_path) == []
    (home / "config.yaml").write_text("default_market: LE\n")
    assert notes("open.json", db_path) == ["the settings in force are not the same as then"]
    assert notes("alone.json", filled.db_path) == []


def test_a_clock_that_was_set_back_does_not_hide_what_was_recorded(filled, tmp_path, monkeypatch):
    certified(filled, tmp_path / "c.json")
    monkeypatch.setattr("hydra_assets.storage.store.now_us", lambda: to_us(at("2020-01-01")))
    assert verify(tmp_path / "c.json", filled).identical


def test_nor_does_it_bring_later_recordings_into_a_frame_of_an_earlier_one(filled, tmp_path, monkeypatch):
    """Made while the clock was an hour ahead, with a recorded_by to which it has not come back yet."""
    newest = filled.newest_recorded()
    with monkeypatch.context() as ahead:
        ahead.setattr("hydra_assets.storage.store.now_us", lambda: to_us(newest) + 3_600_000_000)
        certified(filled, tmp_path / "c.json", recorded_by=newest + dt.timedelta(minutes=30))
    fill(filled, add=0.5)
    assert newest < filled.newest_recorded() < newest + dt.timedelta(minutes=30)
    assert verify(tmp_path / "c.json", filled).identical


# ---------------------------------------------------------------- the hash


def table(values, texts=("x", "y", None)):
    return pa.table(
        {
            "t": pa.array(texts, pa.string()),
            "at": pa.array([1, None, 3], pa.int64()).cast(INSTANT),
            "v": pa.array(values, pa.float64()),
        }
    )


def test_the_hash_sees_the_content_and_not_how_it_lies_in_memory():
    whole = table([1.5, None, -2.0])
    filler = pa.concat_tables([table([9.0, 9.0, 9.0]), whole, table([8.0, None, 8.0])])
    sliced = filler.slice(3, 3)
    chunked = pa.concat_tables([whole.slice(0, 1), whole.slice(1, 1), whole.slice(2, 1)])
    masked = whole.set_column(2, "v", pa.array(np.array([1.5, 777.0, -2.0]), mask=np.array([False, True, False])))
    for other in (sliced, chunked, masked, whole.combine_chunks()):
        assert fingerprint(other) == fingerprint(whole)


@pytest.mark.parametrize(
    "other",
    [
        table([1.5, 0.0, -2.0]),
        table([1.5, None, np.nextafter(-2.0, 0)]),
        table([1.5, None, -2.0], texts=("x", "y", "")),
        table([1.5, None, -2.0], texts=("xy", "", None)),
        table([1.5, None, -2.0]).rename_columns(["t", "at", "w"]),
        table([1.5, None, -2.0]).select(["t", "v", "at"]),
        table([1.5, None, -2.0]).slice(0, 2),
    ],
)
def test_whatever_is_not_the_same_has_another_hash(other):
    assert fingerprint(other)["sha256"] != fingerprint(table([1.5, None, -2.0]))["sha256"]


def test_zero_and_minus_zero_differ_and_rows_are_told_apart():
    a, b = fingerprint(table([0.0, None, 1.0])), fingerprint(table([-0.0, None, 1.0]))
    assert a["sha256"] != b["sha256"]
    assert [a["row_hashes"][i : i + 8] == b["row_hashes"][i : i + 8] for i in (0, 8, 16)] == [False, True, True]


# ---------------------------------------------------------------- the command


def run(*words):
    return CliRunner().invoke(app, ["verify", *map(str, words)])


def test_the_command_says_identical_or_what_differs(filled, tmp_path):
    path = tmp_path / "c.json"
    certified(filled, path)
    fill(filled, add=0.5)
    same = run(path, "--store", filled.db_path)
    assert (same.exit_code, "identical, bit for bit" in same.stdout) == (0, True)
    certified(filled, path)
    with sqlite3.connect(filled.db_path) as plain:  # the newest recording of one vintage is lost
        plain.execute("DELETE FROM facts WHERE as_of = ? AND value > 1.5", (to_us(at("2025-01-10")),))
        seal_all(plain)  # as if it had never been written; without it the store itself says that a row is lost
    other = run(path, "--store", filled.db_path)
    assert other.exit_code == 1
    assert "differs" in other.stdout
    assert "columns that differ: a" in other.stdout
    assert "is now" in other.stdout
    told = json.loads(run(path, "--store", filled.db_path, "--json").stdout)
    assert told["identical"] is False
    assert told["cells"][0]["column"] == "a"


def test_the_command_finds_the_homes_store_by_the_certificates_world(tmp_path, monkeypatch, capsys):
    with hydra_assets.open() as desk:
        fill(desk.store)
        certified(desk.store, tmp_path / "c.json")
    assert run(tmp_path / "c.json").exit_code == 0
    assert run(tmp_path / "nowhere.json").exit_code == 2
    (tmp_path / "c.json").write_text("{}")
    monkeypatch.setattr("sys.argv", ["hydra-assets", "verify", str(tmp_path / "c.json")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert "no certificate of a training frame" in " ".join(capsys.readouterr().err.split())


def test_pandas_times_of_another_zone_give_the_same_certificate(filled, tmp_path):
    certified(filled, tmp_path / "a.json")
    chicago = list(pd.DatetimeIndex(TIMES).tz_convert("America/Chicago"))
    filled.get_training_frame(["HE", "LE"], chicago, certificate=tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert from_us(to_us(chicago[0])) == TIMES[0]
