"""A new SQLite file, whole or not at all: an empty or cut one is refused."""

import contextlib
import os
import sqlite3
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from hydra_assets.errors import CorruptionError, HydraError, StorageError
from hydra_assets.private_files import make_file, make_folder, sync
from hydra_assets.sqlite_errors import rebuild_remedy, translated

_LEFT_S = 3600  # what a killed process left is removed after an hour


def make_database(path: Path, tables: Callable[[sqlite3.Connection], None]) -> None:
    """
    Make the file *path*, with its folder and tables, where there is none.

    It is made under another name and linked into place, so that a kill or a full disk leaves no half of it.

    Args:
        tables: makes the tables of a new file.

    Raises:
        StorageError: the disk does not let it be made, or a folder lies there.
        CorruptionError: the file is there, and empty or cut.
    """
    try:
        if path.is_dir():
            raise StorageError(f"{path}: is a folder; name the file")
        if os.path.lexists(path):
            refuse_stub(path)
            return
        make_folder(path.parent, 0o700)
        _sweep(path)
        fresh = path.with_name(f".{path.name}.new-{uuid.uuid4().hex}")
        try:
            make_file(fresh)
            with translated(path), contextlib.closing(sqlite3.connect(fresh, isolation_level=None)) as db:
                tables(db)
            with contextlib.suppress(FileExistsError):  # another process was faster
                os.link(fresh, path)
        finally:
            fresh.unlink(missing_ok=True)
        sync(path.parent)
    except HydraError:
        raise
    except OSError as error:
        raise StorageError(f"{path}: cannot be made: {error.strerror}; name a path that may be written, with room on the disk") from error
    except ValueError as error:  # a zero byte
        raise StorageError(f"{str(path)!r}: is no path: {error}; name a file") from error


def refuse_stub(path: Path) -> None:
    """
    Refuse a file shorter than its first page, which SQLite would take for a new database.

    Raises:
        CorruptionError: it is empty, or cut.
    """
    try:
        with path.open("rb") as file:
            head, size = file.read(18), path.stat().st_size
    except PermissionError:
        return  # opening it says so
    if size == 0:
        raise CorruptionError(
            f"{path}: is empty (0 bytes), as a failed copy or a full disk leaves it; {rebuild_remedy(path)}; remove it to begin anew"
        )
    if size < max(512, int.from_bytes(head[16:18], "big")):
        raise CorruptionError(f"{path}: is cut off after {size:,} bytes; {rebuild_remedy(path)}; remove it to begin anew")


def _sweep(path: Path) -> None:
    for left in path.parent.glob(f".{path.name}.new-*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _LEFT_S:
                left.unlink()
