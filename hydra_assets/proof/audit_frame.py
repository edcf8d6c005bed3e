"""Audit of a user's own frame: numbers that were not yet known at their row's time, and the right ones."""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from hydra_assets.core.instants import DAY_US, INSTANT, column_us, from_us, instants
from hydra_assets.errors import UnknownFeatureError
from hydra_assets.proof.naive import NaivePick, naive_pick
from hydra_assets.proof.user_frame import UserFrame, feature_columns, user_frame
from hydra_assets.storage.store import FeatureStore

TOLERANCE = 1e-9
_NOISE = 1e-15  # absolute tolerance around zero
Verdict = Literal["passed", "failed", "unproven"]


@dataclass(frozen=True)
class Cell:
    """
    A number that was used before it was available.

    Attributes:
        feature: the column.
        time: instant of the row.
        market: of the row.
        value: the number in the frame.
        right: the value known at *time*; None if none was.
        row: position in the frame, from 0.
        as_of: of the vintage with this number; the one available first, of several.
        available_at: of the same vintage.
        early_days: days from *time* to ``available_at``.
    """

    feature: str
    time: dt.datetime
    market: str
    value: float
    right: float | None
    row: int
    as_of: dt.datetime
    available_at: dt.datetime
    early_days: float


@dataclass(frozen=True)
class FeatureAudit:
    """
    Counts of one feature's column.

    Attributes:
        feature: the column.
        cells: number of values.
        right: number of values known at their row's time.
        early: number of values not yet available.
        stale: number of values that were available and not the newest.
        unknown: number of values of no vintage of the store.
        null: number of empty cells.
        naive_values: number of values that a join by ``as_of`` alone would have used too early at these rows.
        naive_days: number of days with such a value.
        naive_worst_days: largest number of days by which one was early.
    """

    feature: str
    cells: int
    right: int
    early: int
    stale: int
    unknown: int
    null: int
    naive_values: int
    naive_days: int
    naive_worst_days: float


@dataclass(frozen=True)
class FrameAudit:
    """
    Result of an audit.

    Attributes:
        rows: number of rows.
        cells: every number used before it was available, by row.
        features: counts of each column.
        ignored: columns that are no features of the store.
    """

    rows: int
    cells: tuple[Cell, ...]
    features: tuple[FeatureAudit, ...]
    ignored: tuple[str, ...]

    @property
    def verdict(self) -> Verdict:
        """``unproven`` if no number of the frame equals one of the store, so that nothing can be said."""
        if self.cells:
            return "failed"
        return "passed" if any(feature.right + feature.stale for feature in self.features) else "unproven"

    def to_arrow(self) -> pa.Table:
        """The cells as a table."""
        kinds = {"feature": pa.string(), "time": INSTANT, "market": pa.string(), "value": pa.float64(), "right": pa.float64()}
        kinds |= {"row": pa.int64(), "as_of": INSTANT, "available_at": INSTANT, "early_days": pa.float64()}
        return pa.table({name: pa.array([getattr(cell, name) for cell in self.cells], kind) for name, kind in kinds.items()})


