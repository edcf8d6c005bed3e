"""Files and folders of a home: readable by their owner and group at most, whatever the umask."""

import contextlib
import os
from pathlib import Path

FILE_MODE, FOLDER_MODE = 0o640, 0o750


def make_folder(path: Path, mode: int = FOLDER_MODE) -> None:
    """Make *path* and its missing parents, each with *mode* at most."""
    if path.is_dir():
        return
    if path.parent != path:
        make_folder(path.parent, mode)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=mode)
    if path.is_symlink() and not path.exists():
        raise NotADirectoryError(20, "is a link to a folder that is not there (a disk that is not mounted?)", str(path))
    if not path.is_dir():
        raise NotADirectoryError(20, "is a file, and a folder is needed", str(path))


def make_file(path: Path) -> None:
    """Make an empty file if there is none."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE))


def write_file(path: Path, body: bytes) -> None:
    """Write a new file, or an older one anew, and sync it."""
    descriptor = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, FILE_MODE)
    try:
        view = memoryview(body)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync(path: Path) -> None:
    """Wait until a file's bytes, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
