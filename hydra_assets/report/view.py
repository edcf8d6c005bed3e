"""Rows of a market as known at one instant, for everything that is drawn or said of it."""

import datetime as dt

import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.core.calendar import Calendar
from hydra_assets.core.tables.table import Table
from hydra_assets.storage.lake import ParquetLake


class View:
    """
    A market at one instant; a stretch of a table that was read already serves the shorter ones inside it.

    Args:
        lake: the lake to read.
        market: symbol.
        at: the instant: nothing that became available later is seen.
        calendar: the market's.
        until: last day described, included.
        reach: days before *until* that are read at once, where many readers ask for parts of them.
    """

    def __init__(
        self, lake: ParquetLake, market: str, at: dt.datetime, calendar: Calendar, *, until: dt.date, reach: dt.timedelta = dt.timedelta(0)
    ) -> None:
        self.lake, self.market, self.at, self.calendar, self.until = lake, market, at, calendar, until
        self._reach, self._read = reach, dict[str, tuple[dt.date, pa.Table]]()

    @property
    def note(self) -> str:
        """End of a title of computed rows, which carry no flag of their own."""
        return " (synthetic)" if self.lake.world == "sample" else ""

    def rows(self, table: Table, start: dt.date) -> pa.Table:
        """Rows of *table* that describe days from *start* to `until`."""
        read = self._read.get(table.name)
        if read is None or read[0] > start:
            first = min(start, self.until - self._reach)
            read = first, self.lake.read_known(table.name, self.market, self.at, start=first, end=self.until)
            self._read[table.name] = read
        first, known = read
        return known if first == start or not known.num_rows else known.filter(pc.greater_equal(known["as_of"], _midnight(start)))

    def day(self, table: Table, day: dt.date) -> pa.Table:
        """Rows of *table* that describe *day*."""
        if table.name not in self._read or self._read[table.name][0] > day:
            return self.lake.read_known(table.name, self.market, self.at, start=day, end=day)
        known = self._read[table.name][1]
        return known.filter(pc.equal(known["as_of"], _midnight(day))) if known.num_rows else known


def _midnight(day: dt.date) -> pa.Scalar:
    return pa.scalar(dt.datetime.combine(day, dt.time(), dt.UTC), pa.timestamp("us", tz="UTC"))
