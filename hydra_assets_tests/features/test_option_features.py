"""The chain, the smiles and the 25 features of options: against plain Python, vintage by vintage, and where simpler ways go wrong."""

import datetime as dt
import itertools
import math
import random

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from hydra_assets.config.load import load_config
from hydra_assets.core.audit import early_rows
from hydra_assets.core.calendar import LIVESTOCK
from hydra_assets.core.option_rules import OptionRules
from hydra_assets.core.tables.features import FEATURE_SCHEMA
from hydra_assets.core.tables.table import QUALITIES
from hydra_assets.errors import ConfigError, SchemaError, UnknownFeatureError
from hydra_assets.features import compute, of_family
from hydra_assets.features.options.chain import build_chain
from hydra_assets.features.options.smiles import build_smiles
from hydra_assets.features.options.surface_states import Flows, Slices, SurfaceStates, Synthetic
from hydra_assets.options.svi import RawSvi
from hydra_assets_tests.features.test_futures_features import newest, vintages
from hydra_assets_tests.support.futures_history import ct
from hydra_assets_tests.support.option_features_oracle import Day, put_call
from hydra_assets_tests.support.option_history import TICK, History, midnight, realised, tau_of

NAMES = [feature.name for feature in of_family("options")]
FIRST = dt.date(2025, 11, 3)


def known(table, at):
    return table.filter(pc.less_equal(table["available_at"], pa.scalar(at, table.schema.field("available_at").type)))


def cut(inputs, at):
    return {name: known(table, at) for name, table in inputs.items()}


def before(day, n=1):
    return LIVESTOCK.session_days(day - dt.timedelta(20), day - dt.timedelta(1))[-n]


def with_rows(tables, name, rows):
    """The tables, one of them with further rows."""
    more = pa.Table.from_pylist(rows, schema=tables[name].schema)
    return {**tables, name: pa.concat_tables([tables[name], more])}


@pytest.fixture(scope="module")
def calm():
    """Twelve days on which nothing goes wrong."""
    return History(FIRST, 12)


@pytest.fixture(scope="module")
def wild():
    """Twelve days on which everything does."""
    history = History(FIRST, 12, seed=4)
    return history, {**history.tables(), "futures_features": realised(history.days, late=history.days[5])}


def test_the_names_are_the_catalogues():
    assert len(NAMES) == len(set(NAMES)) > 0
    assert {f.family for f in of_family("options")} == {"options"}


# ---------------------------------------------------------------- the chain


@pytest.mark.parametrize("seed", [4, 9])
def test_the_chain_is_what_the_page_says_at_every_instant_looked_at(seed):
    history = History(FIRST, 8, seed=seed)
    tables = history.tables()
    rows = {name: table.to_pylist() for name, table in tables.items()}
    chain = build_chain(tables)
    dice = random.Random(seed)
    instants = dice.sample(sorted({row["available_at"] for row in chain.to_pylist()}), 12)
    seen = 0
    for at in instants:
        state = {}
        for row in known(chain, at).sort_by("available_at").to_pylist():
            state[row["as_of"].date(), row["instrument_id"]] = row
        day = (at - dt.timedelta(hours=6)).date()
        day = day if day in history.days else before(day)
        told = Day(rows, day, before(day), at)
        mine = {key: row for key, row in state.items() if key[0] == day}
        assert len(mine) == len(told.options)
        by = {(o["slice"][1], o["strike"], o["right"]): o for o in told.options}
        for row in mine.values():
            option = by[row["underlying_id"], row["strike"], row["right"]]
            for name in ("mid", "spread", "forward", "tau", "open_interest", "settlement", "parity_gap", "vol", "vol_error"):
                a, b = row[name], option[name]
                assert (a is None) == (b is None), (day, at, name, row, option)
                assert a is None or math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12), (day, at, name)
            assert row["liquid"] == option["liquid"]
            if row["forward"] is not None:
                assert row["quality"] == option["word"]
            seen += 1
    assert seen > 300


def test_a_row_waits_for_its_own_underlying_and_uses_its_settlement(calm):
    """Options of three expirations on three futures: no price is shared, none is parsed from a symbol."""
    chain = build_chain(calm.tables())
    day = calm.days[3]
    rows = chain.filter(pc.equal(chain["as_of"], pa.scalar(midnight(day), chain.schema.field("as_of").type)))
    forwards = {(row["underlying"], row["forward"]) for row in rows.to_pylist()}
    assert len(forwards) == 3
    assert len({forward for _, forward in forwards}) == 3
    first = {row["underlying"]: row["available_at"] for row in rows.sort_by([("available_at", "descending")]).to_pylist()}
    assert first["HEZ5"] == ct(day, "18:00")
    assert first["HEJ6"] == ct(day, "18:00", 10)


@pytest.mark.parametrize("table", ["futures_statistics", "option_statistics"])
def test_a_print_without_a_final_flag_stands_from_its_own_time(calm, table):
    """In an era whose feed has no flags the print of the afternoon is the settlement known then, and the later one is a later vintage."""
    tables, day = calm.tables(), calm.days[4]
    early = {"is_final": None, "available_at": ct(day, "13:30"), "stamped_at": ct(day, "13:30")}
    settled = [row for row in tables[table].to_pylist() if row["stat"] == "settlement" and row["as_of"] == midnight(day)]
    unflagged = build_chain(with_rows(tables, table, [row | early | {"value": row["value"] + 1} for row in settled]), start=day, end=day)
    chain, column = build_chain(tables, start=day, end=day), "forward" if table == "futures_statistics" else "settlement"
    assert unflagged.num_rows > chain.num_rows or not unflagged[column].equals(chain[column])


