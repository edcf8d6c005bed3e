"""
Databento: which days of a table to ask for, in which requests, at what price.

A day is captured once the vendor's range has passed its last possible record; earlier it is a gap, and asked for again. One request is
made per table and month of missing days, for daily bars per quarter: longer streams end in HTTP 504 or break off, and what a month brought
is kept whatever becomes of the next. A captured day is asked for again only when its condition has changed, or on request:
``last_modified_date`` alone moves for every day whenever any schema of the dataset is generated anew.
"""

import dataclasses
import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from hydra_assets.core.calendar import DEFAULT_CALENDAR, Calendar
from hydra_assets.core.market import Market
from hydra_assets.core.months import Month
from hydra_assets.core.option_rules import OptionRules
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.core.tables.table import Table
from hydra_assets.flow.feed import Plan
from hydra_assets.sources.databento import DatabentoSource
from hydra_assets.sources.databento_options import FROM
from hydra_assets.sources.databento_request import Condition, Quote, Request
from hydra_assets.sources.ledger import Ledger
from hydra_assets.sources.ledger_days import CapturedDay
from hydra_assets.sources.ledger_tables import AVAILABLE
from hydra_assets.storage.lake import ParquetLake

MAX_FETCHES = 3  # of one day's table, however often the vendor mends it
_COUNTED_BY = dt.timedelta(minutes=10)  # record counts are exact only between such marks (metadata.get_record_count)
SCHEMAS = {
    "futures_definitions": "definition",
    "futures_bars": "ohlcv-1d",
    "futures_statistics": "statistics",
    "option_definitions": "definition",
    "option_quotes": "bbo-1m",
    "option_statistics": "statistics",
}
_SHIPPED_RULES = OptionRules()
NO_ROOTS = "no option_roots configured"
_STATISTICS_FROM = dt.time(7)  # the morning brings the figures of the session before
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_AFTER_CUT = dt.timedelta(minutes=5)  # margin for the last one-minute record before the cut


def complete_at(data_type: str, day: dt.date, *, calendar: Calendar = DEFAULT_CALENDAR, rules: OptionRules = _SHIPPED_RULES) -> dt.datetime:
    """
    The instant by which the last record that describes *day* is published.

    Statistics: noon of the next session, whose morning brings the open interest. Quotes of options: shortly after the cut. Else the end
    of the UTC day.
    """
    if SCHEMAS[data_type] == "statistics":
        return calendar.prints_complete(day)
    if SCHEMAS[data_type] == "bbo-1m":
        return rules.cut_on(calendar, day) + _AFTER_CUT
    return _midnight(day) + dt.timedelta(1)


@dataclass(frozen=True)
class DayRange:
    """
    Contiguous sessions to ask for.

    Attributes:
        days: ascending.
        changed: the vendor's date of the last change of each day.
        seen_since: an answer of the archive that was seen earlier does not count; the first day there is where every one does.
        again: whether the lake holds these days already.
    """

    days: tuple[dt.date, ...]
    changed: Mapping[dt.date, dt.date]
    seen_since: dt.date = dt.date.min
    again: bool = False


