"""Poison: over every registered feature, those of third parties too; that it is poison; and that what looks ahead is moved by it."""

import datetime as dt
import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from hydra_assets.core.calendar import LIVESTOCK
from hydra_assets.core.feature import Answer, Values, Window
from hydra_assets.core.instants import column_us, from_us, to_us
from hydra_assets.core.months import Month, months_between
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.features import compute, of_family
from hydra_assets.features.compute import INPUTS
from hydra_assets.features.days import days_of
from hydra_assets.features.futures.panel import SETTLEMENT
from hydra_assets.features.rows import feature_rows
from hydra_assets.flow.publish import compute_months, publish_month
from hydra_assets.proof.poison import FIXED, NEWEST, NUMBERED, OLDER, TIMES, poison, poisoned
from hydra_assets.storage.lake import ParquetLake
from hydra_assets.storage.store import FeatureStore
from hydra_assets_tests.conftest import at
from hydra_assets_tests.support import cash_history, cot_history, divergence_history, futures_history
from hydra_assets_tests.support.entry_points import registered
from hydra_assets_tests.support.option_history import History, midnight, realised

MARKETS = {"cot": "LE", "cash": "HE", "futures": "HE", "options": "HE", "divergence": "HE"}
NO_CALENDAR = {f"cal_days_to_{report}" for report in ("hogs", "cold", "wasde")}  # none was found for 2023 and 2024
D = dt.date


def option_inputs():
    history = History(D(2025, 11, 3), 8, seed=4)
    return {**history.tables(), "futures_features": realised(history.days, late=history.days[5])}


def limits_of(row, settled):
    """Limits of 8 per cent around the settlement before."""
    day = row["as_of"].date()
    before = settled.get((row["instrument"], midnight(LIVESTOCK.session_days(day - dt.timedelta(10), day - dt.timedelta(1))[-1])))
    return {"low_limit": before and 0.92 * before, "high_limit": before and 1.08 * before}


def futures_inputs():
    made = futures_history.history(D(2018, 10, 1), D(2024, 3, 28))
    stated = made["futures_statistics"].filter(pc.equal(made["futures_statistics"]["stat"], "settlement")).to_pylist()
    settled = {(row["instrument"], row["as_of"]): row["value"] for row in stated}
    stated = [row for row in stated if row["as_of"] > at("2024-01-01") or row["as_of"].toordinal() % 20 == 0]
    rows = [
        {**row, "instrument_class": "F", "tick": 0.025, "multiplier": 400.0, **limits_of(row, settled)}
        | {"available_at": row["as_of"], "stamped_at": row["as_of"]}
        for row in stated
    ]
    definitions = pa.Table.from_pylist(rows, schema=TABLES["futures_definitions"].schema)
    return {**made, "futures_definitions": definitions, "cash_hogs": cash_inputs(D(2024, 3, 28))["cash_hogs"]}


def cash_inputs(last):
    return {"cash_hogs": cash_history.table(cash_history.history(D(2023, 6, 1), last))}


MADE = {
    "cot": lambda: {"cot_disaggregated": cot_history.weeks(2022, 2024)},
    "cash": lambda: cash_inputs(D(2024, 3, 28)),
    "futures": futures_inputs,
    "options": option_inputs,
    "divergence": divergence_history.history,
}


@pytest.fixture(scope="module")
def histories():
    """Family to its inputs; each made when it is first asked for."""
    made = {}
    return lambda family: made.setdefault(family, MADE[family]())


def arrivals(inputs):
    return np.unique(np.concatenate([column_us(t["available_at"], what="available_at", rounding="ceil") for t in inputs.values()]))


def instants_of(inputs, shares=(0.9, 0.97)):
    """Instants at which something arrived, late enough for every window to be full."""
    at = arrivals(inputs)
    return [int(at[int(share * (len(at) - 1))]) for share in shares]


# ---------------------------------------------------------------- features of third parties, one a family


