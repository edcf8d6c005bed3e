"""
The text of a CFTC archive: its columns, and its rows line by line.

A line that cannot be read costs itself alone: bytes are decoded line by line, and no quotation mark reaches into the next line.

Source: CFTC, Historical Compressed file layout.
"""

import csv
import datetime as dt
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from hydra_assets.core.tables.cot import COT_HOLDINGS
from hydra_assets.errors import VendorContentError

_GROUP = {"prod": "Prod_Merc", "swap": "Swap", "mm": "M_Money", "other": "Other_Rept", "nonrept": "NonRept"}
_SIDE = {"long": "Long", "short": "Short", "spread": "Spread"}
NAME, CODE, YYMMDD, REPORT_DATES = (
    "Market_and_Exchange_Names",
    "CFTC_Contract_Market_Code",
    "As_of_Date_In_Form_YYMMDD",
    ("Report_Date_as_YYYY-MM-DD", "Report_Date_as_MM_DD_YYYY", "Report_Date_as_YYYY_MM_DD"),
)
KIND = "FutOnly_or_Combined"
SYNTHETIC = "synthetic"


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
class CotFile:
    """
    The one member of an archive.

    Attributes:
        header: names of the columns.
        lines: lines after the header, as bytes.
        place: name of the archive, for messages.
    """

    header: tuple[str, ...]
    lines: tuple[bytes, ...]
    place: str

    @classmethod
    def open(cls, archive: bytes, *, place: str) -> "CotFile":
        """
        The file in a zip with one member.

        Raises:
            VendorContentError: the last line is cut off, or a column is missing or doubled.
        """
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            raw = opened.read(opened.infolist()[0])
        if not raw.endswith(b"\n"):
            raise VendorContentError(f"{place}: the last line is cut off")
        first, *lines = raw.removeprefix(b"\xef\xbb\xbf").split(b"\n")[:-1]
        header = tuple(name.strip() for name in _cells(first) or ())
        missing = [name for name in NEEDED if name not in header] + ([] if set(REPORT_DATES) & set(header) else [REPORT_DATES[0]])
        if missing or len(set(header)) != len(header):
            duplicates = sorted({name for name in header if header.count(name) > 1})
            unknown = list(_unknown(header))
            raise VendorContentError(f"{place}: missing columns {missing}, duplicate columns {duplicates}, unknown columns {unknown}")
        return cls(header, tuple(lines), place)

    @property
    def at(self) -> dict[str, int]:
        """Position of each column."""
        return {name: i for i, name in enumerate(self.header)}

    @property
    def date_column(self) -> str:
        """Name of the column of the report's date, which differs between archives."""
        return next(name for name in REPORT_DATES if name in self.header)

    @property
    def unknown_columns(self) -> tuple[str, ...]:
        """Columns that no part of the CFTC's layout explains."""
        return _unknown(self.header)

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Number and cells of each line that is not empty."""
        for number, line in enumerate(self.lines, start=2):
            if line.strip():
                cells = _cells(line)
                # A lone quotation mark takes the commas after it into its cell.
                yield number, cells if len(cells) == len(self.header) else _unquoted(line, len(self.header)) or cells


def _text(line: bytes) -> str:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        text = line.decode("cp1252", errors="replace")
    return text.removesuffix("\r").replace("\r", " ")


def _cells(line: bytes) -> list[str]:
    try:
        return next(csv.reader([_text(line)]), [])
    except csv.Error:  # a cell larger than the reader takes
        return _text(line).split(",")


def _unquoted(line: bytes, width: int) -> list[str] | None:
    cells = _text(line).replace('"', "").split(",")
    return cells if len(cells) == width else None


def _unknown(header: tuple[str, ...]) -> tuple[str, ...]:
    endings = ("_All", "_Old", "_Other")
    known = {CODE, YYMMDD, SYNTHETIC, *REPORT_DATES, NAME, "Contract_Units", KIND}
    return tuple(name for name in header if name not in known and not name.startswith("CFTC_") and not name.endswith(endings))


def code_of(cell: str) -> str:
    """
    A contract code with its leading zeros.

    >>> code_of("4603 ")
    '004603'
    """
    return cell.strip().zfill(6)


@lru_cache(maxsize=4096)  # hundreds of rows share a date
def report_date(text: str, yymmdd: str) -> dt.date | None:
    """
    The report's day where both of its columns agree.

    >>> report_date("2025-12-30", "251230")
    datetime.date(2025, 12, 30)
    """
    for form in ("%Y-%m-%d", "%m/%d/%Y", "%m_%d_%Y"):
        try:
            day = dt.datetime.strptime(text.strip().split(" ")[0], form).replace(tzinfo=dt.UTC).date()
        except ValueError:
            continue
        return day if f"{day:%y%m%d}" == yymmdd.strip().zfill(6) else None
    return None
