"""The feed of the USDA: from its reports of slaughtered swine to the months of the lake table ``cash_hogs``."""

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from hydra_assets.config.home import Home
from hydra_assets.config.load import Config, load_release_calendar
from hydra_assets.core.calendar import Calendar
from hydra_assets.core.hog_reports import published_at, report_date_of
from hydra_assets.core.market import Market
from hydra_assets.core.months import Month
from hydra_assets.core.option_rules import OptionRules
from hydra_assets.core.rows import rows_between
from hydra_assets.core.tables.table import Table
from hydra_assets.flow.batch import Batch
from hydra_assets.flow.feed import Fact, Feed, Fetched, Plan, Records
from hydra_assets.flow.feeds.sample import served
from hydra_assets.sources.quarantine import is_refused, refusal_of
from hydra_assets.sources.sample.server import SampleVendor
from hydra_assets.sources.sample.side import Served, Side
from hydra_assets.sources.usda import UsdaAnswer, UsdaSettings, UsdaSource, results_of
from hydra_assets.sources.usda_parse import parse_hogs
from hydra_assets.storage.capture import Look
from hydra_assets.storage.lake import ParquetLake

REPORTED_WITHIN = dt.timedelta(days=7)  # of a month's last slaughter day, over the longest run of holidays


@dataclass
class UsdaFetched(Fetched):
    """
    Answers of each plan.

    Attributes:
        answers: plan, the months that an answer is of, and the answer.
        gaps: market to the reason why it has no rows.
        duplicates: rows that say what another one says.
        stamped: rows that carry the vendor's own instant of publication.
    """

    answers: list[tuple[Plan, list[Month], UsdaAnswer]] = field(default_factory=list)
    gaps: dict[str, str] = field(default_factory=dict)
    duplicates: int = 0
    stamped: int = 0

    @property
    def facts(self) -> dict[str, Fact]:
        answers = [(a.place, a.sha256[:16], a.rows, a.seen_at.isoformat()) for _, _, a in self.answers]
        return {
            **super().facts,
            "answers": Records(("answer", "sha256", "rows", "seen_at"), answers),
            "duplicate_rows": self.duplicates,
            "rows_with_the_vendors_stamp": self.stamped,
            "gaps": "; ".join(self.gaps.values()) or "none",
        }


class UsdaFeed(Feed[UsdaSource, Plan, UsdaFetched]):
    """The USDA's market news."""

    name = "usda"
    title = "the USDA"
    settings = UsdaSettings

    def sample(self, served: Served) -> Side:
        """The reports that the embedded vendor serves."""
        from hydra_assets.sources.sample.usda import FakeUsda

        return FakeUsda(served)

    @contextmanager
    def open(self, home: Home, config: Config, *, key: str = "", run: str = "by hand", unattended: bool = False) -> Iterator[UsdaSource]:
        """The USDA, which takes no key and no money."""
        settings = config.vendor(self.name, UsdaSettings)
        if home.world == "live":
            yield UsdaSource(home.archives, settings)
            return
        facts = served(config, cache=home.cache)
        with SampleVendor([self.sample(facts)], rude=facts.rude, cache=facts.cache) as vendor:
            yield UsdaSource(home.archives / "sample", replace(settings, base_url=vendor.url))

    def absence(self, table: Table, market: Market, config: Config) -> str:
        """A market without a report of its cash price."""
        return "" if market.cash.report else f"no cash price of {market.symbol}: {market.cash.reason}"

    def plan(
        self, source: UsdaSource, lake: ParquetLake, table: Table, market: Market, months: Sequence[Month], config: Config, now: dt.datetime
    ) -> Plan:
        """The months of *months* that have begun; none of a market without a report."""
        begun = [month for month in months if month.first <= now.date()]
        return Plan(table, market, [] if self.absence(table, market, config) else begun)

    def fetch(self, source: UsdaSource, plans: Sequence[Plan], *, once: bool = False) -> UsdaFetched:
        """Answers over neighbouring months, each as long as the settings allow."""
        fetched = UsdaFetched()
        for plan in plans:
            report = plan.market.cash.report
            if report is None:
                fetched.gaps[plan.market.symbol] = f"no cash price of {plan.market.symbol}: {plan.market.cash.reason}"
                continue
            for months in _ranges(plan.months, source.settings.max_range_days):
                answer = source.fetch(report, months[0].first, months[-1].last + REPORTED_WITHIN, once=once)
                fetched.answers.append((plan, months, answer))
        return fetched

    def batches(self, fetched: UsdaFetched, lake: ParquetLake) -> Iterator[Batch]:
        """Rows month by month; an answer that is mostly unreadable gives no batch."""
        is_business_day = load_release_calendar().is_business_day
        for plan, months, answer in fetched.answers:
            parsed = parse_hogs(results_of(answer.read(), answer.place), is_business_day, answer.place)
            bad = len(parsed.quarantined)
            read = parsed.table.num_rows + bad
            fetched.records += read + parsed.duplicates
            fetched.quarantined += parsed.quarantined
            fetched.duplicates += parsed.duplicates
            fetched.stamped += parsed.stamped
            if is_refused(bad, read):
                fetched.refused.append(refusal_of(parsed.quarantined[0], bad, read))
                continue
            for month in months:
                look = Look(plan.table.source, month.first, month.last, (answer.report,), answer.seen_at)
                yield Batch(plan.table, plan.market.symbol, month, rows_between(parsed.table, month.first, month.last), look)

    def complete_at(self, table: Table, calendar: Calendar, day: dt.date, rules: OptionRules) -> dt.datetime:
        """The publication of the day's report, by the rule."""
        return published_at(report_date_of(day), load_release_calendar().is_business_day)

    def month_facts(self, fetched: UsdaFetched, plan: Plan, lake: ParquetLake, month: Month) -> dict[str, Fact]:
        """The reason of a market without a report."""
        gap = fetched.gaps.get(plan.market.symbol)
        return {"gap": True, "reason": gap} if gap else {}


USDA = UsdaFeed()


def _ranges(months: Sequence[Month], max_days: int) -> Iterator[list[Month]]:
    """Neighbouring months of one request each, ascending; a month is never split."""
    part: list[Month] = []
    for month in sorted(months):
        apart = part and (part[-1].last + dt.timedelta(1) != month.first)
        if part and (apart or (month.last + REPORTED_WITHIN - part[0].first).days >= max_days):
            yield part
            part = []
        part.append(month)
    if part:
        yield part