def longs(cot):
    return Answer(float(cot["mm_long"][-1]))


def front_price(panel, t):
    return Values(panel.price(t, 0))


def variance_at_the_money(board):
    level = board.level[30]
    return Values(level.theta / level.tau, level.quality)


def positioning(inputs, feature, request):
    rows = inputs["cot_features"]
    known = rows.filter(pc.equal(rows["feature_name"], "cot_mm_z_156")).sort_by([("as_of", "ascending"), ("available_at", "ascending")])
    return spoken(feature, known, known["value"].to_numpy().copy(), request)


def spoken(feature, rows, values, request):
    """Rows of *feature* at the days and instants of *rows*."""
    as_of, at = column_us(rows["as_of"], what="as_of"), column_us(rows["available_at"], what="available_at")
    low, high = (to_us(dt.datetime.combine(day, dt.time(), dt.UTC)) for day in (request.start, request.end))
    inside = (as_of >= low) & (as_of <= high)
    return feature_rows(feature, as_of[inside], at[inside], values[inside], np.zeros(int(inside.sum()), dtype=np.int64))


def theirs(family, function, name=""):
    pattern = of_family(family)[0]
    windows = (Window("cot_features", 0, unit="sessions"),) if family == "divergence" else pattern.windows
    return replace(pattern, name=name or f"their_{family}", function=function, windows=windows)


def above_the_index(days):
    return Answer(float(days["daily"][-1] - days["index"][-1]))


HONEST = {"cot": longs, "cash": above_the_index, "futures": front_price, "options": variance_at_the_money, "divergence": positioning}


# ---------------------------------------------------------------- every feature of every family


@pytest.mark.parametrize("family", INPUTS)
def test_no_registered_feature_is_moved_and_every_one_had_a_value_to_lose(histories, family):
    """Third parties' too. The poison is poison: what comes later does move, in every feature that can."""
    inputs = histories(family)
    with registered(theirs(family, HONEST[family])):
        names = {feature.name for feature in of_family(family)}
        assert f"their_{family}" in names
        valued = set()
        for seed, at in enumerate(instants_of(inputs)):
            told = poison(inputs, family=family, market=MARKETS[family], at=at, seed=seed)
            assert told.moved == ()
            assert told.absurd > 0
            assert told.answers == sum(told.by_feature.values()) > 0
            if family == "futures":  # the month before is looked at, too
                day = from_us(at).date()
                assert told.by_feature["fut_ret_1d"] > len(LIVESTOCK.session_days(day.replace(day=1), day))
            valued |= {name for name, n in told.by_feature.items() if n}
        assert valued == names - NO_CALENDAR
        assert moved_later(inputs, family) >= names - NO_CALENDAR


def moved_later(inputs, family):
    """The features of which an answer after the instant of poison is another one than without."""
    at = instants_of(inputs)[0]
    day, end = from_us(at).date(), from_us(int(arrivals(inputs)[-1])).date()
    made, _ = poisoned(inputs, at, seed=3)
    answers = []
    for given in (inputs, made):
        rows = compute(family, given, market=MARKETS[family], start=day - dt.timedelta(14), end=end)
        answers.append(
            {(r["feature_name"], r["as_of"], r["available_at"], r["value"]) for r in rows.to_pylist() if r["available_at"] > from_us(at)}
        )
    return {name for name, *_ in answers[0] ^ answers[1]}


class Remembers:
    """Nothing of the future is handed to a feature of periods; this one keeps what it saw, and is another one when asked again."""

    def __init__(self, column):
        self.column, self.most = column, 0.0

    def __call__(self, given):
        self.most = max(self.most, float(given[self.column][-1]))
        return Answer(self.most)


def tomorrow(panel, t):
    """The next settlement of the front contract, known by the time the rows are computed."""
    return Values(panel.at(SETTLEMENT, np.minimum(t + 1, len(panel.days) - 1), panel.legs[t, 0]))


