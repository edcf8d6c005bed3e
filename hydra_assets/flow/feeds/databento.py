"""The feed of Databento: from its history to the raw tables of futures and options."""

import contextlib
import datetime as dt
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.config.home import Home
from hydra_assets.config.load import Config
from hydra_assets.core.calendar import Calendar
from hydra_assets.core.market import Market
from hydra_assets.core.months import Month
from hydra_assets.core.option_rules import OptionRules
from hydra_assets.core.rows import rows_between
from hydra_assets.core.tables.futures import FUTURES_DEFINITIONS, FUTURES_STATISTICS
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.core.tables.table import Table
from hydra_assets.errors import BudgetError, LiveLicenceError, RequestRefusedError, VendorContentError, VendorError
from hydra_assets.flow.batch import Batch, Captured
from hydra_assets.flow.feed import CoverageDay, Due, Fact, Feed, Fetched
from hydra_assets.flow.feeds.databento_plan import SCHEMAS, DatabentoPlan, DayRange, complete_at, plan_of
from hydra_assets.flow.feeds.sample import served
from hydra_assets.sources.databento import DatabentoSource
from hydra_assets.sources.databento_join import Definitions
from hydra_assets.sources.databento_options import OptionDefinitions, parse_option_definitions, parse_option_quotes
from hydra_assets.sources.databento_parse import parse_bars, parse_definitions
from hydra_assets.sources.databento_records import Parsed, Within
from hydra_assets.sources.databento_request import Limits, Payload, Request
from hydra_assets.sources.databento_statistics import parse_statistics
from hydra_assets.sources.http import whole
from hydra_assets.sources.ledger import Budget, Ledger
from hydra_assets.sources.sample.server import SampleVendor
from hydra_assets.sources.sample.side import Served, Side
from hydra_assets.storage.capture import Look
from hydra_assets.storage.lake import ParquetLake

_DEFINED_BEFORE = dt.timedelta(10)
JOBS_AT_ONCE = 4  # batch jobs that the vendor is given to prepare; each is downloaded at its turn


@dataclass(frozen=True)
class DatabentoSettings:
    """Settings of requests to Databento, in seconds; megabytes above which they are batch jobs; the limits of spending, in dollars."""

    gateway: str
    connect_timeout_s: float
    read_timeout_s: float
    deadline_s: float
    max_attempts: int
    batch_above_mb: float
    run_budget_usd: float
    day_budget_usd: float
    unattended_day_budget_usd: float


@contextmanager
def open_databento(home: Home, config: Config, *, key: str, run: str = "by hand", unattended: bool = False) -> Iterator[DatabentoSource]:
    """
    Databento of *home*'s world: the real one, or the embedded vendor on loopback, whose prices are as synthetic as its data.

    Args:
        home: the world's folders.
        config: the settings.
        key: of the live world.
        run: name under which spending is counted.
        unattended: requested by a schedule or sensor.
    """
    settings = config.vendor("databento", DatabentoSettings)
    more: dict[str, Any] = {
        "limits": Limits(settings.connect_timeout_s, settings.read_timeout_s, settings.deadline_s),
        "max_attempts": settings.max_attempts,
        "batch_above": round(settings.batch_above_mb * 1e6),
    }
    with Ledger(home.ledger) as ledger:
        if home.world == "live":
            budget = Budget(run, settings.run_budget_usd, settings.day_budget_usd, settings.unattended_day_budget_usd, unattended)
            yield DatabentoSource(key, settings.gateway, home.archives, ledger, budget=budget, **more)
            return
        from hydra_assets.sources.sample.databento import SAMPLE_KEY

        facts = served(config, cache=home.cache)
        with SampleVendor([DATABENTO.sample(facts)], rude=facts.rude, cache=facts.cache) as vendor:
            budget = Budget(run, unattended=unattended)
            yield DatabentoSource(SAMPLE_KEY, vendor.url, home.archives, ledger, budget=budget, **more)


