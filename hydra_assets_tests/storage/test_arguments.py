"""Arguments of every type that callers hold: each works, or is refused by name with our own error, at every public entry."""

import datetime as dt

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import hydra_assets
from hydra_assets.core.instants import INSTANT, column_us, from_us, instants_us, iso, to_us
from hydra_assets.core.names import names_of
from hydra_assets.errors import ConfigError, CorruptionError, HydraError, InvalidNameError, InvalidTimeError, InvalidValueError, SchemaError
from hydra_assets.features import labels
from hydra_assets.storage.capture import Look
from hydra_assets_tests.conftest import at

DAY, LATER = at("2025-01-07"), at("2025-01-10")
LOOK = Look("test", dt.date(2025, 1, 1), dt.date(2025, 1, 31), (), at("2025-02-01"))


@pytest.fixture
def store(any_store):
    for name in ("cot_mm_net", "cot_mm_net_oi"):
        any_store.write_feature("HE", name, DAY, LATER, 1.0)
    return any_store


@pytest.fixture
def lake(any_lake):
    return any_lake


def table(**columns):
    n = len(next(iter(columns.values())))
    return pa.table({"as_of": pa.array([DAY] * n, INSTANT), "available_at": pa.array([LATER] * n, INSTANT), **columns})


# ---------------------------------------------------------------- one name is one name


@pytest.mark.parametrize(
    "names",
    ["cot_mm_net_oi", ["cot_mm_net_oi"], ("cot_mm_net_oi",), {"cot_mm_net_oi"}, np.array(["cot_mm_net_oi"]), pd.Series(["cot_mm_net_oi"]),
     pd.Index(["cot_mm_net_oi"]), pa.array(["cot_mm_net_oi"]), pl.Series(["cot_mm_net_oi"]).to_arrow()],
)  # fmt: skip
def test_a_list_of_names_is_a_name_or_whatever_holds_names(store, names):
    assert names_of(names, "features") == ["cot_mm_net_oi"]
    assert set(store.vintages("HE", names)["feature_name"].to_pylist()) == {"cot_mm_net_oi"}
    assert store.get_training_frame("HE", [LATER], names).column_names == ["market", "time", "cot_mm_net_oi"]
    assert store.last_inputs("HE", names) == {}
    assert store.publish("HE", "2025-02", [], features=names, inputs={}, audit=lambda _rows: None) == 0
    assert store.publishes("HE")["features"].to_pylist() == ["cot_mm_net_oi"]


@pytest.mark.parametrize("names", [3, [None], [b"a"], [["a"]], {1: 2}])
def test_what_are_no_names_is_refused(store, names):
    for ask in (
        lambda: store.vintages("HE", names),
        lambda: store.get_training_frame("HE", [LATER], names),
        lambda: store.get_training_frame(names, [LATER]),
        lambda: store.publish("HE", "2025-02", [], features=names, inputs={}, audit=lambda _rows: None),
    ):
        with pytest.raises(InvalidNameError):
            ask()


def test_one_column_and_one_key_of_the_lake(lake):
    lake.append_new(table(kk=["a", "b"], v=[1.0, 2.0]), "x", "HE", DAY, key="kk", stamps="ours", look=LOOK)
    assert lake.read("x", "HE", columns="kk").column_names == ["kk"]
    assert lake.read_known("x", "HE", LATER, key="kk").num_rows == 2
    assert lake.read_vintages("x", "HE", key="kk").num_rows == 2
    with pytest.raises(SchemaError, match="unknown"):
        lake.read("x", "HE", columns=["unknown"])


