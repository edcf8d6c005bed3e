"""The lake's promises, as the design words them."""

import datetime as dt
import re
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hydra_assets.errors import InvalidNameError, InvalidTimeError, SchemaError, UnknownTableWarning, WorldError
from hydra_assets.storage.capture import Look
from hydra_assets.storage.lake import ParquetLake
from hydra_assets_tests.conftest import at, rows

FEB = dt.datetime(2026, 2, 10, tzinfo=dt.UTC)


@pytest.fixture
def lake(any_lake):
    """Every implementation."""
    return any_lake


def cot(code="054642", as_of="2026-02-10", available_at="2026-02-13 20:30", value=1):
    return rows(cftc_code=[code], as_of=[as_of], available_at=[available_at], value=[value])


def test_round_trip_gives_back_what_went_in(lake):
    table = rows(name=["a", "b"], as_of=["2026-02-03", "2026-02-10"], available_at=["2026-02-06 20:30", "2026-02-13 20:30"], x=[1.5, None])
    lake.write(table, "quotes", "HE", FEB)
    assert lake.read("quotes", "HE").equals(table)
    assert lake.read("quotes", "HE", columns=["x"]).column_names == ["x"]


def test_the_folder_and_the_name_are_those_of_the_design(lake):
    path = lake.write(cot(), "cot_disaggregated", "HE", FEB)
    place = path.relative_to(lake.base_path)
    assert place.parent.as_posix() == "data_type=cot_disaggregated/market=HE/year=2026/month=02"
    assert re.fullmatch(r"batch_20260210_[0-9a-f]{32}_[0-9a-f]{16}\.parquet", place.name)


def test_the_same_table_written_twice_is_two_files_and_reads_as_both(lake):
    paths = {lake.write(cot(), "cot_disaggregated", "HE", FEB) for _ in range(2)}
    assert len(paths) == 2
    assert sorted(lake.files("cot_disaggregated", "HE")) == sorted(paths)
    assert lake.read("cot_disaggregated", "HE").num_rows == 2


def test_dates_bound_the_days_of_as_of_inclusively_and_exactly(lake):
    for month, days in (("01", ("06", "13", "31")), ("02", ("01", "03", "28")), ("03", ("01",))):
        for day in days:
            date = dt.datetime(2026, int(month), int(day), tzinfo=dt.UTC)
            lake.write(cot(as_of=f"2026-{month}-{day} 23:59:59", available_at="2026-04-01"), "t", "HE", date)

    def read(start, end):
        return [f"{r:%m-%d}" for r in lake.read("t", "HE", start, end)["as_of"].to_pylist()]

    assert read(dt.date(2026, 1, 13), dt.date(2026, 2, 3)) == ["01-13", "01-31", "02-01", "02-03"]
    assert read(None, dt.date(2026, 1, 6)) == ["01-06"]
    assert read(dt.date(2026, 3, 1), None) == ["03-01"]
    # An instant means its UTC day: 18:30 on 31 January in Chicago is 1 February.
    chicago = dt.datetime(2026, 1, 31, 18, 30, tzinfo=ZoneInfo("America/Chicago"))
    assert read(chicago, chicago) == ["02-01"]


def test_a_table_without_as_of_is_bounded_by_the_writes_date_and_a_text_as_of_is_ordinary(lake):
    lake.write(pa.table({"x": [1]}), "plain", "HE", FEB)
    lake.write(pa.table({"x": [2]}), "plain", "HE", dt.datetime(2026, 2, 11, tzinfo=dt.UTC))
    assert lake.read("plain", "HE", dt.date(2026, 2, 11))["x"].to_pylist() == [2]
    lake.write(pa.table({"as_of": ["1999-01-01"]}), "text", "HE", FEB)
    assert lake.read("text", "HE", dt.date(2026, 2, 10), dt.date(2026, 2, 10)).num_rows == 1


