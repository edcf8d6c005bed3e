"""Validation of a table on its way into the lake: UTC microseconds, rows of the folder's own month, one type a column."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.core.instants import INSTANT, column_us, instants
from hydra_assets.errors import CorruptionError, InvalidTimeError, SchemaError, StorageError
from hydra_assets.storage.backend import Storage
from hydra_assets.storage.column_types import plain_type, plain_types, says_its_type
from hydra_assets.storage.folder import HIDDEN, WRITTEN, Folder

SCHEMA_FILE = "_schema.arrow"


def validated(table: pa.Table, folder: Folder, storage: Storage) -> pa.Table:
    """
    *table* as *folder* may hold it; the data type's schema grows by its new columns.

    Raises:
        SchemaError: naming folder and column.
        InvalidTimeError: naming folder and column.
    """
    if not isinstance(table, pa.Table):
        raise SchemaError(f"{folder.key}: a pyarrow.Table is needed, not {type(table).__name__}")
    names = table.column_names
    clash = [name for name in names if name in HIDDEN or names.count(name) > 1]
    if clash:
        raise SchemaError(f"{folder.key}: column names {clash} are the lake's own or duplicates")
    table = _utc(plain_types(table), folder.key)
    _refuse_contradicting(table, folder)
    if table.num_rows and _has_days(table):
        days = row_days(table)
        month = np.datetime64(f"{folder.year:04d}-{folder.month:02d}", "M")
        is_outside = (days < month.astype(days.dtype)) | (days >= (month + 1).astype(days.dtype))
        outside = int(is_outside.sum())
        if outside:
            outlier = days[is_outside][0]
            raise InvalidTimeError(f"{folder.key}: {outside} row(s) have an as_of outside the month, the first {outlier}")
    if "available_at" in table.column_names and table.num_rows and _has_days(table):
        if not pa.types.is_timestamp(table.schema.field("available_at").type):
            raise SchemaError(f"{folder.key}: available_at is {table.schema.field('available_at').type}, no instant with a zone")
        early = pc.sum(pc.less(table["available_at"], _instants_of(table["as_of"]))).as_py()
        if early:
            raise InvalidTimeError(f"{folder.key}: {early} row(s) have an available_at before their as_of")
    return _agreed(table, folder, storage)


def _instants_of(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Days as their 00:00 UTC; instants as they are."""
    if pa.types.is_timestamp(column.type):
        return column
    return column.cast(pa.date32()).cast(pa.timestamp("us")).cast(INSTANT)


def _refuse_contradicting(table: pa.Table, folder: Folder) -> None:
    """Refuse a column that is named like a part of the path and says something else: other engines read the path."""
    parts = {"data_type": folder.data_type, "market": folder.market, "year": folder.year, "month": folder.month}
    for column in table.column_names:
        name = column.lower()  # DuckDB tells no letters' case apart
        if name not in parts:
            continue
        values = pc.unique(table[column]).to_pylist()
        right = {parts[name], str(parts[name]), f"{parts[name]:02d}"} if isinstance(parts[name], int) else {parts[name]}
        wrong = [value for value in values if value not in right]
        if wrong:
            raise SchemaError(f"{folder.key}: column {column!r} says {wrong[0]!r} against its folder; leave the column out")


def _agreed(table: pa.Table, folder: Folder, storage: Storage) -> pa.Table:
    """*table* with one type a column over the whole data type; a column without a value takes the type that is known."""
    known = read_schema(storage, folder.data_type)
    for i, field in enumerate(table.schema):
        if not says_its_type(field.type) and field.name in known.names:
            kind = known.field(field.name).type
            try:
                column = table.column(i).cast(kind)
            except pa.ArrowException as error:
                raise SchemaError(f"{folder.key}: column {field.name!r} is {field.type}; the lake holds it as {kind}") from error
            table = table.set_column(i, field.with_type(kind), column)
    _agree_on_schema(table.schema, known, folder, storage)
    return table


def _agree_on_schema(schema: pa.Schema, known: pa.Schema, folder: Folder, storage: Storage) -> None:
    """Grow the schema of the data type by new columns; a changed type would break every later read."""
    if not _new_columns(known, schema, folder):
        return
    home = f"data_type={folder.data_type}"
    with storage.lock(home):
        known = read_schema(storage, folder.data_type)
        fields = _new_columns(known, schema, folder)
        if fields:
            _refuse_unwritable(fields, folder)
            grown = pa.schema([*known, *(field.with_nullable(True).remove_metadata() for field in fields)])
            storage.replace(f"{home}/{SCHEMA_FILE}", grown.serialize().to_pybytes())