def test_no_market_is_no_market_of_all(store, lake):
    lake.write(table(v=[1.0]), "x", "HE", DAY)
    for none in (None, "", 3):
        for ask in (
            lambda none=none: store.get_features_at(none, LATER),
            lambda none=none: store.get_feature_history(none, "a", DAY, LATER),
            lambda none=none: store.explain(none, "cot_mm_net", LATER),
            lambda none=none: store.vintages(none),
            lambda none=none: store.get_training_frame([none], [LATER]),
            lambda none=none: store.last_inputs(none, ["a"]),
            lambda none=none: lake.read("x", none),
            lambda none=none: lake.read(none, "HE"),
            lambda none=none: lake.read_known("x", none, LATER, key=["v"], recorded_by=DAY),
            lambda none=none: lake.read_vintages("x", none),
            lambda none=none: lake.recordings("x", none),
            lambda none=none: lake.files("x", none),
            lambda none=none: lake.writes("x", none),
            lambda none=none: lake.watermarks("x", none),
            lambda none=none: lake.unpublished("x", none),
            lambda none=none: lake.write(table(v=[1.0]), "x", none, DAY),
        ):
            with pytest.raises(InvalidNameError):
                ask()
    pairs = pa.table({"market": pa.array(["HE", None]), "time": pa.array([LATER, LATER], INSTANT)})
    with pytest.raises(InvalidNameError, match="market"):
        store.get_training_frame(pairs)


# ---------------------------------------------------------------- instants and spans


@pytest.mark.parametrize(
    "times",
    [LATER, [LATER], pd.DatetimeIndex([LATER]), pd.Series([LATER]), pd.Series([LATER]).to_numpy(dtype=object), pa.array([LATER], INSTANT),
     pa.chunked_array([pa.array([LATER], pa.timestamp("ns", "UTC"))]), pd.Timestamp(LATER)],
)  # fmt: skip
def test_times_are_one_instant_or_whatever_holds_instants(store, times):
    assert store.get_training_frame("HE", times, "cot_mm_net")["cot_mm_net"].to_pylist() == [1.0]


@pytest.mark.parametrize("times", ["2025-01-10", 5, [np.datetime64("2025-01-10")], [None], [pd.NaT], [dt.date(2025, 1, 10)]])
def test_what_are_no_instants_is_refused(store, times):
    with pytest.raises(InvalidTimeError, match="times"):
        store.get_training_frame("HE", times)


def test_instants_at_the_ends_of_time():
    for when in (pd.Timestamp("1500-01-01", tz="UTC"), pd.Timestamp("9999-12-31 23:59", tz="UTC"), dt.datetime(1, 1, 1, tzinfo=dt.UTC)):
        assert from_us(to_us(when)) == when.to_pydatetime() if isinstance(when, pd.Timestamp) else when
    assert to_us(pd.Timestamp.max.tz_localize("UTC"), rounding="floor") < to_us(pd.Timestamp.max.tz_localize("UTC"), rounding="ceil")
    assert iso(to_us(dt.datetime(1, 1, 1, tzinfo=dt.UTC))) == "0001-01-01T00:00:00.000000Z"
    east, west = dt.timezone(dt.timedelta(hours=5)), dt.timezone(-dt.timedelta(hours=5))
    for beyond in (
        dt.datetime(1, 1, 1, tzinfo=east),
        dt.datetime(9999, 12, 31, 23, tzinfo=west),
    ):
        with pytest.raises(InvalidTimeError, match="1 to 9999"):
            to_us(beyond)
    for kind, value in (("us", 2**62), ("s", 2**60), ("ms", -(2**60))):
        with pytest.raises(InvalidTimeError, match="1 to 9999"):
            column_us(pa.array([value]).cast(pa.timestamp(kind, "UTC")), what="time")
    assert instants_us([], what="times").tolist() == []


@pytest.mark.parametrize("age", [-dt.timedelta(1), 5, "1d", pd.NaT, np.timedelta64(1, "D")])
def test_an_age_is_a_span_from_zero_on(store, age):
    for ask in (
        lambda: store.get_features_at("HE", LATER, max_age=age),
        lambda: store.get_training_frame("HE", [LATER], max_age=age),
        lambda: store.get_training_frame("HE", [LATER], delay=age),
    ):
        with pytest.raises(InvalidTimeError, match=r"max_age|delay"):
            ask()
    assert store.get_features_at("HE", LATER, max_age=pd.Timedelta(days=30))["cot_mm_net"] == 1.0


def test_a_span_longer_than_all_of_time_is_as_long_as_that(store):
    assert store.get_features_at("HE", LATER, max_age=dt.timedelta.max, log=True)["cot_mm_net"] == 1.0
    assert store.get_training_frame("HE", LATER, "cot_mm_net", max_age=dt.timedelta.max)["cot_mm_net"].to_pylist() == [1.0]
    assert store.get_training_frame("HE", LATER, "cot_mm_net", delay=dt.timedelta.max)["cot_mm_net"].to_pylist() == [None]
    assert store.served("HE")[0].max_age > dt.timedelta(365 * 9998)


