"""The lake's Parquet files in a `Storage`: their names, footers and rows, each held against what was written."""

import contextlib
import datetime as dt
import hashlib
import json
import re
import time
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from hydra_assets.errors import CorruptionError, StorageError
from hydra_assets.lazy import lazy
from hydra_assets.storage.backend import Storage

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

ds, fs, pq = lazy("pyarrow.dataset"), lazy("pyarrow.fs"), lazy("pyarrow.parquet")

COMMITTED = re.compile(r"(?:batch_(?P<day>\d{8})|base)_(?P<id>[0-9a-f]{32})_(?P<hash>[0-9a-f]{16})\.parquet")
_SHARED_ROWS = 16_384  # below this one thread reads the columns of a file sooner than several start
_WRITE = {"compression": "zstd", "compression_level": 1, "write_page_checksum": True}


def name_of(key: str) -> str:
    """The last segment of a key."""
    return key.rpartition("/")[2]


def committed(storage: Storage, folder: str) -> list[str]:
    """Keys of the committed Parquet files of *folder*, oldest first; unknown names and half-written files are not among them."""
    found = {name: match["id"] for name in storage.names(folder) if (match := COMMITTED.fullmatch(name))}
    return [f"{folder}/{name}" for name in sorted(found, key=found.__getitem__)]


def live(storage: Storage, folder: str) -> list[str]:
    """
    Keys of the committed files of *folder* that count, oldest first: those that no base file there names as replaced.

    Raises:
        FileNotFoundError: a base file vanished since it was listed: list again.
    """
    keys = committed(storage, folder)
    replaced = {name for key in keys if is_base(key) for name in replaced_by(footer(storage, key))}
    return [key for key in keys if name_of(key) not in replaced]


def is_base(key: str) -> bool:
    """Whether a committed file is a compaction's."""
    return name_of(key).startswith("base_")


def replaced_by(meta: dict[str, str]) -> list[str]:
    """The names that a base file's footer says it replaces, those that its own forerunners replaced among them."""
    names: list[str] = json.loads(meta.get("replaces", "[]"))
    return names


def day_of(key: str) -> dt.date | None:
    """The day of the write that a batch's name tells; None of a base file, whose rows keep their own."""
    name = COMMITTED.fullmatch(name_of(key))
    day = name and name["day"]
    return dt.date(int(day[:4]), int(day[4:6]), int(day[6:])) if day else None


def put(
    storage: Storage,
    folder: str,
    table: pa.Table,
    *,
    day: str | None,
    metadata: dict[str, str],
    check: Callable[[pa.Table], None] | None = None,
) -> str:
    """
    Write *table* as one new file of *folder* and commit it; its key.

    Args:
        day: ``YYYYMMDD`` for the name; None names a base file.
        metadata: goes into the footer, under ``hydra.``, with the file's own place and row count.
        check: is given the rows as they were written, before the commit; an exception of it leaves no file.
    """
    identity = uuid7()
    metadata = {**metadata, "path": f"{folder}/{identity}", "rows": str(table.num_rows)}
    with storage.staging(identity) as stage:
        ours = {f"hydra.{k}".encode(): v.encode() for k, v in metadata.items()}
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), **ours})
        ds.write_dataset(
            table,
            str(stage),
            format="parquet",
            file_options=ds.ParquetFileFormat().make_write_options(**_WRITE),
            basename_template=f"{identity}-{{i}}.parquet",
            max_rows_per_file=0,
            # The folder is there, empty and local, and a month is one file: nothing to look for, nothing to share among threads.
            filesystem=fs.LocalFileSystem(),
            create_dir=False,
            existing_data_behavior="overwrite_or_ignore",
            use_threads=False,
        )
        staged = stage / f"{identity}-0.parquet"
        if not table.num_rows:  # no row groups: write_dataset makes no file of an empty table
            pq.write_table(table, staged, **_WRITE)
        if check is not None:
            check(pq.read_table(staged, page_checksum_verification=True))
        with pa.OSFile(str(staged)) as file:
            sealed = footer_hash(file, str(staged))
        key = f"{folder}/{f'batch_{day}' if day else 'base'}_{identity}_{sealed}.parquet"
        storage.commit(staged, key)
        return key


