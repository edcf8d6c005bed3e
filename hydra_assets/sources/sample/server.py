"""
The embedded vendor: a small HTTP server on loopback that serves archives as the CFTC does, and futures as Databento does.

Its data is synthetic, but for the lean-hogs COT rows of 2025.
"""

import contextlib
import datetime as dt
import email.utils
import re
import ssl
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType

from hydra_assets.core.market import Market
from hydra_assets.core.releases import ReleaseCalendar
from hydra_assets.sources.cftc import FIRST_YEAR, LAST_OF_HISTORY
from hydra_assets.sources.http import utc_now
from hydra_assets.sources.sample.cot import Archive, cot_archive
from hydra_assets.sources.sample.databento import FakeDatabento, Reply
from hydra_assets.sources.sample.rude import POLITE, Rudeness
from hydra_assets.sources.sample.rude_cot import NOT_THERE, rude_archive
from hydra_assets.sources.sample.rude_http import RudeDelivery

_YEAR = re.compile(r"/files/dea/history/fut_disagg_txt_(\d{4})\.zip")
_HISTORY = f"/files/dea/history/fut_disagg_txt_hist_{FIRST_YEAR}_{LAST_OF_HISTORY}.zip"


class SampleVendor:
    """
    The server, running between ``with`` and its end.

    Args:
        markets: what it serves, by symbol.
        calendar: a report is served once it is out.
        cache: where encoded months of futures are kept; None encodes them anew.
        port: on 127.0.0.1; 0 takes a free one.
        tls: serves https with it.
        now: its clock.
        rude: behaviours of the real vendors.
    """

    def __init__(
        self,
        markets: Mapping[str, Market],
        calendar: ReleaseCalendar,
        *,
        cache: Path | None = None,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        now: Callable[[], dt.datetime] = utc_now,
        rude: Rudeness = POLITE,
    ) -> None:
        self._contracts = {market.cftc_code: market.name for market in markets.values()}
        self._calendar, self._now = calendar, now
        self._databento = FakeDatabento(markets, cache, now, rude)
        self._rude, self._delivery = rude, RudeDelivery(rude)
        self._made: dict[tuple[range, int], Archive | None] = {}
        self._lock = threading.Lock()
        vendor = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                with contextlib.suppress(ConnectionError):  # who asked has gone: nobody is left to tell
                    vendor._answer(self)

            do_POST = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self._scheme = "https" if tls else "http"
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        """``http://127.0.0.1:<port>``."""
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "SampleVendor":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait(self) -> None:
        """Block until the server ends."""
        self._thread.join()

    def archive(self, years: range) -> Archive | None:
        """The archive of *years* as of now, made once for every newest report."""
        now = self._now()
        dates = self._calendar.report_dates(dt.date(years[0], 1, 1), dt.date(years[-1], 12, 31))
        out = sum(self._calendar.release(day).available_at <= now for day in dates)
        with self._lock:
            if (years, out) not in self._made:
                made = cot_archive(years, self._contracts, self._calendar, now)
                self._made[years, out] = made and rude_archive(made, self._rude)
            return self._made[years, out]

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        if request.path.startswith("/v0/"):
            body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
            reply = self._databento.answer(str(request.command), request.path, request.headers.get("Authorization"), body, self.url)
            reply = _ranged(reply, request.headers.get("Range"))
            if self._delivery.is_polite or not _is_bulk(request.path):
                _send(request, reply.status, reply.body, reply.headers)
            else:
                self._delivery.send(request, reply.status, reply.body, reply.headers, body)
            return
        years = _years(request.path)
        archive = self.archive(years) if years else None
        if archive is None and years and self._rude.html_january:
            _send(request, 200, NOT_THERE, {"Content-Type": "text/html; charset=utf-8"})
            return
        if archive is None:
            _send(request, 404, b"not published\n", {"Content-Type": "text/plain"})
            return
        stamp = email.utils.format_datetime(archive.last_modified, usegmt=True)
        headers = {"Content-Type": "application/x-zip-compressed", "Last-Modified": stamp, "X-Data": "synthetic, but for lean hogs of 2025"}
        if request.headers.get("If-Modified-Since") == stamp:
            _send(request, 304, b"", headers)
        else:
            _send(request, 200, archive.body, headers)


def _years(path: str) -> range | None:
    if path == _HISTORY:
        return range(FIRST_YEAR, LAST_OF_HISTORY + 1)
    match = _YEAR.fullmatch(path)
    return range(int(match[1]), int(match[1]) + 1) if match and int(match[1]) > LAST_OF_HISTORY else None


def _is_bulk(path: str) -> bool:
    """Whether the answer is a stream or a file, not a word or two."""
    return path.startswith(("/v0/timeseries.", "/v0/batch.download", "/v0/batch/download/"))


def _ranged(reply: Reply, asked: str | None) -> Reply:
    """The part of a file that a Range header asks for."""
    match = re.fullmatch(r"bytes=(\d+)-(\d*)", asked or "")
    if match is None or reply.status != 200 or "Accept-Ranges" not in reply.headers:
        return reply
    first, last = int(match[1]), min(int(match[2] or len(reply.body)), len(reply.body) - 1)
    headers = {**reply.headers, "Content-Range": f"bytes {first}-{last}/{len(reply.body)}"}
    return Reply(206, headers, reply.body[first : last + 1])


def _send(request: BaseHTTPRequestHandler, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name, value)
    if status != 304:
        request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)
