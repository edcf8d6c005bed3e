"""All tables of the lake."""

from hydra_assets.core.tables.cash import CASH_HOGS, CASH_INDEX
from hydra_assets.core.tables.cot import COT_DISAGGREGATED
from hydra_assets.core.tables.features import CASH_FEATURES, COT_FEATURES, DIVERGENCE_FEATURES, FUTURES_FEATURES, OPTION_FEATURES
from hydra_assets.core.tables.futures import FUTURES_BARS, FUTURES_CONTINUOUS, FUTURES_DEFINITIONS, FUTURES_LIMITS, FUTURES_STATISTICS
from hydra_assets.core.tables.options import OPTION_CHAIN, OPTION_DEFINITIONS, OPTION_QUOTES, OPTION_SMILES, OPTION_STATISTICS
from hydra_assets.core.tables.rates import RATES

FEATURE_TABLES = {
    "cot": COT_FEATURES,
    "cash": CASH_FEATURES,
    "futures": FUTURES_FEATURES,
    "options": OPTION_FEATURES,
    "divergence": DIVERGENCE_FEATURES,
}

TABLES = {
    table.name: table
    for table in (
        COT_DISAGGREGATED,
        COT_FEATURES,
        CASH_HOGS,
        CASH_INDEX,
        CASH_FEATURES,
        FUTURES_DEFINITIONS,
        FUTURES_BARS,
        FUTURES_STATISTICS,
        FUTURES_LIMITS,
        FUTURES_CONTINUOUS,
        FUTURES_FEATURES,
        RATES,
        OPTION_DEFINITIONS,
        OPTION_QUOTES,
        OPTION_STATISTICS,
        OPTION_CHAIN,
        OPTION_SMILES,
        OPTION_FEATURES,
        DIVERGENCE_FEATURES,
    )
}
