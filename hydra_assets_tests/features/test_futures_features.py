"""The 23 futures features: against their definitions in plain Python, by hand on a few lines, and vintage by vintage."""

import datetime as dt
import math
import random
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from hydra_assets.config.load import load_config
from hydra_assets.core.audit import early_rows
from hydra_assets.core.calendar import LIVESTOCK
from hydra_assets.core.instants import INSTANT
from hydra_assets.core.market import CONTRACT_MULTIPLIERS
from hydra_assets.errors import SchemaError
from hydra_assets.features import ALL, compute, of_family
from hydra_assets.features.futures import formulas as futures
from hydra_assets.features.futures.continuous import build_continuous
from hydra_assets.features.registry import FAMILIES
from hydra_assets_tests.support.futures_features_oracle import RULES, Known, answer
from hydra_assets_tests.support.futures_history import bar, ct, history, limit, statistic, tables

NAMES = [feature.name for feature in of_family("futures")]
D = dt.date


def newest(result: pa.Table) -> dict:
    """(feature, day) to (value, quality) as believed in the end."""
    found = {}
    for row in result.sort_by("available_at").to_pylist():
        found[row["feature_name"], row["as_of"].date()] = (row["value"], row["quality"])
    return found


def vintages(result: pa.Table, name: str, day: dt.date) -> list:
    rows = result.sort_by("available_at").to_pylist()
    return [(r["available_at"], r["value"], r["quality"]) for r in rows if (r["feature_name"], r["as_of"].date()) == (name, day)]


def cut(inputs, known_at):
    return {
        name: t.filter(pc.less_equal(t["available_at"], pa.scalar(known_at, t.schema.field("available_at").type)))
        for name, t in inputs.items()
    }


def arrivals_of(inputs):
    return sorted({at for table in inputs.values() for at in table["available_at"].to_pylist()})


def same(a, b):
    if a is None or b is None:
        return a is b
    return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)


def test_the_names_are_the_catalogues():
    assert sorted(NAMES) == sorted(RULES)
    assert len({feature.name for feature in ALL}) == len(ALL) == sum(len(of_family(family)) for family in FAMILIES)


def test_multipliers_are_those_of_the_markets():
    assert {s: m.contract_multiplier for s, m in load_config().markets.items()} == dict(CONTRACT_MULTIPLIERS)


# ---------------------------------------------------------------- against the definitions


def messy(seed: int) -> dict[str, pa.Table]:
    """Twenty months of oats-like thinness: rows lost, late, revised, deleted, re-sent, stamped out of order, words of all kinds."""
    dice = random.Random(seed)
    made = history(D(2022, 1, 3), D(2023, 8, 31), "HE")
    rows = []
    for row in made["futures_statistics"].to_pylist():
        if row["expiration"].date() > D(2024, 2, 1):
            continue
        if row["stat"] == "open_interest" and dice.random() < 0.3:
            row["value"] = float(dice.choice([0, 3, 40, 49, 50, 900, 5000]))
        if dice.random() < 0.03:
            continue
        if row["instrument"] == "HEQ3" and row["as_of"].date() >= D(2023, 3, 8):  # the last hour is corrected in mid-life
            row["expiration"] += dt.timedelta(minutes=74)
        if row["instrument"] == "HEV3" and row["as_of"].date() >= D(2023, 4, 5):  # so are the last day and the spelling
            row |= {"instrument": "HEV23", "expiration": row["expiration"] + dt.timedelta(1)}
        if row["stat"] == "settlement" and dice.random() < 0.003:
            row["value"] = dice.choice([-37.63, 0.0])
        if dice.random() < 0.02:
            row["quality"] = dice.choice(["degraded", "partial"])
        rows.append(row)
        roll = dice.random()
        later = row["available_at"] + dt.timedelta(hours=dice.choice([1, 7, 30, 24 * 9, 24 * 40]))
        if roll < 0.010:
            rows.append(row | {"available_at": later, "stamped_at": later, "value": row["value"] * 1.01 + 1})
        elif roll < 0.014:
            rows.append(row | {"available_at": later, "stamped_at": later, "value": None})
        elif roll < 0.020:
            rows.append(row | {"available_at": later, "stamped_at": later})
        elif roll < 0.024:  # an earlier stamp that reached us late: it must not hide the newer
            rows.append(row | {"available_at": later, "stamped_at": row["stamped_at"] - dt.timedelta(hours=4), "value": 1.0})
        elif roll < 0.03:
            rows[-1] = row | {"available_at": later, "stamped_at": later}
        if row["stat"] == "settlement":
            before = {name: row[name] - dt.timedelta(hours=4) for name in ("available_at", "stamped_at")}
            rows.append(row | before | {"value": 7.0, "is_final": dice.choice([False, None])})
    bars = [b for b in made["futures_bars"].to_pylist() if b["expiration"].date() <= D(2024, 2, 1) and dice.random() > 0.03]
    for b in list(bars):
        if dice.random() < 0.005:  # no whole session
            b["quality"] = "partial"
        if dice.random() < 0.02:
            high = b["low"] if dice.random() < 0.5 else b["low"] - 1
            bars.append(b | {"available_at": b["available_at"] + dt.timedelta(days=3), "high": high})
    dice.shuffle(rows)
    return tables(rows, bars, messy_limits(rows, random.Random(f"limits {seed}")))


