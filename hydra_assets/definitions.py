"""The composition root: which world, which home, which resources. Secrets are read here and nowhere else."""

import dagster as dg

from hydra_assets import log
from hydra_assets.config.home import Home, resolve_home
from hydra_assets.defs.checks import CHECKS
from hydra_assets.defs.derived import futures_continuous
from hydra_assets.defs.features import cot_features, futures_features
from hydra_assets.defs.io_managers import HiveParquetIOManager
from hydra_assets.defs.jobs import cot_refresh
from hydra_assets.defs.raw import cot_disaggregated
from hydra_assets.defs.raw_futures import futures_bars, futures_definitions, futures_statistics
from hydra_assets.defs.resources import CftcResource, DatabentoResource, FeatureStoreResource, FindingsResource, LakeResource
from hydra_assets.defs.revisions import revision_sensor
from hydra_assets.defs.schedules import after_cot_release
from hydra_assets.defs.sensors import cot_release_sensor

ASSETS = [
    futures_definitions,
    futures_bars,
    futures_statistics,
    futures_continuous,
    futures_features,
    cot_disaggregated,
    cot_features,
]


def definitions_for(home: Home) -> dg.Definitions:
    """Everything Dagster shows and runs, over *home*."""
    home.create()
    lake = LakeResource(base_path=str(home.lake), world=home.world)
    note = {"world": dg.MetadataValue.text(home.world), "home": dg.MetadataValue.path(str(home.root))}
    tag = {"world": home.world}  # on the overview of every asset: which world is looked at
    return dg.Definitions(
        assets=dg.map_asset_specs(lambda spec: spec.merge_attributes(metadata=note, tags=tag), ASSETS),
        asset_checks=CHECKS,
        jobs=[cot_refresh],
        sensors=[cot_release_sensor, revision_sensor],
        schedules=[after_cot_release],
        executor=dg.in_process_executor,
        resources={
            "lake": lake,
            "lake_io": HiveParquetIOManager(lake=lake),
            "store": FeatureStoreResource(db_path=str(home.store), world=home.world),
            "findings": FindingsResource(db_path=str(home.findings)),
            "cftc": CftcResource(base=str(home.base), world=home.world),
            "databento": DatabentoResource(base=str(home.base), world=home.world, api_key=databento_key(home)),
        },
        metadata=note,
    )


def databento_key(home: Home) -> str:
    """
    Where the key comes from: the environment in the live world; the sample world has none to lose.

    A variable that is not set would keep every asset from running, COT too: without it the key is empty, and who needs it says so.
    """
    return dg.EnvVar("DATABENTO_API_KEY") if databento_key_of(home) else ""


def databento_key_of(home: Home) -> str:
    """The key itself, for a command that asks Databento without Dagster; empty where there is none."""
    return dg.EnvVar("DATABENTO_API_KEY").get_value("") or "" if home.world == "live" else ""


log.configure()
defs = definitions_for(resolve_home())
