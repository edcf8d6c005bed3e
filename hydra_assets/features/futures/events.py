"""The lake's futures tables as updates of a panel's cells, in the order in which they became known."""

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.core.arrays import Floats, Ints
from hydra_assets.core.calendar import Calendar
from hydra_assets.core.instants import DAY_US, column_us
from hydra_assets.core.point_in_time import visible_frontier
from hydra_assets.features.cash.index import CASH_HOGS, cash_days
from hydra_assets.features.columns import numbers_at
from hydra_assets.features.days import date_of, days_of
from hydra_assets.features.family import Inputs
from hydra_assets.features.futures.cash_events import cash_updates
from hydra_assets.features.futures.panel import CASH, EXPIRATION, HIGH, LIMIT_HIGH, OPEN_INTEREST, PAIRED, SETTLEMENT, VOLUME, Panel
from hydra_assets.features.quality import quality_codes
from hydra_assets.features.settlements import standing_settlements
from hydra_assets.features.vintages import CellVintages, known_from, place_among, require, stamped_at
from hydra_assets.lazy import lazy

pd = lazy("pandas")

_MOVED_US = 31 * DAY_US  # expirations of one symbol that are no further apart are those of one contract
_TWO_DIGITS = re.compile(r"([FGHJKMNQUVXZ])[0-9]([0-9])$")
STATISTICS, BARS, DEFINITIONS = "futures_statistics", "futures_bars", "futures_definitions"
KINDS = {"settlement": SETTLEMENT, "open_interest": OPEN_INTEREST, "cleared_volume": VOLUME}
_COLUMNS = {
    STATISTICS: ("instrument", "expiration", "stat", "as_of", "available_at", "value", "is_final", "quality"),
    BARS: ("instrument", "expiration", "as_of", "available_at", "high", "low", "quality"),
    DEFINITIONS: ("instrument", "expiration", "as_of", "available_at", "low_limit", "high_limit"),
}


@dataclass(frozen=True)
class Events:
    """
    Updates of cells, in order of arrival; arrays of one length.

    Attributes:
        at: microseconds UTC.
        kind: kind of the cell; a bar is one event of kind HIGH, both limits are one of kind LIMIT_HIGH. EXPIRATION: the print states
            another expiration than the one before.
        session: position on the panel's axis of sessions.
        contract: position on its axis of contracts.
        value: NaN for a number that was taken back; an expiration in microseconds UTC.
        low: the bar's low, or the lower limit; of an EXPIRATION the kind of the print; NaN for other kinds.
        quality: of the row.
    """

    at: Ints
    kind: Ints
    session: Ints
    contract: Ints
    value: Floats
    low: Floats
    quality: Ints

    def take(self, rows: np.ndarray) -> "Events":
        """The events at *rows* (positions or a mask)."""
        return Events(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def panel_and_events(
    inputs: Inputs, *, multiplier: float, calendar: Calendar, known_at: dt.datetime | None = None, negotiated_formula: bool = False
) -> tuple[Panel, Events] | None:
    """
    The empty panel of all contracts and sessions in the inputs, and their rows as events.

    Args:
        inputs: ``futures_statistics``, ``futures_bars`` and ``cash_hogs`` as they lie in the lake, every vintage; each may be absent. Of
            ``futures_definitions``, where they are given, the price limits of these contracts and sessions.
        multiplier: dollars per price unit and contract.
        calendar: the market's.
        known_at: instant up to which *inputs* are whole; default the newest ``available_at`` in them.
        negotiated_formula: whether the cash index counts that purchase type.

    Returns:
        None without rows of futures.

    Raises:
        SchemaError: a column is missing.
    """
    parts = []
    for name, read in ((STATISTICS, _statistics), (BARS, _bars)):
        if name in inputs and inputs[name].num_rows:
            require(inputs[name], _COLUMNS[name], name)
            table = inputs[name]
            if name == STATISTICS:
                table = standing_settlements(table, distinct_contracts(*names_of_rows(table), known_from(table))[1], calendar, known_at)
            parts.append(_common(table, *read(table)))
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)] if parts else []
    if not columns or not len(columns[0]):
        return None
    at, stamp, kind, day, expiry, instrument, value, low, quality = columns
    contracts, contract = distinct_contracts(instrument, expiry, at)
    panel = Panel(contracts, date_of(day.min()), date_of(day.max()), multiplier=multiplier, calendar=calendar)
    session = np.searchsorted(panel.days, day)
    on_session = panel.days[np.minimum(session, len(panel.days) - 1)] == day  # rows of other days are ignored
    events = Events(at, kind, session, contract, value, low, quality).take(on_session)
    stamp, expiry = stamp[on_session], expiry[on_session]

    # A print that came late never hides one with a later stamp of the vendor.
    cell = (events.kind * len(panel.days) + events.session) * len(contracts) + events.contract
    order = np.lexsort((stamp, events.at, cell))
    kept = order[visible_frontier(cell[order], stamp[order], events.at[order])]
    events = _with_expirations(events, expiry, contracts, kept)
    if CASH_HOGS in inputs:
        events = _joined(events, _cash(inputs[CASH_HOGS], panel, negotiated_formula))
    if DEFINITIONS in inputs and {"low_limit", "high_limit"} <= set(inputs[DEFINITIONS].column_names):
        events = _joined(events, _limits(inputs[DEFINITIONS], panel))
    return panel, events.take(np.argsort(events.at, kind="stable"))


