"""The wrong join, on purpose: by ``as_of`` alone, as most backtests do it; so that its cheating can be counted."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from hydra_assets.core.instants import column_us, to_us
from hydra_assets.storage.store import FeatureStore


@dataclass(frozen=True)
class NaiveComparison:
    """
    One feature of one market, joined both ways at the same instants.

    Attributes:
        times: the instants asked; length n.
        naive, honest: values by ``as_of`` alone, and by the point-in-time rule; NaN where null or nothing is known.
        naive_as_of, honest_as_of: microseconds UTC of the row served; -1 where none is.
        cheated: True where the naive join served a row that was not yet available.
        early_days: by how many days it was early; 0 where it was not.
    """

    feature: str
    times: tuple[dt.datetime, ...]
    naive: np.ndarray
    honest: np.ndarray
    naive_as_of: np.ndarray
    honest_as_of: np.ndarray
    cheated: np.ndarray
    early_days: np.ndarray


def compare_with_naive(store: FeatureStore, market: str, feature: str, times: Sequence[dt.datetime]) -> NaiveComparison:
    """
    Join *feature* at *times* the naive way and the point-in-time way.

    The naive way takes, of all rows described by ``as_of <= t``, the newest, in its final revision, whenever that became
    available: what a plain as-of merge on the report date does.
    """
    asked = np.array([to_us(t, what="time", rounding="floor") for t in times], dtype=np.int64)
    rows = store.vintages(market, [feature])
    as_of = column_us(rows["as_of"], what="as_of")
    available = column_us(rows["available_at"], what="available_at")
    value = rows["value"].to_numpy(zero_copy_only=False).astype(float)
    order = np.lexsort((available, as_of))
    last = np.r_[as_of[order][1:] != as_of[order][:-1], True] if len(order) else np.zeros(0, dtype=bool)
    final = order[last]

    found = np.searchsorted(as_of[final], asked, side="right") - 1
    has = found >= 0
    pick = final[np.where(has, found, 0)] if len(final) else np.zeros(len(asked), dtype=int)
    naive = np.where(has, value[pick], np.nan) if len(final) else np.full(len(asked), np.nan)
    naive_as_of = np.where(has, as_of[pick], -1) if len(final) else np.full(len(asked), -1)
    early_us = np.where(has, available[pick] - asked, 0) if len(final) else np.zeros(len(asked), dtype=np.int64)

    frame = store.get_training_frame([market], list(times), [feature], with_meta=True)
    honest_as_of = _us_or_minus_one(frame[f"{feature}__as_of"])
    return NaiveComparison(
        feature=feature,
        times=tuple(times),
        naive=naive,
        honest=frame[feature].to_numpy(zero_copy_only=False).astype(float),
        naive_as_of=naive_as_of,
        honest_as_of=honest_as_of,
        cheated=early_us > 0,
        early_days=np.where(early_us > 0, early_us / 86_400e6, 0.0),
    )


def _us_or_minus_one(column: pa.ChunkedArray) -> np.ndarray:
    filled: np.ndarray = column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).fill_null(-1).to_numpy()
    return filled
