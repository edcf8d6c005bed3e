"""Feature vintages of weekly inputs: each row rests on what was known at its own instant, with a further row where that changed it."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from hydra_assets.core.arrays import Floats, Ints, frozen
from hydra_assets.core.feature import Feature
from hydra_assets.core.instants import DAY_US, column_us
from hydra_assets.core.sealed.seal import run_sealed
from hydra_assets.core.tables.table import QUALITIES
from hydra_assets.core.tolerance import same_number
from hydra_assets.errors import SchemaError
from hydra_assets.features.days import day_range
from hydra_assets.features.family import Inputs, Request
from hydra_assets.features.quality import DEGRADED, MISSING, NORMAL, PARTIAL
from hydra_assets.features.rows import concat_sorted, feature_rows
from hydra_assets.features.vintages import require

DATASET = "cot_disaggregated"
_OF_REPORTS = {quality: code for code, quality in enumerate(QUALITIES) if code != MISSING}
Row = tuple[int, int, float, int]  # as_of, instant, value, quality


def compute_cot(inputs: Inputs, features: Sequence[Feature], request: Request) -> pa.Table:
    """
    All vintages of *features* over the weekly reports.

    Args:
        inputs: ``cot_disaggregated`` as it lies in the lake, every vintage, in any order.
        features: those wanted.
        request: bounds of the answer's ``as_of``.

    Returns:
        FEATURE_SCHEMA, ordered by as_of, feature and available_at.

    Raises:
        SchemaError: the input or a column is missing, or it holds several markets.
    """
    if DATASET not in inputs:
        raise SchemaError(f"{request.market} cot: the input {DATASET!r} is missing; given are {sorted(inputs)}")
    table = inputs[DATASET]
    if not table.num_rows:
        return concat_sorted([])
    require(table, ("as_of", "available_at", "quality"), DATASET)
    codes = set(table["cftc_code"].to_pylist()) if "cftc_code" in table.column_names else set()
    if len(codes) > 1:
        raise SchemaError(f"{DATASET}: rows of several contract codes {sorted(codes)}; give one market's")
    reach = max((-window.first for feature in features for window in feature.windows), default=0)
    weeks = _KnownWeeks(table, reach)
    low, high = day_range(request.start, request.end)
    states = [_FeatureState(feature) for feature in features]
    for instant, changed in weeks.play():
        for state in states:
            state.emit(weeks, instant, changed, low * DAY_US, (high + 1) * DAY_US - 1)
    return concat_sorted([feature_rows(state.feature, *state.columns()) for state in states if state.rows])


def iso_week(as_of_us: Ints) -> Ints:
    """Number of the ISO week (Monday to Sunday) of each instant; consecutive weeks are consecutive integers."""
    return np.asarray((as_of_us // DAY_US + 3) // 7)  # 1970-01-01 was a Thursday


class _KnownWeeks:
    """
    The reports known at the instant under way, one slot a week.

    Attributes:
        columns: name of a numeric column to its value in each slot; NaN where there is no report.
        report: ``as_of`` of the report in each slot, -1 for none.
        quality: of that report.
        first: the first slot that can have a report; the empty ones before keep every window inside.
    """

    def __init__(self, table: pa.Table, reach: int) -> None:
        self._as_of, self._at = column_us(table["as_of"], what="as_of"), column_us(table["available_at"], what="available_at")
        weeks = iso_week(self._as_of)
        self._slot, self.first = reach + weeks - int(weeks.min()), reach  # lookahead-ok: numbers the weeks, and enters no value
        slots = reach + int(weeks.max() - weeks.min()) + 1
        numeric = [f.name for f in table.schema if pa.types.is_integer(f.type) or pa.types.is_floating(f.type)]
        raw = {name: table[name].cast(pa.float64()).to_numpy(zero_copy_only=False) for name in numeric}
        self._raw = {name: np.where(np.isfinite(column), column, np.nan) for name, column in raw.items()}
        self._quality = [_OF_REPORTS.get(quality, DEGRADED) for quality in table["quality"].to_pylist()]
        self.columns: dict[str, Floats] = {name: np.full(slots, np.nan) for name in numeric}
        self.report, self.quality = np.full(slots, -1, dtype=np.int64), np.full(slots, NORMAL, dtype=np.int64)

    def window(self, first: int, last: int) -> dict[str, Floats]:
        """The columns over the slots from *first* to *last*, as copies that cannot be written and lead to no other slot."""
        return frozen({name: column[first : last + 1].copy() for name, column in self.columns.items()})

    def play(self) -> Iterator[tuple[int, set[int]]]:
        """Each instant at which reports arrived, and the slots that they changed; the state is that of the instant."""
        order = np.lexsort((self._as_of, self._at))
        edges = np.flatnonzero(np.r_[True, self._at[order][1:] != self._at[order][:-1], True])
        for a, b in itertools.pairwise(edges):
            changed = set()
            for i in order[a:b]:
                slot = int(self._slot[i])
                if self._as_of[i] < self.report[slot]:
                    continue  # a late row with an older as_of never displaces a newer one
                self.report[slot], self.quality[slot] = self._as_of[i], self._quality[i]
                for name, column in self.columns.items():
                    column[slot] = self._raw[name][i]
                changed.add(slot)
            yield int(self._at[order[a]]), changed


class _FeatureState:
    """One feature under way: its rows, and the last one of each report."""

    def __init__(self, feature: Feature) -> None:
        self.feature = feature
        (self._window,) = (window for window in feature.windows if window.dataset == DATASET)
        self._last: dict[int, tuple[float, int]] = {}
        self.rows: list[Row] = []

    def emit(self, weeks: _KnownWeeks, instant: int, changed: set[int], low: int, high: int) -> None:
        """Add the rows that change with the slots *changed*, of reports from *low* to *high*."""
        first, last = self._window.first, self._window.last
        touched = {slot - offset for slot in changed for offset in range(first, last + 1)} if first else changed
        for slot in sorted(s for s in touched if weeks.first <= s < len(weeks.report) and weeks.report[s] >= 0):
            as_of = int(weeks.report[slot])
            if not low <= as_of <= high:
                continue
            answer = run_sealed(self.feature, weeks.window(slot + first, slot + last))
            value = float(answer.value) if np.isfinite(answer.value) else float("nan")
            quality = max(int(weeks.quality[slot]), PARTIAL if answer.n < answer.full else NORMAL)
            quality = MISSING if np.isnan(value) else quality
            before = self._last.get(as_of)
            if before is None or before[1] != quality or not same_number(before[0], value):
                self._last[as_of] = (value, quality)
                self.rows.append((as_of, instant, value, quality))

    def columns(self) -> tuple[Ints, Ints, Floats, Ints]:
        """as_of, instant, value and quality of all rows."""
        as_of, at, value, quality = zip(*self.rows, strict=True)
        return np.array(as_of), np.array(at), np.array(value, dtype=float), np.array(quality)