def _limits(table: pa.Table, panel: Panel) -> Events:
    """Price limits of the panel's contracts and sessions."""
    require(table, _COLUMNS[DEFINITIONS], DEFINITIONS)
    contract, session = contracts_of(table, panel.contracts), place_among(panel.days, days_of(table))
    rows = np.flatnonzero((contract >= 0) & (session >= 0))
    stated = CellVintages.of(table, session[rows] * len(panel.contracts) + contract[rows], rows)
    low, high = (numbers_at(table, name, stated.row) for name in ("low_limit", "high_limit"))
    kind, quality = np.full(len(stated.row), LIMIT_HIGH), np.zeros(len(stated.row), dtype=np.int64)
    return Events(stated.at, kind, session[stated.row], contract[stated.row], high, low, quality)


def contracts_of(table: pa.Table, contracts: Sequence[tuple[str, int]]) -> Ints:
    """Place of each row's contract among *contracts* (symbol, expiration as first stated); -1 for one that is not among them."""
    instrument, expiry = names_of_rows(table)
    spelt, spellings = pd.factorize(instrument)
    ends, expirations = pd.factorize(expiry)
    pair, pairs = pd.factorize(spelt * max(len(expirations), 1) + ends)
    by_symbol: dict[str, list[tuple[int, int]]] = {}
    for place, (symbol, end) in enumerate(contracts):
        by_symbol.setdefault(symbol, []).append((end, place))
    found = []
    for code in pairs.tolist():
        spelling, end = spellings[code // len(expirations)], int(expirations[code % len(expirations)])
        near = [(abs(other - end), place) for other, place in by_symbol.get(one_digit_year(str(spelling)), ())]
        found.append(min((each for each in near if each[0] <= _MOVED_US), default=(0, -1))[1])
    return np.array(found, dtype=np.int64)[pair] if len(pair) else np.zeros(0, dtype=np.int64)


def _cash(table: pa.Table, panel: Panel, negotiated_formula: bool) -> Events:
    """The cash index that counts on each session of the panel, at every change."""
    at, session, value, quality = cash_updates(cash_days(table, negotiated_formula=negotiated_formula), panel.days)
    n = len(at)
    return Events(at, np.full(n, CASH), session, np.zeros(n, dtype=np.int64), value, np.full(n, np.nan), quality)


def _joined(*parts: Events) -> Events:
    return Events(*(np.concatenate([getattr(part, name) for part in parts]) for name in Events.__dataclass_fields__))


def _with_expirations(events: Events, expiry: Ints, contracts: list[tuple[str, int]], kept: Ints) -> Events:
    """The *kept* events, behind those by which a contract's expiration becomes another one."""
    corrected = np.flatnonzero(expiry != np.array([at for _, at in contracts])[events.contract])
    corrected = np.flatnonzero(np.isin(events.contract, np.unique(events.contract[corrected])) & (events.kind != HIGH))
    corrected = corrected[np.lexsort((expiry[corrected], events.at[corrected]))]
    kinds = events.kind[corrected]
    stated = replace(
        events.take(corrected), kind=np.full(len(corrected), EXPIRATION), value=expiry[corrected].astype(float), low=kinds.astype(float)
    )
    return _joined(stated, events.take(kept))


def apply(panel: Panel, events: Events, i: int) -> None:
    """Make event *i* known in the panel."""
    kind, session, contract = int(events.kind[i]), int(events.session[i]), int(events.contract[i])
    if kind == EXPIRATION:
        panel.state_expiration(session, contract, int(events.value[i]))
        return
    panel.put(kind, session, contract, float(events.value[i]), int(events.quality[i]))
    if kind in PAIRED:
        panel.put(PAIRED[kind], session, contract, float(events.low[i]), int(events.quality[i]))


def _statistics(table: pa.Table) -> tuple[Ints, Floats, Floats]:
    """Kind (-1 for rows that no feature reads), value and low of each row."""
    kind = np.full(table.num_rows, -1, dtype=np.int64)
    for stat, code in KINDS.items():
        kind[pc.equal(table["stat"], stat).to_numpy(zero_copy_only=False).astype(bool)] = code
    return kind, _numbers(table["value"]), np.full(table.num_rows, np.nan)


def _bars(table: pa.Table) -> tuple[Ints, Floats, Floats]:
    value, low = _numbers(table["high"]), _numbers(table["low"])
    sane = (low > 0) & (value >= low)
    return np.full(table.num_rows, HIGH, dtype=np.int64), np.where(sane, value, np.nan), np.where(sane, low, np.nan)


def _common(table: pa.Table, kind: Ints, value: Floats, low: Floats) -> list[np.ndarray]:
    """at, stamp, kind, day, expiration, instrument, value, low and quality of the rows that have a kind."""
    columns = (
        known_from(table),
        stamped_at(table),
        kind,
        days_of(table),
        *reversed(names_of_rows(table)),
        value,
        low,
        quality_codes(table["quality"]),
    )
    return [column[kind >= 0] for column in columns]


def names_of_rows(table: pa.Table) -> tuple[np.ndarray, Ints]:
    """Symbol and expiration (microseconds UTC) of each row."""
    return table["instrument"].to_numpy(zero_copy_only=False), column_us(table["expiration"], what="expiration", rounding="floor")


def distinct_contracts(instrument: np.ndarray, expiry: Ints, at: Ints) -> tuple[list[tuple[str, int]], Ints]:
    """
    The distinct contracts by the expiration first stated of each, and each row's place among them.

    A contract is its symbol and its delivery: symbols come back after ten years, years are spelt with one digit or two, and a
    listed contract's last hour or day may be moved.
    """
    spelt, spellings = pd.factorize(instrument)
    symbol, symbols = pd.factorize(np.array([one_digit_year(str(spelling)) for spelling in spellings]))
    ends, expirations = pd.factorize(expiry)
    pair, pairs = pd.factorize(symbol[spelt] * len(expirations) + ends)
    named = np.stack([pairs // len(expirations), np.asarray(expirations)[pairs % len(expirations)]])
    order = np.lexsort(named[::-1])
    new = np.diff(named[0][order], prepend=-1) != 0
    new |= np.diff(named[1][order], prepend=0) > _MOVED_US
    delivery = np.empty(len(order), dtype=np.int64)
    delivery[order] = np.cumsum(new) - 1
    row = delivery[pair]
    first = np.lexsort((expiry, at, row))  # the earliest row of each delivery
    first = first[np.diff(row[first], prepend=-1) != 0]
    contracts = [(str(symbols[s]), int(e)) for s, e in zip(symbol[spelt[first]].tolist(), expiry[first].tolist(), strict=True)]
    by_expiry = sorted(range(len(contracts)), key=lambda i: (contracts[i][1], contracts[i][0]))
    return [contracts[i] for i in by_expiry], np.argsort(np.array(by_expiry))[row]


def one_digit_year(symbol: str) -> str:
    """
    The raw symbol with the last digit of its year alone.

    >>> one_digit_year("HEZ25"), one_digit_year("HEZ5")
    ('HEZ5', 'HEZ5')
    """
    return _TWO_DIGITS.sub(r"\1\2", symbol)


def _numbers(column: pa.ChunkedArray) -> Floats:
    numbers = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return np.where(np.isfinite(numbers), numbers, np.nan)
