"""Recordings in columns, as a table of facts keeps them: every recording of every vintage, withdrawals too."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hydra_assets.core.point_in_time import last_of_each
from hydra_assets.storage.fact_columns import Facts, Name


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

    def __len__(self) -> int:
        return len(self.series)

    def standing(self) -> Facts:
        """The newest recording of every vintage that is not withdrawn."""
        columns = (self.series, self.as_of, self.available_at)
        rows = last_of_each(*columns) & ~self.retracted
        return Facts(self.names, *(column[rows] for column in (*columns, self.value, self.quality)))
