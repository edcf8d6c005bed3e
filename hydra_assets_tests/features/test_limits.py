"""Settlements at their daily price limit: which limits count, what is degraded for how long, and where options see the market."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from hydra_assets.checks.futures import settled_at_limit
from hydra_assets.config.load import load_config
from hydra_assets.core.audit import early_rows
from hydra_assets.core.calendar import LIVESTOCK
from hydra_assets.core.months import Month
from hydra_assets.core.tables.futures import FUTURES_DEFINITIONS
from hydra_assets.features import compute
from hydra_assets.features.compute import of_family
from hydra_assets.features.futures.limits import build_limits
from hydra_assets.features.limits import DOWN, NONE, UNKNOWN, UP, at_limit, sane_limits
from hydra_assets.features.options.chain import build_chain
from hydra_assets.plots.futures import limit_days
from hydra_assets.sources.sample.curve import BEYOND, LIMIT, LOCKS, curve_of
from hydra_assets_tests.conftest import at
from hydra_assets_tests.support.check_scopes import judged, scope
from hydra_assets_tests.support.futures_history import ct, history, limit, statistic, tables
from hydra_assets_tests.support.option_history import FUTURES, History, midnight

NAN = float("nan")
LOCKED = sorted(LOCKS["HE"])
CURVE = curve_of(load_config().market("HE"))


@pytest.mark.parametrize(
    ("low", "high", "before"),
    [(NAN, 103, 100), (97, NAN, 100), (97, 103, NAN), (103, 97, 100), (101, 107, 100), (98, 103, 100), (99.9, 100.1, 100), (40, 160, 100)],
)
def test_missing_and_absurd_limits_are_unknown(low, high, before):
    assert np.isnan(sane_limits(low, high, before)).all()
    assert at_limit(high, *sane_limits(low, high, before)) == UNKNOWN


def test_a_settlement_is_at_a_limit_between_both_or_beyond():
    low, high = sane_limits(97.0, 103.0, 100.0)
    assert at_limit([103.0, 97.0, 102.975, 103.025, NAN], low, high).tolist() == [UP, DOWN, NONE, UNKNOWN, UNKNOWN]
    assert at_limit(-1.1 + 0.1, *sane_limits(-3.0, -1.0, -2.0)) == UP  # prices can be negative


# ---------------------------------------------------------------- the embedded vendor's lock days


def sample(first, last):
    """The sample's curve as the lake would hold it, its limits with it."""
    made = history(first, last)
    rows = []
    for day in LIVESTOCK.session_days(first, last):
        for contract in CURVE.listed_on(day):
            rows.append(
                limit(contract.symbol, contract.expiration, day, *CURVE.limits(contract, day)) | {"instrument_id": contract.instrument_id}
            )
    return {**made, "futures_definitions": pa.Table.from_pylist(rows, schema=FUTURES_DEFINITIONS.schema)}


@pytest.fixture(scope="module")
def spring():
    return sample(dt.date(2018, 2, 1), dt.date(2019, 5, 31))


@pytest.fixture(scope="module")
def computed(spring):
    rows = compute("futures", spring, market="HE", start=dt.date(2019, 3, 1)).to_pylist()
    return {(row["feature_name"], row["as_of"].date()): row for row in sorted(rows, key=lambda row: row["available_at"])}


def test_the_sample_locks_on_dated_days_alone_and_its_curve_goes_on_as_before(spring):
    rows = build_limits(spring).to_pylist()
    found = {(row["as_of"].date(), row["at_limit"]) for row in rows if row["at_limit"] in ("up", "down")}
    assert found == {(day, "up" if side > 0 else "down") for day, side in LOCKS["HE"].items()}
    assert len([row for row in rows if row["at_limit"] in ("up", "down")]) == 3 * len(LOCKED)
    front = CURVE.listed_on(LOCKED[0])[0]
    life, i = CURVE.at(front, LOCKED[0])
    assert life.settle[i] - life.settle[i - 1] == pytest.approx(LIMIT)
    assert life.fair[i] - life.settle[i] == pytest.approx(BEYOND)
    assert life.low[i] <= min(life.open[i], life.close[i]) <= max(life.open[i], life.close[i]) <= life.high[i] == life.settle[i]
    assert {row["synthetic"] for row in rows} == {True}


