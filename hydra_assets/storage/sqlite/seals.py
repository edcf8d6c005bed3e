"""
Counts and digests by which a lost, doubled or altered row is noticed, also by a read that would not have met it.

A row's own checksum says nothing of a row that a damaged page has lost. So each series, and each market's publishes, has a count
and a digest, kept in the same transaction as the rows; the tables of series, settings and schema have one between them. A
connection compares them when it first reads a series, and again once the series has changed.
"""

import sqlite3
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hydra_assets.errors import CorruptionError
from hydra_assets.storage.facts import crc
from hydra_assets.storage.sqlite.file import SqliteFile

Sealed = tuple[int, int, int]  # of a series: newest recording, rows, digest

_LOW = 2**31 - 1
_PARTS = "({0} & 2147483647) + ({0} >> 31)"  # both halves, so that a sum over a long series stays within 64 bits
_SUM = f"{_PARTS.format('as_of')} + 3 * ({_PARTS.format('available_at')}) + 5 * ({_PARTS.format('recorded_at')}) + crc"
_SERIES_SEAL = f"SELECT max(recorded_at), count(*), sum({_SUM}) FROM facts WHERE series_id = ?"
_ALL_SEALS = f"SELECT series_id, max(recorded_at), count(*), sum({_SUM}) FROM facts GROUP BY series_id"
_SCHEMA = """SELECT name, sql FROM sqlite_master
    WHERE name IN ('about', 'facts', 'features', 'newest', 'publish_seals', 'publishes', 'series') ORDER BY name"""
REMEDY = "restore it from a backup, or run hydra-assets store rebuild"


def row_digest(as_of: int, available_at: int, recorded_at: int, checksum: int) -> int:
    """The share of one row in the digest of its series; the same sum as in SQL."""
    at, known, written = ((us & _LOW) + (us >> 31) for us in (as_of, available_at, recorded_at))
    return at + 3 * known + 5 * written + checksum


def series_seal(series: int, sealed: Sequence[object]) -> int:
    """The checksum of a series' own line in the table ``newest``."""
    return zlib.crc32(repr((series, *sealed)).encode())


def publishes_digest(rows: Iterable[Sequence[Any]]) -> int:
    """The digest of rows of publishes, in any order."""
    return sum(zlib.crc32(repr(tuple(row)).encode()) for row in rows)


def about_seal(about: Mapping[str, str]) -> str:
    """The checksum of the table ``about``, over all but itself."""
    return _checksum(item for item in about.items() if item[0] != "seal")


def series_text(series: Mapping[tuple[str, str], int]) -> str:
    """Count and checksum of the table of series."""
    return f"{len(series)} {_checksum(series.items())}"


def _checksum(items: Iterable[object]) -> str:
    """Digest of items in any order, whatever they turned into in a damaged file."""
    return str(zlib.crc32("".join(sorted(map(repr, items))).encode()))


def seal_all(db: sqlite3.Connection) -> None:
    """
    Seal a file of an older version as it is, within its migration.

    SQLite keeps no sign of zero: rows of before whose checksum was taken over -0.0 get the one of what is kept.
    """
    _mend_zeros(db)
    for series, *sealed in db.execute(_ALL_SEALS).fetchall():
        values = (*sealed, series_seal(series, sealed))
        db.execute("INSERT OR REPLACE INTO newest(series_id, recorded_at, rows, digest, seal) VALUES (?, ?, ?, ?, ?)", (series, *values))
    for (market,) in db.execute("SELECT DISTINCT market FROM publishes").fetchall():
        rows = db.execute("SELECT * FROM publishes WHERE market = ?", (market,)).fetchall()
        db.execute("INSERT INTO publish_seals VALUES (?, ?, ?)", (market, len(rows), publishes_digest(rows)))
    about = dict(db.execute("SELECT key, value FROM about"))
    about["series"] = series_text(_series(db))
    about["schema"] = _schema(db)
    about["seal"] = about_seal(about)
    db.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", sorted(about.items()))


def _mend_zeros(db: sqlite3.Connection) -> None:
    statement = "SELECT series_id, as_of, available_at, recorded_at, quality, retracted, crc FROM facts WHERE value = 0"
    for *key, quality, retracted, written in db.execute(statement).fetchall():
        kept, negative = (crc(key[0], key[1], key[2], key[3], zero, quality, retracted) for zero in (0.0, -0.0))
        if written == negative:
            where = "series_id = ? AND as_of = ? AND available_at = ? AND recorded_at = ?"
            db.execute(f"UPDATE facts SET crc = ? WHERE {where}", (kept, *key))


def _series(db: sqlite3.Connection) -> dict[tuple[str, str], int]:
    return {(market, name): series for series, market, name in db.execute("SELECT series_id, market, feature_name FROM series NOT INDEXED")}


def _schema(db: sqlite3.Connection) -> str:
    return str(zlib.crc32(repr(db.execute(_SCHEMA).fetchall()).encode()))


