"""
From vintages of the chain and its smiles to vintages of the options' features: each on what was known at its own instant.

A day has rows from the instant at which every smile of the options defined by then is known: the last settlement of an underlying
contract. Whatever of the day changes later gives a further state, and a further row of each feature that it moves.
"""

import datetime as dt
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.core.arrays import Floats, Ints
from hydra_assets.core.feature import Feature
from hydra_assets.core.instants import DAY_US, column_us
from hydra_assets.core.option_rules import OptionRules
from hydra_assets.core.rows import rows_between
from hydra_assets.core.tables.features import FEATURE_SCHEMA
from hydra_assets.core.tables.options import OPTION_CHAIN, OPTION_DEFINITIONS, OPTION_SMILES
from hydra_assets.errors import SchemaError
from hydra_assets.features.futures import formulas as futures
from hydra_assets.features.futures.engine import compute_daily
from hydra_assets.features.options.chain import INPUTS as RAW
from hydra_assets.features.options.chain import build_chain, cut_us
from hydra_assets.features.options.formulas import INTEREST
from hydra_assets.features.options.open_interest import put_call_interest
from hydra_assets.features.options.smiles import build_smiles, svi_of
from hydra_assets.features.options.surface_states import Board, Flows, Slices
from hydra_assets.features.quality import MISSING, NORMAL, PARTIAL, quality_codes
from hydra_assets.features.rows import feature_rows, in_order, moved
from hydra_assets.features.vintages import Arrivals, Known, changed, days_of, expand, require, unique_pairs
from hydra_assets.options.greeks import greeks

REALISED = ("fut_rv_21", "fut_rv_252")
_FLOWING = ("liquid", "open_interest", "forward", "tau", "strike", "right", "multiplier", "quality")


def compute_options(
    inputs: Mapping[str, pa.Table], features: Sequence[Feature], *, rules: OptionRules, start: dt.date | None, end: dt.date | None
) -> pa.Table:
    """
    All vintages of *features*.

    Args:
        inputs: every vintage of ``option_definitions``, of ``option_chain`` and ``option_smiles``, of ``option_statistics`` and of
            ``futures_features``. What of the derived ones is not given is made from the raw ones: the four inputs of
            `build_chain`, and ``futures_statistics`` as far back as the realised volatilities reach.
        start, end: inclusive days of the answer's ``as_of``.
    Returns:
        FEATURE_SCHEMA, ordered by as_of, feature and available_at.
    """
    if "option_definitions" not in inputs:
        raise SchemaError(f"options: the input 'option_definitions' is missing; given are {sorted(inputs)}")
    if "option_chain" not in inputs and not all(name in inputs for name in RAW):
        raise SchemaError(f"options: give the input 'option_chain', or all of {list(RAW)}; given are {sorted(inputs)}")
    ours = [feature for feature in features if feature.name != INTEREST.name]
    parts = [_of_smiles(inputs, ours, rules, start, end)] if ours else []
    if len(ours) < len(features) and "option_statistics" in inputs:
        parts.append(put_call_interest(inputs["option_statistics"], inputs["option_definitions"], INTEREST, start=start, end=end))
    return in_order(parts)


def _of_smiles(
    inputs: Mapping[str, pa.Table], features: Sequence[Feature], rules: OptionRules, start: dt.date | None, end: dt.date | None
) -> pa.Table:
    chain = inputs["option_chain"] if "option_chain" in inputs else build_chain(inputs, rules=rules, start=start, end=end)
    require(chain, OPTION_CHAIN.schema.names, "option_chain")
    chain = rows_between(chain, start, end)
    smiles = inputs["option_smiles"] if "option_smiles" in inputs else build_smiles(chain, rules=rules)
    require(smiles, OPTION_SMILES.schema.names, "option_smiles")
    smiles = rows_between(smiles, start, end)
    if not smiles.num_rows:
        return FEATURE_SCHEMA.empty_table()
    joined = any(feature.needs for feature in features)
    realised = _realised(inputs, start, end) if joined else FEATURE_SCHEMA.empty_table()
    return _Days(inputs["option_definitions"], chain, smiles, realised, rules).rows(features)


