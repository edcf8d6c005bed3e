"""Features of options beside positioning, from feature tables and fitted smiles."""

from collections.abc import Sequence

import pyarrow as pa

from hydra_assets.core.feature import Feature
from hydra_assets.core.tables.features import FEATURE_SCHEMA
from hydra_assets.errors import SchemaError
from hydra_assets.features.family import Inputs, Request
from hydra_assets.features.rows import concat_sorted
from hydra_assets.features.vintages import require


def compute_divergence(inputs: Inputs, features: Sequence[Feature], request: Request) -> pa.Table:
    """
    All vintages of *features*.

    Args:
        inputs: ``option_features``, ``cot_features`` and ``option_smiles`` as they lie in the lake, every vintage.
        features: those wanted; each function gives its own rows.
        request: calendar and bounds of the answer's ``as_of``.

    Returns:
        FEATURE_SCHEMA, ordered by as_of, feature and available_at.

    Raises:
        SchemaError: an input or a column of it is missing.
    """
    absent = [name for name in ("option_features", "cot_features", "option_smiles") if name not in inputs]
    if absent:
        raise SchemaError(f"divergence: the inputs {absent} are missing; given are {sorted(inputs)}")
    for name in ("option_features", "cot_features"):
        require(inputs[name], FEATURE_SCHEMA.names, name)
    parts = [feature.function(inputs, feature, request) for feature in features]
    return concat_sorted([part for part in parts if part.num_rows])
