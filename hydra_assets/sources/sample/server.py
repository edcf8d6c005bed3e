"""The embedded vendor: a small HTTP server on loopback that answers as the real vendors do, each by its side."""

import contextlib
import re
import ssl
import threading
from collections.abc import Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType

from hydra_assets.sources.sample.rude import POLITE, Rudeness
from hydra_assets.sources.sample.rude_http import RudeDelivery
from hydra_assets.sources.sample.side import Reply, Request, Side


class SampleVendor:
    """
    The server, running between ``with`` and its end.

    Args:
        sides: vendors whose requests it answers.
        port: on 127.0.0.1; 0 takes a free one.
        tls: serves https with it.
        rude: behaviours of the real vendors; of them those are its own that delay an answer or break it off.
        cache: where it is written down which answers broke off once; None forgets it with the server.
    """

    def __init__(
        self,
        sides: Iterable[Side],
        *,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        rude: Rudeness = POLITE,
        cache: Path | None = None,
    ) -> None:
        self._sides, self._delivery = list(sides), RudeDelivery(rude, cache)
        vendor = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle(self) -> None:
                with contextlib.suppress(ConnectionError):  # a client may leave before the end of an answer
                    super().handle()

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

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        side = next((side for side in self._sides if request.path.startswith(side.prefix)), None)
        if side is None:
            _send(request, Reply(404, {"Content-Type": "text/plain"}, b"the embedded vendor has no such path\n"))
            return
        asked = Request(str(request.command), request.path, request.headers, body, self.url)
        reply = _ranged(side.answer(asked), request.headers.get("Range"))
        if self._delivery.is_polite or not side.is_bulk(request.path):
            _send(request, reply)
        else:
            self._delivery.send(request, reply.status, reply.body, reply.headers, body)


def _ranged(reply: Reply, asked: str | None) -> Reply:
    """The part of a file that a Range header asks for."""
    match = re.fullmatch(r"bytes=(\d+)-(\d*)", asked or "")
    if match is None or reply.status != 200 or "Accept-Ranges" not in reply.headers:
        return reply
    first, last = int(match[1]), min(int(match[2] or len(reply.body)), len(reply.body) - 1)
    headers: Mapping[str, str] = {**reply.headers, "Content-Range": f"bytes {first}-{last}/{len(reply.body)}"}
    return Reply(206, headers, reply.body[first : last + 1])


def _send(request: BaseHTTPRequestHandler, reply: Reply) -> None:
    request.send_response(reply.status)
    for name, value in reply.headers.items():
        request.send_header(name, value)
    if reply.status != 304:
        request.send_header("Content-Length", str(len(reply.body)))
    request.end_headers()
    request.wfile.write(reply.body)
