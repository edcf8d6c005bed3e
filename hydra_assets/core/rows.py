"""Choosing rows of a table by the day that they describe."""

import datetime as dt

import numpy as np
import pyarrow as pa

from hydra_assets.core.instants import DAY_US, column_us, day_us


def rows_between(table: pa.Table, first: dt.date | None, last: dt.date | None) -> pa.Table:
    """
    Rows whose ``as_of`` lies on the days from *first* to *last*, both included.

    Args:
        table: with an ``as_of`` column of UTC instants; a table without rows may lack it.
        first: earliest UTC day; None for no bound.
        last: latest UTC day; None for no bound.

    Raises:
        InvalidTimeError: ``as_of`` has no zone, or nulls.
    """
    if not table.num_rows or (first is None and last is None):
        return table
    as_of = column_us(table["as_of"], what="as_of", rounding="floor")
    keep = np.ones(len(as_of), dtype=bool)
    if first is not None:
        keep &= as_of >= day_us(first)
    if last is not None:
        keep &= as_of < day_us(last) + DAY_US
    return table if keep.all() else table.filter(pa.array(keep))
