"""Labels and the continuous series: within one contract, known when they are known, never served as features."""

import datetime as dt
import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import hydra_assets
from hydra_assets.core.calendar import LIVESTOCK
from hydra_assets.core.instants import INSTANT
from hydra_assets.core.months import Month
from hydra_assets.core.option_rules import OptionRules
from hydra_assets.core.tables.futures import FUTURES_CONTINUOUS, FUTURES_STATISTICS
from hydra_assets.errors import InvalidTimeError, InvalidValueError, LabelError
from hydra_assets.features.futures.continuous import adjusted, build_continuous
from hydra_assets.features.labels import forward_returns
from hydra_assets.flow.derive import derived_months
from hydra_assets.storage.lake import Look
from hydra_assets_tests.conftest import at
from hydra_assets_tests.features.test_futures_features import J, M, interest, settle
from hydra_assets_tests.support.futures_history import ct, history, statistic, tables

D = dt.date
DAYS = LIVESTOCK.session_days(D(2023, 3, 1), D(2023, 4, 3))


def rolling():
    """J first, then M from the sixth session on; M stands ten higher, and gains one a day."""
    rows = []
    for i, day in enumerate(DAYS):
        rows += [interest(J, day, 900 if i < 4 else 10), interest(M, day, 500)]
        rows += [settle(J, day, 90.0 + 0.5 * i), settle(M, day, 100.0 + i)]
    return tables(rows)


# ---------------------------------------------------------------- labels


def test_a_forward_return_stays_within_one_contract_and_says_when_it_is_known():
    inputs = rolling()
    base = DAYS[3]  # J is first; by session 5 the front contract will be M
    table = forward_returns(inputs, market="HE", times=[ct(base, "18:30")], horizons=[1, 5])
    (row,) = table.to_pylist()
    assert row["label_fwd_1d"] == pytest.approx(math.log(92.0 / 91.5))
    assert row["label_fwd_5d"] == pytest.approx(math.log(94.0 / 91.5))
    assert row["label_fwd_5d__contract"] == "HEJ3"
    assert row["label_fwd_1d__known_at"] == ct(DAYS[4], "18:00")
    assert row["label_fwd_5d__known_at"] == ct(DAYS[8], "18:00")
    assert row["time"] == ct(base, "18:30")


def test_a_contract_that_ends_too_soon_gives_way_to_the_next():
    (row,) = forward_returns(rolling(), market="HE", times=[ct(DAYS[3], "18:30")], horizons=[20]).to_pylist()
    left = len(LIVESTOCK.session_days(DAYS[4], J[1].date()))
    assert left > 20
    assert row["label_fwd_20d__contract"] == "HEJ3"
    dying = ("HEJ3", dt.datetime(2023, 3, 24, 17, tzinfo=dt.UTC))
    rows = [x for i, day in enumerate(DAYS) for x in (interest(M, day, 5), settle(M, day, 100.0 + i))]
    rows += [x for day in DAYS if day <= dying[1].date() for x in (interest(dying, day, 900), settle(dying, day, 90.0))]
    (row,) = forward_returns(tables(rows), market="HE", times=[ct(DAYS[3], "18:30")], horizons=[19]).to_pylist()
    assert row["label_fwd_19d__contract"] == "HEM3"


def test_what_is_still_to_come_is_null_with_no_instant():
    (row,) = forward_returns(rolling(), market="HE", times=[ct(DAYS[-1], "18:30")], horizons=[1]).to_pylist()
    assert (row["label_fwd_1d"], row["label_fwd_1d__known_at"], row["label_fwd_1d__contract"]) == (None, None, None)
    empty = forward_returns(tables([]), market="HE", times=[at("2023-03-01 12:00")], horizons=[1])
    assert empty["label_fwd_1d"].to_pylist() == [None]
    assert empty.schema.field("label_fwd_1d__known_at").type == INSTANT


def test_before_the_evening_the_base_is_yesterdays_settlement():
    (row,) = forward_returns(rolling(), market="HE", times=[ct(DAYS[3], "12:00")], horizons=[1]).to_pylist()
    assert row["label_fwd_1d"] == pytest.approx(math.log(91.5 / 91.0))
    assert row["label_fwd_1d__known_at"] == ct(DAYS[3], "18:00")


def test_a_late_correction_does_not_change_a_label():
    inputs = rolling()
    changed = statistic(*J, "settlement", DAYS[4], ct(DAYS[9], "07:30"), 55.0)
    more = {"futures_statistics": pa.concat_tables([inputs["futures_statistics"], tables([changed])["futures_statistics"]])}
    times = [ct(day, "18:30") for day in DAYS]
    before, after = (forward_returns(given, market="HE", times=times, horizons=[1, 5]) for given in (inputs, more))
    assert after.equals(before)


def test_labels_of_a_history_agree_with_a_plain_computation():
    inputs = history(D(2024, 6, 3), D(2024, 12, 31))
    times = hydra_assets.sessions("HE", "2024-07-01", "2024-11-29")
    table = forward_returns(inputs, market="HE", times=times, horizons=[5])
    price = {
        (r["instrument"], r["as_of"].date()): r["value"] for r in inputs["futures_statistics"].to_pylist() if r["stat"] == "settlement"
    }
    days = LIVESTOCK.session_days(D(2024, 6, 3), D(2024, 12, 31))
    for row in table.to_pylist():
        day = row["time"].astimezone(ct(DAYS[0], "12:00").tzinfo).date()
        then = days[days.index(day) + 5]
        contract = row["label_fwd_5d__contract"]
        assert row["label_fwd_5d"] == pytest.approx(math.log(price[contract, then] / price[contract, day]))
        assert row["label_fwd_5d__known_at"] > row["time"]


