"""
The embedded vendor's COT archives, in the CFTC's own file layout.

Lean hogs of 2025 are the CFTC's real rows (public domain). Every other row is synthetic: smooth seeded waves of positions that
add up as the CFTC's do, the same for the same date whenever asked; the column ``synthetic`` (1 or 0) marks each row. A report
is in the archive once the release calendar says that it is out.
"""

import csv
import datetime as dt
import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np

from hydra_assets.core.releases import ReleaseCalendar
from hydra_assets.sources.cftc_file import SYNTHETIC

REAL_CODE = "054642"
WEEKS_PER_YEAR = 52.1775
_GROUPS = ("Prod_Merc", "Swap", "M_Money", "Other_Rept", "NonRept")
# Usual shares of open interest, long and short, in livestock.
_SHARES = {"Prod_Merc": (0.09, 0.42), "Swap": (0.22, 0.03), "M_Money": (0.31, 0.10), "Other_Rept": (0.11, 0.20), "NonRept": (0.07, 0.10)}
_SPREADS = {"Swap": 0.02, "M_Money": 0.13, "Other_Rept": 0.06}


@dataclass(frozen=True)
class Archive:
    """One zip as the vendor would serve it, and when its newest report was published."""

    body: bytes
    last_modified: dt.datetime


def cot_archive(years: range, contracts: Mapping[str, str], calendar: ReleaseCalendar, now: dt.datetime) -> Archive | None:
    """
    The archive of *years* as it stood at *now*; None before its first report.

    Args:
        contracts: contract code to the market's name.
    """
    reports = calendar.report_dates(dt.date(years[0], 1, 1), dt.date(years[-1], 12, 31))
    out = [day for day in reports if calendar.release(day).available_at <= now]
    if not out:
        return None
    header, real = _real_rows()
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow([*header, SYNTHETIC])
    for code, name in sorted(contracts.items()):
        for day in reversed(out):  # newest first, as the CFTC orders them
            if code == REAL_CODE and day in real:
                writer.writerow([*real[day], "0"])
            else:
                cells = synthetic_row(code, name, day)
                writer.writerow([*(cells[column] for column in header), "1"])
    member = "f_year.txt" if len(years) == 1 else "F_Disagg06_16.txt"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(zipfile.ZipInfo(member, (years[-1], 12, 31, 0, 0, 0)), buffer.getvalue(), zipfile.ZIP_DEFLATED)
    return Archive(packed.getvalue(), max(calendar.release(day).available_at for day in out))


def _real_rows() -> tuple[list[str], dict[dt.date, list[str]]]:
    text = (files("hydra_assets.sources.sample") / "lean_hogs_2025.csv").read_text(encoding="utf-8")
    header, *rows = [row for row in csv.reader(io.StringIO(text)) if row]
    header = [name.strip() for name in header]
    at = header.index("Report_Date_as_YYYY-MM-DD")
    return header, {dt.date.fromisoformat(row[at].strip()): row for row in rows}


