"""
One series in columns: every recording of it, and the view that a reader has of its vintages.

Series whose recordings have the same stamps share them (`Axis`), and with them each view and each search: features of one family
become known together.
"""

import hashlib
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hydra_assets.core.point_in_time import last_of_each, visible_frontier
from hydra_assets.core.tables.table import QUALITIES

NO_QUALITY = -1


@dataclass(frozen=True, eq=False)
class View:
    """
    The vintages of an axis that a reader is ever served.

    Attributes:
        name: equal for views with the same ``as_of`` and ``available_at``.
        rows: their rows on the axis, and after them that of what is not known: one more than the axis has.
        as_of: microseconds UTC, never falling.
        available_at: microseconds UTC, never falling.
    """

    name: str
    rows: np.ndarray
    as_of: np.ndarray
    available_at: np.ndarray


class Axis:
    """
    The stamps of recordings, by ``available_at``, ``as_of`` and ``recorded_at``; microseconds UTC.

    Args:
        as_of: shape (n,).
        available_at: shape (n,).
        recorded_at: shape (n,).
        retracted: bool of shape (n,); the vintage is withdrawn.
        today: name and rows of today's view, where they are known.
    """

    def __init__(
        self,
        as_of: np.ndarray,
        available_at: np.ndarray,
        recorded_at: np.ndarray,
        retracted: np.ndarray,
        today: tuple[str, np.ndarray] | None = None,
    ) -> None:
        self.as_of, self.available_at, self.recorded_at, self.retracted = as_of, available_at, recorded_at, retracted
        self._known = today
        self._earlier: tuple[int, View | None] = (0, None)

    @cached_property
    def digest(self) -> str:
        """The name of the stamps."""
        return _digest(self.as_of, self.available_at, self.recorded_at, self.retracted)

    @cached_property
    def standing(self) -> np.ndarray:
        """Rows of the newest recording of each vintage that is not withdrawn."""
        return self._standing(None)

    @cached_property
    def today(self) -> View:
        """The view of today's reader."""
        if self._known is None:
            return self._view(self.standing)
        name, rows = self._known
        return View(name, rows, self.as_of[rows[:-1]], self.available_at[rows[:-1]])

    def view(self, recorded_by: int | None) -> View:
        """The view of a reader at *recorded_by*, inclusive; None: today's. The last one is kept, for the next series."""
        if recorded_by is None or not len(self.as_of) or recorded_by >= self.recorded_at.max():
            return self.today
        at, view = self._earlier
        if view is None or at != recorded_by:
            view = self._view(self._standing(recorded_by), uuid.uuid4().hex)  # a digest would take as long as a search of its own
            self._earlier = recorded_by, view
        return view

    def _standing(self, recorded_by: int | None) -> np.ndarray:
        rows = np.arange(len(self.as_of)) if recorded_by is None else np.flatnonzero(self.recorded_at <= recorded_by)
        rows = rows[last_of_each(self.available_at[rows], self.as_of[rows])]
        return np.asarray(rows[~self.retracted[rows]]) if self.retracted.any() else rows

    def _view(self, rows: np.ndarray, name: str | None = None) -> View:
        as_of, available = self.as_of[rows], self.available_at[rows]
        visible = visible_frontier(np.zeros(len(rows), dtype=np.int64), as_of, available)
        rows, as_of, available = rows[visible], as_of[visible], available[visible]
        return View(name or _digest(as_of, available), np.append(rows, len(self.as_of)), as_of, available)


@dataclass(frozen=True, eq=False)
class Frontier:
    """
    The part of one series that a reader is ever served.

    Attributes:
        view: of its axis.
        values: of each row of the axis, NaN is null; and NaN, for what is not known.
        qualities: index into QUALITIES, of each row of the axis; and `NO_QUALITY`.
    """

    view: View
    values: np.ndarray
    qualities: np.ndarray

    @property
    def as_of(self) -> np.ndarray:
        """Microseconds UTC, of the vintages served."""
        return self.view.as_of

    @property
    def available_at(self) -> np.ndarray:
        """Microseconds UTC, of the vintages served."""
        return self.view.available_at

    @property
    def value(self) -> np.ndarray:
        """Values of the vintages served; NaN is null."""
        return np.asarray(self.values[self.view.rows[:-1]])


@dataclass(frozen=True, eq=False)
class Series:
    """
    The recordings of one series, and in columns the vintages of them that stand, by ``available_at`` and then ``as_of``.

    Attributes:
        axis: their stamps.
        values: of each row of the axis, NaN is null; and NaN.
        qualities: index into QUALITIES, of each row of the axis; and `NO_QUALITY`.
    """

    axis: Axis
    values: np.ndarray
    qualities: np.ndarray

    @classmethod
    def of(cls, axis: Axis, value: np.ndarray, quality: np.ndarray) -> "Series":
        """A series from one value and quality a recording."""
        return cls(axis, np.append(value, np.nan), np.append(quality, np.int8(NO_QUALITY)))

    @property
    def as_of(self) -> np.ndarray:
        """Microseconds UTC."""
        return np.asarray(self.axis.as_of[self.axis.standing])

    @property
    def available_at(self) -> np.ndarray:
        """Microseconds UTC."""
        return np.asarray(self.axis.available_at[self.axis.standing])

    @property
    def value(self) -> np.ndarray:
        """NaN is null."""
        return np.asarray(self.values[self.axis.standing])

    @property
    def quality(self) -> np.ndarray:
        """Index into QUALITIES."""
        return np.asarray(self.qualities[self.axis.standing])

    @cached_property
    def today(self) -> Frontier:
        """The part that today's reader is ever served."""
        return Frontier(self.axis.today, self.values, self.qualities)

    def frontier(self, recorded_by: int | None = None) -> Frontier:
        """The part that a reader at *recorded_by* is ever served; None: today's."""
        return self.today if recorded_by is None else Frontier(self.axis.view(recorded_by), self.values, self.qualities)


def series_of(rows: Iterable[Mapping[str, Any]]) -> Series:
    """The series of rows ``as_of, available_at, value, quality``, each recorded once, in any order."""
    ordered = sorted(rows, key=lambda row: (row["available_at"], row["as_of"]))
    as_of, available = (np.array([row[name] for row in ordered], dtype=np.int64) for name in ("as_of", "available_at"))
    value = np.array([np.nan if row["value"] is None else row["value"] for row in ordered], dtype=float)
    quality = np.array([QUALITIES.index(row["quality"]) for row in ordered], dtype=np.int8)
    axis = Axis(as_of, available, np.zeros(len(ordered), dtype=np.int64), np.zeros(len(ordered), dtype=np.bool_))
    return Series.of(axis, value, quality)


def frontier_of(rows: Iterable[Mapping[str, Any]]) -> Frontier:
    """The visible frontier of rows."""
    return series_of(rows).frontier()


def _digest(*columns: np.ndarray) -> str:
    found = hashlib.sha256()
    for column in columns:
        found.update(np.ascontiguousarray(column).data)
    return found.hexdigest()[:32]
