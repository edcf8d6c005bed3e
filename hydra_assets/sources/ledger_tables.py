"""The sealed tables of the ledger's file, which `ledger` and `publications` share."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from hydra_assets.closing import Closing
from hydra_assets.sqlite_errors import Connection, translated
from hydra_assets.sqlite_new import make_database
from hydra_assets.sqlite_seals import SealedTable, TableSeals

REQUESTS = SealedTable("requests", "SELECT * FROM requests")
DAYS = SealedTable("days", "SELECT * FROM days", "SELECT * FROM days WHERE data_type = ? AND market = ?", 2)
PUBLICATIONS = SealedTable("publications", "SELECT * FROM publications NOT INDEXED")
AVAILABLE = "available"  # the condition of a day of which the vendor says nothing else

_SCHEMA = """
CREATE TABLE IF NOT EXISTS requests(
    id INTEGER PRIMARY KEY, asked_at TEXT NOT NULL, run TEXT NOT NULL, unattended INTEGER NOT NULL,
    dataset TEXT NOT NULL, schema TEXT NOT NULL, symbols TEXT NOT NULL, start_us INTEGER NOT NULL, end_us INTEGER NOT NULL,
    usd REAL NOT NULL, records INTEGER NOT NULL, bytes INTEGER NOT NULL,
    state TEXT NOT NULL CHECK(state IN ('asked', 'kept', 'refused', 'failed')),
    sha256 TEXT, seen_at TEXT, reason TEXT, job TEXT);
CREATE TABLE IF NOT EXISTS days(
    data_type TEXT NOT NULL, market TEXT NOT NULL, day TEXT NOT NULL, last_modified TEXT NOT NULL, fetches INTEGER NOT NULL,
    captured_at TEXT NOT NULL, status TEXT NOT NULL DEFAULT 'available', PRIMARY KEY(data_type, market, day)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS publications(
    report TEXT PRIMARY KEY, scheduled_at TEXT NOT NULL, observed_at TEXT NOT NULL, last_modified TEXT, sha256 TEXT NOT NULL);
"""


class LedgerFile(Closing):
    """
    A connection to the ledger's file, shared by processes.

    Args:
        path: the file; made where there is none.
        timeout_s: longest wait for another process.
    """

    def __init__(self, path: Path, timeout_s: float) -> None:
        self._path, self._seals = path, TableSeals(path)
        make_database(path, self._complete)
        self._db = sqlite3.connect(path, timeout=timeout_s, isolation_level=None, factory=Connection)
        try:
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA synchronous=FULL")
            with self._writing():
                self._complete(self._db)
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _complete(self, db: sqlite3.Connection) -> None:
        """Make the tables, columns and seals that are missing."""
        for statement in _SCHEMA.split(";"):
            db.execute(statement)
        for table, column, kind in (("days", "status", f"TEXT NOT NULL DEFAULT '{AVAILABLE}'"), ("requests", "job", "TEXT")):
            if column not in {row[1] for row in db.execute(f"PRAGMA table_info({table})")}:  # a ledger of before
                db.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")
        self._seals.begin(db, (REQUESTS, DAYS, PUBLICATIONS))

    @contextlib.contextmanager
    def _reading(self, table: SealedTable, *part: str) -> Iterator[None]:
        """One consistent view, in which a table, or a part of it, is as it was written; inside a transaction, that one."""
        with translated(self._path):
            if self._db.in_transaction:
                self._seals.verify(self._db, table, *part)
                yield
                return
            self._db.execute("BEGIN")
            try:
                self._seals.verify(self._db, table, *part)
                yield
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        with translated(self._path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                self._seals.forget()
                if self._db.in_transaction:  # a full disk may have ended it already
                    self._db.execute("ROLLBACK")
                raise
