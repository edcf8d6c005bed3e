"""A user's own frame as the audit reads it: one instant and market a row, numbers in columns."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from hydra_assets.core.instants import column_us
from hydra_assets.core.names import names_of
from hydra_assets.errors import InvalidTimeError, InvalidValueError, SchemaError

_ZONED = re.compile(r"(?:Z|[+-]\d\d:?\d\d)\s*$", re.I)
SINGLE_PRECISION = 5e-7  # relative precision of a 32-bit number, with a margin


@dataclass(frozen=True)
class UserFrame:
    """
    Rows to audit.

    Attributes:
        times: int64 microseconds UTC, shape (n,).
        markets: symbols, length n.
        names: every column of the frame, in order.
        table: the frame.
    """

    times: np.ndarray
    markets: list[str]
    names: list[str]
    table: pa.Table

    def numbers(self, name: str) -> tuple[np.ndarray, float]:
        """A column as float64, NaN for null, and the relative precision of its type; 0 for 64 bits."""
        column = self.table[name]
        kind = column.type
        if pa.types.is_boolean(kind) or not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind)):
            if column.null_count == len(column):
                return np.full(len(column), np.nan), 0.0
            raise SchemaError(f"column {name!r} holds {kind}, no numbers; convert it, or leave it out of the features to audit")
        numbers = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        return numbers, SINGLE_PRECISION if kind in (pa.float32(), pa.float16()) else 0.0


def read_table(path: str | os.PathLike[str], *, time: str, market: str) -> pa.Table:
    """
    Read a ``.parquet`` or ``.csv`` file; time and market of a CSV file stay text, so that no type is guessed.

    Raises:
        SchemaError: another kind of file, or a content that its name does not say.
    """
    file = Path(path)
    kind = file.suffix.lower()
    try:
        if kind in (".parquet", ".pq"):
            return pq.read_table(file)
        if kind == ".csv":
            texts = pyarrow.csv.ConvertOptions(column_types={time: pa.string(), market: pa.string()})
            return pyarrow.csv.read_csv(file, convert_options=texts)
    except (pa.ArrowInvalid, OSError) as error:
        raise SchemaError(f"{file}: cannot be read as {kind[1:]}: {error}") from error
    raise SchemaError(f"{file}: {kind or 'a file without a suffix'} is not read; save it as .parquet or .csv")


def user_frame(frame: Any, *, time: str, market: str, timezone: str | None) -> UserFrame:
    """
    Read the instants and markets of *frame*.

    Args:
        frame: pandas (the time may be its index), Arrow, or anything that gives Arrow (polars, DuckDB).
        time: the column, or pandas index, of instants.
        market: a column, or else the symbol of every row.
        timezone: zone of naive instants.

    Raises:
        SchemaError: a missing or duplicate column, or another kind of frame.
        InvalidTimeError: a null, naive or unreadable instant.
        InvalidValueError: a row without a market.
    """
    table = _arrow(frame, time)
    names = table.column_names
    _refuse_duplicates(names)
    if time not in names:
        raise SchemaError(f"the frame has no column {time!r} with the rows' instants (--time); it has {names}")
    times = _times(table[time], time, timezone)
    if market not in names:
        return UserFrame(times, [market] * table.num_rows, names, table)
    markets = table[market].cast(pa.string()).to_pylist()
    if None in markets:
        raise InvalidValueError(f"column {market!r} is null in row {markets.index(None)}; each row needs its market")
    return UserFrame(times, markets, names, table)


def _arrow(frame: Any, time: str) -> pa.Table:
    if isinstance(frame, pd.DataFrame):
        levels = list(frame.index.names)
        if time not in frame.columns and levels == [None] and isinstance(frame.index, pd.DatetimeIndex):
            frame = frame.rename_axis(time)
            levels = [time]
        if time not in frame.columns and time in levels:
            frame = frame.reset_index()
        named = [str(name) for name in frame.columns]
        _refuse_duplicates(named)
        try:
            return pa.Table.from_pandas(frame.set_axis(named, axis=1), preserve_index=False)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise SchemaError(f"a column of the frame holds values of several kinds: {error}") from error
    if isinstance(frame, pa.Table):
        return frame
    if hasattr(frame, "to_arrow"):
        return frame.to_arrow()
    if hasattr(frame, "__arrow_c_stream__"):
        return pa.table(frame)
    raise SchemaError(f"a frame is pandas, Arrow or what gives Arrow (polars, DuckDB), not {type(frame).__name__}")


def _refuse_duplicates(names: Sequence[str]) -> None:
    duplicates = sorted({name for name in names if names.count(name) > 1})
    if duplicates:
        raise SchemaError(f"duplicate columns {duplicates} in the frame; give each a name of its own")


def _times(column: pa.ChunkedArray, name: str, timezone: str | None) -> np.ndarray:
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if column.null_count:
        raise InvalidTimeError(f"column {name!r} has {column.null_count} null instant(s); each row needs the instant it was used at")
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return column_us(column, what=name, rounding="floor")
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _localised(column.to_pandas(), name, timezone)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        texts = column.to_pylist()
        zoned = [bool(_ZONED.search(text)) and ":" in text for text in texts]
        if any(zoned) and not all(zoned):
            raise InvalidTimeError(
                f"column {name!r} has instants with a zone and without, such as {texts[zoned.index(False)]!r}; give all one"
            )
        try:
            parsed = pd.Series(pd.to_datetime(texts, format="ISO8601", utc=all(zoned) and bool(zoned)))
        except ValueError as error:
            raise InvalidTimeError(f"column {name!r} holds text that is no ISO 8601 instant: {error}") from error
        return _instants(parsed, name) if all(zoned) else _localised(parsed, name, timezone)
    raise InvalidTimeError(f"column {name!r} holds {kind}, no instants; give timestamps with a timezone")


def _localised(naive: pd.Series, name: str, timezone: str | None) -> np.ndarray:
    if timezone is None:
        raise InvalidTimeError(
            f"column {name!r} has no timezone, and a zone decides what was known. Say which it is with"
            f" timezone= (--timezone America/Chicago), or localise it: df[{name!r}].dt.tz_localize('America/Chicago')"
        )
    try:
        return _instants(pd.to_datetime(naive).dt.tz_localize(timezone, ambiguous="raise", nonexistent="raise"), name)
    except (KeyError, ValueError, LookupError, OSError) as error:
        raise InvalidTimeError(f"column {name!r} cannot be localised to {timezone!r}: {error}") from error


def _instants(zoned: pd.Series, name: str) -> np.ndarray:
    return column_us(pa.chunked_array([pa.Array.from_pandas(zoned)]), what=name, rounding="floor")


def feature_columns(frame: UserFrame, known: Sequence[str], requested: Sequence[str] | None) -> list[str]:
    """
    Names of the columns to audit: the requested ones, else every column that is a feature.

    Raises:
        SchemaError: no column is a feature, or a requested one is missing or no feature.
    """
    if requested is None:
        names = [name for name in frame.names if name in known]
        if not names:
            raise SchemaError(
                f"no column of the frame is a feature of {sorted(set(frame.markets))}: it has {frame.names}, the store knows {list(known)}"
            )
        return names
    requested = names_of(requested, "features")
    absent = [name for name in requested if name not in frame.names]
    unknown = [name for name in requested if name not in known]
    if absent or unknown:
        raise SchemaError(
            f"features {absent} are no columns of the frame; it has {frame.names}"
            if absent
            else f"{unknown} are no features of {sorted(set(frame.markets))}; the store knows {list(known)}"
        )
    return list(requested)