@dataclass
class DatabentoFetched(Fetched):
    """
    Plans with their answers.

    Attributes:
        answers: each plan with the payloads of its ranges.
        left_out: records of spreads and other combinations.
        repeated: messages overtaken by a later one of the same instant, and replays of figures that are known.
        provisional: preliminary settlements that can never stand as a session's settlement.
    """

    answers: list[tuple[DatabentoPlan, list[Payload]]] = field(default_factory=list)
    left_out: int = 0
    repeated: int = 0
    provisional: int = 0

    def count(self, parsed: Parsed) -> None:
        """Add what was read of one answer."""
        self.records += parsed.records
        self.left_out += parsed.left_out
        self.repeated += parsed.repeated
        self.provisional += parsed.provisional
        self.quarantined += parsed.quarantined

    @property
    def facts(self) -> dict[str, Fact]:
        plans, payloads = [plan for plan, _ in self.answers], [(plan, payload) for plan, each in self.answers for payload in each]
        return {
            **super().facts,
            "days_asked": sum(len(wanted.days) for plan in plans for wanted in plan.ranges),
            "days_held": sum(plan.held for plan in plans),
            "requests": len(payloads),
            "paid_usd": float(sum(payload.usd for plan, payload in payloads if not plan.synthetic)),
            "spreads_left_out": self.left_out,
            "repeated": self.repeated,
            "provisional_left_out": self.provisional,
            **({"vendor_notes": notes} if (notes := [note for _, payload in payloads for note in payload.warnings]) else {}),
        }


class DatabentoFeed(Feed[DatabentoSource, DatabentoPlan, DatabentoFetched]):
    """Databento."""

    name = "databento"
    title = "Databento"
    secret = "DATABENTO_API_KEY"  # noqa: S105  the variable's name
    key_prefix = "db-"
    settings = DatabentoSettings

    def sample(self, served: Served) -> Side:
        """The history that the embedded vendor serves."""
        from hydra_assets.sources.sample.databento import FakeDatabento

        return FakeDatabento(served)

    @contextmanager
    def open(
        self, home: Home, config: Config, *, key: str = "", run: str = "by hand", unattended: bool = False
    ) -> Iterator[DatabentoSource]:
        """See `open_databento`."""
        with open_databento(home, config, key=key, run=run, unattended=unattended) as source:
            yield source

    def plan(
        self,
        source: DatabentoSource,
        lake: ParquetLake,
        table: Table,
        market: Market,
        months: Sequence[Month],
        config: Config,
        now: dt.datetime,
    ) -> DatabentoPlan:
        """Days of *months* that are not captured, or that the vendor has changed since; two free requests at most."""
        return plan_of(source, lake, table.name, market, months, now.date(), rules=config.option_rules)

    def fetch(self, source: DatabentoSource, plans: Sequence[DatabentoPlan], *, once: bool = False) -> DatabentoFetched:
        """One answer a range of days; what was paid and kept before comes from the archive."""
        fetched = DatabentoFetched()
        fetched.answers += [(plan, _answers(source, plan, fetched, once=once)) for plan in plans]
        return fetched

    def batches(self, fetched: DatabentoFetched, lake: ParquetLake) -> Iterator[Batch]:
        """The rows by market, range of days and month, without refused days. A correction of another month captures no day."""
        for plan, payloads in fetched.answers:
            for wanted, payload in zip(plan.ranges, payloads, strict=True):
                parsed = parse(plan, wanted, payload, lake)
                fetched.count(parsed)
                refused = parsed.refused & set(wanted.days)
                if refused:
                    why = parsed.refusal(refused)
                    fetched.refused.append(f"{plan.request(wanted)}: {why}")
                    plan.refuse(wanted, refused, why)
                yield from _batches(plan, wanted, payload, parsed.table, without=refused)

    def complete_at(self, table: Table, calendar: Calendar, day: dt.date, rules: OptionRules) -> dt.datetime:
        """The instant of a day's completeness by its schema; see `databento_plan.complete_at`."""
        return complete_at(table.name, day, calendar=calendar, rules=rules)

    def due(
        self,
        source: DatabentoSource,
        lake: ParquetLake,
        table: Table,
        market: Market,
        months: Sequence[Month],
        config: Config,
        now: dt.datetime,
    ) -> Due:
        """Days that a plan of *months* would ask for, by the vendor's own range and account of each day."""
        plan = self.plan(source, lake, table, market, months, config, now)
        days = {day: changed for wanted in plan.ranges for day, changed in wanted.changed.items()}
        degraded = {day for day in source.ledger.captured(table.name, market.symbol) if plan.degraded(day)}
        return Due(days, plan.gaps, degraded)

    def months_held(self, source: DatabentoSource, lake: ParquetLake, market: str) -> set[Month]:
        """Months of which any table has a captured day."""
        return {Month.of(day) for table in self.tables for day in source.ledger.captured(table.name, market)}

    def coverage(self, plan: DatabentoPlan, lake: ParquetLake, month: Month, rules: OptionRules, now: dt.datetime) -> list[CoverageDay]:
        """The month's sessions by the plan, whose days have all been handed over."""
        days = []
        for day in plan.market.calendar.session_days(month.first, month.last):
            if day in plan.gaps:
                days.append(CoverageDay(day, "gap", plan.gaps[day]))
            elif day not in plan.days:
                days.append(CoverageDay(day, "to come"))
            elif plan.degraded(day):
                days.append(CoverageDay(day, "degraded", "the vendor says reduced quality; fetched again when it mends the day"))
            else:
                days.append(CoverageDay(day, "held"))
        return days

    def month_facts(self, fetched: DatabentoFetched, plan: DatabentoPlan, lake: ParquetLake, month: Month) -> dict[str, Fact]:
        """Whether days are missing, and which ones are of reduced quality."""
        degraded = [day for day in plan.conditions if Month.of(day) == month and plan.degraded(day)]
        facts: dict[str, Fact] = {"gap": any(Month.of(day) == month for day in plan.gaps)}
        return {**facts, **({"degraded_days": ", ".join(map(str, degraded))} if degraded else {})}


