"""Databento's historical API as the embedded vendor speaks it: real DBN and zstd over its own endpoints, SYNTHETIC in every number."""

import base64
import datetime as dt
import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import databento_dbn as dbn
import numpy as np
import zstandard

from hydra_assets.sources.sample import rude_desk
from hydra_assets.sources.sample.batch import BatchJobs
from hydra_assets.sources.sample.curve import FIRST_DAY, curve_of
from hydra_assets.sources.sample.monthly import NothingListed, Published, midnight, ns
from hydra_assets.sources.sample.option_records import OptionPublisher
from hydra_assets.sources.sample.records import Publisher, condition
from hydra_assets.sources.sample.rude_product import Product
from hydra_assets.sources.sample.rude_publisher import LATER_ROOTS_SINCE, LaterRoot, made_rude
from hydra_assets.sources.sample.side import Reply, Request, Served, Side
from hydra_assets.sources.sample.smile import chain_of

SAMPLE_KEY = "db-EmbeddedSampleVendorNoSecret00"
USD_PER_GB = 12.0  # as synthetic as the rest
SCHEMAS = ("definition", "ohlcv-1d", "statistics", "bbo-1m")
_LEVEL = 3
Answer = TypeVar("Answer")


class Refused(Exception):
    """An answer that is an error, in Databento's form."""

    def __init__(self, status: int, case: str, message: str) -> None:
        self.status = status
        self.body = {"detail": {"case": case, "message": message, "status_code": status}}
        super().__init__(message)


@dataclass(frozen=True)
class _Interval:
    start_date: dt.date
    end_date: dt.date
    symbol: str


@dataclass(frozen=True)
class _Mapping:
    raw_symbol: str
    intervals: list[_Interval]


