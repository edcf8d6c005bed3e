"""Jobs that sensors and schedules ask for."""

import dagster as dg

COT_ASSETS = ("cot_disaggregated", "cot_features")
cot_refresh = dg.define_asset_job(
    "cot_refresh",
    selection=dg.AssetSelection.assets(*COT_ASSETS),
    description="The COT report of one market and month: raw, features, checks.",
)
