"""The naive join by ``as_of`` alone, as in most backtests, to count the values that it uses too early."""

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
        feature: its name.
        times: the requested instants; length n.
        naive: values by ``as_of`` alone; NaN if null or unknown.
        honest: values by the point-in-time rule; NaN if null or unknown.
        naive_as_of: microseconds UTC of the naive row; -1 without one.
        honest_as_of: microseconds UTC of the point-in-time row; -1 without one.
        cheated: True where the naive row was not yet available.
        early_days: days before the naive row became available; 0 if it was.
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
    Rows chosen by the naive join, one a requested instant.

    Attributes:
        row: position among the vintages; -1 without one.
        early_us: microseconds before the row became available; 0 if it was, or without a row.
    """

    row: np.ndarray
    early_us: np.ndarray


def naive_pick(as_of: np.ndarray, available: np.ndarray, times: np.ndarray) -> NaivePick:
    """
    Choose the row with the newest ``as_of <= t`` in its final revision, whenever that became available.

    Args:
        as_of: int64 microseconds UTC of the vintages of one series, in any order.
        available: their ``available_at``, likewise.
        times: likewise.
    """
    if not len(as_of):
        return NaivePick(np.full(len(times), -1), np.zeros(len(times), dtype=np.int64))
    order = np.lexsort((available, as_of))
    final = order[np.r_[as_of[order][1:] != as_of[order][:-1], True]]
    found = np.searchsorted(as_of[final], times, side="right") - 1
    never = np.iinfo(np.int64).min // 2  # of no row, which is never too early
    return NaivePick(np.append(final, -1)[found], np.maximum(np.append(available[final], never)[found] - times, 0))


def compare_with_naive(store: FeatureStore, market: str, feature: str, times: Sequence[dt.datetime]) -> NaiveComparison:
    """
    Join *feature* at *times* both ways.

    The naive way is `naive_pick`, which equals a plain as-of merge on the report date.
    """
    instants = np.array([to_us(t, what="time", rounding="floor") for t in times], dtype=np.int64)
    rows = store.vintages(market, [feature])
    as_of, available = (column_us(rows[name], what=name) for name in ("as_of", "available_at"))
    pick = naive_pick(as_of, available, instants)
    has, value = pick.row >= 0, rows["value"].to_numpy(zero_copy_only=False).astype(float)
    frame = store.get_training_frame([market], list(times), [feature], with_meta=True)
    return NaiveComparison(
        feature=feature,
        times=tuple(times),
        naive=np.where(has, value[pick.row], np.nan) if len(value) else np.full(len(instants), np.nan),
        honest=frame[feature].to_numpy(zero_copy_only=False).astype(float),
        naive_as_of=np.where(has, as_of[pick.row], -1) if len(value) else np.full(len(instants), -1),
        honest_as_of=_us_or_minus_one(frame[f"{feature}__as_of"]),
        cheated=pick.early_us > 0,
        early_days=pick.early_us / 86_400e6,
    )


def _us_or_minus_one(column: pa.ChunkedArray) -> np.ndarray:
    filled: np.ndarray = column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).fill_null(-1).to_numpy()
    return filled
