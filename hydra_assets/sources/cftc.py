"""The CFTC's disaggregated futures-only archives: fetched through `cot_reports`, kept by hash, never downloaded twice."""

import datetime as dt
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra_assets.core.releases import ReleaseCalendar
from hydra_assets.disk_errors import disk_errors
from hydra_assets.errors import (
    NotPublishedError,
    StorageError,
    VendorContentError,
    VendorError,
    VendorRefusedError,
    VendorUnavailableError,
)
from hydra_assets.private_files import make_folder
from hydra_assets.sources.archive import Archive, fetch_folder, read_kept
from hydra_assets.sources.cftc_child import ARCHIVE
from hydra_assets.sources.http import utc_now, with_retries

FIRST_YEAR, LAST_OF_HISTORY = 2006, 2016  # one archive holds the first eleven years
HISTORY_MEMBER, YEAR_MEMBER = "F_Disagg06_16.txt", "f_year.txt"
# A year is closed when its last report has been out this long: the CFTC corrects recent reports in place.
CLOSED_AFTER = dt.timedelta(days=60)
_SECRET = re.compile(r"(?i)key|token|secret|password")


@dataclass(frozen=True)
class CftcSettings:
    """Settings of requests to the CFTC, in seconds and megabytes."""

    base_url: str
    connect_timeout_s: float
    read_timeout_s: float
    deadline_s: float
    max_zip_mb: int
    max_attempts: int
    user_agent: str


@dataclass(frozen=True)
class CotArchive:
    """
    One archive, kept as it came.

    Attributes:
        name: ``2025``, or ``2006_2016``.
        sha256: of the zip, which is also its file's name.
        seen_at: aware instant of the look that gave it, or confirmed that it has not changed.
        rows: data rows of it.
    """

    name: str
    path: Path
    sha256: str
    seen_at: dt.datetime
    last_modified: str | None
    rows: int

    @property
    def years(self) -> range:
        """The years whose reports it holds."""
        years = [int(year) for year in re.findall(r"\d{4}", self.name)]
        return range(years[0], years[-1] + 1)

    def read(self) -> bytes:
        """The bytes, compared with the hash under which they were kept."""
        return read_kept(self.path, self.sha256, "archive")


