"""The lake: a grow-only set of rows in hive-partitioned Parquet, read as it was known at an instant."""

import datetime as dt
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from hydra_assets import log
from hydra_assets.core.instants import INSTANT, column_us, from_us, now_us, span_us, to_us, utc_day
from hydra_assets.core.names import names_of
from hydra_assets.core.point_in_time import known_vintages, recordings_that_count
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.core.tables.table import Stamps
from hydra_assets.errors import CorruptionError, InvalidNameError, InvalidTimeError, InvalidValueError, SchemaError, StorageError
from hydra_assets.storage import files
from hydra_assets.storage.backend import Storage
from hydra_assets.storage.capture import Existing, Look, capture
from hydra_assets.storage.capture_stats import CaptureStats, capture_stats_of
from hydra_assets.storage.compaction import GRACE, compact_folder, vacuum_folder
from hydra_assets.storage.folder import (
    RETRACTED,
    Folder,
    FolderFacts,
    FolderReader,
    WriteInfo,
    concat,
    empty,
    folder_of,
    footer_key,
    recording_columns,
    without_hidden,
)
from hydra_assets.storage.health import LakeHealth, lake_health
from hydra_assets.storage.keys import key_codes
from hydra_assets.storage.local import LocalStorage
from hydra_assets.storage.look_log import log_look, looks_of
from hydra_assets.storage.names import adopt_world, checked_name
from hydra_assets.storage.restamp import restamped
from hydra_assets.storage.unknown_table import unknown_table, warn_of
from hydra_assets.storage.validate import read_schema, row_days, stamped, validated

__all__ = ["Folder", "Look", "ParquetLake", "WriteInfo"]


