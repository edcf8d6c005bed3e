"""A user's rows in time, of pandas, polars, Arrow or numpy: cut at an instant, poisoned after it, and answers as plain columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from hydra_assets.errors import InvalidTimeError, SchemaError

ABSURD = (-1e9, -3.5, 1e-9, 7e6, 1e12)
Columns = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class RowsInTime:
    """
    Rows to hand to a function.

    Attributes:
        data: as the user gave it.
        times: of each row, comparable, without null; shape (n,).
        name: of the column of times; None where they stand elsewhere.
    """

    data: Any
    times: np.ndarray
    name: str | int | None

    @property
    def kind(self) -> str:
        """``pandas``, ``polars``, ``arrow`` or ``numpy``."""
        return _kind(self.data)

    def upto(self, when: Any) -> Any:
        """A copy of the rows at or before *when*, in their order."""
        return self._taken(np.flatnonzero(self.times <= when))

    def whole(self) -> Any:
        """A copy of all rows."""
        return self._taken(np.arange(len(self.times)))

    def poisoned(self, when: Any, rng: np.random.Generator) -> Any:
        """A copy in which every number, flag, text and other instant after *when* is absurd."""
        later = np.flatnonzero(self.times > when)
        if self.kind == "numpy":
            made = np.array(self.data, copy=True)
            for part in [made[name] for name in made.dtype.names] if made.dtype.names else [made]:
                part[later] = _absurd(part[later], rng)
            if isinstance(self.name, int) and made.ndim == 2:
                made[:, self.name] = self.data[:, self.name]
            return made
        if self.kind == "pandas":
            made = self.data.copy(deep=True)
            if isinstance(made, pd.Series):
                made.iloc[later] = _absurd(made.to_numpy()[later], rng)
                return made
            for i, name in enumerate(made.columns):
                if name != self.name:
                    changed = made.iloc[:, i].to_numpy(copy=True)
                    changed[later] = _absurd(changed[later], rng)
                    made.isetitem(i, pd.Series(changed, index=made.index).astype(made.dtypes.iloc[i], errors="ignore"))
            return made
        table = self.data if self.kind == "arrow" else self.data.to_arrow()
        return self._like(_poisoned_table(table, self.name, later, rng))

    def _taken(self, places: np.ndarray) -> Any:
        if self.kind == "numpy":
            return np.array(self.data[places], copy=True)
        if self.kind == "pandas":
            return self.data.iloc[places].copy(deep=True)
        return self.data.take(pa.array(places)) if self.kind == "arrow" else self.data[places]

    def _like(self, table: pa.Table) -> Any:
        if self.kind == "arrow":
            return table
        import polars

        return polars.from_arrow(table)


def rows_in_time(data: Any, time: Any) -> RowsInTime:
    """
    Read the time of each row.

    Args:
        data: pandas, polars, Arrow or numpy.
        time: the column (of a 2-D array its number), or one time a row; None: a pandas index of instants, else the rows' order.

    Raises:
        SchemaError: data of another kind, or no such column.
        InvalidTimeError: a null among the times.
    """
    kind, n = _kind(data), len(data)
    name: str | int | None = None
    if time is None:
        index = data.index if kind == "pandas" else None
        times = index.to_numpy() if isinstance(index, pd.DatetimeIndex) else np.arange(n)
    elif isinstance(time, str | int) and not (kind == "pandas" and time not in getattr(data, "columns", ()) and time == data.index.name):
        name, times = time, _column(data, kind, time)
    elif isinstance(time, str | int):
        times = data.index.to_numpy()
    else:
        times = np.asarray(time)
    if len(times) != n:
        raise SchemaError(f"{len(times)} times for {n} rows; give one a row")
    if times.dtype.kind == "O":
        try:
            times = pd.to_datetime(pd.Series(times), utc=True).dt.tz_localize(None).to_numpy()
        except (ValueError, TypeError, OverflowError) as error:
            raise InvalidTimeError(f"the times of the rows are no instants: {error}") from error
    if pd.isna(times).any():
        raise InvalidTimeError("a row has no time; leave such rows out")
    return RowsInTime(data, times, name)


def _kind(data: Any) -> str:
    top = type(data).__module__.partition(".")[0]
    kinds = {"pandas": "pandas", "polars": "polars", "pyarrow": "arrow", "numpy": "numpy"}
    if (
        top not in kinds
        or (top == "polars" and type(data).__name__ != "DataFrame")
        or (top == "pyarrow" and not isinstance(data, pa.Table))
    ):
        raise SchemaError(f"{type(data).__name__} is not read; give a pandas or polars frame, an Arrow table or a numpy array")
    return kinds[top]


def _column(data: Any, kind: str, time: str | int) -> np.ndarray:
    try:
        if kind == "numpy":
            return np.asarray(data[time] if data.dtype.names else data[:, time])
        found = data[time]
    except (KeyError, IndexError, pa.ArrowInvalid, ValueError, TypeError) as error:
        raise SchemaError(f"there is no column {time!r}: name the column of times with time= (--time)") from error
    except Exception as error:  # polars has errors of its own
        raise SchemaError(f"there is no column {time!r}: {error}") from error
    if kind == "arrow":
        return np.asarray(found.to_numpy())
    return np.asarray(found.to_numpy() if kind == "polars" else pd.Series(found).to_numpy())


def _absurd(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    n, kind = values.shape, values.dtype.kind
    if kind == "f":
        return np.asarray(rng.choice(ABSURD, n) * rng.uniform(0.5, 2, n)).astype(values.dtype)
    if kind in "iu":
        return rng.integers(1, min(10**9, np.iinfo(values.dtype).max), n).astype(values.dtype)
    if kind == "b":
        return ~values
    if kind in "mM":
        return np.asarray(values + np.timedelta64(400, "D"))
    if kind == "O":
        return np.array([_absurd_object(value) for value in values.ravel()], dtype=object).reshape(n)
    return values


def _absurd_object(value: object) -> object:
    return f"{value}?" if isinstance(value, str) else -1e9 if isinstance(value, float) else value


def _poisoned_table(table: pa.Table, name: str | int | None, later: np.ndarray, rng: np.random.Generator) -> pa.Table:
    for i, field in enumerate(table.schema):
        if field.name == name or not len(later):
            continue
        column = table.column(i).combine_chunks()
        if pa.types.is_floating(field.type) or pa.types.is_integer(field.type) or pa.types.is_boolean(field.type):
            held = column.to_numpy(zero_copy_only=False)
            if held.dtype.kind == "O":
                held = np.array([value if value is not None else 0 for value in held])
            changed = np.array(held, copy=True)
            changed[later] = _absurd(changed[later].astype(float) if pa.types.is_floating(field.type) else changed[later], rng)
            mask = np.asarray(column.is_null())
            mask[later] = False
            made = pa.array(changed.tolist(), mask=mask).cast(field.type, safe=False)
        elif pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            texts = column.to_pylist()
            for place in later.tolist():
                texts[place] = f"{texts[place]}?"
            made = pa.array(texts, field.type)
        else:
            continue
        table = table.set_column(i, field, made)
    return table


# ---------------------------------------------------------------- answers


def columns_of(answer: Any, rows: int) -> Columns:
    """
    The columns of a function's answer, each as an array that compares bit for bit.

    Args:
        answer: a frame, series, table, array, or a mapping of them.
        rows: that it must have.

    Raises:
        SchemaError: it has another number of rows than the function was given.
    """
    if hasattr(answer, "collect") and type(answer).__module__.startswith("polars"):
        answer = answer.collect()
    found = dict(_named(answer))
    for name, values in found.items():
        if len(values) != rows:
            raise SchemaError(f"the answer's {name} has {len(values)} rows for {rows} given; a row's value must stand in its row")
    return found


def _named(answer: Any) -> Sequence[tuple[str, np.ndarray]]:
    top = type(answer).__module__.partition(".")[0]
    if isinstance(answer, Mapping):
        return [(str(name), values) for name, part in answer.items() for _, values in _named(part)]
    if top == "pyarrow":
        columns = [(name, answer[name]) for name in answer.column_names] if isinstance(answer, pa.Table) else [("answer", answer)]
        return [(name, _arrow_values(column)) for name, column in columns]
    if top == "polars":
        columns = [(part.name, part) for part in answer.get_columns()] if hasattr(answer, "get_columns") else [(answer.name, answer)]
        return [(name or "answer", _arrow_values(column.to_arrow())) for name, column in columns]
    if isinstance(answer, pd.DataFrame):
        return [(str(name), np.asarray(answer.iloc[:, i].to_numpy())) for i, name in enumerate(answer.columns)]
    if isinstance(answer, pd.Series | pd.Index):
        return [(str(answer.name) if answer.name is not None else "answer", np.asarray(answer.to_numpy()))]
    array = np.asarray(answer)
    if array.ndim == 0:
        raise SchemaError(f"the answer is {answer!r}; a function of rows gives one value a row")
    if array.dtype.names:
        return [(name, np.asarray(array[name])) for name in array.dtype.names]
    return [("answer", np.asarray(array))] if array.ndim == 1 else [(str(i), np.asarray(array[:, i])) for i in range(array.shape[1])]


def _arrow_values(column: Any) -> np.ndarray:
    """Objects where something is null, so that a null and a NaN are two things."""
    if column.null_count:
        return np.array(column.to_pylist(), dtype=object)
    return np.asarray(column.to_numpy() if isinstance(column, pa.ChunkedArray) else column.to_numpy(zero_copy_only=False))


def differing(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mask of the places in which two columns are not the same, bit for bit; any NaN equals any NaN."""
    if a.dtype.kind == b.dtype.kind == "f":
        if a.dtype != b.dtype:
            a, b = a.astype(float), b.astype(float)
        both = np.isnan(a) & np.isnan(b)
        return np.asarray(~both & ((a != b) | (np.signbit(a) != np.signbit(b))))
    if a.dtype.kind in "mM" and b.dtype.kind in "mM":
        return np.asarray((a != b) & ~(np.isnat(a) & np.isnat(b)))
    if "O" not in (a.dtype.kind, b.dtype.kind):
        return np.asarray(a != b)
    return np.array([not _same(x, y) for x, y in zip(a.tolist(), b.tolist(), strict=True)], dtype=bool)


def _same(x: object, y: object) -> bool:
    if x is None or y is None:
        return x is y
    if isinstance(x, float) and isinstance(y, float | int) and x != x:
        return y != y
    return bool(x == y) and (not isinstance(x, float) or not isinstance(y, float) or np.signbit(x) == np.signbit(y))


def is_value(values: np.ndarray) -> np.ndarray:
    """Mask of the places that hold something."""
    return np.asarray(~pd.isna(values))