class CftcSource:
    """
    The CFTC, or whoever speaks like it at *base_url*.

    Args:
        archives: folder for the archives and their ledger.
        calendar: says when a year's last report was out.
        deadline_s: of one whole download.
        max_attempts: tries of one `fetch`, see `http.wait_before_retry`.
        user_agent: name given to the server.
    """

    def __init__(
        self,
        archives: Path,
        calendar: ReleaseCalendar,
        *,
        base_url: str = "https://cftc.gov",
        connect_timeout_s: float = 10.0,
        read_timeout_s: float = 30.0,
        deadline_s: float = 120.0,
        max_zip_mb: int = 100,
        max_attempts: int = 5,
        user_agent: str = "hydra-assets",
        now: Callable[[], dt.datetime] = utc_now,
    ) -> None:
        self.folder = archives / "cftc"
        self.archive = Archive(self.folder, ".zip")
        self.base_url = base_url
        self.max_attempts = max_attempts
        self.report: Callable[[str], None] = lambda line: None
        self._calendar = calendar
        self._user_agent = user_agent
        self._limits = {
            "connect_timeout_s": connect_timeout_s,
            "read_timeout_s": read_timeout_s,
            "deadline_s": deadline_s,
            "max_bytes": max_zip_mb * 2**20,
        }
        self._now = now

    def fetch(self, year: int) -> CotArchive:
        """`fetch_once`, asked again after transient faults."""
        return with_retries(lambda: self.fetch_once(year), max_attempts=self.max_attempts)

    def fetch_once(self, year: int) -> CotArchive:
        """
        The archive that holds *year*: from disk where the year is closed, else by one (conditional) request.

        Raises:
            NotPublishedError: the current or a later year is not there yet: a gap.
            VendorUnavailableError: transient. VendorRefusedError: final. VendorContentError: not the file it should be.
        """
        name = _archive_name(year)
        held = self.held(name)
        if held is not None and held.seen_at >= self._closed_at(name):
            return held
        with disk_errors(self.folder):
            make_folder(self.folder, 0o700)
        with disk_errors(self.folder), fetch_folder(self.folder) as empty:
            answer = self._ask(year if name == str(year) else None, held, empty)
            if answer["kind"] != "ok":
                raise self._error(answer, year)
            return self._keep(name, empty / ARCHIVE, answer)

    def held(self, name: str) -> CotArchive | None:
        """The newest archive of *name* on disk, whole; one that is damaged is fetched again, at no charge."""
        for row in self.archive.looks():
            if row["name"] == name and self.archive.holds(row["sha256"]):
                path, seen_at = self.archive.path(row["sha256"]), dt.datetime.fromisoformat(row["seen_at"])
                return CotArchive(name, path, row["sha256"], seen_at, row["last_modified"], row["rows"])
        return None

    def _closed_at(self, name: str) -> dt.datetime:
        last = dt.date(int(name[-4:]), 12, 31)
        dates = self._calendar.report_dates(last - dt.timedelta(14), last)
        return self._calendar.release(dates[-1]).available_at + CLOSED_AFTER

    def _ask(self, year: int | None, held: CotArchive | None, empty: Path) -> dict[str, Any]:
        asked = {
            "year": year,
            "member": YEAR_MEMBER if year else HISTORY_MEMBER,
            "base_url": self.base_url,
            "user_agent": self._user_agent,
            **self._limits,
            **({"held": str(held.path), "held_last_modified": held.last_modified} if held else {}),
        }
        if held is not None:
            held.read()  # a damaged copy must not come back as "not modified"
        limit = self._limits["deadline_s"] + 5.0  # the child keeps the deadline itself; this ends one that hangs elsewhere
        # The library needs no secret, so none reaches its process.
        environment = {name: value for name, value in os.environ.items() if not _SECRET.search(name)}
        try:
            child = subprocess.run(
                [sys.executable, "-P", "-m", "hydra_assets.sources.cftc_child"],
                input=json.dumps(asked),
                capture_output=True,
                text=True,
                cwd=empty,
                env=environment,
                timeout=limit,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return {"kind": "unavailable", "message": f"{self.base_url}: no answer within {limit:.0f} s", "retry_after": None}
        if child.returncode != 0:
            raise VendorError(f"{self.base_url}: cot_reports' process ended with {child.returncode}: {child.stderr.strip()[-500:]}")
        answer: dict[str, Any] = json.loads(child.stdout)
        return answer

    def _error(self, answer: dict[str, Any], year: int) -> VendorError | StorageError:
        message, kind = f"CFTC archive of {year}: {answer['message']}", answer["kind"]
        if kind == "disk":
            return StorageError(f"{self.folder}: {answer['message']}; look at the space of the disk and do it again")
        if kind == "page" and (due := self._first_release(year)) > self._now():
            return NotPublishedError(f"{message}; its first report is due at {due:%Y-%m-%d %H:%M}Z")
        if kind == "absent":
            if year >= self._now().year:
                return NotPublishedError(f"{message}; the CFTC has not published it yet")
            return VendorRefusedError(f"{message}; a past year should be there")
        if kind == "unavailable":
            wait = answer["retry_after"]
            return VendorUnavailableError(message, retry_after=None if wait is None else dt.timedelta(seconds=wait))
        if kind == "forbidden":
            return VendorRefusedError(f"{message}; it may refuse the name {self._user_agent!r}: set cftc.user_agent in the settings")
        return VendorContentError(message) if kind in ("content", "page") else VendorRefusedError(message)

    def _first_release(self, year: int) -> dt.datetime:
        reports = self._calendar.report_dates(dt.date(year, 1, 1), dt.date(year, 12, 31))
        return self._calendar.release(reports[0]).available_at

    def _keep(self, name: str, fetched: Path, answer: dict[str, Any]) -> CotArchive:
        """Keep the file, then write the ledger's line."""
        sha256 = self.archive.keep_file(fetched)
        path, seen_at = self.archive.path(sha256), self._now()
        self.archive.note(
            {
                "name": name,
                "sha256": sha256,
                "bytes": path.stat().st_size,
                "last_modified": answer["last_modified"],
                "seen_at": seen_at.isoformat(),
                "rows": answer["rows"],
                "columns": answer["columns"],
                "status": answer["status"],
                **({"note": answer["note"]} if answer["note"] else {}),
            }
        )
        return CotArchive(name, path, sha256, seen_at, answer["last_modified"], answer["rows"])


def _archive_name(year: int) -> str:
    if year < FIRST_YEAR:
        raise VendorRefusedError(f"CFTC archive of {year}: disaggregated reports begin in {FIRST_YEAR}")
    return f"{FIRST_YEAR}_{LAST_OF_HISTORY}" if year <= LAST_OF_HISTORY else str(year)