@pytest.mark.parametrize("table", ["futures_statistics", "option_statistics"])
def test_a_settlement_that_is_said_not_to_be_final_is_none(calm, table):
    """The preliminary print of the afternoon, of the future or of the option itself, neither makes a row nor stands in one."""
    tables, day = calm.tables(), calm.days[4]
    noon = {"is_final": False, "available_at": ct(day, "13:30"), "stamped_at": ct(day, "13:30")}
    settled = [row for row in tables[table].to_pylist() if row["stat"] == "settlement" and row["as_of"] == midnight(day)]
    preliminary = with_rows(tables, table, [row | noon | {"value": row["value"] + 1} for row in settled])
    assert settled
    assert build_chain(preliminary, start=day, end=day).equals(build_chain(tables, start=day, end=day))


@pytest.mark.parametrize("table", ["futures_statistics", "option_statistics"])
def test_a_print_that_came_late_never_hides_one_with_a_later_stamp(calm, table):
    tables, day = calm.tables(), calm.days[4]
    late = [
        row
        | {
            "value": row["value"] + row["instrument_id"],
            "stamped_at": ct(before(day), "06:00"),
            "available_at": row["available_at"] + dt.timedelta(2),
        }
        for row in tables[table].to_pylist()
        if row["as_of"] in (midnight(day), midnight(before(day)))
    ]
    assert late
    given = with_rows(tables, table, late)
    assert build_chain(given, start=day, end=day).equals(build_chain(tables, start=day, end=day))
    ratio, usual = (compute("options", t, market="HE", names=["opt_pc_oi"], start=day, end=day) for t in (given, tables))
    assert ratio.equals(usual)


def test_an_instant_between_two_microseconds_counts_as_the_later_one(calm):
    tables, day = calm.tables(), calm.days[4]
    settled = tables["futures_statistics"]
    i = settled.column_names.index("available_at")
    finer = pc.add(settled["available_at"].cast(pa.timestamp("ns", tz="UTC")), pa.scalar(1, pa.duration("ns")))
    chain = build_chain({**tables, "futures_statistics": settled.set_column(i, "available_at", finer)}, start=day, end=day)
    assert pc.min(chain["available_at"]).as_py() == ct(day, "18:00") + dt.timedelta(microseconds=1)


def test_only_the_days_own_quotes_make_a_row(calm):
    """Two days in the lake: a quote of the day before never stands in for a missing one."""
    tables = calm.tables()
    day = calm.days[4]
    lost = tables["option_quotes"].filter(
        pc.not_equal(tables["option_quotes"]["as_of"], pa.scalar(midnight(day), pa.timestamp("us", tz="UTC")))
    )
    chain = build_chain({**tables, "option_quotes": lost}, start=day, end=day)
    assert chain["mid"].null_count == chain.num_rows
    assert set(chain["vol_status"].to_pylist()) == {"no_quote"}
    assert not any(chain["liquid"].to_pylist())


def one_option(quote, *, right="C", interest=100.0, rules=None, tick=TICK):
    """The chain's row of one option whose quote, partner's quote and open interest are given."""
    history = History(FIRST, 2, strikes=1)
    tables, day = history.tables(), history.days[1]
    us = pa.timestamp("us", tz="UTC")
    quotes = [
        {**row, **({"bid": quote[0], "ask": quote[1]} if row["instrument"].split()[1][0] == right else {})}
        for row in tables["option_quotes"].to_pylist()
    ]
    stats = [
        {**row, "value": interest if row["stat"] == "open_interest" else row["value"]} for row in tables["option_statistics"].to_pylist()
    ]
    tables["option_quotes"] = pa.Table.from_pylist(quotes, schema=tables["option_quotes"].schema)
    tables["option_statistics"] = pa.Table.from_pylist(stats, schema=tables["option_statistics"].schema)
    chain = build_chain(tables, rules=rules, start=day, end=day)
    chosen = chain.filter(pc.and_(pc.equal(chain["right"], right), pc.equal(chain["underlying"], "HEG6")))
    assert chosen["as_of"][0].as_py() == pa.scalar(midnight(day), us).as_py()
    return chosen.to_pylist()[0]


@pytest.mark.parametrize(
    ("quote", "what"),
    [
        ((1.00, 0.0), "an ask of 0 is no quote, not the tightest one"),
        ((1.10, 1.00), "a crossed quote is no quote"),
        ((None, 1.00), "nobody bids"),
        ((1.00, None), "nobody offers"),
        ((0.0, 1.00), "a bid of 0"),
        ((1.00, 1.00), "a locked quote"),
    ],
)
def test_what_is_no_quote_has_no_mid_and_is_not_liquid(quote, what):
    row = one_option(quote)
    assert row["mid"] is None, what
    assert row["spread"] is None
    assert not row["liquid"]
    assert row["vol_status"] == "no_quote"


def test_the_liquidity_rule():
    """Open interest, and a spread within a share of the mid or within two ticks: a cheap option is not punished for its tick."""
    assert one_option((4.0, 4.8))["liquid"]
    assert not one_option((4.0, 5.0))["liquid"]  # 22 % of the mid
    assert one_option((0.05, 0.10))["liquid"]  # 67 % of the mid, but two ticks
    assert one_option((0.15, 0.20))["liquid"]  # two ticks, of which the computer makes a little more
    assert not one_option((0.05, 0.125))["liquid"]
    assert one_option((4.0, 4.8), interest=50.0)["liquid"]
    assert not one_option((4.0, 4.8), interest=49.0)["liquid"]
    assert not one_option((4.0, 4.8), interest=None)["liquid"]
    assert one_option((4.0, 5.0), rules=OptionRules(max_spread_pct=0.25))["liquid"]
    assert not one_option((4.0, 4.8), rules=OptionRules(min_oi=101))["liquid"]


@pytest.mark.parametrize(("settled", "status"), [(0.0, "nonpositive_forward"), (-1.5, "nonpositive_forward"), (None, "no_forward")])
def test_on_a_settlement_that_is_taken_back_or_not_above_zero_there_is_no_volatility(calm, settled, status):
    tables, day = calm.tables(), calm.days[4]
    value = pa.array([settled] * tables["futures_statistics"].num_rows, pa.float64())
    i = tables["futures_statistics"].column_names.index("value")
    chain = build_chain({**tables, "futures_statistics": tables["futures_statistics"].set_column(i, "value", value)}, start=day, end=day)
    assert chain.num_rows
    for row in chain.to_pylist():
        told = (row["forward"], row["vol"], row["vol_status"], row["liquid"], row["quality"])
        assert told == (settled, None, status, False, "missing")


