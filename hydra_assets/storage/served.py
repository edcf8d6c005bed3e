"""What was handed out: vectors of features as they were served, kept append-only beside the store, each row sealed to the one before."""

import datetime as dt
import hashlib
import json
import os
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from hydra_assets.core.instants import from_us, iso, now_us, to_us
from hydra_assets.errors import CorruptionError
from hydra_assets.storage.migrations import configure

_TABLE = """CREATE TABLE IF NOT EXISTS served(
    served_id INTEGER PRIMARY KEY,
    served_at INTEGER NOT NULL,      -- us UTC: handed out
    market TEXT NOT NULL,
    query_time INTEGER NOT NULL,     -- us UTC: asked for
    recorded_by INTEGER,             -- us UTC: what the store would have answered then
    max_age_us INTEGER,
    answer TEXT NOT NULL,            -- JSON: feature to number or null
    seal TEXT NOT NULL)              -- SHA-256 over this row and the seal before it"""
_COLUMNS = "served_id, served_at, market, query_time, recorded_by, max_age_us, answer, seal"


@dataclass(frozen=True)
class ServedVector:
    """
    One answer of `FeatureStore.get_features_at`.

    Attributes:
        served_at: when it was handed out, by the writer's clock; strictly increasing.
        recorded_by, max_age: as asked.
        values: feature to number; None is a known null or too old, absent was not known yet.
    """

    served_at: dt.datetime
    market: str
    query_time: dt.datetime
    recorded_by: dt.datetime | None
    max_age: dt.timedelta | None
    values: Mapping[str, float | None]


class ServedLog:
    """
    The log of one store.

    Args:
        db_path: the SQLite file; made when it does not exist.
    """

    def __init__(self, db_path: str | os.PathLike[str]) -> None:
        self.db_path = Path(db_path)
        self._db = sqlite3.connect(self.db_path, timeout=60, isolation_level=None, check_same_thread=False)
        try:
            configure(self._db)
            self._db.execute(_TABLE)
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise CorruptionError(f"{self.db_path}: {error}") from error

    def append(
        self,
        market: str,
        query_time: int,
        values: Mapping[str, float | None],
        *,
        recorded_by: int | None,
        max_age: dt.timedelta | None,
    ) -> None:
        """Keep one answer; instants in microseconds UTC."""
        answer = json.dumps(values, allow_nan=False, sort_keys=True)
        age = None if max_age is None else max_age // dt.timedelta(microseconds=1)
        self._db.execute("BEGIN IMMEDIATE")
        try:
            last = self._db.execute("SELECT served_id, served_at, seal FROM served ORDER BY served_id DESC LIMIT 1").fetchone()
            number, before, seal = last or (0, 0, "")
            row = (number + 1, max(now_us(), before + 1), market, query_time, recorded_by, age, answer)
            self._db.execute(f"INSERT INTO served({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*row, _seal(row, seal)))
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise

    def read(self, market: str | None = None, start: dt.datetime | None = None, end: dt.datetime | None = None) -> list[ServedVector]:
        """
        What was handed out, in that order.

        Args:
            start, end: inclusive bounds of ``served_at``.
        Raises:
            CorruptionError: a row was changed, or one before the last is gone.
        """
        first = None if start is None else to_us(start, what="start", rounding="ceil")
        last = None if end is None else to_us(end, what="end", rounding="floor")
        vectors, seal = [], ""
        for *facts, stored in self._db.execute(f"SELECT {_COLUMNS} FROM served ORDER BY served_id"):
            if _seal(facts, seal) != stored:
                raise CorruptionError(f"{self.db_path}: row {facts[0]}, served {iso(facts[1])}, or one before it is not as it was written")
            seal = stored
            _, served_at, symbol, query_time, recorded_by, age, answer = facts
            if market in (None, symbol) and (first is None or served_at >= first) and (last is None or served_at <= last):
                vectors.append(
                    ServedVector(
                        from_us(served_at),
                        symbol,
                        from_us(query_time),
                        None if recorded_by is None else from_us(recorded_by),
                        None if age is None else dt.timedelta(microseconds=age),
                        json.loads(answer),
                    )
                )
        return vectors

    def close(self) -> None:
        """Close the file; calling it twice is allowed."""
        self._db.close()

    def __enter__(self) -> "ServedLog":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _seal(row: Sequence[object], before: str) -> str:
    return hashlib.sha256(json.dumps([before, *row]).encode()).hexdigest()
