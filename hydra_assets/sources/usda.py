"""The USDA's market news reports: asked for by ranges of report dates, every answer kept by hash, every look written down."""

import datetime as dt
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from hydra_assets.errors import BrokenOffError, VendorContentError, VendorRefusedError, VendorUnavailableError
from hydra_assets.lazy import lazy
from hydra_assets.sources.archive import Archive, read_kept
from hydra_assets.sources.http import chunks_before, refuse_transient, utc_now, whole, with_retries

if TYPE_CHECKING:
    import requests
else:
    requests = lazy("requests")


# Report to its number and section in the data mart.
REPORTS = {"LM_HG201": ("2511", "Barrows/Gilts")}
PATH = "/services/v1.1/reports"
# Corrections come within days; an answer seen so long after its last report date is not asked for again.
CLOSED_AFTER = dt.timedelta(days=60)


@dataclass(frozen=True)
class UsdaSettings:
    """Settings of requests to the USDA: seconds, megabytes, and days of report dates in one request."""

    base_url: str
    connect_timeout_s: float
    read_timeout_s: float
    deadline_s: float
    max_answer_mb: float
    max_range_days: int
    max_attempts: int
    user_agent: str


@dataclass(frozen=True)
class UsdaAnswer:
    """
    One answer, kept as it came.

    Attributes:
        report: name of the report.
        first: earliest report date asked for.
        last: latest report date asked for.
        sha256: of the body, which is also its file's name.
        seen_at: aware instant of the look that gave it.
        rows: rows of it.
    """

    report: str
    first: dt.date
    last: dt.date
    path: Path
    sha256: str
    seen_at: dt.datetime
    rows: int

    @property
    def place(self) -> str:
        """Name for messages."""
        return f"USDA {self.report} {self.first}..{self.last}"

    def read(self) -> bytes:
        """The bytes, compared with the hash under which they were kept."""
        return read_kept(self.path, self.sha256, "answer")


