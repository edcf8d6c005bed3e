"""One month of the lake: which of its files count, and their rows with what the lake itself knows of each."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa

from hydra_assets.errors import CorruptionError
from hydra_assets.storage import files

RECORDED, RETRACTED, WRITTEN, SEEN = "_recorded_at", "_retracted", "_written_day", "_seen_at"
HIDDEN = (RECORDED, RETRACTED, WRITTEN, SEEN)
HIDDEN_FIELDS = (
    pa.field(RECORDED, pa.int64()),
    pa.field(RETRACTED, pa.bool_()),
    pa.field(WRITTEN, pa.date32()),
    pa.field(SEEN, pa.int64()),
)
KEY = b"hydra_key"
PLACE = re.compile(r"data_type=(?P<data_type>[^/]+)/market=(?P<market>[^/]+)/year=(?P<year>\d{4})/month=(?P<month>\d{2})")
LISTINGS = 10
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Folder:
    """One month of one market of one data type."""

    data_type: str
    market: str
    year: int
    month: int
    path: Path

    @property
    def key(self) -> str:
        """``data_type=…/market=…/year=…/month=…``."""
        return f"data_type={self.data_type}/market={self.market}/year={self.year:04d}/month={self.month:02d}"


@dataclass(frozen=True)
class FolderFacts:
    """
    What lies in a folder.

    Attributes:
        files: that count. replaced: by a compaction, and still on the disk.
        rows: recorded in the files that count, tombstones among them. size: bytes of both.
        recorded_at: the newest recording, microseconds UTC.
    """

    files: int
    replaced: int
    rows: int
    size: int
    recorded_at: int | None


@dataclass(frozen=True)
class Footnote:
    """
    What a write said of itself.

    Attributes:
        recorded_at: microseconds UTC.
        versions: of what stamped and parsed the rows.
        reason: of a restamp.
    """

    recorded_at: int
    versions: Mapping[str, str] = field(default_factory=dict)
    reason: str | None = None


class FolderReader:
    """
    Reads the folders of one lake, every file checked; takes no lock.

    Args:
        root: the lake.
        world: whose files are believed.
    """

    def __init__(self, root: Path, world: str) -> None:
        self.root, self.world = root, world

    def settled(self, folder: Path, read: Callable[[list[Path]], Answer]) -> Answer:
        """*read* of the files that count; listed again where one vanished (replaced, then vacuumed) in between."""
        for _ in range(LISTINGS):
            try:
                return read(files.live(self.root, folder))
            except FileNotFoundError:
                continue
        raise CorruptionError(f"{folder}: {LISTINGS} times a file was gone between listing and reading; is something deleting files there?")

    def rows(self, folder: Folder) -> list[pa.Table]:
        """The tables of a folder's files, oldest first, with the hidden columns."""
        return self.settled(folder.path, lambda paths: [self.with_hidden(path) for path in paths])

    def newest(self, folder: Path) -> int | None:
        """The newest recording in a folder, microseconds UTC."""
        return self.settled(folder, lambda paths: max((int(self.footer(path)["recorded_at"]) for path in paths), default=None))

    def footnotes(self, folder: Path) -> list[Footnote]:
        """Every write's, those that a compaction merged among them."""
        return self.settled(folder, lambda paths: [note for path in paths for note in footnotes_of(self.footer(path))])

    def describe(self, folder: Path) -> FolderFacts:
        """From the footers, without reading rows."""

        def told(paths: list[Path]) -> FolderFacts:
            footers, there = [self.footer(path) for path in paths], files.committed(folder)
            return FolderFacts(
                files=len(paths),
                replaced=len(there) - len(paths),
                rows=sum(int(meta["rows"]) for meta in footers),
                size=sum(path.stat().st_size for path in there),
                recorded_at=max((int(meta["recorded_at"]) for meta in footers), default=None),
            )

        return self.settled(folder, told)

    def footer(self, path: Path) -> dict[str, str]:
        """Our footer of a file."""
        return files.footer(self.root, path)

    def get(self, path: Path) -> tuple[pa.Table, dict[str, str]]:
        """Rows and footer of a file, every page checked; CorruptionError naming it, also where it is another world's."""
        table, meta = files.get(self.root, path)
        if meta["world"] != self.world:
            raise CorruptionError(f"{path}: belongs to world {meta['world']}, this lake is {self.world}")
        return table, meta

    def with_hidden(self, path: Path) -> pa.Table:
        """A file's rows with the hidden columns: of a base file its own, of a batch what its footer and name say."""
        table, meta = self.get(path)
        n, day = table.num_rows, files.day_of(path)
        if "key" in meta:
            table = table.replace_schema_metadata({**(table.schema.metadata or {}), KEY: meta["key"].encode()})
        seen = int(meta["seen_at"]) if "seen_at" in meta else None
        told = {RECORDED: int(meta["recorded_at"]), RETRACTED: False, WRITTEN: day, SEEN: seen}
        for hidden in HIDDEN_FIELDS:
            if hidden.name not in table.column_names:
                table = table.append_column(hidden, pa.repeat(pa.scalar(told[hidden.name], hidden.type), n))
        return table


def footnotes_of(meta: Mapping[str, str]) -> list[Footnote]:
    """The notes that a file's footer carries."""
    if "history" in meta:
        return [Footnote(**note) for note in json.loads(meta["history"])]
    return [Footnote(int(meta["recorded_at"]), json.loads(meta.get("versions", "{}")), meta.get("reason"))]


def joined(parts: Sequence[pa.Table]) -> pa.Table:
    """Files' tables as one; it carries the newest key."""
    key = next((key_of(part) for part in reversed(parts) if key_of(part)), None)
    table = pa.concat_tables(parts, promote_options="default").combine_chunks()
    return table.replace_schema_metadata({**(table.schema.metadata or {}), KEY: json.dumps(key).encode()}) if key else table


def key_of(table: pa.Table) -> list[str] | None:
    """The key that `append_new` wrote into the footers, carried along as metadata of the loaded table."""
    raw = (table.schema.metadata or {}).get(KEY)
    return json.loads(raw) if raw else None


def shown(table: pa.Table, columns: Sequence[str] | None = None) -> pa.Table:
    """*table* as it was written, without what the lake keeps beside it."""
    bare = table.drop_columns([name for name in HIDDEN if name in table.column_names])
    kept = {k: v for k, v in (table.schema.metadata or {}).items() if k != KEY}
    bare = bare.replace_schema_metadata(kept or None)
    return bare.select(list(columns)) if columns is not None else bare


def recordings(table: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """When each row was recorded, and whether it withdraws its vintage."""
    return table[RECORDED].to_numpy(), table[RETRACTED].fill_null(False).to_numpy(zero_copy_only=False)


def empty(schema: Iterable[pa.Field]) -> pa.Table:
    """No rows of *schema* and the hidden columns."""
    return pa.schema([*schema, *HIDDEN_FIELDS]).empty_table()
