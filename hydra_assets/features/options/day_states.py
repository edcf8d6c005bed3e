"""Days, the states that each went through, and the smiles, options and realised volatilities known in each state."""

import numpy as np
import pyarrow as pa

from hydra_assets.core.arrays import Ints
from hydra_assets.core.calendar import Calendar
from hydra_assets.core.instants import column_us
from hydra_assets.core.option_rules import OptionRules
from hydra_assets.core.tables.options import OPTION_DEFINITIONS
from hydra_assets.features.days import days_of
from hydra_assets.features.options.chain_rows import cut_us
from hydra_assets.features.vintages import CellVintages, VintageIndex, changed, expand, known_from, require, unique_pairs

REALISED = ("fut_rv_21", "fut_rv_252")
_NEVER = np.iinfo(np.int64).max
_OF_FLOWS = ("liquid", "open_interest", "forward", "tau", "strike", "right", "multiplier", "rate", "mid", "quality")


class DayStates:
    """
    A state is a day and an instant at which something of the day became known.

    Args:
        definitions: ``option_definitions``, every vintage.
        chain: OPTION_CHAIN, every vintage.
        smiles: OPTION_SMILES, every vintage.
        realised: FEATURE_SCHEMA of the features `REALISED`, every vintage.
        calendar: the market's.
        rules: of them the cut counts here.

    Attributes:
        n: number of states.
        days: days since 1970 that have a smile.
        state_day: position in *days* of each state.
        state_rank: rank of its instant in ``vintages.instants``.
    """

    def __init__(
        self, definitions: pa.Table, chain: pa.Table, smiles: pa.Table, realised: pa.Table, *, calendar: Calendar, rules: OptionRules
    ) -> None:
        self.chain, self.smiles, self.realised = chain, smiles, realised
        self.days = np.unique(days_of(smiles))
        self._slices = _Slices(self.days, definitions, smiles, calendar, rules)
        self._options = _Options(self.days, chain, self._slices)
        day = days_of(realised) if realised.num_rows else np.zeros(0, dtype=np.int64)
        names = realised["feature_name"].to_numpy(zero_copy_only=False) if realised.num_rows else np.zeros(0, dtype=object)
        cell = np.searchsorted(self.days, day) * len(REALISED) + (names == REALISED[1])
        on = np.isin(day, self.days)
        self.vintages = VintageIndex(
            {
                "smile": CellVintages.of(smiles, self._slices.of_smile, np.arange(smiles.num_rows)),
                "option": self._options.vintages,
                "realised": CellVintages.of(realised, cell[on].astype(np.int64), np.flatnonzero(on)),
            }
        )
        self.state_day, self.state_rank = self._states()
        self.n = len(self.state_day)

    def smile_rows(self) -> tuple[Ints, Ints, Ints]:
        """State, slice and row of the smiles of every slice of each state; the row is -1 for one that is not known yet."""
        state, place = expand(self._slices.begin[self.state_day], np.diff(self._slices.begin)[self.state_day])
        return state, place, self.vintages.newest("smile", place, self.state_rank[state])

    def option_rows(self) -> tuple[Ints, Ints]:
        """State and row of the chain of every option known in it."""
        state, option = expand(self._options.begin[self.state_day], np.diff(self._options.begin)[self.state_day])
        row = self.vintages.newest("option", option, self.state_rank[state])
        return state[row >= 0], row[row >= 0]

    def realised_rows(self, name: str) -> Ints:
        """Row of the realised volatility *name* in each state, -1 where it is not known yet."""
        return self.vintages.newest("realised", self.state_day * len(REALISED) + REALISED.index(name), self.state_rank)

    def smile_of(self, state: Ints, chain_row: Ints, smile_rows: tuple[Ints, Ints, Ints]) -> Ints:
        """Row of the smile that prices each row of the chain in its state; -1 where there is none."""
        states, slices, rows = smile_rows
        scale = len(self._slices.day) + 1
        code, wanted = states * scale + slices, state * scale + self._options.slice_of_row[chain_row]
        if not len(code):
            return np.full(len(wanted), -1)
        order = np.argsort(code, kind="stable")
        return np.asarray(rows[order][np.minimum(np.searchsorted(code[order], wanted), len(code) - 1)])

    def _ready(self) -> Ints:
        """Rank of the instant from which each day has rows: all smiles of the slices defined by then are known."""
        slices = self._slices
        owner, rank = self.vintages.updates("smile", np.arange(len(slices.day)))
        first = np.full(len(slices.day), _NEVER)
        np.minimum.at(first, owner, rank)
        defined = np.searchsorted(self.vintages.instants, slices.defined_at)
        ready = np.full(len(self.days), _NEVER)
        for day in range(len(self.days)):
            mine = slice(slices.begin[day], slices.begin[day + 1])
            seen, since = first[mine], defined[mine]
            for candidate in np.unique(seen).tolist():
                if (seen[since <= candidate] <= candidate).all():
                    ready[day] = candidate
                    break
        return ready

    def _states(self) -> tuple[Ints, Ints]:
        ready = self._ready()
        parts = []
        for name, owner_day in (
            ("smile", self._slices.day),
            ("option", self._options.day),
            ("realised", np.repeat(np.arange(len(self.days)), len(REALISED))),
        ):
            owner, rank = self.vintages.updates(name, np.arange(len(owner_day)))
            parts.append((owner_day[owner], rank))
        day, rank = unique_pairs(*(np.concatenate([part[i] for part in parts]).astype(np.int64) for i in (0, 1)))
        live = rank >= ready[day]
        return day[live], rank[live]


