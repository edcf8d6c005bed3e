"""The composition root: which world, which home, which resources. Secrets are read here and nowhere else."""

import dagster as dg

from hydra_assets import log
from hydra_assets.config.home import Home, resolve_home
from hydra_assets.defs.alerting import alert_on_failure
from hydra_assets.defs.asset_docs import shown
from hydra_assets.defs.checks import CHECKS
from hydra_assets.defs.derived import DERIVED
from hydra_assets.defs.features import FEATURES
from hydra_assets.defs.freshness import daily_freshness_watch, freshness_watch
from hydra_assets.defs.io_managers import HiveParquetIOManager
from hydra_assets.defs.jobs import cot_refresh, market_refresh
from hydra_assets.defs.raw import cot_disaggregated
from hydra_assets.defs.raw_databento import DATABENTO
from hydra_assets.defs.resources import AlertResource, CftcResource, DatabentoResource, FeatureStoreResource, FindingsResource, LakeResource
from hydra_assets.defs.revisions import revision_sensor
from hydra_assets.defs.schedules import after_cot_release, after_open_interest, after_settlement
from hydra_assets.defs.sensors import cot_release_sensor
from hydra_assets.defs.vendor_sensor import vendor_update_sensor

ASSETS = [*DATABENTO, cot_disaggregated, *DERIVED, *FEATURES]


def definitions_for(home: Home) -> dg.Definitions:
    """Everything Dagster shows and runs, over *home*."""
    home.create()
    lake = LakeResource(base_path=str(home.lake), world=home.world)
    note = {
        "world": dg.MetadataValue.text(home.world),
        "home": dg.MetadataValue.path(str(home.root)),
    }
    return dg.Definitions(
        assets=dg.map_asset_specs(lambda spec: shown(spec, world=home.world, home=str(home.root)), ASSETS),
        asset_checks=CHECKS,
        jobs=[cot_refresh, market_refresh, freshness_watch],
        sensors=[cot_release_sensor, vendor_update_sensor, revision_sensor, alert_on_failure],
        schedules=[after_settlement, after_open_interest, after_cot_release, daily_freshness_watch],
        executor=dg.in_process_executor,
        resources={
            "lake": lake,
            "lake_io": HiveParquetIOManager(lake=lake, ledger_path=str(home.ledger)),
            "store": FeatureStoreResource(db_path=str(home.store), world=home.world),
            "findings": FindingsResource(db_path=str(home.findings)),
            "cftc": CftcResource(base=str(home.base), world=home.world),
            "databento": DatabentoResource(base=str(home.base), world=home.world, api_key=databento_key(home)),
            "alerts": AlertResource(base=str(home.base), world=home.world, webhook_secret=webhook_secret()),
        },
        metadata=note,
    )


def databento_key(home: Home) -> str:
    """
    Where the key comes from: the environment in the live world; the sample world has none to lose.

    A variable that is not set would keep every asset from running, COT too: without it the key is empty, and who needs it says so.
    """
    return dg.EnvVar("DATABENTO_API_KEY") if databento_key_of(home) else ""


def webhook_secret() -> str:
    """Where alerts are posted to, where that is set: whoever knows the address can post there."""
    return dg.EnvVar("HYDRA_ALERT_WEBHOOK") if dg.EnvVar("HYDRA_ALERT_WEBHOOK").get_value("") else ""


def databento_key_of(home: Home) -> str:
    """The key itself, for a command that asks Databento without Dagster; empty where there is none."""
    return dg.EnvVar("DATABENTO_API_KEY").get_value("") or "" if home.world == "live" else ""


log.configure()
defs = definitions_for(resolve_home())
