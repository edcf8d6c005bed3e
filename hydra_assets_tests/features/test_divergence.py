"""Options beside positioning: the two features against plain Python, at instants with late, corrected and unordered rows."""

import datetime as dt
import itertools
import math
import random
import statistics

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from hydra_assets.core.audit import early_rows
from hydra_assets.core.calendar import LIVESTOCK
from hydra_assets.core.tables.features import FEATURE_SCHEMA
from hydra_assets.core.tables.options import OPTION_SMILES
from hydra_assets.errors import SchemaError
from hydra_assets.features import compute, of_family
from hydra_assets.features.compute import evidence
from hydra_assets_tests.features.test_option_features import cut, known
from hydra_assets_tests.support.futures_history import ct
from hydra_assets_tests.support.option_history import History, midnight, realised

SKEW, POSITIONING, LEVEL = "opt_rr25_30", "cot_mm_z_156", "opt_atm_iv_30"
FIRST = dt.date(2022, 6, 1)
SESSIONS = LIVESTOCK.session_days(FIRST, dt.date(2025, 11, 28))  # of which the last hundred have a full window
WORDS = ("normal", "partial", "degraded", "stale", "missing")
NOTHING = {"option_smiles": OPTION_SMILES.schema.empty_table()}


def row(name, day, at, value, quality="normal"):
    quality = "missing" if value is None else quality
    return {"feature_name": name, "as_of": midnight(day), "available_at": at, "value": value, "unit": "x", "quality": quality}


def table(rows):
    return pa.Table.from_pylist(rows, schema=FEATURE_SCHEMA)


def evening(day):
    return ct(day, "18:00")


def friday(tuesday):
    return dt.datetime.combine(tuesday + dt.timedelta(3), dt.time(19, 30), dt.UTC)


def skews(seed):
    """One row a session; some null, some later than the next day's, some corrected, some partial."""
    dice, rows = random.Random(seed), []
    for i, day in enumerate(SESSIONS):
        value = None if dice.random() < 0.02 else 0.05 * math.sin(i / 40) + dice.gauss(0, 0.02)
        at = evening(day) + dt.timedelta(days=4 if dice.random() < 0.02 else 0)
        rows.append(row(SKEW, day, at, value, "partial" if dice.random() < 0.1 else "normal"))
        if dice.random() < 0.03:  # corrected: sometimes to null, sometimes from it
            late = at + dt.timedelta(days=dice.choice((1, 2, 30)))
            rows.append(row(SKEW, day, late, None if dice.random() < 0.2 else dice.gauss(0, 0.02), "degraded"))
    dice.shuffle(rows)
    return rows


def reports(seed):
    """One a week; a shutdown in the autumn of 2025 whose reports come out two a week; one revised; some unsure or null."""
    dice, rows = random.Random(seed), []
    backlog = dt.datetime(2025, 11, 5, 20, 30, tzinfo=dt.UTC)
    for tuesday in (FIRST + dt.timedelta(days) for days in range((1 - FIRST.weekday()) % 7, 1270, 7)):
        out = friday(tuesday)
        if dt.date(2025, 9, 30) <= tuesday <= dt.date(2025, 11, 11):
            backlog += dt.timedelta(days=2)
            out = backlog
        value = None if dice.random() < 0.03 else dice.gauss(0, 1)
        rows.append(row(POSITIONING, tuesday, out, value, "partial" if dice.random() < 0.2 else "normal"))
        if dice.random() < 0.05:
            rows.append(row(POSITIONING, tuesday, out + dt.timedelta(days=10), dice.gauss(0, 1)))
    dice.shuffle(rows)
    return rows


@pytest.fixture(scope="module")
def history():
    skew, report = skews(1), reports(2)
    inputs = {"option_features": table(skew), "cot_features": table(report), **NOTHING}
    return skew, report, inputs, compute("divergence", inputs, market="HE")


# ---------------------------------------------------------------- plain Python


def believed(rows, at):
    """Day to the row of it that was known at *at*."""
    state = {}
    for each in sorted(rows, key=lambda r: r["available_at"]):
        if each["available_at"] <= at:
            state[each["as_of"].date()] = each
    return state


