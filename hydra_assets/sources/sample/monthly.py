"""Synthetic DBN records, encoded month by month and kept in a cache once a month can no longer change."""

import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Protocol

import databento_dbn as dbn
import numpy as np
import zstandard

from hydra_assets.core.calendar import Calendar
from hydra_assets.core.months import Month, months_between
from hydra_assets.sources.sample.curve import FIRST_DAY, is_restated

CACHE_VERSION = "5"  # of the curve, the smile and their records: another one is another cache
RESTATED_AFTER = dt.timedelta(20)  # a degraded day that is restated becomes available so much later
PUBLISHER = 1
SETTLES_FINAL, SETTLES_PRELIMINARY = 3, 2  # FIX tag 731: bit 0 final, bit 1 actual
UNSET_FLAGS = 255
EXCHANGES = {"CME": "XCME", "CBOT": "XCBT", "NYMEX": "XNYM"}
NS_PER_S = 1_000_000_000
_HELD_BYTES = 64 << 20  # of encoded months kept in memory
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

Symbology = list[tuple[str, int, dt.date, dt.date]]


def ns(when: dt.datetime) -> int:
    """Nanoseconds since 1970."""
    delta = when - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * NS_PER_S + delta.microseconds * 1000


def midnight(day: dt.date) -> int:
    """00:00 UTC of *day*."""
    return ns(dt.datetime.combine(day, dt.time(), dt.UTC))


def clock_ns(calendar: Calendar, day: dt.date, clock: str) -> int:
    """*clock* (``HH:MM``) in the exchange's zone on *day*, as nanoseconds since 1970."""
    return ns(calendar.at(day, dt.time.fromisoformat(clock)))


def fixed(price: Any) -> np.ndarray:
    """DBN's fixed point: 1e-9 of a price unit."""
    return np.asarray(np.round(np.asarray(price, dtype=float) * 1e6).astype(np.int64) * 1000)


def fixed_price(price: float) -> int:
    """One price in DBN's fixed point."""
    return int(fixed(price))


def enum_of(kind: Any) -> Any:
    """The encoder's stubs say that its enums' members are numbers; they are members."""
    return kind


def dtype_of(schema: str) -> np.dtype:
    """The records of *schema* as a NumPy structure."""
    kinds: dict[str, Any] = {
        "definition": dbn.InstrumentDefMsg,
        "ohlcv-1d": dbn.OHLCVMsg,
        "statistics": dbn.StatMsg,
        "bbo-1m": dbn.BBOMsg,
    }
    structure: np.dtype = np.dtype(kinds[schema]._dtypes)
    return structure


def many(message: Any, schema: str, n: int) -> np.ndarray:
    """*n* records like *message*, to be filled in."""
    return np.repeat(np.frombuffer(bytes(message), dtype=dtype_of(schema)), n)


def index_time(records: np.ndarray) -> np.ndarray:
    """``ts_recv`` of *records*, or ``ts_event`` where their schema has no other."""
    return np.asarray(records["ts_recv" if "ts_recv" in (records.dtype.names or ()) else "ts_event"])


def last_modified(day: dt.date, now: dt.datetime) -> dt.date:
    """Date of the vendor's last change to the data of *day*, as of *now*."""
    restated = day + RESTATED_AFTER
    return restated if is_restated(day) and restated <= now.date() else day + dt.timedelta(1)


def is_first_version(day: dt.date, now: dt.datetime) -> bool:
    """Whether packets of *day* are lost that the vendor finds after *now*."""
    return is_restated(day) and day + RESTATED_AFTER > now.date()


class Published(Protocol):
    """The records of one parent symbol."""

    @property
    def schemas(self) -> tuple[str, ...]:
        """The schemas that have records."""

    def records(self, schema: str, low: int, high: int) -> np.ndarray:
        """Records with low <= index time < high (nanoseconds), in order of that time."""

    def symbology(self, first: dt.date, last: dt.date) -> Symbology:
        """Raw symbols with their ids, first and last day, of what exists between *first* and *last*."""


class NothingListed:
    """A parent symbol that the vendor knows and that has no instrument."""

    schemas: ClassVar[tuple[str, ...]] = ()

    def records(self, schema: str, low: int, high: int) -> np.ndarray:
        """An empty array of *schema*."""
        return np.zeros(0, dtype=dtype_of(schema))

    def symbology(self, first: dt.date, last: dt.date) -> Symbology:
        """An empty symbology."""
        return []


