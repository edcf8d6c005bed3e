"""A vendor as the pipeline sees it, and the one way of its rows into the lake and the ledger."""

import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar

from hydra_assets.config.home import Home
from hydra_assets.config.load import Config, load_release_calendar
from hydra_assets.core.calendar import Calendar
from hydra_assets.core.market import Market
from hydra_assets.core.months import Month
from hydra_assets.core.option_rules import OptionRules
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.core.tables.table import Table
from hydra_assets.errors import ConfigError
from hydra_assets.flow.batch import Batch
from hydra_assets.sources.ledger import Ledger
from hydra_assets.sources.sample.side import Served, Side
from hydra_assets.storage.lake import ParquetLake


@dataclass(frozen=True)
class Records:
    """A small table among the facts of a fetch."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]


Fact = str | int | float | bool | Records | list[str]


@dataclass(frozen=True)
class Plan:
    """The months of one table and market to ask a vendor for, in order."""

    table: Table
    market: Market
    months: Sequence[Month]


@dataclass
class Fetched:
    """
    A vendor's answers; what was read of them is counted while the batches are made.

    Attributes:
        records: read so far, those quarantined included.
        quarantined: records that cannot be used, each with its reason.
        refused: answers, or days of answers, that cannot be had or used, each with the reason: they give no batch, and capture no day.
        over_budget: what was left out because a budget did not allow it, each with the price; its days are gaps.
    """

    records: int = 0
    quarantined: list[Any] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    over_budget: list[str] = field(default_factory=list)

    @property
    def facts(self) -> dict[str, Fact]:
        """Facts about the answers."""
        return {"records": self.records, "quarantined": [str(record) for record in self.quarantined[:50]]}

    @property
    def refusal(self) -> str | None:
        """The refused answers in one message; None where all of their days gave their batches."""
        return "; ".join(self.refused) + "; what came is in the archive, and these days are not captured" if self.refused else None


DayState = Literal["held", "degraded", "gap", "to come", "not published"]
_ABSENT = "the vendor's answer has no row of it"


@dataclass(frozen=True)
class CoverageDay:
    """A day on which a row is due, and what became of it."""

    day: dt.date
    state: DayState
    note: str = ""


@dataclass
class Due:
    """
    Days of a table that the lake does not hold as the vendor has them.

    Attributes:
        days: to be had now, each with the vendor's date of its last change.
        waiting: not to be had yet, each with the reason.
        degraded: held, in reduced quality by the vendor's own account.
    """

    days: dict[dt.date, dt.date] = field(default_factory=dict)
    waiting: dict[dt.date, str] = field(default_factory=dict)
    degraded: set[dt.date] = field(default_factory=set)


class Asks(Protocol):
    """
    A source that gives up after a number of attempts.

    Attributes:
        report: called with a line on the progress of what takes long.
    """

    max_attempts: int

    @property
    def report(self) -> Callable[[str], None]: ...


SourceT = TypeVar("SourceT", bound=Asks)
PlanT = TypeVar("PlanT", bound=Plan)
FetchedT = TypeVar("FetchedT", bound=Fetched)


class Feed(ABC, Generic[SourceT, PlanT, FetchedT]):
    """
    A vendor: how it is reached, what to ask it for, and how its answers become batches.

    Attributes:
        name: the ``source`` of its tables, and the name of its Dagster resource.
        title: its name in messages.
        settings: class of its block in the settings, which is called like the feed.
        secret: environment variable of its key in the live world; empty where it needs none.
        key_prefix: start of every key.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    settings: ClassVar[type[Any]]
    secret: ClassVar[str] = ""
    key_prefix: ClassVar[str] = ""

    @property
    def tables(self) -> tuple[Table, ...]:
        """The raw tables that it fills."""
        return tuple(table for table in TABLES.values() if table.source == self.name)

    @abstractmethod
    def open(
        self, home: Home, config: Config, *, key: str = "", run: str = "by hand", unattended: bool = False
    ) -> AbstractContextManager[SourceT]:
        """
        The source of *home*'s world, for as long as the block runs: the real one, or the embedded vendor on loopback.

        Args:
            home: the world's folders.
            config: the settings.
            key: of the live world; empty elsewhere.
            run: name under which spending is counted.
            unattended: requested by a schedule or sensor, which have a budget of their own.
        """

    @abstractmethod
    def sample(self, served: Served) -> Side:
        """Its side of the embedded vendor, which takes its place in the sample world."""

    @abstractmethod
    def plan(
        self, source: SourceT, lake: ParquetLake, table: Table, market: Market, months: Sequence[Month], config: Config, now: dt.datetime
    ) -> PlanT:
        """The plan of the requests; making it costs nothing."""

    @abstractmethod
    def fetch(self, source: SourceT, plans: Sequence[PlanT], *, once: bool = False) -> FetchedT:
        """The answers to *plans*, of one table, kept before they are parsed; one attempt where *once*, else with retries."""

    @abstractmethod
    def batches(self, fetched: FetchedT, lake: ParquetLake) -> Iterator[Batch]:
        """The rows by market and month; rows of a month that was not planned come in batches of their own. Refused answers give none."""

    @abstractmethod
    def complete_at(self, table: Table, calendar: Calendar, day: dt.date, rules: OptionRules) -> dt.datetime:
        """The instant by which the last record that describes *day* is out."""

    # ---------------------------------------------------------------- what a vendor may know better

    def absence(self, table: Table, market: Market, config: Config) -> str:
        """Reason why the vendor has no rows of *table* for *market*; empty where it has some."""
        return ""

    def restamp(self, lake: ParquetLake, plan: PlanT, month: Month) -> int | None:
        """Put right the stamps of rows held; the number of rows written, None where the vendor's stamps never change."""
        return None

    def due(
        self, source: SourceT, lake: ParquetLake, table: Table, market: Market, months: Sequence[Month], config: Config, now: dt.datetime
    ) -> Due:
        """Missing days of *months*: by default those of the table's calendar that are out by *now* and not in the lake."""
        found = Due()
        for month in () if self.absence(table, market, config) else months:
            held = held_days(lake, table, market.symbol, month.first, month.last)
            for day in set(expected_days(table, market.calendar, month)) - held:
                complete = self.complete_at(table, market.calendar, day, config.option_rules)
                if complete <= now:
                    found.days[day] = day
                elif day <= now.date():
                    found.waiting[day] = f"its last record can come until {complete:%Y-%m-%d %H:%MZ}"
        return found

    def months_held(self, source: SourceT, lake: ParquetLake, market: str) -> set[Month]:
        """Months of which any table is held."""
        return {Month(folder.year, folder.month) for table in self.tables for folder in lake.folders(table.name, market)}

    def coverage(self, plan: PlanT, lake: ParquetLake, month: Month, rules: OptionRules, now: dt.datetime) -> list[CoverageDay]:
        """State of each day of *month*, after its batches were kept."""
        held, days = held_days(lake, plan.table, plan.market.symbol, month.first, month.last), []
        for day in expected_days(plan.table, plan.market.calendar, month):
            out = self.complete_at(plan.table, plan.market.calendar, day, rules) <= now
            state: DayState = "held" if day in held else "gap" if out else "to come"
            days.append(CoverageDay(day, state, self.note(plan.table, day) or (_ABSENT if state == "gap" else "")))
        return days

    def note(self, table: Table, day: dt.date) -> str:
        """A remark on *day* for the coverage calendar."""
        return ""

    def run_facts(self, fetched: FetchedT, home: Home) -> dict[str, Fact]:
        """Shown beside every month of the run, after its batches were kept."""
        return fetched.facts

    def month_facts(self, fetched: FetchedT, plan: PlanT, lake: ParquetLake, month: Month) -> dict[str, Fact]:
        """Shown beside the month alone, after its batches were kept."""
        return {}


