"""Answers handed out: vectors of features as they were served, kept append-only, each row sealed to the one before."""

import datetime as dt
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hydra_assets.core.instants import from_us, iso, span_us, to_us
from hydra_assets.errors import CorruptionError


@dataclass(frozen=True)
class ServedVector:
    """
    One answer of `FeatureStore.get_features_at`.

    Attributes:
        served_at: when it was handed out, by the writer's clock; strictly increasing.
        recorded_by: as requested.
        max_age: as requested.
        values: feature to number; None is a known null or too old, absent was not known yet.
    """

    served_at: dt.datetime
    market: str
    query_time: dt.datetime
    recorded_by: dt.datetime | None
    max_age: dt.timedelta | None
    values: Mapping[str, float | None]


class ServedLog(Protocol):
    """The log of one store's answers; made by its first append."""

    @property
    def path(self) -> Path | None:
        """The file that keeps it; None where none does."""

    def append(
        self, market: str, query_time: int, values: Mapping[str, float | None], *, recorded_by: int | None, max_age: dt.timedelta | None
    ) -> None:
        """Keep one answer; instants in microseconds UTC."""

    def read(self, market: str | None = None, start: dt.datetime | None = None, end: dt.datetime | None = None) -> list[ServedVector]:
        """
        The answers in the order in which they were handed out.

        Args:
            market: one market's; None: all.
            start: inclusive bound of ``served_at``.
            end: inclusive bound of ``served_at``.

        Raises:
            CorruptionError: a row was changed, or one before the last is gone.
        """


Answer = tuple[int, int, str, int, int | None, int | None, str]
"""Number, served_at, market, query_time, recorded_by, max_age (instants and spans in microseconds), values as JSON."""


def answer_row(
    last: tuple[int, int],
    now: int,
    market: str,
    query_time: int,
    values: Mapping[str, float | None],
    recorded_by: int | None,
    max_age: dt.timedelta | None,
) -> Answer:
    """
    The row that follows the *last* one.

    Args:
        last: number and ``served_at`` of the row before; (0, 0) for the first.
        now: the writer's clock; ``served_at`` is later than the row before whatever it says.
    """
    number, before = last
    age = span_us(max_age, "max_age")
    return (
        number + 1,
        max(now, before + 1),
        market,
        query_time,
        recorded_by,
        age,
        json.dumps(values, allow_nan=False, sort_keys=True),
    )


def seal(row: Sequence[object], before: str) -> str:
    """SHA-256 over a row and the seal before it."""
    return hashlib.sha256(json.dumps([before, *row]).encode()).hexdigest()


def vectors_of(
    rows: Iterator[Sequence[Any]], place: str, market: str | None, start: dt.datetime | None, end: dt.datetime | None
) -> list[ServedVector]:
    """
    The vectors of sealed rows, every seal held against the one before.

    Args:
        rows: every row of the log in order, its seal last.
        place: for the error.
        market: one market's; None: all.
        start: inclusive bound of ``served_at``.
        end: inclusive bound of ``served_at``.

    Raises:
        CorruptionError: a seal does not hold.
    """
    first = None if start is None else to_us(start, what="start", rounding="ceil")
    last = None if end is None else to_us(end, what="end", rounding="floor")
    vectors, before = [], ""
    for *row, stored in rows:
        if seal(row, before) != stored:
            raise CorruptionError(f"{place}: row {row[0]}, served {iso(row[1])}, or one before it is not as it was written")
        before = stored
        if market in (None, row[2]) and (first is None or row[1] >= first) and (last is None or row[1] <= last):
            vectors.append(_vector(row))
    return vectors


def _vector(row: Sequence[Any]) -> ServedVector:
    _, served_at, market, query_time, recorded_by, age, values = row
    return ServedVector(
        from_us(served_at),
        market,
        from_us(query_time),
        None if recorded_by is None else from_us(recorded_by),
        None if age is None else dt.timedelta(microseconds=age),
        json.loads(values),
    )
