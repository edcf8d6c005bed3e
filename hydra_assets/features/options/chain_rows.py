"""The rows of the option chain, one an option and day, and the vintages of the inputs that each is joined from."""

import datetime as dt
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.core.arrays import Ints
from hydra_assets.core.calendar import Calendar
from hydra_assets.core.instants import column_us, to_us
from hydra_assets.core.option_rules import OptionRules
from hydra_assets.features.days import DAYS, date_of, day_range, days_of, next_sessions, previous_sessions, sessions_between
from hydra_assets.features.options.curves import curve_vintages
from hydra_assets.features.vintages import CellVintages, VintageIndex, known_from, place_among, unique_pairs

INPUTS = ("option_definitions", "option_quotes", "option_statistics", "futures_statistics")
RATES = "rates"  # may be left out: everything is then discounted at the flat rate of the rules
LIMITS = "futures_definitions"  # may be left out: whether a settlement stands at its price limit is then unknown
MINUTE_US = 60_000_000


def cut_us(days: Ints, calendar: Calendar, rules: OptionRules) -> Ints:
    """The instant of the quotes' cut on each day since 1970, in microseconds UTC: the desk's own, else the calendar's."""
    distinct, inverse = np.unique(days, return_inverse=True)
    return np.array([to_us(rules.cut_on(calendar, date_of(day))) for day in distinct], dtype=np.int64)[inverse]


