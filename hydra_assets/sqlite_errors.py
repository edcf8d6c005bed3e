"""SQLite's errors as the package's own, each with the file's path and the remedy."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra_assets.command import WORLDS, command
from hydra_assets.errors import CorruptionError, HydraError, LockTimeoutError, StorageError

_HELD = (
    "another process holds the file; end it (the UI, its daemon, a notebook, a database browser) or try again later"
    " (storage.busy_timeout_s in config.yaml)"
)
_KINDS: dict[int, tuple[type[HydraError], str]] = {
    sqlite3.SQLITE_BUSY: (LockTimeoutError, _HELD),
    sqlite3.SQLITE_LOCKED: (LockTimeoutError, _HELD),
    sqlite3.SQLITE_FULL: (StorageError, "free some space and do it again; what was acknowledged before is kept"),
    sqlite3.SQLITE_IOERR: (StorageError, "look at the disk (space, limits, cables) and do it again; what was acknowledged before is kept"),
    sqlite3.SQLITE_READONLY: (StorageError, "the file or its folder may only be read; give the right to write, or only read"),
    sqlite3.SQLITE_CANTOPEN: (StorageError, "file and folder must exist and may have to be written; look at their owner and mode"),
    sqlite3.SQLITE_PERM: (StorageError, "look at the owner and mode of file and folder"),
    sqlite3.SQLITE_NOMEM: (StorageError, "memory is short; end other programs and do it again"),
}


def error_of(error: sqlite3.Error, path: str | os.PathLike[str]) -> HydraError:
    """The package's own error for SQLite's; the file's bytes are blamed only where nothing else explains it."""
    if isinstance(error, sqlite3.ProgrammingError):
        return StorageError(f"{path}: {error}; open it again")
    kind, remedy = _kind(error)
    return kind(f"{path}: {error}; {remedy or rebuild_remedy(path)}")


def remedy_of(error: sqlite3.Error, path: str | os.PathLike[str]) -> str:
    """The action that mends SQLite's error on the file at *path*."""
    return _kind(error)[1] or rebuild_remedy(path)


def rebuild_remedy(path: str | os.PathLike[str]) -> str:
    """The action that mends a damaged file at *path*: a store is made anew by the command of its home's world."""
    folder = Path(path).parent.name
    if Path(path).name == "ledger.sqlite":
        return "restore it from a backup: without it what is paid already is asked for again"
    if Path(path).name == "findings.sqlite":
        return "move it away: the next run of the checks makes it anew"
    if Path(path).name.endswith(".served.sqlite"):
        return "restore it from a backup, or move it away: a new log begins with the next answer"
    rebuild = command("store rebuild", world=folder if folder in WORLDS else None)
    return f"restore it from a backup, or move it away and run {rebuild}"


def _kind(error: sqlite3.Error) -> tuple[type[HydraError], str]:
    return _KINDS.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, (CorruptionError, ""))


@contextlib.contextmanager
def translated(path: str | os.PathLike[str]) -> Iterator[None]:
    """SQLite's errors inside as the package's own."""
    try:
        yield
    except sqlite3.Error as error:
        if isinstance(error, sqlite3.ProgrammingError) and "closed" not in str(error):
            raise  # a mistake of ours, not the file's
        raise error_of(error, path) from error
    except UnicodeDecodeError as error:  # a text that SQLite gives, or its own message about one
        raise CorruptionError(f"{path}: {error}; {rebuild_remedy(path)}") from error


class Connection(sqlite3.Connection):
    """A connection whose statements raise the package's own errors; for ``sqlite3.connect(..., factory=Connection)``."""

    def __init__(self, database: str | os.PathLike[str], *args: Any, **kwargs: Any) -> None:
        self.path = database
        with translated(database):
            super().__init__(database, *args, **kwargs)

    def execute(self, *args: Any) -> sqlite3.Cursor:
        """One statement."""
        with translated(self.path):
            return super().execute(*args)

    def executemany(self, *args: Any) -> sqlite3.Cursor:
        """One statement for many rows."""
        with translated(self.path):
            return super().executemany(*args)
