"""The join of records to the contract that their instrument id was: ids are given out anew, sometimes within days."""

import datetime as dt
import re
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from hydra_assets.core.instants import DAY_US
from hydra_assets.core.tables.futures import FUTURES_STATISTICS
from hydra_assets.core.tables.table import Table
from hydra_assets.sources.databento_records import EPOCH, by_day, instants, us_of

if TYPE_CHECKING:
    from databento.common.dbnstore import DBNStore


DEFINED_WITHIN = 7  # days: a print of Friday evening can be stamped on Saturday, when nothing is defined
_OUTRIGHT = re.compile(r"[A-Z0-9]{1,4}[FGHJKMNQUVXZ]\d{1,2}")  # HEZ5, and HEZ25 for the same contract


class Definitions:
    """The contract that an instrument id was on a day."""

    statistics: Table = FUTURES_STATISTICS

    def __init__(self, table: pa.Table) -> None:
        self._day = us_of(table["as_of"]) // DAY_US
        self._id = table["instrument_id"].to_numpy()
        order = np.lexsort((self._day, self._id))
        self._key = self._id[order] * 100_000 + self._day[order]
        self._rows = order
        self._instrument = np.array(table["instrument"].to_pylist(), dtype=object)
        self._expiration = us_of(table["expiration"])

    def find(self, numbers: np.ndarray, days: np.ndarray, *, within: int = DEFINED_WITHIN) -> np.ndarray:
        """Row of each (id, day since 1970): of that day, or the newest of the *within* days before; -1 where there is none."""
        if not len(self._key):
            return np.full(len(numbers), -1)
        at = np.searchsorted(self._key, numbers * 100_000 + days, side="right") - 1
        row = self._rows[np.maximum(at, 0)]
        fits = (at >= 0) & (self._id[row] == numbers) & (days - self._day[row] <= within)
        return np.asarray(np.where(fits, row, -1))

    def described(self, numbers: np.ndarray, days: np.ndarray, received: np.ndarray) -> np.ndarray:
        """
        Row of the contract that each record describes: the one that its id was on the day described, not on the day of receipt.

        Where nothing is at hand for the day described, the definition of the day of receipt serves, if the id was no other instrument.
        """
        rows = self.find(numbers, np.minimum(days, received))
        late = np.flatnonzero(rows < 0)
        if len(late):
            found = self.find(numbers[late], received[late])
            rows[late] = np.where((found >= 0) & self._alone[found], found, -1) if len(self._key) else found
        return rows

    def expired(self, rows: np.ndarray, days: np.ndarray) -> np.ndarray:
        """Mask: the day lies after the expiration day of the row's contract."""
        if not len(self._key):
            return np.zeros(len(rows), dtype=bool)
        return np.asarray((rows >= 0) & (days > self._expiration[rows] // DAY_US))

    @cached_property
    def _alone(self) -> np.ndarray:
        """Mask of rows whose id is one instrument in all definitions at hand."""
        names = np.unique(self._instrument.astype(str), return_inverse=True)[1]
        order = np.lexsort((names, self._id))
        other = (np.diff(self._id[order]) == 0) & (np.diff(names[order]) != 0)
        return ~np.isin(self._id, self._id[order][1:][other])

    def contracts(self, rows: np.ndarray, numbers: np.ndarray) -> dict[str, pa.Array]:
        """The columns that name a contract."""
        return {
            "instrument": pa.array(self._instrument[rows].tolist(), pa.string()),
            "instrument_id": pa.array(numbers, pa.int64()),
            "expiration": instants(self._expiration[rows]),
        }

    @staticmethod
    def wanted(symbol: str) -> bool:
        """Whether *symbol*, which nothing defines, should have been defined: an outright future, no spread."""
        return _OUTRIGHT.fullmatch(symbol) is not None


def unknown(store: "DBNStore", definitions: Definitions, numbers: np.ndarray, days: np.ndarray) -> tuple[int, dict[dt.date, list[str]]]:
    """
    Count of records of spreads and the like, and by day the records that something should define and nothing does.

    A late figure of a day before the answer's own range has no symbol in the answer. Its own range had one: where nothing defines it,
    it is of a combination and the like, too.
    """
    if not len(numbers):
        return 0, {}
    symbols: dict[str, str] = {}
    for symbol, intervals in store.metadata.mappings.items():
        symbols.update((str(interval["symbol"]), symbol) for interval in intervals)
    lost, lost_days, spreads, first = list[str](), list[int](), 0, store.metadata.start // (DAY_US * 1000)
    for number, day in zip(numbers.tolist(), days.tolist(), strict=True):
        symbol = symbols.get(str(number), "")
        if definitions.wanted(symbol) and (symbol or day >= first):
            named = symbol or "an instrument without a symbol"
            lost.append(f"{named} (id {number}) on {EPOCH + dt.timedelta(day)}: no definition of it in the lake")
            lost_days.append(day)
        else:
            spreads += 1
    return spreads, by_day(lost_days, lost)
