"""
A strict reading of the CFTC's disaggregated futures-only file.

By column name, codes as text, nothing guessed: a missing column is an error, a cell that is no number quarantines its row, and
every row must add up (longs + spreads = shorts + spreads = open interest). Source: CFTC, Disaggregated Commitments of Traders,
Explanatory Notes and Historical Compressed file layout.
"""

import csv
import datetime as dt
import hashlib
import io
import zipfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from hydra_assets.core.instants import INSTANT, day_us, to_us
from hydra_assets.core.releases import ReleaseCalendar
from hydra_assets.core.tables.cot import COT_DISAGGREGATED, COT_GROUPS, COT_HOLDINGS
from hydra_assets.errors import VendorContentError

_GROUP = {"prod": "Prod_Merc", "swap": "Swap", "mm": "M_Money", "other": "Other_Rept", "nonrept": "NonRept"}
_SIDE = {"long": "Long", "short": "Short", "spread": "Spread"}
CODE, YYMMDD, REPORT_DATES = (
    "CFTC_Contract_Market_Code",
    "As_of_Date_In_Form_YYMMDD",
    ("Report_Date_as_YYYY-MM-DD", "Report_Date_as_MM_DD_YYYY", "Report_Date_as_YYYY_MM_DD"),
)
SYNTHETIC = "synthetic"
PARSER_VERSION = "1"  # raise it when rows may be read otherwise: the lake's stamps are then gone through again
SUPPRESSED = "."


def _position_column(group: str, side: str) -> str:
    # The file itself writes Swap__Positions_Short_All and Swap__Positions_Spread_All with two underscores.
    underscore = "__" if group == "swap" and side != "long" else "_"
    return f"{_GROUP[group]}{underscore}Positions_{_SIDE[side]}_All"


POSITION_COLUMNS = {"open_interest": "Open_Interest_All"} | {
    f"{group}_{side}": _position_column(group, side) for group, side in COT_HOLDINGS
}
TRADER_COLUMNS = {"traders_total": "Traders_Tot_All"} | {
    f"traders_{group}_{side}": f"Traders_{_GROUP[group]}_{_SIDE[side]}_All" for group, side in COT_HOLDINGS if group != "nonrept"
}
CONCENTRATION_COLUMNS = {
    f"{kind}_top{count}_{side}": f"Conc_{kind.title()}_LE_{count}_TDR_{_SIDE[side]}_All"
    for kind in ("gross", "net")
    for count in (4, 8)
    for side in ("long", "short")
}
NEEDED = (CODE, YYMMDD, *POSITION_COLUMNS.values(), *TRADER_COLUMNS.values(), *CONCENTRATION_COLUMNS.values())


@dataclass(frozen=True)
class Quarantined:
    """A row that was not believed, and why; it stays in the kept archive."""

    line: int
    cftc_code: str
    report_date: str
    reason: str


@dataclass
class ParsedCot:
    """
    The rows of one archive for the codes asked.

    Attributes:
        table: COT_DISAGGREGATED, ordered by code and as_of; ``available_at`` by the release calendar.
        rows_read: data rows of the whole file, all codes.
        duplicates: exact repetitions dropped.
        extra_columns: columns of the file that this reader does not know.
    """

    table: pa.Table
    rows_read: int
    duplicates: int = 0
    quarantined: list[Quarantined] = field(default_factory=list)
    extra_columns: tuple[str, ...] = ()


