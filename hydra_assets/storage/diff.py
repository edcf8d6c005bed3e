"""The comparison of a folder's rows with rows that are to be captured."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from hydra_assets.core.tolerance import same_numbers
from hydra_assets.errors import ConflictError
from hydra_assets.storage.keys import key_codes


class Diff:
    """
    Existing and new rows, compared by identity.

    Args:
        existing: rows of the folder.
        order: of the existing rows, from the oldest to the newest.
        new: the rows to compare with them.
        identity: the columns that tell rows apart.
        values: the columns whose cells are compared.
        place: for errors.

    Attributes:
        first: mask of new rows that are the first of their identity; further ones are equal to it.
        newest: place in *order* of the newest existing row of each new row's identity, -1 for none.
        known: mask of new rows whose identity exists.
        different: mask of new rows that differ from the newest existing row of their identity.

    Raises:
        ConflictError: two new rows of one identity differ.
    """

    def __init__(
        self, existing: pa.Table, order: np.ndarray, new: pa.Table, identity: Sequence[str], values: Sequence[str], place: str
    ) -> None:
        self._old, n = existing.num_rows, new.num_rows
        rows = _stacked(existing, order, new.select([*identity, *values]))
        self._codes = key_codes(rows, identity)
        mine = self._codes[self._old :]
        _, lead, group = np.unique(mine, return_index=True, return_inverse=True)
        lead = lead[group.reshape(-1)]
        self.first = lead == np.arange(n)
        columns = [_ComparableColumn(rows[name]) for name in values]
        duplicates = np.flatnonzero(~self.first)
        clash = duplicates[~_same(columns, duplicates + self._old, lead[duplicates] + self._old)]
        if len(clash):
            row = new.select(identity).slice(int(clash[0]), 1).to_pylist()[0]
            raise ConflictError(f"{place}: one batch says two things about {row}")
        self._newest = np.full(int(self._codes.max(initial=-1)) + 1, -1, dtype=np.int64)
        self._newest[self._codes[: self._old]] = np.arange(self._old)  # of equal ones the last stands
        self.newest = self._newest[mine]
        self.known = self.newest >= 0
        self.different = np.zeros(n, dtype=bool)
        both = np.flatnonzero(self.known)
        self.different[both] = ~_same(columns, both + self._old, self.newest[both])

    def newest_existing(self) -> np.ndarray:
        """Places in *order* of the newest existing row of every identity."""
        return self._newest[self._newest >= 0]

    def among_new(self, places: np.ndarray) -> np.ndarray:
        """Mask of these places in *order*: a new row has the same identity."""
        return np.isin(self._codes[places], self._codes[self._old :])


def _stacked(existing: pa.Table, order: np.ndarray, new: pa.Table) -> pa.Table:
    """Existing rows in their order, then the new ones, with the columns of the new ones."""
    if not existing.num_rows:
        return new
    old = existing.select([name for name in new.column_names if name in existing.column_names]).take(pa.array(order))
    return pa.concat_tables([old, new], promote_options="default").select(new.column_names)


class _ComparableColumn:
    """One column, ready to be compared: numbers up to float noise, all else exactly, null with null."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        kind = column.type
        self._valid = column.is_valid().to_numpy()
        self._number = pa.types.is_floating(kind)
        if self._number:
            self._cells = column.cast(pa.float64()).to_numpy()
        elif pa.types.is_nested(kind):
            self._cells = np.empty(len(column), dtype=object)
            self._cells[:] = column.to_pylist()
        else:
            self._cells = column.combine_chunks().dictionary_encode(null_encoding="encode").indices.to_numpy(zero_copy_only=False)

    def same(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Mask: the cells of rows *a* equal those of rows *b*."""
        x, y = self._cells[a], self._cells[b]
        equal = same_numbers(x, y) & (self._valid[a] == self._valid[b]) if self._number else x == y
        return np.asarray(equal, dtype=bool)


def _same(columns: Sequence[_ComparableColumn], a: np.ndarray, b: np.ndarray) -> np.ndarray:
    same = np.ones(len(a), dtype=bool)
    for column in columns:
        same &= column.same(a, b)
    return same
