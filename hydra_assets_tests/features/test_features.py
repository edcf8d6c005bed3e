"""Promises of every feature, and the numbers of the COT family against an oracle that shares no code with it."""

import datetime as dt
import doctest
import importlib
import math
import random
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from hydra_assets.core.instants import DAY_US
from hydra_assets.core.tables.features import FEATURE_SCHEMA
from hydra_assets.errors import SchemaError, UnknownFeatureError
from hydra_assets.features import compute, of_family
from hydra_assets.features.cot import formulas as cot
from hydra_assets.sources.cftc_parse import parse_cot
from hydra_assets_tests.conftest import at
from hydra_assets_tests.support.cftc_files import CALENDAR, HE, OATS
from hydra_assets_tests.support.cot_history import revised, scrambled, weeks, with_column

HISTORY = weeks()  # 2021..2024, synthetic
N = HISTORY.num_rows
ALL = of_family("cot")
NAMES = sorted(feature.name for feature in ALL)


def computed(table, **bounds):
    return compute("cot", {"cot_disaggregated": table}, market="LE", **bounds)


def rows_of(answer, name):
    return [row for row in answer.to_pylist() if row["feature_name"] == name]


FULL = computed(HISTORY)


# ---------------------------------------------------------------- contract


def test_the_thirteen_of_the_catalogue():
    assert [feature.name for feature in ALL] == [
        "cot_mm_net",
        "cot_mm_net_oi",
        "cot_prod_net_oi",
        "cot_swap_net_oi",
        "cot_hedge_pressure",
        "cot_mm_pct_52",
        "cot_sentiment",
        "cot_index_156",
        "cot_mm_z_156",
        "cot_chg_1w",
        "cot_chg_4w",
        "cot_crowding",
        "cot_top4_net",
    ]
    for feature in ALL:
        assert feature.unit
        assert feature.formula
        assert feature.source
        assert feature.availability
        assert all(window.first <= 0 <= window.last == 0 for window in feature.windows)


def test_the_answer_has_its_schema_and_one_row_a_feature_and_report():
    assert FULL.schema == FEATURE_SCHEMA
    assert FULL.num_rows == len(ALL) * N
    assert all(row["available_at"] in HISTORY["available_at"].to_pylist() for row in FULL.to_pylist()[::97])
    assert computed(HISTORY.slice(0, 0)).schema == FEATURE_SCHEMA


BOUNDS = {
    "cot_mm_net_oi": (-1, 1),
    "cot_prod_net_oi": (-1, 1),
    "cot_swap_net_oi": (-1, 1),
    "cot_hedge_pressure": (0, 1),
    "cot_mm_pct_52": (0, 1),
    "cot_sentiment": (-1, 1),
    "cot_index_156": (0, 100),
    "cot_crowding": (-1, 1),
    "cot_top4_net": (-1, 1),
}


def test_values_lie_within_their_bounds_and_null_means_missing():
    for row in FULL.to_pylist():
        assert (row["value"] is None) == (row["quality"] == "missing")
        if row["value"] is not None and row["feature_name"] in BOUNDS:
            low, high = BOUNDS[row["feature_name"]]
            assert low <= row["value"] <= high, row


def test_start_and_end_bound_as_of_and_change_nothing_else():
    start, end = dt.date(2024, 2, 6), dt.date(2024, 3, 5)
    as_of = FULL["as_of"]
    inside = pc.and_(pc.greater_equal(as_of, pa.scalar(at("2024-02-06"))), pc.less_equal(as_of, pa.scalar(at("2024-03-05"))))
    assert computed(HISTORY, start=start, end=end).equals(FULL.filter(inside))


def test_order_and_repetition_of_the_input_do_not_matter():
    order = list(range(N))
    random.Random(1).shuffle(order)
    assert computed(HISTORY.take(order)).equals(FULL)
    assert computed(pa.concat_tables([HISTORY, HISTORY.slice(10, 50)])).equals(FULL)


def test_a_missing_input_an_unknown_family_and_mixed_contracts_are_refused():
    with pytest.raises(UnknownFeatureError, match="'cots'"):
        compute("cots", {}, market="HE")
    with pytest.raises(SchemaError, match=r"HE cot.*cot_disaggregated"):
        compute("cot", {}, market="HE")
    mixed = with_column(HISTORY, "cftc_code", ["054642"] + ["057642"] * (N - 1))
    with pytest.raises(SchemaError, match="054642"):
        computed(mixed)


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(cot).failed == 0


# ---------------------------------------------------------------- no lookahead


