"""
A `Storage` on the local disk.

A file is committed by a rename within one filesystem, after its bytes and before its folder are synced: a reader sees all of
it or nothing, and an acknowledged write survives a power cut.
"""

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from hydra_assets.core.instants import now_us
from hydra_assets.errors import LockTimeoutError
from hydra_assets.storage.backend import ORPHAN_AGE_S

STAGING = ".staging"
LOCK_FILE = ".lock"
LOCK_TIMEOUT_S = 120


class LocalStorage:
    """
    Files below one folder; see `Storage`.

    Args:
        root: the folder; made by the first write.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root).expanduser().absolute()

    def exists(self) -> bool:
        """Whether the root is there."""
        return self.root.exists()

    def path(self, key: str) -> Path:
        """The file of *key*."""
        return self.root / key

    def folders(self, pattern: str) -> list[str]:
        """The keys of the folders that match *pattern*."""
        return [path.relative_to(self.root).as_posix() for path in sorted(self.root.glob(pattern))]

    def names(self, folder: str) -> list[str]:
        """The names of the files in *folder*."""
        with contextlib.suppress(FileNotFoundError), os.scandir(self.root / folder) as entries:
            return [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
        return []

    def open(self, key: str) -> pa.NativeFile:
        """A file for random access."""
        return pa.OSFile(str(self.root / key))

    def read(self, key: str) -> bytes:
        """A small file whole."""
        return (self.root / key).read_bytes()

    def create(self, key: str, body: bytes) -> None:
        """Put a small file if there is none, by a link, which does not replace."""
        file = self.root / key
        file.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        temporary = file.with_name(f"{file.name}.{os.getpid()}")
        temporary.write_bytes(body)
        with contextlib.suppress(FileExistsError):
            os.link(temporary, file)
        temporary.unlink()

    def replace(self, key: str, body: bytes) -> None:
        """Put a small file in the place of an older one, by a rename."""
        file = self.root / key
        temporary = file.with_name(f"{file.name}.{os.getpid()}")
        temporary.write_bytes(body)
        temporary.replace(file)

    def append_line(self, key: str, line: str) -> None:
        """Append one line, synced; a cut line before it is not JSON, and ends so that it cannot swallow this one."""
        descriptor = os.open(self.root / key, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)
        try:
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                os.ftruncate(descriptor, self.read(key).rfind(b"\n") + 1)
            os.write(descriptor, f"{line}\n".encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def staging(self, name: str) -> Iterator[Path]:
        """A folder below the root, so that the rename stays within one filesystem."""
        stage = self.root / STAGING / f"{name}-{os.getpid()}"
        stage.mkdir(mode=0o700, parents=True)
        try:
            yield stage
        finally:
            shutil.rmtree(stage, ignore_errors=True)

    def commit(self, staged: Path, key: str) -> None:
        """Sync the file, rename it, sync its folder."""
        target = self.root / key
        _sync(staged)
        if target.exists():
            raise FileExistsError(f"{target}: is there already")
        staged.rename(target)
        _sync(target.parent)

    def delete(self, key: str) -> None:
        """Remove a file, for good once its folder is synced."""
        file = self.root / key
        file.unlink(missing_ok=True)
        _sync(file.parent)

    def size(self, key: str) -> int:
        """Bytes of a file."""
        return (self.root / key).stat().st_size

    def age_s(self, key: str) -> float:
        """Seconds since a file was last written."""
        return time.time() - (self.root / key).stat().st_mtime

    @contextlib.contextmanager
    def lock(self, folder: str) -> Iterator["LocalClock"]:
        """Hold the operating system's lock of a file that also keeps the last stamp."""
        path = self.root / folder
        path.mkdir(mode=0o750, parents=True, exist_ok=True)
        descriptor = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o640)
        try:
            deadline = time.monotonic() + LOCK_TIMEOUT_S
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise LockTimeoutError(f"{path}: another writer held the lock for {LOCK_TIMEOUT_S} s") from None
                    time.sleep(0.002)
            yield LocalClock(descriptor)
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

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def next(self) -> int:
        """The next stamp, microseconds UTC; kept before it is used, so that no crash can hand it out twice."""
        text = os.pread(self._descriptor, 20, 0)
        stamp = max(now_us(), (int(text) + 1) if text.strip().isdigit() else 0)
        os.pwrite(self._descriptor, b"%020d" % stamp, 0)
        return stamp


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
