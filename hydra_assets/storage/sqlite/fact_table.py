"""A `FactTable` in one SQLite file: schema in `migrations`, one checksum a row, one stamp a transaction."""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from hydra_assets.core.instants import iso, now_us
from hydra_assets.errors import ConflictError, CorruptionError
from hydra_assets.storage.facts import Fact, Vintage, crc
from hydra_assets.storage.health import StoreHealth
from hydra_assets.storage.sqlite.health import store_health
from hydra_assets.storage.sqlite.migrations import migrate
from hydra_assets.storage.sqlite.publishes import PublishTable
from hydra_assets.storage.sqlite.served import SqliteServedLog

_COLUMNS = "as_of, available_at, recorded_at, value, quality, retracted, crc"
_EARLIEST, _LATEST = -(2**63), 2**63 - 1


class SqliteFactTable(PublishTable):
    """
    Facts in one SQLite file; see `FactTable`.

    Args:
        path: the file; made when it does not exist, migrated when it is of an older version.

    Raises:
        CorruptionError: the file is no database.
        SchemaError: a newer version of this package wrote it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path)
        try:
            with self._errors():
                migrate(self._db)
                self.identity = str(self._about("identity"))
        except BaseException:
            self._db.close()
            raise

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
        with self._errors(), self._writing():
            named = self._about("world")
            if named is None:
                self._db.execute("INSERT INTO about VALUES ('world', ?)", (default,))
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
        with self._lock:
            if self._db.in_transaction:  # already inside one
                yield
                return
            try:
                with self._errors():
                    self._db.execute("BEGIN")
                    yield
            finally:
                if self._db.in_transaction:
                    self._db.execute("COMMIT")

    def wait_for_writers(self) -> None:
        """Take and release the writers' lock."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("ROLLBACK")

    # ---------------------------------------------------------------- facts

    def series(self, market: str | None = None) -> list[tuple[str, str]]:
        """Market and feature name of everything ever held."""
        statement = "SELECT market, feature_name FROM series WHERE market = coalesce(?, market) ORDER BY market, feature_name"
        return self._db.execute(statement, (market,)).fetchall()

    def append(self, writes: Iterable[tuple[Fact, bool]], recorded_at: int) -> None:
        """Append facts, in the table's own order; series are made where they are new."""
        numbered = [(self._series_of(fact), fact, int(withdraws)) for fact, withdraws in writes]
        numbered.sort(key=lambda write: (write[0], write[1].as_of, write[1].available_at))
        rows = [_stored(series, fact, recorded_at, withdraws) for series, fact, withdraws in numbered]
        try:
            self._db.executemany("INSERT INTO facts VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        except sqlite3.IntegrityError as error:
            raise ConflictError(f"{self.path}: {error}") from error
        newest = "INSERT INTO newest VALUES (?, ?) ON CONFLICT(series_id) DO UPDATE SET recorded_at = excluded.recorded_at"
        self._db.executemany(newest, [(series, recorded_at) for series in dict.fromkeys(row[0] for row in rows)])

    def current(self, facts: Iterable[Fact]) -> dict[Vintage, Fact]:
        """The newest recording of the vintage of each of *facts*."""
        statement = f"SELECT {_COLUMNS} FROM facts WHERE series_id = ? AND as_of = ? AND available_at = ? ORDER BY recorded_at DESC LIMIT 1"
        found = {}
        for fact in facts:
            series = self._series_id(fact.market, fact.feature_name)
            row = self._db.execute(statement, (series, fact.as_of, fact.available_at)).fetchone()
            if row is not None and not row[5]:
                held = self._checked(series or 0, row, f"series {series}")
                found[fact.vintage] = Fact(*fact.vintage, held["value"], held["quality"])
        return found

    def known(self, market: str, cut: int, recorded_by: int | None, feature: str | None = None) -> dict[str, Mapping[str, Any]]:
        """The row of the point-in-time rule, of each feature."""
        statement = "SELECT feature_name, series_id FROM series WHERE market = ? ORDER BY feature_name"
        wanted = [(name, series) for name, series in self._db.execute(statement, (market,)) if feature in (None, name)]
        found = ((name, self._known(series, cut, recorded_by, f"{market} {name}")) for name, series in wanted)
        return {name: row for name, row in found if row is not None}

    def _known(self, series: int, cut: int, recorded_by: int | None, place: str) -> Mapping[str, Any] | None:
        """
        One seek.

        ``as_of <= cut`` follows from ``as_of <= available_at``, and lets the seek start at the right place. The cursor must end
        with this call: SQLite's module prepares the statement anew while an older cursor of it is open.
        """
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM facts WHERE series_id = ? AND as_of <= ? AND available_at <= ?"
            " ORDER BY as_of DESC, available_at DESC, recorded_at DESC",
            (series, cut, cut),
        )
        return next(self._newest_of_each(rows, series, recorded_by, place), None)

    def vintages(
        self, market: str, feature: str, first: int | None = None, last: int | None = None, recorded_by: int | None = None
    ) -> list[Mapping[str, Any]]:
        """The newest recording of every vintage in an inclusive range of ``as_of``."""
        series = self._series_id(market, feature)
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM facts WHERE series_id = ? AND as_of >= ? AND as_of <= ?"
            " ORDER BY as_of, available_at, recorded_at DESC",
            (series, _EARLIEST if first is None else first, _LATEST if last is None else last),
        )
        return list(self._newest_of_each(rows, series or 0, recorded_by, f"{market} {feature}"))

    def since(self, market: str, feature: str, watermark: int) -> list[Mapping[str, Any]] | None:
        """The newest recordings later than *watermark*; None where one of them withdraws its vintage, or none is at *watermark*."""
        series, place = self._series_id(market, feature) or 0, f"{market} {feature}"
        found = self._db.execute(
            f"SELECT {_COLUMNS} FROM facts WHERE series_id = ? AND recorded_at >= ? ORDER BY recorded_at", (series, watermark)
        )
        newest: dict[tuple[int, int], Mapping[str, Any] | None] = {}
        there = False
        for row in found:
            there |= row[2] == watermark
            if row[2] > watermark:
                checked = self._checked(series, row, place)
                newest[row[:2]] = None if row[5] else checked
        rows = [row for row in newest.values() if row is not None]
        return rows if there and len(rows) == len(newest) else None

    def watermarks(self, market: str) -> dict[str, int]:
        """The newest recording of each feature of *market*."""
        statement = "SELECT feature_name, newest.recorded_at FROM series JOIN newest USING (series_id) WHERE market = ?"
        return dict(self._db.execute(statement, (market,)).fetchall())

    def last_recorded(self) -> int:
        """The newest stamp handed out."""
        with self._lock:
            return int(self._about("last_recorded_at") or 0)

    def restore(self, recordings: Iterable[tuple[Fact, bool, int]], publishes: Iterable[Sequence[Any]]) -> int:
        """Fill an empty file; stamps in ascending order."""
        with self._writing():
            if self._db.execute("SELECT 1 FROM facts LIMIT 1").fetchone():
                raise ConflictError(f"{self.path}: holds facts already; only an empty store can be restored")
            by_stamp: dict[int, list[tuple[Fact, bool]]] = {}
            for fact, withdraws, at in recordings:
                by_stamp.setdefault(at, []).append((fact, withdraws))
            for at in sorted(by_stamp):
                self.append(by_stamp[at], at)
            self.add_publishes(publishes)
            newest = self._db.execute(
                "SELECT max(recorded_at) FROM (SELECT recorded_at FROM facts UNION SELECT recorded_at FROM publishes)"
            )
            self._set_last_recorded(newest.fetchone()[0] or 0)
        return sum(map(len, by_stamp.values()))

    # ---------------------------------------------------------------- upkeep

    def check(self) -> int:
        """Verify SQLite's own structure and every row's checksum; how many rows."""
        verdict = self._db.execute("PRAGMA integrity_check").fetchone()[0]
        if verdict != "ok":
            raise CorruptionError(f"{self.path}: {verdict}")
        rows = self._db.execute(f"SELECT series_id, {_COLUMNS} FROM facts").fetchall()
        for series, *row in rows:
            self._checked(series, row, f"series {series}")
        return len(rows)

    def health(self, world: str) -> StoreHealth:
        """Facts and problems, through a connection of its own."""
        return store_health(self.path, world)

    def close(self) -> None:
        """Close the files; calling it twice is allowed."""
        if "served" in self.__dict__:
            self.served.close()
        super().close()

    # ---------------------------------------------------------------- inside

    def _about(self, key: str) -> str | None:
        row = self._db.execute("SELECT value FROM about WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def _set_last_recorded(self, at: int) -> None:
        self._db.execute("UPDATE about SET value = ? WHERE key = 'last_recorded_at'", (str(at),))

    def _series_id(self, market: str, feature: str) -> int | None:
        row = self._db.execute("SELECT series_id FROM series WHERE market = ? AND feature_name = ?", (market, feature)).fetchone()
        return None if row is None else int(row[0])

    def _series_of(self, fact: Fact) -> int:
        """The series that *fact* belongs to, made where it is the first of it."""
        found = self._series_id(fact.market, fact.feature_name)
        if found is not None:
            return found
        cursor = self._db.execute("INSERT INTO series(market, feature_name) VALUES (?, ?)", (fact.market, fact.feature_name))
        return int(cursor.lastrowid or 0)

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

    def _checked(self, series: int, row: Sequence[Any], place: str) -> Mapping[str, Any]:
        as_of, available_at, recorded_at, value, quality, retracted, written = row
        try:
            right = crc(series, as_of, available_at, recorded_at, value, quality, retracted) == written
        except Exception as error:
            raise CorruptionError(f"{self.path}: {place} as_of {as_of} has a damaged row: {error}") from error
        if not right:
            raise CorruptionError(f"{self.path}: {place} as_of {iso(as_of)}: the row is not the one that was written (checksum)")
        return {"as_of": as_of, "available_at": available_at, "recorded_at": recorded_at, "value": value, "quality": quality}


def _stored(series: int, fact: Fact, at: int, withdraws: int) -> tuple[Any, ...]:
    sealed = crc(series, fact.as_of, fact.available_at, at, fact.value, fact.quality, withdraws)
    return (series, fact.as_of, fact.available_at, at, fact.value, fact.quality, withdraws, sealed)