def synthetic_row(code: str, name: str, day: dt.date) -> dict[str, str]:
    """One synthetic report with every column of the layout, by column name."""
    week = _week(day)
    now, before = _positions(code, week), _positions(code, week - 1)
    total = now["Open_Interest"]
    cells = {
        "Market_and_Exchange_Names": f"{name.upper()} - SYNTHETIC",
        "As_of_Date_In_Form_YYMMDD": f"{day:%y%m%d}",
        "Report_Date_as_YYYY-MM-DD": f"{day:%Y-%m-%d}",
        "CFTC_Contract_Market_Code": code,
        "CFTC_Market_Code": "SYN",
        "CFTC_Region_Code": "00",
        "CFTC_Commodity_Code": code[:3],
        "Contract_Units": "(SYNTHETIC)",
        "CFTC_Contract_Market_Code_Quotes": code,
        "CFTC_Market_Code_Quotes": "SYN",
        "CFTC_Commodity_Code_Quotes": code[:3],
        "CFTC_SubGroup_Code": "A20",
        "FutOnly_or_Combined": "FutOnly",
    }
    for key, value in now.items():
        cells[f"{key}_All"] = cells[f"{key}_Old"] = str(value)
        cells[f"{key}_Other"] = "0"
        short = key.replace("Swap__", "Swap_").replace("_Positions", "")
        cells[f"Change_in_{short}_All"] = str(value - before[key])
        share = f"{100 * value / total:.1f}"
        percent = "Pct_of_Open_Interest" if key == "Open_Interest" else f"Pct_of_OI_{short}"
        cells[f"{percent}_All"] = cells[f"{percent}_Old"] = share
        cells[f"{percent}_Other"] = "0.0"
        if key not in ("Open_Interest",) and not short.startswith("NonRept"):
            traders = max(4, round(value / total * 260))
            cells[f"Traders_{short}_All"] = cells[f"Traders_{short}_Old"] = str(traders)
            cells[f"Traders_{short}_Other"] = "0"
    cells["Traders_Tot_All"] = cells["Traders_Tot_Old"] = "300"
    cells["Traders_Tot_Other"] = "0"
    wave = _wave(f"{code}:concentration", week)
    for kind, top, side in ((k, t, s) for k in ("Gross", "Net") for t in (4, 8) for s in ("Long", "Short")):
        level = (14 if top == 4 else 24) + (3 if side == "Short" else 0) - (0.4 if kind == "Net" else 0) + 2.5 * wave
        cells[f"Conc_{kind}_LE_{top}_TDR_{side}_All"] = cells[f"Conc_{kind}_LE_{top}_TDR_{side}_Old"] = f"{level:.1f}"
        cells[f"Conc_{kind}_LE_{top}_TDR_{side}_Other"] = "0.0"
    return cells


def _week(day: dt.date) -> int:
    """Number of the ISO week: a report moved to Monday stays in its own."""
    return (day.toordinal() - 1) // 7


@lru_cache(maxsize=4096)  # of one week for its own row and for the next one's changes
def _positions(code: str, week: int) -> Mapping[str, int]:
    """Contracts by column stem; longs + spreads = shorts + spreads = open interest."""
    level = 310_000 if code == REAL_CODE else 60_000 + int(hashlib.sha256(code.encode()).hexdigest()[:4], 16) * 4
    total = round(level * (1 + 0.15 * _wave(f"{code}:oi", week)))
    spreads = {group: round(total * share * (1 + 0.2 * _wave(f"{code}:{group}:spread", week))) for group, share in _SPREADS.items()}
    rest = total - sum(spreads.values())
    positions: dict[str, int] = {"Open_Interest": total}
    tot = {"Long": sum(spreads.values()), "Short": sum(spreads.values())}
    for i, side in enumerate(("Long", "Short")):
        raw = np.array([_SHARES[group][i] * (1 + 0.45 * _wave(f"{code}:{group}:{side}", week)) for group in _GROUPS])
        contracts = np.floor(rest * raw / raw.sum()).astype(int)
        contracts[-1] += rest - contracts.sum()
        for group, value in zip(_GROUPS, contracts.tolist(), strict=True):
            stem = "Swap__Positions_Short" if (group, side) == ("Swap", "Short") else f"{group}_Positions_{side}"
            positions[stem] = value
            tot[side] += value if group != "NonRept" else 0
    for group, value in spreads.items():
        positions["Swap__Positions_Spread" if group == "Swap" else f"{group}_Positions_Spread"] = value
    for side, value in tot.items():
        positions[f"Tot_Rept_Positions_{side}"] = value
    return positions


@lru_cache(maxsize=4096)
def _phases(name: str) -> tuple[int, np.ndarray]:
    """The seed of a wave, and where its parts begin."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    return seed, np.random.default_rng(seed).uniform(0, 2 * np.pi, 4)


def _wave(name: str, week: int) -> float:
    """A seeded sum of slow and fast waves and a little noise, about in [-1, 1]."""
    seed, phases = _phases(name)
    years = week / WEEKS_PER_YEAR
    waves = np.sin(2 * np.pi * years * np.array([0.19, 0.47, 1.0, 2.3]) + phases)
    noise = np.random.default_rng([seed, week]).normal()
    return float(np.dot(waves, [0.35, 0.25, 0.25, 0.1]) + 0.05 * noise)
