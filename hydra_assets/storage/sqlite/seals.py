"""
Counts and digests by which a lost, doubled or altered row is noticed, also by a read that would not have met it.

Facts have a line for each block (`blocks`), and one for each series with the sum of them; each market's publishes have a count and
a digest; the tables of series, settings and schema have one between them. All are written in the same transaction as the rows.
"""

import json
import sqlite3
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from hydra_assets.sqlite_seals import Line, checksum, damaged
from hydra_assets.storage.facts import crc
from hydra_assets.storage.sqlite.blocks import EVERY, Blocks, BlockSeals, DamageError, Span, found_blocks, put_blocks, sealed_blocks
from hydra_assets.storage.sqlite.file import SqliteFile

Sealed = tuple[int, int, int]  # of a series: newest recording, rows, digest

_SCHEMA = """SELECT name, sql FROM sqlite_master
    WHERE name IN ('about', 'blocks', 'facts', 'features', 'newest', 'publish_seals', 'publishes', 'series') ORDER BY name"""

_NEWEST = "SELECT series_id, recorded_at, rows, digest, seal FROM newest WHERE series_id IN (SELECT value FROM json_each(?))"


def series_seal(series: int, sealed: Sequence[object]) -> int:
    """The checksum of a series' own line in the table ``newest``."""
    return checksum((series, *sealed))


def publishes_digest(rows: Iterable[Sequence[Any]]) -> int:
    """The digest of rows of publishes, in any order."""
    return sum(checksum(tuple(row)) for row in rows)


def about_seal(about: Mapping[str, str]) -> str:
    """The checksum of the table ``about``, over all but itself."""
    return _checksum(item for item in about.items() if item[0] != "seal")


def series_text(series: Mapping[tuple[str, str], int]) -> str:
    """Count and checksum of the table of series."""
    return f"{len(series)} {_checksum(series.items())}"


def _checksum(items: Iterable[object]) -> str:
    """Digest of items in any order, whatever they turned into in a damaged file."""
    return str(zlib.crc32("".join(sorted(map(repr, items))).encode()))


def seal_all(db: sqlite3.Connection, *, sealed: bool = False) -> None:
    """
    Seal a file of an older version as it is, within its migration.

    SQLite keeps no sign of zero: rows of before whose checksum was taken over -0.0 get the one of what is kept.

    Args:
        sealed: the series and publishes of the file have seals already, which must fit.

    Raises:
        DamageError: they do not fit.
    """
    mend_zeros(db)
    old = {row[0]: row[1:] for row in db.execute("SELECT series_id, rows, digest FROM newest")} if sealed else None
    newest = dict(db.execute("SELECT series_id, max(recorded_at) FROM facts GROUP BY series_id").fetchall())
    for series, recorded_at in newest.items():
        lines = found_blocks(db, {series: EVERY})[series]
        put_blocks(db, {series: lines})
        line = (recorded_at, *total_of(lines))
        if old is not None and old.pop(series, None) != line[1:]:
            raise DamageError(series, f"the rows of series {series}")
        values = (series, *line, series_seal(series, line))
        db.execute("INSERT OR REPLACE INTO newest(series_id, recorded_at, rows, digest, seal) VALUES (?, ?, ?, ?, ?)", values)
    if old:
        raise DamageError(0, f"the rows of {len(old)} series")
    held = {market: (rows, digest) for market, rows, digest in db.execute("SELECT * FROM publish_seals")}
    found = _found_publishes(db, None)
    if sealed and held != found:
        raise DamageError(0, "the table publishes")
    db.executemany("INSERT OR REPLACE INTO publish_seals VALUES (?, ?, ?)", [(market, *line) for market, line in found.items()])
    about = dict(db.execute("SELECT key, value FROM about"))
    series_seen = series_text(_series(db))
    before = {**about, "series": series_seen, "schema": _schema(db, without="blocks")}
    if sealed and (before != about or about.get("seal") != about_seal(about)):
        raise DamageError(0, "the tables about and series, or the schema,")
    about["series"] = series_seen
    about["schema"] = _schema(db)
    about["seal"] = about_seal(about)
    db.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", sorted(about.items()))


def total_of(lines: Mapping[int, Line]) -> Line:
    """Rows and digest of a whole series."""
    return sum(rows for rows, _ in lines.values()), sum(digest for _, digest in lines.values())


def _found_publishes(db: sqlite3.Connection, market: str | None) -> dict[str, Line]:
    """Count and digest of the publishes that are there, by market: of one market or of all."""
    scope = "WHERE market = ?" if market is not None else ""
    only = () if market is None else (market,)
    found: dict[str, list[Sequence[Any]]] = {}
    for row in db.execute(f"SELECT * FROM publishes {scope}", only):
        found.setdefault(row[0], []).append(row)
    return {name: (len(rows), publishes_digest(rows)) for name, rows in found.items()}