class _Slices:
    """
    Every slice of a day that has a smile or is defined.

    Attributes:
        keys: day, expiration and underlying of each, shape (3, slices).
        day: position of its day.
        begin: position of the first slice of each day.
        of_smile: slice of each row of the smiles.
        defined_at: microseconds UTC from which it is defined.
    """

    def __init__(self, days: Ints, definitions: pa.Table, smiles: pa.Table, calendar: Calendar, rules: OptionRules) -> None:
        require(definitions, ("underlying_id", "expiration", "as_of", "available_at"), "option_definitions")
        defined = definitions if definitions.num_rows else OPTION_DEFINITIONS.schema.empty_table()
        day, end = days_of(defined), column_us(defined["expiration"], what="expiration")
        lives = np.isin(day, days)
        lives[lives] = end[lives] > cut_us(day[lives], calendar, rules)
        keys = np.stack(
            [
                np.r_[days_of(smiles), day[lives]],
                np.r_[column_us(smiles["expiration"], what="expiration"), end[lives]],
                np.r_[smiles["underlying_id"].to_numpy(), defined["underlying_id"].to_numpy()[lives]],
            ]
        )
        self.keys, number = np.unique(keys, axis=1, return_inverse=True)
        number = number.reshape(-1).astype(np.int64)
        self.day = np.searchsorted(days, self.keys[0])
        self.begin = np.searchsorted(self.day, np.arange(len(days) + 1))
        self.of_smile = number[: smiles.num_rows]
        self.defined_at = np.full(self.keys.shape[1], _NEVER)
        np.minimum.at(self.defined_at, number[smiles.num_rows :], known_from(defined)[lives])


class _Options:
    """
    The options (day and id) of the chain.

    Attributes:
        day: position of the option's day.
        begin: position of the first option of each day.
        slice_of_row: slice of each row of the chain, -1 for none.
        vintages: the rows that change something of the flows or of the synthetic forward.
    """

    def __init__(self, days: Ints, chain: pa.Table, slices: _Slices) -> None:
        chain_day = days_of(chain)
        codes, option = np.unique(np.stack([chain_day, chain["instrument_id"].to_numpy()]), axis=1, return_inverse=True)
        option = option.reshape(-1).astype(np.int64)
        self.day = np.searchsorted(days, codes[0])
        self.begin = np.searchsorted(self.day, np.arange(len(days) + 1))
        at = known_from(chain)
        order = np.lexsort((np.arange(len(at)), at, option))
        kept = order[changed(option[order], *(chain[name].to_numpy(zero_copy_only=False)[order] for name in _OF_FLOWS))]
        self.vintages = CellVintages(option[kept], at[kept], kept)
        end, underlying = column_us(chain["expiration"], what="expiration"), chain["underlying_id"].to_numpy()
        keys = np.concatenate([slices.keys, np.stack([chain_day, end, underlying])], axis=1)
        number = np.unique(keys, axis=1, return_inverse=True)[1].reshape(-1)
        place = np.full(int(number.max(initial=0)) + 1, -1, dtype=np.int64)
        count = slices.keys.shape[1]
        place[number[:count]] = np.arange(count)
        self.slice_of_row = place[number[count:]]
