"""
The seam between the lake and the disk: list committed files, put one and commit it, delete one, lock a folder and hand out a stamp.

A file is committed by a rename within one filesystem, after its bytes and before its folder are synced: a reader sees all of
it or nothing, and a writer that was told "written" is right after a power cut too. An object store would take the disk's
place here and nowhere else.
"""

import contextlib
import datetime as dt
import fcntl
import hashlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from hydra_assets.core.instants import now_us
from hydra_assets.errors import CorruptionError, LockTimeoutError

STAGING = ".staging"
COMMITTED = re.compile(r"(?:batch_(?P<day>\d{8})|base)_(?P<id>[0-9a-f]{32})_(?P<hash>[0-9a-f]{16})\.parquet")
ORPHAN_AGE_S = 3600
LOCK_TIMEOUT_S = 120
_WRITE = {"compression": "zstd", "compression_level": 1, "write_page_checksum": True}


def committed(folder: Path) -> list[Path]:
    """The committed Parquet files of *folder*, oldest first; strangers, symlinks and half-written files are not among them."""
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if COMMITTED.fullmatch(e.name) and e.is_file(follow_symlinks=False)]
    except FileNotFoundError:
        return []
    return [folder / name for name in sorted(names, key=lambda n: COMMITTED.fullmatch(n)["id"])]  # type: ignore[index]


def live(root: Path, folder: Path) -> list[Path]:
    """
    The committed files of *folder* that count, oldest first: those that no base file there names as replaced.

    Raises:
        FileNotFoundError: a base file vanished since it was listed: list again.
    """
    paths = committed(folder)
    replaced = {name for path in paths if is_base(path) for name in replaced_by(footer(root, path))}
    return [path for path in paths if path.name not in replaced]


def is_base(path: Path) -> bool:
    """Whether a committed file is a compaction's."""
    return path.name.startswith("base_")


def replaced_by(meta: dict[str, str]) -> list[str]:
    """The names that a base file's footer says it replaces, those that its own forerunners replaced among them."""
    names: list[str] = json.loads(meta.get("replaces", "[]"))
    return names


def day_of(path: Path) -> dt.date | None:
    """The day of the write that a batch's name tells; None of a base file, whose rows keep their own."""
    name = COMMITTED.fullmatch(path.name)
    day = name and name["day"]
    return dt.date(int(day[:4]), int(day[4:6]), int(day[6:])) if day else None


def delete(path: Path) -> None:
    """Remove a committed file, for good once its folder is synced."""
    path.unlink(missing_ok=True)
    _sync(path.parent)


