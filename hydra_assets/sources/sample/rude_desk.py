"""Refusals and metadata of the real Databento: pure functions of a request's range and the clock."""

import datetime as dt

from hydra_assets.sources.sample.monthly import NS_PER_S, ns
from hydra_assets.sources.sample.rude import Rudeness
from hydra_assets.sources.sample.rude_seeds import DAY_NS, number_of

LIVE = dt.timedelta(1)
REGENERATED_BEFORE = dt.date(2025, 1, 1)
REGENERATED_ON = dt.date(2026, 8, 3)  # and the seven weeks after it
# Dollars a GB of uncompressed records. Daily bars and definitions: published ledgers of 2026; quotes and statistics: estimates from them.
LIVE_PRICES = {"ohlcv-1d": 177.0, "definition": 1.3, "statistics": 11.0, "bbo-1m": 2.0}


def counted_range(schema: str, low: int, high: int, rude: Rudeness) -> tuple[int, int]:
    """The range whose records get_record_count counts: outwards to 10 minutes, or to days for definitions."""
    if not rude.counts:
        return low, high
    step = DAY_NS if schema == "definition" else 600 * NS_PER_S
    return low // step * step, -(-high // step) * step


def is_too_long(low: int, high: int, rude: Rudeness) -> bool:
    """Whether a stream of so many days ends as 504."""
    return rude.too_large and high - low > rude.max_days * DAY_NS


def is_too_big(size: int, rude: Rudeness) -> bool:
    """Whether a stream of so many bytes ends as 504."""
    return rude.too_large and size > rude.max_bytes


def live_since(high: int, now: dt.datetime, rude: Rudeness) -> dt.datetime | None:
    """The instant after which a live licence is needed, where the range ends after it."""
    instant = (now - LIVE).replace(microsecond=0)
    return instant if rude.live_licence and high > ns(instant) else None


def last_modified(day: dt.date, polite: dt.date, now: dt.datetime, rude: Rudeness) -> dt.date:
    """The date of the last change of *day*, raised where its files were generated anew."""
    if not rude.regenerated or day >= REGENERATED_BEFORE:
        return polite
    made = REGENERATED_ON + dt.timedelta(number_of(day) % 50)
    return max(polite, min(made, now.date()))


def first_day(polite: dt.date, rude: Rudeness) -> dt.date:
    """The first day of the vendor's history: with definitions on Sundays, the Sunday before the first session."""
    return polite - dt.timedelta(1) if rude.sundays else polite
