"""
Databento's batch API, for large answers: submitted once, waited for, downloaded as often as needed.

The ledger knows of a job before it is waited for, so that a process that was killed, or gave up waiting, goes on with the same job
and pays for no other. For thirty days its files are downloaded at no further charge.
"""

import datetime as dt
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra_assets.errors import RequestRefusedError, VendorContentError, VendorRefusedError, VendorUnavailableError
from hydra_assets.lazy import lazy
from hydra_assets.private_files import make_folder
from hydra_assets.sources.archive import sha256_of
from hydra_assets.sources.databento_errors import mapped_errors
from hydra_assets.sources.databento_request import Limits, Quote, Request
from hydra_assets.sources.ledger import Budget, Job, Ledger

if TYPE_CHECKING:
    import databento

pd = lazy("pandas")

LISTED_WITHIN = dt.timedelta(minutes=1)  # a job that was taken and is not in the vendor's list by then was not taken
_CLOCKS_DIFFER = dt.timedelta(minutes=10)
_FIRST_POLL_S, _LONGEST_POLL_S = 1.0, 30.0
_DATA = ".dbn.zst"
DOWNLOADS = 2  # of a file whose hash is wrong
Report = Callable[[str], None]


class BatchJobs:
    """
    Jobs at the vendor of *client*.

    Args:
        folder: of the archive; a file lies in a folder of its job until it is whole.
        ledger: knows each job from before its submission until its file is kept.
        limits: of one request; a job is waited for as long as a stream may take.
        now: the clock.
        sleep: waits between two looks at a job.
    """

    def __init__(
        self,
        client: "databento.Historical",
        folder: Path,
        ledger: Ledger,
        limits: Limits,
        now: Callable[[], dt.datetime],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client, self._folder, self._ledger, self._limits, self._now, self._sleep = client, folder, ledger, limits, now, sleep

    def submit(self, request: Request, quote: Quote, budget: Budget) -> Job:
        """
        Submit a job for *request*, which costs what *quote* says.

        Raises:
            BudgetError: over budget; nothing was submitted.
            VendorUnavailableError: no answer, so that the vendor may have taken it; the ledger keeps it, and `find` tells.
        """
        asked, now = request.arguments(), self._now()
        number = self._ledger.reserve(asked, usd=quote.usd, records=quote.records, size=quote.size, budget=budget, now=now, by_job=True)
        try:
            with mapped_errors(f"{request}: batch job"):
                answer = self._client.batch.submit_job(**asked, split_duration="none")
        except VendorRefusedError as error:
            self._ledger.end(number, refused=True, reason=str(error))
            raise
        named = str(answer.get("id") or "") if isinstance(answer, dict) else ""
        if not named:
            raise VendorUnavailableError(f"{request}: the answer names no batch job; whether it was taken is asked next time")
        self._ledger.submitted(number, named)
        return Job(number, named, request.symbols, request.start, request.end, now, quote.usd, quote.records, quote.size)

    def find(self, job: Job, request: Request) -> Job | None:
        """
        The job of a submission whose answer was never noted, among those that the vendor lists; None where it was not taken.

        Raises:
            VendorUnavailableError: it was submitted a moment ago, and may not be listed yet.
        """
        with mapped_errors(f"{request}: batch jobs"):
            listed = self._client.batch.list_jobs(since=job.asked_at - _CLOCKS_DIFFER)
        noted = self._ledger.job_ids()
        for each in listed:
            if each["id"] not in noted and _is_for(each, request):
                self._ledger.submitted(job.number, str(each["id"]))
                return Job(**{**vars(job), "id": str(each["id"])})
        left = job.asked_at + LISTED_WITHIN - self._now()
        if left > dt.timedelta():
            raise VendorUnavailableError(f"{request}: whether the batch job was taken is not known yet", retry_after=left)
        self._ledger.end(job.number, refused=True, reason="the vendor lists no such batch job: it was not taken")
        return None

    def download(self, job: Job, request: Request, report: Report) -> Path:
        """
        Wait for *job* and download its data; the path of a file with the vendor's hash.

        Raises:
            RequestRefusedError: the job has expired; its files are gone, and the ledger notes it as failed.
            VendorUnavailableError: not done within the deadline, or broken off; the next call goes on from there.
            VendorContentError: not one file of data, or of another hash; the next call downloads it anew, at no charge.
        """
        self._wait(job, request, report)
        with mapped_errors(f"{request}: files of {job.id}"):
            files = [each for each in self._client.batch.list_files(job.id) if str(each["filename"]).endswith(_DATA)]
        if len(files) != 1:
            raise VendorContentError(f"{request}: batch job {job.id} has {len(files)} files of data, not one; see them in the portal")
        file = files[0]
        folder = self._folder / f".job-{job.id}"
        make_folder(folder, 0o700)
        path, size = folder / Path(str(file["filename"])).name, int(file["size"])
        wanted = str(file["hash"]).removeprefix("sha256:")
        for _ in range(DOWNLOADS):
            report(f"{request}: downloading {size / 1e6:,.1f} MB of batch job {job.id}")
            with mapped_errors(f"{request}: {file['filename']} of {job.id}"):
                self._client.batch.save(str(file["urls"]["https"]), path, size)  # type: ignore[attr-defined]
            if sha256_of(path) == wanted:
                return path
            path.unlink()
        raise VendorContentError(
            f"{request}: {path.name} of batch job {job.id} came {DOWNLOADS} times without the vendor's hash {wanted[:12]}; it is paid for,"
            " and the next run downloads it again"
        )

    def _wait(self, job: Job, request: Request, report: Report) -> None:
        """Look at the job until it is done, at longer and longer intervals."""
        until, pause = time.monotonic() + self._limits.deadline_s, _FIRST_POLL_S
        while True:
            with mapped_errors(f"{request}: batch job {job.id}"):
                details = self._client.batch.get_job_details(job.id)
            state, progress = str(details.get("state")), details.get("progress")
            if state == "done":
                return
            if state == "expired":
                event = f"batch job {job.id} (${job.usd:,.4f}) expired before its file was downloaded"
                reason = f"{request}: {event}; the next run submits and pays it again"
                self._ledger.end(job.number, refused=False, reason=reason)
                raise RequestRefusedError(reason)
            report(f"{request}: batch job {job.id} is {state}" + (f", {progress} %" if progress else ""))
            if time.monotonic() + pause > until:
                raise VendorUnavailableError(f"{request}: batch job {job.id} is still {state}; it is paid for, and waited for next time")
            self._sleep(pause)
            pause = min(pause * 1.5, _LONGEST_POLL_S)


def _is_for(listed: dict[str, Any], request: Request) -> bool:
    """Whether a listed job is for all of *request* and nothing else."""
    asked = request.arguments()
    same = all(str(listed.get(name)) == str(asked[name]) for name in ("dataset", "schema", "stype_in"))
    symbols = listed.get("symbols") or ""
    named = symbols if isinstance(symbols, list) else str(symbols).split(",")
    spans = all(_utc(listed.get(name)) == _utc(asked[name]) for name in ("start", "end"))
    whole = listed.get("limit") is None and listed.get("encoding") == "dbn" and listed.get("compression") == "zstd"
    return same and spans and whole and set(named) == set(request.symbols.split(","))


def _utc(when: Any) -> Any:
    stamp = pd.Timestamp(when)
    return stamp.tz_localize("UTC") if stamp.tzinfo is None else stamp.tz_convert("UTC")
