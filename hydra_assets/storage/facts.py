"""One fact of the store: checked before it is written, protected by a checksum of its own."""

import math
import numbers
import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.core.instants import INSTANT, iso, to_us
from hydra_assets.core.label import is_label
from hydra_assets.core.tables.table import QUALITIES
from hydra_assets.core.tolerance import same_number
from hydra_assets.errors import ConflictError, InvalidTimeError, InvalidValueError, LabelError
from hydra_assets.lazy import lazy
from hydra_assets.storage.names import checked_name

pd = lazy("pandas")

Vintage = tuple[str, str, int, int]  # market, feature_name, as_of, available_at


@dataclass(frozen=True)
class Fact:
    """One value of one vintage; instants in microseconds UTC."""

    market: str
    feature_name: str
    as_of: int
    available_at: int
    value: float | None
    quality: str = "normal"

    @property
    def vintage(self) -> Vintage:
        """The part that a later recording of the same fact shares."""
        return (self.market, self.feature_name, self.as_of, self.available_at)


def fact_of(market: Any, feature_name: Any, as_of: Any, available_at: Any, value: Any, quality: Any = "normal") -> Fact:
    """
    A Fact from what a caller gave.

    Raises:
        InvalidNameError: naming the argument.
        InvalidTimeError: naming the argument.
        InvalidValueError: naming the argument.
    """
    checked_name(market, "market"), checked_name(feature_name, "feature_name")
    if is_label(feature_name):
        raise LabelError(f"{market} {feature_name}: a label is no feature; the store serves what was known, labels are known only later")
    described = to_us(as_of, what=f"{feature_name} as_of")
    known = to_us(available_at, what=f"{feature_name} available_at", rounding="ceil")
    if known < described:
        raise InvalidTimeError(f"{market} {feature_name}: available_at {iso(known)} lies before as_of {iso(described)}")
    if quality not in QUALITIES:
        raise InvalidValueError(f"{market} {feature_name}: quality {quality!r} is none of {', '.join(QUALITIES)}")
    return Fact(market, feature_name, described, known, _number(value, f"{market} {feature_name} {iso(described)}"), quality)


def _number(value: Any, place: str) -> float | None:
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise InvalidValueError(f"{place}: value must be a finite number or None, not {value!r} ({type(value).__name__})")
    try:
        number = float(value)
    except OverflowError:
        raise InvalidValueError(f"{place}: value {value} is larger than a number of 64 bits can be") from None
    if not math.isfinite(number):
        raise InvalidValueError(f"{place}: value {number} is not finite; what is unknown is None, and quality says why")
    return number + 0.0  # -0.0 is 0.0: not every table keeps the sign of zero


def facts_of(rows: Any, *, market: str | None = None) -> list[Fact]:
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
        if not same(other, fact):
            raise ConflictError(
                f"{fact.market} {fact.feature_name} as_of {iso(fact.as_of)} available_at {iso(fact.available_at)}:"
                f" one batch says {other.value} ({other.quality}) and {fact.value} ({fact.quality})"
            )
    return list(seen.values())


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


def _well_formed(table: pa.Table, market: str | None) -> list[Fact] | None:
    """
    Facts of a table in the shape that `features.compute` gives, checked column by column; None where anything is not as it should be,
    so that each row is checked by itself, and the wrong one named.
    """
    shape = {"feature_name": pa.string(), "as_of": INSTANT, "available_at": INSTANT, "value": pa.float64()}
    shape |= {name: pa.string() for name in ("quality", "market") if name in table.column_names}
    if any(name not in table.column_names or table.schema.field(name).type != kind for name, kind in shape.items()):
        return None
    if any(table[name].null_count for name in shape if name != "value") or ("market" not in shape and market is None):
        return None
    as_of, available = (table[name].cast(pa.int64()).to_numpy() for name in ("as_of", "available_at"))
    names = table["feature_name"].to_pylist()
    markets = table["market"].to_pylist() if "market" in shape else [market] * len(names)
    qualities = table["quality"].to_pylist() if "quality" in shape else ["normal"] * len(names)
    sane = not any(is_label(name) for name in set(names)) and set(qualities) <= set(QUALITIES) and bool((available >= as_of).all())
    if not sane or not pc.all(pc.is_finite(table["value"]), min_count=0).as_py():
        return None
    for name in set(names):
        checked_name(name, "feature_name")
    for name in set(markets):
        checked_name(name, "market")
    cells = zip(markets, names, as_of.tolist(), available.tolist(), pc.add(table["value"], 0.0).to_pylist(), qualities, strict=True)
    found = [Fact(*row) for row in cells]
    return found if len({fact.vintage for fact in found}) == len(found) else None


def _mappings(rows: Any) -> Iterable[Mapping[str, Any]]:
    if not isinstance(rows, Iterable):
        raise InvalidValueError(f"rows must be a table or mappings, not {type(rows).__name__}")
    for row in rows:
        if not isinstance(row, Mapping):
            raise InvalidValueError(f"a row must be a mapping, not {type(row).__name__}")
        yield row


def same(a: Fact, b: Fact) -> bool:
    """Whether two facts of one vintage have the same value, up to float noise, and quality."""
    return a.quality == b.quality and same_number(a.value, b.value)


def crc(series_id: int, as_of: int, available_at: int, recorded_at: int, value: float | None, quality: str, retracted: int) -> int:
    """CRC-32 over a row: catches the flipped bits that SQLite's own integrity check cannot see."""
    packed = struct.pack(
        "<qqqqB?d", series_id, as_of, available_at, recorded_at, retracted, value is None, value if value is not None else 0.0
    )
    return zlib.crc32(packed + quality.encode())