def beside_the_average(board):
    """The volatility less its mean over all days and instants."""
    level = board.level[30]
    vol = np.sqrt(level.theta / level.tau)
    return Values(vol - np.nanmean(vol), level.quality)


def newest_report(inputs, feature, request):
    """The last printed value of every report."""
    rows = inputs["cot_features"].sort_by([("as_of", "ascending"), ("available_at", "ascending")])
    last = dict(zip(days_of(rows).tolist(), rows["value"].to_pylist(), strict=True))
    return spoken(feature, rows, np.array([last[day] for day in days_of(rows).tolist()]), request)


LOOKS_AHEAD = {
    "cot": Remembers("mm_long"),
    "cash": Remembers("index"),
    "futures": tomorrow,
    "options": beside_the_average,
    "divergence": newest_report,
}


@pytest.mark.parametrize("family", INPUTS)
def test_a_third_partys_feature_that_looks_ahead_is_moved_and_no_other_is(histories, family):
    inputs = histories(family)
    with registered(theirs(family, LOOKS_AHEAD[family])):
        moved = {
            row["feature_name"]
            for at in instants_of(inputs)
            for row in poison(inputs, family=family, market=MARKETS[family], at=at, seed=1).moved
        }
    assert moved == {f"their_{family}"}


# ---------------------------------------------------------------- what the poison is made of


