"""Session days and early closes by year, as `pandas_market_calendars` has them; imported at first use only (0.4 s, no network)."""

import datetime as dt
from functools import lru_cache
from typing import Any


@lru_cache(maxsize=512)
def session_days(exchange: str, year: int) -> frozenset[dt.date]:
    """Sessions of *year*, early closes included; *exchange* is a name of `pandas_market_calendars`."""
    days = _exchange(exchange).valid_days(*_bounds(year))
    return frozenset(day.date() for day in days)


@lru_cache(maxsize=512)
def early_closes(exchange: str, year: int) -> frozenset[dt.date]:
    """Days of *year* on which trading ends before its usual hour."""
    days = _exchange(exchange).special_dates("market_close", *_bounds(year)).index
    return frozenset(day.date() for day in days)


@lru_cache(maxsize=16)
def _exchange(name: str) -> Any:
    import pandas_market_calendars

    return pandas_market_calendars.get_calendar(name)


def _bounds(year: int) -> tuple[dt.date, dt.date]:
    return dt.date(year, 1, 1), dt.date(year, 12, 31)
