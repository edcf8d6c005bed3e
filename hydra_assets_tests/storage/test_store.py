"""The store's promises, as the design words them."""

import contextlib
import datetime as dt
import math
import sqlite3
import subprocess
import sys
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from hydra_assets.core.instants import INSTANT
from hydra_assets.errors import (
    ConflictError,
    CorruptionError,
    InvalidNameError,
    InvalidTimeError,
    InvalidValueError,
    LookaheadError,
    RetractionError,
    SchemaError,
    StaleInputsError,
    UnknownFeatureError,
    WorldError,
)
from hydra_assets.storage.store import FeatureStore
from hydra_assets_tests.conftest import at

TUESDAY, RELEASE = at("2025-10-07"), at("2025-11-21 20:30")
US = dt.timedelta(microseconds=1)


def put(store, value=1.0, as_of=TUESDAY, available_at=RELEASE, name="cot_mm_net", market="HE", quality="normal"):
    return store.write_feature(market, name, as_of, available_at, value, quality)


# ---------------------------------------------------------------- the rule


@pytest.fixture
def store(any_store):
    """Every implementation, in all tests here but those of the file."""
    return any_store


def test_tuesdays_number_is_not_there_on_wednesday_nor_a_microsecond_early(store):
    put(store)
    assert store.get_features_at("HE", at("2025-10-08")) == {}
    assert store.get_features_at("HE", RELEASE - US) == {}
    assert store.get_features_at("HE", RELEASE) == {"cot_mm_net": 1.0}
    assert store.get_features_at("HE", at("2025-11-22")) == {"cot_mm_net": 1.0}


def test_the_newest_as_of_is_served_and_a_late_older_one_never_displaces_it(store):
    put(store, 2.0, at("2025-10-14"), at("2025-11-25 20:30"))
    put(store, 1.0, TUESDAY, at("2025-12-01"))
    assert store.get_features_at("HE", at("2025-12-02")) == {"cot_mm_net": 2.0}


def test_a_revision_shows_in_its_own_time_and_both_stay_in_the_history(store):
    put(store, 1.0)
    put(store, 2.0, available_at=at("2025-12-01"))
    assert store.get_features_at("HE", at("2025-12-01") - US) == {"cot_mm_net": 1.0}
    assert store.get_features_at("HE", at("2025-12-01")) == {"cot_mm_net": 2.0}
    history = store.get_feature_history("HE", "cot_mm_net", TUESDAY, TUESDAY)
    assert [(row["value"], row["available_at"]) for row in history] == [(1.0, RELEASE), (2.0, at("2025-12-01"))]
    assert set(history[0]) == {"as_of", "available_at", "recorded_at", "value", "quality"}


def test_a_then_b_then_a_again(store):
    for value, when in ((1.0, "2025-11-21"), (2.0, "2025-11-22"), (1.0, "2025-11-23")):
        put(store, value, available_at=at(when))
    assert [store.get_features_at("HE", at(f"2025-11-{day}"))["cot_mm_net"] for day in (21, 22, 23)] == [1.0, 2.0, 1.0]


def test_one_instant_in_three_zones_is_one_answer(store):
    put(store, as_of=TUESDAY.astimezone(ZoneInfo("Asia/Tokyo")), available_at=RELEASE.astimezone(ZoneInfo("America/Chicago")))
    for zone in ("UTC", "Asia/Tokyo", "America/Chicago"):
        assert store.get_features_at("HE", RELEASE.astimezone(ZoneInfo(zone))) == {"cot_mm_net": 1.0}
        assert store.get_features_at("HE", (RELEASE - US).astimezone(ZoneInfo(zone))) == {}


def test_the_hour_that_happens_twice_is_two_instants(store):
    chicago = ZoneInfo("America/Chicago")
    first, second = (dt.datetime(2025, 11, 2, 1, 30, tzinfo=chicago, fold=fold) for fold in (0, 1))
    put(store, available_at=second)
    assert store.get_features_at("HE", first) == {}
    assert store.get_features_at("HE", second) == {"cot_mm_net": 1.0}


