"""One day of one market through all tables of Databento: planned and priced, then fetched by the product's own path into a scratch lake."""

import dataclasses
import datetime as dt
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from hydra_assets.config.load import Config
from hydra_assets.core.market import Market
from hydra_assets.core.months import Month
from hydra_assets.core.tables.table import Table
from hydra_assets.errors import ConfigError, HydraError, NotPublishedError, VendorContentError, VendorError
from hydra_assets.flow.feed import keep
from hydra_assets.flow.feeds.databento import DATABENTO
from hydra_assets.flow.feeds.databento_plan import SCHEMAS, DatabentoPlan, DayRange, quote_plan, symbols_of
from hydra_assets.sources.databento import DatabentoSource
from hydra_assets.sources.databento_request import Payload, Quote, Request
from hydra_assets.storage.lake import ParquetLake

_FREE = Quote(0.0, 0, 0)
_LOOK_BACK = dt.timedelta(20)  # over any closure
_LICENSED_UNTIL = re.compile(
    r"after '?(\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?).*licen|licen.*after '?(\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?)"
)


@dataclass
class TableDay:
    """
    A table's part of the day.

    Attributes:
        plan: of that day alone.
        wanted: the day, the plan's one range.
        quote: dollars, records and bytes before the request; 0 for what the archive holds.
        seconds: from the request to the last byte.
        payload: the answer as it was kept.
        rows: of the table, as the lake took them; None where there are none to judge.
        quarantined: records that cannot be used, each with its reason.
        repeated: number of records that the parser met before.
        left_out: number of records of other instruments, such as spreads.
        fault: why there are no rows.
        skipped: whether nothing was asked, because of another table's fault.
    """

    plan: DatabentoPlan
    wanted: DayRange
    quote: Quote = _FREE
    seconds: float = 0.0
    payload: Payload | None = None
    rows: pa.Table | None = None
    quarantined: Sequence[str] = ()
    repeated: int = 0
    left_out: int = 0
    fault: HydraError | None = None
    skipped: bool = False

    @property
    def table(self) -> Table:
        """The table."""
        return self.plan.table

    @property
    def request(self) -> Request:
        """The one request."""
        return self.plan.request(self.wanted)

    def ask(self, source: DatabentoSource, lake: ParquetLake) -> None:
        """Fetch, parse and append; an error is kept as `fault`."""
        begun = time.monotonic()
        try:
            fetched = DATABENTO.fetch(source, [self.plan])
            self.seconds = time.monotonic() - begun
            ((plan, payloads),) = fetched.answers
            if not payloads:  # the vendor does not give the day after all
                self.fault = NotPublishedError(f"{self.request}: {plan.gaps.get(self.wanted.days[0], 'nothing came, and no reason')}")
                return
            (self.payload,) = payloads
            # The scratch lake's days are nobody's captured days: a backfill still has to fetch them.
            batches = [dataclasses.replace(batch, captured=None) for batch in DATABENTO.batches(fetched, lake)]
            self.quarantined, self.repeated, self.left_out = fetched.quarantined, fetched.repeated, fetched.left_out
            if fetched.refusal:
                self.fault = VendorContentError(fetched.refusal)
                return
            for batch in batches:
                keep(batch, lake)
            self.rows = pa.concat_tables([batch.rows for batch in batches])
        except HydraError as error:
            self.seconds = self.seconds or time.monotonic() - begun
            self.fault = error


