"""Databento's history: quoted before it is asked for, paid once, kept by hash before it is parsed, accepted only when whole."""

import datetime as dt
import hashlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from databento.common.dbnstore import DBNStore
from databento_dbn import DBNError

from hydra_assets.errors import (
    CorruptionError,
    ShortAnswerError,
    VendorContentError,
    VendorError,
    VendorRefusedError,
    VendorUnavailableError,
)
from hydra_assets.sources.archive import FETCH_PREFIX
from hydra_assets.sources.databento_client import Limits, client, mapped_errors
from hydra_assets.sources.databento_records import records_of
from hydra_assets.sources.http import utc_now, with_retries
from hydra_assets.sources.ledger import Budget, Ledger

COUNT_TOLERANCE = 0.001
_SPARE_BYTES = 1 << 20  # zstd of a small answer can be larger than its records, and the header is not billed


@dataclass(frozen=True)
class Request:
    """
    One answer wanted: all instruments of a parent symbol.

    Attributes:
        start: first instant, aware; of ``ts_recv`` where the schema has one, else of ``ts_event``.
        end: instant after the last, aware.
    """

    dataset: str
    schema: str
    symbols: str
    start: dt.datetime
    end: dt.datetime

    def arguments(self) -> dict[str, Any]:
        """Arguments of the client, the same ones for the quote and for the answer."""
        return {
            "dataset": self.dataset,
            "schema": self.schema,
            "symbols": self.symbols,
            "stype_in": "parent",
            "start": self.start.astimezone(dt.UTC),
            "end": self.end.astimezone(dt.UTC),
        }

    def __str__(self) -> str:
        return f"Databento {self.symbols} {self.schema} {self.start:%Y-%m-%d %H:%MZ}..{self.end:%Y-%m-%d %H:%MZ}"


@dataclass(frozen=True)
class Quote:
    """The price of a request before it is made: dollars, records, bytes (uncompressed)."""

    usd: float
    records: int
    size: int


@dataclass(frozen=True)
class Payload:
    """
    A whole answer in the archive.

    Attributes:
        seen_at: when it was seen.
        usd: what it cost now; 0 where it had been paid before.
        warnings: the vendor's warnings beside it.
    """

    path: Path
    sha256: str
    seen_at: dt.datetime
    usd: float
    warnings: tuple[str, ...] = ()

    def store(self) -> DBNStore:
        """The decoded answer; CorruptionError where the bytes are not those that were kept."""
        if hashlib.sha256(self.path.read_bytes()).hexdigest() != self.sha256:
            raise CorruptionError(f"{self.path}: the archive is not what was downloaded; delete it to fetch it again")
        return DBNStore.from_file(self.path)


@dataclass(frozen=True)
class Condition:
    """The vendor's status of a day (``available``, ``degraded``, ``pending``, ``missing``) and the date of its last change."""

    status: str
    last_modified: dt.date | None


