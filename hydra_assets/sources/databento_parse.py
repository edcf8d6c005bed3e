"""DBN records to rows of the raw tables: class from the definition, prices in the market's unit, every stamp the vendor's own."""

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from databento.common.dbnstore import DBNStore

from hydra_assets.core.instants import DAY_US
from hydra_assets.core.market import Market
from hydra_assets.core.tables.futures import FUTURES_BARS, FUTURES_DEFINITIONS, FUTURES_STATISTICS
from hydra_assets.core.tables.table import Table
from hydra_assets.errors import VendorContentError

SCALE = 1e9  # DBN prices are integers of 1e-9 price units
UNDEF_PRICE = UNDEF_QUANTITY = 2**63 - 1
UNDEF_TIME = 2**64 - 1
DAY_NS = 86_400 * 10**9
SETTLEMENT, CLEARED_VOLUME, OPEN_INTEREST = 3, 6, 9
STATS = {SETTLEMENT: "settlement", CLEARED_VOLUME: "cleared_volume", OPEN_INTEREST: "open_interest"}
FINAL, NULL_BIT = 0x01, 0x80
DELETE = 2
DEFINED_WITHIN = 7  # days: a print of Friday evening can be stamped on Saturday, when nothing is defined
_OUTRIGHT = re.compile(r"[A-Z0-9]{1,4}[FGHJKMNQUVXZ]\d{1,2}")
Degraded = Callable[[dt.date], bool]


@dataclass
class Parsed:
    """
    Rows of one answer, and what was not taken.

    Attributes:
        left_out: records of spreads and other instruments that are no outright future.
        repeated: messages overtaken by a later one of the same instant.
        quarantined: what should be usable and is not, with the reason.
    """

    table: pa.Table
    records: int
    left_out: int = 0
    repeated: int = 0
    quarantined: list[str] = field(default_factory=list)


