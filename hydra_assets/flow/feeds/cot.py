"""The feed of the CFTC: from its archives to the months of the lake table ``cot_disaggregated``."""

import datetime as dt
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace

import pyarrow as pa

from hydra_assets.config.home import Home
from hydra_assets.config.load import Config, load_config, load_release_calendar
from hydra_assets.core.calendar import Calendar
from hydra_assets.core.instants import INSTANT, to_us
from hydra_assets.core.market import Market
from hydra_assets.core.months import Month
from hydra_assets.core.option_rules import OptionRules
from hydra_assets.core.releases import ReleaseCalendar
from hydra_assets.core.rows import rows_between
from hydra_assets.core.tables.cot import COT_DISAGGREGATED
from hydra_assets.core.tables.table import Table
from hydra_assets.errors import NotPublishedError
from hydra_assets.flow.batch import Batch
from hydra_assets.flow.feed import CoverageDay, Due, Fact, Feed, Fetched, Plan, Records
from hydra_assets.flow.feeds.sample import served
from hydra_assets.sources.cftc import CftcSettings, CftcSource, CotArchive
from hydra_assets.sources.cftc_parse import PARSER_VERSION, ParsedCot, parse_cot
from hydra_assets.sources.publications import Publications
from hydra_assets.sources.quarantine import is_refused, refusal_of
from hydra_assets.sources.sample.server import SampleVendor
from hydra_assets.sources.sample.side import Served, Side
from hydra_assets.storage.capture import Look
from hydra_assets.storage.lake import ParquetLake


@dataclass
class CotFetched(Fetched):
    """
    Plans, and the archives of their years.

    Attributes:
        plans: what was asked for.
        archives: year to its archive.
        gaps: years without an archive, with the reason.
        duplicates: rows that say what another one says.
        combined: rows of futures and options together, left out.
        unreadable: lines of other markets that could not be read.
        unpublished: market to the number of reports that are of other markets alone.
        extra_columns: columns that the parser does not know.
    """

    plans: Sequence[Plan] = ()
    archives: Mapping[int, CotArchive] = field(default_factory=dict)
    gaps: Mapping[int, str] = field(default_factory=dict)
    duplicates: int = 0
    combined: int = 0
    unreadable: int = 0
    unpublished: dict[str, int] = field(default_factory=dict)
    extra_columns: tuple[str, ...] = ()

    def add(self, answer: ParsedCot) -> None:
        """Count what was read of one archive."""
        self.duplicates += answer.duplicates
        self.combined += answer.combined
        self.unreadable += answer.unreadable
        self.quarantined += answer.quarantined
        self.extra_columns = answer.extra_columns

    @property
    def facts(self) -> dict[str, Fact]:
        archives = {archive.name: archive for archive in self.archives.values()}
        absent = [f"{market}: {n} report(s) of other markets alone" for market, n in self.unpublished.items()]
        bad = len(self.quarantined)
        return {
            "archives": Records(
                ("archive", "sha256", "rows", "seen_at"),
                [(a.name, a.sha256[:16], a.rows, a.seen_at.isoformat()) for a in archives.values()],
            ),
            "duplicate_rows": self.duplicates,
            "combined_rows": self.combined,
            "unreadable_lines": self.unreadable,
            "not_published": "; ".join(absent) or "none",
            "quarantined_share": f"{bad} of {self.records} rows ({bad / max(self.records, 1):.2%})",
            "unknown_columns": ", ".join(self.extra_columns) or "none",
            "quarantined": Records(
                ("line", "code", "report_date", "reason"),
                [(q.line, q.cftc_code, q.report_date, q.reason) for q in self.quarantined[:50]],
            ),
            "gap_years": "; ".join(f"{year}: {why}" for year, why in self.gaps.items()) or "none",
        }