AnyFeed = Feed[Any, Any, Any]


def keep(batch: Batch, lake: ParquetLake, ledger: Ledger | None = None) -> int:
    """
    Append *batch*, then note its captured days in *ledger*; the number of new rows.

    The lake comes first: after a crash between the two the days are fetched again and found to be held.

    Raises:
        ConfigError: the batch has captured days and there is no ledger; nothing was written.
    """
    captured = batch.captured
    if captured is not None and ledger is None:
        raise ConfigError(f"{batch.table.name} {batch.market} {batch.month} has captured days, and no ledger was given to note them in")
    added = batch.append(lake)
    if captured is not None and ledger is not None:
        ledger.capture(batch.table.name, batch.market, list(captured.days.items()), captured.seen_at, statuses=captured.statuses)
    return added


def fetch_all(
    feed: AnyFeed,
    source: Asks,
    lake: ParquetLake,
    table: Table,
    wanted: Mapping[Market, Sequence[Month]],
    config: Config,
    *,
    once: bool = False,
) -> tuple[list[Any], Any]:
    """Plans and answers for *table* over the months of each market."""
    now = dt.datetime.now(dt.UTC)
    plans = [feed.plan(source, lake, table, market, sorted(months), config, now) for market, months in wanted.items()]
    return plans, feed.fetch(source, plans, once=once)


def held_days(lake: ParquetLake, table: Table, market: str, first: dt.date, last: dt.date) -> set[dt.date]:
    """Days from *first* to *last* of which the lake has rows."""
    rows = lake.read(table.name, market, first, last)  # lookahead-ok: which days are held decides what is fetched
    return {as_of.date() for as_of in rows["as_of"].to_pylist()} if rows.num_rows else set()


def expected_days(table: Table, calendar: Calendar, month: Month) -> list[dt.date]:
    """The ``as_of`` days of *month* by the table's calendar."""
    if table.calendar == "cot_releases":
        return load_release_calendar().report_dates(month.first, month.last)
    return [day for day in calendar.session_days(month.first, month.last) if table.expects(day)]