def test_returns_and_realised_volatilities_are_degraded_as_long_as_they_rest_on_a_lock(computed):
    days = LIVESTOCK.session_days(dt.date(2019, 3, 1), dt.date(2019, 5, 31))
    first, last = days.index(LOCKED[0]), days.index(LOCKED[2])

    def degraded(name):
        return {days.index(day) for (feature, day), row in computed.items() if feature == name and row["quality"] == "degraded"}

    april = days.index(LOCKED[3])
    for name, length in (("fut_ret_1d", 1), ("fut_ret_5d", 5), ("fut_ret_21d", 21), ("fut_rv_21", 21)):
        want = {*range(first, last + 1 + length), *range(april, april + 1 + length)}  # the return out of a lock rests on it too
        assert degraded(name) == {t for t in want if t < len(days)}, name
    assert degraded("fut_carry_ann") == {days.index(day) for day in LOCKED}
    assert degraded("fut_rv_252") == set(range(first, len(days)))
    assert degraded("fut_seas_sin") == degraded("fut_limit_lock") == set()


def test_the_share_of_locked_contracts_and_the_room_to_the_limit(computed):
    assert [computed["fut_limit_lock", day]["value"] for day in LOCKED] == pytest.approx([1.0, 1.0, 1.0, 2 / 3])
    assert [computed["fut_limit_room", day]["value"] for day in LOCKED] == [0.0] * 4
    calm = computed["fut_limit_room", dt.date(2019, 3, 12)]
    assert calm["quality"] == "normal"
    assert 2 < calm["value"] < 8  # 8 per cent at about 1.7 per cent a day, less the day's own move
    assert computed["fut_limit_lock", dt.date(2019, 3, 12)]["value"] == 0.0


def test_without_limits_nothing_is_degraded_and_the_features_say_missing(spring):
    bare = {name: table for name, table in spring.items() if name != "futures_definitions"}
    day = LOCKED[0]
    rows = compute("futures", bare, market="HE", start=day, end=day).to_pylist()
    found = {row["feature_name"]: (row["value"], row["quality"]) for row in rows}
    assert found["fut_limit_lock"] == found["fut_limit_room"] == (None, "missing")
    assert found["fut_ret_1d"][1] == "normal"


# ---------------------------------------------------------------- what is known when

DAYS = LIVESTOCK.session_days(dt.date(2025, 11, 3), dt.date(2025, 11, 7))
END = ct(dt.date(2026, 4, 15), "12:00")


def few(*limits):
    """One contract over five days; 90, 91, 94, 94.5, 94 final at 18:00."""
    prices = zip(DAYS, (90.0, 91.0, 94.0, 94.5, 94.0), strict=True)
    rows = [statistic("HEJ6", END, "settlement", day, ct(day, "18:00"), price) for day, price in prices]
    return tables(rows, limits=[limit("HEJ6", END, *row[:3], at=row[3] if len(row) > 3 else None) for row in limits])


def states(inputs, day):
    rows = [row for row in build_limits(inputs).to_pylist() if row["as_of"].date() == day]
    return [(row["available_at"], row["at_limit"], row["low_limit"]) for row in rows]


def test_limits_that_come_late_or_are_corrected_give_further_rows():
    evening, later = ct(DAYS[2], "18:00"), ct(DAYS[3], "09:00")
    assert states(few((DAYS[2], 88, 94)), DAYS[2]) == [(evening, "up", 88.0)]
    assert states(few((DAYS[2], 88, 94, later)), DAYS[2]) == [(evening, "unknown", None), (later, "up", 88.0)]
    assert states(few((DAYS[2], 88, 94), (DAYS[2], 87, 95, later)), DAYS[2]) == [(evening, "up", 88.0), (later, "none", 87.0)]
    assert states(few((DAYS[1], 88, 94)), DAYS[2]) == [(evening, "unknown", None)]  # of another day
    assert states(few((DAYS[0], 87, 90)), DAYS[0]) == [(ct(DAYS[0], "18:00"), "unknown", None)]  # nothing before to judge them by


