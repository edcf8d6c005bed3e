"""
The mirror: the visible frontier of a store's series as memory-mapped columns, one Arrow file a market.

It only ever says what the store says, sooner. A file names the store that it is of and, of every series, the newest recording it
holds; of a series of which the store has a newer one what came since is read, the rest is taken over. A file that is absent,
damaged or another store's is made anew; one that cannot be written is done without.
"""

import contextlib
import hashlib
import json
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from hydra_assets.core.point_in_time import visible_frontier
from hydra_assets.core.tables.registry import QUALITIES

FORMAT = "1"
Read = Callable[[str, int | None], Sequence[Mapping[str, Any]] | None]
_ABOUT = b"hydra_mirror"


@dataclass(frozen=True)
class Frontier:
    """
    The vintages of one series that are ever served, by ``available_at``; microseconds UTC.

    Attributes:
        axis: equal for series whose ``as_of`` and ``available_at`` are the same, which one search then serves.
        quality: index into QUALITIES.
    """

    axis: str
    as_of: np.ndarray
    available_at: np.ndarray
    value: np.ndarray
    quality: np.ndarray


def frontier_of(rows: Sequence[Mapping[str, Any]]) -> Frontier:
    """Of the vintages that exist: those that no other one, known as early, hides."""
    as_of, available = (np.array([row[name] for row in rows], dtype=np.int64) for name in ("as_of", "available_at"))
    order = np.lexsort((as_of, available))
    kept = order[visible_frontier(np.zeros(len(order), dtype=np.int64), as_of[order], available[order])]
    value = np.array([np.nan if row["value"] is None else row["value"] for row in rows], dtype=float)
    quality = np.array([QUALITIES.index(row["quality"]) for row in rows], dtype=np.int8)
    return _frontier(as_of[kept], available[kept], value[kept], quality[kept])


def _frontier(as_of: np.ndarray, available_at: np.ndarray, value: np.ndarray, quality: np.ndarray) -> Frontier:
    axis = hashlib.sha256(as_of.tobytes() + available_at.tobytes()).hexdigest()[:16]
    return Frontier(axis, as_of, available_at, value, quality)


def _rows(frontier: Frontier) -> Iterator[dict[str, Any]]:
    columns = (frontier.as_of, frontier.available_at, frontier.value, frontier.quality)
    for as_of, available, value, quality in zip(*(column.tolist() for column in columns), strict=True):
        yield {"as_of": as_of, "available_at": available, "value": value, "quality": QUALITIES[quality]}


class Mirror:
    """
    The mirror of one store file.

    Args:
        db_path: the store; the mirror's files lie beside it.
        identity: of the store: a file of another one is no help.
    """

    def __init__(self, db_path: Path, identity: str) -> None:
        self._db_path, self._identity = db_path, identity
        self._held: dict[str, tuple[dict[str, int], dict[str, Frontier]]] = {}

    def frontiers(self, market: str, marks: Mapping[str, int], read: Read) -> Mapping[str, Frontier]:
        """
        The frontier of every series of *market*, as it is in the caller's snapshot.

        Args:
            marks: feature name to its newest recording there.
            read: from the snapshot, the vintages of a feature that were recorded after an instant, or all that exist (None); it
                answers None where one was withdrawn since.
        """
        known, held = self._held.get(market, ({}, {}))
        if known != marks:
            known, held = self._loaded(market)  # another process may have read on
        if known != marks:
            held = {name: held[name] if known.get(name) == at else self._read(name, known, held, read) for name, at in marks.items()}
            known = dict(marks)
            self._write(market, known, held)
        self._held[market] = (known, held)
        return held

    def _read(self, name: str, known: Mapping[str, int], held: Mapping[str, Frontier], read: Read) -> Frontier:
        """
        What is held and what came since. A hidden vintage stays hidden by what hides it, as long as that is not withdrawn; then, or
        where the store was put back to an older state, all is read.
        """
        fresh = read(name, known[name]) if name in known else None
        if fresh:
            newer = {(row["as_of"], row["available_at"]): row for row in fresh}
            return frontier_of([*(row for row in _rows(held[name]) if (row["as_of"], row["available_at"]) not in newer), *newer.values()])
        return frontier_of(read(name, None) or ())

    def _path(self, market: str) -> Path:
        return self._db_path.with_name(f"{self._db_path.name}.mirror-{market}.arrow")

    def _loaded(self, market: str) -> tuple[dict[str, int], dict[str, Frontier]]:
        try:
            with pa.memory_map(str(self._path(market))) as source:
                table = pa.ipc.open_file(source).read_all()
            about = json.loads((table.schema.metadata or {})[_ABOUT])
            if (about["format"], about["store"], about["market"]) != (FORMAT, self._identity, market):
                return {}, {}
            columns = {name: table[name].combine_chunks().to_numpy(zero_copy_only=True) for name in table.column_names}
            if _crc(columns) != about["crc"]:
                return {}, {}
            held = {}
            for name, (start, stop) in about["series"].items():
                part = {column: values[start:stop] for column, values in columns.items()}
                held[name] = Frontier(about["axes"][name], part["as_of"], part["available_at"], part["value"], part["quality"])
            return about["marks"], held
        except (OSError, KeyError, TypeError, ValueError, pa.ArrowException):
            return {}, {}  # absent or damaged: made anew

    def _write(self, market: str, marks: Mapping[str, int], held: Mapping[str, Frontier]) -> None:
        names, at, spans = sorted(held), 0, {}
        for name in names:
            spans[name] = (at, at + len(held[name].value))
            at = spans[name][1]
        columns = {
            column: np.concatenate([getattr(held[name], column) for name in names] or [np.zeros(0, dtype=kind)])
            for column, kind in (("as_of", np.int64), ("available_at", np.int64), ("value", np.float64), ("quality", np.int8))
        }
        about = {
            "format": FORMAT,
            "store": self._identity,
            "market": market,
            "marks": dict(marks),
            "series": spans,
            "axes": {name: held[name].axis for name in names},
            "crc": _crc(columns),
        }
        table = pa.table(columns).replace_schema_metadata({_ABOUT: json.dumps(about).encode()})
        temporary = self._db_path.with_name(f".mirror-{uuid.uuid4().hex}")
        with contextlib.suppress(OSError):  # a full disk or a folder that may not be written costs time, not answers
            try:
                with pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
                    writer.write_table(table)
                temporary.replace(self._path(market))
            finally:
                temporary.unlink(missing_ok=True)


def _crc(columns: Mapping[str, np.ndarray]) -> int:
    crc = 0
    for name in sorted(columns):
        crc = zlib.crc32(columns[name].tobytes(), crc)
    return crc
