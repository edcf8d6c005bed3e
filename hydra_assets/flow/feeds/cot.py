"""From the CFTC's archives to the months of the lake table ``cot_disaggregated``; knows no Dagster."""

import datetime as dt
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import pyarrow as pa

from hydra_assets.config.home import Home
from hydra_assets.config.load import Config
from hydra_assets.core.instants import INSTANT, to_us
from hydra_assets.core.market import Market
from hydra_assets.core.months import Month
from hydra_assets.core.releases import ReleaseCalendar
from hydra_assets.core.rows import rows_between
from hydra_assets.core.tables.cot import COT_DISAGGREGATED
from hydra_assets.errors import NotPublishedError
from hydra_assets.flow.batch import Batch
from hydra_assets.flow.feeds.sample import rudeness
from hydra_assets.sources.cftc import CftcSource, CotArchive
from hydra_assets.sources.cftc_parse import PARSER_VERSION, Quarantined, parse_cot
from hydra_assets.storage.capture import Look
from hydra_assets.storage.lake import ParquetLake

SOURCE = "cftc"


@contextmanager
def open_cftc(home: Home, config: Config, calendar: ReleaseCalendar) -> Iterator[CftcSource]:
    """
    The CFTC of *home*'s world: the real one, or the embedded vendor on loopback for as long as the block runs.

    Raises:
        VendorError: from the source's own calls.
    """
    asked = config.cftc
    source = partial(
        CftcSource,
        calendar=calendar,
        connect_timeout_s=asked.connect_timeout_s,
        read_timeout_s=asked.read_timeout_s,
        deadline_s=asked.deadline_s,
        max_zip_mb=asked.max_zip_mb,
        max_attempts=asked.max_attempts,
    )
    if home.world == "live":
        yield source(home.archives, base_url=asked.base_url)
        return
    from hydra_assets.sources.sample.server import SampleVendor

    # The embedded vendor serves the configured markets: with another set of them its archives are other archives.
    contracts = sorted((market.cftc_code, market.name) for market in config.markets.values())
    rude = rudeness(config)
    told = repr((contracts, rude.on) if rude.on else contracts)
    served = hashlib.sha256(told.encode()).hexdigest()[:12]
    with SampleVendor(config.markets, calendar, rude=rude) as vendor:
        yield source(home.archives / f"sample-{served}", base_url=vendor.url)


@dataclass
class CotFetch:
    """
    What one fetch brought: the archives of the years asked, and the years that are gaps, with the reason.

    The rest is filled while the months are read.
    """

    archives: Mapping[int, CotArchive]
    gaps: Mapping[int, str]
    rows_read: int = 0
    duplicates: int = 0
    quarantined: list[Quarantined] = field(default_factory=list)
    extra_columns: tuple[str, ...] = ()


def fetch_cot(fetch: Callable[[int], CotArchive], months: Sequence[Month]) -> CotFetch:
    """The archives that hold *months*, each fetched once by *fetch* (`CftcSource.fetch`, or its one attempt)."""
    archives: dict[int, CotArchive] = {}
    gaps: dict[int, str] = {}
    for year in sorted({month.year for month in months}):
        held = next((archive for archive in archives.values() if year in archive.years), None)
        try:
            archives[year] = held or fetch(year)
        except NotPublishedError as error:
            gaps[year] = str(error)
    return CotFetch(archives, gaps)


def cot_batches(fetched: CotFetch, market: Market, months: Sequence[Month], calendar: ReleaseCalendar) -> Iterator[Batch]:
    """
    The rows of *market*, month by month, ascending.

    A month of a gap year is not yielded: nothing was looked at. A month without a report is yielded empty: that it was looked
    at, and found empty, is what later tells a late report from one that had been there.
    """
    parsed: dict[str, pa.Table] = {}
    for month in sorted(months):
        archive = fetched.archives.get(month.year)
        if archive is None:
            continue
        if archive.name not in parsed:
            parsed.clear()  # months ascend: an earlier archive is not needed again
            answer = parse_cot(archive.read(), [market.cftc_code], years=archive.years, calendar=calendar, place=f"CFTC {archive.name}")
            fetched.rows_read += answer.rows_read
            fetched.duplicates += answer.duplicates
            fetched.quarantined += answer.quarantined
            fetched.extra_columns = answer.extra_columns
            parsed[archive.name] = answer.table
        look = Look(SOURCE, month.first, month.last, (market.cftc_code,), archive.seen_at, versions=versions_of(calendar))
        yield Batch(COT_DISAGGREGATED, market.symbol, month, rows_between(parsed[archive.name], month.first, month.last), look)


def versions_of(calendar: ReleaseCalendar) -> dict[str, str]:
    """What stamps and reads a report, as it stands in the footers."""
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
    reason = f"stamped under {_told(old[-1])}; now {_told(versions)}"
    return lake.restamp(right, dataset.name, market.symbol, month.first, key=dataset.key, reason=reason, versions=versions)


def _told(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(versions.items())) or "no known version"
