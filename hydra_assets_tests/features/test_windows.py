"""A value sees the cells of its declared windows alone: those of third parties by construction, those shipped by comparison."""

import datetime as dt
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from hydra_assets.core.calendar import LIVESTOCK
from hydra_assets.core.feature import Answer, Values, Window
from hydra_assets.core.option_rules import OptionRules
from hydra_assets.features import compute
from hydra_assets.features.compute import FAMILIES, INPUTS
from hydra_assets.features.days import days_of
from hydra_assets.features.family import Request
from hydra_assets.features.futures.panel import OPEN_INTEREST, SETTLEMENT
from hydra_assets.proof.replay import replay
from hydra_assets_tests.proof.test_poison import HONEST, MADE, MARKETS, theirs
from hydra_assets_tests.support.entry_points import registered

PRICE = (
    Window("futures_statistics", -2, unit="sessions", where=(("stat", "settlement"),)),
    Window("futures_statistics", -5, -1, unit="sessions", required=(), at_least=0, where=(("stat", "open_interest"),)),
)


@pytest.fixture(scope="module")
def histories():
    made = {}
    return lambda family: made.setdefault(family, MADE[family]())


def last_days(inputs, family, days=25):
    """The last days of a family's inputs, as bounds of a request."""
    tables = [inputs[name] for name in FAMILIES[family].inputs if name in inputs and inputs[name].num_rows]
    last = min(pc.max(table["as_of"]).as_py().date() for table in tables)
    return last - dt.timedelta(days if family != "cot" else 120), last


@pytest.mark.parametrize("family", INPUTS)
def test_the_features_shipped_give_the_same_with_and_without_what_lies_outside(histories, family):
    inputs = histories(family)
    start, end = last_days(inputs, family)
    request = Request(MARKETS[family], LIVESTOCK, OptionRules(), start, end)
    together = FAMILIES[family].compute(inputs, FAMILIES[family].features, request)
    assert together.num_rows
    assert FAMILIES[family].compute(inputs, FAMILIES[family].features, replace(request, windowed=True)).equals(together)


@pytest.mark.parametrize("family", INPUTS)
def test_an_honest_third_party_gives_the_same_as_in_one_go(histories, family):
    inputs = histories(family)
    start, end = last_days(inputs, family)
    request = Request(MARKETS[family], LIVESTOCK, OptionRules(), start, end)
    mine = [theirs(family, HONEST[family])]
    together = FAMILIES[family].compute(inputs, mine, request)
    assert together.num_rows
    assert FAMILIES[family].compute(inputs, mine, replace(request, windowed=True)).equals(together)


def test_a_curve_holds_the_cells_of_the_windows_and_nothing_else(histories):
    seen = []

    def looks(panel, t):
        known = {kind: np.flatnonzero(np.isfinite(panel.cells[kind]).any(axis=1)) - t[0] for kind in range(len(panel.cells))}
        figures = [panel.returns, panel.moves, panel.carry, panel.legs_oi[:, 0], panel.simple[0], panel.range2, panel.illiquidity]
        figures = np.concatenate([np.flatnonzero(np.nan_to_num(figure)) for figure in figures]) - t[0]
        legs = np.flatnonzero(panel.legs[:, 0] >= 0) - t[0]
        seen.append((known, figures, legs))
        return Values(panel.price(t, 0))

    inputs = histories("futures")
    start, end = last_days(inputs, "futures")
    with registered(replace(theirs("futures", looks), windows=PRICE)):
        compute("futures", inputs, market="HE", start=start, end=end, names=["their_futures"])
    assert seen
    for known, figures, legs in seen:
        assert set(known[SETTLEMENT].tolist()) <= {-2, -1, 0}
        assert set(known[OPEN_INTEREST].tolist()) <= {-5, -4, -3, -2, -1}
        assert all(not len(rows) for kind, rows in known.items() if kind not in (SETTLEMENT, OPEN_INTEREST))
        assert figures.max() <= 0
        assert legs.max() <= 0
    assert any(len(known[SETTLEMENT]) == 3 for known, *_ in seen)


