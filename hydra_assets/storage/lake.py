"""The lake: a grow-only set of rows in hive-partitioned Parquet, read as it was known at an instant."""

import contextlib
import datetime as dt
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets import log
from hydra_assets.core.dataset import Stamps
from hydra_assets.core.instants import INSTANT, column_us, from_us, instants, now_us, to_us
from hydra_assets.core.point_in_time import known_vintages, recordings_that_count
from hydra_assets.errors import CorruptionError, InvalidNameError, InvalidTimeError, SchemaError
from hydra_assets.storage import files
from hydra_assets.storage.capture import Held, Look, capture
from hydra_assets.storage.names import adopt_world, checked_name

RECORDED, RETRACTED, WRITTEN = "_recorded_at", "_retracted", "_written_day"
KEY = b"hydra_key"
HIDDEN = (RECORDED, RETRACTED, WRITTEN)
WORLD_FILE, SCHEMA_FILE, LOOKS_FILE = "WORLD", "_schema.arrow", "_looks.jsonl"
_FOLDER = re.compile(r"data_type=(?P<data_type>[^/]+)/market=(?P<market>[^/]+)/year=(?P<year>\d{4})/month=(?P<month>\d{2})")

__all__ = ["Folder", "Look", "ParquetLake"]


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


class ParquetLake:
    """
    Rows by data type, market and month; nothing is ever changed in place.

    Args:
        base_path: the lake's root; made when it does not exist.
        world: ``sample`` or ``live``; None adopts the root's, or ``sample`` for a new one.
    Raises:
        WorldError: the root belongs to the other world.
    """

    def __init__(self, base_path: str | os.PathLike[str], *, world: str | None = None) -> None:
        self.base_path = Path(base_path).expanduser().absolute()
        self.base_path.mkdir(mode=0o750, parents=True, exist_ok=True)
        self.world = adopt_world(self.base_path / WORLD_FILE, world, f"lake {self.base_path}")

    # ---------------------------------------------------------------- writing

    def write(self, table: pa.Table, data_type: str, market: str, date: dt.date) -> Path:
        """
        Append *table* as one new file, and return its path once it would survive a power cut.

        Args:
            table: instants as timestamps with a zone (stored as UTC microseconds; ``available_at`` rounds up); rows with an
                ``as_of`` must lie in *date*'s month.
            date: an aware datetime, or a date; its UTC day picks the folder and the name.
        Raises:
            InvalidNameError, InvalidTimeError, SchemaError: naming what is wrong; nothing was written.
        """
        folder = self._folder(data_type, market, _utc_day(date, "date"))
        table = self._checked(table, folder)
        with files.lock(folder.path) as stamps:
            return self._put(table, folder, _utc_day(date, "date"), stamps.next())

    def append_new(
        self,
        table: pa.Table,
        data_type: str,
        market: str,
        date: dt.date,
        *,
        key: Sequence[str],
        stamps: Stamps,
        look: Look,
        allow_retract: bool = False,
    ) -> int:
        """
        Append what the month of *date* does not hold yet, by the capture rule of *stamps*.

        Args:
            key: columns that tell rows of one ``as_of`` apart.
            stamps: ``ours``, ``vendor`` or ``derived``: who decides ``available_at``.
            look: what the source was asked and when; logged in the lake with the rows.
            allow_retract: a derived table may lose more than a fifth of the month's vintages.
        Returns:
            Rows written, tombstones included.
        Raises:
            RetractionError: see *allow_retract*.
        """
        folder = self._folder(data_type, market, _utc_day(date, "date"))
        table = self._checked(table, folder)
        names = [name for name in key if name != "as_of"]
        for name in (*names, "as_of", "available_at"):
            if name not in table.column_names:
                raise SchemaError(f"{folder.key}: append_new needs the column {name!r}; the table has {table.column_names}")
        with files.lock(folder.path) as clock:
            held = self._load([folder])
            looks = self._looks_of(folder)
            rows, ignored = capture(
                table, _held(held), key=names, stamps=stamps, look=look, looks=looks, place=folder.key, allow_retract=allow_retract
            )
            if rows.num_rows:
                self._put(rows, folder, _utc_day(date, "date"), clock.next(), key=names)
            self._log_look(folder, look, ignored)
            if ignored:
                log.get("lake").warning(
                    "an outdated look was not believed", folder=folder.key, rows=ignored, seen_at=look.seen_at.isoformat()
                )
            return int(rows.num_rows)

    def _put(self, table: pa.Table, folder: Folder, day: dt.date, stamp: int, *, key: Sequence[str] = ()) -> Path:
        files.sweep(self.base_path)
        metadata = {"recorded_at": str(stamp), "world": self.world, **({"key": json.dumps(list(key))} if key else {})}
        return files.put(self.base_path, folder.path, table, day=f"{day:%Y%m%d}", metadata=metadata)

    # ---------------------------------------------------------------- reading

    def read(
        self, data_type: str, market: str, start: dt.date | None = None, end: dt.date | None = None, *, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """
        Every row as written, all vintages, withdrawn ones left out; unknown names read as an empty table.

        Args:
            start, end: inclusive UTC days of ``as_of``, or of the write's date where the table has none.
        """
        table = self._rows(data_type, market, start, end)
        tombstones = table[RETRACTED].to_numpy(zero_copy_only=False)
        if tombstones.any():
            table = table.filter(pa.array(~self._withdrawn(table)))
        return _shown(table, columns)

    def read_vintages(
        self, data_type: str, market: str, start: dt.date | None = None, end: dt.date | None = None, *, key: Sequence[str] | None = None
    ) -> pa.Table:
        """
        Every vintage that exists: the newest recording of each (key, as_of, available_at), withdrawn ones left out.

        What `features.compute` and the builders of derived tables are given; every other reader names a ``known_at``.
        """
        table = self._rows(data_type, market, start, end)
        if not table.num_rows:
            return _shown(table, None)
        names = key if key is not None else _key_of(table)
        if names is None:
            raise SchemaError(f"{data_type}/{market}: written without a key; name it: read_vintages(..., key=[...])")
        group = _codes(table, [*(name for name in names if name != "as_of"), "as_of"])
        rows = recordings_that_count(
            group, column_us(table["available_at"], what="available_at"), *_recordings(table), stamped_at=_stamped(table)
        )
        return _shown(table.take(pa.array(np.sort(rows))), None)

    def read_known(
        self,
        data_type: str,
        market: str,
        known_at: dt.datetime,
        *,
        key: Sequence[str],
        start: dt.date | None = None,
        end: dt.date | None = None,
        recorded_by: dt.datetime | None = None,
    ) -> pa.Table:
        """
        One row per key and ``as_of``: the vintage that was known at *known_at*.

        Args:
            known_at: inclusive cut on ``available_at``.
            key: with or without ``as_of``.
            recorded_by: inclusive cut on the recording: what this lake would have answered then.
        Raises:
            InvalidTimeError: naive, or *recorded_by* lies in the future.
        """
        cut = to_us(known_at, what="known_at", rounding="floor")
        by = None if recorded_by is None else to_us(recorded_by, what="recorded_by", rounding="floor")
        if by is not None:
            if by > now_us():
                raise InvalidTimeError(f"recorded_by {recorded_by} lies in the future; what will be recorded is not known")
            self._wait_for_writers(data_type, market, by)
        table = self._rows(data_type, market, start, end)
        if not table.num_rows:
            return _shown(table, None)
        for name in ("as_of", "available_at"):
            if name not in table.column_names:
                raise SchemaError(f"{data_type}/{market}: read_known needs the column {name!r}")
        rows = known_vintages(
            _codes(table, [*(name for name in key if name != "as_of"), "as_of"]),
            column_us(table["available_at"], what="available_at"),
            *_recordings(table),
            known_at=cut,
            recorded_by=by,
            stamped_at=_stamped(table),
        )
        return _shown(table.take(pa.array(rows)), None)

    def export_known(self, path: str | os.PathLike[str], data_type: str, market: str, known_at: dt.datetime, *, key: Sequence[str]) -> Path:
        """Write `read_known` to one Parquet file at *path*, for tools that would otherwise glob tombstones and old vintages."""
        import pyarrow.parquet as pq

        target = Path(path)
        pq.write_table(self.read_known(data_type, market, known_at, key=key), target)
        return target

    # ---------------------------------------------------------------- looking around

    def files(self, data_type: str, market: str, start: dt.date | None = None, end: dt.date | None = None) -> list[Path]:
        """The committed files whose months meet the range, oldest folder first."""
        return [path for folder in self._between(data_type, market, start, end) for path in files.committed(folder.path)]

    def folders(self, data_type: str | None = None, market: str | None = None) -> list[Folder]:
        """Every month folder, in order of data type, market and month."""
        one_type = checked_name(data_type, "data_type") if data_type is not None else "*"
        one_market = checked_name(market, "market") if market is not None else "*"
        found = []
        for path in sorted(self.base_path.glob(f"data_type={one_type}/market={one_market}/year=*/month=*")):
            match = _FOLDER.fullmatch(path.relative_to(self.base_path).as_posix())
            if match:
                found.append(Folder(match["data_type"], match["market"], int(match["year"]), int(match["month"]), path))
        return found

    def newest_recorded(self, folder_key: str) -> dt.datetime | None:
        """The newest recording in the folder of *folder_key*, or None."""
        match = _FOLDER.fullmatch(folder_key)
        if match is None:
            raise InvalidNameError(f"{folder_key!r} is not a folder of a lake")
        newest = self._newest(self.base_path / folder_key)
        return None if newest is None else from_us(newest)

    def marks(self, data_type: str, market: str, start: dt.date | None = None, end: dt.date | None = None) -> dict[str, dt.datetime]:
        """Folder key to the newest recording in it, of every folder in the range that holds rows: what a publish used."""
        newest = {folder.key: self._newest(folder.path) for folder in self._between(data_type, market, start, end)}
        return {key: from_us(at) for key, at in newest.items() if at is not None}

    def looks(self, source: str | None = None) -> pa.Table:
        """Every logged look: folder, source, start, end, symbols, seen_at."""
        rows = [
            {"folder": folder.key, **look.as_dict()}
            for folder in self.folders()
            for look in self._looks_of(folder)
            if source is None or look.source == source
        ]
        schema = pa.schema(
            [
                ("folder", pa.string()),
                ("source", pa.string()),
                ("start", pa.date32()),
                ("end", pa.date32()),
                ("symbols", pa.list_(pa.string())),
                ("seen_at", INSTANT),
            ]
        )
        return pa.Table.from_pylist(rows, schema=schema)

    def verify(self) -> int:
        """
        Read every committed file whole: page checksums, footer hash, row count, place and world.

        Returns:
            The number of files, all of them good.
        Raises:
            CorruptionError: naming every bad file.
        """
        good, bad = 0, []
        for folder in self.folders():
            for path in files.committed(folder.path):
                try:
                    self._get(path)
                    good += 1
                except CorruptionError as error:
                    bad.append(str(error))
        if bad:
            raise CorruptionError(f"{len(bad)} of {good + len(bad)} files are bad: " + "; ".join(bad))
        return good

    # ---------------------------------------------------------------- inside

    def _folder(self, data_type: str, market: str, day: dt.date) -> Folder:
        checked_name(data_type, "data_type"), checked_name(market, "market")
        path = self.base_path / f"data_type={data_type}" / f"market={market}" / f"year={day:%Y}" / f"month={day:%m}"
        return Folder(data_type, market, day.year, day.month, path)

    def _between(self, data_type: str, market: str, start: dt.date | None, end: dt.date | None) -> list[Folder]:
        first = _utc_day(start, "start") if start is not None else dt.date.min
        last = _utc_day(end, "end") if end is not None else dt.date.max
        months = ((first.year, first.month), (last.year, last.month))
        return [f for f in self.folders(data_type, market) if months[0] <= (f.year, f.month) <= months[1]]

    def _rows(self, data_type: str, market: str, start: dt.date | None, end: dt.date | None) -> pa.Table:
        schema = _read_schema(self.base_path / f"data_type={checked_name(data_type, 'data_type')}" / SCHEMA_FILE)
        table = self._load(self._between(data_type, market, start, end), schema)
        if (start is None and end is None) or not table.num_rows:
            return table
        days = _days(table)
        keep = np.ones(table.num_rows, dtype=bool)
        if start is not None:
            keep &= days >= np.datetime64(_utc_day(start, "start"), "D")
        if end is not None:
            keep &= days <= np.datetime64(_utc_day(end, "end"), "D")
        return table.filter(pa.array(keep))

    def _load(self, folders: Iterable[Folder], schema: pa.Schema | None = None) -> pa.Table:
        """All rows with the hidden columns; where there is none, an empty table of *schema*."""
        parts = []
        for folder in folders:
            for _ in range(10):
                try:
                    loaded = [self._with_hidden(path) for path in files.committed(folder.path)]
                except FileNotFoundError:
                    continue  # replaced by a compaction since it was listed: list again
                parts += loaded
                break
        if not parts:
            known = schema if schema is not None else pa.schema([])
            return pa.schema([*known, (RECORDED, pa.int64()), (RETRACTED, pa.bool_()), (WRITTEN, pa.date32())]).empty_table()
        key = next((_key_of(part) for part in reversed(parts) if _key_of(part)), None)
        joined = pa.concat_tables(parts, promote_options="default").combine_chunks()
        return joined.replace_schema_metadata({**(joined.schema.metadata or {}), KEY: json.dumps(key).encode()}) if key else joined

    def _get(self, path: Path) -> tuple[pa.Table, dict[str, str]]:
        table, meta = files.get(self.base_path, path)
        if meta["world"] != self.world:
            raise CorruptionError(f"{path}: belongs to world {meta['world']}, this lake is {self.world}")
        return table, meta

    def _with_hidden(self, path: Path) -> pa.Table:
        table, meta = self._get(path)
        name = files.COMMITTED.fullmatch(path.name)
        assert name is not None  # noqa: S101  committed() gave it
        n = table.num_rows
        if RETRACTED not in table.column_names:
            table = table.append_column(RETRACTED, pa.array(np.zeros(n, dtype=bool)))
        if "key" in meta:
            table = table.replace_schema_metadata({**(table.schema.metadata or {}), KEY: meta["key"].encode()})
        table = table.append_column(RECORDED, pa.array(np.full(n, int(meta["recorded_at"]))))
        day = dt.datetime.strptime(name["day"], "%Y%m%d").replace(tzinfo=dt.UTC).date()
        return table.append_column(WRITTEN, pa.array([day] * n, pa.date32()))

    def _withdrawn(self, table: pa.Table) -> np.ndarray:
        """Tombstones, and every older recording of the vintages that they withdraw."""
        stamp = _stamped(table)
        vintage = _codes(table, [*(_key_of(table) or ()), "as_of", "available_at"])
        if stamp is not None:
            vintage = np.unique(np.stack([vintage, stamp]), axis=1, return_inverse=True)[1]
        recorded, tombstone = _recordings(table)
        last = np.full(vintage.max() + 1, -1, dtype=np.int64)
        np.maximum.at(last, vintage[tombstone], recorded[tombstone])
        return np.asarray(tombstone | (recorded < last[vintage]))

    def _newest(self, path: Path) -> int | None:
        return max((int(files.footer(self.base_path, file)["recorded_at"]) for file in files.committed(path)), default=None)

    def _wait_for_writers(self, data_type: str, market: str, recorded_by: int) -> None:
        """A writer may hold an older stamp and not yet have renamed its file: pass through its lock before listing."""
        for folder in self.folders(data_type, market):
            newest = self._newest(folder.path)
            if newest is None or recorded_by > newest:
                with files.lock(folder.path):
                    pass

    def _checked(self, table: pa.Table, folder: Folder) -> pa.Table:
        if not isinstance(table, pa.Table):
            raise SchemaError(f"{folder.key}: a pyarrow.Table is needed, not {type(table).__name__}")
        clash = [name for name in table.column_names if name in HIDDEN or table.column_names.count(name) > 1]
        if clash:
            raise SchemaError(f"{folder.key}: column names {clash} are the lake's own or stand twice")
        table = _utc(table, folder.key)
        if table.num_rows and _has_days(table):
            days = _days(table)
            first = np.datetime64(f"{folder.year:04d}-{folder.month:02d}", "M")
            outside = int((days.astype("datetime64[M]") != first).sum())
            if outside:
                stranger = days[days.astype("datetime64[M]") != first][0]
                raise InvalidTimeError(f"{folder.key}: {outside} row(s) have an as_of outside the month, the first {stranger}")
        if (
            "available_at" in table.column_names
            and table.num_rows
            and _has_days(table)
            and pa.types.is_timestamp(table.schema.field("as_of").type)
        ):
            early = pc.sum(pc.less(table["available_at"], table["as_of"])).as_py()
            if early:
                raise InvalidTimeError(f"{folder.key}: {early} row(s) have an available_at before their as_of")
        self._agree_on_schema(table.schema, folder)
        return table

    def _agree_on_schema(self, schema: pa.Schema, folder: Folder) -> None:
        """One type a column over the whole data type: a changed one would break every later read."""
        home = self.base_path / f"data_type={folder.data_type}"
        known = _read_schema(home / SCHEMA_FILE)
        if not _new_columns(known, schema, folder):
            return
        with files.lock(home):
            known = _read_schema(home / SCHEMA_FILE)
            fields = _new_columns(known, schema, folder)
            if fields:
                fresh = pa.schema([*known, *(field.with_nullable(True).remove_metadata() for field in fields)])
                temporary = home / f"{SCHEMA_FILE}.{os.getpid()}"
                temporary.write_bytes(fresh.serialize().to_pybytes())
                temporary.replace(home / SCHEMA_FILE)

    def _looks_of(self, folder: Folder) -> list[Look]:
        with contextlib.suppress(FileNotFoundError):
            lines = (folder.path / LOOKS_FILE).read_text(encoding="utf-8").split("\n")
            return [Look.from_dict(json.loads(line)) for line in lines[:-1] if line]  # what follows the last newline was cut by a crash
        return []

    def _log_look(self, folder: Folder, look: Look, ignored: int) -> None:
        descriptor = os.open(folder.path / LOOKS_FILE, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)
        try:
            size = os.fstat(descriptor).st_size
            torn = size and os.pread(descriptor, 1, size - 1) != b"\n"
            if torn:  # end the cut line, which is not JSON, so that it cannot swallow this one
                body = Path(folder.path / LOOKS_FILE).read_bytes()
                os.ftruncate(descriptor, body.rfind(b"\n") + 1)
            os.write(descriptor, (look.to_json(ignored=ignored) + "\n").encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _utc_day(date: dt.date, what: str) -> dt.date:
    if isinstance(date, dt.datetime):
        return from_us(to_us(date, what=what, rounding="floor")).date()
    if isinstance(date, dt.date):
        return date
    raise InvalidTimeError(f"{what} must be a date or an aware datetime, not {date!r}")


def _utc(table: pa.Table, place: str) -> pa.Table:
    """Every instant as UTC microseconds; ``stamped_at`` keeps the vendor's nanoseconds."""
    for i, field in enumerate(table.schema):
        if not pa.types.is_timestamp(field.type):
            continue
        if field.type.tz is None:
            raise SchemaError(f"{place}: column {field.name!r} is {field.type}, an instant without a zone; localise it first")
        if field.name == "stamped_at":
            kind = pa.timestamp("ns", tz="UTC")
            table = table.set_column(i, field.with_type(kind), table.column(i).cast(kind))
            continue
        if field.type == INSTANT:
            continue
        column = table.column(i)
        if field.type.unit == "ns":
            valid = column.is_valid().combine_chunks()
            filled = column.cast(pa.timestamp("ns", tz="UTC")).fill_null(pa.scalar(0, pa.timestamp("ns", tz="UTC")))
            us = column_us(filled, what=f"{place} {field.name}", rounding="ceil" if field.name == "available_at" else "exact")
            column = pc.if_else(valid, instants(us), pa.scalar(None, INSTANT))
        else:
            column = column.cast(INSTANT)
        table = table.set_column(i, field.with_type(INSTANT), column)
    return table


def _has_days(table: pa.Table) -> bool:
    if "as_of" not in table.column_names:
        return False
    kind = table.schema.field("as_of").type
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def _days(table: pa.Table) -> np.ndarray:
    """The UTC day of each row: of its as_of, else of the write."""
    column = table["as_of"] if _has_days(table) else table[WRITTEN]
    if column.null_count:
        raise InvalidTimeError(f"as_of has {column.null_count} null(s); a row must say what day it describes")
    days = (
        column.cast(INSTANT).cast(pa.int64()).to_numpy() // 86_400_000_000
        if pa.types.is_timestamp(column.type)
        else column.cast(pa.date32()).cast(pa.int32()).to_numpy()
    )
    return np.asarray(days, dtype=np.int64).astype("datetime64[D]")


def _codes(table: pa.Table, columns: Sequence[str]) -> np.ndarray:
    """One integer per distinct combination of *columns*."""
    code = np.zeros(table.num_rows, dtype=np.int64)
    for name in columns:
        if name not in table.column_names:
            raise SchemaError(f"key column {name!r} is not in the table; it has {_shown(table, None).column_names}")
        encoded = table[name].combine_chunks().dictionary_encode(null_encoding="encode")
        indices = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        code = np.unique(code * (len(encoded.dictionary) + 1) + indices, return_inverse=True)[1].astype(np.int64)
    return code


def _recordings(table: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    return table[RECORDED].to_numpy(), table[RETRACTED].fill_null(False).to_numpy(zero_copy_only=False)


def _stamped(table: pa.Table) -> np.ndarray | None:
    if "stamped_at" not in table.column_names:
        return None
    stamped: np.ndarray = table["stamped_at"].cast(pa.int64()).fill_null(0).to_numpy()
    return stamped


def _key_of(table: pa.Table) -> list[str] | None:
    """The key that `append_new` wrote into the footers, carried along as metadata of the loaded table."""
    raw = (table.schema.metadata or {}).get(KEY)
    return json.loads(raw) if raw else None


def _held(table: pa.Table) -> Held:
    return Held(table=table, recorded_at=table[RECORDED].to_numpy(), retracted=_recordings(table)[1])


def _shown(table: pa.Table, columns: Sequence[str] | None) -> pa.Table:
    shown = table.drop_columns([name for name in HIDDEN if name in table.column_names])
    kept = {k: v for k, v in (table.schema.metadata or {}).items() if k != KEY}
    shown = shown.replace_schema_metadata(kept or None)
    return shown.select(list(columns)) if columns is not None else shown


def _read_schema(path: Path) -> pa.Schema:
    try:
        return pa.ipc.read_schema(pa.py_buffer(path.read_bytes()))
    except FileNotFoundError:
        return pa.schema([])


def _new_columns(known: pa.Schema, schema: pa.Schema, folder: Folder) -> list[pa.Field]:
    fresh = []
    for field in schema:
        if field.name not in known.names:
            fresh.append(field)
        elif known.field(field.name).type != field.type:
            raise SchemaError(f"{folder.key}: column {field.name!r} is {field.type}; the lake holds it as {known.field(field.name).type}")
    return fresh
