"""Shared parts of the DBN parsers: the parsed answer, the share of it that may be unusable, and conversions to columns."""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.core.instants import DAY_US
from hydra_assets.errors import VendorContentError
from hydra_assets.sources.quarantine import is_refused, refusal_of

if TYPE_CHECKING:
    from databento.common.dbnstore import DBNStore


SCALE = 1e9  # DBN prices are integers of 1e-9 price units
UNDEF_PRICE = 2**63 - 1
UNDEF_TIME = 2**64 - 1
DAY_NS = 86_400 * 10**9
CHUNK = 1 << 18  # records held at once: 20 MB of quotes
EPOCH = dt.date(1970, 1, 1)
Degraded = Callable[[dt.date], bool]
Within = tuple[dt.datetime, dt.datetime]  # start, end (exclusive) of what is wanted of an answer that can hold more


@dataclass
class Parsed:
    """
    Rows of one answer, and what was not taken.

    Attributes:
        left_out: records of spreads and other instruments that are no outright future.
        repeated: messages overtaken by a later one of the same instant, and replays of figures that are known.
        provisional: preliminary settlements that are theoretical or intraday; they can never stand as a session's settlement.
        quarantined: what should be usable and is not, with the reason.
        lost: those of the quarantined that could have been rows, as all do that hold a value, by the day that they describe.
    """

    table: pa.Table
    records: int
    left_out: int = 0
    repeated: int = 0
    quarantined: list[str] = field(default_factory=list)
    provisional: int = 0
    lost: Mapping[dt.date, Sequence[str]] = field(default_factory=dict)

    @property
    def refused(self) -> set[dt.date]:
        """Days of which most records that could be rows are lost; see `sources.quarantine`."""
        return {day for day, lost in self.lost.items() if is_refused(len(lost), self._usable(day))}

    def refusal(self, days: Collection[dt.date]) -> str:
        """The reason for refusing *days*."""
        first, *more = sorted(days)
        bad, usable = sum(len(self.lost[day]) for day in days), sum(map(self._usable, days))
        return refusal_of(self.lost[first][0], bad, usable, of=f" of {first}" + (f" and {len(more)} more days" if more else ""))

    def _usable(self, day: dt.date) -> int:
        return self._rows[day] + len(self.lost[day])

    @cached_property
    def _rows(self) -> Counter[dt.date]:
        """Rows of each day."""
        counted = pc.value_counts(pc.cast(self.table["as_of"], pa.date32())) if self.lost else []
        return Counter({entry["values"].as_py(): entry["counts"].as_py() for entry in counted})


def by_day(days: Iterable[int], reasons: Iterable[str]) -> dict[dt.date, list[str]]:
    """*reasons* by their days, which are counted since 1970."""
    found = defaultdict[dt.date, list[str]](list)
    for day, reason in zip(days, reasons, strict=True):
        found[EPOCH + dt.timedelta(int(day))].append(reason)
    return dict(found)


def last_of(*identity: np.ndarray, by: np.ndarray | None = None) -> np.ndarray:
    """Places of the last record of each combination of *identity*, in order; by *by* where given, then by place."""
    place = np.arange(len(identity[0]))
    order = np.lexsort((place, place if by is None else by, *identity))
    ends = np.ones(len(order), dtype=bool)
    if len(order):
        ends[:-1] = np.logical_or.reduce([np.diff(values[order]) != 0 for values in identity])
    return np.sort(order[ends])


def records_of(store: "DBNStore", schema: str, within: Within | None = None) -> np.ndarray:
    """The records of *schema*, all or those indexed *within* two instants, as a NumPy structure; raw integers, nothing converted."""
    records = store.to_ndarray(schema=schema)
    if not isinstance(records, np.ndarray):
        raise VendorContentError(f"{schema}: the decoder gave {type(records).__name__}, not records")
    return _inside(records, schema, within)


def chunks_of(store: "DBNStore", schema: str, within: Within | None = None) -> Iterator[np.ndarray]:
    """The records of `records_of`, `CHUNK` of them at a time and at least one array: a month of quotes can be larger than memory."""
    found = False
    for records in store.to_ndarray(schema=schema, count=CHUNK):
        found = True
        yield _inside(records.reshape(-1), schema, within)
    if not found:
        yield records_of(store, schema, within).reshape(-1)


def _inside(records: np.ndarray, schema: str, within: Within | None) -> np.ndarray:
    if within is None:
        return records
    at = records["ts_event" if schema.startswith("ohlcv") else "ts_recv"].astype(np.int64)
    start, end = (round(instant.timestamp() * 1e6) * 1000 for instant in within)
    return np.asarray(records[(at >= start) & (at < end)])


def prices_of(fixed: np.ndarray) -> np.ndarray:
    """Prices in the market's unit; NaN where undefined."""
    return np.where(fixed == UNDEF_PRICE, np.nan, fixed / SCALE)


def nullable(values: np.ndarray) -> pa.Array:
    return pa.array(values, mask=np.isnan(values))


def instants(us: np.ndarray) -> pa.Array:
    return pa.array(np.asarray(us, dtype=np.int64)).cast(pa.timestamp("us", tz="UTC"))


def us_of(column: pa.ChunkedArray) -> np.ndarray:
    counts: np.ndarray = column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy()
    return counts


def times_of(days: np.ndarray, stamp_ns: np.ndarray) -> dict[str, pa.Array]:
    return {
        "as_of": instants(days * DAY_US),
        "available_at": instants(-(-stamp_ns // 1000)),  # never before the nanosecond at which it came
        "stamped_at": pa.array(stamp_ns).cast(pa.timestamp("ns", tz="UTC")),
    }


def quality_of(
    days: np.ndarray, synthetic: bool, degraded: Degraded, *, also: np.ndarray | None = None, partial: np.ndarray | None = None
) -> dict[str, pa.Array]:
    """Quality by the vendor's condition of the day described and of the day of receipt; else *partial* where something is inferred."""
    bad = [
        int(day) for day in np.unique(days if also is None else np.concatenate([days, also])) if degraded(EPOCH + dt.timedelta(int(day)))
    ]
    hit = np.isin(days, bad) | (np.isin(also, bad) if also is not None else False)
    inferred = np.zeros(len(days), dtype=bool) if partial is None else partial
    return {
        "quality": pa.array(np.select([hit, inferred], ["degraded", "partial"], "normal").tolist(), pa.string()),
        "synthetic": pa.array([synthetic] * len(days), pa.bool_()),
    }
