"""DBN records of futures to rows of the raw tables: class from the definition, prices in the market's unit, the vendor's own stamps."""

import datetime as dt
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from hydra_assets.core.calendar import DEFAULT_CALENDAR, Calendar
from hydra_assets.core.instants import DAY_US
from hydra_assets.core.market import Market
from hydra_assets.core.tables.futures import FUTURES_BARS, FUTURES_DEFINITIONS
from hydra_assets.errors import VendorContentError
from hydra_assets.sources.databento_join import Definitions, unknown
from hydra_assets.sources.databento_records import (
    DAY_NS,
    EPOCH,
    UNDEF_TIME,
    Degraded,
    Parsed,
    Within,
    by_day,
    instants,
    last_of,
    nullable,
    prices_of,
    quality_of,
    records_of,
    times_of,
)
from hydra_assets.sources.databento_statistics import parse_statistics

if TYPE_CHECKING:
    from databento.common.dbnstore import DBNStore


__all__ = ["Definitions", "Parsed", "parse_bars", "parse_definitions", "parse_statistics", "records_of"]


def parse_definitions(
    store: "DBNStore", market: Market, *, synthetic: bool, degraded: Degraded, place: str, within: Within | None = None
) -> Parsed:
    """
    Outright futures of a ``definition`` answer.

    One without an expiration is quarantined: it is no contract.

    Raises:
        VendorContentError: tick x multiplier is not the market's tick value: prices are in another unit than configured.
    """
    raw = records_of(store, "definition", within)
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
    ends = rows["expiration"] != UNDEF_TIME
    quarantined = [f"{row['raw_symbol'].decode()} (id {row['instrument_id']}): no expiration" for row in rows[~ends]]
    left_out, received = len(raw) - len(rows), stamp // DAY_NS
    # Several messages of one instant about one contract: the vendor's last one stands.
    kept = np.flatnonzero(ends)
    kept = kept[last_of(rows["instrument_id"][kept].astype(np.int64), stamp[kept])]
    repeated = int(ends.sum()) - len(kept)
    rows, stamp, tick = rows[kept], stamp[kept], tick[kept]
    n, dates = len(rows), stamp // DAY_NS
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
            **quality_of(dates, synthetic, degraded),
        }
    )
    lost = by_day(received[~ends], quarantined)
    return Parsed(FUTURES_DEFINITIONS.conform(table), len(raw), left_out, repeated, quarantined, lost=lost)


def parse_bars(
    store: "DBNStore",
    definitions: Definitions,
    *,
    synthetic: bool,
    degraded: Degraded,
    calendar: Calendar = DEFAULT_CALENDAR,
    within: Within | None = None,
) -> Parsed:
    """
    Daily bars of an ``ohlcv-1d`` answer, by UTC date; known at their start plus one day.

    Args:
        calendar: the market's; where a UTC day is not one session by it (before a change of hours, on a Sunday), a bar is ``partial``.
    """
    raw = records_of(store, "ohlcv-1d", within)
    numbers, start = raw["instrument_id"].astype(np.int64), raw["ts_event"].astype(np.int64)
    days = start // DAY_NS
    row = definitions.find(numbers, days)
    left_out, lost = unknown(store, definitions, numbers[row < 0], days[row < 0])
    keep = row >= 0
    mixed = [int(day) for day in np.unique(days) if not calendar.bar_is_session(EPOCH + dt.timedelta(int(day)))]
    raw, numbers, days, row = raw[keep], numbers[keep], days[keep], row[keep]
    table = pa.table(
        {
            **definitions.contracts(row, numbers),
            "as_of": instants(days * DAY_US),
            "available_at": instants((days + 1) * DAY_US),
            **{name: nullable(prices_of(raw[name])) for name in ("open", "high", "low", "close")},
            "volume": pa.array(raw["volume"].astype(np.int64)),
            **quality_of(days, synthetic, degraded, partial=np.isin(days, mixed)),
        }
    )
    return Parsed(FUTURES_BARS.conform(table), len(keep), left_out, 0, list(chain.from_iterable(lost.values())), lost=lost)