def told(skew, report, day, at):
    """Value and word of the divergence of *day* at *at*; None where it has no row yet."""
    of_day, papers = believed(skew, at), believed(report, at)
    i = SESSIONS.index(day)
    near = [d for d in papers if SESSIONS[max(i - 35, 0)] <= d <= day]
    if day not in of_day or not near:
        return None
    paper, today = papers[max(near)], of_day[day]
    window = [of_day[s]["value"] for s in SESSIONS[max(i - 755, 0) : i + 1] if s in of_day]
    seen = [value for value in window if value is not None]
    if today["value"] is None or paper["value"] is None or len(seen) < 504:
        return None, "missing"
    z = (today["value"] - statistics.fmean(seen)) / statistics.stdev(seen)
    words = [today["quality"], paper["quality"], "partial" if len(seen) < 756 else "normal"]
    return z - paper["value"], max(words, key=WORDS.index)


def by_day(got):
    """Day to its vintages, in order of time."""
    days = {}
    for each in got.sort_by("available_at").to_pylist():
        days.setdefault(each["as_of"].date(), []).append(each)
    return days


def test_the_divergence_is_what_the_page_says_at_random_instants(history):
    skew, report, _, got = history
    days, dice = by_day(got), random.Random(5)
    instants = sorted(set(got["available_at"].to_pylist()))
    compared = []
    for day in dice.sample(SESSIONS[400:], 60) + dice.sample(SESSIONS[-60:], 30):
        for at in dice.sample([i for i in instants if evening(day) <= i <= evening(day) + dt.timedelta(60)], 2):
            state = max((r for r in days.get(day, []) if r["available_at"] <= at), key=lambda r: r["available_at"], default=None)
            expected = told(skew, report, day, at)
            assert (state is None) == (expected is None), (day, at)
            if state is None:
                continue
            value, word = expected
            assert (state["value"] is None) == (value is None), (day, at, state, expected)
            assert value is None or math.isclose(state["value"], value, rel_tol=1e-9, abs_tol=1e-12), (day, at)
            assert state["quality"] == word, (day, at, state, expected)
            compared.append(word)
    assert {"normal", "partial", "degraded", "missing"} & set(compared) >= {"partial", "degraded", "missing"}
    assert len(compared) > 150


def differs(now, last):
    if now is None or last is None or now[1] != last[1] or now[0] is None:
        return now is not None and now != last
    return not math.isclose(now[0], last[0], rel_tol=1e-9)


def test_every_row_says_something_new_and_every_change_has_one(history):
    """At each instant at which an input of its window arrived: a row if the answer moved, none if it did not."""
    skew, report, _, got = history
    for day in SESSIONS[-25::6]:
        mine = by_day(got)[day]
        assert all((a["value"], a["quality"]) != (b["value"], b["quality"]) for a, b in itertools.pairwise(mine))
        stamps = {r["available_at"] for r in mine}
        until = evening(day) + dt.timedelta(40)
        last = None
        for at in sorted({r["available_at"] for r in skew + report if evening(day) <= r["available_at"] <= until}):
            now = told(skew, report, day, at)
            assert (at in stamps) == differs(now, last), (day, at, last, now)
            last = now


def test_the_inputs_cut_at_a_rows_instant_give_that_row_bit_for_bit(history):
    _, _, inputs, got = history
    for at in random.Random(3).sample(sorted({r["available_at"] for r in got.to_pylist()}), 4):
        assert compute("divergence", cut(inputs, at), market="HE").equals(known(got, at))


def test_what_lies_before_the_window_changes_no_bit(history):
    _, _, inputs, got = history
    last = pa.scalar(midnight(SESSIONS[-1]), FEATURE_SCHEMA.field("as_of").type)
    oldest = pa.scalar(midnight(SESSIONS[-756]), FEATURE_SCHEMA.field("as_of").type)
    short = {name: t.filter(pc.greater_equal(t["as_of"], oldest)) if t.num_rows else t for name, t in inputs.items()}
    alone = compute("divergence", short, market="HE", start=SESSIONS[-1], end=SESSIONS[-1])
    assert alone.num_rows
    assert alone.equals(got.filter(pc.equal(got["as_of"], last)))


