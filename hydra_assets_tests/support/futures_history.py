"""Futures histories for tests: the synthetic curve as the lake would hold it, and tables of a few lines written by hand."""

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from hydra_assets.config.load import load_config
from hydra_assets.core.calendar import LIVESTOCK
from hydra_assets.core.instants import day_us, to_us
from hydra_assets.core.tables.futures import FUTURES_BARS, FUTURES_DEFINITIONS, FUTURES_STATISTICS
from hydra_assets.sources.sample.curve import Curve

CHICAGO = ZoneInfo("America/Chicago")


def ct(day: dt.date, clock: str, ms: int = 0) -> dt.datetime:
    return dt.datetime.combine(day, dt.time.fromisoformat(clock), CHICAGO) + dt.timedelta(milliseconds=ms)


def statistic(instrument, expiration, stat, day, at, value, *, is_final=True, quality="normal", stamped_at=None):
    """One row of futures_statistics."""
    return {
        "instrument": instrument,
        "instrument_id": 1,
        "expiration": expiration,
        "stat": stat,
        "as_of": dt.datetime.combine(day, dt.time(), dt.UTC),
        "available_at": at,
        "stamped_at": stamped_at or at,
        "value": value,
        "is_final": is_final if stat == "settlement" else None,
        "quality": quality,
        "synthetic": True,
    }


def bar(instrument, expiration, day, high, low, *, at=None, quality="normal", close=None, volume=10):
    start = dt.datetime.combine(day, dt.time(), dt.UTC)
    close = close if close is not None else low
    return {
        "instrument": instrument,
        "instrument_id": 1,
        "expiration": expiration,
        "as_of": start,
        "available_at": at or start + dt.timedelta(1),
        "open": close,
        "high": high,
        "low": low,
        "close": close,
        "volume": volume,
        "quality": quality,
        "synthetic": True,
    }


def limit(instrument, expiration, day, low, high, *, at=None):
    """One row of futures_definitions, with price limits."""
    start = dt.datetime.combine(day, dt.time(), dt.UTC)
    return {
        **{"instrument": instrument, "instrument_id": 1, "expiration": expiration, "instrument_class": "F", "as_of": start},
        **{"available_at": at or start, "stamped_at": at or start, "tick": 0.025, "multiplier": 400.0},
        **{"low_limit": low, "high_limit": high, "quality": "normal", "synthetic": True},
    }


def tables(statistics, bars=(), limits=()):
    """Inputs of `compute` from rows; definitions only where there are *limits*."""
    defined = {"futures_definitions": pa.Table.from_pylist(list(limits), schema=FUTURES_DEFINITIONS.schema)} if limits else {}
    return defined | {
        "futures_statistics": pa.Table.from_pylist(list(statistics), schema=FUTURES_STATISTICS.schema),
        "futures_bars": pa.Table.from_pylist(list(bars), schema=FUTURES_BARS.schema),
    }


def history(first: dt.date, last: dt.date, symbol="HE", *, contracts=None) -> dict[str, pa.Table]:
    """The synthetic curve's prints from *first* to *last*, made column by column: ten years take a second."""
    curve = Curve(load_config().market(symbol))
    days = LIVESTOCK.session_days(first, last)
    evening = np.array([to_us(ct(day, "18:00")) for day in days])
    morning = np.array([to_us(ct(LIVESTOCK.next_session(day), "06:45")) for day in days])
    midnight = np.array([day_us(day) for day in days])
    parts, bars = [], []
    for k, contract in enumerate(curve.contracts[:contracts]):
        inside = np.array([contract.listed <= day <= contract.last_day for day in days])
        if not inside.any():
            continue
        life = curve.history(contract)
        place = curve.at(contract, next(d for d, i in zip(days, inside, strict=True) if i))[1] + np.arange(inside.sum())
        n = int(inside.sum())
        expiration = to_us(contract.expiration)
        for stat, values, at in (
            ("settlement", life.settle[place], evening[inside] + 5000 * k),
            ("open_interest", life.open_interest[place].astype(float), morning[inside] + 3000 * k),
            ("cleared_volume", life.volume[place].astype(float), morning[inside] + 1000 * k),
        ):
            parts.append((contract, expiration, stat, midnight[inside], at, values, n))
        bars.append((contract, expiration, midnight[inside], life.high[place], life.low[place], life.close[place], n))
    return {"futures_statistics": _statistics(parts), "futures_bars": _bars(bars)}


def _us(values) -> pa.Array:
    return pa.array(np.concatenate(values).astype(np.int64)).cast(pa.timestamp("us", tz="UTC"))


def _repeat(parts, of, kind):
    return pa.array(np.concatenate([np.repeat(of(part), part[-1]) for part in parts]), kind)


def _statistics(parts):
    final = np.concatenate([np.full(p[-1], p[2] == "settlement") for p in parts])
    table = pa.table(
        {
            "instrument": _repeat(parts, lambda p: p[0].symbol, pa.string()),
            "instrument_id": _repeat(parts, lambda p: p[0].instrument_id, pa.int64()),
            "expiration": _us([np.full(p[-1], p[1]) for p in parts]),
            "stat": _repeat(parts, lambda p: p[2], pa.string()),
            "as_of": _us([p[3] for p in parts]),
            "available_at": _us([p[4] for p in parts]),
            "stamped_at": _us([p[4] for p in parts]).cast(pa.timestamp("ns", tz="UTC")),
            "value": pa.array(np.concatenate([p[5] for p in parts])),
            "is_final": pa.array(final, mask=~final),
            "quality": pa.array(["normal"] * len(final)),
            "synthetic": pa.array([True] * len(final)),
        }
    )
    return table.cast(FUTURES_STATISTICS.schema)


def _bars(parts):
    days = [p[2] for p in parts]
    n = sum(p[-1] for p in parts)
    table = pa.table(
        {
            "instrument": _repeat(parts, lambda p: p[0].symbol, pa.string()),
            "instrument_id": _repeat(parts, lambda p: p[0].instrument_id, pa.int64()),
            "expiration": _us([np.full(p[-1], p[1]) for p in parts]),
            "as_of": _us(days),
            "available_at": _us([day + 86_400_000_000 for day in days]),
            "open": pa.array(np.concatenate([p[5] for p in parts])),
            "high": pa.array(np.concatenate([p[3] for p in parts])),
            "low": pa.array(np.concatenate([p[4] for p in parts])),
            "close": pa.array(np.concatenate([p[5] for p in parts])),
            "volume": pa.array([10] * n, pa.int64()),
            "quality": pa.array(["normal"] * n),
            "synthetic": pa.array([True] * n),
        }
    )
    return table.cast(FUTURES_BARS.schema)