def test_unknown_names_read_as_empty_and_bad_names_are_refused_before_anything_is_written(lake, tmp_path):
    assert lake.read("nothing", "HE").num_rows == 0
    assert lake.read_known("nothing", "HE", FEB, key=["x"]).num_rows == 0
    for bad in ("", "..", "a/b", "a\0b", "-x", "a b", "x" * 65, "é", "market=HE"):
        for names in ((bad, "HE"), ("t", bad)):
            with pytest.raises(InvalidNameError):
                lake.write(cot(), *names, FEB)
            with pytest.raises(InvalidNameError):
                lake.read(*names)
        with pytest.raises(InvalidNameError):
            lake.folders(bad)
    assert not list(lake.base_path.rglob("*.parquet"))


def test_rows_of_another_month_naive_instants_and_early_availability_are_refused(lake):
    with pytest.raises(InvalidTimeError, match="outside the month"):
        lake.write(cot(as_of="2026-03-01", available_at="2026-03-05"), "t", "HE", FEB)
    with pytest.raises(InvalidTimeError, match="before their as_of"):
        lake.write(cot(available_at="2026-02-09"), "t", "HE", FEB)
    with pytest.raises(SchemaError, match="seen_at"):
        lake.write(pa.table({"seen_at": pa.array([0], pa.timestamp("us"))}), "t", "HE", FEB)
    with pytest.raises(InvalidTimeError, match="timezone"):
        lake.write(cot(), "t", "HE", dt.datetime(2026, 2, 10))  # noqa: DTZ001
    assert lake.files("t", "HE") == []


def test_instants_are_kept_as_utc_microseconds_available_at_rounded_up(lake):
    ns = pa.timestamp("ns", tz="America/Chicago")
    table = pa.table({"as_of": pa.array([1_770_681_600_000_000_000], ns), "available_at": pa.array([1_771_014_600_000_000_001], ns)})
    lake.write(table, "t", "HE", FEB)
    read = lake.read("t", "HE")
    assert {str(field.type) for field in read.schema} == {"timestamp[us, tz=UTC]"}
    assert read["available_at"].cast(pa.int64()).to_pylist() == [1_771_014_600_000_001]
    fine = pa.table({"as_of": pa.array([1_770_681_600_000_000_001], ns), "available_at": pa.array([1_771_014_600_000_000_000], ns)})
    with pytest.raises(InvalidTimeError, match="finer than a microsecond"):
        lake.write(fine, "t", "HE", FEB)


def test_columns_may_be_added_and_a_changed_type_is_refused_naming_both(lake):
    lake.write(pa.table({"x": [1]}), "t", "HE", FEB)
    lake.write(pa.table({"x": [2], "y": ["new"]}), "t", "LE", FEB)
    lake.write(pa.table({"x": [3], "y": ["newer"]}), "t", "HE", FEB)
    assert lake.read("t", "HE").to_pylist() == [{"x": 1, "y": None}, {"x": 3, "y": "newer"}]
    with pytest.raises(SchemaError, match=r"'x' is string.*int64"):
        lake.write(pa.table({"x": ["4"]}), "t", "HE", FEB)
    with pytest.raises(SchemaError, match="_recorded_at"):
        lake.write(pa.table({"_recorded_at": [1]}), "t", "HE", FEB)


def test_tuesdays_positions_are_known_on_friday_to_the_microsecond(lake):
    lake.write(cot(value=7), "cot", "HE", FEB)

    def known(when):
        return lake.read_known("cot", "HE", when, key=["cftc_code"])["value"].to_pylist()

    release = at("2026-02-13 20:30")
    assert known(at("2026-02-11 12:00")) == []
    assert known(release - dt.timedelta(microseconds=1)) == []
    assert known(release) == [7]
    assert known(at("2026-02-14 00:00")) == [7]
    assert known(release.astimezone(ZoneInfo("Asia/Tokyo"))) == [7]


