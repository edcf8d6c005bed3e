"""Columns of Arrow tables as numbers, and numbers as columns."""

import numpy as np
import pyarrow as pa

from hydra_assets.core.arrays import Floats, Ints


def numbers_at(table: pa.Table, name: str, rows: Ints) -> Floats:
    """
    Column *name* at *rows*; NaN at row -1, and where it is null or not finite.

    >>> numbers_at(pa.table({"bid": [1.5, None]}), "bid", np.array([1, 0, -1])).tolist()
    [nan, 1.5, nan]
    """
    if not table.num_rows:
        return np.full(len(rows), np.nan)
    values = table[name].cast(pa.float64()).to_numpy(zero_copy_only=False)[np.maximum(rows, 0)]
    return np.where((rows >= 0) & np.isfinite(values), values, np.nan)


def nullable(values: Floats) -> pa.Array:
    """*values* as a column; NaN is a null."""
    return pa.array(values, mask=np.isnan(values))
