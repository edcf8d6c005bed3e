"""The checksum of rows of facts, column by column: the CRC-32 that `facts.crc` takes of each row."""

import zlib
from functools import cache

import numpy as np

from hydra_assets.core.tables.table import QUALITIES

_PACKED = 42  # bytes of a row before its quality: four integers, whether it withdraws, whether its value is null, the value


def crcs(
    series: np.ndarray,
    as_of: np.ndarray,
    available_at: np.ndarray,
    recorded_at: np.ndarray,
    value: np.ndarray,
    quality: np.ndarray,
    retracted: np.ndarray,
) -> np.ndarray:
    """
    CRC-32 of each row.

    The CRC of messages of one length is linear: that of a row is that of zeros, changed by a share of each byte. Bytes that all
    rows have in common, as most of those of instants, are looked up once.

    Args:
        series, as_of, available_at, recorded_at: int64; shape (n,).
        value: NaN is null; shape (n,).
        quality: index into QUALITIES; shape (n,).
        retracted: bool; shape (n,).

    Returns:
        uint32 of shape (n,).
    """
    null = np.isnan(value)
    numbers = (*(_bytes(column, "<i8") for column in (series, as_of, available_at, recorded_at)),)
    flags = np.stack([retracted, null]).astype(np.uint8)
    rows = np.concatenate([*numbers, flags, _bytes(np.where(null, 0.0, value), "<f8")])
    found = np.zeros(len(value), dtype=np.uint32)
    for number in np.unique(quality).tolist():
        suffix = QUALITIES[number].encode()
        tables, mine = _tables(len(suffix)), quality == number
        some = rows if mine.all() else rows[:, mine]
        alike = some.min(axis=1) == some.max(axis=1)
        common = np.bitwise_xor.reduce(tables[alike, some[alike, 0]], initial=zlib.crc32(bytes(_PACKED) + suffix), dtype=np.uint32)
        share = np.full(some.shape[1], common)
        for table, column in zip(tables[~alike], some[~alike], strict=True):
            share ^= table.take(column)
        found[mine] = share
    return found


def _bytes(column: np.ndarray, kind: str) -> np.ndarray:
    """The bytes of 64-bit numbers, first bytes together; shape (8, n)."""
    return np.ascontiguousarray(column.astype(kind, copy=False).view(np.uint8).reshape(-1, 8).T)


@cache
def _tables(suffix: int) -> np.ndarray:
    """The share of each byte of a row in the CRC, by its place and value, where *suffix* bytes follow; shape (42, 256)."""
    length = _PACKED + suffix
    zeros, tables = zlib.crc32(bytes(length)), np.zeros((_PACKED, 256), dtype=np.uint32)
    for place in range(_PACKED):
        for bit in range(8):
            message = bytearray(length)
            message[place] = 1 << bit
            tables[place, 1 << bit : 2 << bit] = tables[place, : 1 << bit] ^ np.uint32(zlib.crc32(message) ^ zeros)
    return tables
