"""One changed byte of a store's file: every answer is the one that was written, or an error that names the file."""

import contextlib
import datetime as dt
import random
import sqlite3

import numpy as np
import pyarrow as pa
import pytest

from hydra_assets.core.instants import INSTANT, to_us
from hydra_assets.errors import CorruptionError, HydraError
from hydra_assets.storage.fact_columns import Facts
from hydra_assets.storage.facts import Fact, crc
from hydra_assets.storage.sqlite import blocks, seals
from hydra_assets.storage.sqlite.seals import SealedFile, _schema, about_seal
from hydra_assets.storage.store import FeatureStore
from hydra_assets_tests.conftest import at

# Its features are of no registered family, and frames of all of them are wanted here.
pytestmark = pytest.mark.filterwarnings("ignore::hydra_assets.errors.UnprovenWarning")

FIRST = at("2025-01-06")
DAY = dt.timedelta(days=1)
NAMES = ["f0", "f1", "f2"]
TIMES = [FIRST + dt.timedelta(days=n) for n in (3, 50, 99, 1000)]


def fill(store):
    rows = [
        {"market": market, "feature_name": name, "as_of": FIRST + n * DAY, "available_at": FIRST + (n + 1 + n % 3) * DAY, "value": n * 0.5}
        for market in ("HE", "LE")
        for name in NAMES
        for n in range(100)
    ]
    store.write_features(rows)
    store.write_feature("HE", "f0", FIRST, FIRST + 9 * DAY, -7.0)
    for month in ("2024-11", "2024-12"):
        inputs = {f"folder of {month}": at("2025-01-01")}
        store.publish("HE", month, [], features=NAMES, inputs=inputs, audit=lambda _rows: None)


def questions(store):
    """Point reads first: they meet few rows, and a lost one least."""
    yield lambda: [store.get_features_at("HE", time) for time in TIMES]
    yield lambda: store.get_features_at("LE", TIMES[1], recorded_by=store.newest_recorded())
    yield lambda: store.get_feature_history("HE", "f0", FIRST, FIRST + 4 * DAY)
    yield lambda: store.explain("HE", "f1", TIMES[1])
    yield lambda: store.get_training_frame(["HE", "LE"], TIMES, with_meta=True).to_pydict()
    yield lambda: store.vintages("HE").to_pydict()
    yield lambda: [store.features(), store.features("LE"), store.newest_recorded(), store.world]
    yield lambda: [store.publishes().to_pydict(), store.last_inputs("HE", ["f1"])]


@pytest.fixture
def filled(tmp_path):
    path = tmp_path / "store.sqlite"
    with FeatureStore(path, world="sample") as store:
        fill(store)
        return path, path.read_bytes() if not path.with_name("store.sqlite-wal").exists() else None


@pytest.fixture
def body_and_answers(filled):
    path, _ = filled
    with FeatureStore(path) as store:
        answers = [ask() for ask in questions(store)]
    for mirror in path.parent.glob("*.mirror-*"):
        mirror.unlink()
    return path, path.read_bytes(), answers


def faults_of(path, body, answers, place):
    """Silent and unnamed faults with one bit of *body* changed; each question is the first that a new connection hears."""
    for number, right in enumerate(answers):
        for side in path.parent.iterdir():
            side.unlink()
        byte, bit = divmod(place, 8)
        path.write_bytes(body[:byte] + bytes([body[byte] ^ (1 << bit)]) + body[byte + 1 :])
        try:
            with FeatureStore(path) as store:
                answer = list(questions(store))[number]()
        except HydraError as error:
            if path.name not in str(error):
                yield f"byte {byte} bit {bit}, question {number}: unnamed: {error}"
        else:
            if answer != right:
                yield f"byte {byte} bit {bit}, question {number}: silent"


def test_one_changed_bit_is_never_silent_and_the_error_names_the_file(body_and_answers):
    path, body, answers = body_and_answers
    rng = random.Random(3)
    places = [rng.randrange(8 * len(body)) for _ in range(60)]
    # Where it hurts most: the file's header, and the head and cell pointers of each page.
    places += [rng.randrange(800) for _ in range(30)]
    places += [8 * (page + rng.randrange(40)) + rng.randrange(8) for page in range(0, len(body), 4096) for _ in range(3)]
    assert [fault for place in places for fault in faults_of(path, body, answers, place)] == []


