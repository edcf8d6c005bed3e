"""Rows of the table of facts on their way out of SQLite and into it: columns, each row held against its checksum."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import Any

import numpy as np

from hydra_assets.core.tables.table import QUALITIES
from hydra_assets.storage.checksums import crcs
from hydra_assets.storage.facts import crc

_NAMES = np.array(QUALITIES, dtype=object)
_NUMBER = " ".join(f"WHEN '{name}' THEN {number}" for number, name in enumerate(QUALITIES))
COLUMNS = f"series_id, as_of, available_at, recorded_at, facts.value, CASE quality {_NUMBER} END, retracted, crc"
_KIND = np.dtype(
    [
        ("series", np.int64),
        ("as_of", np.int64),
        ("available_at", np.int64),
        ("recorded_at", np.int64),
        ("value", np.float64),
        ("quality", np.int8),
        ("retracted", np.uint8),
        ("crc", np.int64),
    ]
)


class ChecksumError(Exception):
    """A row is not the one that was written."""


def is_written(series: int, row: Sequence[Any]) -> bool:
    """
    Whether a row ``as_of, available_at, recorded_at, value, quality, retracted, crc`` fits its checksum.

    Raises:
        Exception: a cell is of another kind than any that was written.
    """
    *content, written = row
    return bool(crc(series, *content) == written)


def columns_of(rows: Iterable[Sequence[Any]]) -> tuple[np.ndarray, ...]:
    """
    The columns ``series, as_of, available_at, recorded_at, value, quality, retracted, crc`` of rows of `COLUMNS`, checked.

    Returns:
        int64, but float64 of *value* (NaN is null), int8 of *quality* (index into QUALITIES) and bool of *retracted*.

    Raises:
        ChecksumError: a row is not the one that was written.
    """
    try:
        cells = np.fromiter(rows, dtype=_KIND)
    except (TypeError, ValueError, OverflowError) as error:
        raise ChecksumError from error
    columns = [np.ascontiguousarray(cells[name]) for name in _KIND.names or ()]
    series, as_of, available, recorded, value, quality, retracted, written = columns
    if len(cells) and ((retracted > 1).any() or (crcs(series, as_of, available, recorded, value, quality, retracted) != written).any()):
        raise ChecksumError
    return series, as_of, available, recorded, value, quality, retracted.astype(np.bool_), written


def rows_of(
    series: np.ndarray, as_of: np.ndarray, available: np.ndarray, recorded_at: int, value: np.ndarray, quality: np.ndarray, withdraw: bool
) -> tuple[Iterator[tuple[Any, ...]], np.ndarray]:
    """Rows to insert, and the checksum of each; SQLite keeps NaN as null, and no sign of zero."""
    at, gone = np.full(len(series), recorded_at), np.full(len(series), withdraw)
    sums = crcs(series, as_of, available, at, value, quality, gone).astype(np.int64)
    columns = [column.tolist() for column in (series, as_of, available, value, _NAMES[quality], sums)]
    return zip(*columns[:3], repeat(recorded_at), *columns[3:5], repeat(int(withdraw)), columns[5], strict=False), sums