class ChainRows:
    """
    The rows of the chain: one an option and day, and the cells that each is made of.

    Attributes:
        day: day since 1970.
        cells: name of the input to the cell of each row in it, -1 for none.
        vintages: of these cells.
        defined: the definitions' columns.
    """

    def __init__(
        self,
        tables: Mapping[str, pa.Table],
        calendar: Calendar,
        rules: OptionRules,
        start: dt.date | None,
        end: dt.date | None,
    ) -> None:
        self._calendar = calendar
        defined = tables["option_definitions"]
        self.defined = Defined(defined)
        kept = self._kept(rules, start, end)
        code = self.defined.number[kept] * DAYS + self.defined.day[kept]
        self._codes = np.unique(code)
        self.day = self._codes % DAYS
        row_of = np.searchsorted(self._codes, code)
        # Identity (which strike, which future) by the first definition of the day: what stood when it was first known.
        seen = known_from(defined)[kept]
        self.first = kept[_earliest(row_of, seen, len(self.day))]

        quotes, statistics, futures = (tables[name] for name in INPUTS[1:])
        every = np.arange(len(self.day))
        underlying, before, future = self._futures(futures)
        limits = tables[LIMITS]
        codes = limits["instrument_id"].to_numpy() * DAYS + days_of(limits)
        limited, limit = np.unique(codes, return_inverse=True)
        days, of_day = np.unique(self.day, return_inverse=True)
        self.cells = {
            "definition": every,
            "quote": every,
            "interest": every,
            "settlement": every,
            "forward": underlying,
            "before": before,
            "limit": place_among(limited, self.defined.underlying[self.first] * DAYS + self.day),
            "partner": self._partners(),
            "rate": of_day.reshape(-1).astype(np.int64),
        }
        vintages = {
            "definition": CellVintages.of(defined, row_of, kept),
            "quote": self._mine(quotes, np.arange(quotes.num_rows)),
            "interest": self._mine(statistics, _stat(statistics, "open_interest"), after=True),
            "settlement": self._mine(statistics, _stat(statistics, "settlement")),
            "forward": future,
            "before": future,
            "limit": CellVintages.of(limits, limit.reshape(-1).astype(np.int64), np.arange(limits.num_rows)),
            "rate": curve_vintages(tables[RATES], days, calendar),
        }
        self.vintages = VintageIndex({**vintages, "partner": vintages["quote"]})

    def _kept(self, rules: OptionRules, start: dt.date | None, end: dt.date | None) -> Ints:
        """Definitions of sessions in the range, of options that still live at the cut."""
        d = self.defined
        low, high = day_range(start, end)
        keep = (d.day >= low) & (d.day <= high)
        if not keep.any():
            return np.zeros(0, dtype=np.int64)
        sessions = sessions_between(d.day[keep], self._calendar)
        keep &= np.isin(d.day, sessions) & (d.expiration > cut_us(d.day, self._calendar, rules)) & (d.right != 0)
        return np.flatnonzero(keep)

    def _mine(self, table: pa.Table, rows: Ints, *, after: bool = False) -> CellVintages:
        """The *rows* of *table* that belong to a row of the chain: to its day, or to the session before it (*after*)."""
        day = days_of(table)[rows]
        code = table["instrument_id"].to_numpy()[rows] * DAYS + (next_sessions(day, self._calendar) if after else day)
        place = place_among(self._codes, code)
        return CellVintages.of(table, place[place >= 0], rows[place >= 0])

    def _futures(self, table: pa.Table) -> tuple[Ints, Ints, CellVintages]:
        """Each row's cell of its underlying contract's final settlement, and of that of the session before; the cells' vintages."""
        rows = _stat(table, "settlement")
        code = table["instrument_id"].to_numpy()[rows] * DAYS + days_of(table)[rows]
        contracts, cell = np.unique(code, return_inverse=True)
        number = self.defined.underlying[self.first] * DAYS
        today, before = (place_among(contracts, number + day) for day in (self.day, previous_sessions(self.day, self._calendar)))
        return today, before, CellVintages.of(table, cell.astype(np.int64), rows)

    def _partners(self) -> Ints:
        """The option of the other right at the same strike, expiration, future and day; -1 where none is listed."""
        d, first = self.defined, self.first
        keys = (d.expiration[first], d.underlying[first], d.strike[first], self.day)
        pair = np.zeros(len(first), dtype=np.int64)
        for key in keys:
            pair = np.unique(np.stack([pair, np.unique(key, return_inverse=True)[1]]), axis=1, return_inverse=True)[1].reshape(-1)
        partner = np.full(len(first), -1, dtype=np.int64)
        calls, puts = (np.flatnonzero(d.right[first] == right) for right in (1, -1))
        for ours, theirs in ((calls, puts), (puts, calls)):
            order = theirs[np.argsort(pair[theirs], kind="stable")]
            place = np.searchsorted(pair[order], pair[ours])
            fits = place < len(order)
            fits[fits] = pair[order][place[fits]] == pair[ours][fits]
            partner[ours[fits]] = order[place[fits]]
        return partner

    def versions(self) -> tuple[Ints, Ints, dict[str, Ints]]:
        """Row, instant's rank and input rows of every version: each instant at which an input of a ready row changed."""
        found = [self.vintages.updates(name, cells) for name, cells in self.cells.items()]
        row, rank = unique_pairs(np.concatenate([r for r, _ in found]), np.concatenate([k for _, k in found]))
        rows = {name: self.vintages.newest(name, cells[row], rank) for name, cells in self.cells.items()}
        whole = (rows["definition"] >= 0) & (rows["forward"] >= 0)
        ready = np.full(len(self.day), np.iinfo(np.int64).max)
        np.minimum.at(ready, row[whole], rank[whole])
        live = rank >= ready[row]
        return row[live], rank[live], {name: r[live] for name, r in rows.items()}


class Defined:
    """The definitions' columns as arrays."""

    def __init__(self, table: pa.Table) -> None:
        self.number = table["instrument_id"].to_numpy()
        self.underlying = table["underlying_id"].to_numpy()
        self.day = days_of(table)
        self.strike = table["strike"].to_numpy()
        self.expiration = column_us(table["expiration"], what="expiration", rounding="floor") // MINUTE_US * MINUTE_US
        right = table["right"].to_numpy(zero_copy_only=False)
        self.right = np.where(right == "C", 1, np.where(right == "P", -1, 0))


def _stat(table: pa.Table, stat: str) -> Ints:
    """Rows of *stat*."""
    chosen = pc.equal(table["stat"], stat)
    return np.flatnonzero(chosen.fill_null(False).to_numpy(zero_copy_only=False).astype(bool))


def _earliest(group: Ints, at: Ints, groups: int) -> Ints:
    """Position of the earliest element of each group."""
    order = np.lexsort((at, group))
    first = np.r_[True, group[order][1:] != group[order][:-1]] if len(order) else np.zeros(0, dtype=bool)
    answer = np.zeros(groups, dtype=np.int64)
    answer[group[order][first]] = order[first]
    return answer
