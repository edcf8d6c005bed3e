"""
Upkeep of a month's folder: its files merged into one base file, and, later, what that replaced removed.

A base file's footer names every file it replaces, and what those replaced; readers skip exactly these. So a crash at any point
leaves a folder that reads the same, and a batch written beside a compaction is never among what is skipped.
"""

import dataclasses
import datetime as dt
import json
from collections.abc import Callable

import pyarrow as pa

from hydra_assets.errors import CorruptionError
from hydra_assets.storage import files
from hydra_assets.storage.folder import KEY, Folder, FolderReader, concat, footer_key, writes_of

GRACE = dt.timedelta(hours=1)


def compact_folder(reader: FolderReader, folder: Folder) -> str | None:
    """
    Merge the files of *folder* that count into one; the base file's key, or None where there is nothing to merge.

    Raises:
        CorruptionError: a file is bad, or the rows written are not those that were read; nothing was changed.
    """
    storage = reader.storage
    with storage.lock(folder.key):
        keys = files.live(storage, folder.key)
        if len(keys) < 2:
            return None
        footers = [reader.footer(key) for key in keys]
        table = concat([reader.with_hidden(key) for key in keys])
        row_key = footer_key(table)
        replaces = [name for key, meta in zip(keys, footers, strict=True) for name in (*files.replaced_by(meta), files.name_of(key))]
        metadata = {
            "recorded_at": str(max(int(meta["recorded_at"]) for meta in footers)),
            "world": reader.world,
            "replaces": json.dumps(replaces),
            "history": json.dumps([dataclasses.asdict(write) for meta in footers for write in writes_of(meta)]),
            **({"key": json.dumps(row_key)} if row_key else {}),
        }
        kept = {k: v for k, v in (table.schema.metadata or {}).items() if k != KEY}
        table = table.replace_schema_metadata(kept or None)
        storage.sweep()
        return files.put(storage, folder.key, table, day=None, metadata=metadata, check=_same_as(table, folder))


def vacuum_folder(reader: FolderReader, folder: Folder, older_than: dt.timedelta) -> list[str]:
    """
    Delete what base files of *folder* have replaced for longer than *older_than*, and never less than an hour; oldest first.

    A reader that has listed a file has that hour to open it. A base file is read whole before what it replaces goes.

    Returns:
        The keys of the files deleted.
    """
    storage = reader.storage
    if not any(files.is_base(key) for key in files.committed(storage, folder.key)):
        return []
    with storage.lock(folder.key):
        present = files.committed(storage, folder.key)
        replaced_for: dict[str, float] = {}  # seconds, by name
        for base in filter(files.is_base, present):
            age = storage.age_s(base)
            for name in files.replaced_by(reader.footer(base)):
                replaced_for[name] = max(age, replaced_for.get(name, age))
        grace = max(older_than, GRACE).total_seconds()
        deleted = [key for key in present if replaced_for.get(files.name_of(key), -1.0) >= grace]
        if deleted:
            for key in present:
                if files.is_base(key) and files.name_of(key) not in replaced_for:
                    reader.get(key)
        for key in deleted:
            storage.delete(key)
        return deleted


def _same_as(table: pa.Table, folder: Folder) -> Callable[[pa.Table], None]:
    def check(written: pa.Table) -> None:
        if written.column_names != table.column_names or not all(_equal(written[n], table[n]) for n in table.column_names):
            raise CorruptionError(f"{folder.key}: the rows of the merged file are not those of the files it merges; it was not committed")

    return check


def _equal(a: pa.ChunkedArray, b: pa.ChunkedArray) -> bool:
    """The same values in the same order; a NaN equals itself, which Arrow does not grant it."""
    return a.type == b.type and (a.equals(b) or repr(a.to_pylist()) == repr(b.to_pylist()))
