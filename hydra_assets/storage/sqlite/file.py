"""One SQLite file, opened: durable settings, a writers' transaction, and the file that lies at its path now."""

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from hydra_assets.closing import Closing
from hydra_assets.errors import CorruptionError

BUSY_TIMEOUT_S = 60
_WAL_ATTEMPTS, _WAL_PAUSE_S = 600, 0.1


class SqliteFile(Closing):
    """
    One connection to one file, shared by threads.

    Args:
        path: the file; made, with its folder, when it does not exist.
        wal: write-ahead journal and a sync at every commit.

    Raises:
        CorruptionError: the file is no database.
    """

    def __init__(self, path: str | os.PathLike[str], *, wal: bool = True) -> None:
        self.path = Path(path).expanduser().absolute()
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._db = self._connected(wal)

    def close(self) -> None:
        """Close the file; calling it twice is allowed."""
        self._db.close()

    def _connected(self, wal: bool) -> sqlite3.Connection:
        """A connection to the file that lies there now: a rebuilt store may take its place while this one waits for it."""
        while True:
            before = _inode(self.path)
            connection = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
            try:
                if wal:
                    configure(connection)
            except sqlite3.DatabaseError as error:
                connection.close()
                raise CorruptionError(f"{self.path}: {error}") from error
            if before in (None, _inode(self.path)):
                return connection
            connection.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """The writers' lock and one transaction."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """SQLite's errors as CorruptionError, naming the file."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise CorruptionError(f"{self.path}: {error}") from error


def configure(connection: sqlite3.Connection) -> None:
    """Durable settings; the busy handler does not cover the switch to WAL, so that one is tried again."""
    for attempt in range(_WAL_ATTEMPTS):
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError:
            if attempt == _WAL_ATTEMPTS - 1:
                raise
            time.sleep(_WAL_PAUSE_S)
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _inode(path: Path) -> int | None:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_ino
    return None
