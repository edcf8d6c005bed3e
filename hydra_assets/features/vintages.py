"""
Who knew what when, for many cells at once: arrivals by cell, and the newest arrival of a cell at an instant.

A cell is one number that can be printed, corrected and taken back (the quote of an option on a day, a settlement). Instants are
kept as ranks among all instants that occur, so that a cell and an instant fit one sortable integer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from hydra_assets.core.arrays import Ints
from hydra_assets.core.instants import DAY_US, column_us
from hydra_assets.core.point_in_time import visible_frontier
from hydra_assets.errors import SchemaError


def require(table: pa.Table, columns: Sequence[str], name: str) -> None:
    """SchemaError naming the columns that *table* lacks; a table without rows lacks none."""
    held = set(table.column_names)
    absent = [column for column in columns if column not in held]
    if table.num_rows and absent:
        raise SchemaError(f"{name}: columns {absent} are missing; it has {table.column_names}")


def days_of(table: pa.Table) -> Ints:
    """Day since 1970 of each row's ``as_of``."""
    return column_us(table["as_of"], what="as_of", rounding="floor") // DAY_US


@dataclass(frozen=True)
class Arrivals:
    """
    Rows of one table as arrivals, sorted by cell and instant.

    Attributes:
        cell: which cell. at: microseconds UTC. row: place in the table.
    """

    cell: Ints
    at: Ints
    row: Ints

    @classmethod
    def of(cls, table: pa.Table, cell: Ints, rows: Ints) -> "Arrivals":
        """
        The arrivals of *rows* of *table*, each in its *cell* (arrays of one length).

        Of a stamped table, a print that came late never hides one with a later stamp; of equal instants the later row counts.
        """
        at = column_us(table["available_at"], what="available_at", rounding="ceil")[rows]
        stamp = column_us(table["stamped_at"], what="stamped_at", rounding="floor")[rows] if "stamped_at" in table.column_names else at
        order = np.lexsort((rows, stamp, at, cell))
        kept = order[visible_frontier(cell[order], stamp[order], at[order])]
        return cls(cell[kept], at[kept], rows[kept])


class Known:
    """
    The newest arrival of a cell at an instant.

    Args:
        arrivals: of every kind of cell, under its name; the instants of all of them share one scale.
    """

    def __init__(self, arrivals: dict[str, Arrivals]) -> None:
        self.instants = np.unique(np.concatenate([a.at for a in arrivals.values()])) if arrivals else np.zeros(0, dtype=np.int64)
        self._scale = len(self.instants) + 1
        self._cells = {name: a.cell for name, a in arrivals.items()}
        self._rows = {name: a.row for name, a in arrivals.items()}
        self._ranks = {name: np.searchsorted(self.instants, a.at) for name, a in arrivals.items()}
        self._codes = {name: a.cell * self._scale + self._ranks[name] for name, a in arrivals.items()}

    def newest(self, name: str, cell: Ints, rank: Ints) -> Ints:
        """Row of the newest arrival of each *cell* at each *rank* (arrays of one length); -1 where there is none yet."""
        if not len(self._codes[name]):
            return np.full(len(cell), -1, dtype=np.int64)
        place = np.searchsorted(self._codes[name], cell * self._scale + rank, side="right") - 1
        held = (cell >= 0) & (place >= 0) & (self._cells[name][np.maximum(place, 0)] == cell)
        return np.where(held, self._rows[name][np.maximum(place, 0)], -1)

    def events(self, name: str, cell: Ints) -> tuple[Ints, Ints]:
        """Every arrival in the cells asked: position in *cell*, and the instant's rank."""
        cells = self._cells[name]
        low, high = np.searchsorted(cells, cell, side="left"), np.searchsorted(cells, cell, side="right")
        asked, place = expand(low, np.where(cell >= 0, high - low, 0))
        return asked, self._ranks[name][place]


def expand(first: Ints, count: Ints) -> tuple[Ints, Ints]:
    """Ragged ranges laid end to end: which range, and the running place in it, for ``first[i] .. first[i] + count[i] - 1``."""
    owner = np.repeat(np.arange(len(count)), count)
    start = np.repeat(first - np.r_[0, np.cumsum(count)[:-1]] if len(count) else first, count)
    return owner, start + np.arange(len(owner))


def unique_pairs(a: Ints, b: Ints) -> tuple[Ints, Ints]:
    """The distinct pairs (a[i], b[i]), sorted; both >= 0."""
    scale = int(b.max(initial=0)) + 1
    code = np.unique(a * scale + b)
    return code // scale, code % scale


def changed(group: Ints, *columns: np.ndarray) -> np.ndarray:
    """Of rows sorted by group and instant: True where any column differs from the row before in the group; NaN equals NaN."""
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