@dataclass
class VendorDay:
    """
    One session of one market.

    Attributes:
        tables: those that the market has, in the order in which they are fetched.
        passed_over: later sessions that are not to be had, each with the reason.
    """

    market: Market
    day: dt.date
    tables: list[TableDay]
    passed_over: dict[dt.date, str] = field(default_factory=dict)

    @property
    def usd(self) -> float:
        """The price of what is not in the archive."""
        return sum(each.quote.usd for each in self.tables)

    @property
    def answered_usd(self) -> float:
        """The price quoted of the answers that came."""
        return sum(each.quote.usd for each in self.tables if each.payload is not None)

    def price(self, source: DatabentoSource) -> None:
        """Ask for the price of each table; free of charge."""
        for each in self.tables:
            ((_, each.quote),) = quote_plan(source, each.plan)

    def ask(self, source: DatabentoSource, lake: ParquetLake) -> None:
        """Fetch every table; one whose definitions have failed is not asked for."""
        failed: set[str] = set()
        for each in self.tables:
            if each.table.definitions in failed:
                each.skipped = True
            else:
                each.ask(source, lake)
            if each.skipped or each.fault:
                failed.add(each.table.name)
            if licensed_until(each.fault) is not None:
                break  # the other tables would be refused alike

    def named(self, name: str) -> TableDay | None:
        """The table called *name*, if it has rows."""
        return next((each for each in self.tables if each.table.name == name and each.rows is not None), None)


def licensed_until(error: Exception | None) -> dt.datetime | None:
    """The instant after which the vendor wants a live licence, where *error* names one."""
    found = _LICENSED_UNTIL.search(str(error)) if isinstance(error, VendorError) else None
    return dt.datetime.fromisoformat(found[1] or found[2]).replace(tzinfo=dt.UTC) if found else None


def day_of(source: DatabentoSource, lake: ParquetLake, market: Market, day: dt.date, config: Config, now: dt.datetime) -> VendorDay:
    """
    The plan of *day*.

    Raises:
        ConfigError: no session, or not to be had now.
    """
    if not market.calendar.is_session(day):
        raise ConfigError(f"--day {day} is no session of {market.symbol}; the one before is {_sessions(market, day)[-1]}")
    found = _planned(source, lake, market, day, config, now)
    if isinstance(found, str):
        raise ConfigError(f"--day {day}: {found}")
    return found


def newest_day(
    source: DatabentoSource, lake: ParquetLake, market: Market, config: Config, now: dt.datetime, until: dt.datetime | None = None
) -> VendorDay:
    """
    The plan of the newest session of which every table is complete, by *until* where given.

    Raises:
        NotPublishedError: none of the last weeks is.
    """
    last = max(end for table in DATABENTO.tables for _, end in [source.available(market.dataset, SCHEMAS[table.name])])
    passed_over: dict[dt.date, str] = {}
    for day in reversed(_sessions(market, last.date())):
        late = [
            table.name
            for table in DATABENTO.tables
            if until is not None and DATABENTO.complete_at(table, market.calendar, day, config.option_rules) > until
        ]
        found = f"{late[0]} is not complete by {until:%Y-%m-%d %H:%MZ}" if late else _planned(source, lake, market, day, config, now)
        if not isinstance(found, str):
            found.passed_over = passed_over
            return found
        passed_over[day] = found
    reasons = "; ".join(f"{day}: {reason}" for day, reason in passed_over.items())
    message = f"no session of {market.symbol} since {last - _LOOK_BACK:%Y-%m-%d} is complete ({reasons})"
    raise NotPublishedError(f"{message}; name one with --day")


def _planned(source: DatabentoSource, lake: ParquetLake, market: Market, day: dt.date, config: Config, now: dt.datetime) -> VendorDay | str:
    """The plan of *day*, or why it cannot be had."""
    tables = []
    for table in DATABENTO.tables:
        if not symbols_of(table, market, day):
            continue
        plan = DATABENTO.plan(source, lake, table, market, [Month.of(day)], config, now)
        if day in plan.gaps:
            return f"{table.name}: {plan.gaps[day]}"
        wanted = next(_only(plan.ranges, day))
        tables.append(TableDay(dataclasses.replace(plan, ranges=[wanted]), wanted))
    return VendorDay(market, day, tables)


def _only(ranges: Iterable[DayRange], day: dt.date) -> Iterator[DayRange]:
    return (DayRange((day,), {day: wanted.changed[day]}, wanted.seen_since) for wanted in ranges if day in wanted.days)


def _sessions(market: Market, last: dt.date) -> list[dt.date]:
    return market.calendar.session_days(last - _LOOK_BACK, last)
