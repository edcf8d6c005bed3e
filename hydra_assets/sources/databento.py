"""Databento's history: quoted before it is asked for, paid once, kept by hash before it is parsed, accepted only when whole."""

import dataclasses
import datetime as dt
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from databento_dbn import DBNError

from hydra_assets.disk_errors import disk_errors
from hydra_assets.errors import CorruptionError, StorageError, VendorContentError, VendorError, VendorRefusedError, VendorUnavailableError
from hydra_assets.private_files import make_folder
from hydra_assets.sources.archive import fetch_folder, move_durably, sha256_of
from hydra_assets.sources.databento_batch import BatchJobs, Report
from hydra_assets.sources.databento_errors import load_package, mapped_errors
from hydra_assets.sources.databento_judge import judge
from hydra_assets.sources.databento_request import Condition, Limits, Payload, Quote, Request
from hydra_assets.sources.http import utc_now, with_retries
from hydra_assets.sources.ledger import Budget, Job, Ledger

_SPARE_BYTES = 1 << 20  # zstd of a small answer can be larger than its records, and the header is not billed


class DatabentoSource:
    """
    Databento, or whoever speaks like it at *gateway*.

    Args:
        archives: folder under which answers are kept by hash.
        ledger: of requests, payments and captured days.
        budget: what this run may spend.
        max_attempts: tries of one `fetch`, see `http.wait_before_retry`.
        batch_above: bytes of an answer, uncompressed, above which it is a batch job; None streams everything.
        now: the clock.
        sleep: waits for a number of seconds.

    Attributes:
        again_since: captured days are asked for again, and answers seen before this day do not count; None asks for none again.
        report: called with a line on the progress of what takes long.
    """

    def __init__(
        self,
        key: str,
        gateway: str,
        archives: Path,
        ledger: Ledger,
        *,
        budget: Budget,
        limits: Limits | None = None,
        max_attempts: int = 5,
        batch_above: int | None = None,
        now: Callable[[], dt.datetime] = utc_now,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.ledger, self.max_attempts = ledger, max_attempts
        self.again_since: dt.date | None = None
        self.report: Report = lambda message: None
        self.folder = archives / "databento"
        self._key, self._gateway, self._budget, self._limits, self._now = key, gateway, budget, limits or Limits(), now
        load_package()
        from hydra_assets.sources.databento_client import client

        self._client = client(key, gateway, self._limits)
        self._batch_above = batch_above
        self._jobs = BatchJobs(self._client, self.folder, ledger, self._limits, now=lambda: self._now(), sleep=sleep)
        self._free_answers: dict[Any, Any] = {}  # each asked for once as long as this source is open
        self._prepared: dict[Request, Quote] = {}  # prices of answers, and of jobs submitted, that are not fetched yet

    # ---------------------------------------------------------------- free of charge

    def available(self, dataset: str, schema: str) -> tuple[dt.datetime, dt.datetime]:
        """The instants from which (inclusive) to which (exclusive) the vendor has *schema*."""
        answer = self._once(f"Databento range of {dataset}", dataset, lambda: self._client.metadata.get_dataset_range(dataset))
        found = answer.get("schema", {}).get(schema, answer)
        try:
            start, end = (_instant(str(found[name])) for name in ("start", "end"))
        except (KeyError, ValueError) as error:
            raise VendorContentError(f"Databento range of {dataset}: {found!r} is no range") from error
        return start, end

    def conditions(self, dataset: str, first: dt.date, last: dt.date) -> dict[dt.date, Condition]:
        """Each day's condition, both ends included."""
        rows = self._once(
            f"Databento condition of {dataset}",
            (dataset, first, last),
            lambda: self._client.metadata.get_dataset_condition(dataset, start_date=first, end_date=last),
        )
        days = {}
        for row in rows:
            changed = row.get("last_modified_date")
            days[dt.date.fromisoformat(row["date"])] = Condition(row["condition"], dt.date.fromisoformat(changed[:10]) if changed else None)
        return days

    def quote(self, request: Request) -> Quote:
        """The price of *request*; free of charge."""
        arguments = request.arguments()
        with mapped_errors(f"{request}: quote"):
            usd = float(self._client.metadata.get_cost(**arguments))
            records = int(self._client.metadata.get_record_count(**arguments))
            size = int(self._client.metadata.get_billable_size(**arguments))
        return Quote(usd, records, size)

    def _once(self, place: str, key: Any, ask: Callable[[], Any]) -> Any:
        if key not in self._free_answers:
            with mapped_errors(place):
                self._free_answers[key] = ask()
        return self._free_answers[key]

    # ---------------------------------------------------------------- paid

    def prepare(self, request: Request, *, seen_since: dt.date = dt.date.min) -> None:
        """
        Submit *request*, which is fetched later, where its answer is a batch job: so that the vendor works on several at once.

        Nothing is done where it is small, paid for, or submitted before.

        Raises:
            BudgetError: over budget. VendorError: as `fetch_once`, which raises it again at its turn.
        """
        asked = request.arguments()
        if self._batch_above is None or request in self._prepared or self.ledger.paid_for(asked, seen_since=seen_since) is not None:
            return
        if self.ledger.unjudged(asked, seen_since=seen_since) is None:
            quote = self._prepared.setdefault(request, self.quote(request))
            if quote.size > self._batch_above:
                self._jobs.submit(request, quote, self._budget)

    def fetch(self, request: Request, *, seen_since: dt.date = dt.date.min) -> Payload:
        """`fetch_once`, asked again after transient faults."""
        return with_retries(lambda: self.fetch_once(request, seen_since=seen_since), max_attempts=self.max_attempts)

    def fetch_once(self, request: Request, *, seen_since: dt.date = dt.date.min) -> Payload:
        """
        The whole answer: from the archive where one seen on *seen_since* or later covers it, else quoted, then asked for.

        Answers larger than `batch_above` come as the file of a batch job; one that was submitted before is waited for, not paid again.

        Raises:
            BudgetError: over budget; nothing was requested.
            VendorUnavailableError: transient. VendorRefusedError: final. VendorContentError: not whole, or not DBN.
        """
        asked = request.arguments()
        kept = self.ledger.covering(asked, seen_since=seen_since)
        if kept is not None and self._is_whole(kept.sha256):
            return Payload(self._path(kept.sha256), kept.sha256, kept.seen_at, 0.0)
        job = self.ledger.waiting_job(asked, seen_since=seen_since)
        if job is not None:
            submitted = dataclasses.replace(request, start=job.start, end=job.end)
            job = job if job.id else self._jobs.find(job, submitted)
            if job is not None:
                prepared = self._prepared.pop(request, None)
                return self._downloaded(job, submitted, usd=prepared.usd if prepared else 0.0)
        left = self.ledger.unjudged(asked, seen_since=seen_since)
        if left is not None and self._is_whole(left.sha256):
            return self._judged(left.number, left.sha256, request, left.records, 0.0, [])
        quote = self._prepared.pop(request, None) or self.quote(request)
        self._needs_room(request, quote)
        self.report(f"{request}: asking for {quote.records:,} records, {quote.size / 1e6:,.1f} MB")
        if self._batch_above is not None and quote.size > self._batch_above:
            return self._downloaded(self._jobs.submit(request, quote, self._budget), request, usd=quote.usd)
        return self._streamed(request, quote)

    def _needs_room(self, request: Request, quote: Quote) -> None:
        """Refuse before anything is paid what would not fit the disk; an answer comes compressed, so that the quoted size is a bound."""
        with disk_errors(self.folder):
            make_folder(self.folder, 0o700)
            free = shutil.disk_usage(self.folder).free
        if free < quote.size:
            needs = f"{request} is up to {quote.size / 1e6:,.1f} MB and the disk has room for {free / 1e6:,.1f} MB"
            raise StorageError(f"{self.folder}: {needs}; make room and do it again; nothing was requested, and all that is kept is safe")

    def _downloaded(self, job: Job, request: Request, *, usd: float) -> Payload:
        """The file of a batch job; *usd* is what it cost now."""
        path = self._jobs.download(job, request, self.report)
        folder, sha256 = path.parent, self._keep(path, job.number)
        shutil.rmtree(folder, ignore_errors=True)
        return self._judged(job.number, sha256, request, job.records, usd, [], proven=True)

    def _streamed(self, request: Request, quote: Quote) -> Payload:
        number = self.ledger.reserve(
            request.arguments(), usd=quote.usd, records=quote.records, size=quote.size, budget=self._budget, now=self._now()
        )
        try:
            make_folder(self.folder, 0o700)
            with disk_errors(self.folder), fetch_folder(self.folder) as empty:
                got = empty / "answer.dbn.zst"
                messages = self._download(request, quote, got)
                sha256 = self._keep(got, number)
        except VendorRefusedError as error:
            self.ledger.end(number, refused=True, reason=str(error))
            raise
        except BaseException as error:
            self.ledger.end(number, refused=_cost_nothing(error), reason=f"{type(error).__name__}: {error}")
            raise
        return self._judged(number, sha256, request, quote.records, quote.usd, messages)

    def _judged(
        self, number: int, sha256: str, request: Request, announced: int, usd: float, messages: list[str], *, proven: bool = False
    ) -> Payload:
        """An answer that is paid for and in the archive, if it is whole."""
        try:
            before = [self._path(each) for each in self.ledger.unusable(request.arguments())]
            judge(self._path(sha256), request, announced, messages, before=before, proven=proven)
        except Exception as error:
            self.ledger.end(number, refused=False, reason=f"{type(error).__name__}: {error}", sha256=sha256)
            raise
        seen_at = self._now()
        self.ledger.keep(number, sha256, seen_at)
        return Payload(self._path(sha256), sha256, seen_at, usd, tuple(messages))

    def _download(self, request: Request, quote: Quote, path: Path) -> list[str]:
        bounded = dataclasses.replace(self._limits, max_bytes=min(self._limits.max_bytes, quote.size + _SPARE_BYTES))
        from hydra_assets.sources.databento_client import client

        asking = client(self._key, self._gateway, bounded)
        try:
            with mapped_errors(str(request)) as messages:
                asking.timeseries.get_range(**request.arguments(), path=path)
        except (DBNError, ValueError) as error:
            if isinstance(error, VendorError):
                raise
            raise VendorContentError(f"{request}: not DBN: {error}") from None
        return messages

    def _keep(self, got: Path, number: int) -> str:
        """Move a downloaded file, which is paid for, into the archive under the hash of its bytes, durably; the hash."""
        sha256 = sha256_of(got)
        self.ledger.received(number, sha256)
        move_durably(got, self._path(sha256))
        return sha256

    def _is_whole(self, sha256: str) -> bool:
        """
        Whether the archive holds these bytes, which are their own checksum.

        Raises:
            CorruptionError: it holds others under their hash.
        """
        path = self._path(sha256)
        if not path.exists():
            return False
        if sha256_of(path) != sha256:
            raise CorruptionError(
                f"{path}: is not the answer that was paid for (SHA-256); restore it from a backup, or remove it: then it is asked for,"
                " and paid for, once more"
            )
        return True

    def _path(self, sha256: str) -> Path:
        return self.folder / f"{sha256}.dbn.zst"


def _instant(text: str) -> dt.datetime:
    """ISO 8601 with nanoseconds, which `fromisoformat` does not read."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    return dt.datetime.fromisoformat(f"{whole}.{fraction[:6]}" if fraction else whole).replace(tzinfo=dt.UTC)


def _cost_nothing(error: BaseException) -> bool:
    """A connection that was never answered, or answered with an error, was not billed."""
    return isinstance(error, VendorUnavailableError) and ("no answer" in str(error) or "HTTP " in str(error))