class ParquetLake:
    """
    Rows by data type, market and month; nothing is ever changed in place.

    Args:
        base_path: the lake's root; made when it does not exist.
        storage: what keeps the files in place of a local folder.
        world: ``sample`` or ``live``; None adopts the root's, or ``sample`` for a new one.
        lock_timeout_s: longest wait for another writer of one folder; None: 60. Only of a *base_path*.

    Raises:
        WorldError: the root belongs to the other world.
    """

    def __init__(
        self,
        base_path: str | os.PathLike[str] | None = None,
        *,
        world: str | None = None,
        storage: Storage | None = None,
        lock_timeout_s: float | None = None,
    ) -> None:
        if storage is None and base_path is None:
            raise InvalidValueError("a lake needs a base_path, or a storage")
        self._storage = storage if storage is not None else LocalStorage(base_path or "", lock_timeout_s=lock_timeout_s)
        self.base_path = self._storage.path("")
        self.world = adopt_world(self._storage, world, f"lake {self.base_path}")
        self._reader = FolderReader(self._storage, self.world)
        self._said: set[str] = set()  # names of unknown tables, each said once

    # ---------------------------------------------------------------- writing

    def write(self, table: pa.Table, data_type: str, market: str, date: dt.date) -> Path:
        """
        Append *table* as one new file, and return its path once it would survive a power cut.

        Args:
            table: instants as timestamps with a zone (stored as UTC microseconds; ``available_at`` rounds up); rows with an
                ``as_of`` must lie in *date*'s month.
            date: an aware datetime, or a date; its UTC day picks the folder and the name.

        Raises:
            InvalidNameError: naming the argument; nothing was written.
            InvalidTimeError: naming the argument; nothing was written.
            SchemaError: naming the argument; nothing was written.
        """
        folder = self._folder(data_type, market, utc_day(date, "date"))
        table = validated(table, folder, self._storage)
        with self._storage.lock(folder.key) as clock:
            return self._storage.path(self._put(table, folder, utc_day(date, "date"), clock.next()))

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
            look: the request to the source, and its instant; logged in the lake with the rows.
            allow_retract: a derived table may lose more than a fifth of the month's vintages.

        Returns:
            Rows written, tombstones included.

        Raises:
            RetractionError: see *allow_retract*.
        """
        folder = self._folder(data_type, market, utc_day(date, "date"))
        if not isinstance(look, Look):
            raise InvalidValueError(f"{folder.key}: look must be a Look, the request to the source and its instant, not {look!r}")
        table = validated(table, folder, self._storage)
        names = [name for name in names_of(key, "key") if name != "as_of"]
        for name in (*names, "as_of", "available_at"):
            if name not in table.column_names:
                raise SchemaError(f"{folder.key}: append_new needs the column {name!r}; the table has {table.column_names}")
        with self._storage.lock(folder.key) as clock:
            held = self._load([folder])
            looks = looks_of(self._storage, folder.key)
            group = None if stamps == "derived" or not held.num_rows else key_codes(held, [*names, "as_of"])
            rows, ignored = capture(
                table,
                _existing(held, group),
                key=names,
                stamps=stamps,
                look=look,
                looks=looks,
                place=folder.key,
                allow_retract=allow_retract,
                scheduled=TABLES[data_type].has_scheduled_stamps if data_type in TABLES else stamps == "ours",
            )
            if rows.num_rows:
                about = {"seen_at": str(look.seen_us), **({"versions": json.dumps(dict(look.versions))} if look.versions else {})}
                self._put(rows, folder, utc_day(date, "date"), clock.next(), key=names, **about)
            log_look(self._storage, folder.key, look, ignored=ignored)
            if ignored:
                log.get("lake").warning(
                    "an outdated look was not applied", folder=folder.key, rows=ignored, seen_at=look.seen_at.isoformat()
                )
            return int(rows.num_rows)

    def restamp(
        self, right: pa.Table, data_type: str, market: str, date: dt.date, *, key: Sequence[str], reason: str, versions: Mapping[str, str]
    ) -> int:
        """
        Put right stamps of ours that turned out wrong: a calendar corrected, a parser mended.

        Each such vintage is withdrawn by a tombstone and appended with the right stamp; an earlier ``recorded_by`` still sees what
        stood. A row stamped with the moment of its own sight, and every restatement, stay: see `storage.restamp`.

        Args:
            right: *key*, ``as_of``, ``available_at`` and perhaps ``quality`` as they should be; rows that it does not name stay.
            date: in the month.
            reason: for the footer.
            versions: of the calendar and parser that stamp now, for the footer.

        Returns:
            Rows written, tombstones included.

        Raises:
            SchemaError: the vendor stamps the table.
            InvalidTimeError: a stamp before its ``as_of``.
        """
        folder = self._folder(data_type, market, utc_day(date, "date"))
        if not reason.strip():
            raise InvalidValueError(f"{folder.key}: a restamp needs a reason; it is all that later explains it")
        if not self._storage.names(folder.key):
            return 0
        names = [name for name in names_of(key, "key") if name != "as_of"]
        with self._storage.lock(folder.key) as clock:
            rows = restamped(self._load([folder]), right, key=names, looks=looks_of(self._storage, folder.key), place=folder.key)
            if rows.num_rows:
                about = {"reason": reason, "versions": json.dumps(dict(versions))}
                self._put(rows, folder, utc_day(date, "date"), clock.next(), key=names, **about)
                log.get("lake").warning("stamps put right", folder=folder.key, rows=rows.num_rows, reason=reason)
            return int(rows.num_rows)

    def _put(self, table: pa.Table, folder: Folder, day: dt.date, stamp: int, *, key: Sequence[str] = (), **about: str) -> str:
        self._storage.sweep()
        metadata = {"recorded_at": str(stamp), "world": self.world, **about, **({"key": json.dumps(list(key))} if key else {})}
        return files.put(self._storage, folder.key, table, day=f"{day.year:04d}{day.month:02d}{day.day:02d}", metadata=metadata)

    # ---------------------------------------------------------------- reading

    def read(
        self, data_type: str, market: str, start: dt.date | None = None, end: dt.date | None = None, *, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """
        Every row as written, all vintages, withdrawn ones left out; unknown names read as an empty table.

        Args:
            start: first UTC day of ``as_of``, or of the write's date where the table has none; inclusive.
            end: last such day, inclusive.
        """
        table = self._rows(data_type, market, start, end)
        tombstones = table[RETRACTED].to_numpy(zero_copy_only=False)
        if tombstones.any():
            table = table.filter(pa.array(~self._withdrawn(table)))
        return without_hidden(table, columns)

    def read_vintages(
        self, data_type: str, market: str, start: dt.date | None = None, end: dt.date | None = None, *, key: Sequence[str] | None = None
    ) -> pa.Table:
        """
        Every vintage that exists: the newest recording of each (key, as_of, available_at), withdrawn ones left out.

        What `features.compute` and the builders of derived tables are given; every other reader names a ``known_at``.
        """
        _own_key(data_type, key)
        table = self._rows(data_type, market, start, end)
        if not table.num_rows:
            return without_hidden(table)
        group = key_codes(table, _row_key(data_type, key, table))
        rows = recordings_that_count(
            group, column_us(table["available_at"], what="available_at"), *recording_columns(table), stamped_at=stamped(table)
        )
        return without_hidden(table.take(pa.array(np.sort(rows))), None)

    def recordings(self, data_type: str, market: str, start: dt.date | None = None, end: dt.date | None = None) -> pa.Table:
        """
        Every row of every write, tombstones and what they withdraw among them, for checks and rebuilding.

        Returns:
            The rows with ``_recorded_at`` (microseconds UTC), ``_retracted``, ``_written_day`` and ``_seen_at`` (of the look).
        """
        return self._rows(data_type, market, start, end).replace_schema_metadata(None)

    def read_known(
        self,
        data_type: str,
        market: str,
        known_at: dt.datetime,
        *,
        key: Sequence[str] | None = None,
        start: dt.date | None = None,
        end: dt.date | None = None,
        recorded_by: dt.datetime | None = None,
    ) -> pa.Table:
        """
        One row per key and ``as_of``: the vintage that was known at *known_at*.

        Args:
            known_at: inclusive cut on ``available_at``.
            key: with or without ``as_of``; default the table's own, and a table of the package has no other.
            recorded_by: inclusive cut on the recording: what this lake would have answered then.

        Raises:
            SchemaError: another key than the table's own, or none for a table written without one.
            InvalidTimeError: naive, or *recorded_by* lies in the future.
        """
        cut = to_us(known_at, what="known_at", rounding="floor")
        by = None if recorded_by is None else to_us(recorded_by, what="recorded_by", rounding="floor")
        checked_name(data_type, "data_type"), checked_name(market, "market")
        _own_key(data_type, key)
        if by is not None:
            if by > now_us():
                raise InvalidTimeError(f"recorded_by {recorded_by} lies in the future; what will be recorded is not known")
            self._wait_for_writers(data_type, market, by)
        table = self._rows(data_type, market, start, end)
        if not table.num_rows:
            return without_hidden(table)
        for name in ("as_of", "available_at"):
            if name not in table.column_names:
                raise SchemaError(f"{data_type}/{market}: read_known needs the column {name!r}")
        rows = known_vintages(
            key_codes(table, _row_key(data_type, key, table)),
            column_us(table["available_at"], what="available_at"),
            *recording_columns(table),
            known_at=cut,
            recorded_by=by,
            stamped_at=stamped(table),
        )
        in_place = len(rows) == table.num_rows and bool((rows[1:] > rows[:-1]).all())
        return without_hidden(table if in_place else table.take(pa.array(rows)), None)

    def export_known(
        self, path: str | os.PathLike[str], data_type: str, market: str, known_at: dt.datetime, *, key: Sequence[str] | None = None
    ) -> Path:
        """Write `read_known` to one Parquet file at *path*, for tools that would otherwise glob tombstones and old vintages."""
        import pyarrow.parquet as pq

        target = Path(path)
        table = self.read_known(data_type, market, known_at, key=key)
        try:
            pq.write_table(table, target)
        except OSError as error:
            raise StorageError(f"{target}: cannot be written: {error}; name a file in a folder that may be written") from error
        return target

    # ---------------------------------------------------------------- upkeep

    def compact(
        self,
        data_type: str | None = None,
        market: str | None = None,
        start: dt.date | None = None,
        end: dt.date | None = None,
        *,
        progress: Callable[[Folder], None] | None = None,
    ) -> list[Path]:
        """
        Merge the files of each month into one base file; every read answers the same before and after.

        Args:
            data_type: of the folders to compact; all by default.
            market: of the folders; all by default.
            start: a day in the first month; the earliest by default.
            end: a day in the last month; the latest by default.
            progress: called after each folder.

        Returns:
            The base files written; a month of one file needs none. What they replace is skipped by readers and stays until `vacuum`.
        """
        made = []
        for folder in self._between(data_type, market, start, end):
            base = compact_folder(self._reader, folder)
            made += [self._storage.path(base)] if base is not None else []
            if progress is not None:
                progress(folder)
        return made

    def vacuum(self, older_than: dt.timedelta = GRACE, *, progress: Callable[[Folder], None] | None = None) -> list[Path]:
        """
        Delete files that a compaction replaced more than *older_than* ago (never less than an hour), and orphaned staging.

        Returns:
            The files deleted.
        """
        span_us(older_than, "older_than")
        self._storage.sweep()
        deleted = []
        for folder in self.folders():
            deleted += [self._storage.path(key) for key in vacuum_folder(self._reader, folder, older_than)]
            if progress is not None:
                progress(folder)
        return deleted

    # ---------------------------------------------------------------- looking around

    def files(self, data_type: str, market: str, start: dt.date | None = None, end: dt.date | None = None) -> list[Path]:
        """
        The files that count and whose months meet the range, oldest folder first.

        Those that a base file replaced are not among them. Rows still need the point-in-time rule, tombstones and restatements lie
        among them: `export_known` gives a file without.
        """
        folders = self._of(data_type, market, start, end)
        return [self._storage.path(key) for folder in folders for key in self._reader.with_live_files(folder, list)]

    def writes(self, data_type: str, market: str, start: dt.date | None = None, end: dt.date | None = None) -> list[WriteInfo]:
        """The writes of the range: when, the versions that stamped and parsed them, and the reason of a restamp."""
        return [write for folder in self._of(data_type, market, start, end) for write in self._reader.writes(folder)]

    def folders(self, data_type: str | None = None, market: str | None = None) -> list[Folder]:
        """Every month folder, in order of data type, market and month."""
        one_type = checked_name(data_type, "data_type") if data_type is not None else "*"
        one_market = checked_name(market, "market") if market is not None else "*"
        keys = self._storage.folders(f"data_type={one_type}/market={one_market}/year=*/month=*")
        if data_type is not None and not keys:
            self._say_once(data_type)
        return [folder for key in keys if (folder := folder_of(key)) is not None]

    def unknown_table(self, name: str) -> str | None:
        """The message on a table that neither the package nor this lake knows, with the near names; None for a known one."""
        if name in TABLES or len(read_schema(self._storage, checked_name(name, "data_type"))):
            return None
        return unknown_table(name, {folder.data_type for folder in self.folders()})

    def newest_recorded(self, folder_key: str) -> dt.datetime | None:
        """The newest recording in the folder of *folder_key*, or None."""
        folder = folder_of(folder_key)
        if folder is None:
            raise InvalidNameError(f"{folder_key!r} is not a folder of a lake")
        newest = self._reader.newest(folder)
        return None if newest is None else from_us(newest)

    def watermarks(self, data_type: str, market: str, start: dt.date | None = None, end: dt.date | None = None) -> dict[str, dt.datetime]:
        """Folder key to the newest recording in it, of every folder in the range that holds rows: what a publish used."""
        newest = {folder.key: self._reader.newest(folder) for folder in self._of(data_type, market, start, end)}
        return {key: from_us(at) for key, at in newest.items() if at is not None}

    def unchanged_since(self, folder: Folder, recorded_at: dt.datetime) -> bool:
        """True where the folder's clock shows that nothing newer can be in it: one small read; else ask `newest_recorded`."""
        last = self._storage.last_stamp(folder.key)
        return last is not None and last <= to_us(recorded_at, what="recorded_at", rounding="floor")

    def capture_stats(
        self, data_type: str, market: str, start: dt.date | None = None, end: dt.date | None = None, *, key: Sequence[str] | None = None
    ) -> CaptureStats:
        """Counts of the vintages of a table stamped by us: captured live, and filled in later."""
        table = self._rows(data_type, market, start, end)
        return capture_stats_of(table, _row_key(data_type, key, table)) if table.num_rows else CaptureStats(0, 0)

    def unpublished(self, data_type: str, market: str, start: dt.date | None = None, end: dt.date | None = None) -> set[dt.date]:
        """
        Days of the range on which the source published for others and nothing for the market, by each month's newest look.

        Such a day is not missing. It is unknown, and not among them, until it was looked at.
        """
        days: set[dt.date] = set()
        for folder in self._of(data_type, market, start, end):
            looks = looks_of(self._storage, folder.key)
            days |= set(max(looks, key=lambda look: look.seen_us).unpublished) if looks else set()
        return {day for day in days if (start is None or utc_day(start, "start") <= day) and (end is None or day <= utc_day(end, "end"))}

    def looks(self, source: str | None = None) -> pa.Table:
        """Every logged look: folder, source, start, end, symbols, seen_at."""
        if source is not None:
            checked_name(source, "source")
        rows = [
            {"folder": folder.key, **look.as_dict()}
            for folder in self.folders()
            for look in looks_of(self._storage, folder.key)
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

    def verify(self, *, progress: Callable[[Folder], None] | None = None) -> int:
        """
        Read every committed file whole: page checksums, footer hash, row count, place and world.

        Args:
            progress: called after each folder.

        Returns:
            The number of files, all of them good.

        Raises:
            CorruptionError: naming every bad file.
        """
        good, bad = self.inspect(progress=progress)
        if bad:
            raise CorruptionError(f"{len(bad)} of {good + len(bad)} files are bad: " + "; ".join(bad))
        return good

    def inspect(self, *, progress: Callable[[Folder], None] | None = None) -> tuple[int, list[str]]:
        """The findings of `verify`: how many files are good, and the fault of each of the others."""
        good, bad = 0, []
        for folder in self.folders():
            for key in files.committed(self._storage, folder.key):
                try:
                    self._reader.get(key)
                    good += 1
                except FileNotFoundError:
                    continue  # a vacuum took it
                except CorruptionError as error:
                    bad.append(str(error))
            if progress is not None:
                progress(folder)
        return good, bad

    def health(self) -> LakeHealth:
        """Facts and problems, without reading rows; see `storage.health`."""
        return lake_health(self._storage, self.world)

    def describe(self, folder: Folder) -> FolderFacts:
        """Files, rows and bytes of a folder, from its footers."""
        return self._reader.describe(folder)

    # ---------------------------------------------------------------- inside

    def _folder(self, data_type: str, market: str, day: dt.date) -> Folder:
        checked_name(data_type, "data_type"), checked_name(market, "market")
        return Folder(data_type, market, day.year, day.month)

    def _between(self, data_type: str | None, market: str | None, start: dt.date | None, end: dt.date | None) -> list[Folder]:
        first = utc_day(start, "start") if start is not None else dt.date.min
        last = utc_day(end, "end") if end is not None else dt.date.max
        months = ((first.year, first.month), (last.year, last.month))
        return [f for f in self.folders(data_type, market) if months[0] <= (f.year, f.month) <= months[1]]

    def _of(self, data_type: str, market: str, start: dt.date | None, end: dt.date | None) -> list[Folder]:
        """The month folders of one table and market; neither may be left out."""
        return self._between(checked_name(data_type, "data_type"), checked_name(market, "market"), start, end)

    def _say_once(self, data_type: str) -> None:
        """Warn of a table that nobody knows, the first time that this lake is asked for it."""
        message = None if data_type in self._said else self.unknown_table(data_type)
        if message is not None:
            self._said.add(data_type)
            warn_of(f"{message} (read as an empty table from the lake {self.base_path})")

    def _rows(self, data_type: str, market: str, start: dt.date | None, end: dt.date | None) -> pa.Table:
        schema = read_schema(self._storage, checked_name(data_type, "data_type"))
        table = self._load(self._of(data_type, market, start, end), schema)
        if (start is None and end is None) or not table.num_rows:
            return table
        days = row_days(table)
        keep = np.ones(table.num_rows, dtype=bool)
        if start is not None:
            keep &= days >= np.datetime64(utc_day(start, "start"), "D")
        if end is not None:
            keep &= days <= np.datetime64(utc_day(end, "end"), "D")
        return table if keep.all() else table.filter(pa.array(keep))

    def _load(self, folders: Iterable[Folder], schema: pa.Schema | None = None) -> pa.Table:
        """All rows with the hidden columns; where there is none, an empty table of *schema*."""
        parts = [part for folder in folders for part in self._reader.rows(folder)]
        return concat(parts) if parts else empty(schema if schema is not None else pa.schema([]))

    def _withdrawn(self, table: pa.Table) -> np.ndarray:
        """Tombstones, and every older recording of the vintages that they withdraw."""
        stamp = stamped(table)
        vintage = key_codes(table, [*(footer_key(table) or ()), "as_of", "available_at"])
        if stamp is not None:
            vintage = np.unique(np.stack([vintage, stamp]), axis=1, return_inverse=True)[1]
        recorded, tombstone = recording_columns(table)
        last = np.full(vintage.max() + 1, -1, dtype=np.int64)
        np.maximum.at(last, vintage[tombstone], recorded[tombstone])
        return np.asarray(tombstone | (recorded < last[vintage]))

    def _wait_for_writers(self, data_type: str, market: str, recorded_by: int) -> None:
        """A writer may hold an older stamp and not yet have renamed its file: pass through its lock before listing."""
        for folder in self.folders(data_type, market):
            newest = self._reader.newest(folder)
            if newest is None or recorded_by > newest:
                self._storage.wait_for_writer(folder.key)


def _existing(table: pa.Table, group: np.ndarray | None) -> Existing:
    """Existing rows for `capture`; retracted vintages are dropped unless the table is derived (no *group*)."""
    recorded, retracted = recording_columns(table)
    if group is not None and retracted.any():
        available = column_us(table["available_at"], what="available_at")
        rows = recordings_that_count(group, available, recorded, retracted, stamped_at=stamped(table))
        return Existing(table.take(pa.array(rows)), recorded[rows], retracted[rows])
    return Existing(table, recorded, retracted)


def _own_key(data_type: str, key: Sequence[str] | None) -> list[str] | None:
    """
    The key of a table: that of the package where it knows the table, else *key* as given.

    Raises:
        SchemaError: *key* is another one than the known table's own.
    """
    own = list(TABLES[data_type].key) if data_type in TABLES else None
    given = None if key is None else names_of(key, "key")
    if own is not None and given is not None and {*given, "as_of"} != {*own, "as_of"}:
        raise SchemaError(f"{data_type}: its key is {own}, not {given}; leave the key out")
    return given if own is None else own


def _row_key(data_type: str, key: Sequence[str] | None, table: pa.Table) -> list[str]:
    """
    The columns that tell rows apart, ``as_of`` last: the known table's own, else *key*, else that of the footers.

    Raises:
        SchemaError: another key than the known table's own, or none at all.
    """
    names = _own_key(data_type, key)
    names = footer_key(table) if names is None else names
    if names is None:
        raise SchemaError(f"{data_type}: written without a key; name it: key=[...]")
    return [*(name for name in names if name != "as_of"), "as_of"]
