"""The ways in which a real answer travels: late, slowly, or not to its end."""

import hashlib
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from hydra_assets.sources.sample.rude import Rudeness

_PIECES_PER_S = 20


class RudeDelivery:
    """
    Sends answers with the delays and breaks of *rude*; remembers which ones it has broken.

    Args:
        cache: folder in which that is written down, so that a vendor that is started again still knows it; None keeps it in memory.
    """

    def __init__(self, rude: Rudeness, cache: Path | None = None) -> None:
        self._rude = rude
        self._folder = cache / "broken" if cache else None
        self._broken: set[str] = set()
        self._lock = threading.Lock()

    @property
    def is_polite(self) -> bool:
        """Whether answers travel at once and whole."""
        return not (self._rude.slow_start or self._rude.drip or self._rude.breaks_off)

    def send(self, request: BaseHTTPRequestHandler, status: int, body: bytes, headers: Mapping[str, str], asked: bytes) -> None:
        """Send a stream or a file: *asked* is the request's body, which tells requests to one address apart."""
        rude = self._rude
        if rude.slow_start:
            time.sleep(rude.first_byte_s)
        breaks = rude.breaks_off and status in (200, 206) and self._first_time(request.path, asked)
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        if breaks:  # a chunk without the last one after it: "Response ended prematurely"
            request.send_header("Transfer-Encoding", "chunked")
        else:
            request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if not breaks:
            self._write(request, body)
            return
        half = body[: len(body) // 2]
        request.wfile.write(f"{len(half):x}\r\n".encode())
        self._write(request, half)
        request.wfile.write(b"\r\n")
        request.wfile.flush()
        request.close_connection = True

    def _write(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        if not self._rude.drip:
            request.wfile.write(body)
            return
        piece = max(1, self._rude.bytes_per_s // _PIECES_PER_S)
        for start in range(0, len(body), piece):
            if start:
                time.sleep(1 / _PIECES_PER_S)
            request.wfile.write(body[start : start + piece])
            request.wfile.flush()

    def _first_time(self, path: str, asked: bytes) -> bool:
        name = hashlib.sha256(path.encode() + b"\0" + asked).hexdigest()
        with self._lock:
            first = name not in self._broken
            self._broken.add(name)
            if self._folder is None or not first:
                return first
            self._folder.mkdir(parents=True, exist_ok=True)
            mark = self._folder / name
            first = not mark.exists()
            mark.touch()
            return first
