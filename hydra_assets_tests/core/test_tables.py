"""The tables of the lake describe themselves: every column has a meaning, every number a unit, and no shape changes unseen."""

import hashlib

import pyarrow as pa
import pytest

from hydra_assets.core.tables.features import FEATURE_SCHEMA
from hydra_assets.core.tables.registry import FEATURE_TABLES, TABLES
from hydra_assets.core.tables.table import Column, Table
from hydra_assets.errors import SchemaError

# Of each schema's names, types, order and nullability. A changed one must still read what older homes hold: columns may only be added.
SHAPES = {
    "cot_disaggregated": "0ba96858e862",
    "cot_features": "29b340f930dd",
    "futures_definitions": "c1ac888a6848",
    "futures_bars": "acf0c5d08978",
    "futures_statistics": "89dd8d96a281",
    "futures_continuous": "c53ae00f5c6e",
    "futures_features": "29b340f930dd",
    "option_definitions": "62a7250ec431",
    "option_quotes": "5c04ec5584df",
    "option_statistics": "60ea64325fdf",
    "option_chain": "aa3fc1f164ae",
    "option_smiles": "d3b8c5a739e8",
    "option_features": "29b340f930dd",
    "divergence_features": "29b340f930dd",
}


def shape_of(schema: pa.Schema) -> str:
    """A short digest of *schema*."""
    return hashlib.sha256(repr([(field.name, str(field.type), field.nullable) for field in schema]).encode()).hexdigest()[:12]


def undescribed(table: Table) -> list[str]:
    """Columns without a meaning, numbers without a unit, and units of what is no number."""

    def is_number(column: Column) -> bool:
        return pa.types.is_integer(column.type) or pa.types.is_floating(column.type)

    return [column.name for column in table.columns if not column.description.endswith(".") or is_number(column) != bool(column.unit)]


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_every_column_has_a_meaning_and_every_number_a_unit(table):
    assert undescribed(table) == []
    assert len({column.name for column in table.columns}) == len(table.columns)
    assert {"as_of", "available_at", "quality", *table.key} <= {column.name for column in table.columns}


def test_a_column_that_does_not_describe_itself_would_be_seen():
    columns = (
        Column("price", pa.float64(), "A price."),
        Column("name", pa.string(), ""),
        Column("text", pa.string(), "A text.", "metres"),
        Column("good", pa.int32(), "A count.", "contracts"),
    )
    table = Table("x", columns, (), "ours", "raw", "")
    assert undescribed(table) == ["price", "name", "text"]


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_the_lakes_shapes_are_those_of_existing_homes(table):
    assert shape_of(table.schema) == SHAPES[table.name]
    assert table.schema.metadata is None
    assert all(field.metadata is None for field in table.schema), "meaning and unit stay out of the files"


def test_the_facts_on_a_table_fit_together():
    for table in TABLES.values():
        assert bool(table.source) == (table.group == "raw")
        assert table.definitions is None or TABLES[table.definitions].group == "raw"
        assert ("stamped_at" in table.schema.names) == (table.stamps == "vendor")
    for table in FEATURE_TABLES.values():
        assert table.schema is FEATURE_SCHEMA or table.schema.equals(FEATURE_SCHEMA, check_metadata=True)
        assert TABLES[table.name] is table


def test_a_table_of_another_shape_is_refused_with_every_difference():
    table = TABLES["futures_continuous"]
    with pytest.raises(SchemaError, match=r"futures_continuous: missing columns \['as_of'.*\], unknown columns \['x'\]"):
        table.conform(pa.table({"x": [1]}))