def test_what_looks_around_refuses_what_it_cannot_ask_for(store, lake):
    for ask in (
        lambda: store.served(["HE"]),
        lambda: store.explain("HE", None, LATER),
        lambda: store.explain("HE", pd.Series(["cot_mm_net"]), LATER),
        lambda: lake.looks(3),
        lambda: Look(None, DAY.date(), DAY.date()),
        lambda: Look("test", DAY.date(), DAY.date(), None),
    ):
        with pytest.raises(InvalidNameError):
            ask()
    for ask in (
        lambda: store.served("HE", "2025-01-10"),
        lambda: store.served("HE", None, LATER.replace(tzinfo=None)),
        lambda: store.vintages("HE", start="2025-01-10"),
        lambda: store.publish("HE", "0000-01", [], features=["a"], inputs={}, audit=lambda _rows: None),
        lambda: lake.vacuum(-dt.timedelta(1)),
        lambda: lake.vacuum(3600),
        lambda: Look("test", None, DAY.date()),
        lambda: Look("test", DAY.date(), DAY.date(), unpublished="2025-01-07"),
    ):
        with pytest.raises(InvalidTimeError):
            ask()
    for inputs, audit in ((None, lambda _rows: None), ({1: LATER}, lambda _rows: None), ({}, None)):
        with pytest.raises(InvalidValueError, match="2025-01"):
            store.publish("HE", "2025-01", [], features=["a"], inputs=inputs, audit=audit)
    assert store.publish("HE", "9999-12", [], features=["a"], inputs={}, audit=lambda _rows: None) == 0


@pytest.mark.parametrize("day", ["x", "2025-01-06T00:00", None, 5, at("2025-01-06"), np.datetime64("2025-01-06")])
def test_a_day_of_sessions_is_a_date(day):
    with pytest.raises(InvalidTimeError, match="day"):
        hydra_assets.sessions("HE", day, "2025-01-10")


@pytest.mark.parametrize("market", [None, 5, ["HE"]])
def test_what_is_no_symbol_is_no_configured_market(market):
    with pytest.raises(ConfigError, match="no symbol"):
        hydra_assets.sessions(market, "2025-01-06", "2025-01-10")


@pytest.mark.parametrize("when", [dt.datetime(1, 1, 1, tzinfo=dt.UTC), dt.datetime(9999, 12, 31, tzinfo=dt.UTC)])
def test_labels_at_the_ends_of_time_are_unknown(tmp_path, monkeypatch, when):
    monkeypatch.setenv("HYDRA_HOME", str(tmp_path))
    assert hydra_assets.labels.forward_returns("HE", when, [5])["label_fwd_5d"].to_pylist() == [None]


@pytest.mark.parametrize("clock", ["18:30Z", "18:30+02:00", "", "25:00", None, 18])
def test_a_wall_clock_time_of_sessions_has_no_zone_of_its_own(clock):
    with pytest.raises(InvalidTimeError, match="HH:MM"):
        hydra_assets.sessions("HE", "2025-01-06", "2025-01-10", at=clock)


@pytest.mark.parametrize("horizons", [5, [5], np.array([5]), pd.Series([5]), range(5, 6), np.int64(5), np.array(5), pa.array([5])])
def test_horizons_are_one_number_or_whatever_holds_numbers(horizons):
    assert labels.session_counts(horizons) == [5]


@pytest.mark.parametrize("horizons", [0, [True], ["5"], "5", 2.0, [None], [-1], 10**6, 10**30, pa.array([None, 5])])
def test_what_are_no_horizons_is_refused(horizons):
    with pytest.raises(InvalidValueError, match="horizon"):
        labels.session_counts(horizons)


# ---------------------------------------------------------------- columns as libraries hold them


