"""Checks of futures prices: bars that are no sessions, prices below zero, and units that change."""

import datetime as dt
from itertools import chain

import pyarrow as pa
import pytest

from hydra_assets.checks.anomalies import price_scale, settlement_jumps
from hydra_assets.checks.futures import near_last_trade, ohlc_sane, within_limits
from hydra_assets.checks.options import well_defined
from hydra_assets.core.calendar import ENERGY
from hydra_assets.core.months import Month
from hydra_assets.core.tables.futures import FUTURES_DEFINITIONS
from hydra_assets.core.tables.options import OPTION_DEFINITIONS
from hydra_assets_tests.conftest import at
from hydra_assets_tests.support.check_scopes import judged, scope
from hydra_assets_tests.support.futures_history import bar, statistic, tables

EXPIRES = at("2020-04-21 18:30")
APRIL = {"months": [Month(2020, 4)], "market": "CL", "calendar": ENERGY}
DAY = dt.date(2020, 4, 20)


def defined(low, high, *, number=1, day="2020-04-20") -> pa.Table:
    row = {
        "instrument": "CLK0",
        "instrument_id": number,
        "expiration": EXPIRES,
        "instrument_class": "F",
        "tick": 0.01,
        "multiplier": 1000.0,
    }
    row |= dict.fromkeys(("as_of", "available_at", "stamped_at"), at(day))
    row |= {"low_limit": low, "high_limit": high, "quality": "normal", "synthetic": True}
    return pa.Table.from_pylist([row], schema=FUTURES_DEFINITIONS.schema)


def settled(*values: float, instrument="CLK0", number=1, first=DAY) -> list[dict]:
    days = ENERGY.session_days(first, first + dt.timedelta(30))
    return [
        statistic(instrument, EXPIRES, "settlement", day, at(f"{day} 19:00"), value) | {"instrument_id": number}
        for day, value in zip(days, values, strict=False)
    ]


def statistics(rows) -> pa.Table:
    return tables(rows)["futures_statistics"]


# ---------------------------------------------------------------- bars


@pytest.mark.parametrize(
    ("limits", "verdict"), [((-100.0, 100.0), "passed"), ((0.0, 100.0), "passed"), ((1.0, 100.0), "failed"), ((None, None), "failed")]
)
def test_a_price_below_zero_is_sane_where_the_days_lower_limit_allows_it(limits, verdict):
    bars = tables([], [bar("CLK0", EXPIRES, DAY, 17.85, -40.32, close=-37.63)])["futures_bars"]
    assert judged(ohlc_sane, scope("futures_bars", **APRIL), bars, defined(*limits)).verdict == verdict


def test_prices_out_of_order_are_not_sane_whatever_their_sign_and_quality():
    bars = tables([], [bar("CLK0", EXPIRES, DAY, -40.32, -17.85, quality="partial", close=-37.63)])["futures_bars"]
    report = judged(ohlc_sane, scope("futures_bars", **APRIL), bars, defined(-100.0, 100.0))
    assert (report.verdict, report.counts["partial"]) == ("failed", 1)
    assert judged(ohlc_sane, scope("futures_bars", **APRIL), pa.table({}), pa.table({})).verdict == "unproven"


def test_a_bar_that_is_no_session_accuses_a_settlement_outside_its_range_alone():
    prints = statistics(settled(80.0))
    off = {
        quality: tables([], [bar("CLK0", EXPIRES, DAY, 90.0, 70.0, close=90.0, quality=quality)])["futures_bars"]
        for quality in ("normal", "partial")
    }
    assert judged(near_last_trade, scope("futures_statistics", **APRIL), prints, off["normal"]).verdict == "failed"
    partial = judged(near_last_trade, scope("futures_statistics", **APRIL), prints, off["partial"])
    assert (partial.verdict, partial.rows, partial.values, partial.counts["partial"]) == ("passed", 1, 1, 1)
    far = tables([], [bar("CLK0", EXPIRES, DAY, 95.0, 85.0, close=86.0, quality="partial")])["futures_bars"]
    assert judged(near_last_trade, scope("futures_statistics", **APRIL), prints, far).verdict == "failed"


# ---------------------------------------------------------------- settlements below zero


