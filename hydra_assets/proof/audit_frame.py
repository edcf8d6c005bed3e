"""Audit of a user's own frame: numbers that were not yet known at their row's time, and the right ones."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from hydra_assets.core.instants import DAY_US, instants
from hydra_assets.core.tolerance import noise_around_zero
from hydra_assets.errors import UnknownFeatureError
from hydra_assets.proof.early_cells import CellColumns, EarlyCells
from hydra_assets.proof.naive import NaivePick, naive_pick
from hydra_assets.proof.user_frame import UserFrame, feature_columns, user_frame
from hydra_assets.storage.series import Series, series_of
from hydra_assets.storage.store import FeatureStore

TOLERANCE = 1e-9
FAR = 60  # days described: the farthest lag or lead that may explain a column
_NOTHING = series_of(())
Verdict = Literal["passed", "failed", "unproven"]


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
        withheld: number of these where a value was known.
        ambiguous: number of values that vintages before and after the row's time have alike, with nothing to decide between them.
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
    withheld: int = 0
    ambiguous: int = 0

    @property
    def verdict(self) -> Verdict:
        """``failed`` with an early value; ``unproven`` with one that nothing is known of, or without any; else ``passed``."""
        if self.early:
            return "failed"
        return "unproven" if self.unknown or self.ambiguous or not self.right + self.stale else "passed"


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
    cells: EarlyCells
    features: tuple[FeatureAudit, ...]
    ignored: tuple[str, ...]

    @property
    def verdict(self) -> Verdict:
        """``failed`` if a column failed; ``unproven`` if a column with values is, or none has any; else ``passed``."""
        verdicts = {feature.verdict for feature in self.features if feature.cells}
        return "failed" if "failed" in verdicts else "passed" if verdicts == {"passed"} else "unproven"

    def to_arrow(self) -> pa.Table:
        """The cells as a table."""
        return self.cells.to_arrow()


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
        tolerance: relative; a frame that was rounded needs a wider one than the default, and then half of the last digit of each
            column is allowed for, too. Columns of 32 bits get at least 5e-7.
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
    held = {symbol: store.series(symbol) for symbol in markets}
    days = np.unique(rows.times // DAY_US, return_inverse=True)[1]
    pairs = pa.table({"market": pa.array(rows.markets, pa.string()), "time": instants(rows.times)})
    served = store.get_training_frame(pairs, features=names)
    cells: list[CellColumns] = []
    counts = []
    for name in names:
        if progress is not None:
            progress(name)
        numbers, precision = rows.numbers(name)
        right = served[name].to_numpy(zero_copy_only=False).astype(float)
        rounding = last_digit(numbers) / 2 if tolerance > TOLERANCE else 0.0
        margin = _Margin(max(tolerance, precision), rounding * (1 + 1e-9) + noise_around_zero(_largest(numbers, right)))
        columns = []
        for symbol, at in places.items():
            series = held[symbol].get(name, _NOTHING)
            columns.append((days[at], _column(series, symbol, name, rows.times[at], numbers[at], right[at], at, margin)))
        cells += [column.cells for _, column in columns]
        counts.append(_counts(name, numbers, right, columns))
    ignored = [name for name in rows.names if name not in names and name not in beside]
    return FrameAudit(len(rows.times), EarlyCells(cells), tuple(counts), tuple(ignored))


@dataclass(frozen=True)
class _Margin:
    """Tolerance between two equal numbers: a share of them; and half of a last digit, with the noise around zero."""

    relative: float
    absolute: float

    def around(self, numbers: np.ndarray) -> np.ndarray:
        return np.asarray(self.relative * np.abs(numbers) + self.absolute)


def _largest(*columns: np.ndarray) -> float:
    return max(float(np.abs(column).max(initial=0.0, where=np.isfinite(column))) for column in columns)


def last_digit(numbers: np.ndarray) -> float:
    """The unit of the last digit that a column shows, by decimals or by digits of its largest number; 0 if it is not rounded."""
    finite = numbers[np.isfinite(numbers) & (numbers != 0)]
    if not len(finite):
        return 0.0
    for decimals in range(10):
        if np.all(np.abs(finite - np.round(finite, decimals)) <= 1e-12 * np.abs(finite)):
            return 10.0**-decimals
    exponent = np.floor(np.log10(np.abs(finite)))
    scaled = finite / 10.0**exponent
    for digits in range(1, 9):
        if np.all(np.abs(scaled - np.round(scaled, digits - 1)) <= 1e-12):
            return float(10.0 ** (exponent.max() - digits + 1))
    return 0.0


@dataclass(frozen=True)
class _Column:
    """Counts of one feature in one market, its early cells, and the choice of the naive join."""

    cells: CellColumns
    right: int
    stale: int
    ambiguous: int
    naive: NaivePick


def _column(
    series: Series,
    market: str,
    name: str,
    times: np.ndarray,
    numbers: np.ndarray,
    right: np.ndarray,
    places: np.ndarray,
    margin: _Margin,
) -> _Column:
    as_of, available, value = series.as_of, series.available_at, series.value
    order = np.flatnonzero(np.isfinite(value))
    order = order[np.argsort(value[order], kind="stable")]
    held = value[order]
    with np.errstate(invalid="ignore"):
        fits = np.isfinite(numbers) & (np.abs(numbers - right) <= margin.around(np.fmax(np.abs(numbers), np.abs(right))))
    wrong = np.flatnonzero(np.isfinite(numbers) & ~fits)
    around = margin.around(numbers[wrong])
    low, high = np.searchsorted(held, numbers[wrong] - around, "left"), np.searchsorted(held, numbers[wrong] + around, "right")
    first, earlier = _later_and_earlier(order, available, low, high, times[wrong])
    early, stale, both = (first >= 0) & ~earlier, (first < 0) & earlier, (first >= 0) & earlier
    ambiguous = int(both.sum())
    if ambiguous and early.sum() == stale.sum():
        distance = _best_distance(order, as_of, available, low, high, times[wrong])
        leads, ambiguous = distance > 0, ambiguous if distance == 0 else 0
    else:
        leads, ambiguous = bool(early.sum() > stale.sum()), 0
    if not ambiguous:
        early, stale = (early | both, stale) if leads else (early, stale | both)
    found = np.flatnonzero(early)
    at, v = wrong[found], first[found]
    cells = CellColumns(name, market, places[at], times[at], numbers[at], right[at], as_of[v], available[v])
    return _Column(cells, int(fits.sum()), int(stale.sum()), ambiguous, naive_pick(as_of, available, times))


def _later_and_earlier(
    order: np.ndarray, available: np.ndarray, low: np.ndarray, high: np.ndarray, times: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The equal vintages ``order[low:high]`` of each cell: position of the first that came later (-1: none), and whether one was known."""
    later, earlier = np.full(len(low), -1), np.zeros(len(low), dtype=bool)
    single = np.flatnonzero(high - low == 1)
    vintage = order[low[single]] if len(single) else low[single]
    known = available[vintage] <= times[single]
    later[single], earlier[single] = np.where(known, -1, vintage), known
    several = np.flatnonzero(high - low > 1)
    if len(several):
        pairs, group = np.unique(np.stack([low[several], high[several]]), axis=1, return_inverse=True)
        by_group = np.argsort(group.reshape(-1), kind="stable")
        edges = np.searchsorted(group.reshape(-1)[by_group], np.arange(pairs.shape[1] + 1))
        for n, (a, b) in enumerate(pairs.T.tolist()):
            cells = several[by_group[edges[n] : edges[n + 1]]]
            same = order[a:b][np.argsort(available[order[a:b]], kind="stable")]
            place = np.searchsorted(available[same], times[cells], side="right")
            earlier[cells] = place > 0
            later[cells] = np.where(place < len(same), same[np.minimum(place, len(same) - 1)], -1)
    return later, earlier


