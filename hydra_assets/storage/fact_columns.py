"""Facts in columns, as a batch is written and a range is read: no object a row."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hydra_assets.core.tables.table import QUALITIES
from hydra_assets.core.tolerance import same_numbers
from hydra_assets.storage.facts import Fact

Name = tuple[str, str]  # market, feature_name


@dataclass(frozen=True, eq=False)
class Facts:
    """
    Facts of several series, in the order of series, ``as_of`` and ``available_at``; each vintage once.

    Attributes:
        names: market and feature name of each series, ascending.
        series: index into *names*; int64 of shape (n,).
        as_of: microseconds UTC; int64 of shape (n,).
        available_at: microseconds UTC; int64 of shape (n,).
        value: NaN is null; shape (n,).
        quality: index into QUALITIES; int8 of shape (n,).
    """

    names: Sequence[Name]
    series: np.ndarray
    as_of: np.ndarray
    available_at: np.ndarray
    value: np.ndarray
    quality: np.ndarray

    @classmethod
    def of(cls, facts: Iterable[Fact]) -> "Facts":
        """Columns of facts in any order, each vintage once."""
        ordered = sorted(facts, key=lambda fact: fact.vintage)
        names = sorted({fact.vintage[:2] for fact in ordered})
        number = {name: n for n, name in enumerate(names)}
        return cls(
            names,
            np.array([number[fact.vintage[:2]] for fact in ordered], dtype=np.int64),
            np.array([fact.as_of for fact in ordered], dtype=np.int64),
            np.array([fact.available_at for fact in ordered], dtype=np.int64),
            np.array([np.nan if fact.value is None else fact.value for fact in ordered], dtype=float),
            np.array([QUALITIES.index(fact.quality) for fact in ordered], dtype=np.int8),
        )

    def __len__(self) -> int:
        return len(self.series)

    def __iter__(self) -> Iterator[Fact]:
        columns = (self.series, self.as_of, self.available_at, self.value, self.quality)
        for series, as_of, available, value, quality in zip(*(column.tolist() for column in columns), strict=True):
            market, name = self.names[series]
            yield Fact(market, name, as_of, available, value if value == value else None, QUALITIES[quality])

    def where(self, rows: np.ndarray) -> "Facts":
        """Some rows, by mask or ascending numbers; the names stay."""
        columns = (self.series, self.as_of, self.available_at, self.value, self.quality)
        return Facts(self.names, *(column[rows] for column in columns))

    def spans(self) -> list[tuple[int, int, int]]:
        """First and last ``as_of`` of each series that has rows, after its index into the names."""
        starts = np.flatnonzero(np.diff(self.series, prepend=-1))
        ends = np.append(starts[1:], len(self)) - 1 if len(starts) else starts
        return list(zip(self.series[starts].tolist(), self.as_of[starts].tolist(), self.as_of[ends].tolist(), strict=True))

    def equal(self, other: "Facts", rows: np.ndarray) -> np.ndarray:
        """Mask of the facts with the same value and quality as row *rows* of *other*; False where *rows* is -1."""
        return self._beside(other, rows, lambda a, b: (a == b) | (np.isnan(a) & np.isnan(b)))

    def alike(self, other: "Facts", rows: np.ndarray) -> np.ndarray:
        """`equal`, but for float noise in the value."""
        return self._beside(other, rows, same_numbers)

    def _beside(self, other: "Facts", rows: np.ndarray, same: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
        found, mask = np.flatnonzero(rows >= 0), np.zeros(len(self), dtype=np.bool_)
        theirs = other.where(rows[found])
        mask[found] = same(self.value[found], theirs.value) & (self.quality[found] == theirs.quality)
        return mask

    def places_in(self, other: "Facts") -> np.ndarray:
        """Row of *other* with the same vintage, for each row; -1 where there is none."""
        if not len(other):
            return np.full(len(self), -1, dtype=np.int64)
        number = {name: n for n, name in enumerate(self.names)}
        theirs = np.array([number.get(name, -1) for name in other.names], dtype=np.int64)[other.series]
        series, as_of, available = (
            np.concatenate(pair) for pair in ((theirs, self.series), (other.as_of, self.as_of), (other.available_at, self.available_at))
        )
        order = np.lexsort((available, as_of, series))  # stable: of two that are equal the other's comes first
        first, second = order[:-1], order[1:]
        pairs = (series[first] == series[second]) & (as_of[first] == as_of[second]) & (available[first] == available[second])
        pairs &= second >= len(other)  # not two of series that are unknown here
        places = np.full(len(self), -1, dtype=np.int64)
        places[second[pairs] - len(other)] = first[pairs]
        return places
