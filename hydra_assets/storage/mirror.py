"""
The mirror: all recordings of a store's series as memory-mapped columns, one Arrow file a market, one row a series.

It answers as the store does, sooner. A file names its store and, for each series, a watermark: the newest recording it holds.
Only rows newer than a series' watermark are read. A file that is absent, damaged or another store's is made anew. If the file
cannot be written, reads fall back to the store.
"""

import contextlib
import itertools
import json
import uuid
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from hydra_assets.private_files import FILE_MODE
from hydra_assets.storage.fact_table import FactTable
from hydra_assets.storage.recordings import Recordings
from hydra_assets.storage.series import Axis, Series

FORMAT = "4"
_ABOUT = b"hydra_mirror"
_STAMPS = {"as_of": pa.int64(), "available_at": pa.int64(), "recorded_at": pa.int64(), "retracted": pa.int8(), "served": pa.int64()}
_NUMBERS = {"values": pa.float64(), "qualities": pa.int8()}
_LISTS = _STAMPS | _NUMBERS
_NAMES = ("name", "newest", "axis", "view")
"""Beside the lists each row has its series' name and watermark, the number of the row that has its stamps, and their view's name."""


class Mirror:
    """
    The mirror of one store.

    Args:
        facts: the store's facts. Files lie beside its ``cache``; without one the mirror is kept in memory alone.
    """

    def __init__(self, facts: FactTable) -> None:
        self._facts = facts
        self._held: dict[str, tuple[int, dict[str, int], dict[str, Series]]] = {}  # with the newest stamp of the facts then

    def series(self, market: str) -> Mapping[str, Series]:
        """Every series of *market*; inside a snapshot of the facts."""
        now = self._facts.last_recorded()
        seen, known, held = self._held.get(market, (-1, {}, {}))
        if seen == now:
            return held
        watermarks = self._facts.watermarks(market)
        if known != watermarks:
            known, held = self._loaded(market)  # another process may have read on
        if known != watermarks:
            held = self._refreshed(market, watermarks, known, held)
            known = watermarks
            self._write(market, known, held)
        self._held[market] = (now, known, held)
        return held

    def _refreshed(
        self, market: str, watermarks: Mapping[str, int], known: Mapping[str, int], held: Mapping[str, Series]
    ) -> dict[str, Series]:
        """Add new recordings to the series held; read all of one that is new, or of which the store was put back to an older state."""
        axes = {series.axis.digest: series.axis for series in held.values()}
        now, anew = {name: held[name] for name, at in watermarks.items() if known.get(name) == at}, []
        for name in watermarks:
            fresh = self._facts.since(market, name, known[name]) if name in known and name not in now else None
            if fresh is not None:
                now[name] = _series_of(fresh, axes, held[name])[0]
            elif name not in now:
                anew.append(name)
        return now | series_in(self._facts, market, anew, axes)

    def _path(self, market: str) -> Path | None:
        cache = self._facts.cache
        return None if cache is None else cache.with_name(f"{cache.name}.mirror-{market}.arrow")

    # ---------------------------------------------------------------- file

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
            if _crc(table, about) != about["crc"]:
                return {}, {}
            return dict(zip(table["name"].to_pylist(), table["newest"].to_pylist(), strict=True)), _series_in(table)
        except (OSError, KeyError, TypeError, ValueError, IndexError, pa.ArrowException):
            return {}, {}  # absent or damaged: made anew

    def _write(self, market: str, watermarks: Mapping[str, int], held: Mapping[str, Series]) -> None:
        path = self._path(market)
        if path is None:
            return
        table = _table_of(watermarks, held)
        about = {"format": FORMAT, "store": self._facts.identity, "market": market}
        table = table.replace_schema_metadata({_ABOUT: json.dumps({**about, "crc": _crc(table, about)}).encode()})
        temporary = path.with_name(f".mirror-{uuid.uuid4().hex}")
        with contextlib.suppress(OSError):  # a full disk or a folder that may not be written costs time, not answers
            try:
                with pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
                    writer.write_table(table)
                temporary.chmod(FILE_MODE)
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)


def series_in(facts: FactTable, market: str, names: Iterable[str], axes: dict[str, Axis] | None = None) -> dict[str, Series]:
    """
    Series read out of the facts themselves, whole.

    Args:
        axes: to share; see `_series_of`.
    """
    found = facts.recordings({(market, name): (None, None) for name in names})
    return {name: series for (_, name), series in zip(found.names, _series_of(found, {} if axes is None else axes), strict=True)}


