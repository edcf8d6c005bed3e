"""
From Databento's history to the months of the raw tables of futures and options; knows no Dagster.

A day counts as captured only once the vendor's range has passed its last possible record; earlier it is a gap, and asked for
again. One request is made per table and contiguous run of missing days, and per year of options, whose answers are large.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.config.home import Home
from hydra_assets.config.load import Config, load_release_calendar
from hydra_assets.core.market import Market
from hydra_assets.core.months import Month
from hydra_assets.core.option_rules import OptionRules
from hydra_assets.core.rows import rows_between
from hydra_assets.core.sessions import session_days
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.errors import VendorContentError
from hydra_assets.flow.batch import Batch, Captured
from hydra_assets.flow.feeds.sample import rudeness
from hydra_assets.sources.databento import Condition, DatabentoSource, Payload, Quote, Request
from hydra_assets.sources.databento_client import Limits
from hydra_assets.sources.databento_join import Definitions
from hydra_assets.sources.databento_options import FROM, OptionDefinitions, parse_option_definitions, parse_option_quotes
from hydra_assets.sources.databento_parse import parse_bars, parse_definitions
from hydra_assets.sources.databento_records import Parsed, Within
from hydra_assets.sources.databento_statistics import parse_statistics
from hydra_assets.sources.ledger import Budget, Ledger
from hydra_assets.storage.capture import Look
from hydra_assets.storage.lake import ParquetLake

SOURCE = "databento"
CHICAGO = ZoneInfo("America/Chicago")
MAX_FETCHES = 3  # of one day's table, however often the vendor mends it
SCHEMAS = {
    "futures_definitions": "definition",
    "futures_bars": "ohlcv-1d",
    "futures_statistics": "statistics",
    "option_definitions": "definition",
    "option_quotes": "bbo-1m",
    "option_statistics": "statistics",
}
DEFAULT_CUT = OptionRules().cut_time
NO_ROOTS = "no option_roots configured"
_DEFINED_BEFORE = dt.timedelta(10)
_AFTER_CUT = dt.timedelta(minutes=5)  # in which the minute that ends at the cut is surely in


@contextmanager
def open_databento(home: Home, config: Config, *, key: str, run: str = "by hand", unattended: bool = False) -> Iterator[DatabentoSource]:
    """
    Databento of *home*'s world: the real one, or the embedded vendor on loopback, whose prices are as synthetic as its data.

    Args:
        run: whose spending counts together. unattended: asked for by a schedule or sensor.
    """
    asked = config.databento
    limits = Limits(asked.connect_timeout_s, asked.read_timeout_s, asked.deadline_s)
    with Ledger(home.ledger) as ledger:
        if home.world == "live":
            budget = Budget(run, asked.run_budget_usd, asked.day_budget_usd, asked.unattended_day_budget_usd, unattended)
            yield DatabentoSource(key, asked.gateway, home.archives, ledger, budget=budget, limits=limits, max_attempts=asked.max_attempts)
            return
        from hydra_assets.sources.sample.databento import SAMPLE_KEY
        from hydra_assets.sources.sample.server import SampleVendor

        with SampleVendor(config.markets, load_release_calendar(), cache=home.cache, rude=rudeness(config)) as vendor:
            budget = Budget(run, unattended=unattended)
            yield DatabentoSource(
                SAMPLE_KEY, vendor.url, home.archives, ledger, budget=budget, limits=limits, max_attempts=asked.max_attempts
            )


# ---------------------------------------------------------------- what is missing


def complete_at(data_type: str, day: dt.date, *, cut: dt.time = DEFAULT_CUT) -> dt.datetime:
    """
    When the last record that describes *day* can have been published.

    Statistics: noon in Chicago of the next session, for its morning brings the open interest. Quotes of options: shortly after the
    *cut*. Else the end of the UTC day.
    """
    if SCHEMAS[data_type] == "statistics":
        return _chicago(_next_session(day), dt.time(12))
    if data_type == "option_quotes":
        return _chicago(day, cut) + _AFTER_CUT
    return dt.datetime.combine(day, dt.time(), dt.UTC) + dt.timedelta(1)


@dataclass(frozen=True)
class Run:
    """Contiguous sessions to ask for, with the vendor's date of the last change of each."""

    days: tuple[dt.date, ...]
    changed: Mapping[dt.date, dt.date]

    @property
    def seen_since(self) -> dt.date:
        """An answer seen earlier lacks a change."""
        return max(self.changed.values())


