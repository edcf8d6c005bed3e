"""Jobs that sensors and schedules ask for: by the graph, so that a table added to it is in them."""

import dagster as dg

from hydra_assets.core.tables.registry import TABLES

COT_RAW = "cot_disaggregated"
COT_TABLES = tuple(name for name in TABLES if name.startswith("cot_"))
MARKET_TABLES = tuple(name for name in TABLES if name not in COT_TABLES)
_COT = dg.AssetSelection.assets(COT_RAW)

cot_refresh = dg.define_asset_job(
    "cot_refresh",
    selection=dg.AssetSelection.assets(*COT_TABLES),
    description="One market and month of the COT report: the raw table, its features, and their checks; what joins it with prices"
    " follows with these, or by `revision_sensor`."
    " Asked for by `after_cot_release` and `cot_release_sensor`; launch it by hand with a partition to do the same.",
)
market_refresh = dg.define_asset_job(
    "market_refresh",
    selection=(dg.AssetSelection.groups("raw") - _COT).downstream(),
    description="One market and month of the exchange's data: definitions, bars, statistics, every table made of them, and their checks."
    " Fetches only days that are not held yet. Asked for by `after_settlement`, `after_open_interest` and `vendor_update_sensor`.",
)
# A run of another job without a selection of its own does not touch a job's raw tables.
OTHERS_TABLES = {
    cot_refresh.name: (market_refresh.name, "freshness_watch"),
    market_refresh.name: (cot_refresh.name, "freshness_watch"),
}
