"""The training frame: for each market and time, what was known then, by a plain search on the visible frontier."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.core.instants import INSTANT, column_us, instants, to_us
from hydra_assets.core.tables.registry import QUALITIES
from hydra_assets.errors import InvalidTimeError, SchemaError
from hydra_assets.storage.mirror import Frontier, frontier_of

_NEVER = -(2**63)
_NO_WORD = -1
_STALE = QUALITIES.index("stale")
_WORDS = pa.array(QUALITIES, pa.string())
_NOTHING = frontier_of(())


@dataclass(frozen=True)
class Asked:
    """The frame's rows: a market and an instant each, in the order asked."""

    markets: list[str]
    times: np.ndarray  # int64 microseconds UTC, as long as markets


def asked(markets: Any, times: Iterable[dt.datetime] | None) -> Asked:
    """Rows from markets x times, or from a table with the columns ``market`` and ``time``."""
    if isinstance(markets, pd.DataFrame):
        markets = pa.Table.from_pandas(markets, preserve_index=False)
    if isinstance(markets, pa.Table):
        if times is not None or not {"market", "time"} <= set(markets.column_names):
            raise SchemaError(f"a table of pairs needs the columns market and time and no times beside it; it has {markets.column_names}")
        return Asked(markets["market"].to_pylist(), column_us(markets["time"], what="time", rounding="floor"))
    if times is None:
        raise InvalidTimeError("times are missing: give markets and times, or one table with the columns market and time")
    symbols = [markets] if isinstance(markets, str) else list(markets)
    cuts = [to_us(t, what="time", rounding="floor") for t in times]
    return Asked([m for m in symbols for _ in cuts], np.tile(np.array(cuts, dtype=np.int64), len(symbols)))


def joined(
    wanted: Asked,
    names: Sequence[str],
    frontiers: Mapping[tuple[str, str], Frontier],
    *,
    max_age: dt.timedelta | None,
    delay: dt.timedelta | None,
    with_meta: bool,
) -> pa.Table:
    """
    The frame.

    Args:
        frontiers: of the markets' features; a market that never had a feature has none of it.
        max_age, delay, with_meta: as in `FeatureStore.get_training_frame`.
    """
    micro = dt.timedelta(microseconds=1)
    late = 0 if delay is None else delay // micro
    if late < 0:
        raise InvalidTimeError(f"delay {delay} is negative: nothing is delivered before it exists")
    oldest = None if max_age is None else max_age // micro
    markets = pa.array(wanted.markets, pa.string())
    columns: dict[str, Any] = {"market": markets, "time": instants(wanted.times)}
    searches = [_Search(place, wanted.times[place], late, oldest) for place in _places(markets)]
    of_market = list(zip(pc.unique(markets).to_pylist(), searches, strict=True))
    known = _Known(len(wanted.times))
    for name in names:
        found = [(search, frontiers.get((market, name), _NOTHING)) for market, search in of_market]
        columns[name] = _values(found, len(wanted.times))
        if with_meta:
            columns[f"{name}__as_of"], columns[f"{name}__available_at"] = known.instants(found)
            columns[f"{name}__quality"] = _words(found, len(wanted.times))
    return pa.table(columns)


def _values(found: "Sequence[tuple[_Search, Frontier]]", n: int) -> pa.Array:
    """One feature's column: NaN is null, in one pass and without a copy."""
    value = np.empty(n)
    for search, frontier in found:
        value[search.place] = search.served(frontier, frontier.value, np.nan, np.nan)
    valid = np.packbits(value == value, bitorder="little")
    return pa.Array.from_buffers(pa.float64(), n, [pa.py_buffer(valid), pa.py_buffer(value)])


def _words(found: "Sequence[tuple[_Search, Frontier]]", n: int) -> pa.Array:
    """One feature's quality; null where nothing is known."""
    word = np.empty(n, dtype=np.int8)
    for search, frontier in found:
        word[search.place] = search.served(frontier, frontier.quality, _NO_WORD, _STALE)
    return _WORDS.take(pa.array(word, mask=word == _NO_WORD))


class _Known:
    """What describes each row and since when it was known; made once for all features with the same axes."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._made: dict[tuple[str, ...], tuple[pa.Array, pa.Array]] = {}

    def instants(self, found: "Sequence[tuple[_Search, Frontier]]") -> tuple[pa.Array, pa.Array]:
        """``as_of`` and ``available_at``."""
        key = tuple(frontier.axis for _, frontier in found)
        if key not in self._made:
            as_of, available = np.empty(self._n, dtype=np.int64), np.empty(self._n, dtype=np.int64)
            for search, frontier in found:
                at = search.on(frontier).at
                as_of[search.place] = np.append(frontier.as_of, _NEVER)[at]
                available[search.place] = np.append(frontier.available_at, _NEVER)[at]
            first, second = (pa.array(column, mask=column == _NEVER).cast(INSTANT) for column in (as_of, available))
            self._made[key] = (first, second)
        return self._made[key]


@dataclass(frozen=True)
class _Found:
    """Of one axis: where each instant's row lies (-1: nothing was known), and which are too old."""

    at: np.ndarray
    old: np.ndarray | None


class _Search:
    """The search of one market's instants; series with the same axis share one."""

    def __init__(self, place: slice | np.ndarray, times: np.ndarray, late: int, oldest: int | None) -> None:
        self.place, self._times, self._late, self._oldest = place, times, late, oldest
        self._found: dict[str, _Found] = {}

    def on(self, frontier: Frontier) -> _Found:
        """Where *frontier* answers."""
        found = self._found.get(frontier.axis)
        if found is None:
            at = np.searchsorted(frontier.available_at, self._times - self._late, side="right") - 1
            old = None
            if self._oldest is not None:
                old = (at >= 0) & (self._times - np.append(frontier.as_of, 0)[at] > self._oldest)
            found = self._found[frontier.axis] = _Found(at, old)
        return found

    def served(self, frontier: Frontier, column: np.ndarray, nothing: float, stale: float) -> np.ndarray:
        """*column* at each instant; *nothing* where nothing was known, *stale* where it was too old."""
        found = self.on(frontier)
        answer = np.take(np.append(column, column.dtype.type(nothing)), found.at, mode="wrap")
        if found.old is not None:
            answer[found.old] = stale
        return answer


def _places(markets: pa.Array) -> list[slice | np.ndarray]:
    """Each market's rows, in the order in which the markets first come; a slice where they lie together."""
    codes = markets.dictionary_encode().indices.to_numpy()
    order = np.argsort(codes, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1) if len(codes) else []
    return [slice(int(p[0]), int(p[-1]) + 1) if p[-1] - p[0] + 1 == len(p) else p for p in parts]