def test_a_row_that_is_lost_from_its_page_is_missed_by_a_point_read(filled, monkeypatch):
    path, _ = filled
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM facts WHERE series_id = 1 AND as_of = (SELECT max(as_of) FROM facts WHERE series_id = 1)")
    with FeatureStore(path) as store, pytest.raises(CorruptionError, match=r"store\.sqlite.*HE f0.*rebuild"):
        store.get_features_at("HE", TIMES[-1])
    # Without the seals nobody would know.
    monkeypatch.setattr(SealedFile, "_verify", lambda *_: None)
    with FeatureStore(path) as store:
        assert store.get_features_at("HE", TIMES[-1])["f0"] == 49.0


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("DELETE FROM series WHERE series_id = 2", "the table series"),
        ("UPDATE series SET market = 'LE ' WHERE series_id = 2", "the table series"),
        ("DELETE FROM newest WHERE series_id = 2", "newest"),
        ("UPDATE newest SET recorded_at = recorded_at + 1 WHERE series_id = 2", "newest"),
        ("DELETE FROM blocks WHERE series_id = 2 AND block = (SELECT min(block) FROM blocks)", "HE f1"),
        ("DELETE FROM blocks WHERE series_id = 2 AND block = (SELECT max(block) FROM blocks)", "HE f1"),
        ("UPDATE blocks SET rows = rows + 1 WHERE series_id = 2", "HE f1: the line of block"),
        ("DELETE FROM publishes WHERE month = '2024-11'", "the table publishes"),
        ("UPDATE about SET value = value + 1 WHERE key = 'last_recorded_at'", "the table about"),
        ("UPDATE facts SET as_of = as_of - 1 WHERE series_id = 2 AND as_of = (SELECT max(as_of) FROM facts WHERE series_id = 2)", "HE f1"),
        ("DROP VIEW features", "the schema"),
    ],
)
def test_each_table_is_held_against_its_seal(filled, damage, told):
    path, _ = filled
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA foreign_keys=OFF")
        db.execute(damage)

    def read():
        with FeatureStore(path) as store:
            for ask in questions(store):
                ask()

    with pytest.raises(CorruptionError, match=told):
        read()


@pytest.mark.parametrize(
    "ask",
    [
        lambda store: store.get_features_at("HE", TIMES[-1]),
        lambda store: store.get_feature_history("HE", "f0", FIRST, FIRST + 200 * DAY),
        lambda store: store.vintages("HE"),
        lambda store: store.get_training_frame("HE", TIMES),
        lambda store: store.get_training_frame("HE", TIMES, recorded_by=store.newest_recorded()),
        lambda store: store.explain("HE", "f0", TIMES[-1]),
        lambda store: store.write_feature("HE", "f0", FIRST + 99 * DAY, FIRST + 100 * DAY, 49.5),
        lambda store: store.retract("HE", "f0", FIRST + 99 * DAY, FIRST + 100 * DAY),
        lambda store: store.check(),
    ],
)
def test_a_lost_row_is_noticed_by_every_entry(filled, ask):
    path, _ = filled
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM facts WHERE series_id = 1 AND as_of = (SELECT max(as_of) FROM facts WHERE series_id = 1)")
    with FeatureStore(path) as store, pytest.raises(CorruptionError, match=r"store\.sqlite: HE f0"):
        ask(store)


def test_a_line_that_is_lost_beside_an_open_store_is_noticed_at_the_next_write(filled):
    path, _ = filled
    with FeatureStore(path) as store, FeatureStore(path) as other:
        store.get_features_at("HE", TIMES[-1])
        with contextlib.closing(sqlite3.connect(path)) as db, db:
            db.execute("DELETE FROM blocks WHERE series_id = 1 AND block = (SELECT max(block) FROM blocks WHERE series_id = 1)")
        other.write_feature("HE", "other", FIRST, FIRST, 1.0)
        with pytest.raises(CorruptionError, match="HE f0"):
            store.get_features_at("HE", TIMES[-1])


def test_a_block_that_is_lost_with_its_line_is_noticed_by_the_check(filled):
    path, _ = filled
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        (last,) = db.execute("SELECT max(block) FROM blocks WHERE series_id = 1").fetchone()
        db.execute("DELETE FROM blocks WHERE series_id = 1 AND block = ?", (last,))
        db.execute(f"DELETE FROM facts WHERE series_id = 1 AND as_of >> {blocks.SHIFT} = ?", (last,))
    with FeatureStore(path) as store, pytest.raises(CorruptionError, match="the blocks of HE f0"):
        store.check()


