"""Rows of a feature from values at instants: a further row only where the value differs from the one before."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.core.arrays import Bools, Floats, Ints
from hydra_assets.core.feature import Feature
from hydra_assets.core.instants import instants
from hydra_assets.core.tables.features import FEATURE_SCHEMA
from hydra_assets.core.tables.table import QUALITIES
from hydra_assets.core.tolerance import same_number
from hydra_assets.features.columns import nullable


def changed_rows(day: Ints, value: Floats, quality: Ints) -> Bools:
    """Mask of rows that differ from the last emitted row of the same day; the rows are sorted by day and instant."""
    new = np.ones(len(day), dtype=bool)
    again = np.flatnonzero(day[1:] == day[:-1]) + 1
    last = -1
    for i in again.tolist():
        if last < 0 or day[last] != day[i]:
            last = i - 1
        new[i] = quality[i] != quality[last] or not same_number(float(value[last]), float(value[i]))
        last = i if new[i] else last
    return new


def feature_rows(feature: Feature, as_of: Ints, at: Ints, value: Floats, quality: Ints) -> pa.Table:
    """
    Rows of one feature as FEATURE_SCHEMA.

    Args:
        feature: whose rows they are.
        as_of: microseconds UTC.
        at: ``available_at``, microseconds UTC.
        value: NaN is a null.
        quality: positions in QUALITIES.
    """
    n = len(as_of)
    return pa.table(
        {
            "feature_name": pa.array([feature.name] * n, pa.string()),
            "as_of": instants(as_of),
            "available_at": instants(at),
            "value": nullable(value),
            "unit": pa.array([feature.unit] * n, pa.string()),
            "quality": pa.array(QUALITIES).take(pa.array(quality)),
        }
    ).cast(FEATURE_SCHEMA)


def concat_sorted(parts: list[pa.Table]) -> pa.Table:
    """FEATURE_SCHEMA of all *parts*, ordered by as_of, feature and available_at."""
    if not parts:
        return FEATURE_SCHEMA.empty_table()
    order = [("as_of", "ascending"), ("feature_name", "ascending"), ("available_at", "ascending")]
    return pa.concat_tables(parts).sort_by(order).cast(FEATURE_SCHEMA)


def rows_of(table: pa.Table, name: str) -> pa.Table:
    """The rows of feature *name* in a feature table."""
    if not table.num_rows:
        return FEATURE_SCHEMA.empty_table()
    return table.filter(pc.equal(table["feature_name"], name)).combine_chunks()