def test_a_known_null_is_served_as_none_and_so_is_what_is_too_old(store):
    put(store, 1.0)
    put(store, None, at("2025-10-14"), at("2025-11-25 20:30"), quality="missing")
    assert store.get_features_at("HE", at("2025-11-24")) == {"cot_mm_net": 1.0}
    assert store.get_features_at("HE", at("2025-11-26")) == {"cot_mm_net": None}
    age = at("2025-11-24") - TUESDAY
    assert store.get_features_at("HE", at("2025-11-24"), max_age=age) == {"cot_mm_net": 1.0}
    assert store.get_features_at("HE", at("2025-11-24"), max_age=age - US) == {"cot_mm_net": None}


# ---------------------------------------------------------------- writing


def test_an_identical_row_is_a_no_op_and_a_different_value_is_recorded_again(store):
    assert put(store, 1.0) == 1
    assert put(store, 1.0) == 0
    then = dt.datetime.now(dt.UTC)
    assert put(store, 5.0) == 1
    assert store.get_features_at("HE", RELEASE) == {"cot_mm_net": 5.0}
    assert store.get_features_at("HE", RELEASE, recorded_by=then) == {"cot_mm_net": 1.0}


def test_a_retracted_vintage_never_existed_and_can_be_written_again(store):
    put(store, 1.0)
    put(store, 2.0, available_at=at("2025-12-01"))
    then = dt.datetime.now(dt.UTC)
    assert store.retract("HE", "cot_mm_net", TUESDAY, at("2025-12-01")) == 1
    assert store.retract("HE", "cot_mm_net", TUESDAY, at("2025-12-01")) == 0
    assert store.get_features_at("HE", at("2025-12-02")) == {"cot_mm_net": 1.0}
    assert store.get_features_at("HE", at("2025-12-02"), recorded_by=then) == {"cot_mm_net": 2.0}
    assert len(store.get_feature_history("HE", "cot_mm_net", TUESDAY, TUESDAY)) == 1
    assert put(store, 2.0, available_at=at("2025-12-01")) == 1
    assert store.get_features_at("HE", at("2025-12-02")) == {"cot_mm_net": 2.0}


def test_a_batch_is_all_or_nothing(store):
    good = {"market": "HE", "feature_name": "a", "as_of": TUESDAY, "available_at": RELEASE, "value": 1.0}
    with pytest.raises(InvalidValueError, match="not finite"):
        store.write_features([good, {**good, "feature_name": "b", "value": math.nan}])
    assert store.features() == []
    with pytest.raises(ConflictError, match=r"1\.0.*2\.0"):
        store.write_features([good, {**good, "value": 2.0}])
    assert store.write_features([good, dict(good)]) == 1


def test_tables_frames_and_mappings_are_the_same_rows(store):
    frame = pd.DataFrame({"market": ["HE"], "feature_name": ["a"], "as_of": [TUESDAY], "available_at": [RELEASE], "value": [1.0]})
    assert store.write_features(frame) == 1
    assert store.write_features(pa.Table.from_pandas(frame)) == 0
    assert store.write_features(frame.to_dict("records")) == 0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "1", b"1", True, [1], np.datetime64("2025-01-01")])
def test_what_is_no_finite_number_is_refused(store, value):
    with pytest.raises(InvalidValueError, match="cot_mm_net"):
        put(store, value)


@pytest.mark.parametrize("value", [3, np.int64(3), np.float32(3), 3.0])
def test_every_kind_of_number_is_kept_as_the_number_it_is(store, value):
    put(store, value)
    assert store.get_features_at("HE", RELEASE) == {"cot_mm_net": 3.0}


def test_naive_instants_early_availability_and_unknown_words_are_refused(store):
    with pytest.raises(InvalidTimeError, match="as_of"):
        put(store, as_of=dt.datetime(2025, 10, 7))  # noqa: DTZ001
    with pytest.raises(InvalidTimeError, match="lies before as_of"):
        put(store, available_at=TUESDAY - US)
    with pytest.raises(InvalidValueError, match="'good'"):
        put(store, quality="good")
    for names in ({"market": "a/b"}, {"name": ""}):
        with pytest.raises(InvalidNameError):
            put(store, **names)
    with pytest.raises(InvalidTimeError, match="query_time"):
        store.get_features_at("HE", dt.datetime(2025, 10, 7))  # noqa: DTZ001


