"""
Upkeep of a month's folder: its files merged into one base file, and, later, what that replaced removed.

A base file's footer names every file it replaces, and what those replaced; readers skip exactly these. So a crash at any point
leaves a folder that reads the same, and a batch written beside a compaction is never among what is skipped.
"""

import dataclasses
import datetime as dt
import json
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from hydra_assets.errors import CorruptionError
from hydra_assets.storage import files
from hydra_assets.storage.folder import KEY, Folder, FolderReader, footnotes_of, joined, key_of

GRACE = dt.timedelta(hours=1)


def compact_folder(reader: FolderReader, folder: Folder) -> Path | None:
    """
    Merge the files of *folder* that count into one; the base file's path, or None where there is nothing to merge.

    Raises:
        CorruptionError: a file is bad, or what was written is not what was read; nothing was changed.
    """
    with files.lock(folder.path):
        paths = files.live(reader.root, folder.path)
        if len(paths) < 2:
            return None
        footers = [reader.footer(path) for path in paths]
        table = joined([reader.with_hidden(path) for path in paths])
        key = key_of(table)
        replaces = [name for path, meta in zip(paths, footers, strict=True) for name in (*files.replaced_by(meta), path.name)]
        metadata = {
            "recorded_at": str(max(int(meta["recorded_at"]) for meta in footers)),
            "world": reader.world,
            "replaces": json.dumps(replaces),
            "history": json.dumps([dataclasses.asdict(note) for meta in footers for note in footnotes_of(meta)]),
            **({"key": json.dumps(key)} if key else {}),
        }
        kept = {k: v for k, v in (table.schema.metadata or {}).items() if k != KEY}
        table = table.replace_schema_metadata(kept or None)
        files.sweep(reader.root)
        return files.put(reader.root, folder.path, table, day=None, metadata=metadata, check=_same_as(table, folder))


def vacuum_folder(reader: FolderReader, folder: Folder, older_than: dt.timedelta) -> list[Path]:
    """
    Delete what base files of *folder* have replaced for longer than *older_than*, and never less than an hour; oldest first.

    A reader that has listed a file has that hour to open it. A base file is read whole before what it replaces goes.
    """
    if not any(files.is_base(path) for path in files.committed(folder.path)):
        return []
    with files.lock(folder.path):
        there = files.committed(folder.path)
        since: dict[str, float] = {}
        for base in filter(files.is_base, there):
            made = base.stat().st_mtime
            for name in files.replaced_by(reader.footer(base)):
                since[name] = min(made, since.get(name, made))
        before = time.time() - max(older_than, GRACE).total_seconds()
        gone = [path for path in there if since.get(path.name, time.time()) <= before]
        if gone:
            for path in there:
                if files.is_base(path) and path.name not in since:
                    reader.get(path)
        for path in gone:
            files.delete(path)
        return gone


def _same_as(table: pa.Table, folder: Folder) -> Callable[[pa.Table], None]:
    def check(written: pa.Table) -> None:
        if written.column_names != table.column_names or not all(_equal(written[n], table[n]) for n in table.column_names):
            raise CorruptionError(f"{folder.key}: the rows of the merged file are not those of the files it merges; it was not committed")

    return check


def _equal(a: pa.ChunkedArray, b: pa.ChunkedArray) -> bool:
    """The same values in the same order; a NaN equals itself, which Arrow does not grant it."""
    return a.type == b.type and (a.equals(b) or repr(a.to_pylist()) == repr(b.to_pylist()))
