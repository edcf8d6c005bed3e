"""Jobs that sensors and schedules request: one for each calendar of tables, so that a new table is in the job of its calendar."""

import dagster as dg

from hydra_assets.core.tables.registry import TABLES

COT_TABLES = tuple(table.name for table in TABLES.values() if table.calendar == "cot_releases")
MARKET_TABLES = tuple(table.name for table in TABLES.values() if table.calendar == "sessions")
_MARKET_RAW = tuple(name for name in MARKET_TABLES if TABLES[name].group == "raw")
# Feeds of which the schedules and the sensor of the market's sessions look for due days.
MARKET_FEEDS = tuple(dict.fromkeys(TABLES[name].source for name in _MARKET_RAW))

cot_refresh = dg.define_asset_job(
    "cot_refresh",
    selection=dg.AssetSelection.assets(*COT_TABLES),
    description="One market and month of the COT report: the raw table, its features, and their checks; what joins it with prices"
    " follows with these, or by `revision_sensor`."
    " Asked for by `after_cot_release` and `cot_release_sensor`; launch it by hand with a partition to do the same.",
)
market_refresh = dg.define_asset_job(
    "market_refresh",
    selection=dg.AssetSelection.assets(*_MARKET_RAW).downstream(),
    description="One market and month of the exchange's data: definitions, bars, statistics, every table made of them, and their checks."
    " Fetches only days that are not held yet. Asked for by `after_settlement`, `after_open_interest` and `vendor_update_sensor`.",
)
# A run of one of these jobs without a selection of its own does not touch the raw tables of the others.
JOBS = (cot_refresh.name, market_refresh.name, "freshness_watch")
