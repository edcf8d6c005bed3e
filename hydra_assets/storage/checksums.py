"""Checksums of facts, many rows at once; bit for bit those of `facts.crc`."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

_ROW = np.dtype(
    [
        *((name, "<i8") for name in ("series", "as_of", "available_at", "recorded_at")),
        ("retracted", "u1"),
        ("null", "u1"),
        ("value", "<f8"),
    ]
)


def all_right(series: int, rows: Sequence[Sequence[Any]]) -> bool:
    """
    Whether the checksum of every row is the one that was written with it.

    Args:
        series: id of the rows' series.
        rows: ``as_of, available_at, recorded_at, value, quality, retracted, crc`` of each; a damaged row may hold anything.
    """
    if not rows:
        return True
    try:
        as_of, available_at, recorded_at, value, quality, retracted, written = zip(*rows, strict=True)
        packed = np.zeros(len(rows), dtype=_ROW)
        packed["series"] = series
        columns = {"as_of": as_of, "available_at": available_at, "recorded_at": recorded_at, "retracted": retracted}
        for name, column in columns.items():
            packed[name] = np.array(column, dtype=np.int64)
        packed["null"] = [number is None for number in value]
        packed["value"] = [0.0 if number is None else number for number in value]
        found = _crcs(packed.view(np.uint8).reshape(len(rows), _ROW.itemsize), list(quality))
        return bool(np.array_equal(found, np.array(written, dtype=np.int64)))
    except (TypeError, ValueError, OverflowError, AttributeError):
        return False


def _crcs(packed: np.ndarray, quality: list[str]) -> np.ndarray:
    """CRC-32 of each row of bytes, followed by the text of its quality."""
    state = np.full(len(packed), 0xFFFFFFFF, dtype=np.uint32)
    for column in packed.T:
        state = _next(state, column)
    place: dict[str, int] = {}
    texts = np.empty(len(quality), dtype=np.int64)
    for i, text in enumerate(quality):
        texts[i] = place.setdefault(text, len(place))
    for text, number in place.items():
        mine = texts == number
        for byte in text.encode():
            state[mine] = _next(state[mine], np.uint8(byte))
    return (state ^ np.uint32(0xFFFFFFFF)).astype(np.int64)


def _next(state: np.ndarray, byte: Any) -> np.ndarray:
    return np.asarray(_table()[(state ^ byte) & np.uint32(0xFF)] ^ (state >> np.uint32(8)))


@cache
def _table() -> np.ndarray:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, np.uint32(0xEDB88320) ^ (table >> np.uint32(1)), table >> np.uint32(1)).astype(np.uint32)
    return table
