"""The lake's futures tables as cells of a panel, in the order in which they became known."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.core.arrays import Ints
from hydra_assets.core.instants import DAY_US, EPOCH, column_us
from hydra_assets.core.point_in_time import visible_frontier
from hydra_assets.errors import SchemaError
from hydra_assets.features.futures.panel import HIGH, LOW, OPEN_INTEREST, SETTLEMENT, VOLUME, Panel
from hydra_assets.features.quality import quality_codes

STATISTICS, BARS = "futures_statistics", "futures_bars"
_COLUMNS = {
    STATISTICS: ("instrument", "expiration", "stat", "as_of", "available_at", "value", "is_final", "quality"),
    BARS: ("instrument", "expiration", "as_of", "available_at", "high", "low", "quality"),
}
KINDS = {"settlement": SETTLEMENT, "open_interest": OPEN_INTEREST, "cleared_volume": VOLUME}
Inputs = Mapping[str, pa.Table]


@dataclass(frozen=True)
class Arrivals:
    """Rows as cells of the panel, in order of arrival; arrays of one length."""

    at: Ints
    kind: Ints
    session: Ints
    contract: Ints
    value: np.ndarray
    low: np.ndarray
    word: np.ndarray

    def take(self, rows: np.ndarray) -> "Arrivals":
        return Arrivals(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def _raw(inputs: Inputs) -> dict[str, pa.Table]:
    tables = {}
    for name, columns in _COLUMNS.items():
        if name not in inputs:
            continue
        absent = [column for column in columns if inputs[name].num_rows and column not in inputs[name].column_names]
        if absent:
            raise SchemaError(f"{name}: columns {absent} are missing; it has {inputs[name].column_names}")
        tables[name] = (
            inputs[name].select([*columns, *(c for c in ("stamped_at",) if c in inputs[name].column_names)])
            if (inputs[name].num_rows)
            else inputs[name]
        )
    return tables


def lay_out(inputs: Inputs, *, multiplier: float) -> tuple[Panel, Arrivals] | None:
    """The empty panel of all contracts and sessions in the inputs, and their rows as arrivals; None without rows."""
    tables = {name: table for name, table in _raw(inputs).items() if table.num_rows}
    if not tables:
        return None
    parts = []
    for name, table in tables.items():
        n = table.num_rows
        at = column_us(table["available_at"], what=f"{name}.available_at", rounding="ceil")
        word = quality_codes(table["quality"])
        expiry = column_us(table["expiration"], what=f"{name}.expiration", rounding="floor")
        instrument = table["instrument"].to_numpy(zero_copy_only=False)
        day = column_us(table["as_of"], what=f"{name}.as_of", rounding="floor") // DAY_US
        if name == STATISTICS:
            kind = np.full(n, -1, dtype=np.int64)
            for stat, code in KINDS.items():
                kind[pc.equal(table["stat"], stat).to_numpy(zero_copy_only=False).astype(bool)] = code
            final = table["is_final"].fill_null(False).to_numpy(zero_copy_only=False).astype(bool)
            kind[(kind == SETTLEMENT) & ~final] = -1
            value = _numbers(table["value"])
            value = np.where((kind == SETTLEMENT) & ~(value > 0), np.nan, value)
            low = np.full(n, np.nan)
            stamp = column_us(table["stamped_at"], what="stamped_at", rounding="floor") if "stamped_at" in table.column_names else at
        else:
            kind = np.full(n, HIGH, dtype=np.int64)
            value, low, stamp = _numbers(table["high"]), _numbers(table["low"]), at
            sane = (low > 0) & (value >= low)
            value, low = np.where(sane, value, np.nan), np.where(sane, low, np.nan)
        keep = kind >= 0
        parts.append([column[keep] for column in (at, stamp, kind, day, expiry, instrument, value, low, word)])
    at, stamp, kind, day, expiry, instrument, value, low, word = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    if not len(at):
        return None
    # A contract is its symbol and its expiration: symbols come back after ten years. Hashed, not sorted: there are few of them.
    symbol, symbols = pd.factorize(instrument)
    ends, expirations = pd.factorize(expiry)
    pair, pairs = pd.factorize(symbol * len(expirations) + ends)
    named = [(str(symbols[p // len(expirations)]), int(expirations[p % len(expirations)])) for p in pairs.tolist()]
    by_expiry = sorted(range(len(named)), key=lambda i: (named[i][1], named[i][0]))
    contracts = [named[i] for i in by_expiry]
    contract = np.argsort(np.array(by_expiry))[pair]
    ordinal = day + EPOCH.toordinal()
    panel = Panel(contracts, dt.date.fromordinal(int(ordinal.min())), dt.date.fromordinal(int(ordinal.max())), multiplier)
    session = np.searchsorted(panel.days, ordinal)
    on_session = panel.days[np.minimum(session, len(panel.days) - 1)] == ordinal  # rows of other days are ignored
    arrivals = Arrivals(at, kind, session, contract, value, low, word).take(on_session)
    stamp = stamp[on_session]

    # A print that came late never hides one with a later stamp of the vendor.
    cell = (arrivals.kind * len(panel.days) + arrivals.session) * len(contracts) + arrivals.contract
    order = np.lexsort((stamp, arrivals.at, cell))
    kept = order[visible_frontier(cell[order], stamp[order], arrivals.at[order])]
    return panel, arrivals.take(kept[np.argsort(arrivals.at[kept], kind="stable")])


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    numbers = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def put(panel: Panel, arrivals: Arrivals, i: int) -> None:
    """One arrival becomes known."""
    kind, session, contract = int(arrivals.kind[i]), int(arrivals.session[i]), int(arrivals.contract[i])
    panel.put(kind, session, contract, float(arrivals.value[i]), int(arrivals.word[i]))
    if kind == HIGH:
        panel.put(LOW, session, contract, float(arrivals.low[i]), int(arrivals.word[i]))
