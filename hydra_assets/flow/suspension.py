"""
Suspended values: features of third parties that failed a proof, recorded as null and ``degraded``.

A null is served as unknown and hides what stood before it, so that no reader steps back to an older value. A computed null is
``missing``, never ``degraded``: the row alone tells the two apart. The next publish of the month records the values again.
"""

from collections.abc import Collection, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.core.months import Month
from hydra_assets.core.tables.registry import FEATURE_TABLES
from hydra_assets.flow.batch import Batch
from hydra_assets.storage.lake import ParquetLake
from hydra_assets.storage.store import FeatureStore

SUSPENDED = "degraded"  # the quality of a suspended null


def is_suspended(value: float | None, quality: str) -> bool:
    """Whether a stored row is a suspended value."""
    return value is None and quality == SUSPENDED


def suspended(rows: pa.Table, names: Collection[str]) -> pa.Table:
    """Feature rows with every value of the features *names* suspended."""
    if not rows.num_rows or not names:
        return rows
    theirs = pc.is_in(rows["feature_name"], pa.array(sorted(names), pa.string()))
    for name, cell in (("value", None), ("quality", SUSPENDED)):
        place, field = rows.schema.get_field_index(name), rows.schema.field(name)
        rows = rows.set_column(place, field, pc.if_else(theirs, pa.scalar(cell, field.type), rows[name]))
    return rows


def suspend(store: FeatureStore, lake: ParquetLake, family: str, market: str, months: Sequence[Month], names: Collection[str]) -> int:
    """
    Suspend every value of some features of a market, in the store and in the lake, from which a store can be rebuilt.

    Args:
        store: the served values.
        lake: the family's feature table, which gets further rows.
        family: of the features.
        market: symbol.
        months: of ``as_of``.
        names: features of third parties that failed a proof.

    Returns:
        The number of facts recorded in the store.
    """
    table, facts = FEATURE_TABLES[family], 0
    for month in months:
        stored = store.vintages(market, sorted(names), month.first, month.last)
        facts += store.write_features(suspended(stored, names))
        rows = lake.read_vintages(table.name, market, month.first, month.last)  # lookahead-ok: every vintage is suspended
        if rows.num_rows:
            Batch(table, market, month, suspended(rows.select(table.schema.names), names)).append(lake)
    return facts
