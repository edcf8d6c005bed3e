"""
DBN records of options to rows of the raw tables: joined by instrument id and day, never by taking a symbol apart.

A ``bbo-1m`` record is stamped with the end of its minute (``ts_recv``); its ``ts_event`` is the last trade's, undefined where nothing
traded, and says nothing of the quote. So a quote's own time is the end of the minute in which the book, or the last sale, last moved.
"""

import datetime as dt
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from hydra_assets.core.calendar import DatedTime
from hydra_assets.core.instants import DAY_US
from hydra_assets.core.market import Market
from hydra_assets.core.tables.options import OPTION_DEFINITIONS, OPTION_QUOTES, OPTION_STATISTICS
from hydra_assets.errors import VendorContentError
from hydra_assets.sources.databento_join import DEFINED_WITHIN, Definitions, unknown
from hydra_assets.sources.databento_records import (
    DAY_NS,
    EPOCH,
    UNDEF_TIME,
    Degraded,
    Parsed,
    Within,
    by_day,
    chunks_of,
    instants,
    last_of,
    nullable,
    prices_of,
    quality_of,
    records_of,
    times_of,
    us_of,
)

if TYPE_CHECKING:
    from databento.common.dbnstore import DBNStore


MAX_SHARE_OF_OTHER_TICKS = 0.05  # of an answer's options; fewer are quarantined one by one
STRIKE_RANGE = 4  # median strike over settlement, either way: the chain of a fallen market reaches 2 or 3, another unit begins at 8
# Start of a day's quotes, exchange time: nothing of the night before. Not later: a record is made only when the book moves, so the quote
# that stands at the cut can be hours old where little is traded, and the chain takes it whatever its age. Nor would a later start be
# much cheaper: a request is a month in one piece, and only its first morning would be left out.
FROM = dt.time(8)
SMALLEST_TICK, LARGEST_TICK = 1 / 10, 2  # of an option, in ticks of its future: halves and eighths are usual, a hundredth is another unit


class OptionDefinitions(Definitions):
    """The option that an instrument id named on a day."""

    statistics = OPTION_STATISTICS

    def contracts(self, rows: np.ndarray, numbers: np.ndarray) -> dict[str, pa.Array]:
        """The columns that name an option; what it is, its definition says."""
        named = super().contracts(rows, numbers)
        return {name: named[name] for name in ("instrument", "instrument_id")}

    @staticmethod
    def wanted(symbol: str) -> bool:
        """Whether *symbol*, which nothing defines, should have been: anything but the combinations, whose names hold a colon."""
        return ":" not in symbol


