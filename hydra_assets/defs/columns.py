"""A table's columns for the column list in the UI."""

import dagster as dg

from hydra_assets.core.tables.table import Column, Table


def column_schema(table: Table) -> dg.TableSchema:
    """The table's columns with type, unit and meaning."""
    return dg.TableSchema(columns=[_column(column, column.name in (*table.key, "as_of", "available_at")) for column in table.columns])


def _column(column: Column, in_key: bool) -> dg.TableColumn:
    return dg.TableColumn(
        column.name,
        str(column.type),
        description=f"{column.description} Unit: {column.unit}." if column.unit else column.description,
        constraints=dg.TableColumnConstraints(nullable=column.nullable, other=["key"] if in_key else []),
    )
