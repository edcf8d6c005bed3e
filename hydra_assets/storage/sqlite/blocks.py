"""
Seals of the rows of facts: a count and a digest for each block, which is the part of one series that describes 102 days.

A row's own checksum says nothing of a row that a damaged page has lost. So each block has a line, written in the same
transaction as its rows. A read compares the blocks that it passes over, the first time and again once their lines have changed.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from hydra_assets.sqlite_seals import Line, checksum

SHIFT = 43  # 2**43 us are 102 days of as_of
FIRST, LAST = -(2**63) >> SHIFT, (2**63 - 1) >> SHIFT
TABLE = """CREATE TABLE blocks(
        series_id INTEGER NOT NULL REFERENCES series(series_id), block INTEGER NOT NULL,
        rows INTEGER NOT NULL, digest INTEGER NOT NULL, seal INTEGER NOT NULL, PRIMARY KEY(series_id, block)) WITHOUT ROWID"""

_LOW = 2**31 - 1
_PARTS = "({0} & 2147483647) + ({0} >> 31)"  # both halves, so that a sum over a long series stays within 64 bits
_SUM = f"count(*), sum({_PARTS.format('as_of')} + 3 * ({_PARTS.format('available_at')}) + 5 * ({_PARTS.format('recorded_at')}) + crc)"
_FOUND = f"SELECT as_of >> {SHIFT}, {_SUM} FROM facts WHERE series_id = ? AND as_of >= ? AND as_of <= ? GROUP BY as_of >> {SHIFT}"
_LINES = "SELECT block, rows, digest, seal FROM blocks WHERE series_id = ? AND block >= ? AND block <= ?"
_PUT = "INSERT OR REPLACE INTO blocks VALUES (?, ?, ?, ?, ?)"


class DamageError(Exception):
    """Rows and lines do not fit; the caller knows the file and the name of the series."""


def block_of(as_of: int) -> int:
    """The block of an ``as_of`` in microseconds UTC."""
    return as_of >> SHIFT


def row_digest(row: Sequence[Any]) -> int:
    """The share of one row of facts in the digest of its block; the same sum as in SQL."""
    at, known, written = ((us & _LOW) + (us >> 31) for us in row[1:4])
    return int(at + 3 * known + 5 * written + row[7])


def line_seal(series: int, block: int, line: Line) -> int:
    """The checksum of a line itself."""
    return checksum((series, block, *line))


def found_blocks(db: sqlite3.Connection, series: int, first: int = FIRST, last: int = LAST) -> dict[int, Line]:
    """Count and digest of the rows that are there, from block *first* to *last*."""
    span = (series, first << SHIFT, ((last + 1) << SHIFT) - 1)
    return {block: (rows, digest) for block, rows, digest in db.execute(_FOUND, span)}


def sealed_blocks(db: sqlite3.Connection, series: int, first: int = FIRST, last: int = LAST) -> dict[int, Line]:
    """Count and digest of the rows that were written, from block *first* to *last*."""
    lines = {}
    for block, rows, digest, seal in db.execute(_LINES, (series, first, last)):
        if seal != line_seal(series, block, (rows, digest)):
            raise DamageError(f"the line of block {block}")
        lines[block] = (rows, digest)
    return lines


def put_blocks(db: sqlite3.Connection, series: int, lines: Mapping[int, Line]) -> None:
    """Write the lines of a series, in the place of older ones."""
    db.executemany(_PUT, [(series, block, *line, line_seal(series, block, line)) for block, line in sorted(lines.items())])


Spans = list[tuple[int, int]]  # of blocks, both ends included, apart from each other


def _holds(spans: Spans, first: int, last: int) -> bool:
    """Whether one span holds all blocks from *first* to *last*."""
    return any(low <= first and last <= high for low, high in spans)


def _joined(spans: Spans, first: int, last: int) -> Spans:
    """*spans* and the blocks from *first* to *last*; those that touch are one."""
    apart = []
    for low, high in spans:
        if low <= last + 1 and first <= high + 1:
            first, last = min(low, first), max(high, last)
        else:
            apart.append((low, high))
    return [*apart, (first, last)]


class BlockSeals:
    """Blocks of one file that a connection has compared."""

    def __init__(self) -> None:
        self._lines: dict[int, dict[int, Line]] = {}  # that fitted their rows
        self._compared: dict[int, Spans] = {}
        self._fresh: dict[int, Spans] = {}  # of them, those compared since anything was last written

    def written(self) -> None:
        """Somebody has written something: lines may have changed."""
        self._fresh.clear()

    def compare(self, db: sqlite3.Connection, series: int, first: int, last: int) -> None:
        """
        Compare the rows of the blocks *first* to *last* with their lines.

        Raises:
            DamageError: they do not fit.
        """
        for low, high in self._fresh.get(series, ()):
            if low <= first and last <= high:
                return
        lines, known = sealed_blocks(db, series, first, last), self._lines.setdefault(series, {})
        compared = self._compared.get(series, [])
        if _holds(compared, first, last):
            changed = [block for block, line in lines.items() if known.get(block) != line]
            gone = [block for block in known if first <= block <= last and block not in lines]
            span = (min(changed + gone), max(changed + gone)) if changed or gone else None
        else:
            span = (first, last)
        if span is not None:
            there = found_blocks(db, series, *span)
            written = {block: line for block, line in lines.items() if span[0] <= block <= span[1]}
            if there != written:
                rows, right = (sum(count for count, _ in each.values()) for each in (there, written))
                raise DamageError(f"{rows:,} rows, {right:,} were written; they")
        known.update(lines)
        self._compared[series] = _joined(compared, first, last)
        self._fresh[series] = _joined(self._fresh.get(series, []), first, last)

    def extend(self, db: sqlite3.Connection, series: int, rows: Sequence[Sequence[Any]]) -> Line:
        """
        Bring the lines of a series up to the *rows* of facts added to it, in order of ``as_of``; count and digest of all of *rows*.
        """
        added = {block: list(mine) for block, mine in groupby(rows, key=lambda row: block_of(row[1]))}
        old = sealed_blocks(db, series, min(added), max(added))
        known, compared = self._lines.setdefault(series, {}), self._compared.get(series, [])
        lines, total = {}, 0
        for block, mine in added.items():
            count, digest = old.get(block, (0, 0))
            share = sum(map(row_digest, mine))
            lines[block], total = (count + len(mine), digest + share), total + share
            if _holds(compared, block, block) and known.get(block) == old.get(block):
                known[block] = lines[block]
        put_blocks(db, series, lines)
        return len(rows), total
