"""The training frame: for each market and time, what was known then, by a plain search on the visible frontier."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.core.instants import INSTANT, instants, span_us
from hydra_assets.core.tables.table import QUALITIES
from hydra_assets.storage.question import Question
from hydra_assets.storage.series import NO_QUALITY, Frontier, View, frontier_of

_NEVER = -(2**63)
_STALE = QUALITIES.index("stale")
_NOTHING = frontier_of(())


def training_frame(question: Question, frontiers: Mapping[tuple[str, str], Frontier]) -> pa.Table:
    """
    The answer to *question*, whose features are named.

    Args:
        frontiers: of the markets' features; a market that never had a feature has none of it.
    """
    late, oldest = span_us(question.delay, "delay") or 0, span_us(question.max_age, "max_age")
    markets, rows = pa.array(question.markets, pa.string()), len(question.times)
    columns: dict[str, Any] = {"market": markets, "time": instants(question.times)}
    searches = [_Search(place, question.times[place], late, oldest) for place in _places(markets)]
    of_market = list(zip(pc.unique(markets).to_pylist(), searches, strict=True))
    stamps, qualities = _Stamps(rows), _Qualities(rows)
    for name in question.features or ():
        found = [(search, frontiers.get((market, name), _NOTHING)) for market, search in of_market]
        columns[name] = _values(found, rows)
        if question.with_meta:
            columns[f"{name}__as_of"], columns[f"{name}__available_at"] = stamps.of(found)
            columns[f"{name}__quality"] = qualities.of(found)
    return pa.table(columns)


def _values(found: "Sequence[tuple[_Search, Frontier]]", n: int) -> pa.Array:
    """One feature's column: NaN is null, in one pass and without a copy."""
    value = np.empty(n)
    for search, frontier in found:
        search.serve(frontier, frontier.values, np.nan, value)
    valid = np.packbits(value == value, bitorder="little")
    return pa.Array.from_buffers(pa.float64(), n, [pa.py_buffer(valid), pa.py_buffer(value)])


class _Qualities:
    """Qualities as text, null where nothing is known; features that have the same at every row share one column."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._names = pa.array(QUALITIES, pa.string())
        self._made: dict[bytes, pa.Array] = {}

    def of(self, found: "Sequence[tuple[_Search, Frontier]]") -> pa.Array:
        """The column of one feature."""
        quality = np.empty(self._n, dtype=np.int8)
        for search, frontier in found:
            search.serve(frontier, frontier.qualities, _STALE, quality)
        key = quality.tobytes()
        if key not in self._made:
            self._made[key] = self._names.take(pa.array(quality, mask=quality == NO_QUALITY))
        return self._made[key]


class _Stamps:
    """``as_of`` and ``available_at`` of each row's values; made once for all features with the same axes."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._made: dict[tuple[str, ...], tuple[pa.Array, pa.Array]] = {}

    def of(self, found: "Sequence[tuple[_Search, Frontier]]") -> tuple[pa.Array, pa.Array]:
        """Both columns of one feature."""
        key = tuple(frontier.view.name for _, frontier in found)
        if key not in self._made:
            as_of, available = np.empty(self._n, dtype=np.int64), np.empty(self._n, dtype=np.int64)
            for search, frontier in found:
                at = search.on(frontier.view).at
                as_of[search.place] = np.append(frontier.as_of, _NEVER)[at]
                available[search.place] = np.append(frontier.available_at, _NEVER)[at]
            first, second = (pa.array(column, mask=column == _NEVER).cast(INSTANT) for column in (as_of, available))
            self._made[key] = (first, second)
        return self._made[key]


@dataclass(frozen=True)
class _Found:
    """The answers of one axis: where each instant's row lies (-1: nothing was known), and which are too old."""

    at: np.ndarray
    old: np.ndarray | None


class _Search:
    """The search of one market's instants; series with the same view share one."""

    def __init__(self, place: slice | np.ndarray, times: np.ndarray, late: int, oldest: int | None) -> None:
        self.place, self._times, self._late, self._oldest = place, times, late, oldest
        self._found: dict[str, _Found] = {}
        self._served: dict[int, tuple[np.ndarray, np.ndarray | None]] = {}

    def on(self, view: View) -> _Found:
        """The answers of *view*, at each instant."""
        found = self._found.get(view.name)
        if found is None:
            at = np.searchsorted(view.available_at, self._times - self._late, side="right") - 1
            old = None
            if self._oldest is not None:
                old = (at >= 0) & (self._times - np.append(view.as_of, 0)[at] > self._oldest)
            found = self._found[view.name] = _Found(at, old)
        return found

    def serve(self, frontier: Frontier, column: np.ndarray, stale: float, answer: np.ndarray) -> None:
        """
        Put *column* at each instant into its place of *answer*.

        Args:
            column: of each row of the axis; its last number is for instants at which nothing was known.
            stale: for instants at which what was known was too old.
        """
        view = frontier.view
        served = self._served.get(id(view))
        if served is None:
            found = self.on(view)
            served = self._served[id(view)] = view.rows[found.at], found.old
        rows, old = served
        if isinstance(self.place, slice):
            mine = answer[self.place]
            column.take(rows, out=mine, mode="clip")  # no row is out of bounds: a mode that checks none takes no copy
        else:
            mine = column[rows]
        if old is not None:
            mine[old] = stale
        if not isinstance(self.place, slice):
            answer[self.place] = mine


def _places(markets: pa.Array) -> list[slice | np.ndarray]:
    """Each market's rows, in the order in which the markets first come; a slice where they lie together."""
    codes = markets.dictionary_encode().indices.to_numpy()
    order = np.argsort(codes, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1) if len(codes) else []
    return [slice(int(p[0]), int(p[-1]) + 1) if p[-1] - p[0] + 1 == len(p) else p for p in parts]