def test_the_check_names_each_lock_and_a_picture_shows_it():
    table = build_limits(few((DAYS[2], 88, 94), (DAYS[3], 91, 97)))
    report = judged(settled_at_limit, scope("futures_limits", [Month(2025, 11)]), table)
    assert [(f["instrument"], f["day"], f["at_limit"]) for f in report.failures] == [("HEJ6", DAYS[2], "up")]
    assert (report.rows, report.values) == (5, 2)
    plot = limit_days("HE", table)
    assert [(row["day"], row["at limit"], row["high limit"]) for row in plot.rows] == [("2025-11-05", "up", 94.0)]
    assert "price limits (synthetic)" in plot.figure.axes[0].get_title()
    assert limit_days("HE", table.slice(0, 0)) is None


# ---------------------------------------------------------------- options

DAY = dt.date(2025, 11, 5)


@pytest.fixture(scope="module")
def options():
    """Three calm days of options, and definitions by which the front settled at its limit on the last."""
    raw = History(dt.date(2025, 11, 3), 3).tables()
    statistics = raw["futures_statistics"].to_pylist()
    for row in statistics:
        row["value"] -= 3.0 if row["as_of"].date() < DAY else 0.0
    raw["futures_statistics"] = pa.Table.from_pylist(statistics, schema=raw["futures_statistics"].schema)
    settled = {(row["instrument"], row["as_of"].date()): row["value"] for row in raw["futures_statistics"].to_pylist()}
    rows = []
    for symbol, (number, expiration) in FUTURES.items():
        before, value = settled[symbol, dt.date(2025, 11, 4)], settled[symbol, DAY]
        width = abs(value - before) if symbol == "HEZ5" else 8.0
        rows.append(limit(symbol, expiration, DAY, before - width, before + width) | {"instrument_id": number})
    return {**raw, "futures_definitions": pa.Table.from_pylist(rows, schema=FUTURES_DEFINITIONS.schema)}


def test_everything_of_options_on_a_locked_future_is_degraded_with_its_reason(options):
    chain = build_chain(options, start=DAY, end=DAY).to_pylist()
    found = {(row["underlying"], row["forward_at_limit"] in ("up", "down"), row["quality"]) for row in chain}
    assert found == {("HEZ5", True, "degraded"), ("HEG6", False, "normal"), ("HEJ6", False, "normal")}
    assert {row["forward_at_limit"] for row in chain if row["underlying"] == "HEG6"} == {"none"}
    names = ["opt_atm_iv_30", "opt_rr25_30", "opt_gex_call", "opt_synthetic_fwd"]
    quality = {}
    for given in (options, {name: table for name, table in options.items() if name != "futures_definitions"}):
        rows = compute("options", given, market="HE", start=DAY, end=DAY, names=names).to_pylist()
        quality |= {(row["feature_name"], given is options): row["quality"] for row in rows}
    for name in names[:3]:
        assert quality[name, True] == "degraded", name
        assert quality[name, False] in ("normal", "partial"), name
    assert (quality[names[3], True], quality[names[3], False]) == ("partial", "normal")