@pytest.mark.parametrize("family", INPUTS)
def test_what_is_known_stays_as_it_is_and_all_that_comes_later_is_absurd(histories, family):
    inputs = histories(family)
    at = instants_of(inputs)[0]
    made, count = poisoned(inputs, at, seed=9)
    seen, turned = 0, False
    assert count == sum(made[name].num_rows for name in made) - sum(known_at(t, at).num_rows for t in inputs.values())
    for name, table in inputs.items():
        known, later = known_at(table, at), table.filter(pc.greater(table["available_at"], instant(table, at)))
        assert made[name].slice(0, known.num_rows).equals(known)
        rest = made[name].slice(known.num_rows)
        assert min(rest["available_at"].to_pylist()) > from_us(at)
        blocks, start = [], 0
        old = -(-known.num_rows // 3) if known.num_rows <= 3 * NEWEST else NEWEST + OLDER
        for size in (later.num_rows, later.num_rows // 2, old, old):
            blocks.append(rest.slice(start, size))
            start += size
        assert start == rest.num_rows
        replaced, again, revisions, aliens = blocks
        seen += later.num_rows
        keys = [
            field.name
            for field in table.schema
            if field.name in (*TIMES, *FIXED, *NUMBERED, *TABLES[name].key) or (pa.types.is_string(field.type) and field.name != "quality")
        ]
        assert replaced.select(keys).equals(later.select(keys))
        assert again.select(keys).equals(later.select(keys).slice(0, again.num_rows))
        for field in table.schema:
            if field.name in keys:
                continue
            if field.name == "quality":
                assert {*replaced["quality"].to_pylist(), *again["quality"].to_pylist()} <= {"degraded"}
                continue
            if pa.types.is_boolean(field.type):
                turned |= not replaced[field.name].equals(later[field.name])
                continue
            pairs = [(later, replaced), (later.slice(0, again.num_rows), again), (replaced.slice(0, again.num_rows), again)]
            for before, after in pairs[: 2 if pa.types.is_timestamp(field.type) else 3]:  # a date is moved by one of a few steps
                same = pc.fill_null(pc.equal(before[field.name], after[field.name]), False)
                assert sum(same.to_pylist()) <= 1, field.name
        assert set(column_us(revisions["available_at"], what="available_at", rounding="ceil").tolist()) == {at + 1}
        assert set(column_us(aliens["available_at"], what="available_at", rounding="ceil").tolist()) == {at + 60_000_000}
        if "stamped_at" in table.column_names:
            assert {column_us(t["stamped_at"], what="stamped_at").tolist()[0] for t in (revisions, aliens)} == {at + 1, at + 60_000_000}
        assert described(revisions, name) <= described(known, name)
        for field in table.schema:  # what is revised is given other numbers, and the invented have some of their own
            if field.name not in (*FIXED, *NUMBERED) and (pa.types.is_floating(field.type) or pa.types.is_integer(field.type)):
                told = {*known[field.name].drop_null().to_pylist()}
                assert not told & {*revisions[field.name].to_pylist(), *aliens[field.name].to_pylist()}, field.name
        if old == NEWEST + OLDER:
            assert days_of(known).max() in days_of(revisions)
            before = days_of(revisions)[days_of(revisions) < np.sort(days_of(known))[-NEWEST]]
            assert len(np.unique(before)) > OLDER / 2  # from all over the years before
        if "instrument" in table.column_names:
            assert not set(aliens["instrument"].to_pylist()) & set(table["instrument"].to_pylist())
        if "expiration" in table.column_names:  # new ends of the curve, too
            assert set(aliens["expiration"].to_pylist()) - set(table["expiration"].to_pylist())
        if "instrument_id" in table.column_names:
            assert not set(aliens["instrument_id"].to_pylist()) & set(table["instrument_id"].to_pylist())

    assert seen > 0
    assert turned or not any(pa.types.is_boolean(field.type) for table in inputs.values() for field in table.schema)


def test_the_newest_rows_are_revised_in_whatever_order_they_lie(histories):
    table = histories("futures")["futures_statistics"]
    backwards, at, revised = table.take(pa.array(np.arange(table.num_rows)[::-1])), instants_of({"": table})[0], NEWEST + OLDER
    made = poisoned({"futures_statistics": backwards}, at, seed=9)[0]["futures_statistics"]
    revisions = made.slice(made.num_rows - 2 * revised, revised)  # the invented stand behind them
    assert (days_of(revisions) >= np.sort(days_of(known_at(table, at)))[-NEWEST]).sum() >= NEWEST


def test_what_is_known_between_two_microseconds_counts_as_known_at_the_later_one(histories):
    table, name = histories("cot")["cot_disaggregated"], "cot_disaggregated"
    at, i = instants_of({name: table})[0], table.column_names.index("available_at")
    finer = pc.add(table["available_at"].cast(pa.timestamp("ns", tz="UTC")), pa.scalar(1, pa.duration("ns")))
    counts = [poisoned({name: t}, when, seed=1)[1] for t, when in ((table.set_column(i, "available_at", finer), at), (table, at - 1))]
    assert counts[0] == counts[1] != poisoned({name: table}, at, seed=1)[1]


def described(table, name):
    """The keys and days of the rows."""
    return {tuple(row.values()) for row in table.select([*TABLES[name].key, "as_of"]).to_pylist()}


def instant(table, at):
    return pa.scalar(from_us(at), table.schema.field("available_at").type)


def known_at(table, at):
    return table.filter(pc.less_equal(table["available_at"], instant(table, at)))


def test_an_empty_table_stays_empty_and_nothing_known_is_no_fault(histories):
    inputs = {**histories("divergence"), "cot_features": histories("divergence")["cot_features"].slice(0, 0)}
    made, _ = poisoned(inputs, instants_of(inputs)[0], seed=1)
    assert made["cot_features"].num_rows == 0
    # Of a table that was never written, the lake knows not even the columns.
    unwritten, _ = poisoned({**inputs, "cot_features": pa.table({})}, instants_of(inputs)[0], seed=1)
    assert unwritten["cot_features"].num_rows == 0
    first = int(arrivals(histories("cot"))[0])
    told = poison(histories("cot"), family="cot", market="LE", at=first - 1, seed=1)
    assert (told.answers, told.moved) == (0, ())
    assert told.absurd > 0


# ---------------------------------------------------------------- one way of looking ahead for each ingredient


def answered(change):
    """A computation that is right, save for what *change* makes of its values, given the inputs."""

    def computing(family, inputs, **bounds):
        rows = compute(family, inputs, **bounds)
        if not rows.num_rows:
            return rows
        values = [
            None if v is None else v + change(inputs, row) for v, row in zip(rows["value"].to_pylist(), rows.to_pylist(), strict=True)
        ]
        return rows.set_column(rows.column_names.index("value"), rows.schema.field("value"), pa.array(values, pa.float64()))

    return computing


def final_prints(family, inputs, **bounds):
    """Every row as if its last print had been its first."""
    given = {}
    for name, table in inputs.items():
        first, last = {}, {}
        for row in table.sort_by("available_at").to_pylist():
            first.setdefault(row["as_of"], row["available_at"])
            last[row["as_of"]] = row
        rows = [row | {"available_at": first[day]} for day, row in last.items()]
        given[name] = pa.Table.from_pylist(rows, schema=table.schema)
    return compute(family, given, **bounds)


def backdated(family, inputs, **bounds):
    """Every row known on the day it describes."""
    rows = compute(family, inputs, **bounds)
    return rows.set_column(rows.column_names.index("available_at"), rows.schema.field("available_at"), rows["as_of"])


def suspected(family, inputs, **bounds):
    """Rows of which the word alone knows what comes later."""
    rows = compute(family, inputs, **bounds)
    bad = "degraded" in inputs["cot_disaggregated"]["quality"].to_pylist()
    return rows.set_column(
        rows.column_names.index("quality"), rows.schema.field("quality"), pa.array(["partial" if bad else "normal"] * len(rows))
    )


def conjured(family, inputs, **bounds):
    """Rows that are there only once something absurd is in sight."""
    rows = compute(family, inputs, **bounds)
    return rows if "degraded" in inputs["cot_disaggregated"]["quality"].to_pylist() else rows.slice(0, rows.num_rows // 2)


def shifted(family, inputs, **bounds):
    """Every row with the first print of the week after it, where that is computed beside it."""
    rows, first = compute(family, inputs, **bounds), {}
    for row in rows.sort_by("available_at").to_pylist():
        first.setdefault((row["feature_name"], row["as_of"]), row["value"])
    values = [first.get((row["feature_name"], row["as_of"] + dt.timedelta(7)), row["value"]) for row in rows.to_pylist()]
    return rows.set_column(rows.column_names.index("value"), rows.schema.field("value"), pa.array(values, pa.float64()))


def thinned(family, inputs, **bounds):
    """No rows at all once something absurd is in sight."""
    rows = compute(family, inputs, **bounds)
    return rows.slice(0, rows.num_rows // 2) if "degraded" in inputs["cot_disaggregated"]["quality"].to_pylist() else rows


@pytest.mark.parametrize(
    "computing",
    [
        final_prints,
        backdated,
        suspected,
        shifted,
        thinned,
        conjured,
        answered(lambda inputs, row: float(inputs["cot_disaggregated"].num_rows)),
        answered(lambda inputs, row: float(np.nanmean(inputs["cot_disaggregated"]["mm_long"].to_numpy(zero_copy_only=False)))),
        # The last bit alone.
        answered(lambda inputs, row: float(np.spacing(row["value"])) * ("degraded" in inputs["cot_disaggregated"]["quality"].to_pylist())),
    ],
    ids=["final-prints", "backdated", "word-alone", "week-ahead", "rows-vanish", "rows-appear", "row-count", "whole-mean", "last-bit"],
)
def test_each_way_of_looking_ahead_is_seen(histories, computing):
    inputs = histories("cot")
    at = instants_of(inputs)[0]
    assert poison(inputs, family="cot", market="LE", at=at, seed=2, computing=computing).moved


def front_month_universe(panel, t):
    """How many contracts there are, those included that nobody has heard of yet."""
    return Values(np.full(len(t), float(len(panel.contracts))))


def test_a_universe_chosen_with_hindsight_is_seen_by_instruments_that_never_were(histories):
    """Cut at the instant of the newest row, there is nothing later: the invented contracts alone can tell."""
    inputs = histories("futures")
    at = int(arrivals(inputs)[-1])
    cut = {name: known_at(table, at) for name, table in inputs.items()}
    with registered(theirs("futures", front_month_universe)):
        told = poison(cut, family="futures", market="HE", at=at, seed=2, names=["their_futures"])
    assert {row["feature_name"] for row in told.moved} == {"their_futures"}
    assert set(told.by_feature) == {"their_futures"}


def test_the_answer_that_becomes_known_at_the_instant_itself_is_looked_at(histories):
    inputs = histories("cot")
    at = instants_of(inputs)[0]
    here, before = (poison(inputs, family="cot", market="LE", at=t, around=from_us(at).date(), seed=2).by_feature for t in (at, at - 1))
    assert here["cot_mm_net"] == before["cot_mm_net"] + 1


def test_what_moved_is_told_with_both_answers_and_the_instant(histories):
    inputs = histories("cot")
    at = instants_of(inputs)[0]
    told = poison(inputs, family="cot", market="LE", at=at, seed=2, computing=backdated, names=["cot_mm_net"])
    assert told.at == from_us(at).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    (row, *_) = told.moved
    assert set(row) == {"feature_name", "as_of", "available_at", "honest", "poisoned"}
    assert row["feature_name"] == "cot_mm_net"
    assert row["honest"] != row["poisoned"]
    assert {r["feature_name"] for r in told.moved} == {"cot_mm_net"}


# ---------------------------------------------------------------- through a lake and a store


def fill(lake, market, inputs):
    for name, table in inputs.items():
        month = pc.strftime(table["as_of"], format="%Y-%m")
        for text in pc.unique(month).to_pylist():
            lake.write(table.filter(pc.equal(month, text)), name, market, Month.of(text).first)


def cut_before(inputs, day):
    first = dt.datetime.combine(day, dt.time(), dt.UTC)
    return {name: t.filter(pc.greater_equal(t["as_of"], pa.scalar(first, t.schema.field("as_of").type))) for name, t in inputs.items()}


def published(lake, store, family, market, months):
    for computed in compute_months(lake, family, market, months):
        publish_month(store, family, market, computed, allow_retract=True)


@pytest.mark.parametrize("family", ["cot", "futures"])
def test_poisoned_rows_in_a_copy_of_the_lake_change_no_answer_that_the_store_gave_before(tmp_path, histories, family):
    market, inputs = MARKETS[family], cut_before(histories(family), D(2024, 1 if family == "cot" else 2, 1))
    at = instants_of(inputs, (0.95,))[0]
    months = months_between(str(Month.of(from_us(at).date() - dt.timedelta(40))), str(Month.of(from_us(int(arrivals(inputs)[-1])).date())))
    fill(ParquetLake(tmp_path / "honest", world="sample"), market, inputs)
    shutil.copytree(tmp_path / "honest", tmp_path / "poisoned")
    made, _ = poisoned(inputs, at, seed=5)
    absurd = {name: table.slice(known_at(inputs[name], at).num_rows) for name, table in made.items()}
    fill(ParquetLake(tmp_path / "poisoned"), market, absurd)
    answers, later = [], []
    for name in ("honest", "poisoned"):
        with FeatureStore(tmp_path / f"{name}.sqlite", world="sample") as store:
            published(ParquetLake(tmp_path / name), store, family, market, months)
            looked = [from_us(at) - dt.timedelta(days) for days in (0, 1, 3, 8)]
            answers.append([{k: v and v.hex() for k, v in store.get_features_at(market, t).items()} for t in looked])
            later.append(store.get_features_at(market, from_us(at) + dt.timedelta(15)))
    assert answers[0] == answers[1]
    assert sum(value is not None for value in answers[0][0].values()) >= 7
    assert later[0] != later[1]
