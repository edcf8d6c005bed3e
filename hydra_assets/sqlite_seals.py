"""
Counts and digests of the tables of a small SQLite file, by which a lost or altered row is noticed as the table is read.

A table has a line in `table_seals`, or one for each part of it that is read by itself; it covers the table's own definition too.
Lines change in the same transaction as their rows.
"""

import os
import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hydra_assets.errors import CorruptionError
from hydra_assets.sqlite_errors import rebuild_remedy, translated

_TABLE = """CREATE TABLE IF NOT EXISTS table_seals(
    name TEXT PRIMARY KEY, rows INTEGER NOT NULL, digest INTEGER NOT NULL, seal INTEGER NOT NULL) WITHOUT ROWID"""
_IS_THERE = "SELECT count(*) FROM sqlite_master WHERE name = ?"
Line = tuple[int, int]  # rows, digest


@dataclass(frozen=True)
class SealedTable:
    """
    A table with seals.

    Attributes:
        name: of the table.
        every: the statement that reads all rows of it, by its own pages and not by an index.
        part: the statement that reads one part, named by the first columns; empty: it has one seal.
        columns: how many first columns name a part.
    """

    name: str
    every: str
    part: str = ""
    columns: int = 0


class TableSeals:
    """
    The seals of one file's tables.

    Args:
        path: of the file, for errors.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = path
        self._fit: dict[str, Line] = {}  # compared with their rows

    def begin(self, db: sqlite3.Connection, tables: Iterable[SealedTable]) -> None:
        """Make the table of seals where a file of before has none, and seal *tables* as they are; inside a transaction."""
        if self.are_there(db):
            return
        db.execute(_TABLE)
        for table in tables:
            if db.execute(_IS_THERE, (table.name,)).fetchone()[0]:
                statement = table.every
                parts = {tuple(map(str, row[: table.columns])) for row in db.execute(statement)} if table.part else {()}
                for part in sorted(parts):
                    self._put(db, _name(table, part), self._found(db, table, part))

    def are_there(self, db: sqlite3.Connection) -> bool:
        """Whether the file has seals: one of before that may only be read has none."""
        with translated(self._path):
            return bool(db.execute(_IS_THERE, ("table_seals",)).fetchone()[0])

    def forget(self) -> None:
        """Know nothing of the file any more, after a transaction that was undone."""
        self._fit.clear()

    def verify(self, db: sqlite3.Connection, table: SealedTable, *part: str) -> None:
        """
        Compare a table, or a part of it, with its seal; inside a transaction, read or write, so that both are of one moment.

        Raises:
            CorruptionError: they do not fit.
        """
        name = _name(table, part)
        line = self.line(db, name)
        if line is not None and self._fit.get(name) == line:
            return
        found = self._found(db, table, part)
        if found != line and not (line is None and found[0] == 0):
            raise damaged(self._path, f"{name}: {found[0]:,} rows, {(line or (0, 0))[0]:,} were written; they")
        if line is not None:
            self._fit[name] = line

    def renew(self, db: sqlite3.Connection, table: SealedTable, *part: str) -> None:
        """Seal a table, or a part of it, as it is now; after `verify` and the change, in one transaction."""
        self._put(db, _name(table, part), self._found(db, table, part))

    def change(self, db: sqlite3.Connection, table: SealedTable, old: Iterable[Sequence[Any]], new: Iterable[Sequence[Any]]) -> None:
        """
        Bring the seal of a table that was verified up to a change of few rows, in the same transaction.

        Args:
            old: the rows as they were.
            new: the rows in their place.
        """
        rows, digest = self.line(db, table.name) or (0, _definition(db, table))
        for sign, some in ((-1, old), (1, new)):
            for row in some:
                rows, digest = rows + sign, digest + sign * checksum(tuple(row))
        self._put(db, table.name, (rows, digest))

    def line(self, db: sqlite3.Connection, name: str) -> Line | None:
        """Rows and digest as written; None where nothing ever was."""
        row = db.execute("SELECT rows, digest, seal FROM table_seals WHERE name = ?", (name,)).fetchone()
        if row is None:
            return None
        if row[2] != checksum((name, row[0], row[1])):
            raise damaged(self._path, f"the seal of {name}")
        return row[0], row[1]

    def _put(self, db: sqlite3.Connection, name: str, line: Line) -> None:
        db.execute("INSERT OR REPLACE INTO table_seals VALUES (?, ?, ?, ?)", (name, *line, checksum((name, *line))))
        self._fit[name] = line

    def _found(self, db: sqlite3.Connection, table: SealedTable, part: Sequence[str]) -> Line:
        rows, digest = 0, _definition(db, table)
        statement = table.part if part else table.every
        for row in db.execute(statement, tuple(part)):
            rows, digest = rows + 1, digest + checksum(tuple(row))
        return rows, digest


def checksum(value: object) -> int:
    """CRC-32 of a value as Python writes it: of a row, a line, or the texts of a schema."""
    return zlib.crc32(repr(value).encode())


def damaged(path: str | os.PathLike[str], what: str) -> CorruptionError:
    """The error on *what* of the file at *path*, a plural, that does not fit its seal."""
    return CorruptionError(f"{path}: {what} are not as written (seal); {rebuild_remedy(path)}")


def _name(table: SealedTable, part: Sequence[str]) -> str:
    return "/".join((table.name, *part))


def _definition(db: sqlite3.Connection, table: SealedTable) -> int:
    """The checksum of a table's own definition."""
    return checksum([row[0] for row in db.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table.name,))])
