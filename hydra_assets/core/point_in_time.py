"""The point-in-time rule, once: what of a set of recorded vintages could be known at an instant."""

import numpy as np

from hydra_assets.core.arrays import Bools, Ints


def known_vintages(
    group: Ints,
    available_at: Ints,
    recorded_at: Ints,
    retracted: Bools,
    *,
    known_at: int | None,
    recorded_by: int | None = None,
    stamped_at: Ints | None = None,
) -> Ints:
    """
    Row numbers of the one vintage per group that a reader at *known_at* sees.

    Of one vintage (group, available_at and, where the vendor stamps, stamped_at) only the newest recording with
    ``recorded_at <= recorded_by`` counts; if that is a retraction, the vintage does not exist. Among those left with
    ``available_at <= known_at`` the greatest (stamped_at, available_at) of each group wins. Equal recordings: the later row.

    Args:
        group: one integer per (key, as_of); shape (n,).
        available_at: microseconds UTC; shape (n,).
        recorded_at: microseconds UTC; shape (n,).
        retracted: True where the recording withdraws its vintage; shape (n,).
        known_at: inclusive cut on *available_at*; None is no cut.
        recorded_by: inclusive cut on *recorded_at*; None is no cut.
        stamped_at: the vendor's own instants, microseconds or nanoseconds UTC; shape (n,).

    Returns:
        Row numbers, ordered by group.
    """
    rows = recordings_that_count(group, available_at, recorded_at, retracted, recorded_by=recorded_by, stamped_at=stamped_at)
    if known_at is not None:
        rows = rows[available_at[rows] <= known_at]
    return rows[last_of_each(group[rows])]


def recordings_that_count(
    group: Ints,
    available_at: Ints,
    recorded_at: Ints,
    retracted: Bools,
    *,
    recorded_by: int | None = None,
    stamped_at: Ints | None = None,
) -> Ints:
    """
    Row numbers of the newest recording of every vintage that exists, ordered by (group, stamped_at, available_at).

    Arguments as in `known_vintages`; retracted vintages are left out.
    """
    stamp = available_at if stamped_at is None else stamped_at
    order = np.lexsort((recorded_at, available_at, stamp, group))  # stable: of equal recordings the later row is the last
    if recorded_by is not None:
        order = order[recorded_at[order] <= recorded_by]
    newest = order[last_of_each(group[order], stamp[order], available_at[order])]
    return newest[~retracted[newest]]


def visible_frontier(series: Ints, as_of: Ints, available_at: Ints) -> Bools:
    """
    Mask of the vintages that are ever served: True where no vintage of the series known as early has a greater as_of.

    The arrays are sorted by (series, available_at, as_of). After dropping the rest, a plain backward search on
    ``available_at`` answers the point-in-time rule, because along the frontier as_of never falls.
    """
    if not len(series):
        return np.zeros(0, dtype=np.bool_)
    if series[0] == series[-1]:
        return np.asarray(as_of >= np.maximum.accumulate(as_of))
    first = np.r_[True, series[1:] != series[:-1]]
    block = np.cumsum(first) - 1
    # One running maximum for all series: each block is lifted above every value of the blocks before it. Ranks in the place of
    # microseconds, where those would not fit beside so many blocks.
    if int(block[-1]) * (int(as_of.max()) - int(as_of.min()) + 1) >= 2**62:
        as_of = np.unique(as_of, return_inverse=True)[1].astype(np.int64)
    low, span = int(as_of.min()), int(as_of.max()) - int(as_of.min()) + 1
    lifted = (as_of - low) + block * span
    return np.asarray(lifted >= np.maximum.accumulate(lifted))


def last_of_each(*columns: Ints) -> Bools:
    """True on the last row of every run of equal values in sorted *columns*."""
    n = len(columns[0])
    last = np.zeros(n, dtype=np.bool_)
    if n:
        last[-1] = True
        for column in columns:
            last[:-1] |= column[1:] != column[:-1]
    return last
