"""A `FactTable` in one SQLite file: schema in `migrations`, one checksum a row, `seals` over all of them, one stamp a transaction."""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from hydra_assets.core.instants import iso, now_us
from hydra_assets.errors import ConflictError, CorruptionError
from hydra_assets.sqlite_errors import rebuild_remedy, translated
from hydra_assets.storage.fact_columns import Facts, Name
from hydra_assets.storage.facts import Fact
from hydra_assets.storage.health import StoreHealth
from hydra_assets.storage.recordings import Recordings
from hydra_assets.storage.sqlite.blocks import EVERY, FIRST, WANTED, block_of, blocks_of, wanted
from hydra_assets.storage.sqlite.health import store_health
from hydra_assets.storage.sqlite.migrations import in_memory_if_old, migrate
from hydra_assets.storage.sqlite.publishes import PublishTable
from hydra_assets.storage.sqlite.rows import COLUMNS, ChecksumError, columns_of, is_written, rows_of
from hydra_assets.storage.sqlite.seals import mend_zeros, seal_all
from hydra_assets.storage.sqlite.served import SqliteServedLog

_COLUMNS = "as_of, available_at, recorded_at, value, quality, retracted, crc"
_IN_SPANS = f"{WANTED} SELECT {COLUMNS} FROM wanted CROSS JOIN facts ON series_id = series AND as_of >= low AND as_of <= high"
_EARLIEST, _LATEST = -(2**63), 2**63 - 1