class CotFeed(Feed[CftcSource, Plan, CotFetched]):
    """The CFTC's Commitments of Traders."""

    name = "cftc"
    title = "the CFTC"
    settings = CftcSettings

    def sample(self, served: Served) -> Side:
        """The archives that the embedded vendor serves."""
        from hydra_assets.sources.sample.cftc import FakeCftc

        return FakeCftc(served)

    @contextmanager
    def open(self, home: Home, config: Config, *, key: str = "", run: str = "by hand", unattended: bool = False) -> Iterator[CftcSource]:
        """The CFTC, which takes no key and no money."""
        calendar, settings = load_release_calendar(), asdict(config.vendor("cftc", CftcSettings))
        if home.world == "live":
            yield CftcSource(home.archives, calendar, **settings)
            return
        # The embedded vendor serves the configured markets: with another set of them its archives are other archives.
        contracts = sorted((market.cftc_code, market.name) for market in config.markets.values())
        facts = served(config, cache=home.cache)
        identity = repr((contracts, facts.rude.on) if facts.rude.on else contracts)
        folder = home.archives / f"sample-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"
        with SampleVendor([self.sample(facts)], rude=facts.rude, cache=facts.cache) as vendor:
            yield CftcSource(folder, calendar, **{**settings, "base_url": vendor.url})

    def plan(
        self, source: CftcSource, lake: ParquetLake, table: Table, market: Market, months: Sequence[Month], config: Config, now: dt.datetime
    ) -> Plan:
        """All of *months*: an archive holds a whole year, and is fetched only where it has changed."""
        return Plan(table, market, months)

    def fetch(self, source: CftcSource, plans: Sequence[Plan], *, once: bool = False) -> CotFetched:
        """The archives of the plans' years, each fetched once for all markets."""
        ask = source.fetch_once if once else source.fetch
        archives: dict[int, CotArchive] = {}
        gaps: dict[int, str] = {}
        for year in sorted({month.year for plan in plans for month in plan.months}):
            known = next((archive for archive in archives.values() if year in archive.years), None)
            try:
                archives[year] = known or ask(year)
            except NotPublishedError as error:
                gaps[year] = str(error)
        return CotFetched(plans=plans, archives=archives, gaps=gaps)

    def batches(self, fetched: CotFetched, lake: ParquetLake) -> Iterator[Batch]:
        """All of it is parsed before any of it is handed over: a broken file appends nothing."""
        calendar, known = load_release_calendar(), load_config().cot_codes
        batches = [batch for plan in fetched.plans for batch in _batches(fetched, plan, calendar, known)]
        bad = len(fetched.quarantined)
        fetched.records = bad + sum(batch.rows.num_rows for batch in batches)
        if is_refused(bad, fetched.records):
            fetched.refused.append(refusal_of(fetched.quarantined[0], bad, fetched.records))
        else:
            yield from batches

    def complete_at(self, table: Table, calendar: Calendar, day: dt.date, rules: OptionRules) -> dt.datetime:
        """The report's release."""
        return load_release_calendar().release(day).available_at

    def restamp(self, lake: ParquetLake, plan: Plan, month: Month) -> int | None:
        """Put right the stamps that another calendar or parser made: see `restamp_cot`."""
        return restamp_cot(lake, plan.market, month, load_release_calendar())

    def due(
        self, source: CftcSource, lake: ParquetLake, table: Table, market: Market, months: Sequence[Month], config: Config, now: dt.datetime
    ) -> Due:
        """The reports that are out and not held, without those that are of other markets alone."""
        found = super().due(source, lake, table, market, months, config, now)
        for day in lake.unpublished(table.name, market.symbol):
            found.days.pop(day, None)
        return found

    def coverage(self, plan: Plan, lake: ParquetLake, month: Month, rules: OptionRules, now: dt.datetime) -> list[CoverageDay]:
        """The state of each report of *month*; a report of other markets alone is no gap."""
        absent = lake.unpublished(plan.table.name, plan.market.symbol, month.first, month.last)
        days = super().coverage(plan, lake, month, rules, now)
        return [replace(day, state="not published") if day.state == "gap" and day.day in absent else day for day in days]

    def note(self, table: Table, day: dt.date) -> str:
        """The report's release, and the day from which it was moved."""
        release = load_release_calendar().release(day)
        moved = "" if release.available_at == release.rule_at else f", moved from {release.rule_at:%Y-%m-%d}"
        return f"released {release.available_at:%Y-%m-%d %H:%M}Z{moved}"

    def run_facts(self, fetched: CotFetched, home: Home) -> dict[str, Fact]:
        """The archives, and when the newest reports were seen beside when they were scheduled."""
        with Publications(home.ledger) as publications:
            seen = publications.newest(8)
        rows = [
            (str(p.report), f"{p.scheduled_at:%Y-%m-%d %H:%M}Z", f"{p.observed_at:%Y-%m-%d %H:%M:%S}Z", p.last_modified or "") for p in seen
        ]
        columns = ("report", "scheduled", "observed", "last_modified")
        return {**fetched.facts, **({"publications": Records(columns, rows)} if rows else {})}

    def month_facts(self, fetched: CotFetched, plan: Plan, lake: ParquetLake, month: Month) -> dict[str, Fact]:
        """Numbers of reports seen as they came out and of reports from history; the reason of a missing archive."""
        stats = lake.capture_stats(plan.table.name, plan.market.symbol, month.first, month.last)
        facts: dict[str, Fact] = {"captured_live": stats.live, "backfilled": stats.backfilled}
        return {**facts, **({"gap": True, "reason": fetched.gaps[month.year]} if month.year in fetched.gaps else {})}


