"""
The `cot_reports` library, unmodified, in a process and an empty folder of its own.

The library has no timeout, checks no status, extracts into the working directory and reads back whatever file lies there
under a fixed name. So it runs here, with its `requests` replaced by `CheckedRequests`: base address, conditional request,
deadline, byte cap, status, redirects, and exactly one expected archive member are checked before the library sees a byte.
The library reads every market's text strictly and looks for its file under one spelling. Where that fails and the archive is a
CFTC file by our own reading, the archive is kept, with the library's complaint as a note.

Run as ``python -m hydra_assets.sources.cftc_child`` with one JSON object on standard input; prints one on standard output.
"""

import datetime as dt
import io
import json
import sys
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from hydra_assets.errors import VendorContentError
from hydra_assets.lazy import lazy
from hydra_assets.sources.http import TRANSIENT, chunks_before, retry_after_seconds

if TYPE_CHECKING:
    import requests
else:
    requests = lazy("requests")


REPORT = "disaggregated_fut"
LIBRARY_BASE = "https://cftc.gov"
ARCHIVE = "archive.zip"
MAX_RATIO, MAX_UNPACKED = 100, 512 * 2**20
MAX_REDIRECTS = 3


class Refusal(Exception):
    """A fault, as one of the parent's kinds: unavailable, refused, forbidden, absent, page, content, disk."""

    def __init__(self, kind: str, message: str, *, retry_after: float | None = None) -> None:
        self.kind, self.retry_after = kind, retry_after
        super().__init__(message)


@dataclass
class Body:
    """The library's reading of an answer."""

    content: bytes


@dataclass
class CheckedRequests:
    """Takes the place of the module `requests` inside the library."""

    base_url: str
    member: str
    connect_timeout_s: float
    read_timeout_s: float
    deadline_s: float
    max_bytes: int
    user_agent: str
    held: str | None = None
    held_last_modified: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def get(self, url: str) -> Body:
        """The library's one call."""
        body = self._fetch(url.replace(LIBRARY_BASE, self.base_url.rstrip("/"), 1))
        check_archive(body, self.member)
        try:
            Path(ARCHIVE).write_bytes(body)
        except OSError as error:
            raise Refusal("disk", f"the archive cannot be written: {error.strerror}") from error
        return Body(body)

    def _fetch(self, url: str) -> bytes:
        end = time.monotonic() + self.deadline_s
        headers = {"User-Agent": self.user_agent, "Accept-Encoding": "identity"}
        if self.held and self.held_last_modified:
            headers["If-Modified-Since"] = self.held_last_modified
        try:
            for _ in range(MAX_REDIRECTS + 1):
                with requests.get(
                    url, headers=headers, stream=True, allow_redirects=False, timeout=(self.connect_timeout_s, self.read_timeout_s)
                ) as answer:
                    if answer.is_redirect:
                        url = allowed_redirect(url, answer.headers["Location"])
                        continue
                    self._check_status(answer, url)
                    self.facts = {"url": url, "last_modified": answer.headers.get("Last-Modified"), "status": answer.status_code}
                    if answer.status_code == 304 and self.held:
                        return Path(self.held).read_bytes()
                    return self._read(answer, url, end)
        except requests.exceptions.ContentDecodingError as error:
            raise Refusal("content", f"{url}: the body is not encoded as its headers say") from error
        except requests.RequestException as error:
            raise Refusal("unavailable", f"{url}: {type(error).__name__}: {error}") from error
        raise Refusal("refused", f"{url}: more than {MAX_REDIRECTS} redirects")

    def _check_status(self, answer: "requests.Response", url: str) -> None:
        status = answer.status_code
        if status == 200 or (status == 304 and self.held):
            return
        if status == 404:
            raise Refusal("absent", f"{url}: HTTP 404")
        if status in TRANSIENT or status == 206:
            wait = retry_after_seconds(answer.headers.get("Retry-After"), dt.datetime.now(dt.UTC))
            raise Refusal("unavailable", f"{url}: HTTP {status}", retry_after=wait)
        raise Refusal("forbidden" if status == 403 else "refused", f"{url}: HTTP {status}")

    def _read(self, answer: "requests.Response", url: str, end: float) -> bytes:
        body = bytearray()
        try:
            with chunks_before(answer, end) as chunks:
                for chunk in chunks:
                    body += chunk
                    if len(body) > self.max_bytes:
                        raise Refusal(
                            "content", f"{url}: more than the {self.max_bytes:,} bytes allowed; see cftc.max_zip_mb in the settings"
                        )
        except TimeoutError as error:
            raise Refusal("unavailable", f"{url}: not finished after {self.deadline_s:.0f} s ({len(body):,} bytes)") from error
        return bytes(body)  # fewer bytes than announced have raised: urllib3 counts them


