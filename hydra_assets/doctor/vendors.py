"""The vendors of a world, looked at through the product's own path: free of charge, or with one real day that is paid for."""

import dataclasses
import datetime as dt
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hydra_assets.config.home import Home
from hydra_assets.config.load import Config
from hydra_assets.core.market import Market
from hydra_assets.doctor.reading import Reading
from hydra_assets.doctor.vendor_answers import ANSWERS, read_answers, remedy_of
from hydra_assets.doctor.vendor_day import VendorDay, day_of, licensed_until, newest_day
from hydra_assets.doctor.vendor_values import read_values
from hydra_assets.doctor.vendors_free import (
    DATASET,
    read_cftc,
    read_condition,
    read_counts,
    read_prices,
    read_ranges,
    read_treasury,
    read_usda,
)
from hydra_assets.errors import VendorError
from hydra_assets.flow.feeds.cot import COT
from hydra_assets.flow.feeds.databento import DATABENTO
from hydra_assets.flow.feeds.registry import FEEDS
from hydra_assets.flow.feeds.treasury import TREASURY
from hydra_assets.flow.feeds.usda import USDA
from hydra_assets.sources.databento import DatabentoSource
from hydra_assets.storage.lake import ParquetLake

_ATTEMPTS = 2  # a look is short: a fault that a second try does not mend is shown


@dataclass
class Page:
    """
    Everything that was read.

    Attributes:
        readings: in the order in which they are printed.
        chosen: the day that was priced; None where the vendor could not be asked.
        scratch: the home of the day's rows, where it is kept.
    """

    readings: list[Reading] = field(default_factory=list)
    chosen: VendorDay | None = None
    scratch: Path | None = None


@dataclass(frozen=True)
class Probe:
    """
    A look at the vendors.

    Attributes:
        day: session to price and fetch; the newest complete one where None.
        spend: dollars that one real day may cost; 0 asks for nothing that costs.
        keep: leave the scratch home in place.
    """

    market: Market
    day: dt.date | None = None
    spend: float = 0.0
    keep: bool = False


def examine_vendors(
    home: Home, config: Config, probe: Probe, *, key: str, now: dt.datetime, report: Callable[[str], None] = lambda _: None
) -> Page:
    """
    Look at the CFTC, the USDA, the US Treasury and Databento of *home*'s world.

    Args:
        home: its ledger and archive take a day that is paid for; free looks leave it alone.
        config: the settings.
        ask: what to look at.
        key: Databento's; empty where there is none.
        now: the time.
        report: is handed a line on what is under way.
    """
    page = Page()
    report("asking the CFTC ...")
    with _scratch(home.world, keep=False) as scratch, COT.open(scratch, config) as cftc:
        page.readings.append(read_cftc(cftc.base_url, config, now))
    if hogs := probe.market.cash.report:
        with _scratch(home.world, keep=False) as scratch, USDA.open(scratch, config) as usda:
            page.readings.append(read_usda(usda, hogs, now))
    report("asking the US Treasury ...")
    with _scratch(home.world, keep=False) as scratch, TREASURY.open(scratch, config) as treasury:
        page.readings.append(read_treasury(treasury, now))
    for feed in FEEDS.values():
        if feed.name not in (COT.name, DATABENTO.name, TREASURY.name, USDA.name):
            remedy = "a reading of it belongs into hydra_assets/doctor/vendors_free.py"
            page.readings.append(Reading(feed.title, "vendor", "look", f"{feed.title} is not looked at", remedy))
    if home.world == "live" and not key:
        works = "Without it COT and the cash price work, and the whole sample world"
        message = f"{DATABENTO.secret} is not set: nothing of Databento can be asked. {works}"
        page.readings.append(Reading(DATASET, "key", "look", message, f"export {DATABENTO.secret}=…, then look again"))
        return page
    with _scratch(home.world, keep=probe.keep and probe.spend > 0) as scratch:
        account = home if probe.spend > 0 else scratch
        account.create()
        settings, run = _sparing(config, probe.spend), f"doctor {uuid.uuid4().hex[:12]}"
        with DATABENTO.open(account, settings, key=key, run=run) as source:
            look = _DatabentoProbe(source, ParquetLake(scratch.lake, world=home.world), settings, probe, now, run, report)
            try:
                for reading in look.free():
                    page.readings.append(reading)
                if probe.spend > 0:
                    for reading in look.paid():
                        page.readings.append(reading)
            except VendorError as error:
                page.readings.append(Reading(DATASET, "answer", "wrong", str(error), remedy_of(error)))
            page.chosen = look.chosen
        page.scratch = scratch.root if probe.keep and probe.spend > 0 else None
    return page