def messy_limits(rows, dice):
    """Limits around each settlement before: some settlements stand at one or beyond, some limits are missing, absurd, late or revised."""
    settled = {(r["instrument"], r["expiration"], r["as_of"].date()): r["value"] for r in rows if r["is_final"] and r["value"]}
    found = []
    for (instrument, expiration, day), value in sorted(settled.items()):
        before = settled.get((instrument, expiration, LIVESTOCK.session_days(day - dt.timedelta(10), day - dt.timedelta(1))[-1]))
        roll = dice.random()
        if before is None or roll < 0.03:
            continue
        width = abs(value - before) if roll < 0.05 and value != before else 0.06 * abs(before)
        low, high = before - width, before + width
        low, high = {3: (None, high), 4: (low * 0.5, high), 5: (high + 1, high + 9)}.get(
            int((roll - 0.05) * 200) if roll >= 0.05 else 0, (low, high)
        )
        start = dt.datetime.combine(day, dt.time(), dt.UTC)
        at = start + dt.timedelta(hours=40) if 0.20 < roll < 0.22 else start
        found.append(limit(instrument, expiration, day, low, high, at=at))
        if 0.22 < roll < 0.23:
            found.append(limit(instrument, expiration, day, before - 2 * width, before + 2 * width, at=start + dt.timedelta(hours=30)))
        if 0.23 < roll < 0.24:
            found.append(
                limit(
                    instrument,
                    expiration,
                    day,
                    min(value, 2 * before - value),
                    max(value, 2 * before - value),
                    at=start + dt.timedelta(hours=60),
                )
            )
    return found