class SealedFile(SqliteFile):
    """A store's file whose series, publishes and settings are held against their seals as they are read."""

    _about_rows: dict[str, str] | None = None
    _series_ids: dict[tuple[str, str], int] | None = None

    def _forget(self) -> None:
        """Know nothing of the file any more, after a transaction that was undone or a new connection."""
        self._about_rows = self._series_ids = None
        self._sealed: dict[int, Sealed] = {}  # compared with the rows
        self._fresh: set[int] = set()  # of them, those compared since anything was last written
        self._publishes: dict[str, tuple[int, int]] = {}

    # ---------------------------------------------------------------- settings and series

    def _about(self) -> dict[str, str]:
        """The table ``about``; its stamp tells whether anything was written since it was last read."""
        rows = dict(self._db.execute("SELECT key, value FROM about"))
        if rows != self._about_rows:
            known = self._about_rows or {}
            if rows.get("seal") != about_seal(rows):
                raise self._damaged("the table about")
            if "schema" not in known and rows.get("schema") != _schema(self._db):
                raise self._damaged("the schema")
            if rows["series"] != known.get("series"):
                self._series_ids = None
            self._about_rows = rows
            self._fresh.clear()
        return rows

    def _set_about(self, **values: str) -> None:
        about = {**self._about(), **values}
        about["seal"] = about_seal(about)
        self._db.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", [(key, about[key]) for key in (*values, "seal")])
        self._about_rows = about
        self._fresh.clear()

    def _series(self) -> dict[tuple[str, str], int]:
        """Market and feature name to the number of each series ever held."""
        about = self._about()
        if self._series_ids is None:
            found = _series(self._db)
            if series_text(found) != about["series"]:
                raise self._damaged("the table series")
            self._series_ids = found
        return self._series_ids

    def _add_series(self, names: Iterable[tuple[str, str]]) -> None:
        """Number the series that are new."""
        known = self._series()
        fresh = [name for name in dict.fromkeys(names) if name not in known]
        if not fresh:
            return
        numbers = [int(self._db.execute("INSERT INTO series(market, feature_name) VALUES (?, ?)", name).lastrowid or 0) for name in fresh]
        known = {**known, **dict(zip(fresh, numbers, strict=True))}
        self._set_about(series=series_text(known))
        self._series_ids = known

    # ---------------------------------------------------------------- facts

    def _sealed_as(self, series: int, place: str) -> Sealed:
        """A series' own line: newest recording, rows, digest."""
        row = self._db.execute("SELECT recorded_at, rows, digest, seal FROM newest WHERE series_id = ?", (series,)).fetchone()
        if row is None or row[3] != series_seal(series, row[:3]):
            raise self._damaged(f"the line of {place} in the table newest")
        return row[0], row[1], row[2]

    def _verified(self, series: int, place: str) -> Sealed:
        """The seal of a series, whose rows it fits."""
        if series in self._fresh:
            return self._sealed[series]
        sealed = self._sealed_as(series, place)
        if self._sealed.get(series) != sealed:
            found = self._db.execute(_SERIES_SEAL, (series,)).fetchone()
            if found != sealed:
                raise self._damaged(f"{place}: {found[1]:,} rows, {sealed[1]:,} were written; they")
            self._sealed[series] = sealed
        self._fresh.add(series)
        return sealed

    def _seal(self, added: Mapping[int, Sequence[Sequence[Any]]], recorded_at: int) -> None:
        """Bring the seals of series up to the rows *added* to them."""
        lines = []
        for series, rows in added.items():
            old = self._db.execute("SELECT recorded_at, rows, digest FROM newest WHERE series_id = ?", (series,)).fetchone()
            before, count, digest = old or (recorded_at, 0, 0)
            digest += sum(row_digest(row[1], row[2], row[3], row[7]) for row in rows)
            sealed = (max(before, recorded_at), count + len(rows), digest)
            lines.append((series, *sealed, series_seal(series, sealed)))
            if self._sealed.get(series) == old or old is None:
                self._sealed[series] = sealed
        self._db.executemany("INSERT OR REPLACE INTO newest(series_id, recorded_at, rows, digest, seal) VALUES (?, ?, ?, ?, ?)", lines)

    # ---------------------------------------------------------------- publishes

    def _verify_publishes(self, market: str | None) -> None:
        """Compare the publishes of a market, or of all, with their seals."""
        self._about()
        scope = "WHERE market = ?" if market is not None else ""
        only = () if market is None else (market,)
        sealed = {name: (rows, digest) for name, rows, digest in self._db.execute(f"SELECT * FROM publish_seals {scope}", only)}
        if market is not None and self._publishes.get(market, (0, 0)) == sealed.get(market):
            return
        found: dict[str, list[Sequence[Any]]] = {}
        for row in self._db.execute(f"SELECT * FROM publishes {scope}", only):
            found.setdefault(row[0], []).append(row)
        if sealed != {name: (len(rows), publishes_digest(rows)) for name, rows in found.items()}:
            raise self._damaged("the table publishes")
        self._publishes.update(sealed)

    def _seal_publishes(self, rows: Sequence[Sequence[Any]]) -> None:
        """Bring the seals of the markets' publishes up to the *rows* added."""
        for market in dict.fromkeys(row[0] for row in rows):
            mine = [row for row in rows if row[0] == market]
            old = self._db.execute("SELECT rows, digest FROM publish_seals WHERE market = ?", (market,)).fetchone()
            count, digest = old or (0, 0)
            sealed = (count + len(mine), digest + publishes_digest(mine))
            self._db.execute("INSERT OR REPLACE INTO publish_seals VALUES (?, ?, ?)", (market, *sealed))
            if old is None or self._publishes.get(market) == old:
                self._publishes[market] = sealed

    def _damaged(self, what: str) -> CorruptionError:
        return CorruptionError(f"{self.path}: {what} are not as written (seal); {REMEDY}")
