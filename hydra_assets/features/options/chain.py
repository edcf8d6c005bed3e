"""
The option chain: definition, quote, forward, settlement and open interest of each option and day, joined by instrument id and day.

A row exists from the instant at which the option's definition and the final settlement of its own underlying contract are known.
Whatever arrives later (its own settlement, a corrected one, a quote that the vendor mended) gives a further row.
"""

import datetime as dt
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from hydra_assets.core.arrays import Bools, Floats, Ints
from hydra_assets.core.calendar import DEFAULT_CALENDAR, Calendar
from hydra_assets.core.instants import DAY_US, instants
from hydra_assets.core.option_rules import OptionRules
from hydra_assets.core.tables.options import OPTION_CHAIN
from hydra_assets.core.tables.rates import TENORS
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.core.tables.table import QUALITIES
from hydra_assets.errors import SchemaError
from hydra_assets.features.columns import nullable, numbers_at
from hydra_assets.features.limits import WORDS, at_limit, is_locked, sane_limits
from hydra_assets.features.options.chain_rows import INPUTS, LIMITS, RATES, ChainRows, cut_us
from hydra_assets.features.options.curves import rates_of
from hydra_assets.features.quality import DEGRADED, MISSING, NORMAL, PARTIAL, quality_codes
from hydra_assets.features.settlements import standing_settlements
from hydra_assets.features.vintages import changed, require
from hydra_assets.options.american import european_vol
from hydra_assets.options.greeks import greeks
from hydra_assets.options.implied_vol import Status

YEAR_US = 365 * DAY_US
_STATUS = {
    Status.OK: "ok",
    Status.AT_OR_BELOW_EXERCISE_VALUE: "at_or_below_exercise_value",
    Status.AT_OR_ABOVE_BOUND: "at_or_above_bound",
    Status.EXPIRED: "expired",
    Status.INVALID: "invalid",
}
_STATISTICS = ("instrument_id", "stat", "as_of", "available_at", "value", "is_final", "quality")
_COLUMNS = {
    "option_definitions": (
        *("instrument", "instrument_id", "underlying", "underlying_id", "right", "strike", "expiration"),
        *("as_of", "available_at", "tick", "multiplier", "quality"),
    ),
    "option_quotes": ("instrument_id", "as_of", "available_at", "bid", "ask", "quoted_at", "quality"),
    "option_statistics": _STATISTICS,
    "futures_statistics": _STATISTICS,
}
_SOURCES = (
    ("definition", "option_definitions"),
    ("forward", "futures_statistics"),
    ("quote", "option_quotes"),
    ("interest", "option_statistics"),
)
_OPTIONAL = {
    RATES: ("as_of", "available_at", *TENORS),
    LIMITS: ("instrument_id", "as_of", "available_at", "low_limit", "high_limit"),
}


def build_chain(
    inputs: Mapping[str, pa.Table],
    *,
    rules: OptionRules | None = None,
    calendar: Calendar = DEFAULT_CALENDAR,
    start: dt.date | None = None,
    end: dt.date | None = None,
    known_at: dt.datetime | None = None,
) -> pa.Table:
    """
    All vintages of the chain.

    Args:
        inputs: the four tables of `INPUTS` as they lie in the lake, every vintage; and ``rates``. Where no curve is known, options are
            discounted at the flat rate of the rules and are ``partial``; without the input at all, at that rate as it is. And
            ``futures_definitions`` for the price limits: a row whose forward settled at one is ``degraded``.
        rules: the desk's; default the shipped ones.
        calendar: the market's.
        start: earliest ``as_of`` day of the answer.
        end: latest ``as_of`` day of the answer.
        known_at: instant up to which the inputs are whole; default the newest ``available_at`` in each.

    Returns:
        OPTION_CHAIN, in order of day, expiration, strike, right and available_at.

    Raises:
        SchemaError: an input or a column of it is missing.
    """
    rules = rules or OptionRules()
    tables = _validated(inputs)
    for name in ("option_statistics", "futures_statistics"):
        if tables[name].num_rows:
            number = tables[name]["instrument_id"].to_numpy()
            tables[name] = standing_settlements(tables[name], number, calendar, known_at).combine_chunks()
    chain = ChainRows(tables, calendar, rules, start, end)
    if not len(chain.day):
        return OPTION_CHAIN.schema.empty_table()
    row, rank, found = chain.versions()
    tau = (chain.defined.expiration[found["definition"]] - cut_us(chain.day, calendar, rules)[row]) / YEAR_US
    curve = rates_of(tables[RATES], found["rate"], tau)
    rate = np.where(np.isnan(curve), rules.rate, curve)
    flat = np.isnan(curve) & (RATES in inputs)
    table = pa.table(_columns(tables, chain, row, rank, found, tau, rate, flat, rules)).cast(OPTION_CHAIN.schema)
    keep = _different(table, row)
    order = [("as_of", "ascending"), ("expiration", "ascending"), ("strike", "ascending"), ("right", "ascending")]
    return table.filter(pa.array(keep)).sort_by([*order, ("available_at", "ascending")])