def test_a_tight_put_does_not_lend_its_strike_to_a_wide_call():
    """Each side is judged by its own quote: the call at 0.1/2.0 enters nothing."""
    assert not one_option((0.1, 2.0), right="C")["liquid"]
    assert one_option((4.0, 4.1), right="P")["liquid"]


def test_time_runs_to_the_minute():
    """A day less two hours is not a day: T in whole days would make 30 % of 28.7 %."""
    day = dt.date(2025, 12, 11)
    history = History(day, 1)
    chain = build_chain(history.tables())
    tau = set(pc.unique(chain.filter(pc.equal(chain["underlying"], "HEZ5"))["tau"]).to_pylist())
    assert tau == {23 / 24 / 365}
    assert tau_of(day, ct(dt.date(2025, 12, 12), "12:00")) == 23 / 24 / 365


def test_a_definition_restated_later_moves_an_option_to_no_other_future_before(calm):
    """On which future it was is what was said first: a later word reaches back to no row that was known without it."""
    tables, day = calm.tables(), calm.days[4]
    late = ct(LIVESTOCK.next_session(day), "10:00")
    restated = [
        row | {"underlying_id": 103, "available_at": late, "stamped_at": late}
        for row in tables["option_definitions"].to_pylist()
        if (row["as_of"], row["underlying_id"]) == (midnight(day), 102)
    ]
    chain = build_chain(with_rows(tables, "option_definitions", restated), start=day, end=day)
    before_it = known(chain, late - dt.timedelta(microseconds=1))
    assert before_it.equals(known(build_chain(tables, start=day, end=day), late - dt.timedelta(microseconds=1)))
    assert before_it.num_rows


def listed_late(tables, day, at, *, underlying=None):
    """The tables, the day's definitions (of the options on one future) known only at an instant."""
    name, moved = "option_definitions", {"available_at": at, "stamped_at": at}
    rows = tables[name].to_pylist()
    late = [row | moved if row["as_of"] == midnight(day) and underlying in (None, row["underlying"]) else row for row in rows]
    return {**tables, name: pa.Table.from_pylist(late, tables[name].schema)}


def test_an_option_that_is_listed_late_has_no_row_before(calm):
    """Its future settled at six; what it is was said at eight."""
    day = calm.days[4]
    late = ct(day, "20:00")
    chain = build_chain(listed_late(calm.tables(), day, late, underlying="HEG6"), start=day, end=day)
    seen = {}
    for row in chain.to_pylist():
        seen.setdefault(row["underlying"], set()).add(row["available_at"])
    assert min(seen["HEG6"]) == late
    assert min(seen["HEZ5"]) == ct(day, "18:00")
    others, usual = known(chain, ct(day, "19:00")), known(build_chain(calm.tables(), start=day, end=day), ct(day, "19:00"))
    assert others.equals(usual.filter(pc.not_equal(usual["underlying"], "HEG6")))


def test_what_is_neither_a_call_nor_a_put_and_a_day_without_a_session_have_no_row(calm):
    tables, day = calm.tables(), calm.days[4]
    saturday = day + dt.timedelta(5 - day.weekday())
    definitions = tables["option_definitions"].to_pylist()
    other = [row | {"right": "T"} for row in definitions if row["as_of"] == midnight(day)]
    given = {**tables, "option_definitions": pa.Table.from_pylist(other, tables["option_definitions"].schema)}
    assert build_chain(given, start=day, end=day).num_rows == 0
    for name in ("option_definitions", "futures_statistics"):
        of_day = [row for row in tables[name].to_pylist() if row["as_of"] == midnight(day)]
        tables = with_rows(tables, name, [row | {"as_of": midnight(saturday)} for row in of_day])
    assert build_chain(tables, start=saturday, end=saturday).num_rows == 0


@pytest.fixture(scope="module")
def expiring():
    """Three days; at noon of the second December's options end. They are listed that morning, and their future settles that evening."""
    history, last, a_day = History(dt.date(2025, 12, 11), 3), dt.date(2025, 12, 12), dt.timedelta(1)
    tables = history.tables()
    for name, column in (("option_definitions", "underlying"), ("futures_statistics", "instrument")):
        ended = [row for row in tables[name].to_pylist() if row[column] == "HEZ5"]
        tables = with_rows(
            tables, name, [row | {time: row[time] + a_day for time in ("as_of", "available_at", "stamped_at")} for row in ended]
        )
    listed = [row["underlying"] for row in tables["option_definitions"].to_pylist() if row["as_of"] == midnight(last)]
    assert set(listed) == {"HEZ5", "HEG6", "HEJ6"}
    return last, tables


def test_an_option_that_ended_at_noon_has_no_row_that_day_and_no_feature_waits_for_it(expiring):
    """Its quotes of one o'clock would be of nothing."""
    last, tables = expiring
    assert set(build_chain(tables, start=last, end=last)["underlying"].to_pylist()) == {"HEG6", "HEJ6"}
    rows = compute("options", tables, market="HE", names=["opt_atm_iv_90"], start=last, end=last).to_pylist()
    assert [row["available_at"] for row in rows] == [ct(last, "18:00", 10)]


def test_the_ratio_does_not_wait_for_open_interest_of_options_that_ended(expiring):
    last, tables = expiring
    monday = LIVESTOCK.next_session(last)
    rows = compute("options", tables, market="HE", names=["opt_pc_oi"], start=monday, end=monday).to_pylist()
    assert rows[0]["available_at"] == ct(monday, "06:45", 36)  # with that of the last strike of the options that live


