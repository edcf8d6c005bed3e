"""
The option chain: definition, quote, forward, settlement and open interest of each option and day, joined by instrument id and day.

A row exists from the instant at which the option's definition and the final settlement of its own underlying contract are known.
Whatever arrives later (its own settlement, a corrected one, a quote that the vendor mended) gives a further row.
"""

import datetime as dt
from collections.abc import Mapping
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.core.arrays import Ints
from hydra_assets.core.instants import DAY_US, EPOCH, column_us, instants, to_us
from hydra_assets.core.option_rules import OptionRules
from hydra_assets.core.sessions import session_days
from hydra_assets.core.tables.options import OPTION_CHAIN
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.core.tables.table import QUALITIES
from hydra_assets.errors import SchemaError
from hydra_assets.features.quality import MISSING, NORMAL, quality_codes
from hydra_assets.features.vintages import Arrivals, Known, changed, days_of, require, unique_pairs
from hydra_assets.options.american import european_vol
from hydra_assets.options.greeks import greeks
from hydra_assets.options.implied_vol import Status

INPUTS = ("option_definitions", "option_quotes", "option_statistics", "futures_statistics")
CHICAGO = ZoneInfo("America/Chicago")
YEAR_US = 365 * DAY_US
MINUTE_US = 60_000_000
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


def cut_us(days: Ints, rules: OptionRules) -> Ints:
    """The instant of the quotes' cut on each day since 1970, in microseconds UTC."""
    distinct, inverse = np.unique(days, return_inverse=True)
    cuts = [to_us(dt.datetime.combine(EPOCH.date() + dt.timedelta(int(day)), rules.cut_time, CHICAGO)) for day in distinct]
    return np.array(cuts, dtype=np.int64)[inverse] if len(days) else np.zeros(0, dtype=np.int64)


def build_chain(
    inputs: Mapping[str, pa.Table], *, rules: OptionRules | None = None, start: dt.date | None = None, end: dt.date | None = None
) -> pa.Table:
    """
    All vintages of the chain.

    Args:
        inputs: the four tables of `INPUTS` as they lie in the lake, every vintage.
        rules: the desk's; default the shipped ones.
        start, end: inclusive days of the answer's ``as_of``.
    Returns:
        OPTION_CHAIN, in order of day, expiration, strike, right and available_at.
    """
    rules = rules or OptionRules()
    tables = _checked(inputs)
    options = _Options(tables, rules, start, end)
    if not len(options.day):
        return OPTION_CHAIN.schema.empty_table()
    row, rank, found = options.versions()
    columns = _columns(tables, options, row, rank, found, rules)
    table = pa.table(columns).cast(OPTION_CHAIN.schema)
    keep = _different(table, row)
    order = [("as_of", "ascending"), ("expiration", "ascending"), ("strike", "ascending"), ("right", "ascending")]
    return table.filter(pa.array(keep)).sort_by([*order, ("available_at", "ascending")])


