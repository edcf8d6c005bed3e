"""The audit and the replay: leaks planted, and seen."""

import datetime as dt

import pyarrow as pa
import pytest

from hydra_assets.core.audit import early_rows, lookahead_audit
from hydra_assets.core.instants import INSTANT
from hydra_assets.errors import LookaheadError
from hydra_assets.features import compute, of_family
from hydra_assets.proof.naive import compare_with_naive
from hydra_assets.proof.replay import replay
from hydra_assets_tests.conftest import at
from hydra_assets_tests.support.cot_history import revised, weeks

HISTORY = weeks()
INPUTS = {"cot_disaggregated": HISTORY}
FEATURES = of_family("cot")
HONEST = compute("cot", INPUTS, market="LE", start=dt.date(2024, 10, 1), end=dt.date(2024, 12, 31))
N = HONEST.num_rows


def stamped(rows, column, change, only=lambda row: True):
    """*rows* with one instant of every row changed."""
    values = [change(row) if only(row) else row[column] for row in rows.to_pylist()]
    i = rows.column_names.index(column)
    return rows.set_column(i, rows.schema.field(column), pa.array(values, INSTANT))


def early(rows, inputs=INPUTS):
    return early_rows(rows, inputs, FEATURES)


def test_honest_rows_are_in_order_with_revisions_too():
    assert N == 13 * 14
    assert early(HONEST).num_rows == 0
    table = revised(HISTORY, HISTORY.num_rows - 20, available_at=at("2024-12-20 15:00"), mm_long=123_456)
    inputs = {"cot_disaggregated": table}
    rows = compute("cot", inputs, market="LE", start=dt.date(2024, 10, 1), end=dt.date(2024, 12, 31))
    assert rows.num_rows > N
    assert early(rows, inputs).num_rows == 0


def test_a_feature_stamped_with_its_tuesday_is_seen():
    leaked = stamped(HONEST, "available_at", lambda row: row["as_of"])
    assert early(leaked).num_rows == N
    with pytest.raises(LookaheadError, match=r"cot_.* 2024-10-01 .*first printed 2024-10-04T19:30.*nothing was written"):
        lookahead_audit(INPUTS, FEATURES)(leaked)
    lookahead_audit(INPUTS, FEATURES)(HONEST)


def test_a_microsecond_before_the_print_is_seen():
    assert early(stamped(HONEST, "available_at", lambda row: row["available_at"] - dt.timedelta(microseconds=1))).num_rows == N


def test_a_null_too_must_wait_for_its_own_report():
    """Stamped with the release of the week before: something arrived then, but not the report that the row describes."""
    released = {row["as_of"]: row["available_at"] for row in HISTORY.to_pylist()}
    days = sorted(released)
    null = HONEST.filter(pa.compute.equal(HONEST["feature_name"], "cot_mm_z_156")).slice(5, 1)
    null = null.set_column(null.column_names.index("value"), HONEST.schema.field("value"), pa.array([None], pa.float64()))
    before = days[days.index(null["as_of"][0].as_py()) - 1]
    as_of = null["as_of"][0].as_py()
    late = stamped(HISTORY, "available_at", lambda row: released[before] + dt.timedelta(days=5), only=lambda row: row["as_of"] == before)
    leaked = stamped(null, "available_at", lambda row: released[before] + dt.timedelta(days=5))
    assert leaked["available_at"][0].as_py() < released[as_of]
    found = early(leaked, {"cot_disaggregated": late})["reason"].to_pylist()
    assert len(found) == 1
    assert "of that day was first printed" in found[0]


def test_an_instant_at_which_nothing_arrived_is_seen():
    (reason, *_) = early(stamped(HONEST, "available_at", lambda row: row["available_at"] + dt.timedelta(hours=1)))["reason"].to_pylist()
    assert "no input inside its windows arrived" in reason


def test_a_revision_dated_back_to_the_first_release_is_seen_by_replay():
    """It claims an instant at which something did arrive: only recomputing shows that the value is another one."""
    row = HISTORY.num_rows - 10
    inputs = {"cot_disaggregated": revised(HISTORY, row, available_at=at("2025-02-03 12:00"), mm_long=1 + HISTORY["mm_long"][row].as_py())}
    rows = compute("cot", inputs, market="LE", start=dt.date(2024, 10, 1), end=dt.date(2024, 12, 31))
    first = {r["as_of"]: r["available_at"] for r in HONEST.to_pylist()}
    late = rows.filter(pa.compute.equal(rows["available_at"], pa.scalar(at("2025-02-03 12:00"))))
    leaked = stamped(late, "available_at", lambda row: first[row["as_of"]])
    assert early(leaked, inputs).num_rows == 0
    told = replay(leaked, inputs, family="cot", market="LE", sample=1000, seed=1)
    assert told.verdict == "failed"
    wrong = {(row["feature_name"], row["as_of"]) for row in leaked.to_pylist()}
    seen = {(row["feature_name"], at(row["as_of"])): row["stored"] for row in told.differing}
    assert wrong <= set(seen)
    assert {seen[other] for other in set(seen) - wrong} == {"None (absent)"}  # the rows that should stand beside them