def _series_of(found: Recordings, axes: dict[str, Axis], before: Series | None = None) -> list[Series]:
    """
    A series of each name of *found*, in their order.

    Args:
        axes: by digest; stamps that are there already are shared, others added.
        before: recordings of the one series of *found* that were held already.
    """
    columns = [found.as_of, found.available_at, found.recorded_at, found.retracted, found.value, found.quality]
    series = found.series
    if before is not None:
        axis = before.axis
        old = (axis.as_of, axis.available_at, axis.recorded_at, axis.retracted, before.values[:-1], before.qualities[:-1])
        columns = [np.concatenate(pair) for pair in zip(old, columns, strict=True)]
        series = np.zeros(len(columns[0]), dtype=np.int64)
    order = np.lexsort((columns[2], columns[0], columns[1], series))
    edges = np.searchsorted(series, np.arange(len(found.names) + 1))  # in order of series already
    made = []
    for start, stop in itertools.pairwise(edges):
        as_of, available, recorded, retracted, value, quality = (column[order[start:stop]] for column in columns)
        axis = Axis(as_of, available, recorded, retracted)
        made.append(Series.of(axes.setdefault(axis.digest, axis), value, quality))
    return made


def _table_of(watermarks: Mapping[str, int], held: Mapping[str, Series]) -> pa.Table:
    """The rows of a mirror's file; stamps that series share are in the first one's."""
    names = sorted(held)
    places: dict[int, int] = {}
    axes = [places.setdefault(id(held[name].axis), n) for n, name in enumerate(names)]
    lists: dict[str, list[np.ndarray]] = {name: [] for name in _LISTS}
    for n, name in enumerate(names):
        series, axis = held[name], held[name].axis
        stamps = (axis.as_of, axis.available_at, axis.recorded_at, axis.retracted, axis.today.rows)
        for column, values in zip(_STAMPS, stamps, strict=True):
            lists[column].append(values if axes[n] == n else values[:0])
        lists["values"].append(series.values)
        lists["qualities"].append(series.qualities)
    columns = {
        "name": pa.array(names, pa.string()),
        "newest": pa.array([watermarks[name] for name in names], pa.int64()),
        "axis": pa.array(axes, pa.int64()),
        "view": pa.array([held[name].axis.today.name for name in names], pa.string()),
    }
    return pa.table(columns | {name: _listed(lists[name], kind) for name, kind in _LISTS.items()})


def _listed(arrays: list[np.ndarray], kind: pa.DataType) -> pa.Array:
    offsets = np.cumsum([0, *map(len, arrays)])
    values = np.concatenate(arrays).astype(kind.to_pandas_dtype(), copy=False) if arrays else np.zeros(0, kind.to_pandas_dtype())
    return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), pa.array(values, kind))


def _series_in(table: pa.Table) -> dict[str, Series]:
    """The series of a file's rows; their columns lie in the file."""
    lists = {name: _parts(table[name].chunk(0)) for name in _LISTS} if table.num_rows else {}
    axes: dict[int, Axis] = {}
    held = {}
    for n, (name, at, view) in enumerate(zip(*(table[name].to_pylist() for name in ("name", "axis", "view")), strict=True)):
        if at not in axes:
            as_of, available, recorded, retracted, served = (lists[column][at] for column in _STAMPS)
            axes[at] = Axis(as_of, available, recorded, retracted.view(np.bool_), (view, served))
        held[name] = Series(axes[at], lists["values"][n], lists["qualities"][n])
    return held


def _parts(column: pa.LargeListArray) -> list[np.ndarray]:
    values, edges = column.values.to_numpy(zero_copy_only=True), column.offsets.to_pylist()
    return [values[start:stop] for start, stop in itertools.pairwise(edges)]


def _crc(table: pa.Table, about: Mapping[str, Any]) -> int:
    """Over the columns, and over what the file says of itself."""
    crc = zlib.crc32(json.dumps({key: value for key, value in about.items() if key != "crc"}, sort_keys=True).encode())
    crc = zlib.crc32(json.dumps([table[name].to_pylist() for name in _NAMES]).encode(), crc)
    for name in _LISTS if table.num_rows else ():
        column = table[name].chunk(0)
        crc = zlib.crc32(column.offsets.to_numpy(), crc)
        crc = zlib.crc32(column.values.to_numpy(), crc)
    return crc
