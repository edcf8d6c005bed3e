"""CFTC archives for tests, made by the embedded vendor's own writer and then bent."""

import csv
import datetime as dt
import io
import zipfile
from functools import lru_cache

from hydra_assets.config.load import load_config, load_release_calendar
from hydra_assets.sources.sample.cot import cot_archive

CALENDAR = load_release_calendar()
HE, LE = "054642", "057642"
OATS = "004603"
CONTRACTS = {HE: "Lean Hogs", LE: "Live Cattle"}
MARKETS = {symbol: load_config().market(symbol) for symbol in ("HE", "LE")}
NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)


@lru_cache(maxsize=16)
def archive(year=2025, now=NOW) -> bytes:
    """A whole, good archive."""
    made = cot_archive(range(year, year + 1), CONTRACTS, CALENDAR, now)
    assert made is not None
    return made.body


def text_of(body: bytes) -> str:
    with zipfile.ZipFile(io.BytesIO(body)) as opened:
        return opened.read(opened.namelist()[0]).decode()


def zipped(text: str | bytes, member="f_year.txt", more=()) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr(member, text)
        for name in more:
            opened.writestr(name, "x")
    return buffer.getvalue()


def bent(change, year=2025) -> bytes:
    """An archive after ``change(header, rows)``: both lists of cells, in place or returned."""
    header, *body = csv.reader(io.StringIO(text_of(archive(year))))
    header, body = change(header, body) or (header, body)
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\r\n").writerows([header, *body])
    return zipped(out.getvalue())