DATABENTO = DatabentoFeed()


def parse(plan: DatabentoPlan, wanted: DayRange, payload: Payload, lake: ParquetLake) -> Parsed:
    """
    The rows of what *wanted* asks for; an answer from the archive can hold more.

    Args:
        plan: the plan of which it is an answer.
        wanted: the days asked for.
        payload: the answer.
        lake: holds the definitions of its instruments.
    """
    store, request, market = payload.store(), plan.request(wanted), plan.market
    within, schema, options = (request.start, request.end), SCHEMAS[plan.table.name], plan.table.needs_options
    common: dict[str, Any] = {"synthetic": plan.synthetic, "degraded": plan.degraded, "within": within}
    if plan.table.definitions is None:
        if not options:
            return parse_definitions(store, market, place=str(request), **common)
        futures = _definitions(FUTURES_DEFINITIONS, market, within, lake)
        settlement = _usual_settlement(market, within, lake)
        known = futures if futures.num_rows else None
        return parse_option_definitions(store, market, place=str(request), futures=known, settlement=settlement, **common)
    rows = _definitions(TABLES[plan.table.definitions], market, within, lake)
    if schema == "ohlcv-1d":
        return parse_bars(store, Definitions(rows), calendar=market.calendar, **common)
    if schema == "bbo-1m":
        cut = plan.rules.cut_clock(market.calendar)
        return parse_option_quotes(store, OptionDefinitions(rows), cut=cut, zone=market.calendar.zone, **common)
    return parse_statistics(store, OptionDefinitions(rows) if options else Definitions(rows), calendar=market.calendar, **common)


def _definitions(table: Table, market: Market, within: Within, lake: ParquetLake) -> pa.Table:
    """The definitions that the records can refer to, as known now."""
    start, end = within[0].date() - _DEFINED_BEFORE, within[1].date()
    rows = lake.read_known(table.name, market.symbol, dt.datetime.now(dt.UTC), start=start, end=end)
    return rows if rows.num_rows else table.schema.empty_table()  # a lake that never held any knows no columns


def _usual_settlement(market: Market, within: Within, lake: ParquetLake) -> float | None:
    """The median settlement of the market's futures in these days, as known now; None where the lake holds none."""
    start, end = within[0].date(), within[1].date()
    rows = lake.read_known(FUTURES_STATISTICS.name, market.symbol, dt.datetime.now(dt.UTC), start=start, end=end)
    if not rows.num_rows:
        return None
    prices = rows.filter(pc.and_(pc.equal(rows["stat"], "settlement"), pc.greater(rows["value"], 0)))["value"]
    median: float | None = pc.approximate_median(prices).as_py()
    return median