def test_rows_are_added_to_no_line_that_does_not_fit(filled):
    path, _ = filled
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        every = {1: blocks.EVERY}
        found, known = blocks.found_blocks(db, every)[1], blocks.BlockSeals()
        known.compare(db, every)
        row = db.execute("SELECT * FROM facts WHERE series_id = 1 ORDER BY as_of DESC").fetchone()
        block = blocks.block_of(row[1])
        count, digest = found[block]
        blocks.put_blocks(db, {1: {block: (count + 1, digest)}})  # somebody else's line, whose row never came
        added = (*row[:3], row[3] + 1, *row[4:])
        db.execute(f"INSERT INTO facts VALUES ({', '.join('?' * len(added))})", added)
        share = blocks.blocks_of(*(np.array([added[n]]) for n in (0, 1, 2, 3, 7)))
        known.written()
        known.extend(db, share)
        with pytest.raises(blocks.DamageError):
            known.compare(db, {1: (block, block)})
        db.execute("UPDATE blocks SET rows = rows + 1 WHERE series_id = 1")
        with pytest.raises(blocks.DamageError, match="line of block"):
            known.extend(db, share)


def test_what_others_write_is_compared_once_more_and_nothing_else_is(tmp_path):
    path = tmp_path / "store.sqlite"
    with FeatureStore(path, world="sample") as store, FeatureStore(path) as other:
        fill(store)
        assert len(other.get_features_at("HE", TIMES[-1])) == 3
        statements = []
        other._table._db.set_trace_callback(statements.append)
        other.get_features_at("HE", TIMES[-1])
        assert not any("count(*)" in text for text in statements)
        store.write_feature("HE", "f0", FIRST + 200 * DAY, FIRST + 201 * DAY, 1.0)
        assert other.get_features_at("HE", TIMES[-1])["f0"] == 1.0
        assert sum("count(*)" in text for text in statements) == 1
        other.write_feature("HE", "f0", FIRST + 300 * DAY, FIRST + 301 * DAY, 2.0)
        assert other.get_features_at("HE", TIMES[-1])["f0"] == 2.0
        assert sum("count(*)" in text for text in statements) == 1
        assert other.check() == store.check() == 603


def test_a_transaction_that_is_undone_leaves_the_seals_as_they_were(tmp_path):
    with FeatureStore(tmp_path / "store.sqlite", world="sample") as store:
        fill(store)
        held = store.check()

        def publish(audit):
            row = pa.table(
                {
                    "feature_name": ["new"],
                    "as_of": pa.array([FIRST], INSTANT),
                    "available_at": pa.array([FIRST], INSTANT),
                    "value": [1.0],
                    "quality": ["normal"],
                }
            )
            store.publish("HE", "2025-01", row, features=["new"], inputs={}, audit=audit)

        def fail():
            with store._table.transaction() as stamp:
                store._table.append(Facts.of([fact("new")]), stamp())
                store._table.add_publishes([("HE", "2025-01", "new", stamp(), "", 0, 1)])
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert store.check() == held
        publish(lambda _rows: None)
        assert store.check() == held + 1
        assert store.get_features_at("HE", TIMES[-1])["new"] == 1.0


def fact(name):
    return Fact("HE", name, to_us(FIRST), to_us(FIRST), 1.0)


# ---------------------------------------------------------------- zero, and homes of before


def test_negative_zero_is_zero(any_store):
    any_store.write_feature("HE", "a", FIRST, FIRST, -0.0)
    rows = pa.table(
        {
            "market": ["HE"],
            "feature_name": ["b"],
            "as_of": pa.array([FIRST], INSTANT),
            "available_at": pa.array([FIRST], INSTANT),
            "value": [-0.0],
        }
    )
    any_store.write_features(rows)
    assert str(any_store.get_features_at("HE", FIRST)) == "{'a': 0.0, 'b': 0.0}"
    assert any_store.check() == 2


def test_negative_zero_of_the_lake_is_zero_in_a_store_made_from_it(tmp_path):
    with FeatureStore(tmp_path / "store.sqlite") as store:
        store.restore([(Fact("HE", "a", to_us(FIRST), to_us(FIRST), -0.0), False, to_us(FIRST) + 1)])
        assert str(store.get_features_at("HE", FIRST)) == "{'a': 0.0}"
        assert store.check() == 1