class FakeDatabento(Side):
    """Answers requests to ``/v0/...``; data are there up to the last midnight UTC."""

    prefix = "/v0/"

    def __init__(self, served: Served) -> None:
        markets, cache, now, rude = served.markets, served.cache, served.now, served.rude
        self._publishers: dict[str, Published] = {}
        self._born: dict[str, dt.date] = {}  # first days of roots that are younger than the history
        for symbol, market in markets.items():
            curve = curve_of(market)
            self._publishers[f"{symbol}.FUT"] = made_rude(Publisher(curve, cache, now), Product(curve), rude)
            dated = [(option_root.root, option_root.since) for option_root in market.option_roots]
            for root, since in dated[:1]:  # all of a market's options lie under its first root
                chain = chain_of(market, root)
                self._publishers[f"{root}.OPT"] = made_rude(OptionPublisher(chain, cache, now), Product(curve, chain), rude)
                self._born |= {f"{root}.OPT": since} if since else {}
            for root, since in dated[1:]:
                if since is not None:
                    self._publishers[f"{root}.OPT"], self._born[f"{root}.OPT"] = NothingListed(), since
            for root in [root for root, since in dated[1:] if since is None][:1] if rude.unborn_roots else ():
                chain = chain_of(market, root)
                options = made_rude(OptionPublisher(chain, cache, now), Product(curve, chain), rude)
                self._publishers[f"{root}.OPT"], self._born[f"{root}.OPT"] = LaterRoot(options), LATER_ROOTS_SINCE
        self._dataset = {symbol: market.dataset for symbol, market in markets.items()}
        self._now, self._lock, self._rude = now, threading.Lock(), rude
        jobs = cache / "batch" if cache else None
        polls = rude.busy_polls if rude.slow_jobs else 0
        self._jobs = BatchJobs(jobs, self._batch_file, now, polls, expires=rude.expired_jobs, corrupts=rude.corrupt_files)

    @property
    def range_end(self) -> dt.datetime:
        """The end, exclusive, of what is there: the last midnight UTC."""
        return dt.datetime.combine(self._now().astimezone(dt.UTC).date(), dt.time(), dt.UTC)

    def is_bulk(self, path: str) -> bool:
        """Streams, and the files of batch jobs."""
        return path.startswith(("/v0/timeseries.", "/v0/batch.download", "/v0/batch/download/"))

    def answer(self, request: Request) -> Reply:
        """The reply to one request; errors as Databento words them."""
        parts = urlsplit(request.target)
        text = request.body.decode() if request.method == "POST" else parts.query
        asked = {name: values[-1] for name, values in parse_qs(text).items()}
        try:
            if not _right_key(request.headers.get("Authorization")):
                raise Refused(401, "auth_authentication_failed", "Authentication failed.")
            known: dict[str, Callable[[dict[str, str]], Reply]] = {
                "timeseries.get_range": self._get_range,
                "metadata.get_cost": lambda p: _json(self._usd(p)),
                "metadata.get_billable_size": lambda p: _json(self._billable(p).nbytes),
                "metadata.get_record_count": lambda p: _json(self._count(p)),
                "metadata.get_dataset_range": self._dataset_range,
                "metadata.get_dataset_condition": self._dataset_condition,
                "metadata.list_datasets": lambda _: _json(sorted(set(self._dataset.values()))),
                "metadata.list_schemas": lambda _: _json(list(SCHEMAS)),
                "batch.submit_job": self._submit_job,
                "batch.list_jobs": lambda p: _json(self._jobs.jobs(p.get("states", "queued,processing,done"), p.get("since"))),
                "batch.get_job_details": lambda p: _json(_found(lambda: self._jobs.details(p.get("job_id", "")))),
                "batch.list_files": lambda p: _json(_found(lambda: self._jobs.files(p.get("job_id", ""), request.url))),
                "batch.download": lambda p: Reply(
                    200, {"Content-Type": "application/zip"}, _found(lambda: self._jobs.zipped(p.get("job_id", "")))
                ),
            }
            name = parts.path.removeprefix(self.prefix)
            folder, _, rest = name.partition("batch/download/")
            if not folder and rest:
                number, _, filename = rest.partition("/")
                with self._lock:
                    made = _found(lambda: self._jobs.file(number, filename))
                return Reply(200, {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"}, made)
            if name not in known:
                raise Refused(404, "not_found", f"{parts.path} is not served by the embedded vendor")
            with self._lock:
                return known[name](asked)
        except Refused as error:
            return _json(error.body, error.status)

    # ---------------------------------------------------------------- endpoints

    def _get_range(self, asked: dict[str, str]) -> Reply:
        low, high = _range(asked)
        self._refuse_what_is_not_there(asked, low, high)
        if rude_desk.is_too_long(low, high, self._rude):
            raise Refused(504, "gateway_timeout", "The request took too long to process.")
        records, found, not_found = self._select(asked, low, high)
        if not found:
            raise Refused(422, "symbology_invalid_request", "None of the symbols could be resolved.")
        if rude_desk.is_too_big(records.nbytes, self._rude):
            raise Refused(504, "gateway_timeout", "The request took too long to process.")
        body = self._encoded(asked, low, high, records, found, not_found)
        headers = {"Content-Type": "application/octet-stream", "X-Data": "synthetic"}
        first, last = _day(low), _day(high - 1) + dt.timedelta(1)
        days, now, end = (first + dt.timedelta(n) for n in range((last - first).days)), self._now(), self.range_end
        bad = [day for day in days if condition(day, now, end)[0] == "degraded"]
        if bad:
            listed = ", ".join(f"{day} (degraded)" for day in bad)
            headers["X-Warning"] = json.dumps([f"BentoWarning: The streaming request contained days of reduced quality: {listed}."])
        return Reply(206 if not_found else 200, headers, body)

    def _refuse_what_is_not_there(self, asked: dict[str, str], low: int, high: int) -> None:
        if high > ns(self.range_end):
            end = self.range_end.isoformat()
            raise Refused(422, "data_end_after_available_end", f"The dataset has data available up to '{end}'; the query ends after it.")
        licensed = rude_desk.live_since(high, self._now(), self._rude)
        if licensed is not None:
            raise Refused(
                403,
                "license_not_found_unauthorized",
                f"A live data license is required to access {asked.get('dataset')} data after {licensed:%Y-%m-%dT%H:%M:%S}.000000000Z.",
            )

    def _encoded(self, asked: Mapping[str, str], low: int, high: int, records: np.ndarray, found: list[str], not_found: list[str]) -> bytes:
        first, last = _day(low), _day(high - 1) + dt.timedelta(1)
        encoder: Any = dbn.Metadata
        metadata = encoder(
            dataset=asked["dataset"],
            start=low,
            end=high,
            stype_in=dbn.SType.from_str(asked.get("stype_in", "parent")),
            stype_out=dbn.SType.INSTRUMENT_ID,
            schema=dbn.Schema.from_str(asked["schema"]),
            symbols=asked["symbols"].split(","),
            not_found=not_found,
            partial=[symbol for symbol in found if symbol in self._born and low < midnight(self._born[symbol])],
            mappings=[mapping for symbol in found for mapping in _mappings(self._publishers[symbol], first, last)],
            version=3,
        )
        return zstandard.ZstdCompressor(level=_LEVEL).compress(metadata.encode() + records.tobytes())

    def _submit_job(self, asked: dict[str, str]) -> Reply:
        low, high = _range(asked)
        self._refuse_what_is_not_there(asked, low, high)
        records = self._billable(asked)
        job = {**asked, "end": asked.get("end") or _day(high).isoformat()}
        return _json(self._jobs.submit(job, usd=self._usd(asked), records=len(records), size=records.nbytes))

    def _batch_file(self, asked: dict[str, str]) -> bytes | None:
        low, high = _range(asked)
        records, found, not_found = self._select(asked, low, high)
        return self._encoded(asked, low, high, records, found, not_found) if len(records) else None

    def _usd(self, asked: dict[str, str]) -> float:
        per_gb = rude_desk.LIVE_PRICES[asked["schema"]] if self._rude.live_prices and asked.get("schema") in SCHEMAS else USD_PER_GB
        return round(self._billable(asked).nbytes / 1e9 * per_gb, 12)

    def _count(self, asked: dict[str, str]) -> int:
        low, high = rude_desk.counted_range(asked.get("schema", ""), *_range(asked), self._rude)
        return len(self._billable({**asked, "start": str(low), "end": str(high)}))

    def _billable(self, asked: dict[str, str]) -> np.ndarray:
        records, found, _ = self._select(asked, *_range(asked))
        if not found:
            raise Refused(422, "symbology_invalid_request", "None of the symbols could be resolved.")
        return records

    def _select(self, asked: dict[str, str], low: int, high: int) -> tuple[np.ndarray, list[str], list[str]]:
        schema, dataset = asked.get("schema", ""), asked.get("dataset", "")
        if schema not in SCHEMAS:
            raise Refused(422, "schema_not_supported", f"The embedded vendor serves {', '.join(SCHEMAS)}, not {schema!r}.")
        if dataset not in self._dataset.values():
            raise Refused(403, "license_not_found_unauthorized", f"No licence for the dataset {dataset!r}.")
        if asked.get("stype_in") != "parent":
            raise Refused(422, "symbology_invalid_request", "The embedded vendor resolves parent symbols such as HE.FUT and HE.OPT.")
        found: list[str] = []
        not_found: list[str] = []
        for symbol in asked.get("symbols", "").split(","):
            born = midnight(self._born[symbol]) if symbol in self._born else low
            (found if symbol in self._publishers and born < high else not_found).append(symbol)
        parts = [self._publishers[symbol].records(schema, low, high) for symbol in found]
        records = np.concatenate(parts) if parts else np.zeros(0, dtype=np.uint8)
        return records, found, not_found

    def _dataset_range(self, _: dict[str, str]) -> Reply:
        start, end = f"{rude_desk.first_day(FIRST_DAY, self._rude)}T00:00:00.000000000Z", f"{self.range_end:%Y-%m-%dT%H:%M:%S}.000000000Z"
        return _json({"start": start, "end": end, "schema": {schema: {"start": start, "end": end} for schema in SCHEMAS}})

    def _dataset_condition(self, asked: dict[str, str]) -> Reply:
        first = dt.date.fromisoformat(asked["start_date"]) if asked.get("start_date") else FIRST_DAY
        last = dt.date.fromisoformat(asked["end_date"]) if asked.get("end_date") else self.range_end.date()
        now, end = self._now(), self.range_end
        if first > last and self._rude.empty_ranges:
            raise Refused(422, "data_time_range_start_after_end", f"start_date {first} is after end_date {last}")
        days = [day for day in (first + dt.timedelta(n) for n in range((last - first).days + 1)) if day.weekday() != 5]
        words = {day: condition(day, now, end) for day in days}
        changed = {day: rude_desk.last_modified(day, at, now, self._rude) for day, (_, at) in words.items()}
        return _json([{"date": str(day), "condition": words[day][0], "last_modified_date": str(at)} for day, at in changed.items()])


def _mappings(publisher: Published, first: dt.date, last: dt.date) -> list[_Mapping]:
    """Raw symbols and the ids that they had; a symbol that came back has two intervals."""
    intervals: dict[str, list[_Interval]] = {}
    for symbol, number, begins, ends in publisher.symbology(first, last):
        low, high = max(first, begins), min(last, ends + dt.timedelta(1))
        if low < high:
            intervals.setdefault(symbol, []).append(_Interval(low, high, str(number)))
    return [_Mapping(symbol, parts) for symbol, parts in sorted(intervals.items())]


def _right_key(authorization: str | None) -> bool:
    kind, _, coded = (authorization or "").partition(" ")
    return kind == "Basic" and base64.b64decode(coded + "==").decode(errors="replace") == f"{SAMPLE_KEY}:"


def _range(asked: dict[str, str]) -> tuple[int, int]:
    if not asked.get("start"):
        raise Refused(400, "missing_parameter", "start is required")
    low = _instant(asked["start"])
    high = _instant(asked["end"]) if asked.get("end") else low + 86_400 * 1_000_000_000
    if high <= low:
        raise Refused(422, "data_time_range_start_on_or_after_end", f"start {asked['start']} is not before end {asked.get('end')}")
    return low, high


def _instant(text: str) -> int:
    if re.fullmatch(r"\d{15,}", text):
        return int(text)
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        return midnight(dt.date.fromisoformat(text))
    when = dt.datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
    return ns(when if when.tzinfo else when.replace(tzinfo=dt.UTC))


def _day(at: int) -> dt.date:
    return (dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=at // 1000)).date()


def _found(look: Callable[[], Answer]) -> Answer:
    """The result of *look* on a batch job."""
    try:
        return look()
    except KeyError as error:
        raise Refused(404, "batch_job_not_found", f"There is no such job, or no such file of it yet: {error}.") from None


def _json(document: Any, status: int = 200) -> Reply:
    return Reply(status, {"Content-Type": "application/json"}, json.dumps(document).encode())