def _best_distance(
    order: np.ndarray, as_of: np.ndarray, available: np.ndarray, low: np.ndarray, high: np.ndarray, times: np.ndarray
) -> int:
    """
    The distance, in days described, between the vintage that a cell should have and the one that it has, that explains most cells.

    Negative for a column that lags, positive for one that leads, 0 where a lag and a lead explain as many.
    """
    days = np.unique(as_of)
    rank = np.searchsorted(days, as_of)
    frontier = np.lexsort((as_of, available))
    newest = np.maximum.accumulate(rank[frontier])
    place = np.searchsorted(available[frontier], times, side="right") - 1
    right = np.where(place >= 0, newest[np.maximum(place, 0)], -1)
    counts: Counter[int] = Counter()
    for cell, (a, b) in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
        counts.update({int(d) for d in rank[order[a:b]] - right[cell] if abs(d) <= FAR})
    lag = max((n for distance, n in counts.items() if distance < 0), default=0)
    lead = max((n for distance, n in counts.items() if distance > 0), default=0)
    return (lead > lag) - (lag > lead)


def _counts(name: str, numbers: np.ndarray, known: np.ndarray, looked: Sequence[tuple[np.ndarray, _Column]]) -> FeatureAudit:
    """The counts of one feature; *looked* has each market's rows, by the number of their day, and its column."""
    columns = [column for _, column in looked]
    right, early, stale = (sum(c.right for c in columns), sum(len(c.cells.row) for c in columns), sum(c.stale for c in columns))
    cells, ambiguous = int((~np.isnan(numbers)).sum()), sum(c.ambiguous for c in columns)
    cheated = np.concatenate([days[column.naive.early_us > 0] for days, column in looked] or [np.zeros(0, dtype=np.int64)])
    return FeatureAudit(
        feature=name,
        cells=cells,
        right=right,
        early=early,
        stale=stale,
        unknown=cells - right - early - stale - ambiguous,
        null=len(numbers) - cells,
        withheld=int((np.isnan(numbers) & np.isfinite(known)).sum()),
        ambiguous=ambiguous,
        naive_values=len(cheated),
        naive_days=int(np.count_nonzero(np.bincount(cheated))),
        naive_worst_days=max((float(column.naive.early_us.max(initial=0)) / DAY_US for column in columns), default=0.0),
    )
