"""The rows of a store: the series that it holds, and of a series the vintages; every row is held against its checksum as it is read."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra_assets.core.instants import iso
from hydra_assets.errors import ConflictError, CorruptionError
from hydra_assets.storage import facts
from hydra_assets.storage.facts import Fact

_COLUMNS = "as_of, available_at, recorded_at, value, quality, retracted, crc"


class Recordings:
    """
    Reads and appends rows over one connection, inside whatever transaction its owner has begun; instants in microseconds UTC.

    Args:
        db: connected to the file at *path*, which error messages name.
    """

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db, self._path = db, path

    def series_id(self, market: str, feature_name: str) -> int | None:
        """The series of a feature; None where nothing of it was ever held."""
        row = self._db.execute("SELECT series_id FROM series WHERE market = ? AND feature_name = ?", (market, feature_name)).fetchone()
        return None if row is None else int(row[0])

    def series_of(self, fact: Fact) -> int:
        """The series that *fact* belongs to, made where it is the first of it."""
        found = self.series_id(fact.market, fact.feature_name)
        if found is not None:
            return found
        cursor = self._db.execute("INSERT INTO series(market, feature_name) VALUES (?, ?)", (fact.market, fact.feature_name))
        return int(cursor.lastrowid or 0)

    def of_market(self, market: str) -> list[tuple[str, int]]:
        """Names and series of *market*, by name."""
        return self._db.execute("SELECT feature_name, series_id FROM series WHERE market = ? ORDER BY feature_name", (market,)).fetchall()

    def insert(self, writes: Iterable[tuple[int, Fact, int]], at: int) -> None:
        """Append (series, fact, whether it withdraws its vintage), all recorded at *at*."""
        ordered = sorted(writes, key=lambda write: (write[0], write[1].as_of, write[1].available_at))  # the table's own order
        rows = [
            (s, f.as_of, f.available_at, at, f.value, f.quality, gone, facts.crc(s, f.as_of, f.available_at, at, f.value, f.quality, gone))
            for s, f, gone in ordered
        ]
        try:
            self._db.executemany("INSERT INTO facts VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
            newest = "INSERT INTO newest VALUES (?, ?) ON CONFLICT(series_id) DO UPDATE SET recorded_at = excluded.recorded_at"
            self._db.executemany(newest, [(series, at) for series in dict.fromkeys(row[0] for row in rows)])
        except sqlite3.IntegrityError as error:
            raise ConflictError(f"{self._path}: {error}") from error

    def newest(self, series: int, as_of: int, available_at: int) -> dict[str, Any] | None:
        """The newest recording of one vintage; None where there is none or it is withdrawn."""
        row = self._db.execute(
            f"SELECT {_COLUMNS} FROM facts WHERE series_id = ? AND as_of = ? AND available_at = ? ORDER BY recorded_at DESC LIMIT 1",
            (series, as_of, available_at),
        ).fetchone()
        if row is None or row[5]:
            return None
        return self._checked(series, row, f"series {series}")

    def served(self, series: int, cut: int, by: int | None, place: str) -> dict[str, Any] | None:
        """
        The row of the point-in-time rule: greatest as_of, then greatest available_at, of each vintage its newest recording.

        ``as_of <= cut`` follows from ``as_of <= available_at``, and lets the seek start at the right place.
        """
        cursor = self._db.execute(
            f"SELECT {_COLUMNS} FROM facts WHERE series_id = ? AND as_of <= ? AND available_at <= ?"
            " ORDER BY as_of DESC, available_at DESC, recorded_at DESC",
            (series, cut, cut),
        )
        return next(self._standing(cursor, series, by, place), None)

    def vintages(self, series: int, first: int | None, last: int | None, by: int | None, place: str) -> list[dict[str, Any]]:
        """The newest recording of every vintage in an inclusive range of as_of, withdrawn ones left out; by as_of, available_at."""
        cursor = self._db.execute(
            f"SELECT {_COLUMNS} FROM facts WHERE series_id = ? AND as_of >= ? AND as_of <= ?"
            " ORDER BY as_of, available_at, recorded_at DESC",
            (series, -(2**63) if first is None else first, 2**63 - 1 if last is None else last),
        )
        return list(self._standing(cursor, series, by, place))

    def since(self, market: str, name: str, since: int | None) -> list[dict[str, Any]] | None:
        """
        The newest recordings later than *since* of a series' vintages.

        None where one of them withdraws its own, or where nothing was recorded at *since*: the file was put back to an older state.
        """
        if since is None:
            return self.of_series(market, name, None)
        series, place = self.series_id(market, name) or 0, f"{market} {name}"
        found = self._db.execute(
            f"SELECT {_COLUMNS} FROM facts WHERE series_id = ? AND recorded_at >= ? ORDER BY recorded_at", (series, since)
        )
        newest: dict[tuple[int, int], dict[str, Any] | None] = {}
        there = False
        for row in found:
            there |= row[2] == since
            if row[2] > since:
                checked = self._checked(series, row, place)
                newest[row[:2]] = None if row[5] else checked
        if not there:
            return None
        rows = [row for row in newest.values() if row is not None]
        return rows if len(rows) == len(newest) else None

    def of_series(self, market: str, name: str, by: int | None) -> list[dict[str, Any]]:
        """All vintages of a feature, as recorded by *by*; none where it was never held."""
        series = self.series_id(market, name)
        return [] if series is None else self.vintages(series, None, None, by, f"{market} {name}")

    def believed(self, market: str, name: str, first: int, after: int) -> Iterator[tuple[int, Fact]]:
        """Series and fact of every vintage with ``first <= as_of < after``."""
        series = self.series_id(market, name)
        if series is not None:
            for row in self.vintages(series, first, after - 1, None, f"{market} {name}"):
                yield series, Fact(market, name, row["as_of"], row["available_at"], row["value"], row["quality"])

    def verified(self) -> int:
        """How many rows there are, each of them held against its checksum."""
        rows = self._db.execute(f"SELECT series_id, {_COLUMNS} FROM facts").fetchall()
        for series, *row in rows:
            self._checked(series, row, f"series {series}")
        return len(rows)

    def _standing(self, rows: Iterable[Sequence[Any]], series: int, by: int | None, place: str) -> Iterator[dict[str, Any]]:
        """Of *rows*, those of a vintage newest recording first: the newest one by *by* of each vintage, unless it withdraws it."""
        decided: Sequence[Any] | None = None
        for row in rows:
            if row[:2] == decided or (by is not None and row[2] > by):
                continue
            decided = row[:2]
            checked = self._checked(series, row, place)
            if not row[5]:
                yield checked

    def _checked(self, series: int, row: Sequence[Any], place: str) -> dict[str, Any]:
        as_of, available_at, recorded_at, value, quality, retracted, crc = row
        try:
            right = facts.crc(series, as_of, available_at, recorded_at, value, quality, retracted) == crc
        except Exception as error:
            raise CorruptionError(f"{self._path}: {place} as_of {as_of} has a damaged row: {error}") from error
        if not right:
            raise CorruptionError(f"{self._path}: {place} as_of {iso(as_of)}: the row is not the one that was written (checksum)")
        return {"as_of": as_of, "available_at": available_at, "recorded_at": recorded_at, "value": value, "quality": quality}
