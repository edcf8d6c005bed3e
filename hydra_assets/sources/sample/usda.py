"""
The USDA's report of slaughtered swine as the embedded vendor serves it, in the data mart's own JSON.

The slaughter days from 2019-01-31 to 2019-02-20 are the USDA's real rows (LM_HG201, a work of the United States government, public domain;
taken as data from kirkedev/mpr, test/resources/cash_prices.json). Every other row is synthetic: around the settlement of the synthetic
nearest contract, with a seeded basis; the key ``synthetic`` (1 or 0) marks each row. Synthetic rows of 2020 and later carry an instant of
publication, as the real report may; earlier ones and the real ones do not.
"""

import csv
import datetime as dt
import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.resources import files
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from hydra_assets.core.hog_reports import CHICAGO, published_at, report_date_of
from hydra_assets.core.market import Market
from hydra_assets.core.releases import federal_holidays
from hydra_assets.core.tables.cash import PURCHASE_TYPES
from hydra_assets.sources.sample.curve import FIRST_DAY, Curve, curve_of, seed_of
from hydra_assets.sources.sample.side import Reply, Request, Served, Side
from hydra_assets.sources.usda import PATH, REPORTS

REPORT = "LM_HG201"
STAMPED_FROM = dt.date(2020, 1, 1)  # report date
LONGEST = 170  # days of report dates that are answered
_RANGE = re.compile(r"report_date=(\d\d/\d\d/\d{4}):(\d\d/\d\d/\d{4})")
_KEPT = (1, 5, 7, 9, 11, 12)  # months of the holidays kept by packers: New Year, Memorial, 4 July, Labor, Thanksgiving, Christmas
# Share of a day's hogs, and price beside that of the market formula, by purchase type.
_SHARES = (0.02, 0.29, 0.003, 0.1, 0.2, 0.62, 0.02, 0.34)
_PREMIUMS = (0.96, 1.0, 1.0, 1.02, 1.1, 1.03, 0.97, 1.0)
_UNPRICED = (PURCHASE_TYPES[2], PURCHASE_TYPES[7])  # under the confidentiality rule; never sold


class FakeUsda(Side):
    """Answers requests to ``/services/...``: the report of hogs, none of other commodities."""

    prefix = "/services/"

    def __init__(self, served: Served) -> None:
        self._market = next((market for market in served.markets.values() if market.cash.report == REPORT), None)
        self._releases, self._now = served.releases, served.now

    def answer(self, request: Request) -> Reply:
        """The rows of the range that are out; 404 for another report, an error in the data mart's words for another question."""
        parts = urlsplit(request.target)
        number, section = REPORTS[REPORT]
        if unquote(parts.path) != f"{PATH}/{number}/{section}" or self._market is None:
            return Reply(404, {"Content-Type": "text/plain"}, b"no such report\n")
        asked = _RANGE.fullmatch(parse_qs(parts.query).get("q", [""])[-1])
        if asked is None:
            return _json({"message": "q must be report_date=MM/DD/YYYY:MM/DD/YYYY"})
        first, last = (dt.datetime.strptime(text, "%m/%d/%Y").date() for text in asked.groups())  # noqa: DTZ007  dates
        if (last - first).days > LONGEST:
            return Reply(504, {"Content-Type": "text/plain"}, b"the query took too long\n")
        rows = [
            row for day in _slaughter_days(first, last) if first <= report_date_of(day) <= last for row in self._rows(self._market, day)
        ]
        stats = {"totalRows:": len(rows), "returnedRows:": len(rows), "userAllowedRows:": 100_000}
        sections = ["Summary", section]
        return _json({"reportSection": section, "reportSections": sections, "stats": stats, "results": rows, "message": None})

    def is_bulk(self, path: str) -> bool:
        """Every answer is a file."""
        return True

    def _rows(self, market: Market, day: dt.date) -> list[dict[str, str | None]]:
        """Rows of a slaughter day, none before they are out."""
        report_date = report_date_of(day)
        out = published_at(report_date, self._releases.is_business_day)
        if out > self._now():
            return []
        real = _real_rows().get(day)
        return real if real is not None else synthetic_rows(market, day, out)


