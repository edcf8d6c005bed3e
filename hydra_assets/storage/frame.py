"""The training frame: for each market and time, what was known then, by a plain search on the visible frontier."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from hydra_assets.core.instants import column_us, instants, to_us
from hydra_assets.core.point_in_time import visible_frontier
from hydra_assets.errors import InvalidTimeError, SchemaError

Rows = Sequence[Mapping[str, Any]]


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
    rows: Mapping[tuple[str, str], Rows],
    *,
    max_age: dt.timedelta | None,
    delay: dt.timedelta | None,
    with_meta: bool,
) -> pa.Table:
    """
    The frame.

    Args:
        rows: for each market and feature, the vintages that exist.
        max_age, delay, with_meta: as in `FeatureStore.get_training_frame`.
    """
    micro = dt.timedelta(microseconds=1)
    late = 0 if delay is None else delay // micro
    if late < 0:
        raise InvalidTimeError(f"delay {delay} is negative: nothing is delivered before it exists")
    columns: dict[str, Any] = {"market": pa.array(wanted.markets, pa.string()), "time": instants(wanted.times)}
    of_market = {m: np.flatnonzero(np.array(wanted.markets, dtype=object) == m) for m in dict.fromkeys(wanted.markets)}
    for name in names:
        n = len(wanted.times)
        value, known = np.full(n, np.nan), np.zeros(n, dtype=bool)
        as_of, available = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
        quality = np.full(n, None, dtype=object)
        for market, places in of_market.items():
            kept = _frontier(rows[market, name])
            at = np.searchsorted(kept["available_at"], wanted.times[places] - late, side="right") - 1
            there, at = places[at >= 0], at[at >= 0]
            known[there], value[there], quality[there] = True, kept["value"][at], kept["quality"][at]
            as_of[there], available[there] = kept["as_of"][at], kept["available_at"][at]
        if max_age is not None:
            old = known & (wanted.times - as_of > max_age // micro)
            value[old], quality[old] = np.nan, "stale"
        columns[name] = pa.array(value, pa.float64(), mask=np.isnan(value))
        if with_meta:
            columns[f"{name}__as_of"] = pa.array(as_of, mask=~known).cast(pa.timestamp("us", tz="UTC"))
            columns[f"{name}__available_at"] = pa.array(available, mask=~known).cast(pa.timestamp("us", tz="UTC"))
            columns[f"{name}__quality"] = pa.array(quality, pa.string())
    return pa.table(columns)


def _frontier(rows: Rows) -> dict[str, np.ndarray]:
    ints = {c: np.array([row[c] for row in rows], dtype=np.int64) for c in ("as_of", "available_at")}
    value = np.array([np.nan if row["value"] is None else row["value"] for row in rows], dtype=float)
    quality = np.array([row["quality"] for row in rows], dtype=object)
    order = np.lexsort((ints["as_of"], ints["available_at"]))
    kept = order[visible_frontier(np.zeros(len(order), dtype=np.int64), ints["as_of"][order], ints["available_at"][order])]
    return {"as_of": ints["as_of"][kept], "available_at": ints["available_at"][kept], "value": value[kept], "quality": quality[kept]}
