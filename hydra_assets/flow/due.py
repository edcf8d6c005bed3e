"""Days that are due: vendors have them and the lake has not, or vendors have changed them since."""

import datetime as dt
import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from hydra_assets.config.load import Config
from hydra_assets.core.market import Market
from hydra_assets.core.months import Month
from hydra_assets.core.releases import ReleaseCalendar
from hydra_assets.core.tables.cot import COT_DISAGGREGATED
from hydra_assets.errors import ConfigError, VendorError
from hydra_assets.flow.feed import AnyFeed, held_days
from hydra_assets.flow.feeds.registry import FEEDS
from hydra_assets.storage.lake import ParquetLake


@dataclass(frozen=True)
class DueMonth:
    """
    Due days of one market's month.

    Attributes:
        days: table to its due days, each with the vendor's date of the last change.
    """

    market: str
    month: Month
    days: Mapping[str, Mapping[dt.date, dt.date]]

    @property
    def fingerprint(self) -> str:
        """Equal for the same due days; another one as soon as a day is added or changed again."""
        changes = sorted((table, day, changed) for table, days in self.days.items() for day, changed in days.items())
        return hashlib.sha256(repr(changes).encode()).hexdigest()[:16]

    def __str__(self) -> str:
        days = sorted({day for days in self.days.values() for day in days})
        return f"{self.market} {self.month}: {len(days)} day(s) from {days[0]}"


@dataclass
class DueReport:
    """
    Result of one look at the vendors' free answers.

    Attributes:
        months: due months by market.
        waiting: day to the reason why it cannot be had yet, of the last table that has one.
        degraded: held days that the vendor says are of reduced quality; fetched again when it mends them.
        unanswered: a message for each vendor that gave no answer; the others' days are due all the same.
        looked_at: number of months looked at.
    """

    months: list[DueMonth] = field(default_factory=list)
    waiting: dict[dt.date, str] = field(default_factory=dict)
    degraded: set[dt.date] = field(default_factory=set)
    unanswered: list[str] = field(default_factory=list)
    looked_at: int = 0


def find_due(
    open_source: Callable[[str], AbstractContextManager[Any]],
    feeds: Iterable[str],
    lake: ParquetLake,
    markets: Collection[Market],
    months_of: Callable[[AnyFeed, Any, str], Collection[Month]],
    config: Config,
    now: dt.datetime,
) -> DueReport:
    """
    Compare every table of *feeds* with what is held. A vendor that gives no answer costs its own tables' days alone.

    Args:
        open_source: opens the source of a feed by its name.
        feeds: names of the feeds to ask.
        lake: the lake.
        markets: markets to look at.
        months_of: the months to look at, by feed, source and market.
        config: the settings.
        now: no later day is looked at.
    """
    report = DueReport()
    days: dict[tuple[str, Month], dict[str, dict[dt.date, dt.date]]] = {}
    for feed in map(FEEDS.__getitem__, feeds):
        try:
            with open_source(feed.name) as source:
                for market in markets:
                    months = sorted(months_of(feed, source, market.symbol))
                    report.looked_at += len(months)
                    for table in feed.tables if months else ():
                        due = feed.due(source, lake, table, market, months, config, now)
                        for day, changed in due.days.items():
                            days.setdefault((market.symbol, Month.of(day)), {}).setdefault(table.name, {})[day] = changed
                        report.waiting.update({day: f"{table.name} of {day}: {why}" for day, why in due.waiting.items()})
                        report.degraded |= due.degraded
        except (VendorError, ConfigError) as error:
            report.unanswered.append(f"{feed.title} gave no answer: {error}")
    order = [market.symbol for market in markets]
    report.months = [DueMonth(*place, days[place]) for place in sorted(days, key=lambda place: (order.index(place[0]), place[1]))]
    return report


def reports_due(calendar: ReleaseCalendar, lake: ParquetLake, market: Market, since: dt.datetime, now: dt.datetime) -> list[dt.date]:
    """
    COT reports that came out after *since* and until *now* by the calendar, and that the lake does not hold.

    A report that was looked at and is of other markets alone is not due.
    """
    last = now.date()
    candidates = calendar.report_dates(last - dt.timedelta(120), last)  # a shutdown can hold one back by months
    out = [day for day in candidates if since < calendar.release(day).available_at <= now]
    if not out:
        return []
    held = held_days(lake, COT_DISAGGREGATED, market.symbol, out[0], out[-1])
    held |= lake.unpublished(COT_DISAGGREGATED.name, market.symbol, out[0], out[-1])
    return [day for day in out if day not in held]
