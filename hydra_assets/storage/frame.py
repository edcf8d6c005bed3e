"""The training frame: for each market and time, what was known then, by a plain search on the visible frontier."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.core.dataset import QUALITIES
from hydra_assets.core.instants import INSTANT, column_us, instants, to_us
from hydra_assets.errors import InvalidTimeError, SchemaError
from hydra_assets.storage.mirror import Frontier

_NEVER = -(2**63)
_NO_WORD = -1
_STALE = QUALITIES.index("stale")
_WORDS = pa.array(QUALITIES, pa.string())


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
    n = len(wanted.times)
    for name in names:
        value, word = np.full(n, np.nan), np.full(n, _NO_WORD, dtype=np.int8)
        as_of, available = (np.full(n, _NEVER, dtype=np.int64) if with_meta else None for _ in range(2))
        for market, search in of_market:
            frontier = frontiers.get((market, name))
            if frontier is None or not len(frontier.value):
                continue
            found = search.on(frontier)
            served = np.append(frontier.value, np.nan)[found.at]
            if found.old is not None:
                served[found.old] = np.nan
            value[search.place] = served
            if as_of is not None and available is not None:
                words = np.append(frontier.quality, _NO_WORD)[found.at]
                if found.old is not None:
                    words[found.old] = _STALE
                word[search.place], as_of[search.place], available[search.place] = words, found.as_of, found.available_at
        columns[name] = pa.array(value, pa.float64(), from_pandas=True)
        if as_of is not None and available is not None:
            columns[f"{name}__as_of"] = pa.array(as_of, mask=as_of == _NEVER).cast(INSTANT)
            columns[f"{name}__available_at"] = pa.array(available, mask=available == _NEVER).cast(INSTANT)
            columns[f"{name}__quality"] = _WORDS.take(pa.array(word, mask=word == _NO_WORD))
    return pa.table(columns)


@dataclass(frozen=True)
class _Found:
    """Of one axis: where each instant's row lies (-1: nothing was known), what it describes, and which are too old."""

    at: np.ndarray
    as_of: np.ndarray
    available_at: np.ndarray
    old: np.ndarray | None


class _Search:
    """The search of one market's instants; series with the same axis share one."""

    def __init__(self, place: slice | np.ndarray, times: np.ndarray, late: int, oldest: int | None) -> None:
        self.place, self._times, self._late, self._oldest = place, times, late, oldest
        self._found: dict[str, _Found] = {}

    def on(self, frontier: Frontier) -> _Found:
        """What *frontier* answers."""
        found = self._found.get(frontier.axis)
        if found is None:
            at = np.searchsorted(frontier.available_at, self._times - self._late, side="right") - 1
            as_of, available = (np.append(column, _NEVER)[at] for column in (frontier.as_of, frontier.available_at))
            old = None if self._oldest is None else (at >= 0) & (self._times - np.where(at >= 0, as_of, 0) > self._oldest)
            found = self._found[frontier.axis] = _Found(at, as_of, available, old)
        return found


def _places(markets: pa.Array) -> list[slice | np.ndarray]:
    """Each market's rows, in the order in which the markets first come; a slice where they lie together."""
    codes = markets.dictionary_encode().indices.to_numpy()
    order = np.argsort(codes, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1) if len(codes) else []
    return [slice(int(p[0]), int(p[-1]) + 1) if p[-1] - p[0] + 1 == len(p) else p for p in parts]
