"""Derived tables: computed from the lake, kept in the lake."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pyarrow as pa

from hydra_assets.core.dataset import FUTURES_CONTINUOUS
from hydra_assets.defs.features import FeatureConfig
from hydra_assets.defs.partitions import MARKET_MONTH, key_of, months_by_market
from hydra_assets.defs.resources import LakeResource
from hydra_assets.flow.continuous import INPUTS, continuous_months
from hydra_assets.flow.features import marked


@dg.asset(
    group_name=FUTURES_CONTINUOUS.group,
    partitions_def=MARKET_MONTH,
    deps=list(INPUTS),
    io_manager_key="lake_io",
    backfill_policy=dg.BackfillPolicy.single_run(),
    kinds={"parquet"},
    description=FUTURES_CONTINUOUS.description,
)
def futures_continuous(context: dg.AssetExecutionContext, config: FeatureConfig, lake: LakeResource) -> dg.Output[Any]:
    """The front contract and its rolls, month by month."""
    asked, opened = months_by_market(context.partition_keys), lake.open()

    def months() -> Iterator[tuple[str, pa.Table]]:
        for market, wanted in asked.items():
            for month, rows in continuous_months(opened, market, wanted):
                yield key_of(market, month), marked(rows, allow_retract=config.allow_retract)

    return dg.Output(months())