def test_nanoseconds_of_availability_round_up(store):
    put(store, available_at=pd.Timestamp(RELEASE) + pd.Timedelta(1, "ns"))
    assert store.get_features_at("HE", RELEASE) == {}
    assert store.get_features_at("HE", RELEASE + US) == {"cot_mm_net": 1.0}
    assert store.get_features_at("HE", pd.Timestamp(RELEASE) + pd.Timedelta(999, "ns")) == {}


# ---------------------------------------------------------------- publish


def feature_rows(*values, available_at=RELEASE, as_of=TUESDAY):
    n = len(values)
    return pa.table(
        {
            "feature_name": [f"f{i}" for i in range(n)],
            "as_of": pa.array([as_of] * n, INSTANT),
            "available_at": pa.array([available_at] * n, INSTANT),
            "value": pa.array(values, pa.float64()),
            "unit": ["x"] * n,
            "quality": ["normal"] * n,
        }
    )


NAMES = [f"f{i}" for i in range(10)]
FOLDER = "data_type=cot_disaggregated/market=HE/year=2025/month=10"


def publish(store, rows, *, audit=lambda _rows: None, mark="2025-12-01", **more):
    return store.publish("HE", "2025-10", rows, features=NAMES, inputs={FOLDER: at(mark)}, audit=audit, **more)


def test_publish_writes_records_and_retracts_in_one_transaction(store):
    assert publish(store, feature_rows(*map(float, range(10)))) == 10
    assert publish(store, feature_rows(*map(float, range(10)))) == 0
    changed = [float(i) for i in range(9)]
    changed[0] = 100.0
    assert publish(store, feature_rows(*changed)) == 2  # one changed, one gone
    served = store.get_features_at("HE", RELEASE)
    assert served["f0"] == 100.0
    assert "f9" not in served
    assert publish(store, feature_rows(100.0 * (1 + 1e-14), *changed[1:])) == 0
    log = store.publishes("HE").to_pylist()
    assert [row["new_rows"] for row in log] == [10, 0, 2, 0]
    assert {row["folder"] for row in log} == {FOLDER}


def test_publish_speaks_for_its_own_month_and_features_only(store):
    put(store, 7.0, name="other")
    put(store, 8.0, at("2025-11-04"), at("2025-12-05"), name="f0")
    publish(store, feature_rows(1.0))
    assert store.get_features_at("HE", at("2026-01-01")) == {"other": 7.0, "f0": 8.0}
    with pytest.raises(InvalidValueError, match="outside its scope"):
        publish(store, feature_rows(1.0, as_of=at("2025-11-04"), available_at=at("2025-12-05")))


def test_publish_refuses_lookahead_and_writes_nothing(store):
    def audit(rows):
        raise LookaheadError(f"{rows.num_rows} early")

    with pytest.raises(LookaheadError):
        publish(store, feature_rows(1.0), audit=audit)
    with pytest.raises(LookaheadError, match="claim to be known before"):
        publish(store, feature_rows(1.0), audit=lambda rows: rows)
    assert store.features() == []
    assert store.publishes().num_rows == 0


def test_publish_from_older_inputs_than_before_is_refused(store):
    publish(store, feature_rows(1.0), mark="2025-12-02")
    with pytest.raises(StaleInputsError, match=FOLDER):
        publish(store, feature_rows(2.0), mark="2025-12-01")
    assert publish(store, feature_rows(2.0), mark="2025-12-02") == 1
    # Another month, or other features, may rest on the older ones.
    for month, features in (("2025-11", NAMES), ("2025-10", ["other"])):
        store.publish("HE", month, [], features=features, inputs={FOLDER: at("2025-12-01")}, audit=lambda _rows: None)


@pytest.mark.parametrize("features", [[*NAMES, "further"], NAMES[:1]], ids=["more", "fewer"])
def test_a_publish_of_other_features_that_overlap_is_compared_too(store, features):
    publish(store, feature_rows(1.0), mark="2025-12-02")
    with pytest.raises(StaleInputsError, match=FOLDER):
        store.publish("HE", "2025-10", [], features=features, inputs={FOLDER: at("2025-12-01")}, audit=lambda _rows: None)


