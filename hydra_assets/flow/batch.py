"""One month of one table on its way into the lake."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from hydra_assets.core.instants import now_us
from hydra_assets.core.months import Month
from hydra_assets.core.tables.table import Table
from hydra_assets.storage.capture import Look
from hydra_assets.storage.lake import ParquetLake


@dataclass(frozen=True)
class Captured:
    """
    Days of a batch that need not be fetched again once its rows are in the lake.

    Attributes:
        days: each with the vendor's date of its last change.
        seen_at: aware instant at which the answer was seen.
        statuses: the vendor's condition of days that are not simply available.
    """

    days: Mapping[dt.date, dt.date]
    seen_at: dt.datetime
    statuses: Mapping[dt.date, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Batch:
    """
    Rows of one table, market and month, with everything that decides how the lake takes them.

    Attributes:
        rows: in the table's own columns and types; SchemaError otherwise.
        look: what the source was asked, and when; None for rows that no source was asked for.
        allow_retract: whether a derived table may withdraw more than a fifth of the month.
        captured: days for the ledger once the rows are appended; None where no day becomes captured.
    """

    table: Table
    market: str
    month: Month
    rows: pa.Table
    look: Look | None = None
    allow_retract: bool = False
    captured: Captured | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", self.table.conform(self.rows))

    def append(self, lake: ParquetLake) -> int:
        """Append what *lake* does not hold; the number of new rows."""
        now = dt.datetime.fromtimestamp(now_us() / 1e6, dt.UTC)
        return lake.append_new(
            self.rows,
            self.table.name,
            self.market,
            self.month.first,
            key=self.table.key,
            stamps=self.table.stamps,
            look=self.look or Look("asset", self.month.first, self.month.last, (self.market,), now),
            allow_retract=self.allow_retract,
        )
