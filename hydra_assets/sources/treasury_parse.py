"""The Treasury's file of a year as rows of the lake table ``rates``; what cannot be used is quarantined row by row."""

import csv
import datetime as dt
import io
import math
from dataclasses import dataclass

import pyarrow as pa

from hydra_assets.core.instants import DAY_US, INSTANT, to_us
from hydra_assets.core.tables.rates import RATES, TENORS
from hydra_assets.core.treasury import published_at
from hydra_assets.errors import VendorContentError
from hydra_assets.features.days import day_number

PARSER_VERSION = "1"
DATE, SYNTHETIC = "Date", "synthetic"
SANE = (-5.0, 30.0)  # per cent a year
_SATURDAY = 5
_EMPTY = ("", "N/A")


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used."""

    line: int
    date: str
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}, {self.date or 'no date'}: {self.reason}"


@dataclass(frozen=True)
class ParsedRates:
    """
    The rows of one file.

    Attributes:
        table: RATES, ascending by day.
        quarantined: rows that cannot be used, each with its reason.
        unknown_columns: columns that are no tenor known here; what stands in them is left out.
    """

    table: pa.Table
    quarantined: tuple[BadRow, ...]
    unknown_columns: tuple[str, ...]


def parse_rates(body: bytes, *, year: int, place: str) -> ParsedRates:
    """
    The curves of *year*, columns by name and never by place.

    Args:
        body: the file.
        year: a row of another one is quarantined.
        place: for errors.

    Raises:
        VendorContentError: no CSV with a date and a tenor in its header.
    """
    try:
        lines = list(csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise VendorContentError(f"{place}: not a readable table: {error}") from error
    header = [cell.strip() for cell in lines[0]] if lines else []
    names = {tenor: column for column, (tenor, _) in TENORS.items()}
    found = [name for name in header if name in names]
    if DATE not in header or not found or len(set(header)) < len(header):
        raise VendorContentError(f"{place}: the header {header[:5]} has no {DATE} and tenors such as '3 Mo', each once")
    rows: dict[dt.date, dict[str, float | bool | None]] = {}
    bad: list[BadRow] = []
    for number, cells in enumerate(lines[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        row = dict(zip(header, (cell.strip() for cell in cells), strict=False))
        try:
            if len(cells) != len(header):
                raise ValueError(f"{len(cells)} cells under a header of {len(header)}")
            day = _day(row[DATE], year)
            read: dict[str, float | bool | None] = {names[tenor]: _percent(tenor, row[tenor]) for tenor in found}
            if all(value is None for value in read.values()):
                raise ValueError("not one yield")
            read[SYNTHETIC] = row.get(SYNTHETIC) == "1"
            if rows.setdefault(day, read) != read:
                raise ValueError("another curve of this day stands above")
        except ValueError as error:
            bad.append(BadRow(number, row.get(DATE, ""), str(error)))
    unknown = tuple(name for name in header if name not in (*names, DATE, SYNTHETIC))
    return ParsedRates(_table(rows), tuple(bad), unknown)


def _day(text: str, year: int) -> dt.date:
    try:
        day = dt.datetime.strptime(text, "%m/%d/%Y").date()  # noqa: DTZ007  a date without a clock
    except ValueError:
        raise ValueError(f"{text!r} is no date MM/DD/YYYY") from None
    if day.year != year:
        raise ValueError(f"a day of {day.year} in the file of {year}")
    if day.weekday() >= _SATURDAY:
        raise ValueError("a day of the weekend")
    return day


def _percent(tenor: str, text: str) -> float | None:
    if text in _EMPTY:
        return None
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{tenor}: {text!r} is no number") from None
    low, high = SANE
    if not math.isfinite(value) or not low <= value <= high:
        raise ValueError(f"{tenor}: {text} per cent lies outside {low:g} to {high:g}")
    return value


def _table(rows: dict[dt.date, dict[str, float | bool | None]]) -> pa.Table:
    days = sorted(rows)
    columns: dict[str, pa.Array] = {
        "as_of": pa.array([day_number(day) * DAY_US for day in days], pa.int64()).cast(INSTANT),
        "available_at": pa.array([to_us(published_at(day)) for day in days], pa.int64()).cast(INSTANT),
        "quality": pa.array(["partial"] * len(days), pa.string()),
        SYNTHETIC: pa.array([bool(rows[day][SYNTHETIC]) for day in days], pa.bool_()),
    }
    for column in TENORS:
        columns[column] = pa.array([rows[day].get(column) for day in days], pa.float64())
    return RATES.conform(pa.table(columns))
