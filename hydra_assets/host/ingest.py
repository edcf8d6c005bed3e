"""Raw months of a market without a run of Dagster: fetch and append alone, for history that a demo or test only looks back on."""

from collections.abc import Iterator, Sequence
from itertools import groupby, product

import dagster as dg

from hydra_assets.config.home import Home
from hydra_assets.config.load import load_config
from hydra_assets.core.months import Month
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.defs.partitions import key_of, parts_of
from hydra_assets.errors import VendorContentError
from hydra_assets.flow.feed import fetch_all, keep
from hydra_assets.flow.feeds.registry import FEEDS
from hydra_assets.host.event_log import command_instance
from hydra_assets.sources.ledger import Ledger
from hydra_assets.storage.lake import ParquetLake

_INGESTED = "Ingested for the features that look back on it, without a run: no check has looked at it."
# Features with windows of years read these; option features look back a few days only.
WARM_UP_TABLES = tuple(name for name, table in TABLES.items() if table.group == "raw" and not table.needs_options)


def ingest(home: Home, symbol: str, months: Sequence[Month]) -> Iterator[tuple[str, int]]:
    """Fetch and append `WARM_UP_TABLES` of a market in the sample world, year by year; yield table and new rows of each month."""
    config, lake = load_config(), ParquetLake(home.lake, world=home.world)
    years = [list(group) for _, group in groupby(months, key=lambda month: month.year)]
    for feed in FEEDS.values():
        with feed.open(home, config, run="warm-up") as source, Ledger(home.ledger) as ledger:
            for table, year in product(feed.tables, years):
                if table.name in WARM_UP_TABLES:
                    _, fetched = fetch_all(feed, source, lake, table, {config.market(symbol): year}, config)
                    for batch in feed.batches(fetched, lake):
                        yield table.name, keep(batch, lake, ledger)
                    if fetched.refusal is not None:
                        raise VendorContentError(fetched.refusal)


def report_ingested(home: Home, symbol: str, months: Sequence[Month]) -> None:
    """Let the UI show the ingested months of `WARM_UP_TABLES` as filled, those that it does not show yet."""
    with command_instance(home) as instance:
        for name in WARM_UP_TABLES:
            shown = {parts_of(key) for key in instance.get_materialized_partitions(dg.AssetKey(name))}
            for month in months:
                if (symbol, month) not in shown:
                    made = dg.AssetMaterialization(name, _INGESTED, partition=key_of(symbol, month))
                    instance.report_runless_asset_event(made)
