"""
DBN records of options to rows of the raw tables: joined by instrument id and day, never by taking a symbol apart.

A ``bbo-1m`` record is stamped with the end of its minute (``ts_recv``); its ``ts_event`` is the last trade's, undefined where nothing
traded, and says nothing of the quote. So a quote's own time is the end of the minute in which the book, or the last sale, last moved.
"""

import datetime as dt

import numpy as np
import pyarrow as pa
from databento.common.dbnstore import DBNStore

from hydra_assets.core.instants import DAY_US
from hydra_assets.core.market import Market
from hydra_assets.core.tables.options import OPTION_DEFINITIONS, OPTION_QUOTES, OPTION_STATISTICS
from hydra_assets.errors import VendorContentError
from hydra_assets.sources.databento_parse import (
    DAY_NS,
    UNDEF_TIME,
    Definitions,
    Degraded,
    Parsed,
    instants,
    nullable,
    prices_of,
    records_of,
    times_of,
    unknown,
    words_of,
)

FROM = dt.time(8)  # of a day's quotes, Chicago time: nothing of the night before
SMALLEST_TICK, LARGEST_TICK = 1 / 10, 2  # of an option, in ticks of its future: halves and eighths are usual, a hundredth is another unit
_EPOCH = dt.date(1970, 1, 1)


class OptionDefinitions(Definitions):
    """Which option an instrument id was on a day."""

    statistics = OPTION_STATISTICS

    def contracts(self, rows: np.ndarray, numbers: np.ndarray) -> dict[str, pa.Array]:
        """The columns that name an option; what it is, its definition says."""
        named = super().contracts(rows, numbers)
        return {name: named[name] for name in ("instrument", "instrument_id")}

    @staticmethod
    def wanted(symbol: str) -> bool:
        """Whether *symbol*, which nothing defines, should have been: anything but the combinations, whose names hold a colon."""
        return ":" not in symbol


