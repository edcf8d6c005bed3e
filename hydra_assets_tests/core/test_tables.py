"""The tables of the lake describe themselves: every column has a meaning, every number a unit, and no shape changes unseen."""

import hashlib
import importlib
import pkgutil

import pyarrow as pa
import pytest

from hydra_assets.core import tables
from hydra_assets.core.tables.features import FEATURE_SCHEMA
from hydra_assets.core.tables.registry import FEATURE_TABLES, TABLES
from hydra_assets.core.tables.table import Column, Table
from hydra_assets.errors import SchemaError

# Of each schema's names, types, order and nullability. A changed one must still read what older homes hold: columns may only be added.
SHAPES = {
    "cot_disaggregated": "0ba96858e862",
    "cot_features": "29b340f930dd",
    "cash_hogs": "453b352c8dff",
    "cash_index": "88fecabb01e9",
    "cash_features": "29b340f930dd",
    "futures_definitions": "c1ac888a6848",
    "futures_bars": "acf0c5d08978",
    "futures_statistics": "89dd8d96a281",
    "futures_limits": "b37e68196326",
    "futures_continuous": "c53ae00f5c6e",
    "futures_features": "29b340f930dd",
    "rates": "4588e33b1f86",
    "option_definitions": "62a7250ec431",
    "option_quotes": "5c04ec5584df",
    "option_statistics": "60ea64325fdf",
    "option_chain": "ac322e837074",
    "option_smiles": "d3b8c5a739e8",
    "option_features": "29b340f930dd",
    "divergence_features": "29b340f930dd",
}


def shape_of(schema: pa.Schema) -> str:
    """A short digest of *schema*."""
    return hashlib.sha256(repr([(field.name, str(field.type), field.nullable) for field in schema]).encode()).hexdigest()[:12]


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_no_column_stands_twice_and_every_table_has_its_stamps(table):
    assert len({column.name for column in table.columns}) == len(table.columns)
    assert {"as_of", "available_at", "quality", *table.key} <= {column.name for column in table.columns}


@pytest.mark.parametrize(
    ("column", "fault"),
    [
        ((pa.float64(), "A price."), "x: a number without a unit"),
        ((pa.string(), ""), "x: its description is no sentence"),
        ((pa.string(), "A text.", "metres"), "x: string with a unit"),
    ],
)
def test_a_column_that_does_not_describe_itself_is_refused(column, fault):
    with pytest.raises(SchemaError, match=fault):
        Column("x", *column)
    assert Column("x", pa.int32(), "A count.", "contracts").field.type == pa.int32()


def test_every_table_of_a_module_is_registered():
    modules = [importlib.import_module(f"{tables.__name__}.{found.name}") for found in pkgutil.iter_modules(tables.__path__)]
    assert {each.name for module in modules for each in vars(module).values() if isinstance(each, Table)} == set(TABLES)


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
