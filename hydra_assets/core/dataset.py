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

_STAMPED = pa.field("stamped_at", pa.timestamp("ns", tz="UTC"), nullable=False)  # the vendor's own instant, whole
_WORDS = [pa.field("quality", pa.string(), nullable=False), pa.field("synthetic", pa.bool_(), nullable=False)]
_CONTRACT = [
    pa.field("instrument", pa.string(), nullable=False),  # the vendor's raw symbol: HEZ5 comes back every ten years
    pa.field("instrument_id", pa.int64(), nullable=False),
    pa.field("expiration", INSTANT, nullable=False),
]

FUTURES_DEFINITIONS = Dataset(
    name="futures_definitions",
    key=("instrument_id",),
    stamps="vendor",
    group="raw",
    description="Outright futures listed on a day, as the exchange defines them; spreads and options are left out.",
    schema=pa.schema(
        [
            *_CONTRACT,
            pa.field("instrument_class", pa.string(), nullable=False),
            *_TIMES,
            _STAMPED,
            pa.field("tick", pa.float64(), nullable=False),  # price units
            pa.field("multiplier", pa.float64(), nullable=False),  # dollars per price unit and contract
            pa.field("low_limit", pa.float64()),
            pa.field("high_limit", pa.float64()),
            *_WORDS,
        ]
    ),
)
FUTURES_BARS = Dataset(
    name="futures_bars",
    key=("instrument", "expiration"),
    stamps="ours",
    group="raw",
    description="Daily bars of outright futures by UTC date, price units of the market; the close is the last trade, not the settlement."
    " A bar is known at its start plus one day.",
    schema=pa.schema(
        [
            *_CONTRACT,
            *_TIMES,
            *(pa.field(name, pa.float64()) for name in ("open", "high", "low", "close")),
            pa.field("volume", pa.int64()),
            *_WORDS,
        ]
    ),
)
STATISTICS = ("settlement", "cleared_volume", "open_interest")
FUTURES_STATISTICS = Dataset(
    name="futures_statistics",
    key=("instrument", "expiration", "stat"),
    stamps="vendor",
    group="raw",
    description="Settlements (preliminary and final), cleared volume and open interest by trading date, every print at its own instant;"
    " a deletion is a row without a value.",
    schema=pa.schema(
        [
            *_CONTRACT,
            pa.field("stat", pa.string(), nullable=False),  # one of STATISTICS
            *_TIMES,
            _STAMPED,
            pa.field("value", pa.float64()),
            pa.field("is_final", pa.bool_()),  # of settlements; null where the exchange does not say
            *_WORDS,
        ]
    ),
)
FUTURES_CONTINUOUS = Dataset(
    name="futures_continuous",
    key=(),
    stamps="derived",
    group="derived",
    description="The front contract of each session by the roll rule, its final settlement, and what a roll into it changed;"
    " `hydra_assets.continuous` accumulates the adjustment at read, as known at the caller's instant.",
    schema=pa.schema(
        [
            *_TIMES,
            pa.field("contract", pa.string()),
            pa.field("expiration", INSTANT),
            pa.field("settlement", pa.float64()),
            pa.field("roll_difference", pa.float64()),  # new contract minus old, price units; 0 where nothing rolled
            pa.field("roll_ratio", pa.float64()),  # new contract over old; 1 where nothing rolled
            pa.field("quality", pa.string(), nullable=False),
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


def _features(family: str, description: str) -> Dataset:
    return Dataset(f"{family}_features", ("feature_name",), "derived", FEATURE_SCHEMA, "features", description)


COT_FEATURES = _features("cot", "The 13 positioning features of the COT report, every vintage, as `features.compute` gives them.")
FUTURES_FEATURES = _features("futures", "The 23 features of the futures curve, every vintage, as `features.compute` gives them.")

DATASETS = {
    dataset.name: dataset
    for dataset in (
        COT_DISAGGREGATED,
        COT_FEATURES,
        FUTURES_DEFINITIONS,
        FUTURES_BARS,
        FUTURES_STATISTICS,
        FUTURES_CONTINUOUS,
        FUTURES_FEATURES,
    )
}
