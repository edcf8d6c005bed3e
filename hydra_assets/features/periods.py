"""
Feature vintages over periods that hold one row of an input each, weeks of reports or weekdays of prices: each row rests on what was known
at its own instant, with a further row where that changed.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from hydra_assets.core.arrays import Floats, Ints, frozen
from hydra_assets.core.feature import Feature
from hydra_assets.core.instants import DAY_US, column_us
from hydra_assets.core.sealed.seal import run_sealed
from hydra_assets.core.tables.table import QUALITIES
from hydra_assets.core.tolerance import same_number
from hydra_assets.features.days import day_range
from hydra_assets.features.family import Request
from hydra_assets.features.quality import DEGRADED, MISSING, NORMAL, PARTIAL
from hydra_assets.features.rows import concat_sorted, feature_rows

_OF_REPORTS = {quality: code for code, quality in enumerate(QUALITIES) if code != MISSING}
Row = tuple[int, int, float, int]  # as_of, instant, value, quality
Spans = Sequence[tuple[int, int]]


def period_vintages(
    table: pa.Table, features: Sequence[Feature], spans: Spans, request: Request, *, period: Callable[[Ints], Ints]
) -> pa.Table:
    """
    All vintages of *features*, FEATURE_SCHEMA.

    Args:
        table: one row a key and ``as_of``, every vintage, in any order; its numeric columns are what a feature is given.
        features: those wanted; each function takes its columns over its span, oldest first, and gives an `Answer`.
        spans: first and last period of each feature's span, counted from its own.
        request: bounds of the answer's ``as_of``.
        period: number of the period of each day (since 1970-01-01); consecutive periods are consecutive integers.
    """
    known = _KnownPeriods(table, max((-first for first, _ in spans), default=0), period)
    low, high = day_range(request.start, request.end)
    states = [_FeatureState(feature, *span) for feature, span in zip(features, spans, strict=True)]
    for instant, changed in known.play():
        for state in states:
            state.emit(known, instant, changed, low * DAY_US, (high + 1) * DAY_US - 1)
    return concat_sorted([feature_rows(state.feature, *state.columns()) for state in states if state.rows])


class _KnownPeriods:
    """
    The rows known at the instant under way, one slot a period.

    Attributes:
        columns: name of a numeric column to its value in each slot; NaN where there is no row.
        as_of: that of the row in each slot, -1 for none.
        quality: of that row.
        first: the first slot that can have a row; the empty ones before keep every window inside.
    """

    def __init__(self, table: pa.Table, reach: int, period: Callable[[Ints], Ints]) -> None:
        self._as_of, self._at = column_us(table["as_of"], what="as_of"), column_us(table["available_at"], what="available_at")
        periods = period(self._as_of // DAY_US)
        self._slot, self.first = reach + periods - int(periods.min()), reach  # lookahead-ok: numbers the periods, and enters no value
        slots = reach + int(periods.max() - periods.min()) + 1
        numeric = [f.name for f in table.schema if pa.types.is_integer(f.type) or pa.types.is_floating(f.type)]
        raw = {name: table[name].cast(pa.float64()).to_numpy(zero_copy_only=False) for name in numeric}
        self._raw = {name: np.where(np.isfinite(column), column, np.nan) for name, column in raw.items()}
        self._quality = [_OF_REPORTS.get(quality, DEGRADED) for quality in table["quality"].to_pylist()]
        self.columns: dict[str, Floats] = {name: np.full(slots, np.nan) for name in numeric}
        self.as_of, self.quality = np.full(slots, -1, dtype=np.int64), np.full(slots, NORMAL, dtype=np.int64)

    def window(self, first: int, last: int) -> dict[str, Floats]:
        """The columns over the slots from *first* to *last*, as copies that cannot be written and lead to no other slot."""
        return frozen({name: column[first : last + 1].copy() for name, column in self.columns.items()})

    def play(self) -> Iterator[tuple[int, set[int]]]:
        """Each instant at which rows arrived, and the slots that they changed; the state is that of the instant."""
        order = np.lexsort((self._as_of, self._at))
        edges = np.flatnonzero(np.r_[True, self._at[order][1:] != self._at[order][:-1], True])
        for a, b in itertools.pairwise(edges):
            changed = set()
            for i in order[a:b]:
                slot = int(self._slot[i])
                if self._as_of[i] < self.as_of[slot]:
                    continue  # a late row with an older as_of never displaces a newer one
                self.as_of[slot], self.quality[slot] = self._as_of[i], self._quality[i]
                for name, column in self.columns.items():
                    column[slot] = self._raw[name][i]
                changed.add(slot)
            yield int(self._at[order[a]]), changed


class _FeatureState:
    """One feature under way: its rows, and the last one of each period."""

    def __init__(self, feature: Feature, first: int, last: int) -> None:
        self.feature, self._first, self._final = feature, first, last
        self._last: dict[int, tuple[float, int]] = {}
        self.rows: list[Row] = []

    def emit(self, known: _KnownPeriods, instant: int, changed: set[int], low: int, high: int) -> None:
        """Add the rows that change with the slots *changed*, of rows from *low* to *high*."""
        first, last = self._first, self._final
        touched = {slot - offset for slot in changed for offset in range(first, last + 1)} if first else changed
        for slot in sorted(s for s in touched if known.first <= s < len(known.as_of) and known.as_of[s] >= 0):
            as_of = int(known.as_of[slot])
            if not low <= as_of <= high:
                continue
            answer = run_sealed(self.feature, known.window(slot + first, slot + last))
            value = float(answer.value) if np.isfinite(answer.value) else float("nan")
            quality = max(int(known.quality[slot]), PARTIAL if answer.n < answer.full else NORMAL)
            quality = MISSING if np.isnan(value) else quality
            before = self._last.get(as_of)
            if before is None or before[1] != quality or not same_number(before[0], value):
                self._last[as_of] = (value, quality)
                self.rows.append((as_of, instant, value, quality))

    def columns(self) -> tuple[Ints, Ints, Floats, Ints]:
        """as_of, instant, value and quality of all rows."""
        as_of, at, value, quality = zip(*self.rows, strict=True)
        return np.array(as_of), np.array(at), np.array(value, dtype=float), np.array(quality)
