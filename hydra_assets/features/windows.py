"""The days that a window of a feature covers, and the rows of tables that lie on them."""

import functools
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.core.arrays import Ints
from hydra_assets.core.feature import Window
from hydra_assets.features.days import days_of, weekday_of


def days_covered(window: Window, day: int, sessions: Ints) -> tuple[int, int]:
    """
    First and last day number of *window*, both included, for a value of *day*.

    Args:
        window: of sessions or weeks.
        day: day number of the value's ``as_of``.
        sessions: day numbers of the exchange's sessions, in order, wide enough for the window.

    >>> days_covered(Window("t", -2, -1, unit="sessions"), 8, np.array([1, 4, 5, 8, 9]))
    (4, 5)
    """
    if window.unit == "weeks":
        monday = day - int(weekday_of(day))
        return monday + 7 * window.first, monday + 7 * window.last + 6
    at = int(np.searchsorted(sessions, day))
    first, last = (min(max(at + offset, 0), len(sessions) - 1) for offset in (window.first, window.last))
    return int(sessions[first]), int(sessions[last])


def rows_within(table: pa.Table, windows: Sequence[tuple[Window, tuple[int, int]]]) -> pa.Table:
    """The rows of *table* that lie on the days of one of *windows* and that it names."""
    if not table.num_rows or not windows:
        return table.slice(0, 0)
    day = days_of(table)
    masks = [pc.and_(named(table, window.where), pa.array((day >= first) & (day <= last))) for window, (first, last) in windows]
    return table.filter(functools.reduce(pc.or_, masks))


def named(table: pa.Table, where: Sequence[tuple[str, object]]) -> pa.ChunkedArray | pa.Array:
    """Mask of the rows whose columns hold all values of *where*."""
    mask: pa.ChunkedArray | pa.Array = pa.array(np.ones(table.num_rows, dtype=bool))
    for column, value in where:
        mask = pc.and_(mask, pc.fill_null(pc.equal(table[column], pa.scalar(value, table.schema.field(column).type)), False))
    return mask