@dataclass(frozen=True)
class DatabentoPlan(Plan):
    """
    The missing days of a table's months.

    Attributes:
        rules: the cut up to which quotes of options count.
        synthetic: whether the answers are the embedded vendor's.
        ranges: to be asked for, one request each.
        gaps: days that cannot be captured yet, with the reason.
        held: number of days captured already.
        conditions: the vendor's account of each day.
        days: the sessions looked at.
    """

    rules: OptionRules
    synthetic: bool
    ranges: list[DayRange] = field(default_factory=list)
    gaps: dict[dt.date, str] = field(default_factory=dict)
    held: int = 0
    conditions: Mapping[dt.date, Condition] = field(default_factory=dict)
    days: frozenset[dt.date] = frozenset()

    def status(self, day: dt.date) -> str:
        """The vendor's condition of *day*; ``available`` where it names none."""
        condition = self.conditions.get(day)
        return condition.status if condition is not None else AVAILABLE

    def degraded(self, day: dt.date) -> bool:
        """Whether the vendor says that the day's data are of reduced quality."""
        return self.status(day) == "degraded"

    def end_at(self, instant: dt.datetime, why: str, *, answered: int) -> bool:
        """Make gaps of the days that end after *instant*, for the reason *why*; ranges *answered* stay. Whether there are any."""
        kept, earlier = [], False
        for wanted in self.ranges[answered:]:
            days = tuple(day for day in wanted.days if self.request(DayRange((day,), {})).end <= instant)
            earlier = earlier or len(days) < len(wanted.days)
            self.gaps.update({} if wanted.again else dict.fromkeys(wanted.days[len(days) :], why))
            if days:
                kept.append(dataclasses.replace(wanted, days=days, changed={day: wanted.changed[day] for day in days}))
        self.ranges[answered:] = kept
        return earlier

    def leave_out(self, place: int, why: str) -> None:
        """Take a range out of the plan; days of it that are not held become gaps, for the reason *why*."""
        wanted = self.ranges.pop(place)
        self.gaps.update({} if wanted.again else dict.fromkeys(wanted.days, why))

    def refuse(self, wanted: DayRange, days: Collection[dt.date], why: str) -> None:
        """Make gaps of refused *days* of a range, for the reason *why*; those held before stay as they are."""
        self.gaps.update({} if wanted.again else {day: f"refused: {why}" for day in wanted.days if day in days})

    def request(self, wanted: DayRange) -> Request:
        """The one request of *wanted*."""
        schema, calendar = SCHEMAS[self.table.name], self.market.calendar
        first, last = wanted.days[0], wanted.days[-1]
        start, end = _midnight(first), complete_at(self.table.name, last, calendar=calendar, rules=self.rules)
        if schema == "statistics":
            start = calendar.at(first, _STATISTICS_FROM)
        elif schema == "bbo-1m":
            start = calendar.at(first, FROM)
            end = _next_mark(self.rules.cut_on(calendar, last))  # the end is exclusive; the parser stops at the cut
        return Request(self.market.dataset, schema, symbols_of(self.table, self.market, last), start, end)


def symbols_of(table: Table, market: Market, day: dt.date) -> str:
    """The parent symbols under which *table*'s instruments have been listed by *day*; empty where there are none."""
    if not table.needs_options:
        return f"{market.symbol}.FUT"
    return ",".join(f"{option_root.root}.OPT" for option_root in market.option_roots if option_root.exists_by(day))


def plan_of(
    source: DatabentoSource,
    lake: ParquetLake,
    data_type: str,
    market: Market,
    months: Sequence[Month],
    today: dt.date,
    *,
    rules: OptionRules = _SHIPPED_RULES,
) -> DatabentoPlan:
    """Days of *months* that are not captured, changed since or asked for again; two free requests at most."""
    table, calendar = TABLES[data_type], market.calendar
    days = [day for month in sorted(months) for day in calendar.session_days(month.first, month.last) if day <= today]
    about = (table, market, sorted(months), rules, lake.world == "sample")
    if table.needs_options and not market.option_roots:
        return DatabentoPlan(*about, gaps=dict.fromkeys(days, NO_ROOTS))
    if not days:
        return DatabentoPlan(*about)
    begins, end = source.available(market.dataset, SCHEMAS[data_type])
    looked = max(days[0], begins.date()), min(days[-1] + dt.timedelta(5), today)
    conditions = source.conditions(market.dataset, *looked) if looked[0] <= looked[1] else {}
    captured = source.ledger.captured(data_type, market.symbol)
    # The ledger records payment, the lake records storage. A month without files is re-read from the archive.
    empty = {month for month in months if not lake.files(data_type, market.symbol, month.first, month.last)}
    gaps: dict[dt.date, str] = {}
    missing: dict[dt.date, dt.date] = {}
    again: dict[dt.date, dt.date] = {}  # days held, and the day since which their answers must have been seen
    for day in days:
        condition, done = conditions.get(day), complete_at(data_type, day, calendar=calendar, rules=rules)
        known = None if Month.of(day) in empty else captured.get(day)
        modified = condition.last_modified if condition is not None and condition.last_modified else day
        if _midnight(day) < begins:
            gaps[day] = f"the vendor's history begins {begins:%Y-%m-%d}"
        elif not symbols_of(table, market, day):
            gaps[day] = f"options of {market.symbol} are listed from {min(r.since for r in market.option_roots if r.since)} on"
        elif done > end:
            gaps[day] = f"its last record can come until {done:%Y-%m-%d %H:%MZ}; the vendor has data until {end:%Y-%m-%d %H:%MZ}"
        elif condition is not None and condition.status in ("pending", "missing"):
            gaps[day] = f"the vendor says {condition.status}"
        elif known is None:
            missing[day] = modified
        elif _mended(condition, known) and known.fetches < MAX_FETCHES:
            missing[day] = again[day] = modified
        elif source.again_since is not None:
            missing[day], again[day] = modified, source.again_since
    held = len(days) - len(gaps) - len(missing)
    ranges = _ranges(missing, again, calendar, months=3 if SCHEMAS[data_type] == "ohlcv-1d" else 1)
    plan = DatabentoPlan(*about, ranges, gaps, held, conditions, frozenset(days))
    return dataclasses.replace(plan, ranges=[part for wanted in ranges for part in _apart(source.ledger, plan, wanted)])