class SqliteFactTable(PublishTable):
    """
    Facts in one SQLite file; see `FactTable`.

    Args:
        path: the file; made when it does not exist, migrated when it is of an older version.
        busy_timeout_s: longest wait for another process; see `SqliteFile`.

    Raises:
        CorruptionError: the file is no database, is empty, or its journal has lost what was acknowledged.
        SchemaError: a newer version of this package wrote it.
        StorageError: the disk does not let it be opened.
        LockTimeoutError: another process holds it.
    """

    def __init__(self, path: str | os.PathLike[str], *, busy_timeout_s: float | None = None) -> None:
        super().__init__(path, busy_timeout_s=busy_timeout_s)
        try:
            with self._reading():
                self.identity = self._about()["identity"]
        except BaseException:
            self._db.close()
            raise

    def _tables(self, connection: sqlite3.Connection) -> None:
        """All that the newest version has."""
        migrate(connection, self.path)

    def _connected(self) -> sqlite3.Connection:
        """A connection to a file of the newest version; one that may only be read is brought to it in memory."""
        connection = super()._connected()
        try:
            with translated(self.path):
                if self.read_only:
                    connection = in_memory_if_old(connection)
                migrate(connection, self.path)
        except BaseException:
            connection.close()
            raise
        return connection

    @property
    def place(self) -> str:
        """The file."""
        return str(self.path)

    @property
    def cache(self) -> Path:
        """Mirrors lie beside the file."""
        return self.path

    @cached_property
    def served(self) -> SqliteServedLog:
        """The log of answers, in a file of its own."""
        return SqliteServedLog(self.path.with_suffix(".served.sqlite"))

    def world(self, default: str) -> str:
        """The world that the file belongs to; *default*, written down, where it names none yet."""
        with self._reading():
            named = self._about().get("world")
        if named is None and not self.read_only:
            with self._writing():
                named = self._about().get("world", default)
                self._set_about(world=named)
        return default if named is None else named

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Callable[[], int]]:
        """The writers' lock, one transaction, and its one stamp."""
        taken: list[int] = []

        def stamp() -> int:
            if not taken:
                taken.append(max(now_us(), self.last_recorded() + 1))
                self._set_last_recorded(taken[0])
            return taken[0]

        with self._writing():
            yield stamp

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """One consistent view for all reads inside."""
        with self._reading():
            yield

    def wait_for_writers(self) -> None:
        """Take and release the writers' lock."""
        if not self.read_only:  # where nothing may be written there is no writer to wait for
            with self._writing():
                pass

    # ---------------------------------------------------------------- facts

    def series(self, market: str | None = None) -> list[tuple[str, str]]:
        """Market and feature name of everything ever held."""
        return sorted(name for name in self._series() if market in (None, name[0]))

    def append(self, facts: Facts, recorded_at: int, *, withdraw: bool = False) -> None:
        """Append facts, in the table's own order; series are made where they are new."""
        self._add_series(facts.names[series] for series, *_ in facts.spans())
        known = self._series()
        numbers = np.array([known.get(name, -1) for name in facts.names], dtype=np.int64)  # a name without rows may be unknown
        series = numbers[facts.series]
        order = np.argsort(series, kind="stable")
        series, as_of, available = series[order], facts.as_of[order], facts.available_at[order]
        value = facts.value[order] + 0.0  # SQLite keeps no sign of zero
        rows, sums = rows_of(series, as_of, available, recorded_at, value, facts.quality[order], withdraw)
        try:
            self._db.executemany("INSERT INTO facts VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        except sqlite3.IntegrityError as error:
            raise ConflictError(f"{self.path}: {error}") from error
        self._seal(blocks_of(series, as_of, available, np.full(len(series), recorded_at), sums), recorded_at)

    def recordings(self, spans: Mapping[Name, tuple[int | None, int | None]]) -> Recordings:
        """Every recording of some series, in an inclusive range of ``as_of`` of each."""
        known = self._series()
        names = sorted(name for name in spans if name in known)
        numbers = {known[name]: (name, _bounds(*spans[name])) for name in names}
        ranges = {series: numbers[series][1] for series in sorted(numbers)}
        series, *columns, sums = self._checked_columns(self._db.execute(_IN_SPANS, wanted(ranges)), ranges) if ranges else columns_of(())
        blocks = {number: (block_of(low), block_of(high)) for number, (low, high) in ranges.items()}
        whole = all(span == EVERY for span in blocks.values())
        self._verify(blocks, blocks_of(series, columns[0], columns[1], columns[2], sums) if whole else None)
        place = {known[name]: n for n, name in enumerate(names)}
        series = np.array([place.get(number, -1) for number in range(max(numbers, default=0) + 1)], dtype=np.int64)[series]
        order = np.argsort(series, kind="stable")
        return Recordings(names, *(column[order] for column in (series, *columns)))

    def known(self, market: str, cut: int, recorded_by: int | None, feature: str | None = None) -> dict[str, Mapping[str, Any]]:
        """The row of the point-in-time rule, of each feature."""
        wanted = sorted((name, series) for (each, name), series in self._series().items() if each == market and feature in (None, name))
        found = ((name, self._known(series, cut, recorded_by, f"{market} {name}")) for name, series in wanted)
        return {name: row for name, row in found if row is not None}

    def _known(self, series: int, cut: int, recorded_by: int | None, place: str) -> Mapping[str, Any] | None:
        """
        One seek, and a comparison of the blocks from the row found up to the cut: none of theirs may be missing.

        ``as_of <= cut`` follows from ``as_of <= available_at``, and lets the seek start at the right place. The cursor must end
        with this call: SQLite's module prepares the statement anew while an older cursor of it is open.
        """
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM facts WHERE series_id = ? AND as_of <= ? AND available_at <= ?"
            " ORDER BY as_of DESC, available_at DESC, recorded_at DESC",
            (series, cut, cut),
        )
        found = next(self._newest_of_each(rows, series, recorded_by, place), None)
        rows.close()
        self._verify({series: (FIRST if found is None else block_of(found["as_of"]), block_of(cut))})
        return found

    def vintages(
        self, market: str, feature: str, first: int | None = None, last: int | None = None, recorded_by: int | None = None
    ) -> list[Mapping[str, Any]]:
        """The newest recording of every vintage in an inclusive range of ``as_of``."""
        place = f"{market} {feature}"
        series = self._series().get((market, feature))
        if series is None:
            return []
        low, high = _bounds(first, last)
        self._verify({series: (block_of(low), block_of(high))})
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM facts WHERE series_id = ? AND as_of >= ? AND as_of <= ?"
            " ORDER BY as_of, available_at, recorded_at DESC",
            (series, low, high),
        )
        return list(self._newest_of_each(rows, series, recorded_by, place))

    def since(self, market: str, feature: str, watermark: int) -> Recordings | None:
        """Every recording later than *watermark*; None where none is at *watermark*."""
        name = (market, feature)
        series = self._series().get(name, 0)
        self._verify({series: EVERY})
        found = self._db.execute(f"SELECT {COLUMNS} FROM facts WHERE series_id = ? AND recorded_at >= ?", (series, watermark))
        columns = self._checked_columns(found, [series])[1:7]
        later = columns[2] > watermark
        if later.all():
            return None
        return Recordings([name], np.zeros(int(later.sum()), dtype=np.int64), *(column[later] for column in columns))

    def watermarks(self, market: str) -> dict[str, int]:
        """The newest recording of each feature of *market*."""
        mine = {series: name for (each, name), series in self._series().items() if each == market}
        return {mine[series]: line[0] for series, line in self._sealed_as(mine).items()}

    def last_recorded(self) -> int:
        """The newest stamp handed out."""
        with self._reading():
            return int(self._about()["last_recorded_at"])

    def restore(self, recordings: Iterable[tuple[Fact, bool, int]], publishes: Iterable[Sequence[Any]]) -> int:
        """Fill an empty file; stamps in ascending order."""
        with self._writing():
            if self._db.execute("SELECT 1 FROM facts LIMIT 1").fetchone():
                raise ConflictError(f"{self.path}: holds facts already; only an empty store can be restored")
            by_stamp: dict[tuple[int, bool], list[Fact]] = {}
            for fact, withdraws, at in recordings:
                by_stamp.setdefault((at, withdraws), []).append(fact)
            for at, withdraws in sorted(by_stamp):
                self.append(Facts.of(by_stamp[at, withdraws]), at, withdraw=withdraws)
            self.add_publishes(publishes)
            newest = self._db.execute(
                "SELECT max(recorded_at) FROM (SELECT recorded_at FROM facts UNION SELECT recorded_at FROM publishes)"
            )
            self._set_last_recorded(newest.fetchone()[0] or 0)
        return sum(map(len, by_stamp.values()))

    # ---------------------------------------------------------------- upkeep

    def check(self) -> int:
        """Verify SQLite's own structure, every row's checksum and every seal; how many rows."""
        verdict = self._db.execute("PRAGMA integrity_check").fetchone()[0]
        if verdict != "ok":
            raise CorruptionError(f"{self.path}: {verdict}")
        count = 0
        for (market, feature), series in self._series().items():
            place = f"{market} {feature}"
            self._verify_total(series, place)
            for row in self._db.execute(f"SELECT {_COLUMNS} FROM facts WHERE series_id = ?", (series,)):
                self._checked(series, row, place)
                count += 1
        self._verify_publishes(None)
        return count

    def repair(self) -> int:
        """Mend rows whose checksum was taken over -0.0, where every seal fits; how many."""
        with self._writing():
            for (market, feature), series in self._series().items():
                self._verify_total(series, f"{market} {feature}")
            self._verify_publishes(None)
            count = mend_zeros(self._db)
            if count:
                seal_all(self._db)
                self._forget()
        return count

    def health(self, world: str) -> StoreHealth:
        """Facts and problems, through a connection of its own."""
        return store_health(self.path, world)

    def close(self) -> None:
        """Close the files; calling it twice is allowed."""
        if "served" in self.__dict__:
            self.served.close()
        super().close()

    # ---------------------------------------------------------------- inside

    def _set_last_recorded(self, at: int) -> None:
        self._set_about(last_recorded_at=str(at))

    def _newest_of_each(
        self, rows: Iterable[Sequence[Any]], series: int, recorded_by: int | None, place: str
    ) -> Iterator[Mapping[str, Any]]:
        """
        Yield the newest recording of each vintage by *recorded_by*; skip withdrawn ones.

        Args:
            rows: newest recording first within a vintage.
        """
        decided: Sequence[Any] | None = None
        for row in rows:
            if row[:2] == decided or (recorded_by is not None and row[2] > recorded_by):
                continue
            decided = row[:2]
            checked = self._checked(series, row, place)
            if not row[5]:
                yield checked

    def _checked_columns(self, rows: Iterable[Sequence[Any]], series: Iterable[int]) -> tuple[np.ndarray, ...]:
        """Columns of *rows*, which are of some *series*; see `columns_of`. A damaged row is looked for among all of theirs."""
        try:
            return columns_of(rows)
        except ChecksumError as error:
            for number in series:
                for row in self._db.execute(f"SELECT {_COLUMNS} FROM facts WHERE series_id = ?", (number,)):
                    self._checked(number, row, self._place(number))
            raise CorruptionError(f"{self.path}: a row of facts is not the one that was written; {rebuild_remedy(self.path)}") from error

    def _checked(self, series: int, row: Sequence[Any], place: str) -> Mapping[str, Any]:
        as_of, available_at, recorded_at, value, quality, *_ = row
        try:
            if is_written(series, row):
                return {"as_of": as_of, "available_at": available_at, "recorded_at": recorded_at, "value": value, "quality": quality}
            at = iso(as_of)  # a damaged one can lie outside the calendar
        except Exception as error:
            raise CorruptionError(f"{self.path}: {place} as_of {as_of} has a damaged row: {error}") from error
        what = f"{place} as_of {at}: the row is not the one that was written (checksum)"
        raise CorruptionError(f"{self.path}: {what}; {rebuild_remedy(self.path)}")


def _bounds(first: int | None, last: int | None) -> tuple[int, int]:
    return _EARLIEST if first is None else first, _LATEST if last is None else last