def parse_cot(archive: bytes, codes: Sequence[str], *, years: range, calendar: ReleaseCalendar, place: str) -> ParsedCot:
    """
    Rows of *codes* in a CFTC archive.

    Args:
        archive: the zip's bytes, one member.
        codes: six-character contract codes; ConfigError-free text such as ``054642``.
        years: of which the file may hold reports.
        place: the archive's name, for messages.

    Raises:
        VendorContentError: cut, other columns, another year's rows, or no row at all for a code.
    """
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        raw = opened.read(opened.infolist()[0])
    if not raw.endswith(b"\n"):
        raise VendorContentError(f"{place}: the last line is cut off")
    lines = csv.reader(io.StringIO(_text(raw), newline=""))
    header = [name.strip() for name in next(lines, [])]
    at, date_column = _columns(header, place)
    parsed = ParsedCot(COT_DISAGGREGATED.schema.empty_table(), 0, extra_columns=_unknown(header))
    kept: dict[tuple[str, dt.date], dict[str, object]] = {}
    cells_seen: dict[tuple[str, dt.date], list[str]] = {}
    wanted = set(codes)
    for cells in lines:
        if not cells:
            continue
        parsed.rows_read += 1
        if len(cells) != len(header):
            raise VendorContentError(f"{place}: line {lines.line_num} has {len(cells)} columns, the header {len(header)}")
        code = cells[at[CODE]].strip().zfill(6)
        day = _report_date(cells[at[date_column]], cells[at[YYMMDD]])
        if day is not None and day.year not in years:
            raise VendorContentError(f"{place}: line {lines.line_num} is a report of {day}; the archive is of {years[0]}..{years[-1]}")
        if code not in wanted:
            continue
        if day is None:
            parsed.quarantined.append(Quarantined(lines.line_num, code, cells[at[date_column]].strip(), "the report date is not a date"))
            continue
        row, reason = _row(cells, at)
        if reason is not None:
            parsed.quarantined.append(Quarantined(lines.line_num, code, day.isoformat(), reason))
            continue
        if (code, day) in kept:
            if cells_seen[code, day] == cells:
                parsed.duplicates += 1
                continue
            raise VendorContentError(f"{place}: line {lines.line_num} says something else about {code} {day} than an earlier line")
        cells_seen[code, day] = cells
        kept[code, day] = row
    missing = sorted(wanted - {code for code, _ in kept} - {bad.cftc_code for bad in parsed.quarantined})
    if missing:
        raise VendorContentError(f"{place}: 0 rows for {', '.join(missing)} among {parsed.rows_read:,} rows")
    parsed.table = _table(kept, calendar)
    return parsed


def reports_of(archive: bytes, codes: Collection[str], *, place: str) -> dict[dt.date, str]:
    """
    The report dates of an archive, each with a mark of its rows of *codes*: another mark, and a row was corrected.

    A date is there whichever contracts it is of.
    """
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        lines = csv.reader(io.StringIO(_text(opened.read(opened.infolist()[0])), newline=""))
    at, date_column = _columns([name.strip() for name in next(lines, [])], place)
    rows: dict[tuple[str, str], list[list[str]]] = {}
    for cells in lines:
        if len(cells) > max(at[date_column], at[YYMMDD], at[CODE]):
            own = rows.setdefault((cells[at[date_column]], cells[at[YYMMDD]]), [])
            if cells[at[CODE]].strip().zfill(6) in codes:
                own.append(cells)
    days = {_report_date(*key): hashlib.sha256(repr(sorted(found)).encode()).hexdigest() for key, found in rows.items()}
    return {day: mark for day, mark in days.items() if day is not None}


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1252", errors="replace")


def _columns(header: list[str], place: str) -> tuple[dict[str, int], str]:
    at = {name: i for i, name in enumerate(header)}
    dates = [name for name in REPORT_DATES if name in at]
    missing = [name for name in NEEDED if name not in at] + ([] if dates else [REPORT_DATES[0]])
    if missing or len(at) != len(header):
        twice = sorted({name for name in header if header.count(name) > 1})
        raise VendorContentError(f"{place}: missing columns {missing}, twice {twice}, unknown columns {list(_unknown(header))}")
    return at, dates[0]


def _unknown(header: list[str]) -> tuple[str, ...]:
    """Columns that no part of the CFTC's layout explains."""
    endings = ("_All", "_Old", "_Other")
    known = {CODE, YYMMDD, SYNTHETIC, *REPORT_DATES, "Market_and_Exchange_Names", "Contract_Units", "FutOnly_or_Combined"}
    return tuple(name for name in header if name not in known and not name.startswith("CFTC_") and not name.endswith(endings))


def _report_date(text: str, yymmdd: str) -> dt.date | None:
    """The report's day where both of its columns agree."""
    for form in ("%Y-%m-%d", "%m/%d/%Y", "%m_%d_%Y"):
        try:
            day = dt.datetime.strptime(text.strip().split(" ")[0], form).replace(tzinfo=dt.UTC).date()
        except ValueError:
            continue
        return day if f"{day:%y%m%d}" == yymmdd.strip().zfill(6) else None
    return None


def _row(cells: list[str], at: dict[str, int]) -> tuple[dict[str, object], str | None]:
    """The row's values; or the reason why it cannot be believed."""
    row: dict[str, object] = {}
    for name, column in POSITION_COLUMNS.items():
        text = cells[at[column]].strip()
        if not text.isdigit():
            return row, f"{column} is {text!r}, not a number of contracts"
        row[name] = int(text)
    for columns, kind in ((TRADER_COLUMNS, int), (CONCENTRATION_COLUMNS, float)):
        for name, column in columns.items():
            text = cells[at[column]].strip()
            try:
                row[name] = None if text in (SUPPRESSED, "") else kind(text)
            except ValueError:
                return row, f"{column} is {text!r}, not a number"
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