def test_the_last_inputs_are_those_of_the_newest_publish_of_the_features_asked(store):
    """Not of all publishes together: a folder that the newest one did not use is none of its inputs."""
    other = FOLDER.replace("month=10", "month=09")

    def say(features, inputs, month="2025-10", market="HE"):
        store.publish(market, month, [], features=features, inputs={f: at(day) for f, day in inputs.items()}, audit=lambda _rows: None)

    say(["f1", "f10"], {FOLDER: "2025-12-01", other: "2025-12-01"})
    say(["f1", "f10"], {FOLDER: "2025-12-02"})
    say(["f1", "f10"], {}, month="2025-11")
    say(["f2"], {FOLDER: "2025-12-03"})
    say(["f1", "f10"], {FOLDER: "2025-12-04"}, market="LE")
    assert store.last_inputs("HE", ["f1", "elsewhere"]) == {"2025-10": {FOLDER: at("2025-12-02")}, "2025-11": {}}
    assert store.last_inputs("HE", ["f2"]) == {"2025-10": {FOLDER: at("2025-12-03")}}
    assert store.last_inputs("HE", ["f"]) == {}
    assert set(store.publishes("LE")["market"].to_pylist()) == {"LE"}
    # One feature more, one fewer: whichever list is the longer, the publish that came last counts.
    say(["f1", "f10", "f11"], {FOLDER: "2025-12-05"})
    assert store.last_inputs("HE", ["f1"])["2025-10"] == {FOLDER: at("2025-12-05")}
    say(["f1", "f10"], {FOLDER: "2025-12-06"})
    assert store.last_inputs("HE", ["f1"])["2025-10"] == {FOLDER: at("2025-12-06")}


def test_publish_withdraws_at_most_a_fifth(store):
    publish(store, feature_rows(*map(float, range(10))))
    with pytest.raises(RetractionError, match="allow_retract"):
        publish(store, feature_rows(*map(float, range(7))))
    assert len(store.get_features_at("HE", RELEASE)) == 10
    assert publish(store, feature_rows(*map(float, range(7))), allow_retract=True) == 3


# ---------------------------------------------------------------- the training frame


def test_the_frame_is_the_join_that_asking_each_time_would_give(store):
    for week, value in enumerate((1.0, 2.0, None, 4.0)):
        day = TUESDAY + dt.timedelta(days=7 * week)
        put(store, value, day, day + dt.timedelta(days=3 + 10 * (week == 1)), quality="missing" if value is None else "normal")
        put(store, value, day, day + dt.timedelta(days=5), market="LE")
    times = [TUESDAY + dt.timedelta(hours=11 * n) for n in range(80)]
    frame = store.get_training_frame(["LE", "HE"], times[::-1])
    assert frame.column_names == ["market", "time", "cot_mm_net"]
    assert frame["market"].to_pylist() == ["LE"] * 80 + ["HE"] * 80
    assert frame["time"].to_pylist() == times[::-1] * 2
    for row in frame.to_pylist():
        assert row["cot_mm_net"] == store.get_features_at(row["market"], row["time"]).get("cot_mm_net")
    pairs = frame.select(["market", "time"])
    assert store.get_training_frame(pairs, features=["cot_mm_net"]).equals(frame)
    assert store.get_training_frame(pairs.to_pandas()).equals(frame)


def test_the_frames_options(store):
    put(store, 1.0, name="b")
    put(store, 2.0, name="a", quality="partial")
    assert store.get_training_frame(["HE"], [RELEASE]).column_names == ["market", "time", "a", "b"]
    assert store.get_training_frame(["HE"], [RELEASE], ["b", "a"]).column_names == ["market", "time", "b", "a"]
    with pytest.raises(UnknownFeatureError, match="'c'"):
        store.get_training_frame(["HE"], [RELEASE], ["c"])
    delay = dt.timedelta(hours=18)
    assert store.get_training_frame(["HE"], [RELEASE, RELEASE + delay], ["a"], delay=delay)["a"].to_pylist() == [None, 2.0]
    (row,) = store.get_training_frame(["HE"], [RELEASE], ["a"], with_meta=True).to_pylist()
    assert (row["a"], row["a__as_of"], row["a__available_at"], row["a__quality"]) == (2.0, TUESDAY, RELEASE, "partial")
    (row,) = store.get_training_frame(["HE"], [RELEASE], ["a"], with_meta=True, max_age=dt.timedelta(days=1)).to_pylist()
    assert (row["a"], row["a__quality"]) == (None, "stale")


def test_an_empty_frame_has_its_columns(store):
    put(store)
    assert store.get_training_frame(["HE"], []).column_names == ["market", "time", "cot_mm_net"]
    early = store.get_training_frame(["HE"], [TUESDAY])
    assert early["cot_mm_net"].to_pylist() == [None]


