"""
A `Storage` on the local disk.

A file is committed by a rename within one filesystem, after its bytes and before its folder are synced: a reader sees all of
it or nothing, and an acknowledged write survives a power cut.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import time
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pyarrow as pa

from hydra_assets.core.instants import now_us
from hydra_assets.disk_errors import disk_errors
from hydra_assets.errors import InvalidValueError, LockTimeoutError, StorageError
from hydra_assets.private_files import FILE_MODE, make_folder, sync, write_file
from hydra_assets.storage.backend import ORPHAN_AGE_S

SETTLED_NS = 50_000_000  # file systems tell times in ticks of some milliseconds: two changes may bear the same one
STAGING = ".staging"
LOCK_FILE = ".lock"
LOCK_TIMEOUT_S = 60.0


class LocalStorage:
    """
    Files below one folder; see `Storage`.

    Args:
        root: the folder; made by the first write.
        lock_timeout_s: longest wait for another writer of one folder; None: `LOCK_TIMEOUT_S`.

    Raises:
        InvalidValueError: *root* is empty; it would be the folder in which the program happens to run.
    """

    def __init__(self, root: str | os.PathLike[str], *, lock_timeout_s: float | None = None) -> None:
        if not os.fspath(root) or "\0" in str(root):
            raise InvalidValueError(f"base_path {root!r} names no folder")
        self.root = Path(root).expanduser().absolute()
        self._lock_timeout_s = lock_timeout_s

    def exists(self) -> bool:
        """Whether the root is there."""
        with disk_errors(self.root):
            return self.root.exists()

    def _make_root(self) -> None:
        try:
            make_folder(self.root)
        except FileNotFoundError as error:
            raise StorageError(f"{self.root}: cannot be made: {error.strerror}; name a folder that may be written") from error

    def path(self, key: str) -> Path:
        """The file of *key*."""
        return self.root / key

    def folders(self, pattern: str) -> list[str]:
        """The keys of the folders that match *pattern*; one that may not be looked into is an error, never an empty one."""
        keys = [""]
        for segment in pattern.split("/"):
            keys = [f"{key}/{name}".lstrip("/") for key in keys for name in self._subfolders(key, segment)]
        return sorted(keys, key=lambda key: key.split("/"))

    def _subfolders(self, key: str, pattern: str) -> list[str]:
        folder = self.root / key
        with disk_errors(folder), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if "*" not in pattern:
                return [pattern] if stat.S_ISDIR((folder / pattern).stat().st_mode) else []
            with os.scandir(folder) as entries:
                return [entry.name for entry in entries if fnmatchcase(entry.name, pattern) and entry.is_dir()]
        return []

    def names(self, folder: str) -> list[str]:
        """The names of the files in *folder*."""
        path = self.root / folder
        with disk_errors(path), contextlib.suppress(FileNotFoundError), os.scandir(path) as entries:
            return [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
        return []

    def open(self, key: str) -> pa.NativeFile:
        """A file for random access."""
        with disk_errors(self.root / key):
            return pa.OSFile(str(self.root / key))

    def read(self, key: str) -> bytes:
        """A small file whole."""
        with disk_errors(self.root / key):
            return (self.root / key).read_bytes()

    def create(self, key: str, body: bytes) -> None:
        """Put a small file if there is none, by a link, which does not replace."""
        file = self.root / key
        temporary = file.with_name(f"{file.name}.{os.getpid()}")
        with disk_errors(file):
            self._make_root()
            make_folder(file.parent)
            try:
                write_file(temporary, body)
                with contextlib.suppress(FileExistsError):
                    os.link(temporary, file)
            finally:
                temporary.unlink(missing_ok=True)
            sync(file.parent)

    def replace(self, key: str, body: bytes) -> None:
        """Put a small file in the place of an older one, by a rename."""
        file = self.root / key
        temporary = file.with_name(f"{file.name}.{os.getpid()}")
        with disk_errors(file):
            try:
                write_file(temporary, body)
                temporary.replace(file)
            finally:
                temporary.unlink(missing_ok=True)
            sync(file.parent)

    def append_line(self, key: str, line: str) -> None:
        """
        Append one line, synced; a cut line before it is not JSON, and ends so that it cannot swallow this one.

        What a full disk cut short is taken back.
        """
        with disk_errors(self.root / key):
            descriptor = os.open(self.root / key, os.O_RDWR | os.O_APPEND | os.O_CREAT, FILE_MODE)
            try:
                size = os.fstat(descriptor).st_size
                if size and os.pread(descriptor, 1, size - 1) != b"\n":
                    size = self.read(key).rfind(b"\n") + 1
                    os.ftruncate(descriptor, size)
                body = f"{line}\n".encode()
                try:
                    if os.write(descriptor, body) != len(body):
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                except OSError:
                    os.ftruncate(descriptor, size)
                    raise
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    @contextlib.contextmanager
    def staging(self, name: str) -> Iterator[Path]:
        """A folder below the root, so that the rename stays within one filesystem."""
        stage = self.root / STAGING / f"{name}-{os.getpid()}"
        with disk_errors(stage):
            make_folder(stage, 0o700)
            try:
                yield stage
            finally:
                shutil.rmtree(stage, ignore_errors=True)

    def commit(self, staged: Path, key: str) -> None:
        """Sync the file, rename it, sync its folder."""
        target = self.root / key
        with disk_errors(target):
            staged.chmod(FILE_MODE)
            sync(staged)
            if target.exists():
                raise FileExistsError(f"{target}: is there already")
            staged.rename(target)
            sync(target.parent)

    def delete(self, key: str) -> None:
        """Remove a file, for good once its folder is synced."""
        file = self.root / key
        with disk_errors(file):
            file.unlink(missing_ok=True)
            sync(file.parent)

    def size(self, key: str) -> int:
        """Bytes of a file."""
        with disk_errors(self.root / key):
            return (self.root / key).stat().st_size

    def state(self, key: str) -> tuple[int, ...] | None:
        """Identity, size and time of the last change, which cannot be set back; None of a file that has only just changed."""
        with disk_errors(self.root / key):
            found = (self.root / key).stat()
        settled = time.time_ns() - found.st_ctime_ns > SETTLED_NS
        return (found.st_dev, found.st_ino, found.st_size, found.st_ctime_ns) if settled else None

    def age_s(self, key: str) -> float:
        """Seconds since a file was last written."""
        with disk_errors(self.root / key):
            return time.time() - (self.root / key).stat().st_mtime

    @contextlib.contextmanager
    def lock(self, folder: str) -> Iterator["LocalClock"]:
        """Hold the operating system's lock of a file that also keeps the last stamp."""
        path = self.root / folder
        with disk_errors(path):
            make_folder(path)
            descriptor = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT, FILE_MODE)
        try:
            _locked(descriptor, path, self._lock_timeout_s)
            yield LocalClock(descriptor, path / LOCK_FILE)
        finally:
            os.close(descriptor)

    def wait_for_writer(self, folder: str) -> None:
        """Pass through the lock by a descriptor that only reads, so that a disk that may only be read will do."""
        path = self.root / folder
        with contextlib.suppress(FileNotFoundError):  # nobody ever wrote there
            with disk_errors(path / LOCK_FILE):
                descriptor = os.open(path / LOCK_FILE, os.O_RDONLY)
            try:
                _locked(descriptor, path, self._lock_timeout_s)
            finally:
                os.close(descriptor)

    def last_stamp(self, folder: str) -> int | None:
        """The last recording stamp handed out in *folder*."""
        with contextlib.suppress(FileNotFoundError):
            text = self.read(f"{folder}/{LOCK_FILE}")[:20].strip()
            return int(text) if text.isdigit() else None
        return None

    def orphans(self) -> list[str]:
        """Staging folders that killed writers left more than an hour ago."""
        found = []
        with contextlib.suppress(FileNotFoundError), os.scandir(self.root / STAGING) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    if time.time() - entry.stat(follow_symlinks=False).st_mtime > ORPHAN_AGE_S:
                        found.append(entry.path)
        return sorted(found)

    def sweep(self) -> None:
        """Remove the orphans."""
        for path in self.orphans():
            shutil.rmtree(path, ignore_errors=True)


class LocalClock:
    """The recording clock of a locked folder, in the first bytes of the lock's own file."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor, self._path = descriptor, path

    def next(self) -> int:
        """The next stamp, microseconds UTC; kept before it is used, so that no crash can hand it out twice."""
        text = os.pread(self._descriptor, 20, 0)
        stamp = max(now_us(), (int(text) + 1) if text.strip().isdigit() else 0)
        with disk_errors(self._path):
            os.pwrite(self._descriptor, b"%020d" % stamp, 0)
        return stamp


def _locked(descriptor: int, path: Path, timeout_s: float | None) -> None:
    """Take the lock of an open file, within *timeout_s*."""
    most = LOCK_TIMEOUT_S if timeout_s is None else timeout_s
    deadline = time.monotonic() + most
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise LockTimeoutError(
                    f"{path}: another writer held the lock for {most:g} s (storage.busy_timeout_s in config.yaml);"
                    " end it or try again later"
                ) from None
            time.sleep(0.002)