def test_a_value_with_too_little_behind_it_is_seen():
    short = HISTORY.slice(HISTORY.num_rows - 20)
    reasons = set(early(HONEST, {"cot_disaggregated": short})["reason"].to_pylist())
    assert any("a value needs 104" in reason for reason in reasons)
    assert any("a value needs 41" in reason for reason in reasons)


def test_a_required_week_that_was_not_out_is_seen():
    inside = [row["as_of"] for row in HISTORY.to_pylist()]
    as_of = HONEST["as_of"][N - 1].as_py()
    before = inside[inside.index(as_of) - 1]
    late = stamped(HISTORY, "available_at", lambda row: at("2025-06-01"), only=lambda row: row["as_of"] == before)
    found = early(HONEST.filter(pa.compute.equal(HONEST["as_of"], pa.scalar(as_of))), {"cot_disaggregated": late}).to_pylist()
    assert [row["feature_name"] for row in found] == ["cot_chg_1w"]
    assert "1 week(s) before was first printed 2025-06-01" in found[0]["reason"]


def test_a_day_without_a_report_an_unknown_feature_and_a_missing_input_are_seen():
    moved = stamped(HONEST.slice(0, 1), "as_of", lambda row: row["as_of"] + dt.timedelta(days=1))
    assert early(moved)["reason"].to_pylist() == ["cot_disaggregated has no row of that day"]
    named = HONEST.slice(0, 1).set_column(0, "feature_name", pa.array(["mine"]))
    assert early(named)["reason"].to_pylist() == ["no such feature is declared"]
    assert "was not given" in early(HONEST, {})["reason"][0].as_py()


def test_replay_passes_what_is_honest_and_names_what_is_not():
    told = replay(HONEST, INPUTS, family="cot", market="LE", sample=60, seed=7)
    assert told.verdict == "passed"
    assert 60 <= told.values == told.compared < 80  # whole instants
    values = [1.5 if i == 3 else v for i, v in enumerate(HONEST["value"].to_pylist())]
    wrong = HONEST.set_column(HONEST.column_names.index("value"), HONEST.schema.field("value"), pa.array(values, pa.float64()))
    told = replay(wrong, INPUTS, family="cot", market="LE", sample=1000, seed=7)
    assert told.verdict == "failed"
    (difference,) = told.differing
    assert difference["feature_name"] == HONEST["feature_name"][3].as_py()
    assert difference["stored"].startswith("1.5")


def test_replay_sees_a_value_computed_with_the_future_in_sight():
    """A whole-sample z-score: right in form, and different from what was known then."""
    later = compute("cot", INPUTS, market="LE", start=dt.date(2024, 12, 31), end=dt.date(2024, 12, 31))
    value = {r["feature_name"]: r["value"] for r in later.to_pylist()}["cot_mm_z_156"]
    values = [
        value if n == "cot_mm_z_156" else v for n, v in zip(HONEST["feature_name"].to_pylist(), HONEST["value"].to_pylist(), strict=True)
    ]
    leaked = HONEST.set_column(HONEST.column_names.index("value"), HONEST.schema.field("value"), pa.array(values, pa.float64()))
    assert early(leaked).num_rows == 0
    told = replay(leaked, INPUTS, family="cot", market="LE", sample=1000, seed=1)
    assert {row["feature_name"] for row in told.differing} == {"cot_mm_z_156"}


def test_nothing_but_nulls_is_unproven_and_values_are_drawn_first():
    nulls = HONEST.slice(0, 0)
    assert replay(nulls, INPUTS, family="cot", market="LE", sample=10, seed=1).verdict == "unproven"
    young = compute("cot", {"cot_disaggregated": HISTORY.slice(0, 3)}, market="LE")
    only_nulls = young.filter(pa.compute.is_null(young["value"]))
    told = replay(only_nulls, INPUTS, family="cot", market="LE", sample=10, seed=1)
    assert (told.verdict, told.values) == ("unproven", 0)
    assert replay(young, INPUTS, family="cot", market="LE", sample=5, seed=1).values >= 5


def test_the_naive_join_is_counted_to_the_cell(store):
    days = [at("2025-10-07"), at("2025-10-14"), at("2025-10-21")]
    for value, (day, release) in enumerate(zip(days, ("2025-10-10 19:30", "2025-12-01 20:30", "2025-10-24 19:30"), strict=True)):
        store.write_feature("HE", "f", day, at(release), float(value))
    store.write_feature("HE", "f", days[2], at("2025-11-01"), 20.0)  # a revision: the naive join takes it from the start
    times = [at("2025-10-08"), at("2025-10-13"), at("2025-10-20"), at("2025-10-27"), at("2025-11-03")]
    told = compare_with_naive(store, "HE", "f", times)
    assert told.naive.tolist() == [0.0, 0.0, 1.0, 20.0, 20.0]
    assert [None if v != v else v for v in told.honest.tolist()] == [None, 0.0, 0.0, 2.0, 20.0]
    assert told.cheated.tolist() == [True, False, True, True, False]
    assert told.early_days[2] == pytest.approx(42.854, abs=1e-3)
    assert told.early_days[1] == 0