def footer_hash(file: pa.NativeFile, place: str) -> str:
    """
    The first 16 hex digits of the SHA-256 over a Parquet file's footer, which page checksums do not cover.

    Args:
        place: for the error.

    Raises:
        CorruptionError: the file is cut.
    """
    size = file.size()
    file.seek(max(size - 8, 0))
    tail = file.read(8)
    if size < 12 or tail[4:] != b"PAR1":
        raise CorruptionError(f"{place}: not a whole Parquet file ({size} bytes)")
    length = int.from_bytes(tail[:4], "little")
    if length + 12 > size:
        raise CorruptionError(f"{place}: the footer claims {length} bytes of a file of {size}")
    file.seek(size - 8 - length)
    return hashlib.sha256(file.read(length + 8)).hexdigest()[:16]


def get(storage: Storage, key: str) -> tuple[pa.Table, dict[str, str]]:
    """
    The rows and our footer metadata of a committed file, every page checked.

    Raises:
        FileNotFoundError: it vanished since it was listed (a compaction replaced it): list again.
        CorruptionError: naming the file.
    """
    with _opened(storage, key) as file:
        meta = _footer(storage, key, file)
        table = file.read(use_threads=file.metadata.num_rows > _SHARED_ROWS)
    if meta["rows"] != str(table.num_rows):
        raise CorruptionError(f"{storage.path(key)}: {table.num_rows} rows, written were {meta['rows']}")
    kept = {k: v for k, v in (table.schema.metadata or {}).items() if not k.startswith(b"hydra.")}
    return table.replace_schema_metadata(kept or None), meta


def footer(storage: Storage, key: str) -> dict[str, str]:
    """Our footer metadata of a committed file, without reading its rows; raises as `get` does."""
    with _opened(storage, key) as file:
        return _footer(storage, key, file)


@contextlib.contextmanager
def _opened(storage: Storage, key: str) -> "Iterator[ParquetFile]":
    name, place = COMMITTED.fullmatch(name_of(key)), storage.path(key)
    if name is None:
        raise CorruptionError(f"{place}: not a name that the lake gives")
    with storage.open(key) as source:
        if footer_hash(source, str(place)) != name["hash"]:
            raise CorruptionError(f"{place}: the footer is not the one that was written")
        try:
            with pq.ParquetFile(source, page_checksum_verification=True) as file:
                yield file
        except (FileNotFoundError, CorruptionError, StorageError):
            raise
        except (OSError, pa.ArrowException) as error:
            raise CorruptionError(f"{place}: {error}") from error


def _footer(storage: Storage, key: str, file: "ParquetFile") -> dict[str, str]:
    raw = file.schema_arrow.metadata or {}
    meta = {k.decode().removeprefix("hydra."): v.decode() for k, v in raw.items() if k.startswith(b"hydra.")}
    folder, _, name = key.rpartition("/")
    match = COMMITTED.fullmatch(name)
    if match is None or meta.get("path") != f"{folder}/{match['id']}":
        written = meta.get("path", "no file of a lake")
        raise CorruptionError(f"{storage.path(key)}: was written as {written}; it has been moved or copied here")
    return meta


def uuid7() -> str:
    """A UUID version 7 (RFC 9562) as 32 hex digits: unique, and sorted by the time it was made."""
    ms = time.time_ns() // 1_000_000
    value = (ms << 80) | (7 << 76) | (uuid.uuid4().int & ((1 << 76) - 1))
    value = (value & ~(0b11 << 62)) | (0b10 << 62)
    return f"{value:032x}"
