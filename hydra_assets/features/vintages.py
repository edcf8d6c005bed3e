"""
The vintages of many cells at once, and the newest one of each that was known at an instant.

A cell is one number that can be printed, corrected and taken back (the quote of an option on a day, a settlement). Instants are
kept as ranks among all instants that occur, so that a cell and an instant fit one sortable integer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from hydra_assets.core.arrays import Bools, Ints
from hydra_assets.core.instants import column_us
from hydra_assets.core.point_in_time import visible_frontier
from hydra_assets.errors import SchemaError


def require(table: pa.Table, columns: Sequence[str], name: str) -> None:
    """
    Refuse a table that lacks one of *columns*; a table without rows lacks none.

    Raises:
        SchemaError: naming the columns that are missing.
    """
    present = set(table.column_names)
    absent = [column for column in columns if column not in present]
    if table.num_rows and absent:
        raise SchemaError(f"{name}: columns {absent} are missing; it has {table.column_names}")


def known_from(table: pa.Table) -> Ints:
    """``available_at`` of each row in microseconds UTC, rounded up."""
    return column_us(table["available_at"], what="available_at", rounding="ceil")


def stamped_at(table: pa.Table) -> Ints:
    """The vendor's own instant of each row in microseconds UTC; `known_from` of a table without one."""
    if "stamped_at" not in table.column_names:
        return known_from(table)
    return column_us(table["stamped_at"], what="stamped_at", rounding="floor")


@dataclass(frozen=True)
class CellVintages:
    """
    Rows of one table as vintages of cells, sorted by cell and instant.

    Attributes:
        cell: number of the cell.
        at: microseconds UTC.
        row: place in the table.
    """

    cell: Ints
    at: Ints
    row: Ints

    @classmethod
    def of(cls, table: pa.Table, cell: Ints, rows: Ints, *, stamp: Ints | None = None) -> "CellVintages":
        """
        The vintages that *rows* of *table* are, each of its *cell* (arrays of one length).

        A print that came late never hides one with a later stamp; of equal instants and stamps the later row counts.

        Args:
            table: every vintage.
            cell: number of each row's cell.
            rows: places in *table*.
            stamp: order of the prints of a cell; default the vendor's own instant, where the table has one.
        """
        at, stamp = known_from(table)[rows], stamped_at(table)[rows] if stamp is None else stamp
        order = np.lexsort((rows, stamp, at, cell))
        kept = order[visible_frontier(cell[order], stamp[order], at[order])]
        return cls(cell[kept], at[kept], rows[kept])


class VintageIndex:
    """
    The newest vintage of a cell at an instant.

    Args:
        vintages: of every kind of cell, under its name; the instants of all of them share one scale.
    """

    def __init__(self, vintages: dict[str, CellVintages]) -> None:
        self.instants = np.unique(np.concatenate([a.at for a in vintages.values()])) if vintages else np.zeros(0, dtype=np.int64)
        self._scale = len(self.instants) + 1
        self._cells = {name: a.cell for name, a in vintages.items()}
        self._rows = {name: a.row for name, a in vintages.items()}
        self._ranks = {name: np.searchsorted(self.instants, a.at) for name, a in vintages.items()}
        self._codes = {name: a.cell * self._scale + self._ranks[name] for name, a in vintages.items()}

    def newest(self, name: str, cell: Ints, rank: Ints) -> Ints:
        """Row of the newest vintage of each *cell* at each *rank* (arrays of one length); -1 where there is none yet."""
        if not len(self._codes[name]):
            return np.full(len(cell), -1, dtype=np.int64)
        place = np.searchsorted(self._codes[name], cell * self._scale + rank, side="right") - 1
        found = (cell >= 0) & (place >= 0) & (self._cells[name][np.maximum(place, 0)] == cell)
        return np.where(found, self._rows[name][np.maximum(place, 0)], -1)

    def updates(self, name: str, cell: Ints) -> tuple[Ints, Ints]:
        """Every vintage of the cells: position in *cell*, and the instant's rank."""
        cells = self._cells[name]
        low, high = np.searchsorted(cells, cell, side="left"), np.searchsorted(cells, cell, side="right")
        position, place = expand(low, np.where(cell >= 0, high - low, 0))
        return position, self._ranks[name][place]


def place_among(codes: Ints, wanted: Ints) -> Ints:
    """Position of each of *wanted* in the sorted, distinct *codes*; -1 where it is not among them."""
    if not len(codes):
        return np.full(len(wanted), -1, dtype=np.int64)
    place = np.minimum(np.searchsorted(codes, wanted), len(codes) - 1)
    return np.where(codes[place] == wanted, place, -1)


def expand(first: Ints, count: Ints) -> tuple[Ints, Ints]:
    """Ragged ranges laid end to end: number of the range, and the running place in it, for ``first[i] .. first[i] + count[i] - 1``."""
    owner = np.repeat(np.arange(len(count)), count)
    start = np.repeat(first - np.r_[0, np.cumsum(count)[:-1]] if len(count) else first, count)
    return owner, start + np.arange(len(owner))


def unique_pairs(a: Ints, b: Ints) -> tuple[Ints, Ints]:
    """The distinct pairs (a[i], b[i]), sorted; both >= 0."""
    scale = int(b.max(initial=0)) + 1
    code = np.unique(a * scale + b)
    return code // scale, code % scale


def changed(group: Ints, *columns: np.ndarray) -> Bools:
    """Mask of rows, sorted by group and instant, in which a column differs from the row before in the group; NaN equals NaN."""
    new = np.ones(len(group), dtype=bool)
    if len(group) < 2:
        return new
    differs = group[1:] != group[:-1]
    for column in columns:
        a, b = column[1:], column[:-1]
        unequal = a != b
        if column.dtype.kind == "f":
            unequal &= ~(np.isnan(a) & np.isnan(b))
        differs |= unequal
    new[1:] = differs
    return new