def test_a_revision_is_seen_from_its_own_instant_and_both_stay(lake):
    lake.write(cot(value=1), "cot", "HE", FEB)
    lake.write(cot(value=2, available_at="2026-02-20 20:30"), "cot", "HE", FEB)
    for when, value in (("2026-02-13 20:30", 1), ("2026-02-20 20:29:59.999999", 1), ("2026-02-20 20:30", 2)):
        assert lake.read_known("cot", "HE", at(when), key=["cftc_code", "as_of"])["value"].to_pylist() == [value]
    assert sorted(lake.read("cot", "HE")["value"].to_pylist()) == [1, 2]


def test_read_known_answers_one_row_per_key_and_as_of(lake):
    lake.write(cot(as_of="2026-02-03", available_at="2026-02-06 20:30", value=1), "cot", "HE", FEB)
    lake.write(cot(value=2), "cot", "HE", FEB)
    lake.write(cot(code="057642", value=3), "cot", "HE", FEB)
    answer = lake.read_known("cot", "HE", at("2026-03-01"), key=["cftc_code"])
    assert sorted(answer["value"].to_pylist()) == [1, 2, 3]
    assert lake.read_known("cot", "HE", at("2026-03-01"), key=["cftc_code"], start=dt.date(2026, 2, 4))["value"].to_pylist() == [2, 3]


def test_an_answer_under_recorded_by_stays_what_it_was_and_the_future_is_refused(lake):
    lake.write(cot(value=1), "cot", "HE", FEB)
    then = dt.datetime.now(dt.UTC)
    before = lake.read_known("cot", "HE", at("2026-03-01"), key=["cftc_code"], recorded_by=then)
    lake.write(cot(value=9), "cot", "HE", FEB)  # the same vintage recorded again
    assert lake.read_known("cot", "HE", at("2026-03-01"), key=["cftc_code"], recorded_by=then).equals(before)
    assert lake.read_known("cot", "HE", at("2026-03-01"), key=["cftc_code"])["value"].to_pylist() == [9]
    with pytest.raises(InvalidTimeError, match="future"):
        lake.read_known("cot", "HE", at("2026-03-01"), key=["cftc_code"], recorded_by=dt.datetime.now(dt.UTC) + dt.timedelta(hours=1))
    with pytest.raises(InvalidTimeError, match="known_at"):
        lake.read_known("cot", "HE", dt.datetime(2026, 3, 1), key=["cftc_code"])  # noqa: DTZ001


def test_a_lake_belongs_to_one_world(tmp_path):
    ParquetLake(tmp_path / "x", world="live")
    assert ParquetLake(tmp_path / "x").world == "live"
    with pytest.raises(WorldError, match=r"'live'.*'sample'"):
        ParquetLake(tmp_path / "x", world="sample")


def test_export_is_what_read_known_says(lake, tmp_path):
    lake.write(cot(value=1), "cot", "HE", FEB)
    lake.write(cot(value=2, available_at="2026-02-20 20:30"), "cot", "HE", FEB)
    path = lake.export_known(tmp_path / "out.parquet", "cot", "HE", at("2026-02-14"), key=["cftc_code"])
    assert pq.read_table(path)["value"].to_pylist() == [1]


def test_looks_and_marks_tell_what_was_asked_and_recorded(lake):
    look = Look("cftc", dt.date(2026, 2, 1), dt.date(2026, 2, 28), ["054642"], at("2026-02-14"))
    new = lake.append_new(cot(), "cot", "HE", FEB, key=["cftc_code"], stamps="ours", look=look)
    assert new == 1
    (logged,) = lake.looks("cftc").to_pylist()
    folder = "data_type=cot/market=HE/year=2026/month=02"
    assert (logged["folder"], logged["symbols"], logged["seen_at"]) == (folder, ["054642"], at("2026-02-14"))
    marks = lake.watermarks("cot", "HE", dt.date(2026, 1, 1), dt.date(2026, 12, 31))
    assert list(marks) == [folder]
    assert marks[folder] == lake.newest_recorded(folder)
    assert lake.watermarks("cot", "HE", dt.date(2026, 3, 1)) == {}


