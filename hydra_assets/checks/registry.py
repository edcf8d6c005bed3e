"""All checks of tables in the lake."""

from hydra_assets.checks.anomalies import cot_jumps, price_scale, settlement_jumps, unchanged_settlements
from hydra_assets.checks.chain import missing_strikes, monotone, parity, strike_scale
from hydra_assets.checks.check import Check
from hydra_assets.checks.cot import cot_identity
from hydra_assets.checks.coverage import coverage
from hydra_assets.checks.freshness import staleness
from hydra_assets.checks.futures import near_last_trade, ohlc_sane, outrights_only, settled_at_limit, within_limits
from hydra_assets.checks.keys import keys_unique
from hydra_assets.checks.options import options_only, quotes_sane, well_defined

CHECKS: tuple[Check, ...] = (
    keys_unique,
    coverage,
    staleness,
    cot_identity,
    cot_jumps,
    outrights_only,
    ohlc_sane,
    within_limits,
    settled_at_limit,
    near_last_trade,
    settlement_jumps,
    price_scale,
    unchanged_settlements,
    well_defined,
    options_only,
    quotes_sane,
    strike_scale,
    missing_strikes,
    monotone,
    parity,
)