def test_the_synthetic_forward_is_where_the_options_are_and_not_where_the_future_was_held(options):
    """Independently: every strike with both rights, K + (C - P) e^(rT), the two with the least |C - P|."""
    statistics = options["futures_statistics"].to_pylist()
    for row in statistics:
        if row["as_of"].date() == DAY:
            row["value"] -= 2.0  # held two cents below where the options are quoted
    held = {**options, "futures_statistics": pa.Table.from_pylist(statistics, schema=options["futures_statistics"].schema)}
    values = []
    for inputs in (options, held):
        (row,) = compute("options", inputs, market="HE", start=DAY, end=DAY, names=["opt_synthetic_fwd"]).to_pylist()[-1:]
        values.append(row["value"])
    quotes = {
        row["instrument_id"]: (row["bid"] + row["ask"]) / 2 for row in options["option_quotes"].to_pylist() if row["as_of"] == midnight(DAY)
    }
    expiration = FUTURES["HEZ5"][1]
    tau = (expiration - ct(DAY, "13:00")).total_seconds() / (365 * 86_400)
    by_strike = {}
    for row in options["option_definitions"].to_pylist():
        if row["as_of"] == midnight(DAY) and row["underlying"] == "HEZ5":
            by_strike.setdefault(row["strike"], {})[row["right"]] = quotes[row["instrument_id"]]
    pairs = sorted(
        (abs(pair["C"] - pair["P"]), strike + (pair["C"] - pair["P"]) * np.exp(0.045 * tau)) for strike, pair in by_strike.items()
    )
    assert values == pytest.approx([np.mean([forward for _, forward in pairs[:2]])] * 2, abs=1e-9)
    assert values[0] == pytest.approx(
        next(r["value"] for r in options["futures_statistics"].to_pylist() if r["as_of"] == midnight(DAY)), abs=0.05
    )


def test_a_settlement_that_is_taken_back_moves_the_synthetic_forward_to_no_other_contract(options):
    """No settlement enters: without the front's the options on it still tell its price, though less surely."""
    (usual,) = compute("options", options, market="HE", start=DAY, end=DAY, names=["opt_synthetic_fwd"]).to_pylist()[-1:]
    later = at("2025-11-06 14:00")
    back = [
        row | {"value": None, "available_at": later, "stamped_at": later}
        for row in options["futures_statistics"].to_pylist()
        if (row["instrument"], row["as_of"].date()) == ("HEZ5", DAY)
    ]
    more = pa.Table.from_pylist(back, schema=options["futures_statistics"].schema)
    given = {**options, "futures_statistics": pa.concat_tables([options["futures_statistics"], more])}
    (row,) = compute("options", given, market="HE", start=DAY, end=DAY, names=["opt_synthetic_fwd"]).to_pylist()[-1:]
    assert (row["value"], row["quality"]) == (usual["value"], "partial")


@pytest.mark.parametrize("right", ["C", "P"])
def test_a_degraded_quote_of_either_right_makes_the_synthetic_forward_partial(options, right):
    bare = {name: table for name, table in options.items() if name != "futures_definitions"}
    quotes = [
        row | ({"quality": "degraded"} if row["instrument"].startswith(f"HEZ5 {right}") else {})
        for row in bare["option_quotes"].to_pylist()
    ]
    given = {**bare, "option_quotes": pa.Table.from_pylist(quotes, schema=bare["option_quotes"].schema)}
    (row,) = compute("options", given, market="HE", start=DAY, end=DAY, names=["opt_synthetic_fwd"]).to_pylist()[-1:]
    assert row["quality"] == "partial"


def test_a_limit_that_comes_late_gives_options_a_further_row(options):
    late = at("2025-11-06 15:00")
    rows = [row | {"available_at": late, "stamped_at": late} for row in options["futures_definitions"].to_pylist()]
    later = {**options, "futures_definitions": pa.Table.from_pylist(rows, schema=FUTURES_DEFINITIONS.schema)}
    found = compute("options", later, market="HE", start=DAY, end=DAY, names=["opt_gex_call"]).to_pylist()
    assert [(row["quality"], row["available_at"] == late) for row in found][-2:] == [("normal", False), ("degraded", True)]


def test_the_synthetic_forward_needs_no_open_interest_and_passes_the_audit(options):
    bare = {**options, "option_statistics": options["option_statistics"].slice(0, 0)}
    wanted = [feature for feature in of_family("options") if feature.name == "opt_synthetic_fwd"]
    got = compute("options", bare, market="HE", names=["opt_synthetic_fwd"])
    assert None not in got["value"].to_pylist()
    assert early_rows(got, bare, wanted).to_pylist() == []
