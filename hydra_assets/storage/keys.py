"""The key of a table's rows, as one integer a row."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from hydra_assets.errors import SchemaError
from hydra_assets.storage.folder import without_hidden

_ROOM = 2**62
_DENSE = 8  # possible combinations a row up to which a table of them is quicker than sorting


def key_codes(table: pa.Table, columns: Sequence[str]) -> np.ndarray:
    """
    One integer per distinct combination of *columns*, from 0 on, null being a value like any other.

    Returns:
        int64; combinations are numbered by the order in which the values of each column first come.

    Raises:
        SchemaError: a column is missing, or holds lists or structures.
    """
    code, size = np.zeros(table.num_rows, dtype=np.int64), 1
    for name in columns:
        if name not in table.column_names:
            raise SchemaError(f"key column {name!r} is not in the table; it has {without_hidden(table).column_names}")
        if pa.types.is_nested(table.schema.field(name).type):
            raise SchemaError(f"key column {name!r} is {table.schema.field(name).type}; a key is a text, a number or an instant")
        encoded = table[name].combine_chunks().dictionary_encode(null_encoding="encode")
        values = len(encoded.dictionary) + 1
        if size * values > _ROOM:
            code = _ranked(code, size)
            size = int(code.max(initial=0)) + 1
        code = code * values + encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        size *= values
    return _ranked(code, size)


def _ranked(code: np.ndarray, size: int) -> np.ndarray:
    """The place of each of *code*, numbers below *size*, among those that occur."""
    if size > _DENSE * len(code):
        return np.unique(code, return_inverse=True)[1].astype(np.int64)
    occurs = np.zeros(size, dtype=np.bool_)
    occurs[code] = True
    return np.asarray((np.cumsum(occurs) - 1)[code], dtype=np.int64)
