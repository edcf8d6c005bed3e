"""The composition root: world, home and resources. Secrets are read here and nowhere else."""

import dagster as dg

from hydra_assets.config.home import Home, resolve_home
from hydra_assets.defs.alerting import alert_on_failure
from hydra_assets.defs.asset_docs import documented
from hydra_assets.defs.checks import CHECKS
from hydra_assets.defs.derived import DERIVED
from hydra_assets.defs.features import FEATURES
from hydra_assets.defs.freshness import daily_freshness_watch, freshness_watch
from hydra_assets.defs.io_managers import HiveParquetIOManager
from hydra_assets.defs.jobs import cot_refresh, market_refresh
from hydra_assets.defs.raw import RAW
from hydra_assets.defs.resources import AlertResource, FeatureStoreResource, FeedResource, FindingsResource, LakeResource
from hydra_assets.defs.revisions import revision_sensor
from hydra_assets.defs.schedules import after_cot_release, after_open_interest, after_settlement
from hydra_assets.defs.sensors import cot_release_sensor
from hydra_assets.defs.vendor_sensor import vendor_update_sensor
from hydra_assets.flow.feeds.registry import FEEDS

ASSETS = [*RAW.values(), *DERIVED, *FEATURES]


def definitions_for(home: Home) -> dg.Definitions:
    """Assets, checks, jobs, sensors and schedules over *home*."""
    home.create()
    lake = LakeResource(base_path=str(home.lake), world=home.world)
    live = home.world == "live"
    note = {
        "world": dg.MetadataValue.text(home.world),
        "home": dg.MetadataValue.path(str(home.root)),
    }
    return dg.Definitions(
        assets=dg.map_asset_specs(lambda spec: documented(spec, world=home.world, home=str(home.root)), ASSETS),
        asset_checks=CHECKS,
        jobs=[cot_refresh, market_refresh, freshness_watch],
        sensors=[cot_release_sensor, vendor_update_sensor, revision_sensor, alert_on_failure],
        schedules=[after_settlement, after_open_interest, after_cot_release, daily_freshness_watch],
        executor=dg.in_process_executor,
        resources={
            "lake": lake,
            "lake_io": HiveParquetIOManager(lake=lake, ledger_path=str(home.ledger)),
            "store": FeatureStoreResource(db_path=str(home.store), world=home.world, lake_path=str(home.lake)),
            "findings": FindingsResource(db_path=str(home.findings)),
            **{
                name: FeedResource(feed=name, base=str(home.base), world=home.world, api_key=secret(feed.secret) if live else "")
                for name, feed in FEEDS.items()
            },
            "alerts": AlertResource(base=str(home.base), world=home.world, webhook_secret=secret("HYDRA_ALERT_WEBHOOK")),
        },
        metadata=note,
    )


def secret(variable: str) -> str:
    """
    The environment variable *variable*, where it is set, as a reference that Dagster resolves and never shows; else empty.

    A reference to a variable that is not set would keep every asset from running: the source that needs it raises when it needs it.
    """
    return dg.EnvVar(variable) if variable and dg.EnvVar(variable).get_value("") else ""


defs = definitions_for(resolve_home())
