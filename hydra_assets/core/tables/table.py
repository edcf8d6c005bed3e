"""The description of one table of the lake: its columns with unit and meaning, its key, and who decides when a row was known."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import pyarrow as pa

from hydra_assets.core.instants import INSTANT
from hydra_assets.errors import SchemaError

Stamps = Literal["vendor", "ours", "derived"]
QUALITIES = ("normal", "partial", "degraded", "stale", "missing")  # from best to worst

FLOAT, INTEGER, TEXT, TRUTH = pa.float64(), pa.int64(), pa.string(), pa.bool_()


@dataclass(frozen=True)
class Column:
    """
    One column of a table.

    Attributes:
        type: an Arrow type.
        description: what it says, and when it is null.
        unit: of a number; empty for text, instants and truth values.

    Raises:
        SchemaError: without a description, a number without a unit, or a unit of what is no number.
    """

    name: str
    type: pa.DataType
    description: str
    unit: str = ""
    nullable: bool = True

    def __post_init__(self) -> None:
        is_number = pa.types.is_integer(self.type) or pa.types.is_floating(self.type)
        if not self.description.endswith("."):
            raise SchemaError(f"column {self.name}: its description is no sentence: {self.description!r}")
        if is_number != bool(self.unit):
            raise SchemaError(f"column {self.name}: {'a number without a unit' if is_number else f'{self.type} with a unit'}")

    @property
    def field(self) -> pa.Field:
        """The column in an Arrow schema."""
        return pa.field(self.name, self.type, nullable=self.nullable)


@dataclass(frozen=True)
class Table:
    """
    One data type of the lake.

    Attributes:
        name: the folder ``data_type=…`` and the Dagster asset's key.
        columns: those of a freshly captured table, in order; more may be added later.
        key: columns that tell rows of one ``as_of`` apart.
        stamps: who decides ``available_at``: the ``vendor``'s own instant, ``ours`` (bar end, cut, release calendar), or a
            ``derived`` table's computation.
        group: ``raw`` (a vendor's rows), ``derived`` (computed from the lake) or ``features``.
        source: name of the feed that captures a raw table; empty for computed tables.
        cadence: how often a new ``as_of`` appears.
        calendar: what says which ``as_of`` days exist: the market's exchange sessions, or the COT release calendar.
        off_session_rows: UTC days without a session that can hold rows: none, ``eves`` (a session that opened the evening before
            leaves trades there), or ``any_day`` (the vendor defines instruments on Sundays and holidays too, packers slaughter on
            them).
        needs_options: whether the table is empty for a market without listed options.
        definitions: the table that names the instruments of this one's rows; None where the rows need none.
        has_scheduled_stamps: whether a row's instant is that of a publication schedule: a guess where it is ``partial``, until the row
            is seen soon after it.
        has_no_row: of a day of the calendar, whether the source is known to publish nothing on it; None where it always publishes.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    stamps: Stamps
    group: Literal["raw", "derived", "features"]
    description: str
    source: str = ""
    cadence: Literal["daily", "weekly"] = "daily"
    calendar: Literal["sessions", "cot_releases"] = "sessions"
    off_session_rows: Literal["none", "eves", "any_day"] = "none"
    needs_options: bool = False
    definitions: str | None = None
    has_scheduled_stamps: bool = False
    has_no_row: Callable[[dt.date], bool] | None = None

    def expects(self, day: dt.date) -> bool:
        """Whether *day*, one of the calendar's, has a row."""
        return self.has_no_row is None or not self.has_no_row(day)

    @cached_property
    def schema(self) -> pa.Schema:
        """Names, types and order of the columns."""
        return pa.schema([column.field for column in self.columns])

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


# ---------------------------------------------------------------- columns of many tables

AS_OF = Column("as_of", INSTANT, "The day that the row describes, 00:00 UTC.", nullable=False)
AVAILABLE_AT = Column(
    "available_at",
    INSTANT,
    "UTC instant at which the row could first be known; a reader at t sees rows with available_at <= t.",
    nullable=False,
)
STAMPED_AT = Column(
    "stamped_at", pa.timestamp("ns", tz="UTC"), "The vendor's own instant, in nanoseconds; tells prints of one key apart.", nullable=False
)
QUALITY = Column(
    "quality",
    TEXT,
    "normal, partial, degraded, stale or missing; what is not known is null with its quality here, never 0.",
    nullable=False,
)
SYNTHETIC = Column("synthetic", TRUTH, "True where the row was made up by the embedded vendor of the sample world.", nullable=False)
