"""
Databento's own client with the bounds that it lacks: a deadline, a size, no redirects; its errors as ours.

The client builds and checks each request, decodes each answer. Only how bytes travel is ours: its transport waits 100 s a socket
read, has no end to a drip, and follows wherever it is sent. Plain http is for loopback alone.
"""

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import databento
import requests
from databento.common.dbnstore import DBNStore
from databento.common.http import check_backend_warnings, check_http_error
from databento.historical.api.batch import BatchHttpAPI
from databento.historical.api.metadata import MetadataHttpAPI
from databento.historical.api.timeseries import TimeseriesHttpAPI
from requests.auth import HTTPBasicAuth

from hydra_assets.disk_errors import disk_errors
from hydra_assets.errors import (
    BrokenOffError,
    ConfigError,
    VendorContentError,
    VendorRefusedError,
    VendorUnavailableError,
)
from hydra_assets.sources.databento_request import Limits
from hydra_assets.sources.http import chunks_before

_ZSTD, _DBN = b"\x28\xb5\x2f\xfd", b"DBN"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_FAMILY = ".databento.com"  # jobs are submitted at hist.databento.com, their files lie with api.databento.com


class _Bounded:
    """The verbs of the client's transport, bounded by ``limits``."""

    limits: Limits
    _key: str
    _headers: dict[str, str]

    def _ask(
        self, method: str, url: str, *, basic_auth: bool, stream: bool = False, more_headers: Mapping[str, str] | None = None, **asked: Any
    ) -> requests.Response:
        response = requests.request(
            method,
            url,
            headers={**self._headers, **(more_headers or {})},
            auth=HTTPBasicAuth(username=self._key, password="") if basic_auth else None,
            timeout=(self.limits.connect_timeout_s, self.limits.read_timeout_s),
            allow_redirects=False,  # the key leaves for nowhere else
            stream=stream,
            **asked,
        )
        if response.is_redirect or 300 <= response.status_code < 400:
            target = urlsplit(response.headers.get("Location", "")).hostname
            response.close()
            raise VendorRefusedError(f"{_place(url)}: redirected to {target or 'nowhere'}; refused, the key stays with its host")
        try:
            check_backend_warnings(response)
        except json.JSONDecodeError as error:
            raise VendorContentError(f"{_place(url)}: the X-Warning header is not JSON") from error
        check_http_error(response)
        return response

    def _get(self, url: str, params: Iterable[tuple[str, str | None]] | None = None, basic_auth: bool = False) -> requests.Response:
        return self._ask("GET", url, basic_auth=basic_auth, params=params)

    def _post(
        self,
        url: str,
        data: Mapping[str, object | None] | None = None,
        params: Iterable[tuple[str, str | None]] | None = None,
        basic_auth: bool = False,
    ) -> requests.Response:
        return self._ask("POST", url, basic_auth=basic_auth, data=data, params=params)

    def _stream(self, url: str, data: dict[str, object | None], basic_auth: bool, path: Any = None) -> DBNStore:
        begun = time.monotonic()
        with self._ask("POST", url, basic_auth=basic_auth, stream=True, data=data) as response, Path(path).open("xb") as kept:
            self._receive(response, kept, url, begun, self.limits.max_bytes)
        return DBNStore.from_file(_checked(Path(path), _place(url)))

    def _receive(self, response: requests.Response, kept: IO[bytes], url: str, begun: float, most: int) -> None:
        """Write the body to *kept*; raise where it breaks off, takes longer than the deadline, or is larger than *most* bytes."""
        got = 0
        try:
            with chunks_before(response, begun + self.limits.deadline_s) as chunks:
                for chunk in chunks:
                    got += len(chunk)
                    if got > most:
                        raise VendorContentError(f"{_place(url)}: more than the {most:,} bytes that were announced")
                    with disk_errors(Path(kept.name)):
                        kept.write(chunk)
                with disk_errors(Path(kept.name)):
                    kept.flush()
        except TimeoutError:
            raise VendorUnavailableError(f"{_place(url)}: not whole within {self.limits.deadline_s:.0f} s") from None
        except requests.RequestException as error:
            raise BrokenOffError(f"{_place(url)}: the answer broke off") from error


class _Timeseries(_Bounded, TimeseriesHttpAPI):
    pass


class _Metadata(_Bounded, MetadataHttpAPI):
    pass


class BoundedBatch(_Bounded, BatchHttpAPI):
    """Batch jobs; `save` takes the place of the client's own download, which waits without end and warns of a wrong hash only."""

    def save(self, url: str, path: Path, size: int) -> None:
        """
        Download the rest of a file of *size* bytes to *path*; what a broken download left there stays.

        Raises:
            VendorRefusedError: the file lies with somebody else than the vendor.
            VendorUnavailableError: it broke off; the next call goes on from there.
        """
        there, own = urlsplit(url), urlsplit(self._base_url)
        hosts = (there.hostname or "", own.hostname or "")
        if there.scheme != own.scheme or (hosts[0] != hosts[1] and not all(host.endswith(_FAMILY) for host in hosts)):
            raise VendorRefusedError(f"{_place(url)}: not of {own.hostname}; refused, the key stays with its host")
        begun, held = time.monotonic(), path.stat().st_size if path.exists() else 0
        if held == size:
            return
        ranged = {"Range": f"bytes={held}-{size - 1}"} if held else {}
        with self._ask("GET", url, basic_auth=True, stream=True, more_headers=ranged) as response:
            going_on = response.status_code == requests.codes.partial_content
            with path.open("ab" if going_on else "wb") as kept:
                self._receive(response, kept, url, begun, size - held if going_on else size)


def client(key: str, gateway: str, limits: Limits) -> databento.Historical:
    """
    `databento.Historical` with bounded transport.

    Raises:
        ConfigError: plain http beyond loopback, or no key.
    """
    parts = urlsplit(gateway)
    if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
        raise ConfigError(f"databento.gateway {gateway!r}: plain http is for loopback only; write https://")
    if not key.strip():
        raise ConfigError("the live world needs a Databento key: set DATABENTO_API_KEY")
    made = databento.Historical(key, gateway=gateway.rstrip("/"))
    for name, api in (("timeseries", _Timeseries), ("metadata", _Metadata), ("batch", BoundedBatch)):
        bounded = api(key, gateway.rstrip("/"))
        bounded.limits = limits
        setattr(made, name, bounded)
    return made


def _checked(path: Path, place: str) -> Path:
    """*path*, if it begins as DBN or zstd does."""
    with path.open("rb") as got:
        head = got.read(80)
    if not (head.startswith(_ZSTD) or head.startswith(_DBN)):
        shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in head)
        raise VendorContentError(f"{place}: neither zstd nor DBN; it begins with {shown!r}" if head else f"{place}: an empty answer")
    return path


def _place(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}{parts.path}"
