"""Tables that a market does not have: its vendor has no rows for it, or every input of a computed one is absent."""

from hydra_assets.config.load import Config
from hydra_assets.core.market import Market
from hydra_assets.core.tables.registry import FEATURE_TABLES, TABLES
from hydra_assets.core.tables.table import Table
from hydra_assets.features.compute import INPUTS
from hydra_assets.flow.derive import DERIVATIONS
from hydra_assets.flow.feeds.registry import FEEDS

_FAMILIES = {table.name: family for family, table in FEATURE_TABLES.items()}


def absence(table: Table, market: Market, config: Config) -> str:
    """The reason why *market* has no rows of *table*; empty where it has some."""
    if table.group == "raw":
        return FEEDS[table.source].absence(table, market, config)
    inputs = DERIVATIONS[table.name].inputs if table.name in DERIVATIONS else INPUTS[_FAMILIES[table.name]]
    reasons = [absence(TABLES[name], market, config) for name in inputs]
    return reasons[0] if all(reasons) else ""