def test_a_report_that_comes_out_later_moves_days_that_had_the_one_before(history):
    """The shutdown: on its evening a day has the last report that was out; each one released later gives it a further row."""
    _, report, _, got = history
    day = dt.date(2025, 11, 3)
    mine = by_day(got)[day]
    late = [r["available_at"] for r in report if dt.date(2025, 9, 30) <= r["as_of"].date() <= day and r["value"] is not None]
    assert mine[0]["available_at"] < min(late)
    assert set(late) <= {r["available_at"] for r in mine}
    # Reports of later weeks are no report of this day, whenever they come.
    after = {r["available_at"] for r in report if r["as_of"].date() > day}
    assert not after & {r["available_at"] for r in mine}


def plain(n=760, *, day_of=lambda i: SESSIONS[i], report=0.5, word="normal"):
    """A calm history: alternating skew, known on its evening; one report a week."""
    skew = [row(SKEW, day_of(i), evening(day_of(i)), 0.01 * (-1) ** i) for i in range(n)]
    papers = [row(POSITIONING, d, friday(d), report, word) for d in SESSIONS[:n] if d.weekday() == 1]
    return skew, papers


def divergence(skew, papers):
    inputs = {"option_features": table(skew), "cot_features": table(papers), **NOTHING}
    rows = compute("divergence", inputs, market="HE").to_pylist()
    return {r["as_of"].date(): r for r in sorted(rows, key=lambda r: r["available_at"])}


def test_the_least_number_of_sessions_and_a_full_window():
    answer = divergence(*plain())
    n = {day: i + 1 for i, day in enumerate(SESSIONS[:760])}
    assert {n[day] for day, r in answer.items() if r["value"] is not None} == set(range(504, 761))
    assert {n[day] for day, r in answer.items() if r["quality"] == "normal"} == set(range(756, 761))
    sd = 0.01 * math.sqrt(756 / 755)  # ddof 1: the sample's, not the population's
    assert answer[SESSIONS[759]]["value"] == pytest.approx(-0.01 / sd - 0.5, abs=1e-12)


def test_a_constant_skew_has_no_z():
    skew, papers = plain()
    answer = divergence([{**r, "value": 0.02} for r in skew], papers)
    assert {(r["value"], r["quality"]) for r in answer.values()} == {(None, "missing")}


def test_a_null_of_either_side_is_null_and_words_pass_on():
    skew, papers = plain()
    day = SESSIONS[758]
    bad = [{**r, "value": None, "quality": "missing"} if r["as_of"] == midnight(day) else r for r in skew]
    answer = divergence(bad, papers)
    assert (answer[day]["value"], answer[day]["quality"]) == (None, "missing")
    assert answer[SESSIONS[759]]["quality"] == "partial"  # 755 of 756
    assert divergence(*plain(report=None))[day]["quality"] == "missing"
    assert divergence(*plain(word="degraded"))[day]["quality"] == "degraded"


def test_a_report_older_than_seven_weeks_says_nothing():
    skew, papers = plain()
    last = [r for r in papers if r["as_of"].date() <= SESSIONS[700]]
    newest = SESSIONS.index(max(r["as_of"].date() for r in last))
    answer = divergence(skew, last)
    assert max(SESSIONS.index(day) for day in answer) == newest + 35


def test_inputs_that_are_missing_are_named():
    with pytest.raises(SchemaError, match="cot_features"):
        compute("divergence", {"option_features": FEATURE_SCHEMA.empty_table(), **NOTHING}, market="HE")
    empty = {"option_features": FEATURE_SCHEMA.empty_table(), "cot_features": FEATURE_SCHEMA.empty_table(), **NOTHING}
    assert compute("divergence", empty, market="HE").num_rows == 0