@pytest.fixture(scope="module", params=[1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
def case(request):
    inputs = messy(request.param)
    return request.param, inputs, compute("futures", inputs, market="HE")


def test_every_vintage_is_what_the_definitions_give_on_what_was_known(case):
    """A sample of (day, instant) of every feature, also at instants between rows: the row in force equals the plain-Python answer."""
    seed, inputs, result = case
    dice = random.Random(seed)
    days = LIVESTOCK.session_days(D(2023, 2, 1), D(2023, 8, 31))
    arrivals = sorted(
        set(inputs["futures_statistics"]["available_at"].to_pylist()) | set(inputs["futures_bars"]["available_at"].to_pylist())
    )
    by = {}
    for row in result.sort_by("available_at").to_pylist():
        by.setdefault((row["feature_name"], row["as_of"].date()), []).append(row)
    compared = values = 0
    plain = {name: table.to_pylist() for name, table in inputs.items()}
    for _ in range(16):
        day = dice.choice(days)
        after = [at for at in arrivals if at >= ct(day, "05:00")][:2500]
        for known_at in [*dice.sample(after, 1), ct(day, "18:00", 5000)]:
            known = Known(plain, known_at)
            for name in NAMES:
                want = answer(known, name, day)
                rows = [r for r in by.get((name, day), []) if r["available_at"] <= known_at]
                if want is None:
                    # Needs once known may be lost again: then the row in force says missing.
                    assert not rows or rows[-1]["quality"] == "missing", (name, day, known_at)
                    continue
                assert rows, (name, day, known_at, want)
                assert same(rows[-1]["value"], want[0]), (name, day, known_at, rows[-1], want)
                assert rows[-1]["quality"] == want[1], (name, day, known_at, rows[-1], want)
                compared += 1
                values += want[0] is not None
    assert values > 300


def test_a_cut_of_the_inputs_gives_the_same_rows(case):
    """Whatever is computed from the inputs up to an instant is what the whole history says up to that instant."""
    seed, inputs, result = case
    dice = random.Random(seed)
    for known_at in dice.sample(inputs["futures_statistics"]["available_at"].to_pylist(), 1 if seed == 1 else 6):  # 2 and 3 are slow tests
        part = compute("futures", cut(inputs, known_at), market="HE")
        whole = result.filter(pc.less_equal(result["available_at"], pa.scalar(known_at, INSTANT)))
        order = [("feature_name", "ascending"), ("as_of", "ascending"), ("available_at", "ascending")]
        assert part.sort_by(order).equals(whole.sort_by(order))


def test_bounds_of_as_of_change_nothing_inside(case):
    _, inputs, result = case
    first, last = D(2023, 3, 6), D(2023, 4, 14)
    part = compute("futures", inputs, market="HE", start=first, end=last)
    day = pc.cast(result["as_of"], pa.date32())
    inside = result.filter(pc.and_(pc.greater_equal(day, pa.scalar(first)), pc.less_equal(day, pa.scalar(last))))
    assert part.num_rows > 500
    assert part.equals(inside)


def test_each_row_says_something_new_and_never_before_its_inputs(case):
    _, inputs, result = case
    seen = {}
    arrivals = set(arrivals_of(inputs))
    last = pc.max(result["available_at"]).as_py().date()
    noons = {LIVESTOCK.prints_complete(day): day for day in LIVESTOCK.session_days(D(2020, 11, 1), last)}
    for row in result.sort_by("available_at").to_pylist():
        key = (row["feature_name"], row["as_of"])
        said = (row["value"], row["quality"])
        assert seen.get(key) != said
        seen[key] = said
        day = row["as_of"].date()
        if row["available_at"] not in arrivals and row["available_at"] != row["as_of"]:
            # Noon: an actual print stands where no final one came.
            assert row["available_at"] in noons
            assert day - dt.timedelta(400) <= noons[row["available_at"]] <= row["available_at"].date()
        assert (row["value"] is None) == (row["quality"] == "missing")


@pytest.mark.slow
def test_ten_years_give_the_long_windows():
    inputs = history(D(2014, 1, 2), D(2025, 3, 31))
    result = newest(compute("futures", inputs, market="HE", start=D(2025, 3, 3), end=D(2025, 3, 31)))
    day = D(2025, 3, 20)
    known = Known(inputs, ct(D(2025, 4, 1), "23:00"))
    for name in ("fut_carry_deseas", "fut_seas_month", "fut_carry_vol", "fut_basis_mom", "fut_mom_252_21"):
        want = answer(known, name, day)
        assert same(result[name, day][0], want[0]), name
        assert result[name, day][1] == want[1] == "normal"


# ---------------------------------------------------------------- by hand

J, K, M = (
    ("HEJ3", dt.datetime(2023, 4, 17, 17, tzinfo=dt.UTC)),
    ("HEK3", dt.datetime(2023, 5, 12, 17, tzinfo=dt.UTC)),
    ("HEM3", dt.datetime(2023, 6, 14, 17, tzinfo=dt.UTC)),
)
MARCH = LIVESTOCK.session_days(D(2023, 3, 1), D(2023, 4, 10))


def settle(c, day, value, **more):
    return statistic(*c, "settlement", day, ct(day, "18:00"), value, **more)


def interest(c, day, value, **more):
    return statistic(*c, "open_interest", day, more.pop("at", None) or ct(LIVESTOCK.next_session(day), "06:45"), value, **more)


def traded(c, day, value):
    return statistic(*c, "cleared_volume", day, ct(LIVESTOCK.next_session(day), "06:45", 7), value)


def test_a_range_over_a_bar_that_is_no_session_is_partial_as_long_as_it_is_in_the_window():
    days = LIVESTOCK.session_days(D(2023, 1, 3), D(2023, 3, 10))
    rows = [x for day in days for x in (interest(M, day, 500), settle(M, day, 90.0))]
    bars = [bar(*M, day, 91.0, 89.0, quality="partial" if i == 5 else "normal") for i, day in enumerate(days)]
    got = newest(compute("futures", tables(rows, bars), market="HE"))
    assert [got["fut_rv_pk_21", days[i]][1] for i in (24, 25, 26, 40)] == ["partial", "partial", "normal", "normal"]
    assert got["fut_rv_21", days[25]][1] == "normal"


def test_undated_open_interest_makes_what_it_chose_partial():
    days = LIVESTOCK.session_days(D(2023, 1, 3), D(2023, 3, 10))
    rows = [settle(M, day, 90.0) for day in days]
    rows += [interest(M, day, 500, quality="partial" if i == 5 else "normal") for i, day in enumerate(days)]
    got = newest(compute("futures", tables(rows), market="HE"))
    assert [got["fut_ret_1d", days[i]][1] for i in (5, 6, 7)] == ["normal", "partial", "normal"]
    assert got["fut_seas_sin", days[6]][1] == "normal"
    assert [got["fut_oi_chg_20", days[i]][1] for i in (25, 26, 27)] == ["normal", "partial", "normal"]  # against that of 21 sessions before


def test_returns_over_a_missing_print():
    """100, 101, -, 103, 104: no bridge over the gap."""
    d = MARCH[:6]
    rows = [interest(M, day, 500) for day in d] + [settle(M, day, v) for day, v in zip(d[1:], (100, 101, None, 103, 104), strict=True)]
    got = newest(compute("futures", tables(rows), market="HE"))
    assert got["fut_ret_1d", d[1]] == (None, "missing")
    assert got["fut_ret_1d", d[2]] == (pytest.approx(math.log(1.01), abs=1e-15), "normal")
    assert ("fut_ret_1d", d[3]) not in got
    assert got["fut_ret_1d", d[4]] == (None, "missing")
    assert got["fut_ret_1d", d[5]] == (pytest.approx(math.log(104 / 103), abs=1e-15), "normal")


def test_the_roll_counts_open_interest_and_ten_business_days():
    """Open interest 60, 5, 70: with twelve days left J stays (M is never compared with J); with ten left K and M remain, and M wins."""
    twelve, ten = LIVESTOCK.session_days(D(2023, 3, 1), J[1].date())[-13], LIVESTOCK.session_days(D(2023, 3, 1), J[1].date())[-11]
    days = LIVESTOCK.session_days(D(2023, 3, 1), ten)
    rows = [interest(c, day, oi) for day in days for c, oi in ((J, 60), (K, 5), (M, 70))]
    rows += [settle(c, day, v) for day in days for c, v in ((J, 90), (K, 91), (M, 98.0 + days.index(day)))]
    result = compute("futures", tables(rows), market="HE")
    got = newest(result)
    assert got["fut_seas_sin", twelve][0] == pytest.approx(math.sin(2 * math.pi * 4 / 12))
    assert got["fut_seas_sin", ten][0] == pytest.approx(math.sin(2 * math.pi * 6 / 12), abs=1e-15)
    energy = newest(compute("futures", tables(rows), market="CL"))  # delivered in the month after its last trade
    assert energy["fut_seas_sin", twelve][0] == pytest.approx(math.sin(2 * math.pi * 5 / 12))
    assert energy["fut_seas_cos", twelve][0] == pytest.approx(math.cos(2 * math.pi * 5 / 12))
    last = 98.0 + days.index(ten)
    assert got["fut_ret_1d", ten] == (pytest.approx(math.log(last / (last - 1))), "normal")


def test_carry_counts_the_hour_of_daylight_saving():
    g, j = ("HEG3", dt.datetime(2023, 2, 14, 18, tzinfo=dt.UTC)), ("HEJ3", dt.datetime(2023, 4, 14, 17, tzinfo=dt.UTC))
    days = LIVESTOCK.session_days(D(2023, 1, 3), D(2023, 1, 6))
    rows = [x for day in days for x in (interest(g, day, 900), interest(j, day, 100), settle(g, day, 90), settle(j, day, 92))]
    got = newest(compute("futures", tables(rows), market="HE"))
    assert got["fut_carry_ann", days[-1]][0] == pytest.approx(-0.136067, abs=5e-7)


def test_contracts_that_expire_together_have_no_carry():
    g = ("HEG3", dt.datetime(2023, 2, 14, 18, tzinfo=dt.UTC))
    j = ("HEJ3", g[1])
    days = LIVESTOCK.session_days(D(2023, 1, 3), D(2023, 1, 6))
    rows = [x for day in days for x in (interest(g, day, 900), interest(j, day, 100), settle(g, day, 90), settle(j, day, 92))]
    got = newest(compute("futures", tables(rows), market="HE"))
    assert got["fut_carry_ann", days[-1]] == (None, "missing")
    assert got["fut_ret_1d", days[-1]] == (0.0, "normal")


def test_curvature_and_slope_of_the_page():
    base = dt.datetime(2023, 6, 14, 17, tzinfo=dt.UTC)
    days = LIVESTOCK.session_days(D(2023, 4, 3), D(2023, 4, 6))

    def curve(gaps, prices, interests):
        legs = [(f"HE{'MNQV'[i]}3", base + dt.timedelta(gap)) for i, gap in enumerate(gaps)]
        cells = list(zip(legs, prices, interests, strict=True))
        rows = [x for day in days for c, p, oi in cells for x in (interest(c, day, oi), settle(c, day, p))]
        return newest(compute("futures", tables(rows), market="HE"))

    assert curve((0, 59, 94), (90, 100, 104), (90, 80, 70))["fut_curve_curv", days[-1]][0] == pytest.approx(-0.0292, abs=5e-5)
    value, quality = curve((0, 60, 95, 120), (90, 92, 95, 94), (50, 30, 20, 10))["fut_curve_slope", days[-1]]
    assert value == pytest.approx(0.166223, abs=5e-7)
    assert quality == "partial"  # four legs of six


def test_a_late_open_interest_gives_a_second_row():
    """18:00 on t: stale, on the interest of t-2; the late figure makes another contract the first, and a second row."""
    d = MARCH[:5]
    at = ct(d[4], "20:00")
    rows = [interest(c, day, oi) for day in d[:3] for c, oi in ((K, 300), (M, 200))]
    rows += [interest(K, d[3], 300, at=at), interest(M, d[3], 700, at=at)]
    rows += [settle(c, day, v + i) for i, day in enumerate(d) for c, v in ((K, 90), (M, 100))]
    got = vintages(compute("futures", tables(rows), market="HE"), "fut_ret_1d", d[4])
    assert [(when, quality) for when, _, quality in got] == [(ct(d[4], "18:00"), "stale"), (at, "normal")]
    assert [value for _, value, _ in got] == pytest.approx([math.log(94 / 93), math.log(104 / 103)])


@pytest.mark.parametrize(("silent", "quality"), [(4, "stale"), (5, None)])
def test_a_contract_is_remembered_for_five_sessions(silent, quality):
    """Last heard of on the fifth session before t, it can still be the first; on the sixth it cannot."""
    d = MARCH[: 3 + silent + 1]
    rows = [interest(M, day, 500) for day in d[:3]] + [settle(M, day, 100.0) for day in d[:3]]
    rows += [settle(M, d[-1], 101.0)]
    got = newest(compute("futures", tables(rows), market="HE"))
    assert got.get(("fut_seas_sin", d[-1]), (0, None))[1] == ("normal" if quality else None)
    assert got.get(("fut_ret_1d", d[-1]), (0, None))[1] == ("missing" if quality else None)
    rows += [settle(M, d[-2], 100.0, stamped_at=ct(d[-1], "18:01"))] if quality else []
    if quality:
        rows[-1]["available_at"] = ct(d[-1], "18:01")
        assert newest(compute("futures", tables(rows), market="HE"))["fut_ret_1d", d[-1]][1] == quality


def test_a_preliminary_print_is_nothing_and_a_deletion_takes_the_row_back():
    d = MARCH[:4]
    gone = ct(d[3], "19:00")
    rows = [interest(M, day, 500) for day in d] + [settle(M, day, 100 + i) for i, day in enumerate(d)]
    rows += [statistic(*M, "settlement", d[3], ct(d[3], "13:08"), 55.0, is_final=False), statistic(*M, "settlement", d[3], gone, None)]
    got = vintages(compute("futures", tables(rows), market="HE"), "fut_ret_1d", d[3])
    assert got == [(ct(d[3], "18:00"), pytest.approx(math.log(103 / 102)), "normal"), (gone, None, "missing")]


def test_amihud_of_the_page_and_when_it_is_known():
    days = LIVESTOCK.session_days(D(2023, 3, 1), D(2023, 4, 5))
    price = 90 * np.exp(0.01 * np.arange(len(days)))
    rows = [x for day, p in zip(days, price, strict=True) for x in (interest(M, day, 500), settle(M, day, p), traded(M, day, 20_000))]
    result = compute("futures", tables(rows), market="HE")
    day = days[-1]
    ((when, value, quality),) = vintages(result, "fut_amihud_21", day)
    want = np.mean([0.01 / (20_000 * 400 * price[days.index(day) - k]) * 1e9 for k in range(1, 22)])
    assert (when, quality) == (ct(day, "06:45", 7), "normal")
    assert value == pytest.approx(want)
    after = LIVESTOCK.next_session(days[-1])
    assert vintages(result, "fut_amihud_21", after)[0][0] == ct(after, "06:45", 7)  # exists before its day has traded
    assert not vintages(result, "fut_ret_1d", after)


def test_range_volatility_waits_for_the_bar_and_skips_impossible_ones():
    days = LIVESTOCK.session_days(D(2023, 3, 1), D(2023, 4, 5))
    rows = [interest(M, day, 500) for day in days]
    bars = [bar(*M, day, 102, 100) for day in days]
    bars[-3] = bar(*M, days[-3], 99, 100)
    result = compute("futures", tables(rows, bars), market="HE")
    ((when, value, quality),) = vintages(result, "fut_rv_pk_21", days[-1])
    assert when == dt.datetime.combine(days[-1], dt.time(), dt.UTC) + dt.timedelta(1)
    assert (value, quality) == (pytest.approx(math.sqrt(252 * math.log(1.02) ** 2 / (4 * math.log(2)))), "partial")
    assert not vintages(result, "fut_rv_pk_21", days[-3])


def test_the_volatility_of_three_returns(monkeypatch):
    """The minimum set aside: .01, -.02, .015 (newest last) have the weighted deviation .0190162."""
    monkeypatch.setattr(futures, "VOL_MIN", 3)
    returns = np.full(300, np.nan)
    returns[-3:] = 0.01, -0.02, 0.015
    vol, n = futures.daily_vol(SimpleNamespace(returns=returns), np.array([299]))
    assert vol.item() == pytest.approx(0.0190162, abs=5e-8)
    assert n.item() == 3


def test_ten_features_by_hand():
    """
    The front contract's log price goes 0, .01, 0, .01 ... above ln 90; the next ones stand .02, .05 and .04 above it.

    Open interest 5,000, 3,000, 2,000, 1,000, growing by 1 % a session; volume 20,000; bars with H/L = 1.02.
    """
    base = dt.datetime(2023, 6, 14, 17, tzinfo=dt.UTC)
    legs = [(f"HE{code}3", base + dt.timedelta(gap)) for code, gap in zip("MNQV", (0, 59, 94, 120), strict=True)]
    days = LIVESTOCK.session_days(D(2023, 3, 1), D(2023, 4, 14))
    rows, bars = [], []
    for i, day in enumerate(days):
        front = 90 * math.exp(0.01 * (i % 2))
        for leg, above, oi in zip(legs, (0, 0.02, 0.05, 0.04), (5000, 3000, 2000, 1000), strict=True):
            rows += [settle(leg, day, front * math.exp(above)), interest(leg, day, oi * math.exp(0.01 * i)), traded(leg, day, 20_000)]
        bars.append(bar(*legs[0], day, 102.0, 100.0))
    got = newest(compute("futures", tables(rows, bars), market="HE"))
    day, up = days[-1], 1 if (len(days) - 1) % 2 else -1
    years = [gap / 365 for gap in (0, 59, 94, 120)]
    mean = sum(w * x for w, x in zip((5, 3, 2, 1), years, strict=True)) / 11
    level = (3 * 0.02 + 2 * 0.05 + 0.04) / 11
    slope = sum(w * (x - mean) * (y - level) for w, x, y in zip((5, 3, 2, 1), years, (0, 0.02, 0.05, 0.04), strict=True))
    slope /= sum(w * (x - mean) ** 2 for w, x in zip((5, 3, 2, 1), years, strict=True))
    # Of the 21 days before t the front stood on 90 as often as on 90 e^.01, or once more or less.
    prices = [90 * math.exp(0.01 * (i % 2)) for i in range(len(days) - 22, len(days) - 1)]
    by_hand = {
        "fut_ret_1d": 0.01 * up,
        "fut_ret_5d": 0.01 * up,  # five alternating ones
        "fut_ret_21d": 0.01 * up,
        "fut_rv_21": 0.01 * math.sqrt(252),  # 0.158745
        "fut_rv_pk_21": math.sqrt(252 / (4 * math.log(2))) * math.log(1.02),  # 0.188791
        "fut_carry_ann": -0.02 / (59 / 365),  # -0.123729
        "fut_curve_curv": 2 * (59 * 0.05 / 94 - 0.02),  # 0.022766
        "fut_curve_slope": slope,
        "fut_seas_sin": math.sin(2 * math.pi * 6 / 12),
        "fut_seas_cos": -1.0,
        "fut_oi_chg_20": 0.2,
        "fut_amihud_21": sum(0.01 / (20_000 * 400 * p) * 1e9 for p in prices) / 21,
    }
    assert len(by_hand) >= 10
    for name, value in by_hand.items():
        assert got[name, day][0] == pytest.approx(value, abs=1e-12), name
    assert by_hand["fut_carry_ann"] == pytest.approx(-0.123729, abs=5e-7)
    assert by_hand["fut_curve_curv"] == pytest.approx(0.022766, abs=5e-7)
    assert by_hand["fut_rv_pk_21"] == pytest.approx(0.188791, abs=5e-7)


def test_thin_legs_are_degraded_and_still_written():
    d = MARCH[:3]
    rows = [interest(M, day, 49) for day in d] + [settle(M, day, 100 + i) for i, day in enumerate(d)]
    got = newest(compute("futures", tables(rows), market="HE"))
    assert got["fut_ret_1d", d[2]] == (pytest.approx(math.log(102 / 101)), "degraded")
    assert got["fut_seas_sin", d[2]][1] == "normal"


def test_a_symbol_that_comes_back_after_ten_years_is_another_contract():
    old = ("HEM3", dt.datetime(2013, 6, 14, 17, tzinfo=dt.UTC))
    d13, d23 = LIVESTOCK.session_days(D(2013, 3, 1), D(2013, 3, 8)), MARCH[:5]
    rows = [x for c, days in ((old, d13), (M, d23)) for i, day in enumerate(days) for x in (interest(c, day, 500), settle(c, day, 100 + i))]
    got = newest(compute("futures", tables(rows), market="HE"))
    assert ("fut_ret_1d", d23[0]) not in got  # nothing of the five sessions before: no candidate
    assert got["fut_ret_1d", d23[2]][0] == pytest.approx(math.log(102 / 101))


def test_missing_inputs_and_columns_are_named():
    made = tables([])
    with pytest.raises(SchemaError, match="futures_statistics"):
        compute("futures", {"futures_bars": made["futures_bars"]}, market="HE")
    rows = tables([settle(M, MARCH[0], 1.0)])
    rows["futures_statistics"] = rows["futures_statistics"].drop_columns(["is_final"])
    with pytest.raises(SchemaError, match="is_final"):
        compute("futures", rows, market="HE")
    with pytest.raises(SchemaError, match="multiplier"):
        compute("futures", made, market="XX")
    assert compute("futures", made, market="HE").num_rows == 0


# ---------------------------------------------------------------- prints as the vendor really gives them


def on_sunday(day, clock):
    """Friday's figures come on Sunday."""
    return ct(day + dt.timedelta(2), clock) if day.weekday() == 4 else ct(LIVESTOCK.next_session(day), "06:45")


def test_fridays_open_interest_on_sunday_is_known_when_monday_begins():
    """Two figures on Sunday, the second another: one row of Monday, the newest of them, and none before its day."""
    days = LIVESTOCK.session_days(D(2023, 3, 1), D(2023, 4, 14))
    monday = D(2023, 4, 3)
    friday = D(2023, 3, 31)
    rows = [x for i, day in enumerate(days) for x in (interest(M, day, 500 + i, at=on_sunday(day, "13:00")), settle(M, day, 100 + i))]
    rows += [statistic(*M, "cleared_volume", day, on_sunday(day, "13:00"), 900.0) for day in days]
    rows += [interest(M, friday, 600, at=on_sunday(friday, "14:00"))]
    inputs = tables(rows)
    result = compute("futures", inputs, market="HE")
    assert not [row for row in result.to_pylist() if row["available_at"] < row["as_of"]]
    then = 500 + days.index(friday) - 20
    ((at, value, _),) = vintages(result, "fut_oi_chg_20", monday)
    assert at == dt.datetime.combine(monday, dt.time(), dt.UTC)
    assert value == pytest.approx(math.log(600 / then))
    assert early_rows(result, inputs, of_family("futures")).num_rows == 0
    for known_at in (ct(D(2023, 4, 2), "13:00"), at):
        part = compute("futures", cut(inputs, known_at), market="HE")
        assert newest(part)["fut_oi_chg_20", monday][0] == pytest.approx(
            math.log((600 if known_at == at else 500 + days.index(friday)) / then)
        )


MOVES = {"an hour": dt.timedelta(hours=1), "a day": dt.timedelta(1)}


def four_contracts(stated, *, spelt=None):
    """Five weeks of J, M, N and Q; *stated* gives M's expiration by day, *spelt* its symbol."""
    ends = {
        "HEJ3": J[1],
        "HEM3": M[1],
        "HEN3": dt.datetime(2023, 7, 17, 17, tzinfo=dt.UTC),
        "HEQ3": dt.datetime(2023, 8, 14, 17, tzinfo=dt.UTC),
    }
    rows = []
    for i, day in enumerate(LIVESTOCK.session_days(D(2023, 3, 1), D(2023, 4, 5))):
        for k, (symbol, end) in enumerate(ends.items()):
            mine = symbol == "HEM3"
            c = (spelt(day) if mine and spelt else symbol, stated(day) if mine else end)
            rows += [settle(c, day, 90 + 5 * k + (i % 7) * 0.5 + i * 0.1), interest(c, day, (300, 900, 400, 200)[k])]
    return tables(rows)


@pytest.mark.parametrize("early", MOVES.values(), ids=MOVES)
def test_a_moved_expiration_is_the_same_contract(early):
    """Until 20 March an hour or a day too late: no return, roll or session is lost, and each day uses what was stated by then."""
    moved = D(2023, 3, 20)
    inputs = four_contracts(lambda day: M[1] + (early if day < moved else dt.timedelta()))
    usual = {row[:2]: row for row in rows_in_force(four_contracts(lambda day: M[1]))}
    late = {row[:2]: row for row in rows_in_force(four_contracts(lambda day: M[1] + early))}
    found = rows_in_force(inputs)
    assert {row[:2] for row in found} == set(usual)
    for row in found:
        assert row == (usual if row[1] >= moved or row[0] not in ("fut_carry_ann", "fut_curve_slope", "fut_curve_curv") else late)[row[:2]]
    series = build_continuous({"futures_statistics": inputs["futures_statistics"]}).sort_by("as_of").to_pylist()
    assert {row["contract"] for row in series} == {"HEM3"}
    assert {row["roll_difference"] for row in series[1:]} == {0.0}
    assert [row["expiration"] - M[1] for row in series] == [early if row["as_of"].date() < moved else dt.timedelta() for row in series]
    for known_at in (ct(moved, "17:59"), ct(moved, "18:00"), ct(D(2023, 3, 22), "06:45")):
        part = compute("futures", cut(inputs, known_at), market="HE")
        whole = compute("futures", inputs, market="HE")
        assert part.equals(whole.filter(pc.less_equal(whole["available_at"], pa.scalar(known_at, INSTANT))))
    bounded = compute("futures", inputs, market="HE", start=D(2023, 3, 15), end=D(2023, 3, 17))
    assert {row["as_of"].date() for row in bounded.to_pylist()} == {D(2023, 3, 15), D(2023, 3, 16), D(2023, 3, 17)}
    assert all(row == late[row[:2]] for row in rows_in_force(inputs, start=D(2023, 3, 15), end=D(2023, 3, 17)))


def test_a_year_of_two_digits_is_the_same_contract():
    inputs = four_contracts(lambda day: M[1], spelt=lambda day: "HEM23" if day < D(2023, 3, 20) else "HEM3")
    assert rows_in_force(inputs) == rows_in_force(four_contracts(lambda day: M[1]))


def rows_in_force(inputs, **bounds):
    got = newest(compute("futures", inputs, market="HE", **bounds))
    return [(*key, *said) for key, said in sorted(got.items())]


def test_a_print_that_never_becomes_final_stands_from_noon_of_the_next_session():
    d = MARCH[:4]
    noon = ct(LIVESTOCK.next_session(d[3]), "12:00")
    rows = [interest(M, day, 500) for day in d] + [settle(M, day, 100 + i) for i, day in enumerate(d[:3])]
    rows += [statistic(*M, "settlement", d[3], ct(d[3], clock), v, is_final=False) for clock, v in (("13:08", 55.0), ("14:00", 104.0))]
    waiting = tables([*rows, interest(M, d[3], 500, at=noon - dt.timedelta(microseconds=1))])
    assert not vintages(compute("futures", waiting, market="HE"), "fut_ret_1d", d[3])
    weak = (noon, pytest.approx(math.log(104 / 102)), "partial")
    assert vintages(compute("futures", waiting, market="HE", known_at=noon), "fut_ret_1d", d[3]) == [weak]
    known = tables([*rows, interest(M, d[3], 500, at=noon)])
    result = compute("futures", known, market="HE")
    assert vintages(result, "fut_ret_1d", d[3]) == [weak]
    assert early_rows(result, known, of_family("futures")).num_rows == 0
    assert build_continuous(known).sort_by("available_at").to_pylist()[-1]["available_at"] == noon
    later = tables([*rows, statistic(*M, "settlement", d[3], noon + dt.timedelta(hours=5), 103.0)])
    final = (noon + dt.timedelta(hours=5), pytest.approx(math.log(103 / 102)), "normal")
    assert vintages(compute("futures", later, market="HE"), "fut_ret_1d", d[3]) == [weak, final]
    in_time = tables([*rows, statistic(*M, "settlement", d[3], noon, 103.0), interest(M, d[3], 500, at=noon + dt.timedelta(1))])
    assert [at for at, *_ in vintages(compute("futures", in_time, market="HE"), "fut_ret_1d", d[3])] == [noon]


def test_where_no_print_is_called_final_each_stands_at_its_own_time():
    d = MARCH[:4]
    rows = [interest(M, day, 500) for day in d] + [settle(M, day, 100 + i, is_final=None) for i, day in enumerate(d)]
    rows += [statistic(*M, "settlement", d[3], ct(d[3], "20:00"), 105.0, is_final=None)]
    got = vintages(compute("futures", tables(rows), market="HE"), "fut_ret_1d", d[3])
    first, second = (pytest.approx(math.log(v / 102)) for v in (103, 105))
    assert got == [(ct(d[3], "18:00"), first, "normal"), (ct(d[3], "20:00"), second, "normal")]