def as_of_version_three(path):
    """Take from a file what version 4 added, as a home of before has it."""
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("DROP TABLE blocks")
        about = dict(db.execute("SELECT key, value FROM about"))
        about["schema"] = _schema(db)
        about["seal"] = about_seal(about)
        db.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", about.items())
        db.execute("PRAGMA user_version = 3")


def as_of_version_two(path):
    """Take from a file what versions 3 and 4 added, as a home of before has it."""
    as_of_version_three(path)
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("DROP TABLE publish_seals")
        for column in ("rows", "digest", "seal"):
            db.execute(f"ALTER TABLE newest DROP COLUMN {column}")
        db.execute("DELETE FROM about WHERE key IN ('series', 'schema', 'seal')")
        db.execute("PRAGMA user_version = 2")


def test_a_store_of_before_is_sealed_as_it_is_opened_and_its_negative_zeros_are_mended(filled):
    path, _ = filled
    with FeatureStore(path) as store:
        answers = [ask() for ask in questions(store)]
    as_of_version_two(path)
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        key = db.execute("SELECT series_id, as_of, available_at, recorded_at FROM facts WHERE value = 0 AND series_id = 1").fetchone()
        wrong = crc(*key, -0.0, "normal", 0)
        db.execute("UPDATE facts SET crc = ? WHERE (series_id, as_of, available_at, recorded_at) = (?, ?, ?, ?)", (wrong, *key))
    with FeatureStore(path) as store:
        assert [ask() for ask in questions(store)] == answers
        assert store.check() == 601


def test_a_store_of_version_three_gets_seals_of_blocks(filled):
    path, _ = filled
    with FeatureStore(path) as store:
        answers = [ask() for ask in questions(store)]
    as_of_version_three(path)
    with FeatureStore(path) as store:
        assert [ask() for ask in questions(store)] == answers
        assert store.check() == 601


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM facts WHERE as_of = (SELECT max(as_of) FROM facts)",
        "DELETE FROM facts WHERE series_id = 2",
        "DELETE FROM publishes WHERE month = '2024-11'",
        "UPDATE about SET value = value + 1 WHERE key = 'last_recorded_at'",
        "DELETE FROM series WHERE series_id = 2",
        "DROP VIEW features",
    ],
)
def test_a_damaged_store_of_version_three_is_not_sealed_as_it_is(filled, damage):
    path, _ = filled
    as_of_version_three(path)
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute(damage)
    body = path.read_bytes()
    for _ in range(2):
        with pytest.raises(CorruptionError, match=r"store\.sqlite.*rebuild"):
            FeatureStore(path)
    assert path.read_bytes() == body


def test_a_point_read_compares_the_blocks_that_it_passes_over_and_no_others(filled):
    path, _ = filled
    with FeatureStore(path) as store:
        right = store.get_features_at("HE", TIMES[2])
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM facts WHERE series_id = 1 AND as_of = (SELECT min(as_of) FROM facts)")
    with FeatureStore(path) as store:
        assert store.get_features_at("HE", TIMES[2]) == right
        with pytest.raises(CorruptionError, match="HE f0"):
            store.get_features_at("HE", TIMES[0])
        with pytest.raises(CorruptionError, match="HE f0"):
            store.check()


def with_a_negative_zero(path, series=1):
    """One checksum over -0.0 beside the 0.0 that SQLite keeps, with seals that fit it."""
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        key = db.execute(
            "SELECT series_id, as_of, available_at, recorded_at FROM facts WHERE value = 0 AND series_id = ?", (series,)
        ).fetchone()
        wrong = crc(*key, -0.0, "normal", 0)
        db.execute("UPDATE facts SET crc = ? WHERE (series_id, as_of, available_at, recorded_at) = (?, ?, ?, ?)", (wrong, *key))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(seals, "mend_zeros", lambda _db: 0)
            seals.seal_all(db)


def test_a_row_of_negative_zero_is_mended_by_a_repair_and_nothing_else_is(filled):
    path, _ = filled
    with_a_negative_zero(path)
    with FeatureStore(path) as store:
        with pytest.raises(CorruptionError, match="checksum"):
            store.check()
        assert store.repair() == 1
        assert store.check() == 601
        assert store.repair() == 0
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE facts SET value = 5 WHERE series_id = 2 AND value = 0")
    with FeatureStore(path) as store:
        assert store.repair() == 0
        with pytest.raises(CorruptionError, match="checksum"):
            store.check()