def _validated(inputs: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    absent = [name for name in INPUTS if name not in inputs]
    if absent:
        raise SchemaError(f"option_chain: the inputs {absent} are missing; given are {sorted(inputs)}")
    for name in INPUTS:
        require(inputs[name], _COLUMNS[name], name)
    names = (*INPUTS, *_OPTIONAL)
    given = {name: inputs[name] for name in names if name in inputs and inputs[name].num_rows}
    for name in given.keys() & _OPTIONAL.keys():
        require(given[name], _OPTIONAL[name], name)
    return {name: given[name].combine_chunks() if name in given else TABLES[name].schema.empty_table() for name in names}


def _columns(
    tables: Mapping[str, pa.Table],
    chain: ChainRows,
    row: Ints,
    rank: Ints,
    found: Mapping[str, Ints],
    tau: Floats,
    rate: Floats,
    flat: Bools,
    rules: OptionRules,
) -> dict[str, pa.Array]:
    defined, quotes = tables["option_definitions"], tables["option_quotes"]
    d = found["definition"]
    strike, right, tick = chain.defined.strike[d], chain.defined.right[d], defined["tick"].to_numpy()[d]
    settled = numbers_at(tables["futures_statistics"], "value", found["forward"])
    forward = np.where(settled > 0, settled, np.nan)  # a settlement of 0 or less is one, and no volatility is defined on it
    bid, ask = _quote(quotes, found["quote"])
    mid, spread = (bid + ask) / 2, ask - bid
    interest = numbers_at(tables["option_statistics"], "value", found["interest"])
    with np.errstate(invalid="ignore"):
        tight = (spread <= rules.max_spread_pct * mid) | (spread <= rules.max_spread_ticks * tick * (1 + 1e-9))
        liquid = (interest >= rules.min_oi) & tight & np.isfinite(forward)
    low, high = (numbers_at(tables[LIMITS], name, found["limit"]) for name in ("low_limit", "high_limit"))
    before = numbers_at(tables["futures_statistics"], "value", found["before"])
    lock = at_limit(settled, *sane_limits(low, high, before))
    vol, error, status = _vols(mid, spread, forward, strike, tau, right, rate)
    status[settled <= 0] = "nonpositive_forward"
    their_bid, their_ask = _quote(quotes, found["partner"])
    gap = right * (mid - (their_bid + their_ask) / 2) * np.exp(rate * tau) - (settled - strike)
    quality, synthetic = _quality(tables, found)
    quality = np.maximum(quality, np.where(flat, PARTIAL, NORMAL))
    quality = np.maximum(quality, np.where(is_locked(lock), DEGRADED, NORMAL))
    quality = np.where(np.isnan(forward), MISSING, quality)
    take = pa.array(d)
    return {
        **{name: defined[name].take(take) for name in ("instrument", "instrument_id", "underlying", "underlying_id", "right", "strike")},
        "expiration": defined["expiration"].take(take),
        "as_of": instants(chain.day[row] * DAY_US),
        "available_at": instants(chain.vintages.instants[rank]),
        **{name: nullable(values) for name, values in (("bid", bid), ("ask", ask), ("mid", mid), ("spread", spread))},
        "quoted_at": quotes["quoted_at"].take(pa.array(found["quote"], mask=found["quote"] < 0)),
        "forward": nullable(settled),
        "forward_at_limit": pa.array([WORDS[code] for code in lock.tolist()], pa.string()),
        "tau": pa.array(tau),
        "settlement": nullable(numbers_at(tables["option_statistics"], "value", found["settlement"])),
        "open_interest": nullable(interest),
        "liquid": pa.array(liquid),
        "parity_gap": nullable(gap),
        "vol": nullable(vol),
        "vol_error": nullable(error),
        "vol_status": pa.array(status),
        **{name: defined[name].take(take) for name in ("tick", "multiplier")},
        "rate": pa.array(rate),
        "quality": pa.array(QUALITIES).take(pa.array(quality)),
        "synthetic": pa.array(synthetic),
    }


def _quality(tables: Mapping[str, pa.Table], found: Mapping[str, Ints]) -> tuple[Ints, Bools]:
    """The worst quality of each row's sources, and whether one of them is synthetic."""
    n = len(found["definition"])
    quality, synthetic = np.full(n, NORMAL), np.zeros(n, dtype=bool)
    for name, source in _SOURCES:
        table, rows = tables[source], found[name]
        quality = np.maximum(quality, np.where(rows >= 0, _taken(quality_codes(table["quality"]), rows), NORMAL))
        if "synthetic" in table.column_names:
            synthetic |= (rows >= 0) & _taken(table["synthetic"].fill_null(False).to_numpy(zero_copy_only=False), rows).astype(bool)
    return quality, synthetic


def _vols(
    mid: np.ndarray, spread: np.ndarray, forward: np.ndarray, strike: np.ndarray, tau: np.ndarray, right: Ints, rate: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    Volatility of each out-of-the-money mid made European, its standard error, and a status.

    The error is that of a mid whose standard deviation is half the half-spread: with the whole half-spread, intervals of two
    errors hold too often.
    """
    n = len(mid)
    vol, error = np.full(n, np.nan), np.full(n, np.nan)
    status = np.full(n, "ok", dtype="U32")
    with np.errstate(invalid="ignore"):
        status[right * (forward - strike) > 0] = "in_the_money"
    status[np.isnan(mid)] = "no_quote"
    status[np.isnan(forward)] = "no_forward"
    ask = np.flatnonzero(status == "ok")
    # The same option, quote and forward stand in several vintages: computed once.
    codes, inverse = np.unique(np.stack([mid, forward, strike, tau, right, rate])[:, ask], axis=1, return_inverse=True)
    if codes.size:
        q, f, k, t, cp, r = codes
        got = european_vol(q, forward=f, strike=k, tau=t, rate=r, right=cp)
        vega = greeks(f, strike=k, tau=t, rate=r, vol=got.vol, right=cp).vega
        inverse = inverse.reshape(-1)
        vol[ask] = got.vol[inverse]
        error[ask] = spread[ask] / 4 / vega[inverse]
        status[ask] = np.array([_STATUS[Status(code)] for code in got.status], dtype="U32")[inverse]
    unusable = ~np.isfinite(error)
    vol[unusable] = error[unusable] = np.nan
    return vol, error, status


def _different(table: pa.Table, row: Ints) -> np.ndarray:
    """Mask of versions that differ from the one before of their row; they are sorted by row and instant."""
    columns = []
    for name in table.column_names:
        if name == "available_at":
            continue
        column = table[name].combine_chunks()
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.int64()).fill_null(-1)
        elif not pa.types.is_floating(column.type):
            column = column.dictionary_encode().indices
        columns.append(column.to_numpy(zero_copy_only=False))
    return changed(row, *columns)


def _quote(table: pa.Table, rows: Ints) -> tuple[np.ndarray, np.ndarray]:
    """Bid and ask; both NaN unless they are a market: a bid, and an ask above it."""
    bid, ask = numbers_at(table, "bid", rows), numbers_at(table, "ask", rows)
    with np.errstate(invalid="ignore"):
        usable = (bid > 0) & (ask > bid)
    return np.where(usable, bid, np.nan), np.where(usable, ask, np.nan)


def _taken(values: np.ndarray, rows: Ints) -> np.ndarray:
    return values[np.maximum(rows, 0)] if len(values) else np.zeros(len(rows), dtype=values.dtype)
