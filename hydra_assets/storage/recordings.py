"""Recordings in columns, as a table of facts keeps them: every recording of every vintage, withdrawals too."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from hydra_assets.core.point_in_time import last_of_each
from hydra_assets.core.tables.table import QUALITIES
from hydra_assets.storage.fact_columns import Facts, Name
from hydra_assets.storage.facts import Fact


@dataclass(frozen=True, eq=False)
class Recordings:
    """
    Recordings of several series, in the order of series, ``as_of``, ``available_at`` and ``recorded_at``.

    Attributes:
        names: market and feature name of each series, ascending.
        series: index into *names*; int64 of shape (n,).
        as_of: microseconds UTC; int64 of shape (n,).
        available_at: microseconds UTC; int64 of shape (n,).
        recorded_at: microseconds UTC; int64 of shape (n,).
        value: NaN is null; shape (n,).
        quality: index into QUALITIES; int8 of shape (n,).
        retracted: bool of shape (n,); the vintage is withdrawn.
    """

    names: Sequence[Name]
    series: np.ndarray
    as_of: np.ndarray
    available_at: np.ndarray
    recorded_at: np.ndarray
    value: np.ndarray
    quality: np.ndarray
    retracted: np.ndarray

    @classmethod
    def of(cls, recordings: Iterable[tuple[Fact, bool, int]]) -> "Recordings":
        """Columns of facts, each with whether it withdraws its vintage and its ``recorded_at``, in any order."""
        rows = sorted(recordings, key=lambda each: (*each[0].vintage, each[2]))
        names = sorted({fact.vintage[:2] for fact, *_ in rows})
        number = {name: n for n, name in enumerate(names)}
        columns = (
            ([number[fact.vintage[:2]] for fact, *_ in rows], np.int64),
            ([fact.as_of for fact, *_ in rows], np.int64),
            ([fact.available_at for fact, *_ in rows], np.int64),
            ([at for *_, at in rows], np.int64),
            ([np.nan if fact.value is None else fact.value for fact, *_ in rows], np.float64),
            ([QUALITIES.index(fact.quality) for fact, *_ in rows], np.int8),
            ([withdraws for _, withdraws, _ in rows], np.bool_),
        )
        return cls(names, *(np.array(values, dtype=kind) for values, kind in columns))

    def __len__(self) -> int:
        return len(self.series)

    def standing(self) -> Facts:
        """The newest recording of every vintage that is not withdrawn."""
        columns = (self.series, self.as_of, self.available_at)
        rows = last_of_each(*columns) & ~self.retracted
        return Facts(self.names, *(column[rows] for column in (*columns, self.value, self.quality)))
