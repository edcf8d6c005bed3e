"""
The write-ahead journal beside a SQLite file, held against its own checksums.

SQLite drops everything from the first frame of a journal that does not fit, and says nothing: right for the frames of a
transaction that a power cut interrupted, and a silent loss where later frames show that the transaction had been acknowledged.
"""

import struct
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np

from hydra_assets.errors import CorruptionError
from hydra_assets.sqlite_errors import rebuild_remedy

_HEADER, _FRAME = 32, 24
_MAGIC = 0x377F0682  # the lowest bit says how checksums read their words
_LOOKS, _PAUSE_S = 4, 0.05
_BATCH = 256


def check_journal(path: Path) -> None:
    """
    Refuse a database whose journal has lost an acknowledged transaction.

    Args:
        path: of the database.

    Raises:
        CorruptionError: naming the journal and the frame.
    """
    journal = path.with_name(f"{path.name}-wal")
    for look in range(_LOOKS):  # a writer at work may be met between two of its writes
        if look:
            time.sleep(_PAUSE_S)
        found = _fault(journal)
        if found is None:
            return
    raise CorruptionError(f"{journal}: {found}, and what was acknowledged later would be lost; {rebuild_remedy(path)}")


def _fault(journal: Path) -> str | None:
    try:
        body = journal.read_bytes()
    except FileNotFoundError:
        return None
    head = body[:_HEADER]
    if len(body) <= _HEADER + _FRAME or not any(head):
        return None
    magic, _, page, _, *salt_and_sum = struct.unpack(">8I", head)
    order = ">u4" if magic & 1 else "<u4"
    words = np.frombuffer(head[:24], order).astype(np.uint32)[None, :]
    if magic & ~1 != _MAGIC or page & (page - 1) or not 512 <= page <= 65536 or tuple(_sums(words)[0]) != tuple(salt_and_sum[2:]):
        return "the journal's head is not as written (checksum)"
    return _fault_of_frames(body, page, order, salt_and_sum[:2], salt_and_sum[2:])


def _fault_of_frames(body: bytes, page: int, order: str, salt: list[int], before: list[int]) -> str | None:
    """The first frame that does not fit, if it belongs to a transaction after which another one was written."""
    size = _FRAME + page
    count = (len(body) - _HEADER) // size
    raw = np.frombuffer(body, np.uint8, count * size, _HEADER).reshape(count, size)
    heads = raw[:, :_FRAME].copy().view(">u4").astype(np.uint32)
    alive = (heads[:, 2] == salt[0]) & (heads[:, 3] == salt[1])
    stored = heads[:, 4:6]
    started = np.vstack([np.array([before], np.uint32), stored[:-1]])
    whole = np.zeros(count, bool)
    for first in range(0, count, _BATCH):
        rows = slice(first, first + _BATCH)
        words = np.concatenate([raw[rows, :8], raw[rows, _FRAME:]], axis=1).view(order).astype(np.uint32)
        whole[rows] = (_sums(words, started[rows]) == stored[rows]).all(axis=1)
    wrong = np.flatnonzero(~(whole & alive))
    if not len(wrong):
        return None
    bad = int(wrong[0])
    here = alive | whole  # the checksum does not cover the salt, and no frame of an earlier round fits in the chain
    ends = [at for at in range(bad, count) if here[at] and heads[at, 1]]
    later = np.flatnonzero(alive[(ends[0] if ends else count) + 1 :])
    return f"frame {bad + 1} is not as written (checksum)" if len(later) else None


def _sums(words: np.ndarray, started: np.ndarray | None = None) -> np.ndarray:
    """
    SQLite's checksum of each row of *words*, two numbers.

    It is linear modulo 2**32, so that a row is one sum of products.

    Args:
        words: an even number a row, uint32.
        started: the two numbers to begin with, a row each; None: 0.
    """
    weights, through = _weights(words.shape[1] // 2)
    sums = np.stack([(words * each).sum(axis=1, dtype=np.uint32) for each in weights], axis=1)
    if started is not None:
        for row in (0, 1):
            sums[:, row] += started[:, 0] * through[row, 0] + started[:, 1] * through[row, 1]
    return sums


@lru_cache(maxsize=4)
def _weights(pairs: int) -> tuple[np.ndarray, np.ndarray]:
    """
    The share of each word in the two sums, and that of the numbers begun with.

    A pair (x, y) takes (a, b) to (a + b + x, a + 2b + x + y).
    """
    weights = np.zeros((2, 2 * pairs), np.uint32)
    through = (1, 0, 0, 1)
    for at, (a, b, c, d) in _powers(pairs):
        weights[:, 2 * at] = (a + b) % 2**32, (c + d) % 2**32
        weights[:, 2 * at + 1] = b, d
        through = (a + b) % 2**32, (a + 2 * b) % 2**32, (c + d) % 2**32, (c + 2 * d) % 2**32
    return weights, np.array(through, np.uint32).reshape(2, 2)


def _powers(pairs: int) -> Iterator[tuple[int, tuple[int, int, int, int]]]:
    """The step's matrix to the power of how many pairs follow, from the last pair to the first."""
    power = (1, 0, 0, 1)
    for at in range(pairs - 1, -1, -1):
        yield at, power
        a, b, c, d = power
        power = (a + b) % 2**32, (a + 2 * b) % 2**32, (c + d) % 2**32, (c + 2 * d) % 2**32
