"""Numbers of a frame that were used before they were available, kept in columns: a frame may hold a hundred thousand of them."""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import pyarrow as pa

from hydra_assets.core.instants import DAY_US, INSTANT, from_us, instants


@dataclass(frozen=True)
class Cell:
    """
    A number that was used before it was available.

    Attributes:
        feature: the column.
        time: instant of the row.
        market: of the row.
        value: the number in the frame.
        right: the value known at *time*; None if none was.
        row: position in the frame, from 0.
        as_of: of the vintage with this number; the one available first, of several.
        available_at: of the same vintage.
        early_days: days from *time* to ``available_at``.
    """

    feature: str
    time: dt.datetime
    market: str
    value: float
    right: float | None
    row: int
    as_of: dt.datetime
    available_at: dt.datetime
    early_days: float


@dataclass(frozen=True)
class CellColumns:
    """
    Early cells of one column of the frame in one market, one element a cell.

    Attributes:
        feature: the column.
        market: of its rows.
        row: position in the frame.
        time: microseconds UTC of the row.
        value: the number in the frame.
        right: the value known at *time*; NaN if none was.
        as_of: microseconds UTC, of the vintage with this number.
        available_at: microseconds UTC, of the same vintage.
    """

    feature: str
    market: str
    row: np.ndarray
    time: np.ndarray
    value: np.ndarray
    right: np.ndarray
    as_of: np.ndarray
    available_at: np.ndarray


class EarlyCells(Sequence[Cell]):
    """
    Every early cell, by row and then in the order of the frame's features; a `Cell` is made when it is asked for.

    Args:
        parts: each with at least one cell, in the order of the features.
    """

    def __init__(self, parts: Sequence[CellColumns]) -> None:
        self._parts = list(parts)
        rows = np.concatenate([part.row for part in parts] or [np.zeros(0, dtype=np.int64)])
        part = np.repeat(np.arange(len(parts)), [len(each.row) for each in parts])
        place = np.concatenate([np.arange(len(each.row)) for each in parts] or [np.zeros(0, dtype=np.int64)])
        self._order = np.lexsort((part, rows))  # stable: a feature's markets stand in different rows
        self._part, self._place = part[self._order], place[self._order]

    def __len__(self) -> int:
        return len(self._order)

    @overload
    def __getitem__(self, at: int) -> Cell: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Cell, ...]: ...
    def __getitem__(self, at: int | slice) -> Cell | tuple[Cell, ...]:
        if isinstance(at, slice):
            return tuple(self._cell(i) for i in range(*at.indices(len(self))))
        return self._cell(range(len(self))[at])

    def __iter__(self) -> Iterator[Cell]:
        return (self._cell(i) for i in range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(tuple(self))

    def _cell(self, at: int) -> Cell:
        part, i = self._parts[self._part[at]], self._place[at]
        right, time, available = float(part.right[i]), int(part.time[i]), int(part.available_at[i])
        return Cell(
            feature=part.feature,
            time=from_us(time),
            market=part.market,
            value=float(part.value[i]),
            right=None if np.isnan(right) else right,
            row=int(part.row[i]),
            as_of=from_us(int(part.as_of[i])),
            available_at=from_us(available),
            early_days=(available - time) / DAY_US,
        )

    def to_arrow(self) -> pa.Table:
        """The cells as a table, a column each of `Cell`'s attributes."""

        def column(name: str) -> np.ndarray:
            kind = float if name in ("value", "right") else np.int64
            return np.concatenate([getattr(part, name) for part in self._parts] or [np.zeros(0, dtype=kind)])[self._order]

        texts = {name: [getattr(self._parts[part], name) for part in self._part] for name in ("feature", "market")}
        time, available = column("time"), column("available_at")
        return pa.table(
            {
                "feature": pa.array(texts["feature"], pa.string()),
                "time": instants(time),
                "market": pa.array(texts["market"], pa.string()),
                "value": pa.array(column("value"), pa.float64()),
                "right": pa.array(column("right"), pa.float64(), from_pandas=True),
                "row": pa.array(column("row"), pa.int64()),
                "as_of": instants(column("as_of")),
                "available_at": instants(available),
                "early_days": pa.array((available - time) / DAY_US, pa.float64()),
            }
        ).cast(
            pa.schema(
                [
                    ("feature", pa.string()),
                    ("time", INSTANT),
                    ("market", pa.string()),
                    ("value", pa.float64()),
                    ("right", pa.float64()),
                    ("row", pa.int64()),
                    ("as_of", INSTANT),
                    ("available_at", INSTANT),
                    ("early_days", pa.float64()),
                ]
            )
        )
