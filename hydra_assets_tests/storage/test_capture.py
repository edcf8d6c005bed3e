"""Rows that a re-download may add to the lake, and the instant from which they count as known."""

import datetime as dt
import json

import pyarrow as pa
import pytest

from hydra_assets.core.instants import INSTANT
from hydra_assets.errors import ConflictError, RetractionError, SchemaError
from hydra_assets.storage.capture import Look
from hydra_assets_tests.conftest import at, rows

FEB = dt.date(2026, 2, 1)
RELEASE = "2026-02-13 20:30"
KEY = ["cftc_code"]


@pytest.fixture
def lake(any_lake):
    """Every implementation."""
    return any_lake


def look(seen_at: str, source="cftc") -> Look:
    return Look(source, FEB, dt.date(2026, 2, 28), ["054642"], at(seen_at))


def cot(value, *, as_of="2026-02-10", available_at=RELEASE, quality="normal"):
    table = rows(cftc_code=["054642"], as_of=[as_of], available_at=[available_at], value=[value])
    return table.append_column("quality", pa.array([quality]))


def add(lake, table, seen_at, stamps="ours", **more):
    return lake.append_new(table, "cot", "HE", FEB, key=KEY, stamps=stamps, look=look(seen_at), **more)


def vintages(lake):
    read = lake.read_vintages("cot", "HE").sort_by("available_at")
    return [(r["value"], f"{r['available_at']:%m-%d %H:%M}") for r in read.to_pylist()]


def known(lake, when):
    return lake.read_known("cot", "HE", at(when), key=KEY)["value"].to_pylist()


def test_the_same_row_again_is_nothing_new(lake):
    assert add(lake, cot(1), "2026-02-14") == 1
    assert add(lake, cot(1), "2026-02-21") == 0
    assert len(lake.files("cot", "HE")) == 1


def test_another_value_is_a_restatement_available_when_it_was_seen(lake):
    add(lake, cot(1), "2026-02-14")
    assert add(lake, cot(2), "2026-02-21 09:00") == 1
    assert vintages(lake) == [(1, "02-13 20:30"), (2, "02-21 09:00")]
    assert known(lake, "2026-02-21 08:59") == [1]
    assert known(lake, "2026-02-21 09:00") == [2]


def test_a_then_b_then_a_again_is_three_vintages(lake):
    for value, seen in ((1, "2026-02-14"), (2, "2026-02-15"), (1, "2026-02-16"), (1, "2026-02-17")):
        add(lake, cot(value), seen)
    assert vintages(lake) == [(1, "02-13 20:30"), (2, "02-15 00:00"), (1, "02-16 00:00")]


def test_two_restatements_seen_at_one_instant_stay_apart(lake):
    add(lake, cot(1), "2026-02-14")
    add(lake, cot(2), "2026-02-15")
    add(lake, cot(3), "2026-02-15")
    assert [value for value, _ in vintages(lake)] == [1, 2, 3]
    assert known(lake, "2026-02-15 00:00") == [2]
    assert known(lake, "2026-02-15 00:00:00.000001") == [3]


def test_an_old_archive_parsed_again_adds_unseen_keys_only(lake):
    add(lake, cot(1), "2026-02-14")
    add(lake, cot(2), "2026-02-21")
    old = pa.concat_tables([cot(1), cot(5, as_of="2026-02-03", available_at="2026-02-06 20:30")])
    assert add(lake, old, "2026-02-14") == 1
    lines = lake._storage.read(f"{lake.folders()[0].key}/_looks.jsonl").splitlines()
    assert [json.loads(line)["ignored"] for line in lines] == [0, 0, 1]
    assert vintages(lake) == [(5, "02-06 20:30"), (1, "02-13 20:30"), (2, "02-21 00:00")]


