"""
Seals of the rows of facts: a count and a digest for each block, which is the part of one series that describes 102 days.

A row's own checksum says nothing of a row that a damaged page has lost. So each block has a line, written in the same
transaction as its rows. A read compares the blocks that it passes over, the first time and again once their lines have changed.
"""

import json
import sqlite3
from collections.abc import Mapping

import numpy as np

from hydra_assets.sqlite_seals import Line, checksum

SHIFT = 43  # 2**43 us are 102 days of as_of
FIRST, LAST = -(2**63) >> SHIFT, (2**63 - 1) >> SHIFT
EVERY = FIRST, LAST
TABLE = """CREATE TABLE blocks(
        series_id INTEGER NOT NULL REFERENCES series(series_id), block INTEGER NOT NULL,
        rows INTEGER NOT NULL, digest INTEGER NOT NULL, seal INTEGER NOT NULL, PRIMARY KEY(series_id, block)) WITHOUT ROWID"""

WANTED = """WITH wanted(series, low, high) AS
    (SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]') FROM json_each(?))"""
_LOW = 2**31 - 1
_PARTS = "({0} & 2147483647) + ({0} >> 31)"  # both halves, so that a sum over a long series stays within 64 bits
_SUM = f"count(*), sum({_PARTS.format('as_of')} + 3 * ({_PARTS.format('available_at')}) + 5 * ({_PARTS.format('recorded_at')}) + crc)"
_FOUND = f"""{WANTED} SELECT series, as_of >> {SHIFT}, {_SUM}
    FROM wanted CROSS JOIN facts ON series_id = series AND as_of >= low AND as_of <= high
    GROUP BY series, as_of >> {SHIFT}"""
_LINES = f"""{WANTED} SELECT series, block, rows, digest, seal
    FROM wanted CROSS JOIN blocks ON series_id = series AND block >= low AND block <= high"""
_PUT = "INSERT OR REPLACE INTO blocks VALUES (?, ?, ?, ?, ?)"

Span = tuple[int, int]  # both ends included
Blocks = dict[int, Line]


class DamageError(Exception):
    """
    Rows and lines do not fit; the caller knows the file and the name of the series.

    Attributes:
        series: of which.
    """

    def __init__(self, series: int, what: str) -> None:
        super().__init__(what)
        self.series = series


def block_of(as_of: int) -> int:
    """The block of an ``as_of`` in microseconds UTC."""
    return as_of >> SHIFT


def wanted(spans: Mapping[int, Span]) -> tuple[str]:
    """The parameter of a statement that begins with `WANTED`: it meets the series in this order."""
    return (json.dumps([(series, *span) for series, span in spans.items()]),)


def blocks_of(
    series: np.ndarray, as_of: np.ndarray, available_at: np.ndarray, recorded_at: np.ndarray, crc: np.ndarray
) -> dict[int, Blocks]:
    """Count and digest of each block of rows in order of series and ``as_of``; the same sum as in SQL."""
    parts = [(us & _LOW) + (us >> 31) for us in (as_of, available_at, recorded_at)]
    digests, block = parts[0] + 3 * parts[1] + 5 * parts[2] + crc, as_of >> SHIFT
    first = np.ones(len(series), dtype=np.bool_)
    first[1:] = (series[1:] != series[:-1]) | (block[1:] != block[:-1])
    starts = np.flatnonzero(first)
    counts = np.diff(starts, append=len(series))
    found: dict[int, Blocks] = {}
    if len(starts):
        sums = np.add.reduceat(digests, starts)
        columns = (series[starts], block[starts], counts, sums)
        for number, each, rows, digest in zip(*(column.tolist() for column in columns), strict=True):
            found.setdefault(number, {})[each] = (rows, digest)
    return found


def line_seal(series: int, block: int, line: Line) -> int:
    """The checksum of a line itself."""
    return checksum((series, block, *line))


def found_blocks(db: sqlite3.Connection, spans: Mapping[int, Span]) -> dict[int, Blocks]:
    """Count and digest of the rows that are there, of each series from its first to its last block."""
    found: dict[int, Blocks] = {series: {} for series in spans}
    rows = {series: (first << SHIFT, ((last + 1) << SHIFT) - 1) for series, (first, last) in spans.items()}
    for series, block, count, digest in db.execute(_FOUND, wanted(rows)) if rows else ():
        found[series][block] = (count, digest)
    return found


