"""Tables of the lake: their columns, keys and who stamps them. A row's shape is stated here and nowhere else."""

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from hydra_assets.core.instants import INSTANT
from hydra_assets.errors import SchemaError

Stamps = Literal["vendor", "ours", "derived"]
QUALITIES = ("normal", "partial", "degraded", "stale", "missing")  # from best to worst


@dataclass(frozen=True)
class Dataset:
    """
    One data type of the lake.

    Attributes:
        name: the folder ``data_type=…`` and the Dagster asset's key.
        key: columns that tell rows of one ``as_of`` apart.
        stamps: who decides ``available_at``: the ``vendor``'s own instant, ``ours`` (bar end, cut, release calendar), or a
            ``derived`` table's computation.
        schema: columns and types of a freshly captured table; more columns may be added later.
    """

    name: str
    key: tuple[str, ...]
    stamps: Stamps
    schema: pa.Schema
    group: Literal["raw", "derived", "features"]
    description: str

    def conform(self, table: pa.Table) -> pa.Table:
        """*table* with this data type's columns in order and of its types; raises SchemaError listing every difference."""
        missing = [name for name in self.schema.names if name not in table.column_names]
        extra = [name for name in table.column_names if name not in self.schema.names]
        if missing or extra:
            raise SchemaError(f"{self.name}: missing columns {missing}, unknown columns {extra}")
        try:
            return table.select(self.schema.names).cast(self.schema)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise SchemaError(f"{self.name}: {error}") from error


COT_GROUPS = ("prod", "swap", "mm", "other", "nonrept")
_SIDES = tuple(f"{group}_{side}" for group in COT_GROUPS for side in ("long", "short"))
_SPREADS = tuple(f"{group}_spread" for group in ("swap", "mm", "other"))
COT_POSITIONS = ("open_interest", *_SIDES, *_SPREADS)
COT_CONCENTRATION = tuple(f"{kind}_{top}_{side}" for kind in ("gross", "net") for top in ("top4", "top8") for side in ("long", "short"))
COT_TRADERS = (
    "traders_total",
    *(f"traders_{name}" for name in (*_SIDES, *_SPREADS) if not name.startswith("nonrept")),
)

_TIMES = [pa.field("as_of", INSTANT, nullable=False), pa.field("available_at", INSTANT, nullable=False)]

COT_DISAGGREGATED = Dataset(
    name="cot_disaggregated",
    key=("cftc_code",),
    stamps="ours",
    group="raw",
    description="CFTC disaggregated futures-only Commitments of Traders, one row per report and contract code.",
    schema=pa.schema(
        [
            pa.field("cftc_code", pa.string(), nullable=False),
            *_TIMES,
            *(pa.field(name, pa.int64()) for name in COT_POSITIONS),
            *(pa.field(name, pa.float64()) for name in COT_CONCENTRATION),  # percent of open interest, as the CFTC prints it
            *(pa.field(name, pa.int64()) for name in COT_TRADERS),
            pa.field("quality", pa.string(), nullable=False),
            pa.field("synthetic", pa.bool_(), nullable=False),
        ]
    ),
)

FEATURE_SCHEMA = pa.schema(
    [
        pa.field("feature_name", pa.string(), nullable=False),
        *_TIMES,
        pa.field("value", pa.float64()),
        pa.field("unit", pa.string(), nullable=False),
        pa.field("quality", pa.string(), nullable=False),
    ]
)
COT_FEATURES = Dataset(
    name="cot_features",
    key=("feature_name",),
    stamps="derived",
    group="features",
    description="The 13 positioning features of the COT report, every vintage, as `features.compute` gives them.",
    schema=FEATURE_SCHEMA,
)

DATASETS = {dataset.name: dataset for dataset in (COT_DISAGGREGATED, COT_FEATURES)}