COT = CotFeed()


def _batches(fetched: CotFetched, plan: Plan, calendar: ReleaseCalendar, known: frozenset[str]) -> Iterator[Batch]:
    """
    The rows of a plan's market, month by month, ascending.

    A month of a gap year is not yielded: nothing was looked at. A month without a report is yielded empty: that it was looked
    at, and found empty, is what later tells a late report from one that had been there. A report that the CFTC published for other
    markets alone stands in the look, so that nobody waits for it.
    """
    parsed: dict[str, ParsedCot] = {}
    code = plan.market.cftc_code
    for month in plan.months:
        archive = fetched.archives.get(month.year)
        if archive is None:
            continue
        if archive.name not in parsed:
            parsed.clear()  # months ascend: an earlier archive is not needed again
            place = f"CFTC {archive.name}"
            parsed[archive.name] = parse_cot(archive.read(), [code], years=archive.years, calendar=calendar, place=place, known=known)
            fetched.add(parsed[archive.name])
        answer = parsed[archive.name]
        unpublished = tuple(day for day in answer.unpublished[code] if Month.of(day) == month)
        if unpublished:
            fetched.unpublished[plan.market.symbol] = fetched.unpublished.get(plan.market.symbol, 0) + len(unpublished)
        look = Look(
            plan.table.source,
            month.first,
            month.last,
            (code,),
            archive.seen_at,
            versions=versions_of(calendar),
            unpublished=unpublished,
        )
        yield Batch(plan.table, plan.market.symbol, month, rows_between(answer.table, month.first, month.last), look)


def versions_of(calendar: ReleaseCalendar) -> dict[str, str]:
    """Versions of what stamps and reads a report, as the footers keep them."""
    return {"calendar": calendar.version, "parser": PARSER_VERSION}


def restamp_cot(lake: ParquetLake, market: Market, month: Month, calendar: ReleaseCalendar) -> int:
    """
    Put right the month's stamps where another calendar or parser made them; the number of rows written.

    A report that we saw come out keeps the moment of its sight, whatever the calendar says.
    """
    dataset, versions = COT_DISAGGREGATED, versions_of(calendar)
    old = [note.versions for note in lake.writes(dataset.name, market.symbol, month.first, month.last) if note.versions != versions]
    if not old:
        return 0
    first, last = month.first, month.last
    held = lake.read_vintages(dataset.name, market.symbol, first, last)  # lookahead-ok: every stamp is reviewed
    reports = sorted({(row["cftc_code"], row["as_of"]) for row in held.select(["cftc_code", "as_of"]).to_pylist()})
    releases = [calendar.release(as_of.astimezone(dt.UTC).date()) for _, as_of in reports]
    right = pa.table(
        {
            "cftc_code": pa.array([code for code, _ in reports], pa.string()),
            "as_of": pa.array([as_of for _, as_of in reports], INSTANT),
            "available_at": pa.array([to_us(release.available_at) for release in releases], pa.int64()).cast(INSTANT),
            "quality": pa.array([release.quality for release in releases], pa.string()),
        }
    )
    reason = f"stamped under {_in_words(old[-1])}; now {_in_words(versions)}"
    return lake.restamp(right, dataset.name, market.symbol, month.first, key=dataset.key, reason=reason, versions=versions)


def _in_words(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(versions.items())) or "no known version"
