"""A SQLite file of one small table with a seal (`sqlite_seals`)."""

import os
import sqlite3

from hydra_assets.sqlite_seals import SealedTable, TableSeals
from hydra_assets.storage.sqlite.file import SqliteFile


class SealedTableFile(SqliteFile):
    """
    One table and its seal; a file of before gets its seal as it is opened, unless it may only be read.

    Args:
        path: the file.
        rows: the table, which `_tables` makes.
        wal: see `SqliteFile`.
    """

    def __init__(self, path: str | os.PathLike[str], rows: SealedTable, *, wal: bool = True) -> None:
        self._rows, self._seals = rows, TableSeals(path)
        super().__init__(path, wal=wal)
        try:
            if not self.read_only and not self._seals.are_there(self._db):
                with self._writing():
                    self._tables(self._db)
        except BaseException:
            self.close()
            raise

    def _tables(self, connection: sqlite3.Connection) -> None:
        """Seal the table; a file's own class makes it first."""
        self._seals.begin(connection, [self._rows])

    def _forget(self) -> None:
        self._seals.forget()

    def _verify(self) -> None:
        """Compare the table with its seal, inside a transaction; a file of before that may only be read has none."""
        if not self.read_only or self._seals.are_there(self._db):
            self._seals.verify(self._db, self._rows)
