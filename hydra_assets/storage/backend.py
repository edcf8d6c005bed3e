"""The seam between the lake and what keeps its files: a local disk, or a later object store."""

from collections.abc import Hashable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import pyarrow as pa

ORPHAN_AGE_S = 3600


class RecordingClock(Protocol):
    """The clock of a locked folder."""

    def next(self) -> int:
        """The next recording stamp, microseconds UTC: ``max(now, last + 1 us)``, kept before it is used."""


class Storage(Protocol):
    """
    The files of one lake, by key: a posix path relative to the root, such as ``data_type=…/market=…/year=…/month=…/name``.

    A reader sees a file whole or not at all, and a file that was acknowledged survives a power cut. A missing key raises
    FileNotFoundError.
    """

    def exists(self) -> bool:
        """Whether the root is there; looking creates nothing."""

    def path(self, key: str) -> Path:
        """*key* under the root, for messages and for tools outside; a file of this machine where the storage is a local disk."""

    def folders(self, pattern: str) -> list[str]:
        """The keys of the folders that match *pattern* segment by segment (``*`` stands for any text in one), sorted by segment."""

    def names(self, folder: str) -> list[str]:
        """The names of the files in *folder*, symbolic links left out; none of a folder that does not exist."""

    def open(self, key: str) -> pa.NativeFile:
        """A file for random access."""

    def read(self, key: str) -> bytes:
        """A small file whole."""

    def create(self, key: str, body: bytes) -> None:
        """Put a small file if there is none; of two writers at once one wins."""

    def replace(self, key: str, body: bytes) -> None:
        """Put a small file in the place of an older one; under a lock of its folder."""

    def append_line(self, key: str, line: str) -> None:
        """Append one line, durable on return, after dropping a line that a crash cut short; under the lock of its folder."""

    def staging(self, name: str) -> AbstractContextManager[Path]:
        """A folder of this machine in which a file is written before `commit`; gone afterwards, and never seen by readers."""

    def commit(self, staged: Path, key: str) -> None:
        """
        Publish a staged file under *key*, durable on return; under the lock of its folder.

        Raises:
            FileExistsError: the key is taken; nothing was changed.
        """

    def delete(self, key: str) -> None:
        """Remove a file for good; a key that is gone is none."""

    def size(self, key: str) -> int:
        """Bytes of a file."""

    def state(self, key: str) -> Hashable | None:
        """A value that is another one once the bytes of *key* were touched; None while that could not be seen yet."""

    def age_s(self, key: str) -> float:
        """Seconds since a file was committed."""

    def lock(self, folder: str) -> AbstractContextManager[RecordingClock]:
        """
        Hold the writers' lock of *folder*, made where it does not exist; readers take none.

        The lock ends with its process. The stamps that its clock gives are strictly increasing across processes, whatever the
        wall clock does.

        Raises:
            LockTimeoutError: another writer held it too long.
        """

    def wait_for_writer(self, folder: str) -> None:
        """
        Take and release the writers' lock of *folder*, writing nothing.

        Raises:
            LockTimeoutError: a writer held it too long.
        """

    def last_stamp(self, folder: str) -> int | None:
        """The last recording stamp handed out in *folder*, microseconds UTC; None where none is kept."""

    def orphans(self) -> list[str]:
        """Staging that killed writers left more than an hour ago, as paths."""

    def sweep(self) -> None:
        """Remove the orphans."""
