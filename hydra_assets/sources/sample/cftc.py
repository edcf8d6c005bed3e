"""The CFTC's archives as the embedded vendor serves them: conditional requests, and 404 for what is not published."""

import datetime as dt
import email.utils
import re
import threading

from hydra_assets.sources.cftc import FIRST_YEAR, LAST_OF_HISTORY
from hydra_assets.sources.sample.cot import Archive, cot_archive
from hydra_assets.sources.sample.rude_cot import NOT_THERE, rude_archive
from hydra_assets.sources.sample.side import Reply, Request, Served, Side

_YEAR = re.compile(r"/files/dea/history/fut_disagg_txt_(\d{4})\.zip")
_HISTORY = f"/files/dea/history/fut_disagg_txt_hist_{FIRST_YEAR}_{LAST_OF_HISTORY}.zip"


class FakeCftc(Side):
    """Answers requests to ``/files/...``; synthetic, but for the lean-hogs rows of 2025."""

    prefix = "/files/"

    def __init__(self, served: Served) -> None:
        self._contracts = {market.cftc_code: market.name for market in served.markets.values()}
        self._calendar, self._now, self._rude = served.releases, served.now, served.rude
        self._made: dict[tuple[range, int], Archive | None] = {}
        self._lock = threading.Lock()

    def answer(self, request: Request) -> Reply:
        """The archive; 304 where it is the one that the request names; a page or 404 where there is none."""
        years = _years(request.target)
        archive = self._archive(years) if years else None
        if archive is None and years and self._rude.html_january:
            return Reply(200, {"Content-Type": "text/html; charset=utf-8"}, NOT_THERE)
        if archive is None:
            return Reply(404, {"Content-Type": "text/plain"}, b"not published\n")
        stamp = email.utils.format_datetime(archive.last_modified, usegmt=True)
        headers = {"Content-Type": "application/x-zip-compressed", "Last-Modified": stamp, "X-Data": "synthetic, but for lean hogs of 2025"}
        if request.headers.get("If-Modified-Since") == stamp:
            return Reply(304, headers, b"")
        return Reply(200, headers, archive.body)

    def _archive(self, years: range) -> Archive | None:
        """The archive of *years* as of now, made once for every newest report."""
        now = self._now()
        dates = self._calendar.report_dates(dt.date(years[0], 1, 1), dt.date(years[-1], 12, 31))
        out = sum(self._calendar.release(day).available_at <= now for day in dates)
        with self._lock:
            if (years, out) not in self._made:
                made = cot_archive(years, self._contracts, self._calendar, now)
                self._made[years, out] = made and rude_archive(made, self._rude)
            return self._made[years, out]


def _years(path: str) -> range | None:
    if path == _HISTORY:
        return range(FIRST_YEAR, LAST_OF_HISTORY + 1)
    match = _YEAR.fullmatch(path)
    return range(int(match[1]), int(match[1]) + 1) if match and int(match[1]) > LAST_OF_HISTORY else None
