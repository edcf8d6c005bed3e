"""
A strict reading of the rows of some markets in the CFTC's disaggregated futures-only file.

By column name, codes as text, nothing guessed: a missing column is an error, a cell that is no number quarantines its row, and
every row must add up (longs + spreads = shorts + spreads = open interest). Lines of other markets are read as far as they go.

Source: CFTC, Disaggregated Commitments of Traders, Explanatory Notes and Historical Compressed file layout.
"""

import datetime as dt
import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from hydra_assets.core.instants import INSTANT, day_us, to_us
from hydra_assets.core.releases import ReleaseCalendar
from hydra_assets.core.tables.cot import COT_DISAGGREGATED, COT_GROUPS, COT_HOLDINGS
from hydra_assets.errors import VendorContentError
from hydra_assets.sources.cftc_file import (
    CODE,
    CONCENTRATION_COLUMNS,
    KIND,
    POSITION_COLUMNS,
    SYNTHETIC,
    TRADER_COLUMNS,
    YYMMDD,
    CotFile,
    code_of,
    report_date,
)

PARSER_VERSION = "1"  # raise it when rows may be read otherwise: the lake's stamps are then gone through again
SUPPRESSED = "."
# Wheat, corn, soybeans, natural gas, live cattle, crude oil, gold, hogs: a file without any of them is no file of the CFTC's.
LARGE_MARKETS = frozenset({"001602", "002602", "005602", "023651", "057642", "067651", "088691", "054642"})
_CODE = re.compile(r"[0-9A-Z+]{6}")
_COUNT, _NUMBER = re.compile(r"[0-9]{1,12}"), re.compile(r"-?[0-9]+(\.[0-9]*)?|-?\.[0-9]+")


@dataclass(frozen=True)
class Quarantined:
    """A rejected row and the reason; it stays in the kept archive."""

    line: int
    cftc_code: str
    report_date: str
    reason: str


@dataclass
class ParsedCot:
    """
    The rows of one archive for the codes requested.

    Attributes:
        table: COT_DISAGGREGATED, ordered by code and as_of; ``available_at`` by the release calendar.
        rows_read: data rows of the whole file, all codes.
        duplicates: exact repetitions dropped.
        combined: rows of futures and options together, left out.
        unreadable: lines of other markets that could not be read.
        quarantined: rejected rows of the codes.
        unpublished: code to the reports that the file holds for other markets alone, ascending.
        extra_columns: columns of the file that this reader does not know.
    """

    table: pa.Table
    rows_read: int = 0
    duplicates: int = 0
    combined: int = 0
    unreadable: int = 0
    quarantined: list[Quarantined] = field(default_factory=list)
    unpublished: Mapping[str, tuple[dt.date, ...]] = field(default_factory=dict)
    extra_columns: tuple[str, ...] = ()


def parse_cot(
    archive: bytes, codes: Sequence[str], *, years: range, calendar: ReleaseCalendar, place: str, known: Collection[str] = ()
) -> ParsedCot:
    """
    Rows of *codes* in a CFTC archive.

    Args:
        archive: the zip's bytes, one member.
        codes: six-character contract codes such as ``054642``; the CFTC leaves a market with few traders out of a report.
        years: of which the file may hold reports.
        calendar: release calendar.
        place: the archive's name, for messages.
        known: further codes that show, beside `LARGE_MARKETS`, that the file is the CFTC's.

    Raises:
        VendorContentError: cut, other columns, another year's rows, no futures-only row, or no row of any code and known market.
    """
    reading = _Reading(CotFile.open(archive, place=place), frozenset(codes), years)
    for number, cells in reading.file.rows():
        reading.take(number, cells)
    return reading.result(calendar, LARGE_MARKETS | frozenset(known))


