"""The US Treasury's daily par yields: one CSV file a calendar year, kept by hash as it came, with a ledger of looks."""

import datetime as dt
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hydra_assets.core.treasury import FIRST_YEAR
from hydra_assets.errors import BrokenOffError, NotPublishedError, VendorContentError, VendorRefusedError, VendorUnavailableError
from hydra_assets.lazy import lazy
from hydra_assets.sources.archive import Archive, read_kept
from hydra_assets.sources.http import TRANSIENT, chunks_before, refuse_transient, utc_now, whole, with_retries

if TYPE_CHECKING:
    import requests
else:
    requests = lazy("requests")


PATH = "/resource-center/data-chart-center/interest-rates/daily-treasury-rates.csv/{year}/all"
QUERY = "?type=daily_treasury_yield_curve&field_tdr_date_value={year}&page&_format=csv"
# A year is closed when its last curve has been out this long: figures are restated now and then.
CLOSED_AFTER = dt.timedelta(days=60)
_TRANSIENT = TRANSIENT | {206, 425}


@dataclass(frozen=True)
class TreasurySettings:
    """Settings of requests to the Treasury, in seconds and megabytes."""

    base_url: str
    connect_timeout_s: float
    read_timeout_s: float
    deadline_s: float
    max_file_mb: int
    max_attempts: int
    user_agent: str


@dataclass(frozen=True)
class RateFile:
    """
    The file of one year, kept as it came.

    Attributes:
        sha256: of the file, which is also its name on disk.
        seen_at: aware instant of the look that gave it.
    """

    year: int
    path: Path
    sha256: str
    seen_at: dt.datetime

    def read(self) -> bytes:
        """The bytes, compared with the hash under which they were kept."""
        return read_kept(self.path, self.sha256, "file")


class TreasurySource:
    """
    The Treasury, or a server with its addresses at *base_url*.

    Args:
        archives: folder for the files and their ledger.
        deadline_s: of one whole download.
        max_attempts: tries of one `fetch`, see `http.wait_before_retry`.
        user_agent: name given to the server.
    """

    def __init__(
        self,
        archives: Path,
        *,
        base_url: str = "https://home.treasury.gov",
        connect_timeout_s: float = 10.0,
        read_timeout_s: float = 30.0,
        deadline_s: float = 120.0,
        max_file_mb: int = 10,
        max_attempts: int = 5,
        user_agent: str = "hydra-assets",
        now: Callable[[], dt.datetime] = utc_now,
    ) -> None:
        self.archive = Archive(archives / "treasury", ".csv")
        self.base_url = base_url
        self.max_attempts = max_attempts
        self.report: Callable[[str], None] = lambda line: None
        self._timeout, self._deadline_s = (connect_timeout_s, read_timeout_s), deadline_s
        self._max_bytes, self._user_agent, self._now = max_file_mb * 2**20, user_agent, now

    def fetch(self, year: int) -> RateFile:
        """`fetch_once`, asked again after transient faults."""
        return with_retries(lambda: self.fetch_once(year), max_attempts=self.max_attempts)

    def fetch_once(self, year: int) -> RateFile:
        """
        The file of *year*: from disk where the year is closed, else by one request.

        Raises:
            NotPublishedError: the current or a later year is not there yet: a gap.
            VendorUnavailableError: transient. VendorRefusedError: final. VendorContentError: not the file it should be.
        """
        if year < FIRST_YEAR:
            raise VendorRefusedError(f"Treasury par yields of {year}: the daily curve begins in {FIRST_YEAR}")
        held = self.held(year)
        if held is not None and held.seen_at >= dt.datetime(year + 1, 1, 1, tzinfo=dt.UTC) + CLOSED_AFTER:
            held.read()
            return held
        url = f"{self.base_url.rstrip('/')}{PATH.format(year=year)}{QUERY.format(year=year)}"
        body = whole(lambda: self._download(url, year))
        if not body.lstrip(b"\xef\xbb\xbf").startswith((b"Date,", b'"Date",')):
            start = bytes(byte for byte in body[:60] if 32 <= byte < 127).decode()
            raise VendorContentError(f"{url}: no table of yields but {len(body):,} bytes that begin {start!r}")
        return self._keep(year, body)

    def held(self, year: int) -> RateFile | None:
        """The newest file of *year* on disk."""
        for row in self.archive.looks():
            path = self.archive.path(row["sha256"])
            if row["year"] == year and path.exists():
                return RateFile(year, path, row["sha256"], dt.datetime.fromisoformat(row["seen_at"]))
        return None

    def _download(self, url: str, year: int) -> bytes:
        end, body = time.monotonic() + self._deadline_s, bytearray()
        headers = {"User-Agent": self._user_agent, "Accept-Encoding": "identity"}
        try:
            with requests.get(url, headers=headers, stream=True, allow_redirects=False, timeout=self._timeout) as answer:
                self._check_status(answer, url, year)
                with chunks_before(answer, end) as chunks:
                    for chunk in chunks:
                        body += chunk
                        if len(body) > self._max_bytes:
                            raise VendorContentError(
                                f"{url}: more than {self._max_bytes:,} bytes; see treasury.max_file_mb in the settings"
                            )
        except TimeoutError as error:
            raise VendorUnavailableError(f"{url}: not finished after {self._deadline_s:.0f} s ({len(body):,} bytes)") from error
        except requests.exceptions.ChunkedEncodingError as error:
            raise BrokenOffError(f"{url}: the answer broke off after {len(body):,} bytes") from error
        except requests.RequestException as error:
            raise VendorUnavailableError(f"{url}: {type(error).__name__}: {error}") from error
        return bytes(body)  # fewer bytes than announced have raised: urllib3 counts them

    def _check_status(self, answer: "requests.Response", url: str, year: int) -> None:
        status, now = answer.status_code, self._now()
        if status == 200:
            return
        if status == 404 and year >= now.year:
            raise NotPublishedError(f"{url}: HTTP 404; the Treasury has not published it yet")
        refuse_transient(answer, url, now, _TRANSIENT)
        hint = ""
        if status == 403:
            hint = f"; it may refuse the name {self._user_agent!r}: set treasury.user_agent in the settings"
        elif answer.is_redirect:
            hint = f" to {answer.headers.get('Location')!r}: the address has moved; set treasury.base_url in the settings"
        raise VendorRefusedError(f"{url}: HTTP {status}{hint}")

    def _keep(self, year: int, body: bytes) -> RateFile:
        """Keep the bytes, then write the ledger's line."""
        sha256, seen_at = self.archive.keep(body), self._now()
        self.archive.note({"year": year, "sha256": sha256, "bytes": len(body), "seen_at": seen_at.isoformat()})
        return RateFile(year, self.archive.path(sha256), sha256, seen_at)