@dataclass
class Plan:
    """
    What of the months asked is missing.

    Attributes:
        runs: to be asked for. gaps: days that cannot be captured yet, with the reason. held: days captured already.
        conditions: the vendor's word on each day. days: the sessions looked at.
        cut: Chicago's time of day up to which quotes of options count.
    """

    data_type: str
    market: Market
    cut: dt.time = DEFAULT_CUT
    runs: list[Run] = field(default_factory=list)
    gaps: dict[dt.date, str] = field(default_factory=dict)
    held: int = 0
    conditions: Mapping[dt.date, Condition] = field(default_factory=dict)
    days: frozenset[dt.date] = frozenset()

    def degraded(self, day: dt.date) -> bool:
        """Whether the vendor says that the day's data are of reduced quality."""
        condition = self.conditions.get(day)
        return condition is not None and condition.status == "degraded"

    @property
    def of_options(self) -> bool:
        """Whether the table is one of options."""
        return self.data_type.startswith("option_")

    @property
    def symbols(self) -> str:
        """The parent symbols asked for; empty where the market has no options."""
        return ",".join(f"{root}.OPT" for root in self.market.option_roots) if self.of_options else f"{self.market.symbol}.FUT"

    def complete_at(self, day: dt.date) -> dt.datetime:
        """When the last record that describes *day* can have been published."""
        return complete_at(self.data_type, day, cut=self.cut)

    def request(self, run: Run) -> Request:
        """The one request of *run*."""
        first, last = run.days[0], run.days[-1]
        start, end = dt.datetime.combine(first, dt.time(), dt.UTC), self.complete_at(last)
        if SCHEMAS[self.data_type] == "statistics":  # the morning before brings the figures of the session before
            start = _chicago(first, dt.time(7))
        elif self.data_type == "option_quotes":
            start, end = _chicago(first, FROM), _chicago(last, self.cut) + dt.timedelta(seconds=1)  # the end is exclusive
        return Request(self.market.dataset, SCHEMAS[self.data_type], self.symbols, start, end)

    def ask_for(self, days: Sequence[dt.date], changed: Mapping[dt.date, dt.date]) -> None:
        """Add contiguous sessions to what is asked for; options in one request a year."""
        for _, part in groupby(days, key=lambda day: day.year if self.of_options else 0):
            asked = tuple(part)
            self.runs.append(Run(asked, {day: changed[day] for day in asked}))


def plan_of(
    source: DatabentoSource,
    lake: ParquetLake,
    data_type: str,
    market: Market,
    months: Sequence[Month],
    today: dt.date,
    *,
    cut: dt.time = DEFAULT_CUT,
) -> Plan:
    """What of *months* is not captured, or the vendor has changed since; two free requests at most."""
    plan = Plan(data_type, market, cut)
    days = [day for month in sorted(months) for day in session_days(month.first, month.last) if day <= today]
    if not plan.symbols:
        plan.gaps = dict.fromkeys(days, NO_ROOTS)
        return plan
    if not days:
        return plan
    plan.days = frozenset(days)
    begins, end = source.available(market.dataset, SCHEMAS[data_type])
    plan.conditions = source.conditions(market.dataset, max(days[0], begins.date()), min(days[-1] + dt.timedelta(5), today))
    captured = source.ledger.captured(data_type, market.symbol)
    # The ledger says what was paid; that it is held the lake says: a month whose files are gone is taken from the archive again.
    empty = {month for month in months if not lake.files(data_type, market.symbol, month.first, month.last)}
    run: list[dt.date] = []
    changed: dict[dt.date, dt.date] = {}
    before: dt.date | None = None

    def close() -> None:
        plan.ask_for(run, changed)
        run.clear()

    for day in days:
        if before is not None and _next_session(before) != day:
            close()
        before = day
        condition, done = plan.conditions.get(day), plan.complete_at(day)
        held = None if Month.of(day) in empty else captured.get(day)
        modified = condition.last_modified if condition is not None and condition.last_modified else day
        if dt.datetime.combine(day, dt.time(), dt.UTC) < begins:
            plan.gaps[day] = f"the vendor's history begins {begins:%Y-%m-%d}"
        elif done > end:
            plan.gaps[day] = f"its last record can come until {done:%Y-%m-%d %H:%MZ}; the vendor has data until {end:%Y-%m-%d %H:%MZ}"
        elif condition is not None and condition.status in ("pending", "missing"):
            plan.gaps[day] = f"the vendor says {condition.status}"
        elif held is not None and (modified <= held.last_modified or held.fetches >= MAX_FETCHES):
            plan.held += 1
        else:
            run.append(day)
            changed[day] = modified
            continue
        close()
    close()
    return plan


def quote_plan(source: DatabentoSource, plan: Plan) -> list[tuple[Request, Quote]]:
    """The price of each request of *plan*; 0 for what the archive holds already."""
    answers = []
    for run in plan.runs:
        request = plan.request(run)
        kept = source.ledger.covering(request.arguments(), seen_since=run.seen_since)
        answers.append((request, Quote(0.0, 0, 0) if kept else source.quote(request)))
    return answers


# ---------------------------------------------------------------- fetched, parsed, month by month


@dataclass
class Fetched:
    """
    A plan's answers; what is not in the rows is filled while the months are read.

    Attributes:
        payloads: one a run.
    """

    plan: Plan
    payloads: Sequence[Payload]
    synthetic: bool
    records: int = 0
    left_out: int = 0
    repeated: int = 0
    provisional: int = 0
    quarantined: list[str] = field(default_factory=list)

    @property
    def usd(self) -> float:
        """What the answers cost now."""
        return sum(payload.usd for payload in self.payloads)