def test_fridays_open_interest_on_sunday_counts_when_monday_begins(calm):
    tables = calm.tables()
    monday = next(day for day in calm.days[3:] if day.weekday() == 0)
    usual = compute("options", tables, market="HE", names=["opt_pc_oi"], start=monday, end=monday).to_pylist()[-1]
    stats = tables["option_statistics"].to_pylist()
    for row in stats:
        if row["stat"] == "open_interest" and row["as_of"] == midnight(before(monday)):
            row["available_at"] = row["stamped_at"] = row["available_at"] - dt.timedelta(hours=18)
    tables["option_statistics"] = pa.Table.from_pylist(stats, schema=tables["option_statistics"].schema)
    (row,) = compute("options", tables, market="HE", names=["opt_pc_oi"], start=monday, end=monday).to_pylist()
    assert row["available_at"] == row["as_of"]
    assert row["value"] == usual["value"]
    early = early_rows(pa.Table.from_pylist([row]), tables, of_family("options"))
    assert early["reason"].to_pylist() == []
    hasty = {**row, "available_at": row["as_of"] - dt.timedelta(microseconds=1)}
    assert early_rows(pa.Table.from_pylist([hasty]), tables, of_family("options"))["reason"].to_pylist() == [
        "it claims to be known before its own day"
    ]


def test_open_interest_of_the_day_itself_is_never_used(calm):
    """On its evening the chain of t knows the open interest of t-1; that of t comes on the next morning, and changes nothing of t."""
    tables, day = calm.tables(), calm.days[5]
    us = pa.timestamp("us", tz="UTC")
    stats = tables["option_statistics"]
    own = pc.and_(pc.equal(stats["stat"], "open_interest"), pc.equal(stats["as_of"], pa.scalar(midnight(day), us)))
    without = build_chain({**tables, "option_statistics": stats.filter(pc.invert(own))}, start=day, end=day)
    assert without.equals(build_chain(tables, start=day, end=day))


