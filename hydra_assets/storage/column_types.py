"""One type for each kind of column, however the libraries of the day hold it: text is ``string``, and no column is a dictionary."""

import pyarrow as pa

from hydra_assets.errors import SchemaError


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type in which the lake keeps a column of *kind*."""
    if pa.types.is_dictionary(kind):
        return plain_type(kind.value_type)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return pa.binary()
    return kind


def says_its_type(kind: pa.DataType) -> bool:
    """Whether a column of *kind* says of which type its values are; one without any, or a list of nothing, does not."""
    if pa.types.is_null(kind):
        return False
    return all(says_its_type(kind.field(i).type) for i in range(kind.num_fields))


def plain_types(table: pa.Table) -> pa.Table:
    """
    *table* with every column in its plain type.

    Raises:
        SchemaError: a column cannot be cast, naming it.
    """
    for i, field in enumerate(table.schema):
        kind = plain_type(field.type)
        if kind != field.type:
            try:
                column = table.column(i).cast(kind)
            except pa.ArrowException as error:
                raise SchemaError(f"column {field.name!r} is {field.type} and cannot be kept as {kind}: {error}") from error
            table = table.set_column(i, field.with_type(kind), column)
    return table
