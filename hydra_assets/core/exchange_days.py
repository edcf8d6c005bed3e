"""Session days and early closes by year, as `pandas_market_calendars` has them; imported at first use only (0.4 s, no network)."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

_YEARS = 20  # asked for at once: a year takes as long as twenty
Days = Mapping[int, frozenset[dt.date]]


def session_days(exchange: str, year: int) -> frozenset[dt.date]:
    """Sessions of *year*, early closes included; *exchange* is a name of `pandas_market_calendars`."""
    return _sessions(exchange, year // _YEARS).get(year, frozenset())


def early_closes(exchange: str, year: int) -> frozenset[dt.date]:
    """Days of *year* on which trading ends before its usual hour."""
    return _early_closes(exchange, year // _YEARS).get(year, frozenset())


@lru_cache(maxsize=64)
def _sessions(exchange: str, block: int) -> Days:
    return _by_year(_exchange(exchange).valid_days(*_bounds(block)))


@lru_cache(maxsize=64)
def _early_closes(exchange: str, block: int) -> Days:
    return _by_year(_exchange(exchange).special_dates("market_close", *_bounds(block)).index)


@lru_cache(maxsize=16)
def _exchange(name: str) -> Any:
    import pandas_market_calendars

    return pandas_market_calendars.get_calendar(name)


def _bounds(block: int) -> tuple[dt.date, dt.date]:
    return dt.date(block * _YEARS, 1, 1), dt.date(block * _YEARS + _YEARS - 1, 12, 31)


def _by_year(stamps: Iterable[Any]) -> Days:
    found: defaultdict[int, set[dt.date]] = defaultdict(set)
    for stamp in stamps:
        found[stamp.year].add(stamp.date())
    return {year: frozenset(days) for year, days in found.items()}
