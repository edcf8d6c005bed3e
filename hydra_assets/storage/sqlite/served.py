"""A `ServedLog` in one SQLite file, made by the first answer that is kept."""

import datetime as dt
import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path

from hydra_assets.closing import Closing
from hydra_assets.core.instants import now_us
from hydra_assets.errors import CorruptionError
from hydra_assets.sqlite_errors import rebuild_remedy
from hydra_assets.sqlite_seals import SealedTable
from hydra_assets.storage.served import ServedVector, answer_row, seal, vectors_of
from hydra_assets.storage.sqlite.sealed_table import SealedTableFile

_TABLE = """CREATE TABLE IF NOT EXISTS served(
    served_id INTEGER PRIMARY KEY,
    served_at INTEGER NOT NULL,      -- us UTC: handed out
    market TEXT NOT NULL,
    query_time INTEGER NOT NULL,     -- us UTC: asked for
    recorded_by INTEGER,             -- us UTC: what the store would have answered then
    max_age_us INTEGER,
    answer TEXT NOT NULL,            -- JSON: feature to number or null
    seal TEXT NOT NULL)              -- SHA-256 over this row and the seal before it"""
_ROWS = SealedTable("served", "SELECT * FROM served")
_COLUMNS = "served_id, served_at, market, query_time, recorded_by, max_age_us, answer, seal"


class SqliteServedLog(Closing):
    """
    The log of one store; see `ServedLog`.

    Args:
        path: the file; a log that was never written to needs none, and reads as empty.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._opened: _File | None = None

    def append(
        self, market: str, query_time: int, values: Mapping[str, float | None], *, recorded_by: int | None, max_age: dt.timedelta | None
    ) -> None:
        """Keep one answer; instants in microseconds UTC."""
        self._file().append(market, query_time, values, recorded_by, max_age)

    def read(self, market: str | None = None, start: dt.datetime | None = None, end: dt.datetime | None = None) -> list[ServedVector]:
        """The answers in the order in which they were handed out; see `ServedLog.read`."""
        return self._file().read(market, start, end) if self.path.exists() else []

    def close(self) -> None:
        """Close the file; calling it twice is allowed."""
        if self._opened is not None:
            self._opened.close()

    def _file(self) -> "_File":
        self._opened = self._opened or _File(self.path)
        return self._opened


class _File(SealedTableFile):
    def __init__(self, path: Path) -> None:
        super().__init__(path, _ROWS)

    def _tables(self, connection: sqlite3.Connection) -> None:
        connection.execute(_TABLE)
        super()._tables(connection)

    def append(
        self, market: str, query_time: int, values: Mapping[str, float | None], recorded_by: int | None, max_age: dt.timedelta | None
    ) -> None:
        with self._writing():
            last = self._db.execute("SELECT served_id, served_at, seal FROM served ORDER BY served_id DESC LIMIT 1").fetchone()
            number, served_at, before = last or (0, 0, "")
            count, _ = self._seals.line(self._db, _ROWS.name) or (0, 0)
            if count != number:
                raise CorruptionError(f"{self.path}: its newest row is {number}, {count} were written (seal); {rebuild_remedy(self.path)}")
            row = answer_row((number, served_at), now_us(), market, query_time, values, recorded_by, max_age)
            fresh = (*row, seal(row, before))
            self._db.execute(f"INSERT INTO served({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", fresh)
            self._seals.change(self._db, _ROWS, (), (fresh,))

    def read(self, market: str | None, start: dt.datetime | None, end: dt.datetime | None) -> list[ServedVector]:
        with self._reading():
            self._verify()
            rows = self._db.execute(f"SELECT {_COLUMNS} FROM served ORDER BY served_id")
            return vectors_of(rows, str(self.path), market, start, end)
