"""Derived tables: computed from the lake, kept in the lake; one factory for all of them."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from hydra_assets.config.load import load_config
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.defs.features import FeatureConfig
from hydra_assets.defs.partitions import MARKET_MONTH, key_of, months_by_market
from hydra_assets.defs.pictures import add_pictures
from hydra_assets.defs.resources import LakeResource
from hydra_assets.flow.batch import Batch
from hydra_assets.flow.derive import DERIVATIONS, derived_months


def derived_table(name: str) -> dg.AssetsDefinition:
    """The asset of the derived table *name*."""
    dataset = TABLES[name]

    @dg.asset(
        name=name,
        group_name=dataset.group,
        partitions_def=MARKET_MONTH,
        deps=list(DERIVATIONS[name].inputs),
        io_manager_key="lake_io",
        backfill_policy=dg.BackfillPolicy.single_run(),
        kinds={"parquet"},
        description=dataset.description,
    )
    def table(context: dg.AssetExecutionContext, config: FeatureConfig, lake: LakeResource) -> dg.Output[Any]:
        requested, opened, rules = months_by_market(context.partition_keys), lake.open(), load_config().option_rules

        def months() -> Iterator[tuple[str, Batch]]:
            for market, wanted in requested.items():
                for batch in derived_months(opened, name, market, wanted, rules, allow_retract=config.allow_retract):
                    yield key_of(market, batch.month), batch
                add_pictures(context, name, opened, market, wanted)

        return dg.Output(months())

    return table


DERIVED = [derived_table(name) for name in DERIVATIONS]