class _Reading:
    """The rows of one file so far."""

    def __init__(self, file: CotFile, codes: frozenset[str], years: range) -> None:
        self.file, self._codes, self._years = file, codes, years
        self._at, self._date_column = file.at, file.date_column
        self._parsed = ParsedCot(COT_DISAGGREGATED.schema.empty_table(), extra_columns=file.unknown_columns)
        self._kept: dict[tuple[str, dt.date], dict[str, object]] = {}
        self._cells: dict[tuple[str, dt.date], list[str]] = {}
        self._found: set[str] = set()  # codes of any futures-only row
        self._reports: set[dt.date] = set()
        # Reports of which nobody can say that a code is not in them; None: an unknown one. The key is None for every code.
        self._doubtful: set[tuple[str | None, dt.date | None]] = set()

    def take(self, number: int, cells: list[str]) -> None:
        """Read one line."""
        parsed, at = self._parsed, self._at
        parsed.rows_read += 1
        if len(cells) != len(self.file.header):
            self._misshapen(number, cells)
            return
        code, day = code_of(cells[at[CODE]]), report_date(cells[at[self._date_column]], cells[at[YYMMDD]])
        if day is not None and day.year not in self._years:
            expected = f"{self._years[0]}..{self._years[-1]}"
            raise VendorContentError(f"{self.file.place}: line {number} is a report of {day}; the archive is of {expected}")
        if not _CODE.fullmatch(code):
            parsed.unreadable += 1
            self._doubtful.add((None, day))
            return
        kind = cells[at[KIND]].strip().lower() if KIND in at else "futonly"
        if "comb" in kind or "opt" in kind:
            parsed.combined += 1
            return
        self._found.add(code)
        if day is not None:
            self._reports.add(day)
        if code in self._codes:
            self._own(number, code, day, cells, kind)

    def _misshapen(self, number: int, cells: list[str]) -> None:
        """Set aside a line of another width; a last one that is too short was cut off."""
        reason = f"line {number} has {len(cells)} columns, the header {len(self.file.header)}"
        if number == len(self.file.lines) + 1 and len(cells) < len(self.file.header):
            raise VendorContentError(f"{self.file.place}: {reason}")
        day, own = _any_day(cells), {cell.strip() for cell in cells} & self._codes
        for code in own:
            self._quarantine(number, code, day, "" if day is None else str(day), reason)
        if not own:
            self._parsed.unreadable += 1
            self._doubtful.add((None, day))

    def _own(self, number: int, code: str, day: dt.date | None, cells: list[str], kind: str) -> None:
        text = cells[self._at[self._date_column]].strip()
        if day is None:
            self._quarantine(number, code, None, text, "the report date is not a date")
            return
        row, reason = _row(cells, self._at)
        if not kind.startswith("fut"):
            reason = f"{KIND} is {kind!r}, not futures only"
        if reason is not None:
            self._quarantine(number, code, day, day.isoformat(), reason)
        elif (code, day) not in self._kept:
            self._kept[code, day], self._cells[code, day] = row, cells
        elif self._cells[code, day] == cells:
            self._parsed.duplicates += 1
        else:
            raise VendorContentError(f"{self.file.place}: line {number} says something else about {code} {day} than an earlier line")

    def _quarantine(self, number: int, code: str, day: dt.date | None, text: str, reason: str) -> None:
        self._parsed.quarantined.append(Quarantined(number, code, text, reason))
        self._doubtful.add((code, day))

    def result(self, calendar: ReleaseCalendar, known: frozenset[str]) -> ParsedCot:
        """The rows and counts read so far."""
        parsed, place = self._parsed, self.file.place
        if parsed.combined and not self._found:
            raise VendorContentError(f"{place}: all {parsed.combined:,} rows are of futures and options combined, none of futures only")
        quarantined = {bad.cftc_code for bad in parsed.quarantined}
        if not (known | self._codes) & (self._found | quarantined):
            codes = ", ".join(sorted(self._codes))
            raise VendorContentError(f"{place}: 0 rows for {codes} and for any market known, among {parsed.rows_read:,} rows")
        parsed.table = _table(self._kept, calendar)
        parsed.unpublished = {code: self._unpublished(code) for code in sorted(self._codes)}
        return parsed

    def _unpublished(self, code: str) -> tuple[dt.date, ...]:
        if {(None, None), (code, None)} & self._doubtful:
            return ()
        doubtful = {day for whose, day in self._doubtful if whose in (None, code)}
        return tuple(sorted(day for day in self._reports - doubtful if (code, day) not in self._kept))


