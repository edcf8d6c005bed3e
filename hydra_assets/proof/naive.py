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


@dataclass(frozen=True)
class NaivePick:
    """
    What the naive join serves; arrays as long as the instants asked.

    Attributes:
        row: position among the vintages, -1 where none is served.
        early_us: microseconds before the row became available; 0 where it was available, or none is served.
    """

    row: np.ndarray
    early_us: np.ndarray


def naive_pick(vintages: pa.Table, asked: np.ndarray) -> NaivePick:
    """
    Of all rows described by ``as_of <= t`` the newest, in its final revision, whenever that became available.

    Args:
        vintages: ``as_of, available_at`` of one series. asked: int64 microseconds UTC.
    """
    as_of, available = column_us(vintages["as_of"], what="as_of"), column_us(vintages["available_at"], what="available_at")
    if not len(as_of):
        return NaivePick(np.full(len(asked), -1), np.zeros(len(asked), dtype=np.int64))
    order = np.lexsort((available, as_of))
    final = order[np.r_[as_of[order][1:] != as_of[order][:-1], True]]
    found = np.searchsorted(as_of[final], asked, side="right") - 1
    row = np.where(found >= 0, final[np.maximum(found, 0)], -1)
    return NaivePick(row, np.where(row >= 0, np.maximum(available[row] - asked, 0), 0))


def compare_with_naive(store: FeatureStore, market: str, feature: str, times: Sequence[dt.datetime]) -> NaiveComparison:
    """
    Join *feature* at *times* the naive way and the point-in-time way.

    The naive way is `naive_pick`: what a plain as-of merge on the report date does.
    """
    asked = np.array([to_us(t, what="time", rounding="floor") for t in times], dtype=np.int64)
    rows = store.vintages(market, [feature])
    pick = naive_pick(rows, asked)
    has = pick.row >= 0
    value, as_of = rows["value"].to_numpy(zero_copy_only=False).astype(float), column_us(rows["as_of"], what="as_of")
    frame = store.get_training_frame([market], list(times), [feature], with_meta=True)
    return NaiveComparison(
        feature=feature,
        times=tuple(times),
        naive=np.where(has, value[pick.row], np.nan) if len(value) else np.full(len(asked), np.nan),
        honest=frame[feature].to_numpy(zero_copy_only=False).astype(float),
        naive_as_of=np.where(has, as_of[pick.row], -1) if len(value) else np.full(len(asked), -1),
        honest_as_of=_us_or_minus_one(frame[f"{feature}__as_of"]),
        cheated=pick.early_us > 0,
        early_days=pick.early_us / 86_400e6,
    )


def _us_or_minus_one(column: pa.ChunkedArray) -> np.ndarray:
    filled: np.ndarray = column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).fill_null(-1).to_numpy()
    return filled