def allowed_redirect(url: str, location: str) -> str:
    """The target of a redirect that stays on the vendor's own host (or its www.) and does not fall from https to http."""
    target = urljoin(url, location)
    here, there = urlsplit(url), urlsplit(target)
    same = (there.hostname or "").removeprefix("www.") == (here.hostname or "").removeprefix("www.") and there.port == here.port
    if not same or there.scheme not in (here.scheme, "https"):
        raise Refusal("refused", f"{url}: redirects to {there.scheme}://{there.netloc}, which is not the vendor's own address")
    return target


def check_archive(body: bytes, member: str) -> None:
    """Refuse anything but a whole zip with exactly the one member expected, not encrypted, of a believable size."""
    start = bytes(b for b in body[:80] if 32 <= b < 127).decode()
    if not body.startswith(b"PK"):
        raise Refusal("page", f"not a zip archive but {len(body):,} bytes that begin {start!r}")
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            names = archive.namelist()
            if [name.lower() for name in names] != [member.lower()]:
                raise Refusal("content", f"the archive holds {names[:5]}, expected is exactly {member!r}")
            info = archive.infolist()[0]
            if info.flag_bits & 1:
                raise Refusal("content", f"{member} is encrypted")
            if info.file_size > MAX_UNPACKED or info.file_size > MAX_RATIO * max(info.compress_size, 1):
                raise Refusal("content", f"{member} claims {info.file_size:,} bytes from {info.compress_size:,}; that is no CFTC file")
            if archive.testzip() is not None:
                raise Refusal("content", f"{member}: checksum error")
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, OSError, ValueError, NotImplementedError) as error:
        raise Refusal("content", f"broken zip archive: {error}") from error


def main() -> None:
    """Download one archive through the library and say what came."""
    asked = json.load(sys.stdin)
    year = asked.pop("year")
    checked = CheckedRequests(**asked)
    try:
        rows, columns, note = _read(year, checked)
        answer = {**checked.facts, "kind": "ok", "rows": rows, "columns": columns, "note": note}
    except Refusal as error:
        answer = {"kind": error.kind, "message": str(error), "retry_after": error.retry_after}
    json.dump(answer, sys.stdout)


def _read(year: int | None, checked: CheckedRequests) -> tuple[int, int, str | None]:
    """Number of rows and columns of the archive, and the library's complaint where it could not read them."""
    import cot_reports.cot_reports as library  # in this process alone

    library.requests = checked
    try:
        if year is None:
            frame = library.cot_hist(REPORT, store_txt=True, verbose=False)
        else:
            frame = library.cot_year(year, REPORT, store_txt=True, verbose=False)
    except (ValueError, UnicodeError, OSError) as error:  # pandas' parser errors are ValueErrors
        note = f"cot_reports could not read the file: {type(error).__name__}: {error}"
        return (*_own_reading(note), note)
    return len(frame), len(frame.columns), None


def _own_reading(note: str) -> tuple[int, int]:
    from hydra_assets.sources.cftc_file import CotFile

    try:
        file = CotFile.open(Path(ARCHIVE).read_bytes(), place=ARCHIVE)
    except (VendorContentError, OSError) as error:
        raise Refusal("content", note) from error
    return sum(1 for _ in file.rows()), len(file.header)


if __name__ == "__main__":
    main()
