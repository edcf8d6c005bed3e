"""One SQLite file, opened: durable settings, a writers' transaction, and the file that lies at its path now."""

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from hydra_assets.closing import Closing
from hydra_assets.errors import LockTimeoutError, StorageError
from hydra_assets.sqlite_errors import error_of, translated
from hydra_assets.sqlite_new import make_database
from hydra_assets.sqlite_wal import check_journal

BUSY_TIMEOUT_S = 60.0
_PAUSE_S = 0.1
_MARK = "PRAGMA application_id=1752785505"  # always the same number: what counts is that a page is written


class SqliteFile(Closing):
    """
    One connection to one file, shared by threads.

    Args:
        path: the file; made, with its folder, when it does not exist.
        wal: write-ahead journal and a sync at every commit.
        busy_timeout_s: longest wait for another process that holds the file; None: `BUSY_TIMEOUT_S`.

    Attributes:
        read_only: the disk lets the file be read and not be written; only reads work.

    Raises:
        CorruptionError: the file is no database, is empty, or its journal has lost what was acknowledged.
        StorageError: the disk does not let the file be opened.
        LockTimeoutError: another process held the file for longer than *busy_timeout_s*.
    """

    def __init__(self, path: str | os.PathLike[str], *, wal: bool = True, busy_timeout_s: float | None = None) -> None:
        self.path = Path(path).expanduser().absolute()
        self._wal = wal
        self._timeout_s = BUSY_TIMEOUT_S if busy_timeout_s is None else busy_timeout_s
        self._lock = threading.RLock()
        self.read_only = False
        self._state: tuple[object, ...] = ()
        self._forget()
        self._marker: sqlite3.Connection | None = None
        self._db = self._connected()

    def close(self) -> None:
        """Close the file; calling it twice is allowed."""
        self._close_marker()
        self._db.close()

    def _tables(self, connection: sqlite3.Connection) -> None:
        """Make the tables of a new file."""

    # ---------------------------------------------------------------- connecting

    def _connected(self) -> sqlite3.Connection:
        """A connection to the file that lies there now: a rebuilt store may take its place while this one waits for it."""
        while True:
            make_database(self.path, self._tables)
            self.read_only = not _may_write(self.path)
            before = self._state = _state(self.path)
            check_journal(self.path)
            with translated(self.path):
                connection = self._reader() if self.read_only else self._writer()
            if before[:1] == _state(self.path)[:1]:
                return connection
            connection.close()

    def _writer(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=self._timeout_s, isolation_level=None, check_same_thread=False)
        try:
            if self._wal:
                configure(connection, self._timeout_s)
        except BaseException:
            connection.close()
            raise
        return connection

    def _reader(self) -> sqlite3.Connection:
        """A connection to a file that may only be read."""
        journals, uri = _journals(self.path), reading_uri(self.path)
        connection = sqlite3.connect(uri, uri=True, timeout=self._timeout_s, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("SELECT 1 FROM sqlite_master").fetchone()
        except sqlite3.DatabaseError as error:
            connection.close()
            failure = error_of(error, self.path)
            if not journals or not isinstance(failure, StorageError):
                raise
            raise StorageError(
                f"{self.path}: may only be read, and its journal {journals[0].name} is not merged; open it once where it may be written"
            ) from error
        return connection

    def _forget(self) -> None:
        """Drop what was remembered of the file's content; it may be another one by now."""

    def _reconnect(self) -> None:
        self._forget()
        self._close_marker()
        self._db.close()
        self._db = self._connected()

    def _refreshed(self) -> None:
        """A file that may only be read is opened anew after someone else has written it."""
        if self.read_only and self._state != _state(self.path):
            self._reconnect()

    # ---------------------------------------------------------------- transactions

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """The writers' lock and one transaction; after an error it is undone, and the file can be used again."""
        with self._lock, translated(self.path):
            if self.read_only:
                raise StorageError(f"{self.path}: may only be read; open it where file and folder may be written")
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                self._forget()
                self._undo()
                raise
            if self._wal:
                self._mark()

    def _mark(self) -> None:
        """
        Append one more frame to the journal, without waiting for the disk, so that `check_journal` can tell that the transaction
        before it was acknowledged; what another process writes meanwhile does as well.
        """
        with contextlib.suppress(sqlite3.Error):
            if self._marker is None:
                self._marker = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
                self._marker.execute("PRAGMA synchronous=NORMAL")
            self._marker.execute(_MARK)

    def _close_marker(self) -> None:
        if self._marker is not None:
            self._marker.close()
            self._marker = None

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """One consistent view; inside a transaction or another view, that one."""
        with self._lock, translated(self.path):
            if self._db.in_transaction:
                yield
                return
            self._refreshed()
            self._db.execute("BEGIN")
            try:
                yield
            finally:
                self._undo()

    def _undo(self) -> None:
        """End the transaction; a full disk may have ended it already, and a connection that cannot end it is replaced."""
        try:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        except sqlite3.ProgrammingError:  # closed meanwhile
            return
        except sqlite3.Error:
            self._reconnect()


def configure(connection: sqlite3.Connection, timeout_s: float) -> None:
    """
    Durable settings; the busy handler does not cover the switch to WAL, so that one is tried again.

    Raises:
        LockTimeoutError: another process held the file for all of *timeout_s*.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                connection.execute("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError as error:
            if not isinstance(error_of(error, ""), LockTimeoutError) or time.monotonic() >= deadline:
                raise
            time.sleep(_PAUSE_S)
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def reading_uri(path: Path) -> str:
    """
    The address of a file for a connection that only reads.

    Where nothing may be written, SQLite cannot make the side files that it reads a journal with; without a journal none is needed.
    """
    whole = not _may_write(path) and not _journals(path)
    return f"{path.absolute().as_uri()}?{'immutable=1' if whole else 'mode=ro'}"


def _journals(path: Path) -> list[Path]:
    """Journals beside the file that hold something."""
    return [file for ending in ("-wal", "-journal") if _size(file := path.with_name(path.name + ending))]


def _may_write(path: Path) -> bool:
    """Whether the file may be written, and its folder, in which SQLite puts its journal."""
    return all(os.access(each, os.W_OK, effective_ids=os.access in os.supports_effective_ids) for each in (path, path.parent))


def _size(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def _state(path: Path) -> tuple[object, ...]:
    """The file that lies at *path* now, and its content, as far as the folder tells."""
    with contextlib.suppress(FileNotFoundError):
        found = path.stat()
        return (found.st_ino, found.st_mtime_ns, found.st_size, path.with_name(f"{path.name}-wal").exists())
    return (None,)
