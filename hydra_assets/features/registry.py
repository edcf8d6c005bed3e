"""The families of features; a further one is its package and a row here."""

from collections.abc import Mapping

from hydra_assets.core.tables.registry import FEATURE_TABLES
from hydra_assets.features.cash.engine import compute_cash
from hydra_assets.features.cash.formulas import FEATURES as CASH
from hydra_assets.features.cot.engine import compute_cot
from hydra_assets.features.cot.formulas import FEATURES as COT
from hydra_assets.features.divergence.engine import compute_divergence
from hydra_assets.features.divergence.formulas import FEATURES as DIVERGENCE
from hydra_assets.features.family import Family
from hydra_assets.features.futures.engine import compute_futures
from hydra_assets.features.futures.formulas import FEATURES as FUTURES
from hydra_assets.features.options.engine import compute_options
from hydra_assets.features.options.formulas import FEATURES as OPTIONS

_ROWS = (
    Family(
        "cot",
        FEATURE_TABLES["cot"],
        ("cot_disaggregated",),
        COT,
        compute_cot,
        "COT: disaggregated, futures only, by week of the report.",
    ),
    Family(
        "cash",
        FEATURE_TABLES["cash"],
        ("cash_hogs",),
        CASH,
        compute_cash,
        "Cash: the price of slaughtered hogs and the index that lean hogs settle to, by weekday of slaughter. Lean hogs alone.",
    ),
    Family(
        "futures",
        FEATURE_TABLES["futures"],
        ("futures_definitions", "futures_statistics", "futures_bars", "cash_hogs"),
        FUTURES,
        compute_futures,
        "Futures: the curve of a market, by session. Settlements are final ones alone; open interest is the day before's.",
    ),
    Family(
        "options",
        FEATURE_TABLES["options"],
        ("option_definitions", "option_statistics", "option_chain", "option_smiles", "futures_features"),
        OPTIONS,
        compute_options,
        "Options: smiles at constant maturities and Greeks, by session. Volatilities are decimals a year; every fit is a row of"
        " `option_smiles`.",
    ),
    Family(
        "divergence",
        FEATURE_TABLES["divergence"],
        ("option_features", "cot_features", "option_smiles"),
        DIVERGENCE,
        compute_divergence,
        "Divergence: options beside positioning, and what the 30-day smile rests on.",
    ),
)
FAMILIES: Mapping[str, Family] = {family.name: family for family in _ROWS}