def test_a_row_absent_from_a_complete_look_after_its_stamp_is_available_when_seen(lake):
    """A shutdown that no table knows of yet must not back-date anything."""
    assert add(lake, cot(1).slice(0, 0), "2026-02-20") == 0
    add(lake, cot(1, quality="partial"), "2026-03-02 10:00")
    assert vintages(lake) == [(1, "03-02 10:00")]
    assert lake.read("cot", "HE")["quality"].to_pylist() == ["normal"]  # seen live: no longer uncertain


def test_a_look_before_the_release_does_not_delay_it(lake):
    add(lake, cot(1).slice(0, 0), "2026-02-12")
    add(lake, cot(1), "2026-02-21")
    assert vintages(lake) == [(1, "02-13 20:30")]


def test_an_uncertain_stamp_ends_when_the_row_is_seen_within_a_day_of_it(lake):
    add(lake, cot(1, quality="partial"), "2026-02-13 20:35")
    assert lake.read("cot", "HE")["quality"].to_pylist() == ["normal"]


def test_an_uncertain_stamp_stays_uncertain_without_a_live_look(lake):
    add(lake, cot(1, quality="partial"), "2026-06-01")
    assert lake.read("cot", "HE")["quality"].to_pylist() == ["partial"]


def test_a_bar_that_is_no_whole_session_stays_partial_however_soon_it_is_seen(lake):
    key = ["instrument"]
    bar = rows(instrument=["HEZ2"], as_of=["2026-02-10"], available_at=["2026-02-11"], value=[1]).append_column(
        "quality", pa.array(["partial"])
    )
    lake.append_new(bar, "futures_bars", "HE", FEB, key=key, stamps="ours", look=look("2026-02-11 00:05", "databento"))
    assert lake.read("futures_bars", "HE")["quality"].to_pylist() == ["partial"]


def test_our_own_word_on_a_row_is_no_revision(lake):
    add(lake, cot(1, quality="partial"), "2026-06-01")
    assert add(lake, cot(1, quality="normal"), "2026-07-01") == 0


def test_one_batch_that_says_two_things_is_refused(lake):
    with pytest.raises(ConflictError, match="054642"):
        add(lake, pa.concat_tables([cot(1), cot(2)]), "2026-02-14")
    assert add(lake, pa.concat_tables([cot(1), cot(1)]), "2026-02-14") == 1


# ---------------------------------------------------------------- tables that the vendor stamps


def stat(value, stamped_ns, available_at="2026-02-10 18:00"):
    table = rows(instrument=["HEJ6"], as_of=["2026-02-10"], available_at=[available_at], value=[value])
    return table.append_column("stamped_at", pa.array([stamped_ns], pa.timestamp("ns", tz="UTC")))


def add_stat(lake, table, seen_at):
    return lake.append_new(table, "stats", "HE", FEB, key=["instrument"], stamps="vendor", look=look(seen_at, "databento"))


PRELIMINARY, FINAL = 1_770_750_000_000_000_001, 1_770_760_000_000_000_001  # 19:00 and 21:46 on 10 February


def test_a_late_preliminary_print_never_hides_the_final_one(lake):
    add_stat(lake, stat(2.0, FINAL), "2026-02-11")
    assert add_stat(lake, stat(1.0, PRELIMINARY), "2026-02-20") == 1

    def known(when):
        return lake.read_known("stats", "HE", when, key=["instrument"])["value"].to_pylist()

    assert known(at("2026-03-01")) == [2.0]
    # It was absent from the look of 11 February, so it is known only from the 20th on: between, nothing changes.
    assert known(at("2026-02-11")) == [2.0]


