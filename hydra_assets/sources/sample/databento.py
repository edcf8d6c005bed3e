"""Databento's historical API as the embedded vendor speaks it: real DBN and zstd over its own endpoints, SYNTHETIC in every number."""

import base64
import datetime as dt
import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import databento_dbn as dbn
import numpy as np
import zstandard

from hydra_assets.core.market import Market
from hydra_assets.sources.sample.curve import FIRST_DAY, curve_of, is_degraded
from hydra_assets.sources.sample.monthly import MonthlyRecords, midnight, ns
from hydra_assets.sources.sample.option_records import OptionPublisher
from hydra_assets.sources.sample.records import Publisher, condition
from hydra_assets.sources.sample.smile import chain_of

SAMPLE_KEY = "db-EmbeddedSampleVendorNoSecret00"
USD_PER_GB = 12.0  # as synthetic as the rest
SCHEMAS = ("definition", "ohlcv-1d", "statistics", "bbo-1m")
_LEVEL = 3


class Refused(Exception):
    """An answer that is an error, in Databento's form."""

    def __init__(self, status: int, case: str, message: str) -> None:
        self.status = status
        self.body = {"detail": {"case": case, "message": message, "status_code": status}}
        super().__init__(message)


@dataclass(frozen=True)
class Reply:
    """Status, headers and body of one answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class _Interval:
    start_date: dt.date
    end_date: dt.date
    symbol: str


@dataclass(frozen=True)
class _Mapping:
    raw_symbol: str
    intervals: list[_Interval]


class DatabentoDesk:
    """
    Answers requests to ``/v0/...``.

    Args:
        markets: what is served, by root symbol.
        cache: where encoded months are kept.
        now: its clock; data are there up to the last midnight UTC.
    """

    def __init__(self, markets: Mapping[str, Market], cache: Path | None, now: Callable[[], dt.datetime]) -> None:
        self._publishers: dict[str, MonthlyRecords] = {}
        for symbol, market in markets.items():
            self._publishers[f"{symbol}.FUT"] = Publisher(curve_of(market), cache, now)
            for root in market.option_roots[:1]:  # all of a market's options lie under its first root
                self._publishers[f"{root}.OPT"] = OptionPublisher(chain_of(market, root), cache, now)
        self._dataset = {symbol: market.dataset for symbol, market in markets.items()}
        self._now, self._lock = now, threading.Lock()

    @property
    def range_end(self) -> dt.datetime:
        """The end, exclusive, of what is there: the last midnight UTC."""
        return dt.datetime.combine(self._now().astimezone(dt.UTC).date(), dt.time(), dt.UTC)

    def answer(self, method: str, target: str, authorization: str | None, body: bytes) -> Reply:
        """The reply to one request; errors as Databento words them."""
        parts = urlsplit(target)
        text = body.decode() if method == "POST" else parts.query
        asked = {name: values[-1] for name, values in parse_qs(text).items()}
        try:
            if not _right_key(authorization):
                raise Refused(401, "auth_authentication_failed", "Authentication failed.")
            known: dict[str, Callable[[dict[str, str]], Reply]] = {
                "timeseries.get_range": self._get_range,
                "metadata.get_cost": lambda p: _json(round(self._billable(p).nbytes / 1e9 * USD_PER_GB, 12)),
                "metadata.get_billable_size": lambda p: _json(self._billable(p).nbytes),
                "metadata.get_record_count": lambda p: _json(len(self._billable(p))),
                "metadata.get_dataset_range": self._dataset_range,
                "metadata.get_dataset_condition": self._dataset_condition,
                "metadata.list_datasets": lambda _: _json(sorted(set(self._dataset.values()))),
                "metadata.list_schemas": lambda _: _json(list(SCHEMAS)),
            }
            name = parts.path.removeprefix("/v0/")
            if name not in known:
                raise Refused(404, "not_found", f"{parts.path} is not served by the embedded vendor")
            with self._lock:
                return known[name](asked)
        except Refused as error:
            return _json(error.body, error.status)

    # ---------------------------------------------------------------- endpoints

    def _get_range(self, asked: dict[str, str]) -> Reply:
        low, high = _range(asked)
        if high > ns(self.range_end):
            end = self.range_end.isoformat()
            raise Refused(422, "data_end_after_available_end", f"The dataset has data available up to '{end}'; the query ends after it.")
        records, found, not_found = self._select(asked, low, high)
        symbols = asked["symbols"].split(",")
        if not found:
            raise Refused(422, "symbology_invalid_request", "None of the symbols could be resolved.")
        first, last = _day(low), _day(high - 1) + dt.timedelta(1)
        encoder: Any = dbn.Metadata
        metadata = encoder(
            dataset=asked["dataset"],
            start=low,
            end=high,
            stype_in=dbn.SType.from_str(asked.get("stype_in", "parent")),
            stype_out=dbn.SType.INSTRUMENT_ID,
            schema=dbn.Schema.from_str(asked["schema"]),
            symbols=symbols,
            not_found=not_found,
            partial=[],
            mappings=[mapping for publisher in found for mapping in _mappings(publisher, first, last)],
            version=3,
        )
        body = zstandard.ZstdCompressor(level=_LEVEL).compress(metadata.encode() + records.tobytes())
        headers = {"Content-Type": "application/octet-stream", "X-Data": "synthetic"}
        bad = [day for day in (first + dt.timedelta(n) for n in range((last - first).days)) if is_degraded(day)]
        if bad:
            said = ", ".join(f"{day} (degraded)" for day in bad)
            headers["X-Warning"] = json.dumps([f"BentoWarning: The streaming request contained days of reduced quality: {said}."])
        return Reply(206 if not_found else 200, headers, body)

    def _billable(self, asked: dict[str, str]) -> np.ndarray:
        records, found, _ = self._select(asked, *_range(asked))
        if not found:
            raise Refused(422, "symbology_invalid_request", "None of the symbols could be resolved.")
        return records

    def _select(self, asked: dict[str, str], low: int, high: int) -> tuple[np.ndarray, list[MonthlyRecords], list[str]]:
        schema, dataset = asked.get("schema", ""), asked.get("dataset", "")
        if schema not in SCHEMAS:
            raise Refused(422, "schema_not_supported", f"The embedded vendor serves {', '.join(SCHEMAS)}, not {schema!r}.")
        if dataset not in self._dataset.values():
            raise Refused(403, "license_not_found_unauthorized", f"No licence for the dataset {dataset!r}.")
        if asked.get("stype_in") != "parent":
            raise Refused(422, "symbology_invalid_request", "The embedded vendor resolves parent symbols such as HE.FUT and HE.OPT.")
        found, not_found = [], []
        for symbol in asked.get("symbols", "").split(","):
            publisher = self._publishers.get(symbol)
            if publisher is None:
                not_found.append(symbol)
            else:
                found.append(publisher)
        parts = [publisher.records(schema, low, high) for publisher in found]
        records = np.concatenate(parts) if parts else np.zeros(0, dtype=np.uint8)
        return records, found, not_found

    def _dataset_range(self, _: dict[str, str]) -> Reply:
        start, end = f"{FIRST_DAY}T00:00:00.000000000Z", f"{self.range_end:%Y-%m-%dT%H:%M:%S}.000000000Z"
        return _json({"start": start, "end": end, "schema": {schema: {"start": start, "end": end} for schema in SCHEMAS}})

    def _dataset_condition(self, asked: dict[str, str]) -> Reply:
        first = dt.date.fromisoformat(asked["start_date"]) if asked.get("start_date") else FIRST_DAY
        last = dt.date.fromisoformat(asked["end_date"]) if asked.get("end_date") else self.range_end.date()
        now, end = self._now(), self.range_end
        days = [day for day in (first + dt.timedelta(n) for n in range((last - first).days + 1)) if day.weekday() != 5]
        words = {day: condition(day, now, end) for day in days}
        return _json([{"date": str(day), "condition": word, "last_modified_date": str(at)} for day, (word, at) in words.items()])


def _mappings(publisher: MonthlyRecords, first: dt.date, last: dt.date) -> list[_Mapping]:
    """Raw symbols and the ids that they had; a symbol that came back has two intervals."""
    intervals: dict[str, list[_Interval]] = {}
    for symbol, number, begins, ends in publisher.lives(first, last):
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


def _json(document: Any, status: int = 200) -> Reply:
    return Reply(status, {"Content-Type": "application/json"}, json.dumps(document).encode())
