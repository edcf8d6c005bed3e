"""Known holes of a vendor: days that its history does not have, with the reason and who says so."""

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hydra_assets.core.tables.table import Table

ALL = ("*",)


@dataclass(frozen=True)
class KnownHole:
    """
    Days of some tables that the vendor cannot give.

    Attributes:
        vendor: source of the tables, such as ``databento``.
        first: first day without rows.
        last: last day without rows.
        reason: why there are none, as far as it is known.
        source: who says so.
        dataset: the vendor's dataset; ``*`` is any.
        markets: symbols; ``*`` is every market.
        tables: names of tables; ``*`` is every table of the vendor.
        stats: of a table of statistics, which of them are absent; ``*`` is all.
    """

    vendor: str
    first: dt.date
    last: dt.date
    reason: str
    source: str
    dataset: str = "*"
    markets: tuple[str, ...] = ALL
    tables: tuple[str, ...] = ALL
    stats: tuple[str, ...] = ALL

    def concerns(self, table: "Table", market: str, dataset: str | None) -> bool:
        """Whether it lies in *table* of *market*; a market without a known *dataset* can have any."""
        return (
            self.vendor == table.source
            and (self.dataset == "*" or dataset in (self.dataset, None))
            and _names(self.markets, market)
            and _names(self.tables, table.name)
        )

    def covers(self, day: dt.date, stat: str = "") -> bool:
        """Whether *day* is one of its days, for the statistic *stat*."""
        return self.first <= day <= self.last and _names(self.stats, stat)


def _names(listed: tuple[str, ...], name: str) -> bool:
    return "*" in listed or name in listed
