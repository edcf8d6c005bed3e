"""The lake's futures tables as updates of a panel's cells, in the order in which they became known."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.core.arrays import Floats, Ints
from hydra_assets.core.calendar import Calendar
from hydra_assets.core.instants import column_us
from hydra_assets.core.point_in_time import visible_frontier
from hydra_assets.features.days import date_of, days_of
from hydra_assets.features.family import Inputs
from hydra_assets.features.futures.panel import HIGH, LOW, OPEN_INTEREST, SETTLEMENT, VOLUME, Panel
from hydra_assets.features.quality import quality_codes
from hydra_assets.features.vintages import known_from, require, stamped_at

STATISTICS, BARS = "futures_statistics", "futures_bars"
KINDS = {"settlement": SETTLEMENT, "open_interest": OPEN_INTEREST, "cleared_volume": VOLUME}
_COLUMNS = {
    STATISTICS: ("instrument", "expiration", "stat", "as_of", "available_at", "value", "is_final", "quality"),
    BARS: ("instrument", "expiration", "as_of", "available_at", "high", "low", "quality"),
}


@dataclass(frozen=True)
class Events:
    """
    Updates of cells, in order of arrival; arrays of one length.

    Attributes:
        at: microseconds UTC.
        kind: kind of the cell; a bar is one event of kind HIGH.
        session: position on the panel's axis of sessions.
        contract: position on its axis of contracts.
        value: NaN for a number that was taken back.
        low: the bar's low; NaN for other kinds.
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


def panel_and_events(inputs: Inputs, *, multiplier: float, calendar: Calendar) -> tuple[Panel, Events] | None:
    """
    The empty panel of all contracts and sessions in the inputs, and their rows as events.

    Args:
        inputs: ``futures_statistics`` and ``futures_bars`` as they lie in the lake, every vintage; either may be absent.
        multiplier: dollars per price unit and contract.
        calendar: the market's.

    Returns:
        None without rows.

    Raises:
        SchemaError: a column is missing.
    """
    parts = []
    for name, read in ((STATISTICS, _statistics), (BARS, _bars)):
        if name in inputs and inputs[name].num_rows:
            require(inputs[name], _COLUMNS[name], name)
            parts.append(_common(inputs[name], *read(inputs[name])))
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)] if parts else []
    if not columns or not len(columns[0]):
        return None
    at, stamp, kind, day, expiry, instrument, value, low, quality = columns
    contracts, contract = _contracts(instrument, expiry)
    panel = Panel(contracts, date_of(day.min()), date_of(day.max()), multiplier=multiplier, calendar=calendar)
    session = np.searchsorted(panel.days, day)
    on_session = panel.days[np.minimum(session, len(panel.days) - 1)] == day  # rows of other days are ignored
    events = Events(at, kind, session, contract, value, low, quality).take(on_session)
    stamp = stamp[on_session]

    # A print that came late never hides one with a later stamp of the vendor.
    cell = (events.kind * len(panel.days) + events.session) * len(contracts) + events.contract
    order = np.lexsort((stamp, events.at, cell))
    kept = order[visible_frontier(cell[order], stamp[order], events.at[order])]
    return panel, events.take(kept[np.argsort(events.at[kept], kind="stable")])


def apply(panel: Panel, events: Events, i: int) -> None:
    """Make event *i* known in the panel."""
    kind, session, contract = int(events.kind[i]), int(events.session[i]), int(events.contract[i])
    panel.put(kind, session, contract, float(events.value[i]), int(events.quality[i]))
    if kind == HIGH:
        panel.put(LOW, session, contract, float(events.low[i]), int(events.quality[i]))


def _statistics(table: pa.Table) -> tuple[Ints, Floats, Floats]:
    """Kind (-1 for rows that no feature reads), value and low of each row."""
    kind = np.full(table.num_rows, -1, dtype=np.int64)
    for stat, code in KINDS.items():
        kind[pc.equal(table["stat"], stat).to_numpy(zero_copy_only=False).astype(bool)] = code
    final = table["is_final"].fill_null(False).to_numpy(zero_copy_only=False).astype(bool)
    kind[(kind == SETTLEMENT) & ~final] = -1
    value = _numbers(table["value"])
    return kind, np.where((kind == SETTLEMENT) & ~(value > 0), np.nan, value), np.full(table.num_rows, np.nan)


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
        column_us(table["expiration"], what="expiration", rounding="floor"),
        table["instrument"].to_numpy(zero_copy_only=False),
        value,
        low,
        quality_codes(table["quality"]),
    )
    return [column[kind >= 0] for column in columns]


def _contracts(instrument: np.ndarray, expiry: Ints) -> tuple[list[tuple[str, int]], Ints]:
    """
    The distinct contracts by expiration, and each row's place among them.

    A contract is its symbol and its expiration: symbols come back after ten years. Hashed, not sorted: there are few of them.
    """
    symbol, symbols = pd.factorize(instrument)
    ends, expirations = pd.factorize(expiry)
    pair, pairs = pd.factorize(symbol * len(expirations) + ends)
    named = [(str(symbols[p // len(expirations)]), int(expirations[p % len(expirations)])) for p in pairs.tolist()]
    by_expiry = sorted(range(len(named)), key=lambda i: (named[i][1], named[i][0]))
    return [named[i] for i in by_expiry], np.argsort(np.array(by_expiry))[pair]


def _numbers(column: pa.ChunkedArray) -> Floats:
    numbers = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return np.where(np.isfinite(numbers), numbers, np.nan)