class MonthlyRecords(ABC):
    """
    Everything published under one parent symbol up to now.

    Args:
        parent: like ``HE.FUT``.
        calendar: of its market.
        cache: folder for encoded months; None encodes anew.
        now: its clock: it decides which version of a degraded day is served.
    """

    schemas: ClassVar[tuple[str, ...]]

    def __init__(self, parent: str, calendar: Calendar, cache: Path | None, now: Callable[[], dt.datetime]) -> None:
        self.calendar = calendar
        self._now = now
        self._cache = cache / f"dbn-{CACHE_VERSION}" / parent if cache else None
        self._held: dict[tuple[str, Month], np.ndarray] = {}

    def _at(self, day: dt.date, clock: str) -> int:
        return clock_ns(self.calendar, day, clock)

    def _sessions(self, month: Month, *, lag: int) -> list[dt.date]:
        """Sessions of *month* and of the *lag* days before, whose records can be published in it."""
        return self.calendar.session_days(max(month.first - dt.timedelta(lag), FIRST_DAY), month.last)

    @abstractmethod
    def _of_day(self, schema: str, day: dt.date) -> np.ndarray:
        """The records of the session *day*, whenever they are published."""

    def _encode(self, schema: str, month: Month) -> np.ndarray:
        """The records whose index time lies in *month*, in order of it."""
        # Statistics of a day can be published up to a week later: the morning after a holiday.
        days = self._sessions(month, lag=7 if schema == "statistics" else 0)
        made = np.concatenate([np.zeros(0, dtype_of(schema)), *(self._of_day(schema, day) for day in days)])
        at = index_time(made)
        made = made[(at >= midnight(month.first)) & (at < midnight(month.next().first))]
        return np.asarray(made[np.argsort(index_time(made), kind="stable")])

    def _statistics_of(
        self,
        day: dt.date,
        numbers: np.ndarray,
        kind: Any,
        at: Any,
        values: np.ndarray,
        *,
        tick: float = 1.0,
        flags: int = UNSET_FLAGS,
        action: Any = None,
        dated: bool = True,
    ) -> np.ndarray:
        """
        One message an instrument.

        Args:
            day: the session described.
            numbers: ids of the instruments.
            kind: the kind of statistic.
            at: nanoseconds of receipt.
            values: prices in units of *tick*, or quantities.
            tick: unit of prices.
            flags: of a settlement.
            action: where it is not new.
            dated: whether the message names the session.
        """
        kinds = enum_of(dbn.StatType)
        blank = dbn.StatMsg(
            publisher_id=PUBLISHER, instrument_id=0, ts_event=0, ts_recv=0, ts_ref=midnight(day) if dated else dbn.UNDEF_TIMESTAMP,
            price=dbn.UNDEF_PRICE, quantity=dbn.UNDEF_STAT_QUANTITY, stat_type=kind,
            update_action=action or enum_of(dbn.StatUpdateAction).NEW, stat_flags=flags,
        )  # fmt: skip
        rows = many(blank, "statistics", len(numbers))
        rows["instrument_id"], rows["ts_recv"], rows["ts_event"] = numbers, at, at - 250_000
        is_price = kind in (kinds.SETTLEMENT_PRICE, kinds.OPENING_PRICE)
        rows["price" if is_price else "quantity"] = fixed(values * tick) if is_price else values
        return rows

    @abstractmethod
    def symbology(self, first: dt.date, last: dt.date) -> Symbology:
        """Raw symbols with their ids, first and last day, of what exists between *first* and *last*."""

    def records(self, schema: str, low: int, high: int) -> np.ndarray:
        """Records with low <= index time < high (nanoseconds; ``ts_recv`` where the schema has one), in order of that time."""
        first = max((_EPOCH + dt.timedelta(microseconds=low // 1000)).date(), FIRST_DAY)
        last = (_EPOCH + dt.timedelta(microseconds=(high - 1) // 1000)).date()
        if schema not in self.schemas or first > last:
            return np.zeros(0, dtype=dtype_of(schema))
        joined = np.concatenate([self._month(schema, month) for month in months_between(first, last)])
        at = index_time(joined)
        return np.asarray(joined[(at >= low) & (at < high)])

    def _month(self, schema: str, month: Month) -> np.ndarray:
        settled = month.last + RESTATED_AFTER + dt.timedelta(15) < self._now().date()
        if not settled:
            return self._encode(schema, month)  # not yet in its last version
        if (schema, month) not in self._held:
            self._held[schema, month] = self._from_cache(schema, month)
            while len(self._held) > 1 and sum(part.nbytes for part in self._held.values()) > _HELD_BYTES:
                del self._held[next(iter(self._held))]
        return self._held[schema, month]

    def _from_cache(self, schema: str, month: Month) -> np.ndarray:
        if self._cache is None:
            return self._encode(schema, month)
        path = self._cache / schema / f"{month}.records.zst"
        if path.exists():
            return np.frombuffer(zstandard.ZstdDecompressor().decompress(path.read_bytes()), dtype=dtype_of(schema))
        made = self._encode(schema, month)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{id(made)}")
        temporary.write_bytes(zstandard.ZstdCompressor(level=1).compress(made.tobytes()))
        temporary.replace(path)
        return made