def quote_plan(source: DatabentoSource, plan: DatabentoPlan) -> list[tuple[Request, Quote]]:
    """The price of what *plan* asks for: one quote a run of neighbouring requests, 0 for what the archive holds already."""
    answers, run = [], list[DayRange]()

    def price() -> None:
        if run:
            request = plan.request(DayRange(tuple(day for wanted in run for day in wanted.days), {}))
            answers.append((request, source.quote(request)))
            run.clear()

    for wanted in plan.ranges:
        request = plan.request(wanted)
        if source.ledger.paid_for(request.arguments(), seen_since=wanted.seen_since) is not None:
            price()
            answers.append((request, Quote(0.0, 0, 0)))
            continue
        if run and (run[-1].again, plan.market.calendar.next_session(run[-1].days[-1])) != (wanted.again, wanted.days[0]):
            price()
        run.append(wanted)
    price()
    return answers


def _ranges(missing: Mapping[dt.date, dt.date], again: Mapping[dt.date, dt.date], calendar: Calendar, *, months: int) -> list[DayRange]:
    """*missing* days, ascending: cut between sessions that are not neighbours, days held and not, and every *months* months of the year."""

    def kind(day: dt.date) -> tuple[object, ...]:
        return day.year, (day.month - 1) // months, day in again

    parts: list[list[dt.date]] = []
    for day in missing:
        before = parts[-1][-1] if parts else None
        if before is None or calendar.next_session(before) != day or kind(before) != kind(day):
            parts.append([])
        parts[-1].append(day)
    return [
        DayRange(tuple(part), {day: missing[day] for day in part}, max(again.get(day, dt.date.min) for day in part), part[0] in again)
        for part in parts
    ]


def _apart(ledger: Ledger, plan: DatabentoPlan, wanted: DayRange) -> list[DayRange]:
    """*wanted*, its days that are paid for already apart from the others: what was asked for on an earlier day ended sooner."""
    asked = plan.request(wanted).arguments()
    if not ledger.touches(asked) or ledger.paid_for(asked, seen_since=wanted.seen_since) is not None:
        return [wanted]

    def paid_for(day: dt.date) -> int | None:
        alone = dataclasses.replace(wanted, days=(day,))
        return ledger.paid_for(plan.request(alone).arguments(), seen_since=wanted.seen_since)

    parts = [tuple(days) for _, days in groupby(wanted.days, key=paid_for)]
    return [dataclasses.replace(wanted, days=days, changed={day: wanted.changed[day] for day in days}) for days in parts]


def _mended(condition: Condition | None, known: CapturedDay) -> bool:
    """Whether the vendor's condition of a captured day has changed; its date of change alone moves for every new schema."""
    if condition is None or condition.last_modified is None or condition.last_modified <= known.last_modified:
        return False
    return condition.status != known.status


def _next_mark(instant: dt.datetime) -> dt.datetime:
    """The first mark of ten minutes after *instant*."""
    return instant + _COUNTED_BY - (instant - _EPOCH) % _COUNTED_BY


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), dt.UTC)
