"""The vendors' archives: answers under the hash of their bytes, a ledger of looks beside them, and fetches that were cut off."""

import fcntl
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra_assets.disk_errors import disk_errors
from hydra_assets.errors import CorruptionError
from hydra_assets.private_files import FILE_MODE, make_file, make_folder

_FETCH_PREFIX = ".fetch-"  # of the folder that holds an answer until it is whole and renamed into the archive
_AGE_S = 3600


class Archive:
    """
    Answers of a vendor that takes no money, each under the hash of its bytes, and the ledger of looks that gave them.

    Args:
        folder: of the answers and of ``ledger.jsonl``.
        suffix: of an answer's file, ``.csv``.
    """

    def __init__(self, folder: Path, suffix: str) -> None:
        self.folder, self._suffix = folder, suffix
        self._ledger = folder / "ledger.jsonl"

    def path(self, sha256: str) -> Path:
        """The file of the answer with that hash."""
        return self.folder / f"{sha256}{self._suffix}"

    def holds(self, sha256: str) -> bool:
        """Whether the answer with that hash is on disk, whole."""
        path = self.path(sha256)
        return path.exists() and sha256_of(path) == sha256

    def keep(self, body: bytes) -> str:
        """Write an answer durably; its hash."""
        sha256 = hashlib.sha256(body).hexdigest()
        if not self.holds(sha256):
            with disk_errors(self.folder):
                make_folder(self.folder, 0o700)
                with fetch_folder(self.folder) as empty:
                    (empty / "answer").write_bytes(body)
                    move_durably(empty / "answer", self.path(sha256))
        return sha256

    def keep_file(self, fetched: Path) -> str:
        """Move a downloaded answer into the archive durably; its hash."""
        sha256 = sha256_of(fetched)
        if not self.holds(sha256):
            move_durably(fetched, self.path(sha256))
        return sha256

    def note(self, look: Mapping[str, Any]) -> None:
        """Append a look to the ledger, after its answer was kept: a line always has its file."""
        make_file(self._ledger)
        with disk_errors(self.folder), self._ledger.open("a", encoding="utf-8") as ledger:
            fcntl.flock(ledger, fcntl.LOCK_EX)
            ledger.write(json.dumps(look) + "\n")
            ledger.flush()
            os.fsync(ledger.fileno())

    def looks(self) -> Iterator[dict[str, Any]]:
        """The ledger's lines, newest first."""
        try:
            text = self._ledger.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return
        for line in reversed(text.split("\n")[:-1]):
            if line.startswith("{") and line.endswith("}"):  # a killed writer leaves half a line
                try:
                    look = json.loads(line)
                except ValueError:  # damaged: its answer is asked for again, at no charge
                    continue
                yield look


def read_kept(path: Path, sha256: str, noun: str) -> bytes:
    """
    The bytes of an answer, compared with the hash under which they were kept.

    Args:
        path: of the answer.
        sha256: its hash.
        noun: for the message: archive, file, answer.

    Raises:
        CorruptionError: they are others.
    """
    body = path.read_bytes()
    if hashlib.sha256(body).hexdigest() != sha256:
        raise CorruptionError(f"{path}: the {noun} is not the one that was downloaded; delete it to fetch it again")
    return body


def sha256_of(path: Path) -> str:
    """Hash of a file that may be larger than memory."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def move_durably(fetched: Path, target: Path) -> None:
    """Rename a file whose bytes are on the disk by then, readable by owner and group."""
    with fetched.open("rb") as written:
        os.fchmod(written.fileno(), FILE_MODE)
        os.fsync(written.fileno())
    fetched.replace(target)


@contextmanager
def fetch_folder(folder: Path) -> Iterator[Path]:
    """An empty folder in *folder* for an answer that is not whole yet; removed at the end."""
    with tempfile.TemporaryDirectory(prefix=_FETCH_PREFIX, dir=folder) as empty:
        yield Path(empty)


def unfinished_fetches(archives: Path) -> list[Path]:
    """Folders of fetches that were killed more than an hour ago; harmless, since nothing reads them."""
    return [path for path in archives.glob(f"**/{_FETCH_PREFIX}*") if time.time() - path.stat().st_mtime > _AGE_S]
