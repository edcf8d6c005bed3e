"""A store's file replaced by another one, while nobody has it open."""

import contextlib
import datetime as dt
import os
import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path

from hydra_assets.errors import LockTimeoutError
from hydra_assets.sqlite_errors import error_of

SIDE_FILES = ("-wal", "-shm")
BUSY_S = 2.0


def is_there(db_path: Path) -> bool:
    """Whether there is a store, whole or not."""
    return db_path.exists()


def series_and_publishes(db_path: Path) -> tuple[set[tuple[str, str]], list[tuple[object, ...]]]:
    """
    Series and publishes of a store; none of a file that is absent or damaged.

    Raises:
        LockTimeoutError: another process holds it, so that nobody knows what is in it.
    """
    if not is_there(db_path):
        return set(), []
    try:
        with contextlib.closing(sqlite3.connect(db_path, timeout=BUSY_S)) as old:
            return set(old.execute("SELECT market, feature_name FROM series")), old.execute("SELECT * FROM publishes").fetchall()
    except sqlite3.DatabaseError as error:
        failure = error_of(error, db_path)
        if isinstance(failure, LockTimeoutError):
            raise failure from error
        return set(), []


@contextlib.contextmanager
def beside(db_path: Path) -> Iterator[Path]:
    """A name beside *db_path* for a store that is to take its place; removed afterwards where it did not."""
    fresh = db_path.with_name(f".{db_path.name}.rebuild-{uuid.uuid4().hex[:8]}")
    try:
        yield fresh
    finally:
        for ending in ("", *SIDE_FILES):
            with contextlib.suppress(OSError):  # where nothing may be written nothing was left
                fresh.with_name(fresh.name + ending).unlink(missing_ok=True)


def swap(fresh: Path, db_path: Path) -> Path | None:
    """Put *fresh* in the place of *db_path*; the path of the old file, which stays under another name, or None where there was none."""
    if not is_there(db_path):
        fresh.replace(db_path)
        return None
    backup = db_path.with_name(f"{db_path.name}.before-{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S%fZ}")
    with _alone(db_path):
        os.link(db_path, backup)
        for ending in SIDE_FILES:  # left by a damaged file; those of a sound one are merged by now
            side = db_path.with_name(db_path.name + ending)
            if side.exists():
                side.rename(backup.with_name(backup.name + ending))
        fresh.replace(db_path)
    return backup


@contextlib.contextmanager
def _alone(db_path: Path) -> Iterator[None]:
    """Exclude every other connection to *db_path*, its journal merged; a damaged file needs neither."""
    connection = sqlite3.connect(db_path, timeout=BUSY_S, isolation_level=None)
    try:
        try:
            connection.execute("PRAGMA journal_mode=DELETE")  # refused while anyone else has the file open
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if "locked" in str(error) or "busy" in str(error):
                raise LockTimeoutError(f"{db_path}: is open elsewhere; stop the UI, its daemon and notebooks, and try again") from error
        except sqlite3.DatabaseError:
            pass
        yield
    finally:
        connection.close()