def put(
    root: Path,
    folder: Path,
    table: pa.Table,
    *,
    day: str | None,
    metadata: dict[str, str],
    check: Callable[[pa.Table], None] | None = None,
) -> Path:
    """
    Write *table* as one new file of *folder* and commit it.

    Args:
        root: the lake; staging lies in it, so that the rename stays within one filesystem.
        day: ``YYYYMMDD`` for the name; None names a base file.
        metadata: goes into the footer, under ``hydra.``, with the file's own place and row count.
        check: is given the rows as they lie on the disk, before the rename; what it raises leaves no file.
    """
    identity = uuid7()
    metadata = {**metadata, "path": f"{folder.relative_to(root)}/{identity}", "rows": str(table.num_rows)}
    stage = root / STAGING / f"{identity}-{os.getpid()}"
    stage.mkdir(mode=0o700, parents=True)
    try:
        schema = table.schema.with_metadata(
            {**(table.schema.metadata or {}), **{f"hydra.{k}".encode(): v.encode() for k, v in metadata.items()}}
        )
        ds.write_dataset(
            table.cast(schema),
            stage,
            format="parquet",
            file_options=ds.ParquetFileFormat().make_write_options(**_WRITE),
            basename_template=f"{identity}-{{i}}.parquet",
            max_rows_per_file=0,
        )
        written = list(stage.glob("*.parquet"))
        if not written:  # no row groups: write_dataset makes no file of an empty table
            written = [stage / f"{identity}-0.parquet"]
            pq.write_table(table.cast(schema), written[0], **_WRITE)
        (source,) = written
        _sync(source)
        if check is not None:
            check(pq.read_table(source, page_checksum_verification=True))
        target = folder / f"{f'batch_{day}' if day else 'base'}_{identity}_{footer_hash(source)}.parquet"
        source.rename(target)
        _sync(folder)
        return target
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def footer_hash(path: Path) -> str:
    """The first 16 hex digits of the SHA-256 over a Parquet file's footer, which page checksums do not cover."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(size - 8, 0))
        tail = file.read(8)
        if size < 12 or tail[4:] != b"PAR1":
            raise CorruptionError(f"{path}: not a whole Parquet file ({size} bytes)")
        length = int.from_bytes(tail[:4], "little")
        if length + 12 > size:
            raise CorruptionError(f"{path}: the footer claims {length} bytes of a file of {size}")
        file.seek(size - 8 - length)
        return hashlib.sha256(file.read(length + 8)).hexdigest()[:16]


def get(root: Path, path: Path) -> tuple[pa.Table, dict[str, str]]:
    """
    The rows and our footer metadata of a committed file, every page checked.

    Raises:
        FileNotFoundError: it vanished since it was listed (a compaction replaced it): list again.
        CorruptionError: naming the file.
    """
    with _opened(path) as file:
        meta = _footer(root, path, file)
        table = file.read()
    if meta["rows"] != str(table.num_rows):
        raise CorruptionError(f"{path}: {table.num_rows} rows, written were {meta['rows']}")
    kept = {k: v for k, v in (table.schema.metadata or {}).items() if not k.startswith(b"hydra.")}
    return table.replace_schema_metadata(kept or None), meta


def footer(root: Path, path: Path) -> dict[str, str]:
    """Our footer metadata of a committed file, without reading its rows; errors as of `get`."""
    with _opened(path) as file:
        return _footer(root, path, file)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    name = COMMITTED.fullmatch(path.name)
    if name is None:
        raise CorruptionError(f"{path}: not a name that the lake gives")
    if footer_hash(path) != name["hash"]:
        raise CorruptionError(f"{path}: the footer is not the one that was written")
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            yield file
    except (FileNotFoundError, CorruptionError):
        raise
    except (OSError, pa.ArrowException) as error:
        raise CorruptionError(f"{path}: {error}") from error


def _footer(root: Path, path: Path, file: pq.ParquetFile) -> dict[str, str]:
    raw = file.schema_arrow.metadata or {}
    meta = {k.decode().removeprefix("hydra."): v.decode() for k, v in raw.items() if k.startswith(b"hydra.")}
    name = COMMITTED.fullmatch(path.name)
    if name is None or meta.get("path") != f"{path.parent.relative_to(root)}/{name['id']}":
        raise CorruptionError(f"{path}: was written as {meta.get('path', 'no file of a lake')}; it has been moved or copied here")
    return meta


@contextlib.contextmanager
def lock(folder: Path) -> Iterator["Stamps"]:
    """
    Hold *folder*'s writers' lock and hand out its recording stamps.

    The lock is the operating system's, so it ends with its process. The last stamp lies beside it: a stamp is
    ``max(now, last + 1 us)`` and therefore strictly increasing across processes, whatever the clock does.
    """
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o640)
    try:
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise LockTimeoutError(f"{folder}: another writer held the lock for {LOCK_TIMEOUT_S} s") from None
                time.sleep(0.002)
        yield Stamps(descriptor)
    finally:
        os.close(descriptor)


class Stamps:
    """The recording clock of a locked folder."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def next(self) -> int:
        """The next stamp, microseconds UTC; kept before it is used, so that no crash can hand it out twice."""
        text = os.pread(self._descriptor, 20, 0)
        stamp = max(now_us(), (int(text) + 1) if text.strip().isdigit() else 0)
        os.pwrite(self._descriptor, b"%020d" % stamp, 0)
        return stamp


def last_stamp(folder: Path) -> int | None:
    """The last recording stamp handed out in *folder*, microseconds UTC; None where none is kept."""
    with contextlib.suppress(FileNotFoundError):
        text = (folder / ".lock").read_bytes()[:20].strip()
        return int(text) if text.isdigit() else None
    return None


def sweep(root: Path) -> None:
    """Remove staging folders that a killed writer left more than an hour ago."""
    with contextlib.suppress(FileNotFoundError):
        for entry in os.scandir(root / STAGING):
            if time.time() - entry.stat(follow_symlinks=False).st_mtime > ORPHAN_AGE_S:
                shutil.rmtree(entry.path, ignore_errors=True)


def uuid7() -> str:
    """A UUID version 7 (RFC 9562) as 32 hex digits: unique, and sorted by the time it was made."""
    ms = time.time_ns() // 1_000_000
    value = (ms << 80) | (7 << 76) | (uuid.uuid4().int & ((1 << 76) - 1))
    value = (value & ~(0b11 << 62)) | (0b10 << 62)
    return f"{value:032x}"


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
