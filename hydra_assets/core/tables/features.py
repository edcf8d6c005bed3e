"""Feature tables: one shape for every family."""

from typing import Any

from hydra_assets.core.tables.table import AS_OF, AVAILABLE_AT, FLOAT, QUALITY, TEXT, Column, Table

_COLUMNS = (
    Column("feature_name", TEXT, "Name of the feature; its meaning stands in the catalogue: hydra-assets catalogue.", nullable=False),
    AS_OF,
    AVAILABLE_AT,
    Column("value", FLOAT, "The figure itself; null where quality says why there is none.", "by column unit"),
    Column("unit", TEXT, "The unit of the value.", nullable=False),
    QUALITY,
)


def _table(name: str, description: str, **facts: Any) -> Table:
    return Table(name=name, columns=_COLUMNS, key=("feature_name",), stamps="derived", group="features", description=description, **facts)


COT_FEATURES = _table(
    "cot_features",
    "The positioning features of the COT report, every vintage, as `features.compute` gives them.",
    cadence="weekly",
    calendar="cot_releases",
)
FUTURES_FEATURES = _table("futures_features", "The features of the futures curve, every vintage, as `features.compute` gives them.")
CASH_FEATURES = _table(
    "cash_features", "The features of the cash price and the exchange's cash index, every vintage.", off_session_rows="any_day"
)
OPTION_FEATURES = _table("option_features", "The features of the options' smiles and open interest, every vintage.", needs_options=True)
DIVERGENCE_FEATURES = _table(
    "divergence_features", "Options beside positioning, and how much of the smile was quoted; every vintage.", needs_options=True
)
FEATURE_SCHEMA = COT_FEATURES.schema  # that of every feature table