def test_order_duplicates_and_other_days_do_not_matter(wild):
    history, tables = wild
    dice = np.random.default_rng(3)
    shuffled = {}
    for name, table in tables.items():
        doubled = pa.concat_tables([table, table.slice(0, table.num_rows // 3)])
        shuffled[name] = doubled.take(pa.array(dice.permutation(doubled.num_rows)))
    day = history.days[6]
    assert build_chain(shuffled, start=day, end=day).equals(build_chain(tables, start=day, end=day))
    a, b = (compute("options", t, market="HE", start=day, end=day) for t in (shuffled, tables))
    assert a.equals(b)


def test_missing_tables_and_columns_are_named(calm):
    tables = calm.tables()
    with pytest.raises(SchemaError, match="option_quotes"):
        build_chain({name: t for name, t in tables.items() if name != "option_quotes"})
    with pytest.raises(SchemaError, match="strike"):
        build_chain({**tables, "option_definitions": tables["option_definitions"].drop_columns(["strike"])})
    with pytest.raises(SchemaError, match="option_definitions"):
        compute("options", {}, market="HE")


def test_tables_that_hold_nothing_give_nothing(calm):
    empty = {name: table.slice(0, 0) for name, table in calm.tables().items()}
    assert build_chain(empty).num_rows == 0
    assert build_smiles(build_chain(empty)).num_rows == 0
    assert compute("options", empty, market="HE").num_rows == 0


# ---------------------------------------------------------------- the smiles


def test_the_smile_behind_clean_quotes_is_found_again(calm):
    smiles = build_smiles(build_chain(calm.tables()))
    whole = smiles.filter(pc.equal(smiles["status"], "full")).to_pylist()
    assert len(whole) > 25
    for row in whole:
        assert math.sqrt(row["theta"] / row["tau"]) == pytest.approx(0.3, abs=2e-3)
        assert row["mean_ratio"] == pytest.approx(1.0, abs=1e-9)  # the implied mean is the forward, whatever was quoted
        assert row["g_min"] >= 0
        assert 0 < row["tail_lo"] < 0.5  # what was not quoted is told, not cut off
        assert abs(row["parity_forward"] - row["forward"]) < 0.1


def test_the_fit_does_not_depend_on_what_else_is_fitted(wild):
    """A month, a day, one expiration: the same bits."""
    _, tables = wild
    chain = build_chain(tables)
    every = build_smiles(chain)
    day = every["as_of"][every.num_rows // 2].as_py()
    alone = build_smiles(chain, start=day.date(), end=day.date())
    assert alone.num_rows
    assert alone.equals(every.filter(pc.equal(every["as_of"], pa.scalar(day, pa.timestamp("us", tz="UTC")))))


def test_why_a_smile_is_not_whole(calm):
    """Too few strikes, one side alone, a settlement that parity contradicts."""
    tables, day = calm.tables(), calm.days[5]
    chain = build_chain(tables, start=day, end=day)
    front = chain.filter(pc.equal(chain["underlying"], "HEG6"))

    def status(mask=None, *, rules=None, forward=0.0):
        table = front if mask is None else front.filter(mask)
        for name in ("forward",):
            column = table.column_names.index(name)
            table = table.set_column(column, table.schema.field(name), pc.add(table[name], forward))
        (row,) = build_smiles(table, rules=rules).to_pylist()[:1]
        return row

    assert status()["status"] == "full"
    assert status(rules=OptionRules(min_liquid_strikes=14))["status"] == "thin"
    one_side = status(pc.greater(front["strike"], front["forward"]), rules=OptionRules(min_liquid_strikes=5))
    assert (one_side["status"], one_side["n_below"], one_side["quality"]) == ("one_sided", 0, "degraded")
    other_side = status(pc.less(front["strike"], front["forward"]), rules=OptionRules(min_liquid_strikes=5))
    assert (other_side["status"], other_side["n_below"], other_side["quality"]) == ("one_sided", other_side["n_liquid"], "degraded")
    unpaired = status(pc.is_valid(front["vol"]))
    assert (unpaired["status"], unpaired["quality"]) == ("full", "partial")  # parity could not be looked at
    off = front.set_column(front.column_names.index("parity_gap"), front.schema.field("parity_gap"), pc.add(front["parity_gap"], 0.5))
    assert build_smiles(off).to_pylist()[0]["status"] == "parity"
    wobble = pa.array(np.where(np.arange(front.num_rows) % 4 < 2, 1.15, 0.87))
    bad = front.set_column(front.column_names.index("vol"), front.schema.field("vol"), pc.multiply(front["vol"], wobble))
    assert build_smiles(bad).to_pylist()[0]["status"] == "misfit"


def test_a_smile_with_a_negative_density_is_not_whole(calm, monkeypatch):
    """No fit of ours has one, by construction; should one ever, it is told and not read."""
    chain = build_chain(calm.tables(), start=calm.days[5], end=calm.days[5])
    monkeypatch.setattr(RawSvi, "g_min", lambda svi: np.full(svi.size, -1e-3))
    assert {(row["status"], row["quality"]) for row in build_smiles(chain).to_pylist() if row["n_liquid"] >= 8} == {
        ("butterfly", "degraded")
    }


def bent(chain):
    """The chain with the volatilities of smiles that bend as no surface slice can."""
    k = np.log(chain["strike"].to_numpy() / chain["forward"].to_numpy())
    level = 0.30 + 0.25 * np.sqrt((k - 0.05) ** 2 + 0.015**2)
    valid = chain["vol"].is_valid()
    vol = pc.if_else(valid, pa.array(level), None)
    error = pc.if_else(valid, pa.array(np.full(len(k), 1e-3)), None)
    for name, column in (("vol", vol), ("vol_error", error), ("liquid", valid)):
        chain = chain.set_column(chain.column_names.index(name), chain.schema.field(name), column)
    return chain


def test_five_parameters_by_option():
    """A slice of 21 strikes: five parameters are taken where they are allowed and win."""
    history = History(FIRST, 2, strikes=21, spread=2)
    chain = build_chain(history.tables(), start=history.days[1])
    front = bent(chain.filter(pc.equal(chain["underlying"], "HEG6")))
    three, five = (build_smiles(front, rules=OptionRules(five_parameter_svi=on)).to_pylist()[0] for on in (False, True))
    assert (three["model"], five["model"]) == ("ssvi", "svi")
    assert five["chi2_dof"] < three["chi2_dof"]
    assert five["rho"] is None
    assert five["g_min"] >= 0
    assert math.sqrt(five["theta"] / five["tau"]) == pytest.approx(0.30 + 0.25 * math.sqrt(0.05**2 + 0.015**2), abs=2e-3)


def test_five_parameters_too_are_the_same_bits_beside_a_slice_of_more_strikes():
    history, rules = History(FIRST, 2, strikes=27, spread=2), OptionRules(five_parameter_svi=True)
    chain = bent(build_chain(history.tables(), start=history.days[1]))
    fewer = pc.and_(pc.equal(chain["underlying"], "HEG6"), pc.less(pc.abs(pc.subtract(chain["strike"], 87.0)), 20.5))
    alone = build_smiles(chain.filter(fewer), rules=rules)
    beside = build_smiles(chain.filter(pc.or_(fewer, pc.equal(chain["underlying"], "HEJ6"))), rules=rules)
    assert {(row["model"], row["n_liquid"] % 8) for row in alone.to_pylist()} == {("svi", 4)}
    assert alone.equals(beside.filter(pc.equal(beside["underlying"], "HEG6")))


# ---------------------------------------------------------------- the features

CLOSE = {"opt_rn_median_gap": (1e-5, 1e-6), "opt_charm": (2e-3, 10.0), "opt_vanna": (2e-3, 10.0), "opt_gex_call": (2e-3, 1.0)}
CLOSE |= {"opt_gex_put": (2e-3, 1.0), "opt_gex_net": (5e-3, 2e4), "opt_p_dn10": (1e-5, 1e-7), "opt_p_up10": (1e-5, 1e-7)}


def agrees(name, value, told):
    relative, absolute = CLOSE.get(name, (1e-6, 1e-8))
    return (value is None) == (told is None) and (value is None or math.isclose(value, told, rel_tol=relative, abs_tol=absolute))


@pytest.mark.parametrize("seed", [4, 11])
def test_every_feature_is_what_the_page_says_at_random_instants(seed):
    """Value and word of all features of two days, at instants with corrections, deletions, late open interest and mended quotes."""
    history = History(FIRST, 10, seed=seed)
    joined = realised(history.days, late=history.days[5])
    tables = {**history.tables(), "futures_features": joined}
    rows = {name: table.to_pylist() for name, table in tables.items()}
    got = compute("options", tables, market="HE")
    dice = random.Random(seed)
    compared = set()
    for day in dice.sample(history.days[2:], 5):
        mine = [row for row in got.to_pylist() if row["as_of"] == midnight(day) and row["feature_name"] != "opt_pc_oi"]
        at = dice.choice(sorted({row["available_at"] for row in mine}))
        state = {row["feature_name"]: row for row in sorted(mine, key=lambda r: r["available_at"]) if row["available_at"] <= at}
        told = Day(rows, day, before(day), at, rows["futures_features"]).features()
        assert set(state) == set(told), (day, at)
        for name, (value, word) in told.items():
            assert agrees(name, state[name]["value"], value), (name, day, at, state[name], value)
            assert state[name]["quality"] == word, (name, day, at, state[name], word)
            compared.add(name)
    assert compared == set(NAMES) - {"opt_pc_oi"}


def test_the_ratio_of_open_interest_is_what_the_page_says_at_every_instant(wild):
    history, tables = wild
    rows = {name: table.to_pylist() for name, table in tables.items()}
    got = compute("options", {**tables}, market="HE").to_pylist()
    for day in history.days[2:6]:
        listed = {r["instrument_id"]: r for r in rows["option_definitions"] if r["as_of"] in (midnight(day), midnight(before(day)))}
        mine = sorted((r for r in got if r["feature_name"] == "opt_pc_oi" and r["as_of"] == midnight(day)), key=lambda r: r["available_at"])
        instants = sorted(
            {r["available_at"] for r in rows["option_statistics"] if r["as_of"] in (midnight(before(day)), midnight(before(day, 2)))}
        )
        ready = False
        for at in instants:
            told = put_call(rows, day, before(day), before(day, 2), at, listed)
            state = [row for row in mine if row["available_at"] <= at]
            ready = ready or (told is not None and told[0] is not None)
            if not ready:
                assert not state
                continue
            assert told is not None
            assert agrees("opt_pc_oi", state[-1]["value"], told[0]), (day, at)
            assert state[-1]["quality"] == told[1]
        assert mine


def test_the_ratio_waits_for_the_options_that_had_open_interest_and_for_no_other(calm):
    """A figure that never comes of an option that had some holds the ratio back; of one that had none it does not."""
    tables, day = calm.tables(), calm.days[4]

    def without(*days):
        """Instants of the ratio's rows where one option has no figure of these days."""
        stats = tables["option_statistics"]
        lost = pc.and_(
            pc.equal(stats["instrument_id"], 102_000), pc.is_in(stats["as_of"], pa.array(map(midnight, days), stats["as_of"].type))
        )
        given = {**tables, "option_statistics": stats.filter(pc.invert(lost))}
        return [at for at, *_ in vintages(compute("options", given, market="HE", names=["opt_pc_oi"]), "opt_pc_oi", day)]

    assert without() == without(before(day), before(day, 2)) == [ct(day, "06:45", 36)]
    assert without(before(day)) == []


def test_without_a_days_own_definitions_those_of_the_day_before_say_which_right_an_option_is(calm):
    tables, day = calm.tables(), calm.days[4]
    listed = tables["option_definitions"]
    of_before = listed.filter(pc.not_equal(listed["as_of"], pa.scalar(midnight(day), listed["as_of"].type)))
    got, usual = (
        compute("options", {**tables, "option_definitions": given}, market="HE", names=["opt_pc_oi"], start=day, end=day)
        for given in (of_before, listed)
    )
    assert got.num_rows
    assert got.equals(usual)


def test_each_row_is_stamped_with_an_arrival_and_uses_nothing_later(wild):
    """The inputs cut at a row's instant give that row, bit for bit; so does the derived path."""
    history, tables = wild
    got = compute("options", tables, market="HE")
    chain = build_chain(tables)
    derived = {
        **{name: tables[name] for name in ("option_definitions", "option_statistics", "futures_features")},
        **{"option_chain": chain, "option_smiles": build_smiles(chain)},
    }
    assert compute("options", derived, market="HE").equals(got)
    instants = sorted({row["available_at"] for row in got.to_pylist()})
    for at in random.Random(2).sample(instants, 8):
        for inputs in (tables, derived):
            assert compute("options", cut(inputs, at), market="HE").equals(known(got, at))
    arrivals = {at for table in tables.values() for at in table["available_at"].to_pylist()}
    assert set(instants) <= arrivals
    assert got.num_rows > 250 * len(history.days) / 12


@pytest.mark.parametrize("names", [{"opt_atm_iv_30"}, {"opt_vrp_30", "opt_gex_put"}, {"opt_pc_oi"}])
def test_some_of_the_features_are_the_same_rows(wild, names):
    _, tables = wild
    whole = compute("options", tables, market="HE")
    assert compute("options", tables, market="HE", names=names).equals(
        whole.filter(pc.is_in(whole["feature_name"], pa.array(sorted(names)))).combine_chunks()
    )
    with pytest.raises(UnknownFeatureError, match="opt_smile"):
        compute("options", tables, market="HE", names=["opt_smile"])


def test_no_day_is_told_before_its_last_settlement(calm):
    """Three futures settle five milliseconds apart: no feature grows by the millisecond."""
    got = compute("options", {**calm.tables(), "futures_features": realised(calm.days)}, market="HE")
    rows = [row for row in got.to_pylist() if row["feature_name"] == "opt_atm_iv_60"]
    assert {row["available_at"] - midnight(row["as_of"].date()) for row in rows} == {dt.timedelta(days=1, milliseconds=10)}
    late = [row["available_at"] for row in got.to_pylist() if row["feature_name"] == "opt_vrp_30"]
    assert {at.microsecond for at in late} == {900_000}  # waits for the realised volatility


def test_a_day_waits_for_no_smile_of_options_that_are_listed_only_later(calm):
    """April's options are listed at eight: at six nobody could know that there would be any."""
    day = calm.days[4]
    late = listed_late(calm.tables(), day, ct(day, "20:00"), underlying="HEJ6")
    got = vintages(
        compute("options", late, market="HE", names=["opt_atm_iv_60", "opt_atm_iv_90"], start=day, end=day), "opt_atm_iv_60", day
    )
    assert got[0][0] == ct(day, "18:00", 5)


def test_too_few_strikes_leave_the_level_alone(calm):
    """Degraded: volatility at the money and its error are told, all that needs the whole smile is null."""
    got = newest(
        compute("options", calm.tables(), market="HE", start=calm.days[4], end=calm.days[4], rules=OptionRules(min_liquid_strikes=20))
    )
    day = calm.days[4]
    for name in ("opt_atm_iv_60", "opt_atm_iv_90"):
        value, word = got[name, day]
        assert value == pytest.approx(0.3, abs=5e-3)
        assert word == "degraded"
    for name in ("opt_rr25_30", "opt_iv_mf_30", "opt_rn_skew_30", "opt_p_dn10", "opt_convexity_30", "opt_ts_slope"):
        assert got[name, day] == (None, "missing")
    assert got["opt_gex_call", day][0] > 0  # flows need liquid options, not a whole smile


def test_nothing_is_extrapolated_beyond_fifteen_days(calm):
    """Without an expiration near the horizon there is no volatility for it."""
    tables = calm.tables()
    far = tables["option_definitions"].filter(pc.equal(tables["option_definitions"]["underlying"], "HEJ6"))
    got = newest(compute("options", {**tables, "option_definitions": far}, market="HE", start=calm.days[4], end=calm.days[4]))
    assert [got[f"opt_atm_iv_{days}", calm.days[4]] for days in (30, 60, 90)] == [(None, "missing")] * 3


def board_of(*slices, realised="normal"):
    """One state; of each slice the days to its end, the probability beyond its strikes and its quality."""
    days, tails, words = (np.array(part) for part in zip(*slices, strict=True))
    n, none = len(days), np.full(1, np.nan)
    made = Slices(
        state=np.zeros(n, dtype=np.int64),
        full=np.ones(n, dtype=bool),
        tau=days / 365,
        svi=RawSvi.of_ssvi(theta=0.09 * days / 365, rho=np.full(n, -0.35), phi=np.full(n, 3.0)),
        theta_error=np.full(n, 1e-3),
        tails=tails,
        quality=np.array([QUALITIES.index(word) for word in words]),
        n_liquid=np.full(n, 9),
    )
    known = (np.array([0.2]), np.array([QUALITIES.index(realised)]))
    flows = Flows(none, none, none, none, np.zeros(1, dtype=np.int64))
    return SurfaceStates(
        1,
        made,
        flows,
        {"fut_rv_21": known, "fut_rv_252": known},
        (1, -1),
        Synthetic(none, np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)),
    )


NEAR, FAR = (20, 0.02, "normal"), (50, 0.02, "normal")


@pytest.mark.parametrize(
    ("board", "words"),  # of: a number of the smile's middle, of the variance, of the shape, of the fourth moment, with the realised
    [
        (board_of(NEAR, FAR), ("normal", "normal", "normal", "partial", "normal")),
        (board_of(NEAR, (50, 0.15, "normal")), ("normal", "normal", "partial", "partial", "normal")),
        (board_of((20, 0.25, "normal"), FAR), ("normal", "partial", "partial", "partial", "partial")),
        (board_of((25, 0.02, "normal")), ("partial",) * 5),
        (board_of(NEAR, (50, 0.02, "degraded")), ("degraded",) * 5),
        (board_of((20, 0.02, "degraded"), FAR), ("degraded",) * 5),
        (board_of(NEAR, FAR, realised="degraded"), ("normal", "normal", "normal", "partial", "degraded")),
        (board_of((14, 0.02, "normal")), ("missing",) * 5),
    ],
    ids=["fine", "tails", "heavy-tails", "alone", "far-degraded", "near-degraded", "realised-degraded", "too-near"],
)
def test_each_number_has_the_word_that_the_worst_it_rests_on_earned(board, words):
    functions = {feature.name: feature.function for feature in of_family("options")}
    names = ("opt_rr25_30", "opt_iv_mf_30", "opt_rn_skew_30", "opt_rn_kurt_30", "opt_vrp_30")
    assert tuple(QUALITIES[functions[name](board).quality[0]] for name in names) == words


def test_both_tails_beyond_the_strikes_count_together():
    history = History(dt.date(2025, 11, 13), 2, strikes=15)
    tables, day = history.tables(), history.days[1]
    around = build_smiles(build_chain(tables, start=day, end=day)).to_pylist()[:2]
    tails = [(row["tail_lo"], row["tail_hi"]) for row in around]
    assert max(max(pair) for pair in tails) < 0.2 < max(sum(pair) for pair in tails)
    got = newest(compute("options", tables, market="HE", start=day, end=day))
    assert (got["opt_rr25_30", day][1], got["opt_iv_mf_30", day][1]) == ("normal", "partial")


def test_a_realised_volatility_that_is_corrected_makes_a_further_vintage(calm):
    day = calm.days[4]
    (first,) = [row for row in realised([day]).to_pylist() if row["feature_name"] == "fut_rv_252"]
    later = first | {"available_at": ct(LIVESTOCK.next_session(day), "10:00"), "value": 2 * first["value"]}
    given = {**calm.tables(), "futures_features": pa.Table.from_pylist([first, later], schema=FEATURE_SCHEMA)}
    names = ["opt_iv_rv_ratio"]
    before, after = vintages(compute("options", given, market="HE", names=names, start=day, end=day), *names, day)
    assert (before[0], after[0]) == (first["available_at"], later["available_at"])
    assert after[1] - before[1] == pytest.approx(-math.log(2))


def test_gamma_has_a_call_and_a_put_leg_and_its_sign_from_the_settings(calm):
    """Equal open interest does not cancel: both legs are told; the net takes the desk's signs."""
    day = calm.days[4]
    usual = newest(compute("options", calm.tables(), market="HE", start=day, end=day))
    call, put, net = (usual[f"opt_gex_{name}", day][0] for name in ("call", "put", "net"))
    assert call > 0
    assert put > 0
    assert net == pytest.approx(call - put)
    both = OptionRules(dealer_sign_call=-1, dealer_sign_put=-1)
    short = newest(compute("options", calm.tables(), market="HE", start=day, end=day, rules=both))
    assert short["opt_gex_net", day][0] == pytest.approx(-call - put)
    with pytest.raises(ConfigError, match="dealer_sign_put"):
        OptionRules(dealer_sign_put=0)


def test_illiquid_options_add_nothing_to_the_flows(calm):
    """Once there are enough liquid strikes, the others still do not count."""
    day = calm.days[4]
    few, all_of_them = (
        newest(compute("options", calm.tables(), market="HE", start=day, end=day, rules=OptionRules(min_oi=oi)))["opt_gex_call", day][0]
        for oi in (300, 1)
    )
    assert few < 0.8 * all_of_them


def test_a_symmetric_market_has_no_view(calm):
    """The implied mean is the forward by construction, so nothing here can read a bias out of where quotes happen to end."""
    day = calm.days[4]
    tables = calm.tables()
    chain = build_chain(tables, start=day, end=day)
    for low, high in ((77, 99), (69, 91)):
        some = chain.filter(pc.and_(pc.greater_equal(chain["strike"], low), pc.less_equal(chain["strike"], high)))
        for row in build_smiles(some, rules=OptionRules(min_liquid_strikes=3)).to_pylist():
            assert row["mean_ratio"] == pytest.approx(1.0, abs=1e-9)
    assert not any("mean" in name for name in NAMES)


def test_the_shipped_settings_are_the_defaults_of_pure_functions():
    assert load_config().option_rules == OptionRules()


def test_a_correction_makes_a_vintage_of_the_day_and_leaves_the_answers_before_alone(wild):
    history, tables = wild
    got = compute("options", tables, market="HE")
    several = [(name, day) for name in ("opt_atm_iv_60", "opt_gex_call") for day in history.days if len(vintages(got, name, day)) > 1]
    assert several
    for name, day in several:
        rows = vintages(got, name, day)
        assert rows == sorted(rows, key=lambda row: row[0])
        assert all(a[1:] != b[1:] for a, b in itertools.pairwise(rows))
        assert rows[0][0] <= ct(LIVESTOCK.next_session(day), "20:00")


def test_a_definition_that_is_restated_later_does_not_change_which_right_an_option_had(calm):
    """The right of an option comes from what was defined by then: a correction makes a vintage of its own."""
    day = calm.days[4]
    definitions = calm.tables()["option_definitions"]
    (first, *_) = [row for row in definitions.to_pylist() if row["as_of"] == midnight(day) and row["right"] == "C"]
    late = ct(day, "10:00")
    corrected = first | {"right": "P", "available_at": late, "stamped_at": late}
    given = {**calm.tables(), "option_definitions": pa.concat_tables([definitions, pa.Table.from_pylist([corrected], definitions.schema)])}
    usual = vintages(compute("options", calm.tables(), market="HE", start=day, end=day), "opt_pc_oi", day)
    got = vintages(compute("options", given, market="HE", start=day, end=day), "opt_pc_oi", day)
    assert [row for row in got if row[0] < late] == [row for row in usual if row[0] < late] != []
    (moved,) = [row for row in got if row[0] >= late]
    assert moved[0] == late
    assert moved[1] > usual[-1][1]


# ---------------------------------------------------------------- what the audit lets pass


def in_time(tables, name, day, at):
    """Why a row of the feature and day, with a value and known at *at*, could not have been known then; empty where it could."""
    row = {"feature_name": name, "as_of": midnight(day), "available_at": at, "value": 1.0, "unit": "x", "quality": "normal"}
    (feature,) = [feature for feature in of_family("options") if feature.name == name]
    return "".join(early_rows(pa.Table.from_pylist([row], FEATURE_SCHEMA), tables, [feature])["reason"].to_pylist())


@pytest.fixture(scope="module")
def audited(calm):
    """Calm days with preliminary settlements of the afternoon of day 4."""
    tables, noon = calm.tables(), {"is_final": False, "available_at": ct(calm.days[4], "13:30"), "stamped_at": ct(calm.days[4], "13:30")}
    early = [row | noon for row in tables["futures_statistics"].to_pylist() if row["as_of"] == midnight(calm.days[4])]
    return calm.days[4], with_rows(tables, "futures_statistics", early)


def test_honest_rows_pass_the_audit(wild):
    _, tables = wild
    ours = [feature for feature in of_family("options") if not feature.needs]
    got = compute("options", tables, market="HE", names=[feature.name for feature in ours])
    assert got.num_rows > 250
    assert early_rows(got, tables, ours).to_pylist() == []


@pytest.mark.parametrize("name", ["opt_rr25_30", "opt_gex_call"])
@pytest.mark.parametrize(
    ("ago", "clock", "what"),
    [
        (0, "13:00", "the cut of the quotes"),
        (0, "13:30", "a preliminary settlement"),
        (1, "18:00", "the settlement of the day before"),
        (0, "06:45", "the open interest of the day before"),
    ],
)
def test_before_the_final_settlement_of_its_own_day_nothing_of_the_smiles_was_known(audited, name, ago, clock, what):
    day, tables = audited
    at = ct(before(day, ago) if ago else day, clock)
    assert in_time(tables, name, day, at).startswith(f"futures_statistics settlement of {day} was first printed"), what
    assert in_time(tables, name, day, ct(day, "18:00")) == ""


def test_the_ratio_was_known_with_open_interest_of_the_day_before_and_of_no_other(audited):
    day, tables = audited
    assert in_time(tables, "opt_pc_oi", day, ct(day, "06:45")) == ""
    unprinted = f"option_statistics open_interest of {before(day)} was first printed"
    assert in_time(tables, "opt_pc_oi", day, ct(before(day), "06:45")) == "it claims to be known before its own day"
    assert in_time(tables, "opt_pc_oi", day, midnight(day)).startswith(unprinted)
    assert (
        in_time(tables, "opt_pc_oi", day, ct(LIVESTOCK.next_session(day), "06:45")) == "no input inside its windows arrived at that instant"
    )


@pytest.mark.parametrize(("name", "sessions"), [("opt_gex_call", {1}), ("opt_rr25_30", {1}), ("opt_pc_oi", {1, 2})])
def test_open_interest_that_arrives_later_explains_a_row_where_its_window_reaches_it_alone(audited, name, sessions):
    """A print of the evening, of the day itself or of one of three before it: only those that the feature reads make a vintage."""
    day, tables = audited
    at = ct(day, "21:00")
    (first, *_) = [row for row in tables["option_statistics"].to_pylist() if row["stat"] == "open_interest"]
    for ago in range(4):
        of = midnight(before(day, ago) if ago else day)
        arrived = with_rows(tables, "option_statistics", [first | {"as_of": of, "available_at": at, "stamped_at": at}])
        told = "" if ago in sessions else "no input inside its windows arrived at that instant"
        assert in_time(arrived, name, day, at) == told, ago


def test_definitions_that_come_late_are_waited_for_and_explain_a_row(audited):
    day, tables = audited
    late = listed_late(tables, day, ct(day, "20:00"))
    assert in_time(late, "opt_rr25_30", day, ct(day, "18:00")).startswith(f"option_definitions of {day} was first printed")
    assert in_time(late, "opt_rr25_30", day, ct(day, "20:00")) == ""
    assert in_time(late, "opt_pc_oi", day, ct(day, "20:00")) == ""
    assert in_time(tables, "opt_pc_oi", day, ct(day, "20:00")) != ""