def reports_of(archive: bytes, codes: Collection[str], *, place: str) -> dict[dt.date, str]:
    """
    The report dates of an archive, each with a mark of its rows of *codes*: another mark, and a row was corrected.

    A date is there whichever contracts it is of.
    """
    file = CotFile.open(archive, place=place)
    at, date_column = file.at, file.date_column
    rows: dict[tuple[str, str], list[list[str]]] = {}
    for _, cells in file.rows():
        if len(cells) == len(file.header):
            own = rows.setdefault((cells[at[date_column]], cells[at[YYMMDD]]), [])
            if code_of(cells[at[CODE]]) in codes:
                own.append(cells)
    days = {report_date(*key): hashlib.sha256(repr(sorted(found)).encode()).hexdigest() for key, found in rows.items()}
    return {day: mark for day, mark in days.items() if day is not None}


def _any_day(cells: list[str]) -> dt.date | None:
    """The first cell that is a date."""
    for cell in cells:
        try:
            return dt.datetime.strptime(cell.strip(), "%Y-%m-%d").replace(tzinfo=dt.UTC).date()
        except ValueError:
            continue
    return None


def _row(cells: list[str], at: dict[str, int]) -> tuple[dict[str, object], str | None]:
    """The row's values; or the reason for its rejection."""
    row: dict[str, object] = {}
    for name, column in POSITION_COLUMNS.items():
        text = cells[at[column]].strip()
        if not _COUNT.fullmatch(text):
            return row, f"{column} is {text!r}, not a number of contracts"
        row[name] = int(text)
    for columns, kind, form in ((TRADER_COLUMNS, int, _COUNT), (CONCENTRATION_COLUMNS, float, _NUMBER)):
        for name, column in columns.items():
            text = cells[at[column]].strip()
            if text not in (SUPPRESSED, "") and not form.fullmatch(text):
                return row, f"{column} is {text!r}, not a number"
            row[name] = None if text in (SUPPRESSED, "") else kind(text)
    row[SYNTHETIC] = SYNTHETIC in at and cells[at[SYNTHETIC]].strip().lower() in ("1", "true")
    return row, _unbalanced(row)


def _unbalanced(row: dict[str, object]) -> str | None:
    spreads = sum(int(str(row[f"{group}_{side}"])) for group, side in COT_HOLDINGS if side == "spread")
    for side in ("long", "short"):
        total = spreads + sum(int(str(row[f"{group}_{side}"])) for group in COT_GROUPS)
        if total != row["open_interest"]:
            return f"{side} positions and spreads make {total:,}, open interest is {row['open_interest']:,}"
    return None


def _table(kept: dict[tuple[str, dt.date], dict[str, object]], calendar: ReleaseCalendar) -> pa.Table:
    columns: dict[str, list[object]] = {name: [] for name in COT_DISAGGREGATED.schema.names}
    for (code, day), row in sorted(kept.items()):
        release = calendar.release(day)
        times = {"cftc_code": code, "as_of": day_us(day), "available_at": to_us(release.available_at), "quality": release.quality}
        for name in columns:
            columns[name].append(times.get(name, row.get(name)))
    arrays = {}
    for schema_field in COT_DISAGGREGATED.schema:
        values = columns[schema_field.name]
        instant = schema_field.type == INSTANT
        arrays[schema_field.name] = pa.array(values, pa.int64()).cast(INSTANT) if instant else pa.array(values, schema_field.type)
    return pa.table(arrays, schema=COT_DISAGGREGATED.schema)