@dataclass
class _DatabentoProbe:
    """One look at Databento; `chosen` is the day that it has settled on."""

    source: DatabentoSource
    lake: ParquetLake
    config: Config
    probe: Probe
    now: dt.datetime
    run: str
    report: Callable[[str], None]
    chosen: VendorDay | None = None
    fetched: list[VendorDay] = field(default_factory=list)

    def free(self) -> Iterator[Reading]:
        """Readings that cost nothing; they settle on the day."""
        self.report("asking Databento what is free ...")
        yield from read_ranges(self.source, self.probe.market, self.now)
        yield read_condition(self.source, self.probe.market, self.now)
        day = self.probe.day
        if day is not None:
            chosen = day_of(self.source, self.lake, self.probe.market, day, self.config, self.now)
        else:
            chosen = newest_day(self.source, self.lake, self.probe.market, self.config, self.now)
        chosen.price(self.source)
        self.chosen = chosen
        yield read_counts(self.source, chosen)
        yield read_prices(chosen)

    def paid(self) -> Iterator[Reading]:
        """Readings of the day itself; a day that needs a live licence gives way to an earlier one, unless it was named."""
        yield from self._fetch()
        fault = next((each.fault for each in self._day.tables if licensed_until(each.fault) is not None), None)
        until = licensed_until(fault)
        if until is not None and self.probe.day is None:
            remedy = "nothing to mend where the day after is early enough: a later run fetches it; else see the portal for a live licence"
            yield Reading("The newest day", "licence", "look", str(fault), remedy, {"until": until.isoformat()})
            self.chosen = newest_day(self.source, self.lake, self.probe.market, self.config, self.now, until)
            self._day.price(self.source)
            yield from self._fetch()
        if self._day in self.fetched:
            requests = [row for row in self.source.ledger.requests() if row["run"] == self.run]
            yield from read_values(self._day, self.config.checks.strike_scale_factor)
            yield from read_answers(self._day, sum(day.answered_usd for day in self.fetched), requests)

    def _fetch(self) -> Iterator[Reading]:
        """Fetch the day, or say that it costs too much."""
        day = self._day
        if day.usd > self.probe.spend:
            message = f"{day.market.symbol} {day.day} costs ${day.usd:,.4f}, --spend allows ${self.probe.spend:,.4f}; nothing was requested"
            yield Reading(ANSWERS, "price", "wrong", message, "raise --spend, or name a quieter day or market")
            return
        self.report(f"fetching {day.market.symbol} {day.day} ...")
        self.fetched.append(day)
        day.ask(self.source, self.lake)

    @property
    def _day(self) -> VendorDay:
        assert self.chosen is not None  # noqa: S101  the free readings come first
        return self.chosen


def _sparing(config: Config, spend: float) -> Config:
    """*config* with what Databento may take lowered to one look: few attempts, and no more than *spend* dollars."""
    block = config.vendors[DATABENTO.name]
    block = {**block, "max_attempts": min(_ATTEMPTS, block["max_attempts"]), "run_budget_usd": float(spend)}
    return dataclasses.replace(config, vendors={**config.vendors, DATABENTO.name: block})


@contextmanager
def _scratch(world: str, *, keep: bool) -> Iterator[Home]:
    """A home of its own, deleted at the end of the block unless *keep*."""
    base = Path(tempfile.mkdtemp(prefix="hydra-doctor-"))
    home = Home(world, base)
    home.create()
    try:
        yield home
    finally:
        if not keep:
            shutil.rmtree(base, ignore_errors=True)
