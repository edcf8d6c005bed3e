"""What is due: days that the vendor has and the lake has not, or that the vendor has changed since; knows no Dagster."""

import datetime as dt
import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from hydra_assets.core.market import Market
from hydra_assets.core.months import Month
from hydra_assets.core.releases import ReleaseCalendar
from hydra_assets.flow.feeds.databento import SCHEMAS, plan_of
from hydra_assets.sources.databento import DatabentoSource
from hydra_assets.storage.lake import ParquetLake

Place = tuple[str, Month]


@dataclass(frozen=True)
class Work:
    """
    What of one market's month is due.

    Attributes:
        days: table to its due days, each with the vendor's date of the last change.
    """

    market: str
    month: Month
    days: Mapping[str, Mapping[dt.date, dt.date]]

    @property
    def mark(self) -> str:
        """The same for the same work, another one as soon as a day is added or changed again."""
        told = sorted((table, day, changed) for table, days in self.days.items() for day, changed in days.items())
        return hashlib.sha256(repr(told).encode()).hexdigest()[:16]

    def __str__(self) -> str:
        days = sorted({day for days in self.days.values() for day in days})
        return f"{self.market} {self.month}: {len(days)} day(s) from {days[0]}"


@dataclass
class Survey:
    """
    What a look at the vendor's free answers gave.

    Attributes:
        work: what can be had, by market and month.
        waiting: day to why it cannot be had yet, the newest word of any table.
        degraded: held days that the vendor says are of reduced quality; fetched again when it mends them.
    """

    work: list[Work] = field(default_factory=list)
    waiting: dict[dt.date, str] = field(default_factory=dict)
    degraded: set[dt.date] = field(default_factory=set)


def survey(
    source: DatabentoSource,
    lake: ParquetLake,
    markets: Iterable[Market],
    months_of: Callable[[str], Collection[Month]],
    today: dt.date,
) -> Survey:
    """
    Every table of the vendor against what is held.

    Args:
        months_of: a market's months to look at.
        today: no later day is looked at.
    Raises:
        VendorError: from the source's free calls.
    """
    seen = Survey()
    for market in markets:
        months = sorted(months_of(market.symbol))
        due: dict[Month, dict[str, dict[dt.date, dt.date]]] = {}
        for table in SCHEMAS:
            plan = plan_of(source, lake, table, market, months, today)
            for run in plan.runs:
                for day in run.days:
                    due.setdefault(Month.of(day), {}).setdefault(table, {})[day] = run.changed[day]
            seen.waiting.update({day: f"{table} of {day}: {why}" for day, why in plan.gaps.items()})
            seen.degraded |= {day for day in source.ledger.captured(table, market.symbol) if plan.degraded(day)}
        seen.work += [Work(market.symbol, month, due[month]) for month in sorted(due)]
    return seen


def months_held(source: DatabentoSource, market: str) -> set[Month]:
    """Months of which any table has a captured day."""
    return {Month.of(day) for table in SCHEMAS for day in source.ledger.captured(table, market)}


def reports_due(calendar: ReleaseCalendar, lake: ParquetLake, market: Market, since: dt.datetime, now: dt.datetime) -> list[dt.date]:
    """COT reports that came out after *since* and until *now* by the calendar, and that the lake does not hold."""
    last = now.date()
    candidates = calendar.report_dates(last - dt.timedelta(120), last)  # a shutdown can hold one back by months
    out = [day for day in candidates if since < calendar.release(day).available_at <= now]
    if not out:
        return []
    rows = lake.read("cot_disaggregated", market.symbol, out[0], out[-1])  # lookahead-ok: only which reports are held
    held = {as_of.date() for as_of in rows["as_of"].to_pylist()} if rows.num_rows else set()
    return [day for day in out if day not in held]