def test_the_vendors_stamp_is_kept_to_the_nanosecond_and_available_one_microsecond_up(lake):
    add_stat(lake, stat(2.0, FINAL), "2026-02-10 23:00")
    read = lake.read("stats", "HE")
    assert read["stamped_at"].cast(pa.int64()).to_pylist() == [FINAL]
    assert read["available_at"].cast(pa.int64()).to_pylist() == [FINAL // 1000 + 1]


def test_another_value_under_the_same_stamp_is_a_restatement(lake):
    add_stat(lake, stat(2.0, FINAL), "2026-02-11")
    assert add_stat(lake, stat(2.0, FINAL), "2026-02-12") == 0
    assert add_stat(lake, stat(3.0, FINAL), "2026-02-12") == 1
    assert lake.read_known("stats", "HE", at("2026-02-11 12:00"), key=["instrument"])["value"].to_pylist() == [2.0]
    assert lake.read_known("stats", "HE", at("2026-02-12"), key=["instrument"])["value"].to_pylist() == [3.0]


def test_a_vendors_table_without_its_stamp_is_refused(lake):
    with pytest.raises(SchemaError, match="stamped_at"):
        lake.append_new(
            stat(1.0, FINAL).drop_columns(["stamped_at"]), "stats", "HE", FEB, key=["instrument"], stamps="vendor", look=look("2026-02-11")
        )


# ---------------------------------------------------------------- derived tables


def features(*values, start=2):
    n = len(values)
    return pa.table(
        {
            "feature_name": pa.array([f"f{i}" for i in range(n)], pa.string()),
            "as_of": pa.array([at("2026-02-10")] * n, INSTANT),
            "available_at": pa.array([at(RELEASE)] * n, INSTANT),
            "value": pa.array(values, pa.float64()),
        }
    )


def add_features(lake, table, **more):
    return lake.append_new(table, "feat", "HE", FEB, key=["feature_name"], stamps="derived", look=look("2026-02-14", "compute"), **more)


def test_a_recomputed_value_is_recorded_again_and_the_older_stays_readable(lake):
    add_features(lake, features(1.0, 2.0))
    then = dt.datetime.now(dt.UTC)
    assert add_features(lake, features(1.0, 2.5)) == 1
    assert add_features(lake, features(1.0, 2.5 * (1 + 1e-15))) == 0  # float noise is no news

    def known(**more):
        return lake.read_known("feat", "HE", at("2026-03-01"), key=["feature_name"], **more)["value"].to_pylist()

    assert known() == [1.0, 2.5]
    assert known(recorded_by=then) == [1.0, 2.0]


def test_a_vanished_row_is_withdrawn_by_a_tombstone_and_can_come_back(lake):
    ten = features(*map(float, range(10)))
    add_features(lake, ten)
    then = dt.datetime.now(dt.UTC)
    assert add_features(lake, ten.slice(0, 9)) == 1
    assert lake.read("feat", "HE").num_rows == 9
    assert "_retracted" not in lake.read("feat", "HE").column_names
    assert lake.read_known("feat", "HE", at("2026-03-01"), key=["feature_name"], recorded_by=then).num_rows == 10
    assert add_features(lake, ten) == 1
    assert lake.read_known("feat", "HE", at("2026-03-01"), key=["feature_name"]).num_rows == 10
    assert lake.read("feat", "HE").num_rows == 10


def test_withdrawing_more_than_a_fifth_or_all_is_refused_unless_allowed(lake):
    ten = features(*map(float, range(10)))
    add_features(lake, ten)
    for fewer in (ten.slice(0, 7), ten.slice(0, 0)):
        with pytest.raises(RetractionError, match="allow_retract"):
            add_features(lake, fewer)
    assert lake.read("feat", "HE").num_rows == 10
    assert add_features(lake, ten.slice(0, 8)) == 2  # exactly a fifth
    assert add_features(lake, ten.slice(0, 0), allow_retract=True) == 8
    assert lake.read("feat", "HE").num_rows == 0


def test_append_new_names_a_missing_key_column_and_an_unknown_rule(lake):
    with pytest.raises(SchemaError, match="'code'"):
        lake.append_new(cot(1), "cot", "HE", FEB, key=["code"], stamps="ours", look=look("2026-02-14"))
    with pytest.raises(SchemaError, match="theirs"):
        lake.append_new(cot(1), "cot", "HE", FEB, key=KEY, stamps="theirs", look=look("2026-02-14"))