class DatabentoSource:
    """
    Databento, or whoever speaks like it at *gateway*.

    Args:
        archives: folder under which answers are kept by hash.
        ledger: of requests, payments and captured days.
        budget: what this run may spend.
        max_attempts: tries of one `fetch`, see `http.wait_before_retry`.
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
        now: Callable[[], dt.datetime] = utc_now,
    ) -> None:
        self.ledger, self.max_attempts = ledger, max_attempts
        self.folder = archives / "databento"
        self._key, self._gateway, self._budget, self._limits, self._now = key, gateway, budget, limits or Limits(), now
        self._client = client(key, gateway, self._limits)
        self._free_answers: dict[Any, Any] = {}  # each asked for once as long as this source is open

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

    def fetch(self, request: Request, *, seen_since: dt.date = dt.date.min) -> Payload:
        """`fetch_once`, asked again after transient faults."""
        return with_retries(lambda: self.fetch_once(request, seen_since=seen_since), max_attempts=self.max_attempts)

    def fetch_once(self, request: Request, *, seen_since: dt.date = dt.date.min) -> Payload:
        """
        The whole answer: from the archive where one seen on *seen_since* or later covers it, else quoted, then asked for.

        Raises:
            BudgetError: over budget; nothing was requested.
            VendorUnavailableError: transient. VendorRefusedError: final. VendorContentError: not whole, or not DBN.
        """
        asked = request.arguments()
        kept = self.ledger.covering(asked, seen_since=seen_since)
        if kept is not None and (self.folder / f"{kept.sha256}.dbn.zst").exists():
            return Payload(self.folder / f"{kept.sha256}.dbn.zst", kept.sha256, kept.seen_at, 0.0)
        quote = self.quote(request)
        number = self.ledger.reserve(asked, usd=quote.usd, records=quote.records, size=quote.size, budget=self._budget, now=self._now())
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        sha256 = None
        try:
            with tempfile.TemporaryDirectory(prefix=FETCH_PREFIX, dir=self.folder) as empty:
                got = Path(empty) / "answer.dbn.zst"
                messages = self._download(request, quote, got)
                sha256, path = self._keep(got)  # paid for: kept before it is judged
            self._judge(path, request, quote, messages)
        except VendorRefusedError as error:
            self.ledger.end(number, refused=True, reason=str(error))
            raise
        except BaseException as error:
            self.ledger.end(number, refused=_cost_nothing(error), reason=f"{type(error).__name__}: {error}", sha256=sha256)
            raise
        seen_at = self._now()
        self.ledger.keep(number, sha256, seen_at)
        return Payload(path, sha256, seen_at, quote.usd, tuple(messages))

    def _download(self, request: Request, quote: Quote, path: Path) -> list[str]:
        bounded = Limits(
            self._limits.connect_timeout_s,
            self._limits.read_timeout_s,
            self._limits.deadline_s,
            min(self._limits.max_bytes, quote.size + _SPARE_BYTES),
        )
        asking = client(self._key, self._gateway, bounded)
        try:
            with mapped_errors(str(request)) as messages:
                asking.timeseries.get_range(**request.arguments(), path=path)
        except (DBNError, ValueError) as error:
            if isinstance(error, VendorError):
                raise
            raise VendorContentError(f"{request}: not DBN: {error}") from None
        return messages

    def _keep(self, got: Path) -> tuple[str, Path]:
        """Move a downloaded file into the archive under the hash of its bytes, durably."""
        sha256 = hashlib.sha256(got.read_bytes()).hexdigest()
        path = self.folder / f"{sha256}.dbn.zst"
        with got.open("rb") as written:
            os.fsync(written.fileno())
        got.replace(path)
        return sha256, path

    def _judge(self, path: Path, request: Request, quote: Quote, messages: list[str]) -> None:
        """
        Raise unless the answer in *path* is whole.

        The count announced is an estimate. Where two answers bring the same number of records, fewer than announced, they are accepted:
        a third would be paid for in vain.
        """
        try:
            _whole(DBNStore.from_file(path), request, quote, messages)
        except ShortAnswerError as short:
            before = [self.folder / f"{kept}.dbn.zst" for kept in self.ledger.unusable(request.arguments())]
            counts = {len(records_of(DBNStore.from_file(each), request.schema)) for each in before if each.exists()}
            if short.records not in counts:
                raise
            messages.append(f"{request}: {short.records:,} records came in two answers, {quote.records:,} were announced; accepted")
        except DBNError as error:
            raise VendorContentError(f"{request}: not DBN: {error}") from None


def _whole(store: DBNStore, request: Request, quote: Quote, messages: list[str]) -> None:
    """
    Raise unless the answer is all that was asked for: truncated DBN reads as fewer rows without an error.

    Counts are estimates of the vendor's: a share of `COUNT_TOLERANCE` less, or any number more, is whole. A root that is not listed in
    the range is a gap of that root, noted in *messages*.

    Raises:
        VendorContentError: records are missing, of another schema, or none of the symbols is known.
    """
    cut = [text for text in messages if "truncat" in text.lower()]
    if cut:
        raise VendorContentError(f"{request}: {cut[0]}")
    with mapped_errors(str(request)) as while_reading:
        records = len(records_of(store, request.schema)) if quote.records else 0
    if records < quote.records * (1 - COUNT_TOLERANCE) or any("truncat" in text.lower() for text in while_reading):
        raise ShortAnswerError(
            f"{request}: {records:,} records came, {quote.records:,} were announced; the bytes are kept, a second answer alike is accepted",
            records=records,
        )
    metadata = store.metadata
    if metadata.schema is None or str(metadata.schema) != request.schema:
        raise VendorContentError(f"{request}: the answer is of schema {metadata.schema}")
    if metadata.not_found and set(metadata.not_found) >= set(request.symbols.split(",")):
        raise VendorContentError(f"{request}: symbols not resolved: {', '.join(metadata.not_found)}")
    messages += [f"{symbol} is not listed in the whole of {request}" for symbol in (*metadata.not_found, *metadata.partial)]


def _instant(text: str) -> dt.datetime:
    """ISO 8601 with nanoseconds, which `fromisoformat` does not read."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    return dt.datetime.fromisoformat(f"{whole}.{fraction[:6]}" if fraction else whole).replace(tzinfo=dt.UTC)


def _cost_nothing(error: BaseException) -> bool:
    """A connection that was never answered, or answered with an error, was not billed."""
    return isinstance(error, VendorUnavailableError) and ("no answer" in str(error) or "HTTP " in str(error))
