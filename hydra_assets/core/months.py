"""A month of ``as_of`` days: the partition of every asset and the folder of every table."""

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass

from hydra_assets.errors import InvalidTimeError

_TEXT = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")


@dataclass(frozen=True, order=True)
class Month:
    """
    One month.

    >>> str(Month.of("2025-12").next()), Month.of("2024-02").last.day
    ('2026-01', 29)
    """

    year: int
    month: int

    @classmethod
    def of(cls, when: "str | dt.date") -> "Month":
        """Parse ``2025-10`` or a date; InvalidTimeError for anything else."""
        if isinstance(when, dt.date):
            return cls(when.year, when.month)
        match = _TEXT.fullmatch(when)
        if match is None:
            raise InvalidTimeError(f"month {when!r} is not YYYY-MM")
        return cls(int(match[1]), int(match[2]))

    @property
    def first(self) -> dt.date:
        """Its first day."""
        return dt.date(self.year, self.month, 1)

    @property
    def last(self) -> dt.date:
        """Its last day."""
        return self.next().first - dt.timedelta(1)

    def next(self) -> "Month":
        """The month after."""
        return Month(self.year + self.month // 12, self.month % 12 + 1)

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.month:02d}"


def months_between(first: "str | dt.date", last: "str | dt.date") -> list[Month]:
    """Every month from *first* to *last*, both included."""

    def walk() -> Iterator[Month]:
        month, end = Month.of(first), Month.of(last)
        while month <= end:
            yield month
            month = month.next()

    return list(walk())