def fetch_plan(fetch: Callable[..., Payload], plan: Plan, *, synthetic: bool) -> Fetched:
    """Every run's answer by *fetch* (`DatabentoSource.fetch`, or its one attempt)."""
    return Fetched(plan, [fetch(plan.request(run), seen_since=run.seen_since) for run in plan.runs], synthetic)


def raw_batches(fetched: Fetched, lake: ParquetLake) -> Iterator[Batch]:
    """
    The rows of a table, month by month, ascending within each run of days.

    Rows can describe a day of a month that was not asked for (a correction that came a week later): they come in a batch of their own,
    which captures no day. An answer of which too much is quarantined gives no batch and captures no day.

    Raises:
        VendorContentError: after the last batch, where an answer was refused.
    """
    refused: list[str] = []
    plan = fetched.plan
    table = TABLES[plan.data_type]
    for run, payload in zip(plan.runs, fetched.payloads, strict=True):
        request, parsed = plan.request(run), _parse(fetched, payload, run, lake)
        fetched.records += parsed.records
        fetched.left_out += parsed.left_out
        fetched.repeated += parsed.repeated
        fetched.quarantined += parsed.quarantined
        fetched.provisional += parsed.provisional
        if parsed.refusal:
            refused.append(f"{request}: {parsed.refusal}")
            continue
        for month in sorted({Month.of(day) for day in run.days} | _months_of(parsed.table)):
            days = {day: run.changed[day] for day in run.days if Month.of(day) == month}
            # No requested day lies in this month: log an empty range.
            first, last = (min(days), max(days)) if days else (month.first, month.first - dt.timedelta(1))
            # Of a stamped table only what was stamped before the request's end was looked for.
            until = request.end if table.stamps == "vendor" else None
            look = Look(SOURCE, first, last, (request.symbols,), payload.seen_at, until)
            captured = Captured(days, payload.seen_at) if days else None
            yield Batch(table, plan.market.symbol, month, rows_between(parsed.table, month.first, month.last), look, captured=captured)
    if refused:
        raise VendorContentError("; ".join(refused) + "; the answers are in the archive, and their days are not captured")


def _parse(fetched: Fetched, payload: Payload, run: Run, lake: ParquetLake) -> Parsed:
    """The rows of what *run* asks for; an answer from the archive can hold more."""
    plan, store, request = fetched.plan, payload.store(), fetched.plan.request(run)
    within = (request.start, request.end)
    common: dict[str, Any] = {"synthetic": fetched.synthetic, "degraded": plan.degraded, "within": within}
    if plan.data_type == "futures_definitions":
        return parse_definitions(store, plan.market, place=str(request), **common)
    if plan.data_type == "option_definitions":
        futures, settlement = _defined("futures_definitions", plan, within, lake), _usual_settlement(plan, within, lake)
        futures = futures if futures.num_rows else None
        return parse_option_definitions(store, plan.market, place=str(request), futures=futures, settlement=settlement, **common)
    known = _defined("option_definitions" if plan.of_options else "futures_definitions", plan, within, lake)
    if plan.data_type == "futures_bars":
        return parse_bars(store, Definitions(known), calendar=plan.market.calendar, **common)
    if plan.data_type == "option_quotes":
        return parse_option_quotes(store, OptionDefinitions(known), cut=plan.cut, zone=CHICAGO, **common)
    definitions = OptionDefinitions(known) if plan.of_options else Definitions(known)
    return parse_statistics(store, definitions, calendar=plan.market.calendar, **common)


def _defined(name: str, plan: Plan, within: Within, lake: ParquetLake) -> pa.Table:
    """The definitions that the records can refer to, as believed now."""
    return lake.read_known(
        name,
        plan.market.symbol,
        dt.datetime.now(dt.UTC),
        key=TABLES[name].key,
        start=within[0].date() - _DEFINED_BEFORE,
        end=within[1].date(),
    )


def _usual_settlement(plan: Plan, within: Within, lake: ParquetLake) -> float | None:
    """The median settlement of the market's futures in these days, as believed now; None where the lake holds none."""
    rows = lake.read_known(
        "futures_statistics",
        plan.market.symbol,
        dt.datetime.now(dt.UTC),
        start=within[0].date(),
        end=within[1].date(),
    )
    if not rows.num_rows:
        return None
    prices = rows.filter(pc.and_(pc.equal(rows["stat"], "settlement"), pc.greater(rows["value"], 0)))["value"]
    median: float | None = pc.approximate_median(prices).as_py()
    return median


def _months_of(table: pa.Table) -> set[Month]:
    keys = pc.strftime(pc.unique(pc.floor_temporal(table["as_of"], unit="month")), format="%Y-%m") if table.num_rows else []
    return {Month.of(str(key)) for key in keys}


def _chicago(day: dt.date, clock: dt.time) -> dt.datetime:
    return dt.datetime.combine(day, clock, CHICAGO).astimezone(dt.UTC)


def _next_session(day: dt.date) -> dt.date:
    return session_days(day + dt.timedelta(1), day + dt.timedelta(10))[0]
