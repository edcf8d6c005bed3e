"""
The print that is a session's settlement, as known at each instant.

The newest final print; where the exchange does not say what is final, every print at its own time. An actual print that is not final
stands from noon of the next session on, ``partial``, as long as no final one has come.
"""

import datetime as dt

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.core.arrays import Ints
from hydra_assets.core.calendar import Calendar
from hydra_assets.core.instants import instants, to_us
from hydra_assets.core.tables.table import QUALITIES
from hydra_assets.features.days import DAYS, date_of, days_of
from hydra_assets.features.quality import NORMAL, PARTIAL, quality_codes
from hydra_assets.features.vintages import known_from, stamped_at

_FINAL, _NOT_FINAL = 1, 0


def standing_settlements(table: pa.Table, contract: Ints, calendar: Calendar, known_at: dt.datetime | None = None) -> pa.Table:
    """
    Statistics in which each settlement stands at its ``available_at``.

    Args:
        table: statistics, every vintage.
        contract: number of each row's contract, >= 0.
        calendar: the market's.
        known_at: instant up to which *table* is whole; default the newest ``available_at`` in it. Before a noon has passed, a
            final print may still come.

    Returns:
        The rows of *table*; without prints that never stand, and with those that stand later stamped so and at best ``partial``.
    """
    settled = pc.equal(table["stat"], "settlement").fill_null(False).to_numpy(zero_copy_only=False).astype(bool)
    final = table["is_final"].cast(pa.int8()).fill_null(-1).to_numpy(zero_copy_only=False)
    weak = settled & (final == _NOT_FINAL)
    if not weak.any():
        return table
    at, day = known_from(table), days_of(table)
    noon = np.maximum(at, _noons(day, calendar))
    cell = np.unique(contract * DAYS + day, return_inverse=True)[1].reshape(-1)
    value = table["value"].is_valid().to_numpy(zero_copy_only=False).astype(bool)
    # Nothing to decide where a final print came in time, was never deleted, or where noon has not come.
    first_final = np.full(int(cell.max()) + 1, np.iinfo(np.int64).max)
    finals = settled & (final == _FINAL)
    np.minimum.at(first_final, cell[finals & value], at[finals & value])
    deleted = np.zeros(len(first_final), dtype=bool)
    deleted[cell[finals & ~value]] = True
    now = max(int(at.max()), 0 if known_at is None else to_us(known_at, what="known_at", rounding="floor"))
    possible = weak & (noon <= now) & ((first_final[cell] > noon) | deleted[cell])
    open_cells = np.unique(cell[possible])
    plain = ~weak & ~(settled & np.isin(cell, open_cells))
    if not len(open_cells):
        return table.filter(pa.array(plain))
    mixed = np.flatnonzero((possible | (settled & ~weak)) & np.isin(cell, open_cells))
    starts = np.where(weak, noon, at)
    rows, since = _standing(mixed[np.lexsort((mixed, starts[mixed], cell[mixed]))], cell, starts, stamped_at(table), final, value)
    stood = table.take(pa.array(rows))
    quality = np.maximum(quality_codes(stood["quality"]), np.where(weak[rows], PARTIAL, NORMAL))
    replaced = {
        "available_at": instants(since),
        "stamped_at": instants(since),
        "quality": pa.array(QUALITIES).take(pa.array(quality)),
    }
    for name, column in replaced.items():
        if name in stood.column_names:
            i = stood.column_names.index(name)
            stood = stood.set_column(i, stood.schema.field(i), column.cast(stood.schema.field(i).type))
    return pa.concat_tables([table.filter(pa.array(plain)), stood])


def _standing(order: Ints, cell: Ints, starts: Ints, stamp: Ints, final: Ints, value: np.ndarray) -> tuple[Ints, Ints]:
    """Rows that stand and since when: *order* are the prints by cell and by the instant from which each counts."""
    rows: list[int] = []
    since: list[int] = []
    group: list[int] = []
    at_of = starts.tolist()
    for i, row in enumerate(order.tolist()):
        if not group or cell[row] != cell[group[0]]:
            group, last = [], -1
        group.append(row)
        if i + 1 < len(order) and cell[order[i + 1]] == cell[row] and at_of[order[i + 1]] == at_of[row]:
            continue  # one instant, one answer
        newest = max((r for r in group if final[r] == _FINAL), key=lambda r: (stamp[r], at_of[r]), default=None)
        settled = newest is not None and value[newest]
        candidates = [r for r in group if not (settled and final[r] == _NOT_FINAL)]
        best = max(candidates, key=lambda r: (stamp[r], at_of[r], r))
        if best != last:
            rows.append(best)
            since.append(at_of[row])
            last = best
    return np.array(rows, dtype=np.int64), np.array(since, dtype=np.int64)


def _noons(day: Ints, calendar: Calendar) -> Ints:
    """Noon of the session after each day, microseconds UTC."""
    distinct, inverse = np.unique(day, return_inverse=True)
    answers: list[dt.datetime] = [calendar.prints_complete(date_of(d)) for d in distinct]
    return np.array([to_us(answer) for answer in answers], dtype=np.int64)[inverse.reshape(-1)]
