"""Every shipped market through the sample world: a month of all raw and derived tables, and every family of features."""

import datetime as dt

import pyarrow.compute as pc
import pytest

from hydra_assets.config.home import Home
from hydra_assets.config.load import load_config
from hydra_assets.core.calendar import ENERGY
from hydra_assets.core.months import Month
from hydra_assets.core.tables.registry import FEATURE_TABLES, TABLES
from hydra_assets.features.registry import FAMILIES
from hydra_assets.flow.absence import absence
from hydra_assets.flow.derive import DERIVATIONS, derived_months
from hydra_assets.flow.feed import fetch_all, held_days, keep
from hydra_assets.flow.feeds.registry import FEEDS
from hydra_assets.flow.publish import batch_of, compute_months
from hydra_assets.sources.ledger import Ledger
from hydra_assets.storage.lake import ParquetLake

MONTH = Month(2025, 5)
MARKETS = load_config().markets


@pytest.mark.parametrize("symbol", [pytest.param(s, marks=[] if s in ("CL",) else pytest.mark.slow) for s in sorted(MARKETS)])
def test_a_month_gives_all_tables_and_features(symbol, tmp_path):
    place = Home("sample", tmp_path / "sample")
    place.create()
    config, market, lake = load_config(), MARKETS[symbol], ParquetLake(place.lake, world="sample")
    for feed in FEEDS.values():
        with feed.open(place, config) as source, Ledger(place.ledger) as ledger:
            for table in feed.tables:
                if absence(table, market, config):
                    continue  # a market without a cash price
                plans, fetched = fetch_all(feed, source, lake, table, {market: [MONTH]}, config)
                assert sum(keep(batch, lake, ledger) for batch in feed.batches(fetched, lake)) > 0, table.name
                assert (fetched.quarantined, fetched.refused) == ([], []), table.name
                assert not any(getattr(plan, "gaps", ()) for plan in plans), table.name
    for name in DERIVATIONS:
        for batch in derived_months(lake, name, symbol, [MONTH], config.option_rules):
            batch.append(lake)
    sessions = market.calendar.session_days(MONTH.first, MONTH.last)
    for name, table in TABLES.items():
        if table.group != "features" and table.cadence == "daily" and not absence(table, market, config):
            # The first contract of a session is chosen by the sessions before it, of which the first has none here.
            wanted = sessions[1:] if name == "futures_continuous" else sessions
            assert held_days(lake, table, symbol, MONTH.first, MONTH.last) >= set(wanted), name
    statistics = lake.read("futures_statistics", symbol)
    settled = statistics.filter(pc.equal(statistics["stat"], "settlement"))
    assert pc.min(settled["value"]).as_py() > 0
    bars = set(lake.read("futures_bars", symbol)["quality"].to_pylist())
    assert bars <= ({"partial", "degraded"} if market.calendar is ENERGY else {"normal", "degraded"})
    for row in settled.to_pylist():
        assert row["available_at"] > market.calendar.at(row["as_of"].date(), dt.time(14, 30) if market.calendar is ENERGY else dt.time(13))
    chain = lake.read("option_chain", symbol)
    assert {"ok", "in_the_money"} <= set(chain["vol_status"].to_pylist())
    assert ("thin" if symbol == "ZO" else "full") in lake.read("option_smiles", symbol)["status"].to_pylist()
    for family in FAMILIES:
        if absence(FEATURE_TABLES[family], market, config):
            continue
        (computed,) = compute_months(lake, family, symbol, [MONTH], config.option_rules)
        assert computed.rows.num_rows > 0, family
        batch_of(family, symbol, computed).append(lake)
