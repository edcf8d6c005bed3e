"""Raw months of a market without Dagster: fetch and append alone, for history that a demo or test only looks back on."""

import datetime as dt
from collections.abc import Iterator, Sequence

from hydra_assets.config.home import Home
from hydra_assets.config.load import load_config, load_release_calendar
from hydra_assets.core.months import Month
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.flow.feed import keep
from hydra_assets.flow.feeds.cot import cot_batches, fetch_cot, open_cftc
from hydra_assets.flow.feeds.databento import fetch_plan, open_databento, plan_of, raw_batches
from hydra_assets.storage.lake import ParquetLake

# Features with windows of years read these; option features look back a few days only.
WARM_UP_TABLES = tuple(name for name, table in TABLES.items() if table.group == "raw" and not table.needs_options)


def ingest(home: Home, symbol: str, months: Sequence[Month]) -> Iterator[int]:
    """Fetch and append `WARM_UP_TABLES` of a market; yield the new rows of each table and month."""
    config, calendar = load_config(), load_release_calendar()
    market, lake = config.market(symbol), ParquetLake(home.lake, world=home.world)
    with open_cftc(home, config, calendar) as source:
        fetched = fetch_cot(source.fetch, months)
    for batch in cot_batches(fetched, market, months, calendar):
        yield keep(batch, lake)
    with open_databento(home, config, key="", run="warm-up") as vendor:  # the sample world needs no key
        for data_type in (name for name in WARM_UP_TABLES if TABLES[name].source == "databento"):
            plan = plan_of(vendor, lake, data_type, market, months, dt.datetime.now(dt.UTC).date(), cut=config.option_rules.cut_time)
            got = fetch_plan(vendor.fetch, plan, synthetic=True)
            for batch in raw_batches(got, lake):
                yield keep(batch, lake, vendor.ledger)