def _refuse_unwritable(fields: list[pa.Field], folder: Folder) -> None:
    """Refuse a type that Parquet has no place for, before the data type is said to have it."""
    for field in fields:
        try:
            import pyarrow.parquet as pq

            pq.ParquetWriter(pa.BufferOutputStream(), pa.schema([field])).close()
        except pa.ArrowException as error:
            raise SchemaError(f"{folder.key}: column {field.name!r} is {field.type}, which a file cannot hold: {error}") from error


def _utc(table: pa.Table, place: str) -> pa.Table:
    """Every instant as UTC microseconds; ``stamped_at`` keeps the vendor's nanoseconds."""
    for i, field in enumerate(table.schema):
        if not pa.types.is_timestamp(field.type):
            if field.name == "stamped_at" and not pa.types.is_null(field.type):
                raise SchemaError(f"{place}: column 'stamped_at' is {field.type}, no instant with a zone")
            continue
        if field.type.tz is None:
            raise SchemaError(f"{place}: column {field.name!r} is {field.type}, an instant without a zone; localise it first")
        if field.name == "stamped_at":
            kind = pa.timestamp("ns", tz="UTC")
            table = table.set_column(i, field.with_type(kind), table.column(i).cast(kind))
            continue
        if field.type == INSTANT:
            continue
        column = table.column(i)
        if field.type.unit == "ns":
            valid = column.is_valid().combine_chunks()
            filled = column.cast(pa.timestamp("ns", tz="UTC")).fill_null(pa.scalar(0, pa.timestamp("ns", tz="UTC")))
            us = column_us(filled, what=f"{place} {field.name}", rounding="ceil" if field.name == "available_at" else "exact")
            column = pc.if_else(valid, instants(us), pa.scalar(None, INSTANT))
        else:
            column = column.cast(INSTANT)
        table = table.set_column(i, field.with_type(INSTANT), column)
    return table


def _has_days(table: pa.Table) -> bool:
    if "as_of" not in table.column_names:
        return False
    kind = table.schema.field("as_of").type
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def row_days(table: pa.Table) -> np.ndarray:
    """The UTC day of each row: of its as_of, else of the write."""
    column = table["as_of"] if _has_days(table) else table[WRITTEN]
    if column.null_count:
        raise InvalidTimeError(f"as_of has {column.null_count} null(s); a row must say what day it describes")
    days = (
        column.cast(INSTANT).cast(pa.int64()).to_numpy() // 86_400_000_000
        if pa.types.is_timestamp(column.type)
        else column.cast(pa.date32()).cast(pa.int32()).to_numpy()
    )
    return np.asarray(days, dtype=np.int64).astype("datetime64[D]")


def stamped(table: pa.Table) -> np.ndarray | None:
    """The vendor's own stamps, nanoseconds UTC, where the table has them."""
    if "stamped_at" not in table.column_names:
        return None
    stamps: np.ndarray = table["stamped_at"].cast(pa.int64()).fill_null(0).to_numpy()
    return stamps


def read_schema(storage: Storage, data_type: str) -> pa.Schema:
    """
    The columns of a data type whose type is known; none of one that was never written.

    Raises:
        CorruptionError: the file of them is damaged.
    """
    key = f"data_type={data_type}/{SCHEMA_FILE}"
    try:
        found = pa.ipc.read_schema(pa.py_buffer(storage.read(key)))
    except FileNotFoundError:
        return pa.schema([])
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, StorageError):
            raise
        remedy = "move it away: the next write makes it anew"
        raise CorruptionError(f"{storage.path(key)}: not the schema that was written: {error}; {remedy}") from error
    return pa.schema([field.with_type(plain_type(field.type)) for field in found if says_its_type(field.type)])


def _new_columns(known: pa.Schema, schema: pa.Schema, folder: Folder) -> list[pa.Field]:
    fresh = []
    for field in schema:
        if not says_its_type(field.type):
            continue
        if field.name not in known.names:
            fresh.append(field)
        elif known.field(field.name).type != field.type:
            raise SchemaError(f"{folder.key}: column {field.name!r} is {field.type}; the lake holds it as {known.field(field.name).type}")
    return fresh