TEXTS = {
    "large_string": pa.array(["a", "b"], pa.large_string()),
    "string_view": pa.array(["a", "b"], pa.string_view()),
    "dictionary": pa.array(["a", "b"]).dictionary_encode(),
    "dictionary of large": pa.array(["a", "b"], pa.large_string()).dictionary_encode(),
    "pandas": pa.Array.from_pandas(pd.Series(["a", "b"])),
    "pandas category": pa.Array.from_pandas(pd.Series(["a", "b"], dtype="category")),
    "polars": pl.Series(["a", "b"]).to_arrow(),
    "polars category": pl.Series(["a", "b"], dtype=pl.Categorical).to_arrow(),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_text_is_text_in_whatever_type_it_comes(lake, kind):
    for texts in (TEXTS[kind], pa.array(["a", "b"])):
        lake.append_new(table(k=texts, v=[1.0, 2.0]), "x", "HE", DAY, key=["k"], stamps="ours", look=LOOK)
    assert lake.read("x", "HE").schema.field("k").type == pa.string()
    assert lake.read("x", "HE")["k"].to_pylist() == ["a", "b"]
    assert lake.read_known("x", "HE", LATER, key=["k"]).num_rows == 2
    lake.write(table(k=TEXTS[kind], v=[1.0, 2.0]), "y", "HE", DAY)
    assert lake.read_vintages("y", "HE", key=["k"]).num_rows == 2


@pytest.mark.parametrize("of", [pd.DataFrame, pl.DataFrame, pa.table])
def test_frames_of_each_library_are_rows_of_the_store(any_store, of):
    rows = {"market": ["HE"], "feature_name": ["a"], "as_of": [DAY], "available_at": [LATER], "value": [2.0]}
    assert any_store.write_features(of(rows)) == 1
    assert any_store.get_features_at("HE", LATER) == {"a": 2.0}
    pairs = of({"market": ["HE"], "time": [LATER]})
    assert any_store.get_training_frame(pairs)["a"].to_pylist() == [2.0]


@pytest.mark.parametrize("nulls", [pa.nulls(1), pa.array([None], pa.float64())])
def test_a_column_without_a_value_says_nothing_of_its_type(lake, nulls):
    february = pa.table(
        {"as_of": pa.array([at("2025-02-07")], INSTANT), "available_at": pa.array([at("2025-02-08")], INSTANT), "v": pa.array([1.0])}
    )
    lake.write(table(v=nulls), "x", "HE", DAY)
    lake.write(february, "x", "HE", at("2025-02-07"))
    lake.write(table(v=pa.nulls(1)), "x", "HE", DAY)
    assert lake.read("x", "HE")["v"].to_pylist() == [None, None, 1.0]
    lake.compact()
    assert lake.read("x", "HE")["v"].to_pylist() == [None, None, 1.0]
    with pytest.raises(SchemaError, match="'v'"):
        lake.write(table(v=["text"]), "x", "HE", DAY)


@pytest.mark.parametrize(
    "rows",
    [None, 5, pd.Series([1.0]), pl.LazyFrame({"market": ["HE"]}), pd.DataFrame([[1, 2]], columns=["value", "value"]),
     pa.table([pa.array([1.0]), pa.array([2.0])], names=["value", "value"]), pd.DataFrame({"value": [1, "2"]})],
)  # fmt: skip
def test_what_are_no_rows_of_the_store_is_refused(any_store, rows):
    with pytest.raises(InvalidValueError, match="rows"):
        any_store.write_features(rows)


def test_pairs_have_each_column_once(store):
    duplicates = pa.table([pa.array(["HE"]), pa.array(["LE"]), pa.array([LATER], INSTANT)], names=["market", "market", "time"])
    with pytest.raises(SchemaError, match="each once"):
        store.get_training_frame(duplicates)


def test_lists_without_a_value_say_nothing_of_their_type(lake):
    for month, lists in ((1, pa.array([[]], pa.list_(pa.null()))), (2, pa.array([[7]])), (3, pa.array([None], pa.list_(pa.null())))):
        day = at(f"2025-0{month}-07")
        lake.write(pa.table({"as_of": pa.array([day], INSTANT), "v": lists}), "x", "HE", day)
    assert lake.read("x", "HE")["v"].to_pylist() == [[], [7], None]


def test_a_type_that_no_file_can_hold_is_refused_and_leaves_the_column_free(lake):
    with pytest.raises(SchemaError, match=r"'v' is month_day_nano_interval"):
        lake.write(table(v=pa.array([pa.MonthDayNano([1, 2, 3])])), "x", "HE", DAY)
    lake.write(table(v=[1.0]), "x", "HE", DAY)
    assert lake.read("x", "HE")["v"].to_pylist() == [1.0]


def test_a_key_of_lists_a_stamp_of_text_and_a_look_that_is_none_are_refused(lake):
    for rows, options, message in (
        (table(k=[["a"]]), {}, "key column 'k'"),
        (table(k=["a"], stamped_at=["x"]), {}, "stamped_at"),
        (table(k=["a"]), {"look": None}, "look must be a Look"),
    ):
        with pytest.raises(HydraError, match=message):
            lake.append_new(rows, "x", "HE", DAY, **{"key": "k", "stamps": "ours", "look": LOOK, **options})
    assert lake.read("x", "HE").num_rows == 0


def test_a_number_larger_than_a_double_is_refused(any_store):
    with pytest.raises(InvalidValueError, match="larger"):
        any_store.write_feature("HE", "a", DAY, LATER, 10**400)


# ---------------------------------------------------------------- the lake's door


@pytest.mark.parametrize("kind", [INSTANT, pa.date32(), pa.date64()])
def test_no_row_is_available_before_its_day_whatever_the_type_of_the_day(lake, kind):
    day = at("2025-01-20") if kind == INSTANT else dt.date(2025, 1, 20)
    early = pa.table({"as_of": pa.array([day], kind), "available_at": pa.array([LATER], INSTANT)})
    with pytest.raises(InvalidTimeError, match="before their as_of"):
        lake.write(early, "x", "HE", DAY)
    with pytest.raises(SchemaError, match="available_at"):
        lake.write(pa.table({"as_of": pa.array([day], kind), "available_at": pa.array([dt.date(2025, 1, 21)])}), "x", "HE", DAY)


@pytest.mark.parametrize("year", [1, 999, 9999])
def test_what_is_written_in_any_year_is_read_back(lake, year):
    day = dt.datetime(year, 3, 4, tzinfo=dt.UTC)
    rows = pa.table({"as_of": pa.array([day], INSTANT), "available_at": pa.array([day], INSTANT), "v": [1.0]})
    lake.write(rows, "x", "HE", day)
    assert lake.read("x", "HE", day, day)["v"].to_pylist() == [1.0]


@pytest.mark.parametrize(
    ("columns", "wrong"),
    [
        ({"market": ["LE"]}, "market"),
        ({"Market": ["LE"]}, "Market"),
        ({"market": [None]}, "market"),
        ({"data_type": ["y"]}, "data_type"),
        ({"year": [2024]}, "year"),
        ({"month": ["02"]}, "month"),
    ],
)
def test_a_column_named_like_a_part_of_the_path_says_the_same(lake, columns, wrong):
    with pytest.raises(SchemaError, match=f"'{wrong}'"):
        lake.write(table(**columns), "x", "HE", DAY)
    lake.write(table(market=["HE"], year=[2025], month=["01"], data_type=["x"]), "x", "HE", DAY)
    assert lake.read("x", "HE").num_rows == 1


@pytest.mark.parametrize("name", ["_schema.arrow", "_looks.jsonl"])
def test_a_damaged_side_file_is_named(file_lake, name):
    file_lake.append_new(table(k=["a"]), "x", "HE", DAY, key=["k"], stamps="ours", look=LOOK)
    next(file_lake.base_path.rglob(name)).write_bytes(b"nonsense\n")
    with pytest.raises(HydraError, match=name):
        file_lake.append_new(table(k=["b"]), "x", "HE", DAY, key=["k"], stamps="ours", look=LOOK)


def test_a_changed_digit_in_the_log_of_looks_is_noticed_and_a_line_of_before_is_read(file_lake):
    file_lake.append_new(table(k=["a"]), "x", "HE", DAY, key=["k"], stamps="ours", look=LOOK)
    log = next(file_lake.base_path.rglob("_looks.jsonl"))
    written = log.read_bytes()
    log.write_bytes(written.partition(b', "crc"')[0] + b"}\n" + written)
    assert file_lake.looks().num_rows == 2
    log.write_bytes(written.replace(b"2025-01-31", b"2025-01-30"))
    with pytest.raises(CorruptionError, match=r"_looks\.jsonl.*checksum"):
        file_lake.looks()
