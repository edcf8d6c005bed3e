"""A batch of facts from what a caller of the store gave: a table is checked column by column, anything else row by row."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from hydra_assets.core.instants import INSTANT, iso
from hydra_assets.core.label import is_label
from hydra_assets.core.point_in_time import last_of_each
from hydra_assets.core.tables.table import QUALITIES
from hydra_assets.core.tolerance import same_number
from hydra_assets.errors import ConflictError, InvalidValueError
from hydra_assets.lazy import lazy
from hydra_assets.storage.fact_columns import Facts
from hydra_assets.storage.facts import Fact, Vintage, fact_of
from hydra_assets.storage.names import checked_name

pd = lazy("pandas")


def facts_of(rows: Any, *, market: str | None = None) -> Facts:
    """
    Facts from an Arrow table, a DataFrame or an iterable of mappings; equal duplicates once.

    Args:
        market: the market of rows that have no such column.

    Raises:
        ConflictError: two values for one vintage.
    """
    rows = _as_arrow(rows)
    if isinstance(rows, pa.Table):
        well_formed = _well_formed(rows, market)
        if well_formed is not None:
            return well_formed
        rows = rows.to_pylist()  # nanoseconds become pandas Timestamps: the rounding rule then sees them
    seen: dict[Vintage, Fact] = {}
    for row in _mappings(rows):
        try:
            fact = fact_of(
                row.get("market", market),
                row["feature_name"],
                row["as_of"],
                row["available_at"],
                row["value"],
                row.get("quality", "normal"),
            )
        except KeyError as error:
            raise InvalidValueError(f"a row lacks {error.args[0]!r}; it has {sorted(row)}") from error
        other = seen.setdefault(fact.vintage, fact)
        if other.quality != fact.quality or not same_number(other.value, fact.value):
            raise ConflictError(
                f"{fact.market} {fact.feature_name} as_of {iso(fact.as_of)} available_at {iso(fact.available_at)}:"
                f" one batch says {other.value} ({other.quality}) and {fact.value} ({fact.quality})"
            )
    return Facts.of(seen.values())


def _as_arrow(rows: Any) -> Any:
    """A frame of any library as an Arrow table; mappings as they are."""
    try:
        if isinstance(rows, pd.DataFrame):
            rows = pa.Table.from_pandas(rows, preserve_index=False)
        elif not isinstance(rows, pa.Table) and hasattr(rows, "__arrow_c_stream__"):
            rows = pa.table(rows)  # polars, DuckDB
        elif hasattr(rows, "collect_schema"):
            raise ValueError("a lazy frame has no rows yet; collect it")
    except (pa.ArrowException, ValueError) as error:
        raise InvalidValueError(f"the rows are no table: {error}") from error
    if isinstance(rows, pa.Table):
        duplicates = sorted({name for name in rows.column_names if rows.column_names.count(name) > 1})
        if duplicates:
            raise InvalidValueError(f"duplicate columns {duplicates} in the rows; give each a name of its own")
    return rows


def _well_formed(table: pa.Table, market: str | None) -> Facts | None:
    """
    Facts of a table in the shape that `features.compute` gives; None where anything is not as it should be, so that each row is
    checked by itself, and the wrong one named.
    """
    shape = {"feature_name": pa.string(), "as_of": INSTANT, "available_at": INSTANT, "value": pa.float64()}
    shape |= {name: pa.string() for name in ("quality", "market") if name in table.column_names}
    if any(name not in table.column_names or table.schema.field(name).type != kind for name, kind in shape.items()):
        return None
    columns = {name: _one_array(table[name]) for name in shape}
    if any(columns[name].null_count for name in shape if name != "value") or ("market" not in shape and market is None):
        return None
    n = table.num_rows
    as_of, available = (columns[name].view(pa.int64()).to_numpy() for name in ("as_of", "available_at"))
    value = columns["value"].to_numpy(zero_copy_only=False) + 0.0  # null is NaN, and -0.0 is 0.0
    features, feature = _coded(columns["feature_name"])
    markets, symbol = _coded(columns["market"]) if "market" in shape else ([market or ""], np.zeros(n, dtype=np.int64))
    qualities, quality = _coded(columns["quality"]) if "quality" in shape else (["normal"], np.zeros(n, dtype=np.int64))
    sane = not any(is_label(name) for name in features) and set(qualities) <= set(QUALITIES) and bool((available >= as_of).all())
    if not sane or np.count_nonzero(np.isfinite(value)) + columns["value"].null_count != n:
        return None
    for name in features:
        checked_name(name, "feature_name")
    for name in markets:
        checked_name(name, "market")
    pairs = symbol * len(features) + feature
    held = np.flatnonzero(np.bincount(pairs, minlength=len(markets) * len(features))).tolist()
    names = sorted((markets[pair // len(features)], features[pair % len(features)]) for pair in held)
    number = {name: n for n, name in enumerate(names)}
    numbers = np.array([number.get((market, name), -1) for market in markets for name in features], dtype=np.int64)
    series = numbers[pairs]
    quality = np.array([QUALITIES.index(name) for name in qualities], dtype=np.int8)[quality]
    found = Facts(names, series, as_of, available, value, quality)
    found = found.where(np.lexsort((available, as_of, series)))
    return None if not last_of_each(found.series, found.as_of, found.available_at).all() else found


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    return (
        column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    )


def _coded(column: pa.StringArray) -> tuple[list[str], np.ndarray]:
    """The distinct texts of a column, and the number of each row's."""
    coded = column.dictionary_encode()
    return coded.dictionary.to_pylist(), coded.indices.to_numpy().astype(np.int64)


def _mappings(rows: Any) -> Iterable[Mapping[str, Any]]:
    if not isinstance(rows, Iterable):
        raise InvalidValueError(f"rows must be a table or mappings, not {type(rows).__name__}")
    for row in rows:
        if not isinstance(row, Mapping):
            raise InvalidValueError(f"a row must be a mapping, not {type(row).__name__}")
        yield row