def _checked(inputs: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    absent = [name for name in INPUTS if name not in inputs]
    if absent:
        raise SchemaError(f"option_chain: the inputs {absent} are missing; given are {sorted(inputs)}")
    for name in INPUTS:
        require(inputs[name], _COLUMNS[name], name)
    return {name: inputs[name].combine_chunks() if inputs[name].num_rows else TABLES[name].schema.empty_table() for name in INPUTS}


class _Options:
    """
    The rows of the chain: one an option and day, and the cells that each is made of.

    Attributes:
        day: day since 1970. cells: name of the input to the cell of each row in it, -1 for none.
    """

    def __init__(self, tables: Mapping[str, pa.Table], rules: OptionRules, start: dt.date | None, end: dt.date | None) -> None:
        defined = tables["option_definitions"]
        self.defined = _Defined(defined)
        kept = self._kept(rules, start, end)
        code = self.defined.number[kept] * 100_000 + self.defined.day[kept]
        self._codes = np.unique(code)
        self.day = self._codes % 100_000
        row_of = np.searchsorted(self._codes, code)
        # Identity (which strike, which future) by the first definition of the day: what stood when it was first known.
        seen = column_us(defined["available_at"], what="available_at", rounding="ceil")[kept]
        self.first = kept[_earliest(row_of, seen, len(self.day))]

        quotes, statistics, futures = (tables[name] for name in INPUTS[1:])
        every = np.arange(len(self.day))
        underlying, future = self._futures(futures)
        self.cells = {
            "definition": every,
            "quote": every,
            "interest": every,
            "settlement": every,
            "forward": underlying,
            "partner": self._partners(),
        }
        arrivals = {
            "definition": Arrivals.of(defined, row_of, kept),
            "quote": self._mine(quotes, np.arange(quotes.num_rows)),
            "interest": self._mine(statistics, _stat(statistics, "open_interest"), after=True),
            "settlement": self._mine(statistics, _stat(statistics, "settlement")),
            "forward": future,
        }
        self.known = Known({**arrivals, "partner": arrivals["quote"]})

    def _kept(self, rules: OptionRules, start: dt.date | None, end: dt.date | None) -> Ints:
        """Definitions of sessions in the range, of options that still live at the cut."""
        d = self.defined
        day = d.day
        keep = np.ones(len(day), dtype=bool)
        if start is not None:
            keep &= day >= (start - EPOCH.date()).days
        if end is not None:
            keep &= day <= (end - EPOCH.date()).days
        if not keep.any():
            return np.zeros(0, dtype=np.int64)
        low, high = (EPOCH.date() + dt.timedelta(int(x)) for x in (day[keep].min(), day[keep].max()))
        sessions = np.array([(s - EPOCH.date()).days for s in session_days(low, high)], dtype=np.int64)
        keep &= np.isin(day, sessions) & (d.expiration > cut_us(day, rules)) & (d.right != 0)
        return np.flatnonzero(keep)

    def _mine(self, table: pa.Table, rows: Ints, *, after: bool = False) -> Arrivals:
        """Those *rows* of *table* that belong to a row of the chain: of its day, or of the session before it (*after*)."""
        day = days_of(table)[rows]
        code = table["instrument_id"].to_numpy()[rows] * 100_000 + (next_sessions(day) if after else day)
        place = _place(self._codes, code)
        return Arrivals.of(table, place[place >= 0], rows[place >= 0])

    def _futures(self, table: pa.Table) -> tuple[Ints, Arrivals]:
        """Each row's cell of its underlying contract's final settlement, and the arrivals in those cells."""
        rows = _stat(table, "settlement")
        code = table["instrument_id"].to_numpy()[rows] * 100_000 + days_of(table)[rows]
        contracts, cell = np.unique(code, return_inverse=True)
        wanted = self.defined.underlying[self.first] * 100_000 + self.day
        return _place(contracts, wanted), Arrivals.of(table, cell.astype(np.int64), rows)

    def _partners(self) -> Ints:
        """The option of the other right at the same strike, expiration, future and day; -1 where none is listed."""
        d, first = self.defined, self.first
        keys = (d.expiration[first], d.underlying[first], d.strike[first], self.day)
        pair = np.zeros(len(first), dtype=np.int64)
        for key in keys:
            pair = np.unique(np.stack([pair, np.unique(key, return_inverse=True)[1]]), axis=1, return_inverse=True)[1].reshape(-1)
        partner = np.full(len(first), -1, dtype=np.int64)
        calls, puts = (np.flatnonzero(d.right[first] == right) for right in (1, -1))
        for ours, theirs in ((calls, puts), (puts, calls)):
            order = theirs[np.argsort(pair[theirs], kind="stable")]
            place = np.searchsorted(pair[order], pair[ours])
            fits = place < len(order)
            fits[fits] = pair[order][place[fits]] == pair[ours][fits]
            partner[ours[fits]] = order[place[fits]]
        return partner

    def versions(self) -> tuple[Ints, Ints, dict[str, Ints]]:
        """Every (row, instant) at which something of the row arrived since it was ready; and the input rows known then."""
        found = [self.known.events(name, cells) for name, cells in self.cells.items()]
        row, rank = unique_pairs(np.concatenate([r for r, _ in found]), np.concatenate([k for _, k in found]))
        rows = {name: self.known.newest(name, cells[row], rank) for name, cells in self.cells.items()}
        whole = (rows["definition"] >= 0) & (rows["forward"] >= 0)
        ready = np.full(len(self.day), np.iinfo(np.int64).max)
        np.minimum.at(ready, row[whole], rank[whole])
        live = rank >= ready[row]
        return row[live], rank[live], {name: r[live] for name, r in rows.items()}


class _Defined:
    """The definitions' columns as arrays."""

    def __init__(self, table: pa.Table) -> None:
        self.number = table["instrument_id"].to_numpy()
        self.underlying = table["underlying_id"].to_numpy()
        self.day = days_of(table)
        self.strike = table["strike"].to_numpy()
        self.expiration = column_us(table["expiration"], what="expiration", rounding="floor") // MINUTE_US * MINUTE_US
        right = table["right"].to_numpy(zero_copy_only=False)
        self.right = np.where(right == "C", 1, np.where(right == "P", -1, 0))


def _columns(
    tables: Mapping[str, pa.Table], options: _Options, row: Ints, rank: Ints, found: Mapping[str, Ints], rules: OptionRules
) -> dict[str, pa.Array]:
    defined, quotes = tables["option_definitions"], tables["option_quotes"]
    d = found["definition"]
    strike, right, expiration = options.defined.strike[d], options.defined.right[d], options.defined.expiration[d]
    tick, day = defined["tick"].to_numpy()[d], options.day[row]
    forward = _numbers(tables["futures_statistics"], "value", found["forward"])
    forward = np.where(forward > 0, forward, np.nan)
    bid, ask = _quote(quotes, found["quote"])
    mid, spread = (bid + ask) / 2, ask - bid
    interest = _numbers(tables["option_statistics"], "value", found["interest"])
    tau = (expiration - cut_us(day, rules)) / YEAR_US
    with np.errstate(invalid="ignore"):
        tight = (spread <= rules.max_spread_pct * mid) | (spread <= rules.max_spread_ticks * tick * (1 + 1e-9))
        liquid = (interest >= rules.min_oi) & tight & np.isfinite(forward)
    vol, error, status = _vols(mid, spread, forward, strike, tau, right, rules.rate)
    their_bid, their_ask = _quote(quotes, found["partner"])
    gap = right * (mid - (their_bid + their_ask) / 2) * np.exp(rules.rate * tau) - (forward - strike)
    words = np.full(len(row), NORMAL, dtype=np.int8)
    synthetic = np.zeros(len(row), dtype=bool)
    for name, source in _SOURCES:
        table, rows = tables[source], found[name]
        words = np.maximum(words, np.where(rows >= 0, _taken(quality_codes(table["quality"]), rows), NORMAL))
        if "synthetic" in table.column_names:
            synthetic |= (rows >= 0) & _taken(table["synthetic"].fill_null(False).to_numpy(zero_copy_only=False), rows).astype(bool)
    words = np.where(np.isnan(forward), MISSING, words)
    take = pa.array(d)
    return {
        **{name: defined[name].take(take) for name in ("instrument", "instrument_id", "underlying", "underlying_id", "right", "strike")},
        "expiration": defined["expiration"].take(take),
        "as_of": instants(day * DAY_US),
        "available_at": instants(options.known.instants[rank]),
        **{name: _nullable(values) for name, values in (("bid", bid), ("ask", ask), ("mid", mid), ("spread", spread))},
        "quoted_at": quotes["quoted_at"].take(pa.array(found["quote"], mask=found["quote"] < 0)),
        "forward": _nullable(forward),
        "tau": pa.array(tau),
        "settlement": _nullable(_numbers(tables["option_statistics"], "value", found["settlement"])),
        "open_interest": _nullable(interest),
        "liquid": pa.array(liquid),
        "parity_gap": _nullable(gap),
        "vol": _nullable(vol),
        "vol_error": _nullable(error),
        "vol_status": pa.array(status),
        **{name: defined[name].take(take) for name in ("tick", "multiplier")},
        "rate": pa.array(np.full(len(row), rules.rate)),
        "quality": pa.array(QUALITIES).take(pa.array(words.astype(np.int64))),
        "synthetic": pa.array(synthetic),
    }


_SOURCES = (
    ("definition", "option_definitions"),
    ("forward", "futures_statistics"),
    ("quote", "option_quotes"),
    ("interest", "option_statistics"),
)


def _vols(
    mid: np.ndarray, spread: np.ndarray, forward: np.ndarray, strike: np.ndarray, tau: np.ndarray, right: Ints, rate: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    Volatility of each out-of-the-money mid made European, its standard error, and a word on it.

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
    codes, inverse = np.unique(np.stack([mid, forward, strike, tau, right])[:, ask], axis=1, return_inverse=True)
    if codes.size:
        q, f, k, t, cp = codes
        got = european_vol(q, forward=f, strike=k, tau=t, rate=rate, right=cp)
        vega = greeks(f, strike=k, tau=t, rate=rate, vol=got.vol, right=cp).vega
        inverse = inverse.reshape(-1)
        vol[ask] = got.vol[inverse]
        error[ask] = spread[ask] / 4 / vega[inverse]
        status[ask] = np.array([_STATUS[Status(code)] for code in got.status], dtype="U32")[inverse]
    unusable = ~np.isfinite(error)
    vol[unusable] = error[unusable] = np.nan
    return vol, error, status


def _different(table: pa.Table, row: Ints) -> np.ndarray:
    """Versions that say something new of their row; they come sorted by row and instant."""
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


def next_sessions(days: Ints) -> Ints:
    """The session after each day."""
    distinct, inverse = np.unique(days, return_inverse=True)
    if not len(distinct):
        return days
    low, high = (EPOCH.date() + dt.timedelta(int(day)) for day in (distinct[0], distinct[-1]))
    sessions = np.array([(s - EPOCH.date()).days for s in session_days(low, high + dt.timedelta(14))], dtype=np.int64)
    return np.asarray(sessions[np.searchsorted(sessions, distinct, side="right")][inverse])


def _stat(table: pa.Table, stat: str) -> Ints:
    """Rows of *stat*; of settlements the final ones alone."""
    chosen = pc.equal(table["stat"], stat)
    if stat == "settlement":
        chosen = pc.and_(chosen, table["is_final"].fill_null(False))
    return np.flatnonzero(chosen.fill_null(False).to_numpy(zero_copy_only=False).astype(bool))


def _place(codes: Ints, wanted: Ints) -> Ints:
    """Position of each of *wanted* in the sorted, distinct *codes*; -1 where it is not among them."""
    if not len(codes):
        return np.full(len(wanted), -1, dtype=np.int64)
    place = np.minimum(np.searchsorted(codes, wanted), len(codes) - 1)
    return np.where(codes[place] == wanted, place, -1)


def _quote(table: pa.Table, rows: Ints) -> tuple[np.ndarray, np.ndarray]:
    """Bid and ask; both NaN unless they are a market: a bid, and an ask above it."""
    bid, ask = _numbers(table, "bid", rows), _numbers(table, "ask", rows)
    with np.errstate(invalid="ignore"):
        usable = (bid > 0) & (ask > bid)
    return np.where(usable, bid, np.nan), np.where(usable, ask, np.nan)


def _numbers(table: pa.Table, name: str, rows: Ints) -> np.ndarray:
    if not table.num_rows:
        return np.full(len(rows), np.nan)
    values = table[name].cast(pa.float64()).to_numpy(zero_copy_only=False)[np.maximum(rows, 0)]
    return np.where((rows >= 0) & np.isfinite(values), values, np.nan)


def _taken(values: np.ndarray, rows: Ints) -> np.ndarray:
    return values[np.maximum(rows, 0)] if len(values) else np.zeros(len(rows), dtype=values.dtype)


def _nullable(values: np.ndarray) -> pa.Array:
    return pa.array(values, mask=np.isnan(values))


def _earliest(group: Ints, at: Ints, groups: int) -> Ints:
    """Position of the earliest element of each group."""
    order = np.lexsort((at, group))
    first = np.r_[True, group[order][1:] != group[order][:-1]] if len(order) else np.zeros(0, dtype=bool)
    answer = np.zeros(groups, dtype=np.int64)
    answer[group[order][first]] = order[first]
    return answer
