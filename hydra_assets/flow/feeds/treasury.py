"""The feed of the US Treasury: from its yearly files to the months of the lake table ``rates``, the same rows for every market."""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

from hydra_assets.config.home import Home
from hydra_assets.config.load import Config
from hydra_assets.core.calendar import Calendar
from hydra_assets.core.market import Market
from hydra_assets.core.months import Month
from hydra_assets.core.option_rules import OptionRules
from hydra_assets.core.rows import rows_between
from hydra_assets.core.tables.table import Table
from hydra_assets.core.treasury import published_at
from hydra_assets.errors import NotPublishedError
from hydra_assets.flow.batch import Batch
from hydra_assets.flow.feed import Fact, Feed, Fetched, Plan, Records
from hydra_assets.flow.feeds.sample import served
from hydra_assets.sources.quarantine import is_refused, refusal_of
from hydra_assets.sources.sample.server import SampleVendor
from hydra_assets.sources.sample.side import Served, Side
from hydra_assets.sources.treasury import RateFile, TreasurySettings, TreasurySource
from hydra_assets.sources.treasury_parse import PARSER_VERSION, ParsedRates, parse_rates
from hydra_assets.storage.capture import Look
from hydra_assets.storage.lake import ParquetLake

CURVE = "par yields"  # the one symbol that the Treasury is asked for


@dataclass
class RatesFetched(Fetched):
    """
    The files of the plans' years, and what was read of them.

    Attributes:
        plans: those answered.
        files: by year.
        gaps: years without a file, each with the reason.
        unknown_columns: columns of no tenor known here.
    """

    plans: Sequence[Plan] = ()
    files: Mapping[int, RateFile] = field(default_factory=dict)
    gaps: Mapping[int, str] = field(default_factory=dict)
    unknown_columns: tuple[str, ...] = ()

    @property
    def facts(self) -> dict[str, Fact]:
        """The files, what could not be used of them, and the years without one."""
        rows = [(f"{file.year}", file.sha256[:16], file.seen_at.isoformat()) for file in self.files.values()]
        return {
            **super().facts,
            "files": Records(("year", "sha256", "seen_at"), rows),
            "unknown_columns": ", ".join(self.unknown_columns) or "none",
            "gap_years": "; ".join(f"{year}: {why}" for year, why in self.gaps.items()) or "none",
        }


class TreasuryFeed(Feed[TreasurySource, Plan, RatesFetched]):
    """The US Treasury's daily par yield curve."""

    name = "treasury"
    title = "the US Treasury"
    settings = TreasurySettings

    def sample(self, served: Served) -> Side:
        """The files that the embedded vendor serves."""
        from hydra_assets.sources.sample.treasury import FakeTreasury

        return FakeTreasury(served)

    @contextmanager
    def open(
        self, home: Home, config: Config, *, key: str = "", run: str = "by hand", unattended: bool = False
    ) -> Iterator[TreasurySource]:
        """The Treasury, which takes no key and no money."""
        settings = asdict(config.vendor(self.name, TreasurySettings))
        if home.world == "live":
            yield TreasurySource(home.archives, **settings)
            return
        facts = served(config, cache=home.cache)
        with SampleVendor([self.sample(facts)], rude=facts.rude, cache=facts.cache) as vendor:
            yield TreasurySource(home.archives / "sample", **{**settings, "base_url": vendor.url})

    def plan(
        self,
        source: TreasurySource,
        lake: ParquetLake,
        table: Table,
        market: Market,
        months: Sequence[Month],
        config: Config,
        now: dt.datetime,
    ) -> Plan:
        """All of *months*: a file holds a whole year, and a closed year is read from disk."""
        return Plan(table, market, months)

    def fetch(self, source: TreasurySource, plans: Sequence[Plan], *, once: bool = False) -> RatesFetched:
        """The files of the plans' years, each fetched once for all markets; of a year that has not begun there is none."""
        ask, last = source.fetch_once if once else source.fetch, dt.datetime.now(dt.UTC).year
        files: dict[int, RateFile] = {}
        gaps: dict[int, str] = {}
        for year in sorted({month.year for plan in plans for month in plan.months}):
            try:
                if year > last:
                    raise NotPublishedError("the year has not begun")
                files[year] = ask(year)
            except NotPublishedError as error:
                gaps[year] = str(error)
        return RatesFetched(plans=plans, files=files, gaps=gaps)

    def batches(self, fetched: RatesFetched, lake: ParquetLake) -> Iterator[Batch]:
        """Every file is parsed before any row is handed over: a broken file appends nothing, and a refused one gives no batch."""
        parsed: dict[int, ParsedRates] = {}
        for year, file in fetched.files.items():
            answer = parse_rates(file.read(), year=year, place=f"Treasury file of {year}")
            bad = len(answer.quarantined)
            fetched.records += answer.table.num_rows + bad
            fetched.quarantined += answer.quarantined
            fetched.unknown_columns = answer.unknown_columns
            read = answer.table.num_rows + bad
            if is_refused(bad, read):
                fetched.refused.append(refusal_of(answer.quarantined[0], bad, read, of=f" of the Treasury's {year}"))
            else:
                parsed[year] = answer
        for plan in fetched.plans:
            for month in plan.months:
                if month.year in parsed:
                    seen_at = fetched.files[month.year].seen_at
                    look = Look(plan.table.source, month.first, month.last, (CURVE,), seen_at, versions={"parser": PARSER_VERSION})
                    rows = rows_between(parsed[month.year].table, month.first, month.last)
                    yield Batch(plan.table, plan.market.symbol, month, rows, look)

    def complete_at(self, table: Table, calendar: Calendar, day: dt.date, rules: OptionRules) -> dt.datetime:
        """The evening of the day."""
        return published_at(day)


TREASURY = TreasuryFeed()