def tomorrow(panel, t):
    return Values(panel.at(SETTLEMENT, np.minimum(t + 1, len(panel.days) - 1), panel.legs[t, 0]))


def withheld_before_a_fall(panel, t):
    today, later = panel.price(t, 0), tomorrow(panel, t).value
    return Values(np.where(later < today, np.nan, today))


def last_states_level(states):
    level = states.level[30].theta
    return Values(np.full(states.n, level[-1]))


def skips_before_a_rise(inputs, feature, request):
    rows = HONEST["divergence"](inputs, feature, request)
    value = rows["value"].to_numpy()
    return rows.filter(pa.array(~(np.r_[value[1:], np.nan] > value)))


@pytest.mark.parametrize(
    ("family", "function"),
    [
        ("futures", tomorrow),
        ("futures", withheld_before_a_fall),
        ("options", last_states_level),
        ("divergence", skips_before_a_rise),
    ],
    ids=lambda each: getattr(each, "__name__", each),
)
def test_what_looks_past_its_windows_finds_nothing_there_and_replay_names_it(histories, family, function):
    inputs = histories(family)
    start, end = last_days(inputs, family, 60)
    mine = theirs(family, function)
    with registered(mine):
        bounds = {"market": MARKETS[family], "start": start, "end": end, "names": [mine.name]}
        rows = compute(family, inputs, **bounds)
        found = replay(rows, inputs, family=family, market=MARKETS[family], sample=10, seed=3, names=[mine.name])
    assert found.verdict == "failed"
    assert "reads outside of its declared windows" in found.faults[mine.name]
    if function is tomorrow:
        assert rows["value"].null_count == rows.num_rows


def test_days_of_a_window_are_sessions_or_iso_weeks():
    from hydra_assets.features.windows import days_covered, rows_within

    sessions = LIVESTOCK.session_numbers(dt.date(2025, 6, 2), dt.date(2025, 6, 30))
    friday = int(sessions[4])
    assert days_covered(Window("t", -1, 0, unit="sessions"), friday + 3, sessions) == (friday, friday + 3)
    assert days_covered(Window("t", -1, -1), friday, sessions) == (friday - 11, friday - 5)
    table = pa.table({"as_of": pa.array([friday, friday + 3], pa.int64())})
    table = table.set_column(0, "as_of", pc.multiply(table["as_of"], 86_400_000_000).cast(pa.timestamp("us", tz="UTC")))
    window = Window("t", 0, 0, unit="sessions")
    assert days_of(rows_within(table, [(window, days_covered(window, friday, sessions))])).tolist() == [friday]
    assert rows_within(table, []).num_rows == 0


def arrays_of(value):
    return [each for each in vars(value).values() if isinstance(each, np.ndarray)]


def test_what_a_third_party_writes_by_force_is_its_own_copy(histories):
    def forces(panel, t):
        price = panel.price(t, 0)
        for array in arrays_of(panel):
            while array is not None:
                array.flags.writeable = True
                array[...] = 0
                array = array.base
        return Values(price)

    inputs = histories("futures")
    start, end = last_days(inputs, "futures")
    bounds = {"market": "HE", "start": start, "end": end}
    other = replace(theirs("futures", HONEST["futures"], "their_other"), windows=PRICE)
    with registered(other):
        alone = compute("futures", inputs, **bounds, names=["their_other"])
    with registered(replace(theirs("futures", forces), windows=PRICE), other):
        beside = compute("futures", inputs, **bounds, names=["their_futures", "their_other"])
    assert beside.filter(pc.equal(beside["feature_name"], "their_other")).equals(alone)


def test_reports_handed_out_lead_to_no_other_week(histories):
    def forces(cot):
        for column in cot.values():
            assert column.base is None
            column.flags.writeable = True
            column *= 0
        return Answer(0.0)

    inputs = histories("cot")
    other = theirs("cot", HONEST["cot"], "their_other")
    with registered(other):
        alone = compute("cot", inputs, market="LE", names=["their_other"])
    with registered(theirs("cot", forces), other):
        beside = compute("cot", inputs, market="LE", names=["their_cot", "their_other"])
    assert beside.filter(pc.equal(beside["feature_name"], "their_other")).equals(alone)