def audit(
    frame: Any,
    store: FeatureStore | None = None,
    *,
    time: str = "time",
    market: str = "market",
    features: Sequence[str] | None = None,
    tolerance: float = TOLERANCE,
    timezone: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> FrameAudit:
    """
    Look for lookahead in a frame that was made elsewhere.

    A number counts as early if it is not the right one for its row and equals, within the tolerance, a vintage that became
    available only later. If it also equals an older vintage, the majority of the column's unambiguous numbers, early or stale,
    decides. A number of no vintage counts as unknown, never as early.

    Args:
        frame: pandas, Arrow, polars; one row a market and instant.
        store: to audit against; default the home's (`hydra_assets.open`).
        time: the column (or pandas index) of aware instants, at which each row was used.
        market: the column of markets, or, where there is none of that name, the market of all rows.
        features: columns to audit; default every column that is a feature.
        tolerance: relative; a frame that was rounded needs a wider one. Columns of 32 bits get at least 5e-7.
        timezone: zone of naive instants; without it they are refused.
        progress: called with the name of each feature before its audit.

    Raises:
        SchemaError: a missing, duplicate or non-numeric column.
        InvalidTimeError: a naive, null or unreadable instant.
        InvalidValueError: a row without a market.
        UnknownFeatureError: the store holds no features of a market.
    """
    rows = user_frame(frame, time=time, market=market, timezone=timezone)
    if store is None:
        from hydra_assets.desk import open as open_desk

        with open_desk() as desk:
            return _audited(rows, desk.store, {time, market}, features, tolerance, progress)
    return _audited(rows, store, {time, market}, features, tolerance, progress)


def _audited(
    rows: UserFrame,
    store: FeatureStore,
    beside: set[str],
    features: Sequence[str] | None,
    tolerance: float,
    progress: Callable[[str], None] | None,
) -> FrameAudit:
    markets = sorted(set(rows.markets))
    for symbol in markets:
        if not store.features(symbol):
            raise UnknownFeatureError(
                f"the store ({store.world} world) holds no features of market {symbol!r}; name the column of markets, or a market"
                f" that it knows, with market= (--market), or another store"
            )
    names = feature_columns(rows, store.features(*markets) if markets else store.features(), features)
    places = {symbol: np.flatnonzero(np.array(rows.markets, dtype=object) == symbol) for symbol in markets}
    pairs = pa.table({"market": pa.array(rows.markets, pa.string()), "time": instants(rows.times)})
    cells: list[Cell] = []
    counts = []
    for name in names:
        if progress is not None:
            progress(name)
        numbers, precision = rows.numbers(name)
        right = store.get_training_frame(pairs, features=[name])[name].to_numpy(zero_copy_only=False).astype(float)
        columns = []
        for symbol, at in places.items():
            column = _column(store, symbol, name, rows.times[at], numbers[at], right[at], at, max(tolerance, precision))
            columns.append((rows.times[at], column))
        cells += [cell for _, column in columns for cell in column.cells]
        counts.append(_counts(name, numbers, columns))
    cells.sort(key=lambda cell: (cell.row, names.index(cell.feature)))
    ignored = [name for name in rows.names if name not in names and name not in beside]
    return FrameAudit(len(rows.times), tuple(cells), tuple(counts), tuple(ignored))


@dataclass(frozen=True)
class _Column:
    """Counts of one feature in one market, its early cells, and the choice of the naive join."""

    cells: list[Cell]
    right: int
    stale: int
    naive: NaivePick


def _column(
    store: FeatureStore,
    market: str,
    name: str,
    times: np.ndarray,
    numbers: np.ndarray,
    right: np.ndarray,
    places: np.ndarray,
    tolerance: float,
) -> _Column:
    vintages = store.vintages(market, [name])
    as_of, available = column_us(vintages["as_of"], what="as_of"), column_us(vintages["available_at"], what="available_at")
    value = vintages["value"].to_numpy(zero_copy_only=False).astype(float)
    order = np.flatnonzero(np.isfinite(value))
    order = order[np.argsort(value[order], kind="stable")]
    held = value[order]
    with np.errstate(invalid="ignore"):
        fits = np.isfinite(numbers) & (np.abs(numbers - right) <= tolerance * np.maximum(np.abs(numbers), np.abs(right)) + _NOISE)
    wrong = np.flatnonzero(np.isfinite(numbers) & ~fits)
    margin = tolerance * np.abs(numbers[wrong]) + _NOISE
    low, high = np.searchsorted(held, numbers[wrong] - margin, "left"), np.searchsorted(held, numbers[wrong] + margin, "right")
    early: list[tuple[int, int]] = []  # position in the column, vintage
    ambiguous: list[tuple[int, int]] = []
    stale = 0
    for i, a, b in zip(wrong.tolist(), low.tolist(), high.tolist(), strict=True):
        same = order[a:b]
        later = same[available[same] > times[i]]
        if len(later):
            first = int(later[np.argmin(available[later])])
            (early if len(later) == len(same) else ambiguous).append((i, first))
        elif len(same):
            stale += 1
    if len(early) >= stale:
        early += ambiguous
    else:
        stale += len(ambiguous)
    cells = [
        Cell(
            feature=name,
            time=from_us(times[i]),
            market=market,
            value=float(numbers[i]),
            right=None if np.isnan(right[i]) else float(right[i]),
            row=int(places[i]),
            as_of=from_us(as_of[v]),
            available_at=from_us(available[v]),
            early_days=float(available[v] - times[i]) / DAY_US,
        )
        for i, v in early
    ]
    return _Column(cells, int(fits.sum()), stale, naive_pick(vintages, times))


def _counts(name: str, numbers: np.ndarray, looked: Sequence[tuple[np.ndarray, _Column]]) -> FeatureAudit:
    columns = [column for _, column in looked]
    right, early, stale = (sum(c.right for c in columns), sum(len(c.cells) for c in columns), sum(c.stale for c in columns))
    cells = int((~np.isnan(numbers)).sum())
    cheated = [(times[column.naive.early_us > 0], column.naive.early_us) for times, column in looked]
    return FeatureAudit(
        feature=name,
        cells=cells,
        right=right,
        early=early,
        stale=stale,
        unknown=cells - right - early - stale,
        null=len(numbers) - cells,
        naive_values=sum(len(times) for times, _ in cheated),
        naive_days=len({day for times, _ in cheated for day in (times // DAY_US).tolist()}),
        naive_worst_days=max((float(early_us.max(initial=0)) / DAY_US for _, early_us in cheated), default=0.0),
    )