def sealed_blocks(db: sqlite3.Connection, spans: Mapping[int, Span]) -> dict[int, Blocks]:
    """Count and digest of the rows that were written, of each series from its first to its last block."""
    lines: dict[int, Blocks] = {series: {} for series in spans}
    for series, block, rows, digest, seal in db.execute(_LINES, wanted(spans)) if spans else ():
        if seal != line_seal(series, block, (rows, digest)):
            raise DamageError(series, f"the line of block {block}")
        lines[series][block] = (rows, digest)
    return lines


def put_blocks(db: sqlite3.Connection, lines: Mapping[int, Blocks]) -> None:
    """Write the lines of series, in the place of older ones."""
    rows = [(series, block, line) for series, mine in sorted(lines.items()) for block, line in sorted(mine.items())]
    db.executemany(_PUT, [(series, block, *line, line_seal(series, block, line)) for series, block, line in rows])


Spans = list[Span]  # of blocks, apart from each other


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
        self._lines: dict[int, Blocks] = {}  # that fitted their rows
        self._compared: dict[int, Spans] = {}
        self._fresh: dict[int, Spans] = {}  # of them, those whose lines are known: compared since others last wrote

    def written(self) -> None:
        """Somebody else has written something: lines may have changed."""
        self._fresh.clear()

    def compare(self, db: sqlite3.Connection, spans: Mapping[int, Span], there: Mapping[int, Blocks] | None = None) -> None:
        """
        Compare the rows of some blocks with their lines, once more only where the lines have changed.

        Args:
            spans: first and last block, of each series.
            there: the blocks of all rows of these spans, where they were read already.

        Raises:
            DamageError: they do not fit.
        """
        stale = {series: span for series, span in spans.items() if not _holds(self._fresh.get(series, []), *span)}
        lines = sealed_blocks(db, stale)
        changed = {series: self._changed(series, span, lines[series]) for series, span in stale.items()}
        unsure = {series: span for series, span in changed.items() if span is not None}
        found = found_blocks(db, unsure) if there is None else {series: there.get(series, {}) for series in unsure}
        for series, (first, last) in unsure.items():
            rows, written = ({block: line for block, line in each[series].items() if first <= block <= last} for each in (found, lines))
            if rows != written:
                counts = [sum(count for count, _ in each.values()) for each in (rows, written)]
                raise DamageError(series, f"{counts[0]:,} rows, {counts[1]:,} were written; they")
        for series, span in stale.items():
            self._lines.setdefault(series, {}).update(lines[series])
            self._compared[series] = _joined(self._compared.get(series, []), *span)
            self._fresh[series] = _joined(self._fresh.get(series, []), *span)

    def _changed(self, series: int, span: Span, lines: Blocks) -> Span | None:
        """The blocks of *span* whose rows must be compared; None: none."""
        known = self._lines.get(series, {})
        if not _holds(self._compared.get(series, []), *span):
            return span
        changed = [block for block, line in lines.items() if known.get(block) != line]
        gone = [block for block in known if span[0] <= block <= span[1] and block not in lines]
        return (min(changed + gone), max(changed + gone)) if changed or gone else None

    def extend(self, db: sqlite3.Connection, added: Mapping[int, Blocks]) -> None:
        """Bring the lines of series up to the blocks of the rows added to each; lines compared since others last wrote are known."""
        spans = {series: (min(mine), max(mine)) for series, mine in added.items()}
        old = sealed_blocks(db, {series: span for series, span in spans.items() if not _holds(self._fresh.get(series, []), *span)})
        lines: dict[int, Blocks] = {}
        for series, mine in added.items():
            known, compared = self._lines.setdefault(series, {}), self._compared.get(series, [])
            there, lines[series] = old.get(series, known), {}
            for block, (count, digest) in mine.items():
                before = there.get(block)
                rows, share = before or (0, 0)
                line = lines[series][block] = (rows + count, share + digest)
                if _holds(compared, block, block) and known.get(block) == before:
                    known[block] = line
        put_blocks(db, lines)
