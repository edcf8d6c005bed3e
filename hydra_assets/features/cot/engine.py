"""Feature vintages of the weekly positioning reports."""

from collections.abc import Sequence

import pyarrow as pa

from hydra_assets.core.feature import Feature
from hydra_assets.errors import SchemaError
from hydra_assets.features.days import week_number
from hydra_assets.features.family import Inputs, Request
from hydra_assets.features.periods import period_vintages
from hydra_assets.features.rows import concat_sorted
from hydra_assets.features.vintages import require

DATASET = "cot_disaggregated"


def compute_cot(inputs: Inputs, features: Sequence[Feature], request: Request) -> pa.Table:
    """
    All vintages of *features* over the weekly reports.

    Args:
        inputs: ``cot_disaggregated`` as it lies in the lake, every vintage, in any order.
        features: those wanted.
        request: bounds of the answer's ``as_of``.

    Returns:
        FEATURE_SCHEMA, ordered by as_of, feature and available_at.

    Raises:
        SchemaError: the input or a column is missing, or it holds several markets.
    """
    if DATASET not in inputs:
        raise SchemaError(f"{request.market} cot: the input {DATASET!r} is missing; given are {sorted(inputs)}")
    table = inputs[DATASET]
    if not table.num_rows:
        return concat_sorted([])
    require(table, ("as_of", "available_at", "quality"), DATASET)
    codes = set(table["cftc_code"].to_pylist()) if "cftc_code" in table.column_names else set()
    if len(codes) > 1:
        raise SchemaError(f"{DATASET}: rows of several contract codes {sorted(codes)}; give one market's")
    spans = [(window.first, window.last) for feature in features for window in feature.windows if window.dataset == DATASET]
    return period_vintages(table, features, spans, request, period=week_number)
