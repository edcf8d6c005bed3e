"""How values at instants become rows of a feature: a further one only where it says something else than the one before."""

import numpy as np
import pyarrow as pa

from hydra_assets.core.arrays import Floats, Ints
from hydra_assets.core.feature import Feature
from hydra_assets.core.instants import instants
from hydra_assets.core.tables.features import FEATURE_SCHEMA
from hydra_assets.core.tables.table import QUALITIES

TOLERANCE = 1e-12  # a value that moved by less than this x max(1, |old|) is no new vintage


def moved(day: Ints, value: Floats, word: Ints) -> np.ndarray:
    """Of rows sorted by day and instant: True where the row says something else than the last one that did, of its day."""
    new = np.ones(len(day), dtype=bool)
    again = np.flatnonzero(day[1:] == day[:-1]) + 1
    last = -1
    for i in again.tolist():
        if last < 0 or day[last] != day[i]:
            last = i - 1
        a, b = value[last], value[i]
        same = (np.isnan(a) and np.isnan(b)) or abs(b - a) <= TOLERANCE * max(1.0, abs(a))
        new[i] = word[i] != word[last] or not same
        last = i if new[i] else last
    return new


def feature_rows(feature: Feature, as_of: Ints, at: Ints, value: Floats, word: Ints) -> pa.Table:
    """Rows of one feature; times in microseconds UTC, NaN a null, words as positions in QUALITIES."""
    n = len(as_of)
    return pa.table(
        {
            "feature_name": pa.array([feature.name] * n, pa.string()),
            "as_of": instants(as_of),
            "available_at": instants(at),
            "value": pa.array(value, mask=np.isnan(value)),
            "unit": pa.array([feature.unit] * n, pa.string()),
            "quality": pa.array(QUALITIES).take(pa.array(word)),
        }
    ).cast(FEATURE_SCHEMA)


def in_order(parts: list[pa.Table]) -> pa.Table:
    """FEATURE_SCHEMA of all *parts*, ordered by as_of, feature and available_at."""
    if not parts:
        return FEATURE_SCHEMA.empty_table()
    order = [("as_of", "ascending"), ("feature_name", "ascending"), ("available_at", "ascending")]
    return pa.concat_tables(parts).sort_by(order).cast(FEATURE_SCHEMA)
