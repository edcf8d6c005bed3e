"""Feature tables: computed from the lake, published to the store, kept in the lake; one factory for every family."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from hydra_assets.config.load import load_config
from hydra_assets.core.tables.registry import FEATURE_TABLES
from hydra_assets.defs.partitions import MARKET_MONTH, key_of, months_by_market
from hydra_assets.defs.pictures import add_pictures
from hydra_assets.defs.resources import FeatureStoreResource, LakeResource
from hydra_assets.features.compute import INPUTS
from hydra_assets.flow.batch import Batch
from hydra_assets.flow.outdated import restamped_since_publish
from hydra_assets.flow.publish import batch_of, compute_months, publish_month


class FeatureConfig(dg.Config):
    """Settings of one materialisation."""

    allow_retract: bool = False  # a mended computation may withdraw more than a fifth of a month


def feature_table(family: str) -> dg.AssetsDefinition:
    """The asset of the feature table of *family*."""
    dataset = FEATURE_TABLES[family]

    @dg.asset(
        name=dataset.name,
        group_name="features",
        partitions_def=MARKET_MONTH,
        deps=list(INPUTS[family]),
        io_manager_key="lake_io",
        backfill_policy=dg.BackfillPolicy.single_run(),
        kinds={"parquet", "sqlite"},
        description=dataset.description,
    )
    def features(
        context: dg.AssetExecutionContext, config: FeatureConfig, lake: LakeResource, store: FeatureStoreResource
    ) -> dg.Output[Any]:
        requested, rules = months_by_market(context.partition_keys), load_config().option_rules

        def published() -> Iterator[tuple[str, Batch]]:
            opened = lake.open()
            with store.open() as feature_store:
                for market, months in requested.items():
                    # Where a stamp of an input was put right, the vintages that rest on it move: that is no loss.
                    moved = restamped_since_publish(feature_store, opened, family, market, months)
                    for computed in compute_months(opened, family, market, months, rules):
                        allow = config.allow_retract or computed.month in moved
                        # The store first: it refuses lookahead, and then nothing reaches the lake either.
                        facts = publish_month(feature_store, family, market, computed, allow_retract=allow)
                        key = key_of(market, computed.month)
                        context.add_asset_metadata(
                            {"published_facts": facts, "inputs": f"{len(computed.watermarks):,} folders"}, partition_key=key
                        )
                        yield key, batch_of(family, market, computed, allow_retract=allow)
                    add_pictures(context, dataset.name, opened, market, months)

        return dg.Output(published())

    return features


FEATURES = [feature_table(family) for family in INPUTS]