def test_a_settlement_below_zero_is_judged_by_its_distances_and_limits():
    april = scope("futures_statistics", **APRIL)
    prints = statistics(settled(-37.63, -37.00, -36.50))
    assert judged(settlement_jumps, april, prints).verdict == "passed"
    near = tables([], [bar("CLK0", EXPIRES, DAY, -30.0, -40.0, close=-37.20)])["futures_bars"]
    assert judged(near_last_trade, april, prints, near).verdict == "passed"
    far = tables([], [bar("CLK0", EXPIRES, DAY, 40.0, -40.0, close=37.63)])["futures_bars"]
    assert judged(near_last_trade, april, prints, far).verdict == "failed"
    assert judged(within_limits, april, prints, defined(-100.0, 100.0)).verdict == "passed"
    assert judged(within_limits, april, prints, defined(0.0, 100.0)).verdict == "failed"
    assert judged(within_limits, april, prints, defined(None, None)).verdict == "unproven"


def test_the_fall_below_zero_is_one_jump_each_way():
    found = judged(
        settlement_jumps, scope("futures_statistics", **APRIL), statistics(settled(18.27, -37.63, 10.01, 10.5, first=dt.date(2020, 4, 17)))
    )
    assert [failure["settlement"] for failure in found.failures] == ["18.27 to -37.63", "-37.63 to 10.01"]


def test_a_jump_from_zero_is_seen():
    found = judged(settlement_jumps, scope("futures_statistics", **APRIL), statistics(settled(0.0, 1.0)))
    assert len(found.failures) == 1


def test_a_contract_stays_one_when_its_expiration_is_corrected_and_its_year_spelt_with_two_digits():
    before, after = settled(18.0, 80.0)
    after |= {"instrument": "CLK20", "expiration": EXPIRES - dt.timedelta(days=1, hours=1)}
    found = judged(settlement_jumps, scope("futures_statistics", **APRIL), statistics([before, after]))
    assert [failure["instrument"] for failure in found.failures] == ["CLK20"]


def test_prints_of_a_feed_without_final_flags_are_judged_too():
    unflagged = [row | {"is_final": None} for row in settled(18.0, 80.0)]
    assert judged(settlement_jumps, scope("futures_statistics", **APRIL), statistics(unflagged)).verdict == "failed"


# ---------------------------------------------------------------- units


def test_another_unit_of_prices_is_seen_and_one_contract_below_zero_is_none():
    april = scope("futures_statistics", **APRIL)
    curve = [settled(*(value + number for value in (25.0, 26.0, 25.5)), instrument=f"CL{number}", number=number) for number in range(2, 6)]
    fallen = statistics([*settled(18.27, -37.63, 10.01), *chain.from_iterable(curve)])
    assert judged(price_scale, april, fallen).verdict == "passed"
    cents = [row | {"value": 100 * row["value"]} if row["as_of"] > at("2020-04-20") else row for row in chain.from_iterable(curve)]
    (failure,) = judged(price_scale, april, statistics(cents)).failures
    assert (failure["day"], failure["settlement"]) == (dt.date(2020, 4, 21), "28.5 to 2950")
    assert judged(price_scale, april, statistics(settled(-37.63, -36.0))).verdict == "unproven"


def test_another_unit_from_a_month_on_is_seen_beside_the_month_before():
    """An era of another scale begins with a month, or a year: its first session is held against the last one of the era before."""
    may = scope("futures_statistics", months=[Month(2020, 5)], market="CL", calendar=ENERGY)
    prices = statistics(settled(28.0, 29.0, 2900.0, 2950.0, first=dt.date(2020, 4, 29)))
    (failure,) = judged(price_scale, may, prices).failures
    assert (failure["day"], failure["settlement"]) == (dt.date(2020, 5, 1), "29 to 2900")


def options(strike, *, right="C") -> pa.Table:
    row = dict.fromkeys(OPTION_DEFINITIONS.schema.names)
    row |= {
        "instrument": f"LOK0 {right}{strike}",
        "instrument_id": 900 + round(strike),
        "underlying": "CLK0",
        "underlying_id": 1,
        "right": right,
    }
    row |= {"strike": strike, "expiration": EXPIRES, "tick": 0.01, "multiplier": 1000.0, "quality": "normal", "synthetic": True}
    row |= dict.fromkeys(("as_of", "available_at", "stamped_at"), at("2020-04-20"))
    return pa.Table.from_pylist([row], schema=OPTION_DEFINITIONS.schema)


@pytest.mark.parametrize(("low", "faults"), [(-100.0, []), (1.0, ["no strike"]), (None, ["no strike"])])
def test_a_strike_below_zero_is_one_where_the_underlying_can_be(low, faults):
    report = judged(well_defined, scope("option_definitions", **APRIL), options(-10.0), defined(low, 100.0))
    assert [failure["fault"] for failure in report.failures] == faults
    market_can = scope("option_definitions", **APRIL, below_zero=True)
    assert judged(well_defined, market_can, options(-10.0), defined(low, 100.0)).failures == []