def _realised(inputs: Mapping[str, pa.Table], start: dt.date | None, end: dt.date | None) -> pa.Table:
    """Vintages of the realised volatilities."""
    if "futures_features" in inputs:
        table = inputs["futures_features"]
        if not table.num_rows:
            return FEATURE_SCHEMA.empty_table()
        return rows_between(table.filter(pc.is_in(table["feature_name"], pa.array(REALISED))), start, end)
    if "futures_statistics" not in inputs:
        return FEATURE_SCHEMA.empty_table()
    wanted = [feature for feature in futures.FEATURES if feature.name in REALISED]
    return compute_daily(inputs, wanted, multiplier=1.0, start=start, end=end).combine_chunks()


class _Days:
    """Days, the states that each went through, and what was known in them."""

    def __init__(self, definitions: pa.Table, chain: pa.Table, smiles: pa.Table, realised: pa.Table, rules: OptionRules) -> None:
        self.chain, self.smiles, self.realised, self.rules = chain, smiles, realised, rules
        smile_day, chain_day = days_of(smiles), days_of(chain)
        self.days = np.unique(smile_day)
        self._index_slices(definitions, smile_day)
        option, kept = self._index_options(chain_day)
        realised_day = days_of(realised) if realised.num_rows else np.zeros(0, dtype=np.int64)
        names = realised["feature_name"].to_numpy(zero_copy_only=False) if realised.num_rows else np.zeros(0, dtype=object)
        cell = np.searchsorted(self.days, realised_day) * len(REALISED) + (names == REALISED[1])
        on = np.isin(realised_day, self.days)
        self.known = Known(
            {
                "smile": Arrivals.of(smiles, self.slice_of_row, np.arange(smiles.num_rows)),
                "option": Arrivals(option[kept], column_us(chain["available_at"], what="available_at", rounding="ceil")[kept], kept),
                "realised": Arrivals.of(realised, cell[on].astype(np.int64), np.flatnonzero(on)),
            }
        )
        self.state_day, self.state_rank = self._states()
        self.realised_known: dict[str, np.ndarray] = {}

    def _index_slices(self, definitions: pa.Table, smile_day: Ints) -> None:
        """Every slice of a day that has a smile or is defined; and since when it is defined."""
        require(definitions, ("underlying_id", "expiration", "as_of", "available_at"), "option_definitions")
        defined = definitions if definitions.num_rows else OPTION_DEFINITIONS.schema.empty_table()
        day, end = days_of(defined), column_us(defined["expiration"], what="expiration")
        lives = np.isin(day, self.days)
        lives[lives] = end[lives] > cut_us(day[lives], self.rules)
        at = column_us(defined["available_at"], what="available_at", rounding="ceil")
        keys = np.stack(
            [
                np.r_[smile_day, day[lives]],
                np.r_[column_us(self.smiles["expiration"], what="expiration"), end[lives]],
                np.r_[self.smiles["underlying_id"].to_numpy(), defined["underlying_id"].to_numpy()[lives]],
            ]
        )
        slices, number = np.unique(keys, axis=1, return_inverse=True)
        number = number.reshape(-1).astype(np.int64)
        self.slice_day = np.searchsorted(self.days, slices[0])
        self.slice_of_row = number[: len(smile_day)]
        self.defined_at = np.full(slices.shape[1], np.iinfo(np.int64).max)
        np.minimum.at(self.defined_at, number[len(smile_day) :], at[lives])
        self.slices_begin = np.searchsorted(self.slice_day, np.arange(len(self.days) + 1))
        self._slice_keys = slices

    def _index_options(self, chain_day: Ints) -> tuple[Ints, Ints]:
        """The option (day and id) of each row of the chain; and the rows that say something new to the flows."""
        chain = self.chain
        number = chain["instrument_id"].to_numpy()
        codes, option = np.unique(np.stack([chain_day, number]), axis=1, return_inverse=True)
        option = option.reshape(-1).astype(np.int64)
        self.option_day = np.searchsorted(self.days, codes[0])
        self.options_begin = np.searchsorted(self.option_day, np.arange(len(self.days) + 1))
        at = column_us(chain["available_at"], what="available_at", rounding="ceil")
        order = np.lexsort((np.arange(len(at)), at, option))
        columns = [chain[name].to_numpy(zero_copy_only=False)[order] for name in _FLOWING]
        kept = order[changed(option[order], *columns)]
        # The slice of a row, to find its smile.
        end, underlying = column_us(chain["expiration"], what="expiration"), chain["underlying_id"].to_numpy()
        keys = np.concatenate([self._slice_keys, np.stack([chain_day, end, underlying])], axis=1)
        number = np.unique(keys, axis=1, return_inverse=True)[1].reshape(-1)
        place = np.full(int(number.max(initial=0)) + 1, -1, dtype=np.int64)
        count = self._slice_keys.shape[1]
        place[number[:count]] = np.arange(count)
        self.slice_of_option_row = place[number[count:]]
        return option, kept

    def _ready(self) -> Ints:
        """Rank of the instant from which each day has rows: all smiles of the slices defined by then are known."""
        slices = np.arange(len(self.slice_day))
        owner, rank = self.known.events("smile", slices)
        first = np.full(len(slices), np.iinfo(np.int64).max)
        np.minimum.at(first, owner, rank)
        defined = np.searchsorted(self.known.instants, self.defined_at)
        ready = np.full(len(self.days), np.iinfo(np.int64).max)
        for day in range(len(self.days)):
            mine = slice(self.slices_begin[day], self.slices_begin[day + 1])
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
            ("smile", self.slice_day),
            ("option", self.option_day),
            ("realised", np.repeat(np.arange(len(self.days)), len(REALISED))),
        ):
            owner, rank = self.known.events(name, np.arange(len(owner_day)))
            parts.append((owner_day[owner], rank))
        day, rank = unique_pairs(*(np.concatenate([part[i] for part in parts]).astype(np.int64) for i in (0, 1)))
        live = rank >= ready[day]
        return day[live], rank[live]

    # ---------------------------------------------------------------- a board of all states

    def board(self) -> Board:
        """Everything that the features read, of every state."""
        n = len(self.state_day)
        state, place = expand(self.slices_begin[self.state_day], np.diff(self.slices_begin)[self.state_day])
        row = self.known.newest("smile", place, self.state_rank[state])
        smile_of = (state, place, row)
        held = row >= 0
        state, row = state[held], row[held]
        smiles, svi = self.smiles, svi_of(self.smiles)

        def column(name: str) -> Floats:
            return np.asarray(smiles[name].to_numpy(zero_copy_only=False), dtype=float)[row]

        tau = column("tau")
        order = np.lexsort((tau, state))
        slices = Slices(
            state=state[order],
            full=(smiles["status"].to_numpy(zero_copy_only=False)[row] == "full")[order],
            tau=tau[order],
            svi=svi[row[order]],
            theta_error=column("theta_error")[order],
            tails=(column("tail_lo") + column("tail_hi"))[order],
            word=quality_codes(smiles["quality"])[row][order].astype(np.int64),
            n_liquid=smiles["n_liquid"].to_numpy()[row][order],
        )
        realised = {}
        for i, name in enumerate(REALISED):
            at = self.known.newest("realised", self.state_day * len(REALISED) + i, self.state_rank)
            values = self.realised["value"].to_numpy(zero_copy_only=False).astype(float) if self.realised.num_rows else np.zeros(0)
            words = quality_codes(self.realised["quality"]) if self.realised.num_rows else np.zeros(0, dtype=np.int8)
            realised[name] = (_of(values, at), np.where(at >= 0, _of(words.astype(float), at), MISSING).astype(np.int64))
            self.realised_known[name] = at >= 0
        signs = (self.rules.dealer_sign_call, self.rules.dealer_sign_put)
        return Board(n, slices, self._flows(n, smile_of), realised, signs)

    def _flows(self, n: int, smile_of: tuple[Ints, Ints, Ints]) -> Flows:
        """Greeks of the liquid options at the volatility of their smile, times open interest, summed."""
        chain = self.chain
        state, option = expand(self.options_begin[self.state_day], np.diff(self.options_begin)[self.state_day])
        row = self.known.newest("option", option, self.state_rank[state])
        liquid = (row >= 0) & chain["liquid"].to_numpy(zero_copy_only=False).astype(bool)[np.maximum(row, 0)]
        state, row = state[liquid], row[liquid]
        states, slices, smile_row = smile_of
        code = states * (len(self.slice_day) + 1) + slices
        mine = state * (len(self.slice_day) + 1) + self.slice_of_option_row[row]
        order = np.argsort(code, kind="stable")
        place = np.minimum(np.searchsorted(code[order], mine), max(len(code) - 1, 0))
        found = smile_row[order][place] if len(code) else np.full(len(mine), -1)

        def column(name: str) -> Floats:
            return np.asarray(chain[name].to_numpy(zero_copy_only=False)[row], dtype=float)

        forward, strike, tau, rate = (column(name) for name in ("forward", "strike", "tau", "rate"))
        size = column("open_interest") * column("multiplier") * forward
        right = np.where(chain["right"].to_numpy(zero_copy_only=False)[row] == "C", 1, -1)
        with np.errstate(invalid="ignore", divide="ignore"):
            total = svi_of(self.smiles)[np.maximum(found, 0)].total_variance(np.log(strike / forward)[:, None])[:, 0]
            vol = np.where(found >= 0, np.sqrt(total / tau), np.nan)
        got = greeks(forward, strike=strike, tau=tau, rate=rate, vol=vol, right=right)
        known = np.isfinite(vol)

        def summed(values: Floats, which: np.ndarray) -> Floats:
            count = np.bincount(state[which], minlength=n)
            return np.asarray(np.where(count > 0, np.bincount(state[which], weights=values[which], minlength=n), np.nan))

        gamma = got.gamma * size * forward / 100
        word = np.full(n, NORMAL, dtype=np.int64)
        np.maximum.at(word, state, np.maximum(quality_codes(chain["quality"])[row], np.where(known, NORMAL, PARTIAL)).astype(np.int64))
        return Flows(
            gex_call=summed(gamma, known & (right > 0)),
            gex_put=summed(gamma, known & (right < 0)),
            vanna=summed(got.vanna * size * 0.01, known),
            charm=summed(got.charm * size / 365, known),
            word=word,
        )

    # ---------------------------------------------------------------- rows

    def rows(self, features: Sequence[Feature]) -> pa.Table:
        """FEATURE_SCHEMA of *features*, unordered."""
        if not len(self.state_day):
            return FEATURE_SCHEMA.empty_table()
        board = self.board()
        as_of, at = self.days[self.state_day] * DAY_US, self.known.instants[self.state_rank]
        parts = []
        for feature in features:
            with np.errstate(invalid="ignore", divide="ignore"):
                reading = feature.function(board)
            value = np.where(np.isfinite(reading.value), reading.value, np.nan)
            word = np.where(np.isnan(value), MISSING, reading.word).astype(np.int64)
            there = self.realised_known[feature.needs] if feature.needs else np.ones(board.n, dtype=bool)
            rows = np.flatnonzero(there)
            rows = rows[moved(self.state_day[rows], value[rows], word[rows])]
            parts.append(feature_rows(feature, as_of[rows], at[rows], value[rows], word[rows]))
        return pa.concat_tables(parts)


def _of(values: Floats, at: Ints) -> Floats:
    return np.asarray(np.where(at >= 0, values[np.maximum(at, 0)], np.nan)) if len(values) else np.full(len(at), np.nan)