def _answers(source: DatabentoSource, plan: DatabentoPlan, fetched: DatabentoFetched, *, once: bool) -> list[Payload]:
    """
    An answer to each of *plan*'s ranges; days that cannot be had now become gaps of the plan.

    Data of the last day need a live licence for a while. Where a budget ends, what is paid for already is still answered. An answer
    that is not whole, or that the vendor refuses to this request alone, costs its own range; *fetched* notes it, and what was over
    budget.

    Raises:
        BudgetError: nothing at all could be paid for.
        VendorContentError: nothing at all was whole.
        RequestRefusedError: every request was refused.
    """
    ask, answers = _once if once else DatabentoSource.fetch, list[Payload]()
    refused: list[str] = []
    poor: BudgetError | None = None
    broken: VendorContentError | RequestRefusedError | None = None
    while len(answers) < len(plan.ranges):
        wanted = plan.ranges[len(answers)]
        request = plan.request(wanted)
        try:
            if poor is not None and source.ledger.paid_for(request.arguments(), seen_since=wanted.seen_since) is None:
                plan.leave_out(len(answers), f"over budget: {poor}")
            else:
                if poor is None:
                    _prepare(source, plan, len(answers))
                answers.append(ask(source, request, seen_since=wanted.seen_since))
        except LiveLicenceError as licence:
            why = f"data after {licence.after:%Y-%m-%d %H:%MZ} need a live licence until they are history"
            if not plan.end_at(licence.after, why, answered=len(answers)):
                raise
        except BudgetError as over:
            poor = poor or over
            plan.leave_out(len(answers), f"over budget: {poor}")
        except (VendorContentError, RequestRefusedError) as wrong:
            broken = broken or wrong
            refused.append(str(wrong))
            plan.leave_out(len(answers), f"{'refused' if isinstance(wrong, RequestRefusedError) else 'not whole'}: {wrong}")
    for error in (broken, poor):
        if error is not None and not answers:
            raise error
    fetched.over_budget += [str(poor)] if poor is not None else []
    fetched.refused += refused
    return answers


def _prepare(source: DatabentoSource, plan: DatabentoPlan, place: int) -> None:
    """Submit the batch jobs among the next ranges, in order; what goes wrong is met again, and dealt with, at the range's own turn."""
    with contextlib.suppress(VendorError):
        for wanted in plan.ranges[place : place + JOBS_AT_ONCE]:
            source.prepare(plan.request(wanted), seen_since=wanted.seen_since)


def _once(source: DatabentoSource, request: Request, *, seen_since: dt.date) -> Payload:
    """One attempt, and at once a second where the answer broke off."""
    return whole(lambda: source.fetch_once(request, seen_since=seen_since), lambda line: source.report(f"{request}: {line}"))


def _batches(plan: DatabentoPlan, wanted: DayRange, payload: Payload, rows: pa.Table, *, without: Collection[dt.date]) -> Iterator[Batch]:
    """The answer's rows by month; in parts where days are left out, so that each look covers only days that it holds."""
    request = plan.request(wanted)
    months = sorted({Month.of(day) for day in wanted.days} | _months_of(rows))
    parts = [(each, *span) for each in months for span in _spans(each, without)]
    for month, first_day, last_day in parts:
        days = {day: wanted.changed[day] for day in wanted.days if first_day <= day <= last_day}
        part = rows_between(rows, first_day, last_day)
        if without and not days and not part.num_rows:
            continue
        # No requested day lies in this month or part: log an empty range.
        first, last = (min(days), max(days)) if days else (month.first, month.first - dt.timedelta(1))
        # A stamped table's answer holds only what was stamped before the request's end.
        until = request.end if plan.table.stamps == "vendor" else None
        look = Look(plan.table.source, first, last, (request.symbols,), payload.seen_at, until)
        captured = Captured(days, payload.seen_at, {day: plan.status(day) for day in days}) if days else None
        yield Batch(plan.table, plan.market.symbol, month, part, look, captured=captured)


def _spans(month: Month, without: Collection[dt.date]) -> list[tuple[dt.date, dt.date]]:
    """First and last days of the parts of *month* between the days *without*."""
    breaks = sorted(day for day in without if month.first <= day <= month.last)
    starts = [month.first, *(day + dt.timedelta(1) for day in breaks)]
    ends = [*(day - dt.timedelta(1) for day in breaks), month.last]
    return [(start, end) for start, end in zip(starts, ends, strict=True) if start <= end]


def _months_of(table: pa.Table) -> set[Month]:
    keys = pc.strftime(pc.unique(pc.floor_temporal(table["as_of"], unit="month")), format="%Y-%m") if table.num_rows else []
    return {Month.of(str(key)) for key in keys}