def synthetic_rows(market: Market, day: dt.date, out: dt.datetime) -> list[dict[str, str | None]]:
    """The synthetic report of slaughter day *day*, published before *out*."""
    rng = np.random.default_rng(seed_of("cash", market.symbol, day))
    noise = rng.standard_normal(3 * len(PURCHASE_TYPES)).reshape(3, -1)
    season = 0.04 * np.sin(2 * np.pi * (day.timetuple().tm_yday / 365 + 0.2))
    level = _nearest_settlement(curve_of(market), day) * np.exp(season)
    hogs = 470_000 * (1.6 if day.weekday() == 4 else 1.0)  # Friday's row holds Saturday's hogs
    report_date = report_date_of(day)
    local = out.astimezone(CHICAGO) - dt.timedelta(minutes=60 - int(rng.integers(0, 50)))
    rows = []
    for i, kind in enumerate(PURCHASE_TYPES):
        price = level * _PREMIUMS[i] * np.exp(0.004 * noise[0, i])
        priced = kind not in _UNPRICED
        row: dict[str, str | None] = {
            "for_date_begin": f"{day:%m/%d/%Y}",
            "report_date": f"{report_date:%m/%d/%Y}",
            "purchase_type": kind,
            "head_count": f"{int(hogs * _SHARES[i] * np.exp(0.05 * noise[1, i])):,}",
            "base_price": f"{price - 1.5:.2f}" if priced else None,
            "avg_net_price": f"{price:.2f}" if priced else None,
            "lowest_net_price": f"{price * 0.93:.2f}" if priced else None,
            "highest_net_price": f"{price * 1.06:.2f}" if priced else None,
            "avg_live_weight": f"{286 + 2 * noise[2, i]:.2f}",
            "avg_carcass_weight": f"{213 + 2 * noise[2, i]:.2f}",
            "avg_lean_percent": f"{55.5 + 0.2 * noise[2, i]:.2f}",
            "synthetic": "1",
        }
        if report_date >= STAMPED_FROM:
            row["published_date"] = f"{local:%m/%d/%Y %H:%M:%S}"
        rows.append(row)
    return rows


def _nearest_settlement(curve: Curve, day: dt.date) -> float:
    """Settlement of the nearest contract on the last session up to *day*."""
    while day not in curve.places:
        day -= dt.timedelta(1)
    history, i = curve.at(curve.listed_on(day)[0], day)
    return float(history.settle[i])


def _slaughter_days(first: dt.date, last: dt.date) -> Iterator[dt.date]:
    """Weekdays whose reports may be dated from *first* to *last*, without the holidays that packers keep."""
    day = max(first - dt.timedelta(4), FIRST_DAY)
    while day <= last:
        if day.weekday() < 5 and not _is_kept(day):
            yield day
        day += dt.timedelta(1)


def _is_kept(day: dt.date) -> bool:
    """Whether *day* is a federal holiday without slaughter; there is some on Martin Luther King, Veterans Day and a 31 December."""
    others = (day.month == 1 and 15 <= day.day <= 21) or (day.month == 11 and day.day < 22) or (day.month, day.day) == (12, 31)
    return day.month in _KEPT and not others and day in federal_holidays(day.year)


@lru_cache(maxsize=1)
def _real_rows() -> dict[dt.date, list[dict[str, str | None]]]:
    text = (files("hydra_assets.sources.sample") / "lean_hogs_cash_2019_02.csv").read_text(encoding="utf-8")
    found: dict[dt.date, list[dict[str, str | None]]] = {}
    for row in csv.DictReader(text.splitlines()):
        day, report_date = (dt.date.fromisoformat(row.pop(name)) for name in ("for_date_begin", "report_date"))
        dates = {"for_date_begin": f"{day:%m/%d/%Y}", "report_date": f"{report_date:%m/%d/%Y}"}
        head = f"{round(float(row.pop('head_count'))):,}"
        cells = {name: value or None for name, value in row.items()}
        found.setdefault(day, []).append({**dates, "head_count": head, **cells, "synthetic": "0"})
    return found


def _json(answer: Mapping[str, object]) -> Reply:
    headers = {"Content-Type": "application/json", "X-Data": "synthetic, but for slaughter days of February 2019"}
    return Reply(200, headers, json.dumps(answer).encode())
