"""
The mirror: the vintages of a store's series as memory-mapped columns, one Arrow file a market; the visible frontier is marked in it.

It answers as the store does, sooner. A file names its store and, for each series, a watermark: the newest recording it holds.
Only rows newer than a series' watermark are read. A file that is absent, damaged or another store's is made anew. If the file
cannot be written, reads fall back to the store.
"""

import contextlib
import hashlib
import json
import uuid
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from hydra_assets.core.point_in_time import visible_frontier
from hydra_assets.core.tables.table import QUALITIES
from hydra_assets.private_files import FILE_MODE
from hydra_assets.storage.fact_table import FactTable

FORMAT = "3"
_ABOUT = b"hydra_mirror"
_COLUMNS = {"as_of": np.int64, "available_at": np.int64, "value": np.float64, "quality": np.int8, "visible": np.bool_}


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


@dataclass(frozen=True)
class Series:
    """
    The vintages of one series that stand, by ``available_at`` and then ``as_of``; microseconds UTC.

    Attributes:
        value: NaN is null.
        quality: index into QUALITIES.
        visible: mask of the vintages that are ever served: no later ``as_of``, available as early, supersedes them.
        frontier: these.
    """

    as_of: np.ndarray
    available_at: np.ndarray
    value: np.ndarray
    quality: np.ndarray
    visible: np.ndarray
    frontier: Frontier


def series_of(rows: Sequence[Mapping[str, Any]]) -> Series:
    """The columns of rows ``as_of, available_at, value, quality``, in any order."""
    as_of, available = (np.array([row[name] for row in rows], dtype=np.int64) for name in ("as_of", "available_at"))
    value = np.array([np.nan if row["value"] is None else row["value"] for row in rows], dtype=float)
    quality = np.array([QUALITIES.index(row["quality"]) for row in rows], dtype=np.int8)
    order = np.lexsort((as_of, available))
    columns: dict[str, np.ndarray] = {"as_of": as_of, "available_at": available, "value": value, "quality": quality}
    columns = {name: column[order] for name, column in columns.items()}
    visible = visible_frontier(np.zeros(len(order), dtype=np.int64), columns["as_of"], columns["available_at"])
    axis = hashlib.sha256(columns["as_of"][visible].tobytes() + columns["available_at"][visible].tobytes()).hexdigest()[:16]
    return _series(axis, visible=visible, **columns)


def _series(axis: str, *, visible: np.ndarray, **columns: np.ndarray) -> Series:
    shown = columns if visible.all() else {name: column[visible] for name, column in columns.items()}
    return Series(**columns, visible=visible, frontier=Frontier(axis, **shown))


def frontier_of(rows: Sequence[Mapping[str, Any]]) -> Frontier:
    """The visible frontier of rows."""
    return series_of(rows).frontier


def _rows(series: Series) -> Iterator[dict[str, Any]]:
    columns = (series.as_of, series.available_at, series.value, series.quality)
    for as_of, available, value, quality in zip(*(column.tolist() for column in columns), strict=True):
        yield {"as_of": as_of, "available_at": available, "value": value, "quality": QUALITIES[quality]}


class Mirror:
    """
    The mirror of one store.

    Args:
        facts: the store's facts. Files lie beside its ``cache``; without one the mirror is kept in memory alone.
    """

    def __init__(self, facts: FactTable) -> None:
        self._facts = facts
        self._held: dict[str, tuple[dict[str, int], dict[str, Series]]] = {}

    def series(self, market: str) -> Mapping[str, Series]:
        """Every series of *market*; inside a snapshot of the facts."""
        watermarks = self._facts.watermarks(market)
        known, held = self._held.get(market, ({}, {}))
        if known != watermarks:
            known, held = self._loaded(market)  # another process may have read on
        if known != watermarks:
            held = {
                name: held[name] if known.get(name) == at else self._refreshed(market, name, known.get(name), held)
                for name, at in watermarks.items()
            }
            known = watermarks
            self._write(market, known, held)
        self._held[market] = (known, held)
        return held

    def _refreshed(self, market: str, name: str, watermark: int | None, held: Mapping[str, Series]) -> Series:
        """Merge new recordings into the cached series; re-read everything after a retraction or a rollback of the store."""
        fresh = None if watermark is None else self._facts.since(market, name, watermark)
        if not fresh:
            return series_of(self._facts.vintages(market, name))
        newer = {(row["as_of"], row["available_at"]): row for row in fresh}
        return series_of([*(row for row in _rows(held[name]) if (row["as_of"], row["available_at"]) not in newer), *newer.values()])

    def _path(self, market: str) -> Path | None:
        cache = self._facts.cache
        return None if cache is None else cache.with_name(f"{cache.name}.mirror-{market}.arrow")

    def _loaded(self, market: str) -> tuple[dict[str, int], dict[str, Series]]:
        path = self._path(market)
        if path is None:
            return {}, {}
        try:
            with pa.memory_map(str(path)) as source:
                table = pa.ipc.open_file(source).read_all()
            about = json.loads((table.schema.metadata or {})[_ABOUT])
            if (about["format"], about["store"], about["market"]) != (FORMAT, self._facts.identity, market):
                return {}, {}
            columns = {name: table[name].combine_chunks().to_numpy(zero_copy_only=True) for name in table.column_names}
            if _crc(columns, about) != about["crc"]:
                return {}, {}
            held = {}
            for name, (start, stop) in about["series"].items():
                held[name] = _series(
                    about["axes"][name], **{column: columns[column][start:stop].view(kind) for column, kind in _COLUMNS.items()}
                )
            return about["marks"], held
        except (OSError, KeyError, TypeError, ValueError, pa.ArrowException):
            return {}, {}  # absent or damaged: made anew

    def _write(self, market: str, watermarks: Mapping[str, int], held: Mapping[str, Series]) -> None:
        path = self._path(market)
        if path is None:
            return
        names, at, spans = sorted(held), 0, {}
        for name in names:
            spans[name] = (at, at + len(held[name].value))
            at = spans[name][1]
        columns = {
            column: np.concatenate([getattr(held[name], column) for name in names] or [np.zeros(0, dtype=kind)])
            for column, kind in _COLUMNS.items()
        }
        columns["visible"] = columns["visible"].view(np.int8)  # as Arrow keeps it without a copy
        about: dict[str, Any] = {
            "format": FORMAT,
            "store": self._facts.identity,
            "market": market,
            "marks": dict(watermarks),
            "series": spans,
            "axes": {name: held[name].frontier.axis for name in names},
        }
        about["crc"] = _crc(columns, about)
        table = pa.table(columns).replace_schema_metadata({_ABOUT: json.dumps(about).encode()})
        temporary = path.with_name(f".mirror-{uuid.uuid4().hex}")
        with contextlib.suppress(OSError):  # a full disk or a folder that may not be written costs time, not answers
            try:
                with pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
                    writer.write_table(table)
                temporary.chmod(FILE_MODE)
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)


def _crc(columns: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> int:
    """Over the columns, and over what says where each series lies in them."""
    crc = zlib.crc32(json.dumps({key: value for key, value in about.items() if key != "crc"}, sort_keys=True).encode())
    for name in sorted(columns):
        crc = zlib.crc32(columns[name].tobytes(), crc)
    return crc