def test_explain_says_what_is_served_and_what_is_withheld_until_when(store):
    put(store, 1.0)
    put(store, 2.0, at("2025-10-14"), at("2025-11-25 20:30"))
    put(store, 9.0, available_at=at("2025-12-24"))
    told = store.explain("HE", "cot_mm_net", at("2025-11-22"))
    assert told["served"]["value"] == 1.0
    assert [(row["value"], row["available_at"]) for row in told["withheld"]] == [(2.0, at("2025-11-25 20:30")), (9.0, at("2025-12-24"))]
    assert store.explain("HE", "cot_mm_net", at("2025-10-08"))["served"] is None
    with pytest.raises(UnknownFeatureError, match="cot_mm_net"):
        store.explain("HE", "cot_net", at("2025-11-22"))


# ---------------------------------------------------------------- the file


def test_a_person_sees_one_row_a_vintage_in_any_sqlite_client(file_store):
    put(file_store, 1.0)
    put(file_store, 5.0)
    put(file_store, 2.0, available_at=at("2025-12-01"))
    file_store.retract("HE", "cot_mm_net", TUESDAY, at("2025-12-01"))
    with sqlite3.connect(file_store.db_path) as plain:
        seen = plain.execute("SELECT market, feature_name, as_of, available_at, value, quality FROM features").fetchall()
        assert seen == [("HE", "cot_mm_net", "2025-10-07T00:00:00.000000Z", "2025-11-21T20:30:00.000000Z", 5.0, "normal")]
        assert plain.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert plain.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall() == []


def test_a_changed_row_is_noticed_whoever_changed_it(file_store):
    put(file_store, 1.0)
    with sqlite3.connect(file_store.db_path) as plain:
        plain.execute("UPDATE facts SET value = 2.0")
    for ask in (
        lambda: file_store.get_features_at("HE", RELEASE),
        lambda: file_store.get_feature_history("HE", "cot_mm_net", TUESDAY, TUESDAY),
        lambda: file_store.get_training_frame(["HE"], [RELEASE]),
        file_store.check,
    ):
        with pytest.raises(CorruptionError, match="checksum"):
            ask()


def test_a_store_belongs_to_one_world_and_closes(tmp_path):
    path = tmp_path / "x.sqlite"
    with FeatureStore(path, world="live"):
        pass
    assert FeatureStore(path).world == "live"
    with pytest.raises(WorldError, match="'live'"):
        FeatureStore(path, world="sample")
    opened = FeatureStore(path)
    opened.close()
    opened.close()


WRITER = """
import datetime as dt, sys
from hydra_assets.storage.store import FeatureStore
day = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
with FeatureStore(sys.argv[1]) as store:
    for n in range(40):
        store.write_feature("HE", "f", day + dt.timedelta(days=n), day + dt.timedelta(days=n + int(sys.argv[2])), float(n))
"""


def test_writers_side_by_side_lose_nothing_and_an_answer_under_recorded_by_never_changes(tmp_path):
    path = tmp_path / "x.sqlite"
    with FeatureStore(path, world="sample") as store:
        writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(n)]) for n in range(1, 5)]
        asked = []
        while any(writer.poll() is None for writer in writers):
            then = dt.datetime.now(dt.UTC)
            asked.append((then, store.get_training_frame(["HE"], [at("2025-02-20")], recorded_by=then) if store.features() else None))
        assert [writer.wait() for writer in writers] == [0] * 4
        assert store.vintages("HE").num_rows == 160
        stamps = [row["recorded_at"] for row in store.vintages("HE").to_pylist()]
        assert len(set(stamps)) == 160
        assert store.check() == 160
        for then, answer in asked:
            if answer is not None:
                assert store.get_training_frame(["HE"], [at("2025-02-20")], recorded_by=then).equals(answer)


def test_a_store_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path):
    path = tmp_path / "store.sqlite"
    FeatureStore(path).close()
    with contextlib.closing(sqlite3.connect(path)) as db:
        newer = db.execute("PRAGMA user_version").fetchone()[0] + 1
        db.execute(f"PRAGMA user_version = {newer}")
    with pytest.raises(SchemaError, match=f"format {newer}"):
        FeatureStore(path)
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] == newer
