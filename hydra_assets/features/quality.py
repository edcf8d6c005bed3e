"""Qualities as numbers: the worst of several is their maximum."""

import numpy as np
import pyarrow as pa

from hydra_assets.core.arrays import Ints
from hydra_assets.core.tables.table import QUALITIES

NORMAL, PARTIAL, DEGRADED, STALE, MISSING = range(len(QUALITIES))
_OF_INPUTS = {"normal": NORMAL, "partial": PARTIAL}


def quality_codes(column: pa.ChunkedArray) -> Ints:
    """Position of each input row's quality in QUALITIES; one that inputs do not carry, or none, counts as degraded."""
    encoded = column.combine_chunks().dictionary_encode(null_encoding="encode")
    codes = np.array([_OF_INPUTS.get(quality, DEGRADED) for quality in encoded.dictionary.to_pylist()], dtype=np.int64)
    return np.asarray(codes[encoded.indices.to_numpy(zero_copy_only=False)])