def parse_option_definitions(
    store: "DBNStore",
    market: Market,
    *,
    synthetic: bool,
    degraded: Degraded,
    place: str,
    futures: pa.Table | None = None,
    settlement: float | None = None,
    within: Within | None = None,
) -> Parsed:
    """
    Calls and puts of a ``definition`` answer; combinations are left out.

    An option without a strike or an expiration, with a tick in another unit, or whose underlying is unknown, is quarantined. A strike
    of 0 or less is one where the market's prices can lie there.

    Args:
        futures: rows of ``futures_definitions``, from which an underlying that a snapshot leaves out is derived, ``partial``.
        settlement: usual settlement of the market's futures in these days, price units; None where none is at hand.

    Raises:
        VendorContentError: ticks or strikes are no option's of this market: prices are in another unit than configured.
    """
    raw = records_of(store, "definition", within)
    rows = raw[np.isin(raw["instrument_class"], [b"C", b"P"])]
    left_out = len(raw) - len(rows)
    stamp = rows["ts_recv"].astype(np.int64)
    tick, strike = prices_of(rows["min_price_increment"]), prices_of(rows["strike_price"])
    share = tick / market.tick
    other_unit = ~((share > SMALLEST_TICK) & (share <= LARGEST_TICK))
    underlying, underlying_id = rows["underlying"].copy(), rows["underlying_id"].astype(np.int64)
    blank = (underlying_id == 0) | (underlying == b"")
    if futures is not None:
        _derive(underlying, underlying_id, blank, rows["expiration"], stamp // DAY_NS, futures)
    faults = (
        ((underlying_id == 0) | (underlying == b""), "no underlying"),
        (np.isnan(strike) if market.below_zero else ~(strike > 0), "no strike"),
        (rows["expiration"] == UNDEF_TIME, "no expiration"),
        (~(tick > 0), "no tick"),
        (other_unit, f"a tick of another unit than {market.symbol}'s {market.tick:g}"),
    )
    bad, quarantined, places = np.zeros(len(rows), dtype=bool), list[str](), list[int]()
    for fault, why in faults:
        found = np.flatnonzero(fault & ~bad)
        places += found.tolist()
        quarantined += [f"{rows['raw_symbol'][i].decode()} (id {rows['instrument_id'][i]}): {why}" for i in found]
        bad |= fault
    lost = by_day(stamp[places] // DAY_NS, quarantined)
    strange = np.flatnonzero(other_unit & (tick > 0))
    _refuse_other_units(rows["raw_symbol"][strange], tick[strange], len(rows), strike[~bad], market, settlement, place)
    # Several messages of one instant about one option: the vendor's last one stands.
    kept = np.flatnonzero(~bad)
    kept = kept[last_of(rows["instrument_id"][kept].astype(np.int64), stamp[kept])]
    repeated = len(rows) - int(bad.sum()) - len(kept)
    rows, stamp = rows[kept], stamp[kept]
    dates = stamp // DAY_NS
    table = pa.table(
        {
            "instrument": _text(rows["raw_symbol"]),
            "instrument_id": pa.array(rows["instrument_id"].astype(np.int64)),
            "underlying": _text(underlying[kept]),
            "underlying_id": pa.array(underlying_id[kept]),
            "right": _text(rows["instrument_class"]),
            "strike": pa.array(strike[kept]),
            "expiration": instants(rows["expiration"].astype(np.int64) // 1000),
            **times_of(dates, stamp),
            "tick": pa.array(tick[kept]),
            "multiplier": pa.array(np.full(len(rows), market.contract_multiplier)),
            **quality_of(dates, synthetic, degraded, partial=blank[kept]),
        }
    )
    return Parsed(OPTION_DEFINITIONS.conform(table), len(raw), left_out, repeated, quarantined, lost=lost)


def _derive(
    underlying: np.ndarray, underlying_id: np.ndarray, blank: np.ndarray, expiration: np.ndarray, days: np.ndarray, futures: pa.Table
) -> None:
    """Fill blanks in place: the one future defined then that has the name or id given, or that expires in the option's month."""
    known_days, known_ids = us_of(futures["as_of"]) // DAY_US, futures["instrument_id"].to_numpy()
    names = np.array([name.encode() for name in futures["instrument"].to_pylist()], dtype=underlying.dtype)
    months = us_of(futures["expiration"]).astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)
    places = np.flatnonzero(blank & (expiration != UNDEF_TIME))
    option_months = (expiration[places] // 1000).astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)
    for day, month, name, number in set(
        zip(
            days[places].tolist(), option_months.tolist(), underlying[places].tolist(), underlying_id[places].tolist(), strict=True
        )
    ):  # fmt: skip
        fits = (known_days <= day) & (day - known_days <= DEFINED_WITHIN)
        fits &= names == name if name else known_ids == number if number else months == month
        newest = fits & (known_days == known_days[fits].max(initial=0))
        found = set(zip(names[newest].tolist(), known_ids[newest].tolist(), strict=True))
        if len(found) == 1:
            alike = places[(days[places] == day) & (option_months == month)]
            alike = alike[(underlying[alike] == name) & (underlying_id[alike] == number)]
            underlying[alike], underlying_id[alike] = found.pop()


def _refuse_other_units(
    symbols: np.ndarray, ticks: np.ndarray, options: int, strikes: np.ndarray, market: Market, settlement: float | None, place: str
) -> None:
    """Raise VendorContentError where *symbols*, whose ticks are no option's, are too many, or the strikes lie far from the settlement."""
    remedy = "Prices are in another unit: mend tick or contract_multiplier in markets.yaml before anything is kept"
    if len(symbols) > MAX_SHARE_OF_OTHER_TICKS * options:
        raise VendorContentError(
            f"{place}: {symbols[0].decode()} moves by {ticks[0]:g}; {market.symbol} is configured with ticks of {market.tick:g}"
            f" {market.price_unit}. {remedy}"
        )
    if settlement is not None and len(strikes) and not 1 / STRIKE_RANGE <= np.median(strikes) / settlement <= STRIKE_RANGE:
        raise VendorContentError(
            f"{place}: the strikes lie around {np.median(strikes):g}, {market.symbol} settles around {settlement:g} {market.price_unit}."
            f" {remedy}"
        )


def parse_option_quotes(
    store: "DBNStore",
    definitions: OptionDefinitions,
    *,
    cut: DatedTime,
    zone: dt.tzinfo,
    synthetic: bool,
    degraded: Degraded,
    within: Within | None = None,
) -> Parsed:
    """
    The last quote of each option and day in a ``bbo-1m`` answer, from `FROM` to *cut* o'clock in *zone*, both included.

    A side without an order is null: undefined, or a price of 0. Records after the cut are not looked at.

    Returns:
        Rows available at the cut; combinations are left out. What nothing usable defines on its day is what its id was on the days
        before, ``partial``, unless that has expired; what nothing defines is quarantined.
    """
    chunks = chunks_of(store, "bbo-1m", within)
    raw = next(chunks)
    total, raw = len(raw), _last_quotes(raw, cut, zone)
    for records in chunks:  # only the last quotes so far stay in memory
        total, raw = total + len(records), _last_quotes(np.concatenate([raw, records]), cut, zone)
    stamp, numbers = raw["ts_recv"].astype(np.int64), raw["instrument_id"].astype(np.int64)
    days, cuts = _day_and_cut(stamp, cut, zone)
    row = definitions.find(numbers, days)
    row = np.where(definitions.expired(row, days), -1, row)
    left_out, lost = unknown(store, definitions, numbers[row < 0], days[row < 0])
    keep = row >= 0
    raw, stamp, days, cuts, numbers, row = raw[keep], stamp[keep], days[keep], cuts[keep], numbers[keep], row[keep]
    inferred = definitions.find(numbers, days, within=0) < 0
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
            **quality_of(days, synthetic, degraded, partial=inferred),
        }
    )
    return Parsed(OPTION_QUOTES.conform(table), total, left_out, 0, list(chain.from_iterable(lost.values())), lost=lost)


def _last_quotes(records: np.ndarray, cut: DatedTime, zone: dt.tzinfo) -> np.ndarray:
    """The last one of *records* of each option and day within the hours of quotes."""
    stamp = records["ts_recv"].astype(np.int64)
    days, _ = _day_and_cut(stamp, cut, zone)
    inside = np.flatnonzero(days >= 0)
    last: np.ndarray = records[inside[last_of(records["instrument_id"][inside].astype(np.int64), days[inside], by=stamp[inside])]]
    return last


def _day_and_cut(stamp: np.ndarray, cut: DatedTime, zone: dt.tzinfo) -> tuple[np.ndarray, np.ndarray]:
    """The day (since 1970) whose hours of quotes hold each instant, -1 where none does, and the day's cut in nanoseconds."""
    if not len(stamp):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    first, final = int(stamp.min() // DAY_NS) - 1, int(stamp.max() // DAY_NS) + 1
    days = np.arange(first, final + 1)
    opens = np.array([_ns(int(day), FROM, zone) for day in days])
    cuts = np.array([_ns(int(day), cut.on(EPOCH + dt.timedelta(int(day))), zone) for day in days])
    at = np.searchsorted(opens, stamp, side="right") - 1
    inside = (at >= 0) & (stamp <= cuts[at])
    return np.where(inside, days[at], -1), cuts[at]


def _ns(day: int, clock: dt.time, zone: dt.tzinfo) -> int:
    return round(dt.datetime.combine(EPOCH + dt.timedelta(day), clock, zone).timestamp()) * 10**9


def _text(values: np.ndarray) -> pa.Array:
    return pa.array([value.decode() for value in values.tolist()], pa.string())
