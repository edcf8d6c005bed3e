"""One month of the lake: the files that count, and their rows with the lake's own hidden columns."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import pyarrow as pa

from hydra_assets.core.names import names_of
from hydra_assets.errors import CorruptionError, SchemaError
from hydra_assets.storage import files
from hydra_assets.storage.backend import Storage
from hydra_assets.storage.column_types import plain_types
from hydra_assets.storage.read_cache import ReadCache

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
LISTINGS = 100
Result = TypeVar("Result")


@dataclass(frozen=True)
class Folder:
    """One month of one market of one data type."""

    data_type: str
    market: str
    year: int
    month: int

    @property
    def key(self) -> str:
        """``data_type=…/market=…/year=…/month=…``."""
        return f"data_type={self.data_type}/market={self.market}/year={self.year:04d}/month={self.month:02d}"


def folder_of(key: str) -> Folder | None:
    """The folder of a key; None where it is not one of a month."""
    match = PLACE.fullmatch(key)
    return match and Folder(match["data_type"], match["market"], int(match["year"]), int(match["month"]))


@dataclass(frozen=True)
class FolderFacts:
    """
    Facts of a folder.

    Attributes:
        files: how many count.
        replaced: files that a compaction replaced, and that are still there.
        rows: recorded in the files that count, tombstones among them.
        size: bytes of all files.
        recorded_at: the newest recording, microseconds UTC.
    """

    files: int
    replaced: int
    rows: int
    size: int
    recorded_at: int | None


@dataclass(frozen=True)
class WriteInfo:
    """
    The facts of one write, from its footer.

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
        storage: the lake's files.
        world: files of another one are refused.
    """

    def __init__(self, storage: Storage, world: str) -> None:
        self.storage, self.world = storage, world
        self._cache = ReadCache()

    def with_live_files(self, folder: Folder, read: Callable[[list[str]], Result]) -> Result:
        """*read* of the files that count; listed again where one vanished (replaced, then vacuumed) in between."""
        for _ in range(LISTINGS):
            try:
                return read(files.live(self.storage, folder.key))
            except FileNotFoundError:
                continue
        place = self.storage.path(folder.key)
        raise CorruptionError(f"{place}: {LISTINGS} times a file was gone between listing and reading; is something deleting files there?")

    def rows(self, folder: Folder) -> list[pa.Table]:
        """The tables of a folder's files, oldest first, with the hidden columns."""
        return self.with_live_files(
            folder, lambda keys: [self._cache.table(key, self.storage.state(key), self.with_hidden) for key in keys]
        )

    def newest(self, folder: Folder) -> int | None:
        """The newest recording in a folder, microseconds UTC."""
        return self.with_live_files(folder, lambda keys: max((int(self.footer(key)["recorded_at"]) for key in keys), default=None))

    def writes(self, folder: Folder) -> list[WriteInfo]:
        """Every write, those that a compaction merged among them."""
        return self.with_live_files(folder, lambda keys: [write for key in keys for write in writes_of(self.footer(key))])

    def describe(self, folder: Folder) -> FolderFacts:
        """Facts of a folder from the footers, without reading rows."""

        def facts(keys: list[str]) -> FolderFacts:
            footers, present = [self.footer(key) for key in keys], files.committed(self.storage, folder.key)
            return FolderFacts(
                files=len(keys),
                replaced=len(present) - len(keys),
                rows=sum(int(meta["rows"]) for meta in footers),
                size=sum(self.storage.size(key) for key in present),
                recorded_at=max((int(meta["recorded_at"]) for meta in footers), default=None),
            )

        return self.with_live_files(folder, facts)

    def footer(self, key: str) -> dict[str, str]:
        """Our footer of a file."""
        return files.footer(self.storage, key)

    def get(self, key: str) -> tuple[pa.Table, dict[str, str]]:
        """Rows and footer of a file, every page checked; CorruptionError naming it, also where it is another world's."""
        table, meta = files.get(self.storage, key)
        if meta["world"] != self.world:
            raise CorruptionError(f"{self.storage.path(key)}: belongs to world {meta['world']}, this lake is {self.world}")
        return table, meta

    def with_hidden(self, key: str) -> pa.Table:
        """A file's rows with the hidden columns: a base file has its own, a batch has them from its footer and name."""
        table, meta = self.get(key)
        table = plain_types(table)  # files of before keep what they were given
        n, day = table.num_rows, files.day_of(key)
        if "key" in meta:
            table = table.replace_schema_metadata({**(table.schema.metadata or {}), KEY: meta["key"].encode()})
        seen = int(meta["seen_at"]) if "seen_at" in meta else None
        hidden_values = {RECORDED: int(meta["recorded_at"]), RETRACTED: False, WRITTEN: day, SEEN: seen}
        for hidden in HIDDEN_FIELDS:
            if hidden.name not in table.column_names:
                table = table.append_column(hidden, pa.repeat(pa.scalar(hidden_values[hidden.name], hidden.type), n))
        return table


def writes_of(meta: Mapping[str, str]) -> list[WriteInfo]:
    """The writes that a file's footer tells of."""
    if "history" in meta:
        return [WriteInfo(**write) for write in json.loads(meta["history"])]
    return [WriteInfo(int(meta["recorded_at"]), json.loads(meta.get("versions", "{}")), meta.get("reason"))]


def concat(parts: Sequence[pa.Table]) -> pa.Table:
    """Files' tables as one; it carries the newest key."""
    key = next((footer_key(part) for part in reversed(parts) if footer_key(part)), None)
    table = pa.concat_tables(parts, promote_options="default")
    return table.replace_schema_metadata({**(table.schema.metadata or {}), KEY: json.dumps(key).encode()}) if key else table


def footer_key(table: pa.Table) -> list[str] | None:
    """The key that `append_new` wrote into the footers, carried along as metadata of the loaded table."""
    raw = (table.schema.metadata or {}).get(KEY)
    return json.loads(raw) if raw else None


def without_hidden(table: pa.Table, columns: Sequence[str] | None = None) -> pa.Table:
    """*table* as it was written, without what the lake keeps beside it."""
    bare = table.drop_columns([name for name in HIDDEN if name in table.column_names])
    kept = {k: v for k, v in (table.schema.metadata or {}).items() if k != KEY}
    bare = bare.replace_schema_metadata(kept or None)
    if columns is None:
        return bare
    wanted = names_of(columns, "columns")
    unknown = [name for name in wanted if name not in bare.column_names]
    if unknown:
        raise SchemaError(f"columns {unknown} are not in the table; it has {bare.column_names}")
    return bare.select(wanted)


def recording_columns(table: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """The recording of each row (microseconds UTC), and whether it withdraws its vintage."""
    return table[RECORDED].to_numpy(), table[RETRACTED].fill_null(False).to_numpy(zero_copy_only=False)


def empty(schema: Iterable[pa.Field]) -> pa.Table:
    """An empty table of *schema* with the hidden columns."""
    return pa.schema([*schema, *HIDDEN_FIELDS]).empty_table()