class UsdaSource:
    """
    The USDA's data mart, or whoever speaks like it at the settings' address.

    Args:
        archives: folder for the answers and their ledger.
        settings: address and bounds of a request.
        now: the clock.
    """

    def __init__(self, archives: Path, settings: UsdaSettings, now: Callable[[], dt.datetime] = utc_now) -> None:
        self.archive, self.settings = Archive(archives / "usda", ".json"), settings
        self.max_attempts = settings.max_attempts
        self.report: Callable[[str], None] = lambda line: None
        self._now = now

    def fetch(self, report: str, first: dt.date, last: dt.date, *, once: bool = False) -> UsdaAnswer:
        """
        The rows of *report* dated from *first* to *last*: from disk where nothing is corrected any more, else by a request.

        Args:
            report: a name of `REPORTS`.
            first: earliest report date.
            last: latest report date, included; at most the settings' number of days later.
            once: make a single attempt.

        Raises:
            VendorUnavailableError: transient. VendorRefusedError: final. VendorContentError: not the answer it should be.
        """
        if report not in REPORTS:
            raise VendorRefusedError(f"USDA {report}: no such report is known here; known are {', '.join(REPORTS)}")
        if (last - first).days >= self.settings.max_range_days:
            raise VendorRefusedError(
                f"USDA {report} {first}..{last}: longer than usda.max_range_days, which is {self.settings.max_range_days}; ask in parts"
            )
        held = self.held(report, first, last)
        if held is not None:
            return held
        return with_retries(
            lambda: whole(lambda: self._ask(report, first, last), self.report), max_attempts=1 if once else self.max_attempts
        )

    def held(self, report: str, first: dt.date, last: dt.date) -> UsdaAnswer | None:
        """The newest answer on disk that covers the dates and was seen when they were corrected no more; None without one."""
        closed = dt.datetime.combine(last, dt.time(), dt.UTC) + CLOSED_AFTER
        for row in self.archive.looks():
            begin, end = dt.date.fromisoformat(row["first"]), dt.date.fromisoformat(row["last"])
            seen_at, path = dt.datetime.fromisoformat(row["seen_at"]), self.archive.path(row["sha256"])
            if row["report"] == report and begin <= first and last <= end and seen_at >= closed and path.exists():
                return UsdaAnswer(report, begin, end, path, row["sha256"], seen_at, row["rows"])
        return None

    def url(self, report: str, first: dt.date, last: dt.date) -> str:
        """Address of the rows dated from *first* to *last*."""
        number, section = REPORTS[report]
        asked = urlencode({"q": f"report_date={first:%m/%d/%Y}:{last:%m/%d/%Y}"}, safe="/:=")
        return f"{self.settings.base_url.rstrip('/')}{PATH}/{number}/{quote(section, safe='')}?{asked}"

    def _ask(self, report: str, first: dt.date, last: dt.date) -> UsdaAnswer:
        place, limits = f"USDA {report} {first}..{last}", self.settings
        self.report(f"asking for {place}")
        begun = time.monotonic()
        try:
            with requests.get(
                self.url(report, first, last),
                headers={"User-Agent": limits.user_agent, "Accept": "application/json"},
                timeout=(limits.connect_timeout_s, limits.read_timeout_s),
                allow_redirects=False,
                stream=True,
            ) as response:
                self._check_status(response, place)
                body = self._body(response, place, begun)
        except requests.RequestException as error:
            raise VendorUnavailableError(f"{place}: {type(error).__name__}, no answer") from None
        return self._keep(body, report, first, last, len(results_of(body, place)))

    def _check_status(self, response: "requests.Response", place: str) -> None:
        status = response.status_code
        if status == 200:
            return
        refuse_transient(response, place, self._now())
        moved = f", to {response.headers.get('Location')}" if response.is_redirect else ""
        raise VendorRefusedError(f"{place}: HTTP {status}{moved}; see usda.base_url in the settings")

    def _body(self, response: "requests.Response", place: str, begun: float) -> bytes:
        """The body; raise where it breaks off, is larger than the settings allow, or takes longer than the deadline."""
        body, most = bytearray(), round(self.settings.max_answer_mb * 2**20)
        try:
            with chunks_before(response, begun + self.settings.deadline_s) as chunks:
                for chunk in chunks:
                    body += chunk
                    if len(body) > most:
                        raise VendorContentError(f"{place}: more than the {most:,} bytes of usda.max_answer_mb")
        except TimeoutError as error:
            raise VendorUnavailableError(f"{place}: not whole within {self.settings.deadline_s:.0f} s") from error
        except requests.RequestException as error:
            raise BrokenOffError(f"{place}: the answer broke off") from error
        return bytes(body)

    def _keep(self, body: bytes, report: str, first: dt.date, last: dt.date, rows: int) -> UsdaAnswer:
        """Keep the bytes, then write the ledger's line."""
        sha256, seen_at = self.archive.keep(body), self._now()
        self.archive.note(
            {
                "report": report,
                "first": first.isoformat(),
                "last": last.isoformat(),
                "sha256": sha256,
                "bytes": len(body),
                "rows": rows,
                "seen_at": seen_at.isoformat(),
            }
        )
        return UsdaAnswer(report, first, last, self.archive.path(sha256), sha256, seen_at, rows)


def results_of(body: bytes, place: str) -> list[object]:
    """
    The rows of an answer as they came.

    Raises:
        VendorContentError: no JSON object with rows, or one that says that it holds fewer rows than there are.
    """
    try:
        answer = json.loads(body)
    except ValueError:
        raise VendorContentError(f"{place}: the answer is not JSON; it begins {body[:40]!r}") from None
    results = answer.get("results") if isinstance(answer, dict) else None
    if not isinstance(results, list):
        message = answer.get("message") if isinstance(answer, dict) else None
        raise VendorContentError(f"{place}: the answer has no list of results{f'; it says {message!r}' if message else ''}")
    stats = answer.get("stats")
    counts = {str(name).strip(": ").lower(): count for name, count in stats.items()} if isinstance(stats, dict) else {}
    total = counts.get("totalrows")
    if isinstance(total, int) and total > len(results):
        raise VendorContentError(f"{place}: {len(results)} of {total} rows; set usda.max_range_days lower")
    return results