def mend_zeros(db: sqlite3.Connection) -> int:
    """Give rows whose checksum was taken over -0.0 that of the 0.0 which SQLite keeps; how many."""
    count = 0
    statement = "SELECT series_id, as_of, available_at, recorded_at, quality, retracted, crc FROM facts WHERE value = 0"
    for *key, quality, retracted, written in db.execute(statement).fetchall():
        kept, negative = (crc(key[0], key[1], key[2], key[3], zero, quality, retracted) for zero in (0.0, -0.0))
        if written == negative:
            where = "series_id = ? AND as_of = ? AND available_at = ? AND recorded_at = ?"
            db.execute(f"UPDATE facts SET crc = ? WHERE {where}", (kept, *key))
            count += 1
    return count


def _series(db: sqlite3.Connection) -> dict[tuple[str, str], int]:
    return {(market, name): series for series, market, name in db.execute("SELECT series_id, market, feature_name FROM series NOT INDEXED")}


def _schema(db: sqlite3.Connection, without: str = "") -> str:
    return str(checksum([row for row in db.execute(_SCHEMA) if row[0] != without]))


class SealedFile(SqliteFile):
    """A store's file whose series, publishes and settings are held against their seals as they are read."""

    _about_rows: dict[str, str] | None = None
    _series_ids: dict[tuple[str, str], int] | None = None

    def _forget(self) -> None:
        """Know nothing of the file any more, after a transaction that was undone or a new connection."""
        self._about_rows = self._series_ids = None
        self._blocks = BlockSeals()
        self._publishes: dict[str, Line] = {}

    # ---------------------------------------------------------------- settings and series

    def _about(self) -> dict[str, str]:
        """The table ``about``; its stamp tells whether anything was written since it was last read."""
        rows = dict(self._db.execute("SELECT key, value FROM about"))
        if rows != self._about_rows:
            known = self._about_rows or {}
            if rows.get("seal") != about_seal(rows):
                raise damaged(self.path, "the table about")
            if "schema" not in known and rows.get("schema") != _schema(self._db):
                raise damaged(self.path, "the schema")
            if rows["series"] != known.get("series"):
                self._series_ids = None
            self._about_rows = rows
            self._blocks.written()
        return rows

    def _set_about(self, **values: str) -> None:
        about = {**self._about(), **values}
        about["seal"] = about_seal(about)
        self._db.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", [(key, about[key]) for key in (*values, "seal")])
        self._about_rows = about

    def _series(self) -> dict[tuple[str, str], int]:
        """Market and feature name to the number of each series ever held."""
        about = self._about()
        if self._series_ids is None:
            found = _series(self._db)
            if series_text(found) != about["series"]:
                raise damaged(self.path, "the table series")
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
        self._verify(dict.fromkeys(numbers, EVERY))  # without a row yet: what is added is known from here on

    # ---------------------------------------------------------------- facts

    def _sealed_as(self, series: Collection[int]) -> dict[int, Sealed]:
        """The line of each series: newest recording, rows, digest."""
        lines = {number: (line, seal) for number, *line, seal in self._db.execute(_NEWEST, (json.dumps(list(series)),))}
        for number in series:
            if number not in lines or lines[number][1] != series_seal(number, lines[number][0]):
                raise damaged(self.path, f"the line of {self._place(number)} in the table newest")
        return {number: (line[0], line[1], line[2]) for number, (line, _) in lines.items()}

    def _verify(self, spans: Mapping[int, Span], there: Mapping[int, Blocks] | None = None) -> None:
        """
        Hold rows of series against their seals.

        Args:
            spans: first and last block, of each series.
            there: the blocks of all their rows, where these were read already.
        """
        try:
            self._blocks.compare(self._db, spans, there)
        except DamageError as error:
            raise damaged(self.path, f"{self._place(error.series)}: {error}") from error

    def _place(self, series: int) -> str:
        """Market and feature name of a series, for messages."""
        return next((" ".join(name) for name, number in self._series().items() if number == series), f"series {series}")

    def _verify_total(self, series: int, place: str) -> None:
        """Hold the lines of a series' blocks against the series' own line."""
        self._verify({series: EVERY})
        if total_of(sealed_blocks(self._db, {series: EVERY})[series]) != self._sealed_as([series])[series][1:]:
            raise damaged(self.path, f"the blocks of {place}")

    def _seal(self, added: Mapping[int, Blocks], recorded_at: int) -> None:
        """Bring the seals of series up to the blocks of the rows *added* to them."""
        try:
            self._blocks.extend(self._db, added)
        except DamageError as error:
            raise damaged(self.path, f"{self._place(error.series)}: {error}") from error
        old = {series: line for series, *line, _ in self._db.execute(_NEWEST, (json.dumps(list(added)),))}
        lines = []
        for series, blocks in added.items():
            before, count, digest = old.get(series, (recorded_at, 0, 0))
            more, share = total_of(blocks)
            sealed = (max(before, recorded_at), count + more, digest + share)
            lines.append((series, *sealed, series_seal(series, sealed)))
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
        if sealed != _found_publishes(self._db, market):
            raise damaged(self.path, "the table publishes")
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