def test_wrong_horizons_and_naive_times_are_refused():
    with pytest.raises(InvalidValueError, match="horizons"):
        forward_returns(tables([]), market="HE", times=[at("2023-03-01 12:00")], horizons=[0])
    with pytest.raises(InvalidTimeError):
        forward_returns(tables([]), market="HE", times=[dt.datetime(2023, 3, 1)], horizons=[1])  # noqa: DTZ001


def test_the_store_neither_holds_nor_serves_a_label(store):
    with pytest.raises(LabelError, match="a label is no feature"):
        store.write_feature("HE", "label_fwd_5d", at("2025-10-01"), at("2025-10-02"), 1.0)
    store.write_feature("HE", "fut_ret_1d", at("2025-10-01"), at("2025-10-02"), 1.0)
    with pytest.raises(LabelError, match="known only after the fact"):
        store.get_training_frame(["HE"], [at("2025-10-03")], ["fut_ret_1d", "label_fwd_5d"])


def test_the_notebooks_labels_come_from_the_homes_lake():
    rows = rolling()["futures_statistics"]
    with hydra_assets.open() as desk:
        for month in (Month(2023, 3), Month(2023, 4)):
            inside = rows.filter(pc.equal(pc.month(rows["as_of"]), month.month))
            look = Look("test", month.first, month.last, ("HE.FUT",), at("2023-06-01"))
            desk.lake.append_new(inside, "futures_statistics", "HE", month.first, key=FUTURES_STATISTICS.key, stamps="vendor", look=look)
        times = [ct(day, "18:30") for day in DAYS]
        got = hydra_assets.labels.forward_returns("HE", times, [1, 5])
        assert got.equals(forward_returns({"futures_statistics": rows}, market="HE", times=times, horizons=[1, 5]))
        for batch in derived_months(desk.lake, "futures_continuous", "HE", [Month(2023, 3), Month(2023, 4)], OptionRules()):
            batch.append(desk.lake)
    known = at("2023-03-20 12:00")
    early, late = (hydra_assets.continuous("HE", when) for when in (known, at("2023-06-01")))
    assert early.num_rows < late.num_rows
    assert max(row["as_of"] for row in early.to_pylist()) == at("2023-03-17")


# ---------------------------------------------------------------- the continuous series


def test_the_series_rolls_with_the_open_interest_and_measures_each_roll():
    table = build_continuous(rolling()).sort_by("as_of")
    rows = {row["as_of"].date(): row for row in table.to_pylist()}
    assert [row["contract"] for row in rows.values()][:6] == ["HEJ3"] * 4 + ["HEM3"] * 2
    roll = rows[DAYS[5]]
    assert roll["roll_difference"] == pytest.approx((100 + 4) - (90 + 2))
    assert roll["roll_ratio"] == pytest.approx(104 / 92)
    assert rows[DAYS[6]]["roll_difference"] == 0.0
    assert roll["available_at"] == ct(DAYS[5], "18:00")


@pytest.mark.parametrize("method", ["difference", "ratio"])
def test_adjusted_prices_move_as_the_contract_that_was_held(method):
    table = build_continuous(history(D(2024, 1, 2), D(2025, 6, 30))).sort_by("as_of")
    series = adjusted(table, method)
    price, settlement = (series[name].to_numpy() for name in ("price", "settlement"))
    assert price[-1] == settlement[-1]
    contract = series["contract"].to_pylist()
    same = np.array([a == b for a, b in zip(contract[1:], contract[:-1], strict=True)])
    assert 8 < (~same).sum() < 16
    moved = np.diff(price) if method == "difference" else np.diff(np.log(price))
    plain = np.diff(settlement) if method == "difference" else np.diff(np.log(settlement))
    assert np.allclose(moved[same], plain[same], atol=1e-9)
    assert not np.allclose(moved[~same], plain[~same], atol=1e-3)
    assert adjusted(table, "none")["price"].to_pylist() == series["settlement"].to_pylist()


def test_a_later_roll_does_not_move_the_past_as_it_was_known():
    """Read as known at an instant, the series is what it was then, whatever rolled since."""
    inputs = history(D(2024, 1, 2), D(2025, 6, 30))
    known_at = ct(D(2024, 9, 3), "20:00")
    whole = build_continuous(inputs)
    then = build_continuous({name: t.filter(pc.less_equal(t["available_at"], pa.scalar(known_at, INSTANT))) for name, t in inputs.items()})
    cut = whole.filter(pc.less_equal(whole["available_at"], pa.scalar(known_at, INSTANT)))
    assert adjusted(cut).equals(adjusted(then))
    assert adjusted(cut)["price"].to_pylist() != adjusted(whole).slice(0, cut.num_rows)["price"].to_pylist()


def test_a_roll_that_cannot_be_measured_leaves_nulls_before_it():
    rows = rolling()["futures_statistics"].to_pylist()
    lost = [r for r in rows if not (r["instrument"] == "HEM3" and r["stat"] == "settlement" and r["as_of"].date() < DAYS[5])]
    table = build_continuous(tables(lost)).sort_by("as_of")
    series = adjusted(table).to_pylist()
    assert [row["price"] is None for row in series[:6]] == [True] * 4 + [False] * 2
    assert all(row["settlement"] is not None for row in series)


def test_an_empty_series_and_an_unknown_method():
    empty = FUTURES_CONTINUOUS.schema.empty_table()
    assert adjusted(empty).num_rows == 0
    assert build_continuous(tables([])).num_rows == 0
    with pytest.raises(InvalidValueError, match="difference, ratio, none"):
        adjusted(empty, "backwards")