@pytest.mark.parametrize("seed", range(6))
def test_what_was_known_then_is_what_is_computed_from_what_was_known_then(seed):
    """Truncation: rows up to an instant, computed on the past alone, equal those computed with the future in sight."""
    dice = random.Random(seed)
    table = HISTORY
    for _ in range(5):  # revisions, some long after
        row = dice.randrange(N)
        released = HISTORY["available_at"][row].as_py()
        late = released + dt.timedelta(days=dice.choice([0, 3, 40, 200]), microseconds=dice.randrange(10**6))
        long = HISTORY["mm_long"][row].as_py()
        table = revised(table, row, available_at=late, mm_long=long + dice.randrange(1, 9999))
    whole = computed(table)
    for _ in range(6):
        cut = table["available_at"][dice.randrange(table.num_rows)].as_py() - dt.timedelta(microseconds=dice.choice([0, 1]))
        past = table.filter(pc.less_equal(table["available_at"], pa.scalar(cut)))
        assert computed(past).equals(whole.filter(pc.less_equal(whole["available_at"], pa.scalar(cut))))


@pytest.mark.parametrize("feature", ALL, ids=lambda feature: feature.name)
@pytest.mark.parametrize("row", [170, N - 1])
def test_rows_outside_the_declared_window_change_nothing(feature, row):
    (window,) = feature.windows
    as_of = HISTORY["as_of"].cast(pa.int64())[row].as_py()
    monday = as_of - ((as_of // DAY_US + 3) % 7) * DAY_US
    first, last = monday + window.first * 7 * DAY_US, monday + (window.last + 1) * 7 * DAY_US - 1
    day = HISTORY["as_of"][row].as_py().date()
    wanted = rows_of(computed(HISTORY, start=day, end=day), feature.name)
    got = rows_of(computed(scrambled(HISTORY, row, (first, last)), start=day, end=day), feature.name)
    assert got == wanted
    assert wanted[0]["value"] is not None


@pytest.mark.parametrize("feature", ALL, ids=lambda feature: feature.name)
def test_the_declared_window_is_no_wider_than_what_is_used(feature):
    """Else the look-back, and with it the test above, would prove too little."""
    (window,) = feature.windows
    row = N - 1
    day = HISTORY["as_of"][row].as_py().date()
    edge = row + window.first
    without = pa.concat_tables([HISTORY.slice(0, edge), HISTORY.slice(edge + 1)])
    assert rows_of(computed(without, start=day, end=day), feature.name) != rows_of(computed(HISTORY, start=day, end=day), feature.name)


# ---------------------------------------------------------------- vintages


def test_a_revision_gives_further_rows_from_its_own_instant_wherever_its_week_is_in_a_window():
    late = at("2025-01-15 12:00")
    row = N - 3
    changed = computed(revised(HISTORY, row, available_at=late, mm_long=1 + HISTORY["mm_long"][row].as_py()))
    extra = changed.filter(pc.equal(changed["available_at"], pa.scalar(late))).to_pylist()
    by_feature = {name: sorted(str(r["as_of"].date()) for r in extra if r["feature_name"] == name) for name in NAMES}
    days = [str(d.date()) for d in HISTORY["as_of"].to_pylist()]
    assert by_feature["cot_mm_net"] == [days[row]]
    assert by_feature["cot_top4_net"] == []
    assert by_feature["cot_prod_net_oi"] == []
    assert by_feature["cot_chg_1w"] == days[row:]
    # Nothing that was there before has changed.
    before = changed.filter(pc.less(changed["available_at"], pa.scalar(late)))
    assert before.equals(FULL)


def test_a_late_row_of_an_older_day_of_the_week_never_displaces_the_newer_one():
    """A report moved to its Monday and one of the Tuesday share a week."""
    tuesday = HISTORY["as_of"][N - 1].as_py()
    extra = HISTORY.slice(N - 1, 1).to_pylist()[0]
    extra |= {"as_of": tuesday - dt.timedelta(days=1), "available_at": at("2025-02-01"), "mm_long": 1}
    table = pa.concat_tables([HISTORY, pa.Table.from_pylist([extra], schema=HISTORY.schema)])
    assert computed(table).equals(FULL)


def test_a_revision_that_changes_no_value_gives_no_row():
    same = revised(HISTORY, N - 3, available_at=at("2025-01-15"), traders_total=1)
    assert computed(same).equals(FULL)


def test_quality_words_come_from_the_reports_own_row_and_from_thin_windows():
    words = with_column(HISTORY, "quality", ["degraded" if i == N - 2 else "normal" for i in range(N)])
    answer = computed(words)
    days = [d.date() for d in HISTORY["as_of"].to_pylist()]
    quality = {(r["feature_name"], r["as_of"].date()): r["quality"] for r in answer.to_pylist()}
    assert quality["cot_mm_net", days[N - 2]] == "degraded"
    assert quality["cot_mm_pct_52", days[N - 2]] == "degraded"
    assert quality["cot_mm_pct_52", days[N - 1]] == "normal"  # an older week's word is not handed on
    first_value = {name: next(i for i in range(N) if quality[name, days[i]] != "missing") for name in NAMES}
    assert first_value["cot_mm_net"] == 0
    assert first_value["cot_mm_pct_52"] == 40  # 40 weeks before it
    assert first_value["cot_index_156"] == 103  # 104 weeks with its own
    assert first_value["cot_chg_1w"] == 40  # 40 changes
    assert first_value["cot_crowding"] == 104
    assert quality["cot_mm_pct_52", days[40]] == quality["cot_mm_pct_52", days[51]] == "partial"
    assert quality["cot_mm_pct_52", days[52]] == "normal"


def test_a_lost_report_stretches_no_window():
    lost = pa.concat_tables([HISTORY.slice(0, N - 2), HISTORY.slice(N - 1)])
    day = HISTORY["as_of"][N - 1].as_py().date()
    row = rows_of(computed(lost, start=day, end=day), "cot_chg_1w")[0]
    assert (row["value"], row["quality"]) == (None, "missing")  # the week before is not replaced by the one before that
    share = rows_of(computed(lost, start=day, end=day), "cot_mm_pct_52")[0]
    assert share["quality"] == "partial"


# ---------------------------------------------------------------- numbers


def oracle(table):
    """The catalogue in pandas, from its words."""
    frame = table.to_pandas().set_index("as_of").sort_index()
    out = pd.DataFrame(index=frame.index)
    oi = frame["open_interest"]
    x = (frame["mm_long"] - frame["mm_short"]) / oi
    out["cot_mm_net"] = frame["mm_long"] - frame["mm_short"]
    out["cot_mm_net_oi"] = x
    out["cot_prod_net_oi"] = (frame["prod_long"] - frame["prod_short"]) / oi
    out["cot_swap_net_oi"] = (frame["swap_long"] - frame["swap_short"]) / oi
    long, short = frame["prod_long"] + frame["swap_long"], frame["prod_short"] + frame["swap_short"]
    out["cot_hedge_pressure"] = short / (long + short)

    def rank(series, n, least):
        def one(window):
            past, now = window[:-1], window[-1]
            return (np.sum(past < now) + 0.5 * np.sum(past == now)) / len(past)

        return series.rolling(n + 1, min_periods=least + 1).apply(one, raw=True)

    out["cot_mm_pct_52"] = rank(x, 52, 40)
    out["cot_sentiment"] = 2 * out["cot_mm_pct_52"] - 1
    net = long - short
    low, high = net.rolling(156, min_periods=104).min(), net.rolling(156, min_periods=104).max()
    out["cot_index_156"] = 100 * (net - low) / (high - low)
    out["cot_mm_z_156"] = (x - x.rolling(156, min_periods=104).mean()) / x.rolling(156, min_periods=104).std()
    sd = x.diff().rolling(52, min_periods=40).std()
    out["cot_chg_1w"] = (x - x.shift(1)) / sd
    out["cot_chg_4w"] = (x - x.shift(4)) / sd
    side = np.maximum(frame["mm_long"], frame["mm_short"]) / oi
    out["cot_crowding"] = np.sign(out["cot_mm_net"]) * rank(side, 156, 104)
    out["cot_top4_net"] = (frame["net_top4_long"] - frame["net_top4_short"]) / 100
    return out


def test_every_number_is_the_oracles():
    wanted = oracle(HISTORY)
    compared = 0
    for row in FULL.to_pylist():
        value = wanted.loc[row["as_of"], row["feature_name"]]
        if row["value"] is None:
            assert math.isnan(value), row
        else:
            assert math.isclose(row["value"], value, rel_tol=1e-9, abs_tol=1e-12), (row, value)
            compared += 1
    assert compared > 1800


def test_mid_ranks_count_ties_half():
    columns = {"mm_long": np.array([0.1, 0.2, 0.2, 0.3] * 10 + [0.2]), "mm_short": np.zeros(41), "open_interest": np.ones(41)}
    assert cot.managed_money_percentile(columns).value == 0.5


def test_formulas_without_an_answer_are_nan():
    flat = {"mm_long": np.ones(157), "mm_short": np.zeros(157), "open_interest": np.full(157, 2.0)}
    flat |= {name: np.ones(157) for name in ("prod_long", "prod_short", "swap_long", "swap_short")}
    for function in (cot.managed_money_z, cot.commercial_index, cot.change(1), cot.change(4)):
        assert math.isnan(function(flat).value)
    nothing = {name: np.zeros(1) for name in ("mm_long", "mm_short", "open_interest", "prod_long", "prod_short", "swap_long", "swap_short")}
    assert math.isnan(cot.net_share("mm")(nothing).value)
    assert math.isnan(cot.hedge_pressure(nothing).value)


def test_the_real_week_by_hand(real_2025):
    table = parse_cot(real_2025.read_bytes(), [HE], years=range(2025, 2026), calendar=CALENDAR, place="2025").table
    day = dt.date(2025, 12, 30)
    values = {row["feature_name"]: row["value"] for row in computed(table, start=day, end=day).to_pylist()}
    assert values["cot_mm_net"] == 90681 - 14374
    assert values["cot_mm_net_oi"] == pytest.approx(76307 / 295500)
    assert values["cot_hedge_pressure"] == pytest.approx(130306 / (96375 + 130306))
    assert values["cot_top4_net"] == pytest.approx(-0.019)
    assert values["cot_index_156"] is None  # 52 weeks are not three years


def test_windows_are_weeks_and_bridge_no_gap(real_2025):
    """Real oats: no report from January to August 2025, sixteen from September on; before them, synthetic weeks."""
    oats = parse_cot(real_2025.read_bytes(), [OATS], years=range(2025, 2026), calendar=CALENDAR, place="2025").table
    before = with_column(HISTORY, "cftc_code", [OATS] * N)
    table = pa.concat_tables([before, oats])
    after = computed(table, start=dt.date(2025, 1, 1))
    frame = table.to_pandas().set_index("as_of").sort_index()
    share = (frame["mm_long"] - frame["mm_short"]) / frame["open_interest"]
    assert len(rows_of(after, "cot_mm_net")) == 16
    # A year's window holds 16 reports of autumn 2024 and the new ones: too few for any number over a year.
    for name in ("cot_chg_1w", "cot_chg_4w", "cot_mm_pct_52", "cot_sentiment"):
        assert {(row["value"], row["quality"]) for row in rows_of(after, name)} == {(None, "missing")}
    for row in rows_of(after, "cot_mm_z_156"):
        monday = row["as_of"] - dt.timedelta(row["as_of"].weekday())
        window = share[(share.index >= monday - dt.timedelta(155 * 7)) & (share.index <= row["as_of"])]
        assert 104 <= len(window) <= 121
        assert row["value"] == pytest.approx((window.iloc[-1] - window.mean()) / window.std())
        assert row["quality"] == "partial"


def test_a_change_over_a_gap_is_null_and_moves_over_it_are_none():
    gap = range(120, 126)
    table = HISTORY.take([i for i in range(N) if i not in gap])
    share = pd.Series(computed_share(HISTORY))
    share[list(gap)] = np.nan
    answer = {name: rows_of(computed(table), name) for name in ("cot_chg_1w", "cot_chg_4w")}
    days = [as_of for i, as_of in enumerate(HISTORY["as_of"].to_pylist()) if i not in gap]
    for name, weeks_back in (("cot_chg_1w", 1), ("cot_chg_4w", 4)):
        by_day = {row["as_of"]: row for row in answer[name]}
        assert list(by_day) == days
        for i in range(126, 160):
            row, moves = by_day[HISTORY["as_of"][i].as_py()], share.diff()[i - 51 : i + 1].dropna()
            moved = share[i] - share[i - weeks_back]
            assert len(moves) == 52 - 7
            assert row["quality"] == ("missing" if math.isnan(moved) else "partial")
            assert row["value"] is None if math.isnan(moved) else row["value"] == pytest.approx(moved / moves.std())


def computed_share(table):
    return ((pc.subtract(table["mm_long"], table["mm_short"])).to_numpy() / table["open_interest"].to_numpy()).astype(float)


# ---------------------------------------------------------------- third parties


def test_third_parties_add_features_by_entry_point_and_may_not_take_a_name(monkeypatch):
    room = importlib.import_module("hydra_assets.features.compute")  # the package's own name is the function
    taken = of_family("cot")[0]
    mine = replace(taken, name="my_net")

    class Entry:
        name = "mine"

        def __init__(self, given):
            self.load = lambda: given

    for given, found in (([mine], True), (mine, True)):
        room.registered.cache_clear()
        monkeypatch.setattr(room, "entry_points", lambda group, given=given: [Entry(given)] if group == "hydra_assets.features" else [])
        assert ("my_net" in [feature.name for feature in room.registered()]) is found
        assert rows_of(room.compute("cot", {"cot_disaggregated": HISTORY}, market="LE"), "my_net")
    room.registered.cache_clear()
    monkeypatch.setattr(room, "entry_points", lambda group: [Entry(taken)])
    assert [feature for feature in room.registered() if feature.name == "cot_mm_net"] == [taken]  # the name stays ours
    (fault,) = room.plugin_faults()
    assert "hydra_assets.features: mine: duplicate declaration: cot_mm_net; rename one of each" in str(fault)
    room.registered.cache_clear()