def test_the_audit_passes_honest_rows_and_sees_one_dated_back(history):
    _, _, inputs, got = history
    late = got.filter(pc.greater_equal(got["as_of"], pa.scalar(midnight(SESSIONS[-20]), FEATURE_SCHEMA.field("as_of").type)))
    features = of_family("divergence")
    assert set(evidence("divergence")) == {"option_features", "cot_features", "option_smiles"}
    assert early_rows(late, inputs, features).num_rows == 0
    an_hour = pa.scalar(dt.timedelta(hours=1), pa.duration("us"))
    i = late.column_names.index("available_at")
    moved = late.set_column(i, late.schema.field(i), pc.subtract(late["available_at"], an_hour))
    assert early_rows(moved, inputs, features).num_rows == late.num_rows


# ---------------------------------------------------------------- how many strikes the smile rests on


@pytest.fixture(scope="module")
def options():
    """Days on which everything goes wrong, and the tables made of them."""
    from hydra_assets.features.options.chain import build_chain
    from hydra_assets.features.options.smiles import build_smiles

    wild = History(dt.date(2025, 11, 3), 6, seed=1)
    tables = {**wild.tables(), "futures_features": realised(wild.days, late=wild.days[3])}
    smiles = build_smiles(build_chain(tables))
    features = compute("options", tables, market="HE")
    inputs = {"option_features": features, "option_smiles": smiles, "cot_features": FEATURE_SCHEMA.empty_table()}
    return wild.days, inputs, compute("divergence", inputs, market="HE")


def strikes_told(smiles, ready, at):
    if at < ready:
        return None
    state = {}
    for fit in sorted(smiles, key=lambda r: r["available_at"]):
        if fit["available_at"] <= at:
            state[fit["expiration"], fit["underlying"]] = fit
    return min(state.values(), key=lambda fit: (abs(fit["tau"] - 30 / 365), fit["tau"]))["n_liquid"]


def test_the_strikes_are_those_of_the_slice_nearest_thirty_days_at_every_instant(options):
    days, inputs, got = options
    assert set(got["feature_name"].to_pylist()) == {"diag_opt_n_liquid"}
    features, smiles = inputs["option_features"].to_pylist(), inputs["option_smiles"].to_pylist()
    further = 0
    for day in days:
        fits = [fit for fit in smiles if fit["as_of"] == midnight(day)]
        ready = min(r["available_at"] for r in features if r["feature_name"] == LEVEL and r["as_of"] == midnight(day))
        mine = by_day(got)[day]
        assert mine[0]["available_at"] == ready  # not by the millisecond, as smiles come in
        for at in sorted({fit["available_at"] for fit in fits} | {ready}):
            state = [r for r in mine if r["available_at"] <= at]
            expected = strikes_told(fits, ready, at)
            assert (state[-1]["value"] if state else None) == expected, (day, at)
        assert {r["quality"] for r in mine} == {"normal"}
        assert all(a["value"] != b["value"] for a, b in itertools.pairwise(mine))
        further += len(mine) - 1
    assert further > 0


def test_the_strikes_too_are_cut_bit_for_bit(options):
    _, inputs, got = options
    for at in random.Random(1).sample(sorted({r["available_at"] for r in got.to_pylist()}), 6):
        assert compute("divergence", cut(inputs, at), market="HE").equals(known(got, at))
    assert early_rows(got, inputs, of_family("divergence")).num_rows == 0


@pytest.mark.parametrize(("days", "told"), [((5, 40, 100), 40), ((5, 22, 40), 22), ((20, 40, 100), 20)])
def test_of_the_slices_neither_the_shortest_nor_the_first_counts_but_the_one_nearest_thirty_days(options, days, told):
    """Each slice holds as many strikes as days are left to it; of two as near the shorter counts."""
    (day, *_), inputs, _ = options
    level = row(LEVEL, day, evening(day), 0.3)
    (fit, *_) = inputs["option_smiles"].to_pylist()
    fit |= {"as_of": midnight(day), "available_at": evening(day)}
    fits = [fit | {"tau": n / 365, "n_liquid": n, "expiration": ct(day, "13:00") + dt.timedelta(n), "underlying_id": n} for n in days]
    smiles = pa.Table.from_pylist(fits, schema=OPTION_SMILES.schema)
    (found,) = compute("divergence", {**inputs, "option_features": table([level]), "option_smiles": smiles}, market="HE").to_pylist()
    assert (found["feature_name"], found["value"], found["available_at"]) == ("diag_opt_n_liquid", told, evening(day))