def parse_option_definitions(store: DBNStore, market: Market, *, synthetic: bool, degraded: Degraded, place: str) -> Parsed:
    """
    Calls and puts of a ``definition`` answer; combinations are left out.

    An option without an underlying, a strike, or an expiration is quarantined: it could be joined to nothing.

    Raises:
        VendorContentError: the ticks are no option's of this market: prices are in another unit than configured.
    """
    raw = records_of(store, "definition")
    rows = raw[np.isin(raw["instrument_class"], [b"C", b"P"])]
    left_out = len(raw) - len(rows)
    tick, strike = prices_of(rows["min_price_increment"]), prices_of(rows["strike_price"])
    faults = (
        ((rows["underlying_id"] == 0) | (rows["underlying"] == b""), "no underlying"),
        (~(strike > 0), "no strike"),
        (rows["expiration"] == UNDEF_TIME, "no expiration"),
        (~(tick > 0), "no tick"),
    )
    bad, quarantined = np.zeros(len(rows), dtype=bool), []
    for fault, why in faults:
        quarantined += [f"{rows['raw_symbol'][i].decode()} (id {rows['instrument_id'][i]}): {why}" for i in np.flatnonzero(fault & ~bad)]
        bad |= fault
    rows, tick, strike = rows[~bad], tick[~bad], strike[~bad]
    share = tick / market.tick
    wrong = ~((share > SMALLEST_TICK) & (share <= LARGEST_TICK))
    if wrong.any():
        symbol = rows["raw_symbol"][wrong][0].decode()
        raise VendorContentError(
            f"{place}: {symbol} moves by {tick[wrong][0]:g}; {market.symbol} is configured with ticks of {market.tick:g}"
            f" {market.price_unit}. Prices are in another unit: mend tick or contract_multiplier in markets.yaml before anything is kept"
        )
    stamp = rows["ts_recv"].astype(np.int64)
    # Of several messages of one instant about one option the vendor's last one stands.
    kept = _last_of(rows["instrument_id"].astype(np.int64), stamp)
    repeated = len(rows) - len(kept)
    rows, tick, strike, stamp = rows[kept], tick[kept], strike[kept], stamp[kept]
    dates = stamp // DAY_NS
    table = pa.table(
        {
            "instrument": _text(rows["raw_symbol"]),
            "instrument_id": pa.array(rows["instrument_id"].astype(np.int64)),
            "underlying": _text(rows["underlying"]),
            "underlying_id": pa.array(rows["underlying_id"].astype(np.int64)),
            "right": _text(rows["instrument_class"]),
            "strike": pa.array(strike),
            "expiration": instants(rows["expiration"].astype(np.int64) // 1000),
            **times_of(dates, stamp),
            "tick": pa.array(tick),
            "multiplier": pa.array(np.full(len(rows), market.contract_multiplier)),
            **words_of(dates, synthetic, degraded),
        }
    )
    return Parsed(OPTION_DEFINITIONS.conform(table), len(raw), left_out, repeated, quarantined)


def parse_option_quotes(
    store: DBNStore, definitions: OptionDefinitions, *, cut: dt.time, zone: dt.tzinfo, synthetic: bool, degraded: Degraded
) -> Parsed:
    """
    The last quote of each option and day in a ``bbo-1m`` answer, from `FROM` to *cut* o'clock in *zone*, both included.

    A side without an order is null: undefined, or a price of 0. Records after the cut are not looked at.

    Returns:
        Rows available at the cut; what nothing defines on its day is quarantined, combinations are left out.
    """
    raw = records_of(store, "bbo-1m")
    total, stamp = len(raw), raw["ts_recv"].astype(np.int64)
    days, cuts = _day_and_cut(stamp, cut, zone)
    inside = np.flatnonzero(days >= 0)
    raw, stamp, days, cuts = raw[inside], stamp[inside], days[inside], cuts[inside]
    last = _last_of(raw["instrument_id"].astype(np.int64), days, by=stamp)
    raw, stamp, days, cuts = raw[last], stamp[last], days[last], cuts[last]
    numbers = raw["instrument_id"].astype(np.int64)
    row = definitions.find(numbers, days, within=0)
    left_out, quarantined = unknown(store, definitions, numbers[row < 0], days[row < 0])
    keep = row >= 0
    raw, stamp, days, cuts, numbers, row = raw[keep], stamp[keep], days[keep], cuts[keep], numbers[keep], row[keep]
    sides = {}
    for side in ("bid", "ask"):
        price = prices_of(raw[f"{side}_px_00"])
        price[~(price > 0)] = np.nan
        sides[side] = nullable(price)
        sides[f"{side}_size"] = pa.array(raw[f"{side}_sz_00"].astype(np.int64), mask=np.isnan(price))
    table = pa.table(
        {
            **definitions.contracts(row, numbers),
            "as_of": instants(days * DAY_US),
            "available_at": instants(cuts // 1000),
            **sides,
            "quoted_at": instants(stamp // 1000),
            **words_of(days, synthetic, degraded),
        }
    )
    return Parsed(OPTION_QUOTES.conform(table), total, left_out, 0, quarantined)


def _day_and_cut(stamp: np.ndarray, cut: dt.time, zone: dt.tzinfo) -> tuple[np.ndarray, np.ndarray]:
    """The day (since 1970) whose hours of quotes hold each instant, -1 where none does, and the day's cut in nanoseconds."""
    if not len(stamp):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    first, final = int(stamp.min() // DAY_NS) - 1, int(stamp.max() // DAY_NS) + 1
    days = np.arange(first, final + 1)
    opens, cuts = (np.array([_ns(int(day), clock, zone) for day in days]) for clock in (FROM, cut))
    at = np.searchsorted(opens, stamp, side="right") - 1
    inside = (at >= 0) & (stamp <= cuts[at])
    return np.where(inside, days[at], -1), cuts[at]


def _ns(day: int, clock: dt.time, zone: dt.tzinfo) -> int:
    return round(dt.datetime.combine(_EPOCH + dt.timedelta(day), clock, zone).timestamp()) * 10**9


def _last_of(numbers: np.ndarray, second: np.ndarray, *, by: np.ndarray | None = None) -> np.ndarray:
    """Places of the last record of each (number, second), in order; by *by* where given, then by place."""
    place = np.arange(len(numbers))
    order = np.lexsort((place, place if by is None else by, second, numbers))
    ends = np.ones(len(order), dtype=bool)
    if len(order):
        ends[:-1] = (np.diff(numbers[order]) != 0) | (np.diff(second[order]) != 0)
    return np.sort(order[ends])


def _text(values: np.ndarray) -> pa.Array:
    return pa.array([value.decode() for value in values.tolist()], pa.string())