def test_a_month_without_rows_still_has_its_columns(lake):
    lake.write(cot(), "cot", "HE", FEB)
    assert lake.read("cot", "LE").schema == lake.read("cot", "HE").schema
    assert lake.read("cot", "HE", dt.date(2025, 1, 1), dt.date(2025, 1, 31)).column_names == cot().column_names


def test_a_known_table_is_read_by_its_own_key_and_by_no_other(lake):
    lake.write(cot(value=1), "cot_disaggregated", "HE", FEB)
    lake.write(cot(value=2, available_at="2026-02-20 20:30"), "cot_disaggregated", "HE", FEB)
    for key in ({}, {"key": ["cftc_code"]}, {"key": ("as_of", "cftc_code")}):
        assert lake.read_known("cot_disaggregated", "HE", at("2026-02-14"), **key)["value"].to_pylist() == [1]
    with pytest.raises(SchemaError, match=r"cot_disaggregated: its key is \['cftc_code'\], not \['value'\]"):
        lake.read_known("cot_disaggregated", "HE", at("2026-02-14"), key=["value"])
    lake.write(cot(), "cot", "HE", FEB)
    with pytest.raises(SchemaError, match="without a key; name it"):
        lake.read_known("cot", "HE", at("2026-02-14"))
    lake.write(rows(as_of=["2026-02-10"], available_at=["2026-02-13 20:30"], settlement=[1.0]), "futures_continuous", "HE", FEB)
    assert lake.read_known("futures_continuous", "HE", at("2026-02-14")).num_rows == 1  # one row a day: no key but the day


def test_another_key_is_refused_by_name_in_every_read_also_where_nothing_lies_yet(lake, tmp_path):
    reads = (
        lambda **key: lake.read_known("futures_statistics", "HE", FEB, **key),
        lambda **key: lake.export_known(tmp_path / "known.parquet", "futures_statistics", "HE", FEB, **key),
        lambda **key: lake.read_vintages("futures_statistics", "HE", **key),
    )
    for read in reads:
        for key in (["instrument"], ["instrument", "stat", "instrument_id"], "instrument", [], ["as_of"]):
            with pytest.raises(SchemaError, match=r"futures_statistics: its key is \['instrument', 'expiration', 'stat'\], not"):
                read(key=key)
        read(key=("stat", "as_of", "expiration", "instrument"))
        read()


def test_a_table_that_nobody_knows_reads_as_empty_and_is_said_once_with_the_near_names(lake, recwarn):
    lake.write(cot(), "my_positions", "HE", FEB)
    assert lake.read("cot_disagregated", "HE").num_rows == 0
    assert lake.read_known("cot_disagregated", "HE", FEB).num_rows == 0
    assert lake.files("cot_disagregated", "LE") == []
    assert lake.read_vintages("my_position", "HE").num_rows == 0
    assert lake.compact("zzz") == []
    told = [warning for warning in recwarn if warning.category is UnknownTableWarning]
    assert [warning.filename for warning in told] == [__file__] * 3  # the caller's own line
    said = [str(warning.message) for warning in told]
    assert "no table 'cot_disagregated'; did you mean cot_disaggregated?" in said[0]
    assert "did you mean my_positions?" in said[1]
    assert "the tables are cash_features, cash_hogs, cash_index, " in said[2]


def test_a_known_table_without_rows_is_nothing_to_speak_of(lake, recwarn):
    lake.write(cot(), "my_positions", "HE", FEB)
    assert lake.read("cot_disaggregated", "HE").num_rows == 0
    assert lake.read("my_positions", "LE").num_rows == 0
    assert [warning.message for warning in recwarn] == []