def parse_definitions(store: DBNStore, market: Market, *, synthetic: bool, degraded: Degraded, place: str) -> Parsed:
    """
    Outright futures of a ``definition`` answer.

    Raises:
        VendorContentError: tick x multiplier is not the market's tick value: prices are in another unit than configured.
    """
    raw = records_of(store, "definition")
    rows = raw[raw["instrument_class"] == b"F"]
    stamp, tick = rows["ts_recv"].astype(np.int64), prices_of(rows["min_price_increment"])
    value, wanted = tick * market.contract_multiplier, market.tick * market.contract_multiplier
    wrong = ~np.isclose(value, wanted, rtol=1e-9)
    if wrong.any():
        symbol = rows["raw_symbol"][wrong][0].decode()
        raise VendorContentError(
            f"{place}: {symbol} moves by {tick[wrong][0]:g} x multiplier {market.contract_multiplier:g} = ${value[wrong][0]:g};"
            f" {market.symbol} is configured with ticks of ${wanted:g}. Prices are in another unit: mend tick or contract_multiplier"
            " in markets.yaml before anything is kept"
        )
    n = len(rows)
    dates = stamp // DAY_NS
    table = pa.table(
        {
            "instrument": pa.array([symbol.decode() for symbol in rows["raw_symbol"].tolist()], pa.string()),
            "instrument_id": pa.array(rows["instrument_id"].astype(np.int64)),
            "expiration": instants(rows["expiration"].astype(np.int64) // 1000),
            "instrument_class": pa.array(["F"] * n, pa.string()),
            **times_of(dates, stamp),
            "tick": pa.array(tick),
            "multiplier": pa.array(np.full(n, market.contract_multiplier)),
            "low_limit": nullable(prices_of(rows["low_limit_price"])),
            "high_limit": nullable(prices_of(rows["high_limit_price"])),
            **words_of(dates, synthetic, degraded),
        }
    )
    return Parsed(FUTURES_DEFINITIONS.conform(table), len(raw), left_out=len(raw) - n)


class Definitions:
    """Which contract an instrument id was on a day: ids are given out anew."""

    statistics: Table = FUTURES_STATISTICS

    def __init__(self, table: pa.Table) -> None:
        self._day = us_of(table["as_of"]) // DAY_US
        self._id = table["instrument_id"].to_numpy()
        order = np.lexsort((self._day, self._id))
        self._key = self._id[order] * 100_000 + self._day[order]
        self._rows = order
        self._instrument = np.array(table["instrument"].to_pylist(), dtype=object)
        self._expiration = us_of(table["expiration"])

    def find(self, numbers: np.ndarray, days: np.ndarray, *, within: int = DEFINED_WITHIN) -> np.ndarray:
        """Row of each (id, day since 1970): of that day, or the newest of the *within* days before; -1 where there is none."""
        if not len(self._key):
            return np.full(len(numbers), -1)
        at = np.searchsorted(self._key, numbers * 100_000 + days, side="right") - 1
        row = self._rows[np.maximum(at, 0)]
        fits = (at >= 0) & (self._id[row] == numbers) & (days - self._day[row] <= within)
        return np.asarray(np.where(fits, row, -1))

    def contracts(self, rows: np.ndarray, numbers: np.ndarray) -> dict[str, pa.Array]:
        """The columns that name a contract."""
        return {
            "instrument": pa.array(self._instrument[rows].tolist(), pa.string()),
            "instrument_id": pa.array(numbers, pa.int64()),
            "expiration": instants(self._expiration[rows]),
        }

    @staticmethod
    def wanted(symbol: str) -> bool:
        """Whether *symbol*, which nothing defines, should have been defined: an outright future, no spread."""
        return _OUTRIGHT.fullmatch(symbol) is not None


def parse_bars(store: DBNStore, definitions: Definitions, *, synthetic: bool, degraded: Degraded) -> Parsed:
    """Daily bars of an ``ohlcv-1d`` answer; known at their start plus one day."""
    raw = records_of(store, "ohlcv-1d")
    numbers, start = raw["instrument_id"].astype(np.int64), raw["ts_event"].astype(np.int64)
    days = start // DAY_NS
    row = definitions.find(numbers, days)
    left_out, quarantined = unknown(store, definitions, numbers[row < 0], days[row < 0])
    keep = row >= 0
    raw, numbers, days, row = raw[keep], numbers[keep], days[keep], row[keep]
    table = pa.table(
        {
            **definitions.contracts(row, numbers),
            "as_of": instants(days * DAY_US),
            "available_at": instants((days + 1) * DAY_US),
            **{name: nullable(prices_of(raw[name])) for name in ("open", "high", "low", "close")},
            "volume": pa.array(raw["volume"].astype(np.int64)),
            **words_of(days, synthetic, degraded),
        }
    )
    return Parsed(FUTURES_BARS.conform(table), len(keep), left_out, 0, quarantined)


def parse_statistics(store: DBNStore, definitions: Definitions, *, synthetic: bool, degraded: Degraded) -> Parsed:
    """
    Settlements, cleared volume and open interest of a ``statistics`` answer, each print at its ``ts_recv``.

    A deletion is a row without a value; the deletion of a settlement counts as final, since it takes back whatever stood.
    A settlement is final by bit 0 of its flags, unless the null bit is set (255 means that there are no flags).
    """
    raw = records_of(store, "statistics")
    total = len(raw)
    raw = raw[np.isin(raw["stat_type"], list(STATS))]
    numbers, stamp = raw["instrument_id"].astype(np.int64), raw["ts_recv"].astype(np.int64)
    received = stamp // DAY_NS
    row = definitions.find(numbers, received)
    left_out, quarantined = unknown(store, definitions, numbers[row < 0], received[row < 0])
    keep = row >= 0
    undated = keep & (raw["ts_ref"] == UNDEF_TIME)
    deleted = raw["update_action"] == DELETE
    settled = raw["stat_type"] == SETTLEMENT
    unset = np.where(settled, raw["price"] == UNDEF_PRICE, raw["quantity"] == UNDEF_QUANTITY) & ~deleted & keep & ~undated
    for bad, why in ((undated, "no trading date (ts_ref)"), (unset, "no value, and no deletion")):
        quarantined += [f"{STATS[int(raw['stat_type'][i])]} of id {numbers[i]} at {stamp[i]}: {why}" for i in np.flatnonzero(bad)]
    keep &= ~undated & ~unset
    # Of several messages of one instant about one number the vendor's last one stands.
    ref = raw["ts_ref"].astype(np.uint64)
    identity = np.stack([numbers, raw["stat_type"].astype(np.int64), (ref // DAY_NS).astype(np.int64), stamp])[:, keep]
    kept = np.flatnonzero(keep)
    _, first_from_end = np.unique(identity[:, ::-1], axis=1, return_index=True)
    newest = np.sort(kept[len(kept) - 1 - first_from_end])
    raw, numbers, stamp, row = raw[newest], numbers[newest], stamp[newest], row[newest]
    deleted, settled, received = deleted[newest], settled[newest], received[newest]
    days = (raw["ts_ref"].astype(np.uint64) // DAY_NS).astype(np.int64)
    value = np.where(settled, prices_of(raw["price"]), raw["quantity"].astype(float))
    flags = raw["stat_flags"]
    final = ((flags & FINAL) != 0) | deleted
    said = settled & (((flags & NULL_BIT) == 0) | deleted)
    table = pa.table(
        {
            **definitions.contracts(row, numbers),
            "stat": pa.array([STATS[kind] for kind in raw["stat_type"].tolist()], pa.string()),
            **times_of(days, stamp),
            "value": pa.array(value, mask=deleted | np.isnan(value)),
            "is_final": pa.array(final, mask=~said),
            **words_of(days, synthetic, degraded, also=received),
        }
    )
    return Parsed(definitions.statistics.conform(table), total, left_out, len(kept) - len(newest), quarantined)


def unknown(store: DBNStore, definitions: Definitions, numbers: np.ndarray, days: np.ndarray) -> tuple[int, list[str]]:
    """How many records belong to spreads and the like, and those that something should define and nothing does."""
    if not len(numbers):
        return 0, []
    symbols: dict[str, str] = {}
    for symbol, intervals in store.metadata.mappings.items():
        symbols.update((str(interval["symbol"]), symbol) for interval in intervals)
    lost, spreads = [], 0
    for number, day in zip(numbers.tolist(), days.tolist(), strict=True):
        symbol = symbols.get(str(number), "")
        if definitions.wanted(symbol):
            named = symbol or "an instrument without a symbol"
            lost.append(f"{named} (id {number}) on {dt.date(1970, 1, 1) + dt.timedelta(day)}: no definition of it in the lake")
        else:
            spreads += 1
    return spreads, lost


def records_of(store: DBNStore, schema: str) -> np.ndarray:
    """All records of *schema* as a NumPy structure; raw integers, nothing converted."""
    records = store.to_ndarray(schema=schema)
    if not isinstance(records, np.ndarray):
        raise VendorContentError(f"{schema}: the decoder gave {type(records).__name__}, not records")
    return records


def prices_of(fixed: np.ndarray) -> np.ndarray:
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


def words_of(days: np.ndarray, synthetic: bool, degraded: Degraded, *, also: np.ndarray | None = None) -> dict[str, pa.Array]:
    """Quality by the vendor's condition of the day described, and of the day of receipt."""
    epoch = dt.date(1970, 1, 1)
    bad = [
        int(day) for day in np.unique(days if also is None else np.concatenate([days, also])) if degraded(epoch + dt.timedelta(int(day)))
    ]
    hit = np.isin(days, bad) | (np.isin(also, bad) if also is not None else False)
    return {
        "quality": pa.array(np.where(hit, "degraded", "normal").tolist(), pa.string()),
        "synthetic": pa.array([synthetic] * len(days), pa.bool_()),
    }
