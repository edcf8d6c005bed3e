"""
The smile of each expiration and day: the liquid out-of-the-money quotes of the chain, fitted; and how reliable the fit is.

A row exists as soon as one of the slice's options has a row in the chain; whatever of them changes later gives a further row.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.core.arrays import Floats, Ints
from hydra_assets.core.instants import column_us, instants
from hydra_assets.core.option_rules import OptionRules
from hydra_assets.core.rows import rows_between
from hydra_assets.core.tables.options import CHAIN_COLUMNS, OPTION_SMILES
from hydra_assets.core.tables.table import QUALITIES
from hydra_assets.errors import SchemaError
from hydra_assets.features.days import DAYS, days_of
from hydra_assets.features.options.slice_fits import fit_slices, parity_gap
from hydra_assets.features.quality import DEGRADED, MISSING, NORMAL, PARTIAL, quality_codes
from hydra_assets.features.vintages import CellVintages, VintageIndex, changed, expand, known_from, require, unique_pairs
from hydra_assets.options.density import cumulative, moments
from hydra_assets.options.svi import RawSvi

PARITY_TICKS, PARITY_ERRORS = 3, 3.0  # the larger of both is how far it may be off
MAX_CHI2_DOF = 9.0
STATUSES = ("full", "thin", "one_sided", "parity", "butterfly", "misfit", "no_quotes", "no_forward", "nonpositive_forward")
FULL, THIN, ONE_SIDED, PARITY, BUTTERFLY, MISFIT, NO_QUOTES, NO_FORWARD, NONPOSITIVE_FORWARD = range(len(STATUSES))
_WIDTH = 16  # slots for strikes come in steps of this, so that a slice's sums do not depend on what it is fitted beside
_RELEVANT = ("mid", "spread", "forward", "tau", "vol", "vol_error", "liquid", "quality", "strike", "right", "rate")


def build_smiles(
    chain: pa.Table, *, rules: OptionRules | None = None, start: dt.date | None = None, end: dt.date | None = None
) -> pa.Table:
    """
    All vintages of the fitted smiles.

    Args:
        chain: OPTION_CHAIN as it lies in the lake, every vintage.
        rules: the desk's; of them ``min_liquid_strikes`` counts here.
        start: earliest ``as_of`` day of the answer.
        end: latest ``as_of`` day of the answer.

    Returns:
        OPTION_SMILES, in order of day, expiration and available_at. ``status``: ``full``; or why a smile is not, the first of
        ``no_forward``, ``nonpositive_forward`` (no volatility is defined), ``no_quotes``, ``thin``, ``one_sided``, ``parity`` (settlement
        and put-call parity disagree), ``butterfly`` (negative density), ``misfit`` (chi2 per degree of freedom above 9). Quality
        ``degraded`` unless full; ``partial`` where no strike had both rights quoted, so that parity could not be looked at.
    """
    rules = rules or OptionRules()
    require(chain, CHAIN_COLUMNS, "option_chain")
    chain = rows_between(chain, start, end)
    if not chain.num_rows:
        return OPTION_SMILES.schema.empty_table()
    slices = _Slices(chain)
    owner, rank, state, row = slices.states()
    fitted = _fit(slices, len(owner), state, row, rules)
    table = pa.table(_columns(slices, owner, rank, fitted)).cast(OPTION_SMILES.schema)
    keep = changed(owner, *(_comparable(table[name]) for name in table.column_names if name != "available_at"))
    return table.filter(pa.array(keep)).sort_by([("as_of", "ascending"), ("expiration", "ascending"), ("available_at", "ascending")])


class _Slices:
    """The chain's rows by option and day, and these by slice: expiration and underlying of a day."""

    def __init__(self, chain: pa.Table) -> None:
        self.chain = chain
        day = days_of(chain)
        number = chain["instrument_id"].to_numpy()
        at = known_from(chain)
        option = np.unique(number * DAYS + day, return_inverse=True)[1].astype(np.int64)
        # Only what a fit looks at makes a new state: a settlement that came later does not.
        order = np.lexsort((np.arange(len(at)), at, option))
        kept = order[changed(option[order], *(_comparable(chain[name])[order] for name in _RELEVANT))]
        self.expiration = column_us(chain["expiration"], what="expiration")
        underlying = chain["underlying_id"].to_numpy()
        # A slice is identified by the first row of each of its options.
        options, first = np.unique(option[order], return_index=True)
        self.first = order[first]
        key = np.stack([day[self.first], self.expiration[self.first], underlying[self.first]])
        _, self.example, slice_of = np.unique(key, axis=1, return_index=True, return_inverse=True)
        self.slice_of = slice_of.reshape(-1)
        self.example = self.first[self.example]
        self.members = np.argsort(self.slice_of, kind="stable")
        self.begins = np.searchsorted(self.slice_of[self.members], np.arange(len(self.example)))
        self.counts = np.bincount(self.slice_of, minlength=len(self.example))
        self.vintages = VintageIndex({"option": CellVintages(option[kept], at[kept], kept)})
        self.options = options

    def states(self) -> tuple[Ints, Ints, Ints, Ints]:
        """
        Slice and instant's rank of every state; and every row of the chain that stood in a state, with the state's number.
        """
        place, rank = self.vintages.updates("option", self.options)
        owner, ranks = unique_pairs(self.slice_of[place], rank)
        state, member = expand(self.begins[owner], self.counts[owner])
        option = self.members[member]
        row = self.vintages.newest("option", self.options[option], ranks[state])
        return owner, ranks, state[row >= 0], row[row >= 0]


@dataclass(frozen=True)
class _Fitted:
    """The fit of each state, its status and quality; arrays of one length."""

    columns: Mapping[str, Floats]
    status: Ints
    quality: Ints
    model: np.ndarray


def _fit(slices: _Slices, n: int, state: Ints, row: Ints, rules: OptionRules) -> _Fitted:
    chain = slices.chain

    def column(name: str) -> Floats:
        return np.asarray(chain[name].cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=float)

    forward, tau, strike = (column(name)[row] for name in ("forward", "tau", "strike"))
    vol, error, spread, gap, tick = (column(name)[row] for name in ("vol", "vol_error", "spread", "parity_gap", "tick"))
    liquid = chain["liquid"].to_numpy(zero_copy_only=False).astype(bool)[row] & np.isfinite(vol)
    qualities = quality_codes(chain["quality"])[row]
    with np.errstate(invalid="ignore", divide="ignore"):  # a strike can be 0 or less where a price can
        k = np.log(strike / forward)
    of_state = {name: _first_of(values, state, n) for name, values in (("forward", forward), ("tau", tau), ("tick", tick))}

    # At a strike equal to the forward both rights are out of the money: the tighter one counts.
    order = np.lexsort((error, strike, state))
    quoted = order[liquid[order]]
    distinct = np.r_[True, (state[quoted][1:] != state[quoted][:-1]) | (strike[quoted][1:] != strike[quoted][:-1])][: len(quoted)]
    quoted = quoted[distinct]
    owner = state[quoted]
    count = np.bincount(owner, minlength=n)
    below = np.bincount(owner, weights=k[quoted] < 0, minlength=n).astype(np.int64)
    above = np.bincount(owner, weights=k[quoted] > 0, minlength=n).astype(np.int64)
    slot = np.arange(len(quoted)) - np.r_[0, np.cumsum(count)[:-1]][owner] if n else np.zeros(0, dtype=np.int64)
    width = max(-(-int(count.max(initial=0)) // _WIDTH) * _WIDTH, _WIDTH)
    laid = {}
    for name, values in (("k", k[quoted]), ("w", vol[quoted] ** 2 * tau[quoted]), ("se", 2 * vol[quoted] * tau[quoted] * error[quoted])):
        laid[name] = np.full((n, width), np.nan)
        laid[name][owner, slot] = values
    fit = fit_slices(laid["k"], laid["w"], laid["se"], five=rules.five_parameter_svi)
    svi = fit.svi
    lowest, highest = (reduce(laid["k"], axis=1) if width else np.full(n, np.nan) for reduce in (_nanmin, _nanmax))
    has = count > 0
    strikes = {
        name: np.where(has, of_state["forward"] * np.exp(k_of), np.nan) for name, k_of in (("strike_lo", lowest), ("strike_hi", highest))
    }
    tails = {"tail_lo": np.full(n, np.nan), "tail_hi": np.full(n, np.nan), "g_min": np.full(n, np.nan), "mean_ratio": np.full(n, np.nan)}
    rows = np.flatnonzero(has)
    if len(rows):
        some = svi[rows]
        tails["tail_lo"][rows] = cumulative(some, lowest[rows, None])[:, 0]
        tails["tail_hi"][rows] = 1 - cumulative(some, highest[rows, None])[:, 0]
        tails["g_min"][rows] = some.g_min()
        tails["mean_ratio"][rows] = moments(some).mean_ratio
    parity, parity_error = parity_gap(state, strike, k, gap, spread, np.asarray(chain["right"].to_numpy(zero_copy_only=False))[row], n)
    with np.errstate(invalid="ignore"):
        off = np.abs(parity) > np.maximum(PARITY_TICKS * of_state["tick"], PARITY_ERRORS * parity_error)
        status = np.select(
            [
                np.isnan(of_state["forward"]),
                of_state["forward"] <= 0,
                ~has,
                count < rules.min_liquid_strikes,
                (below == 0) | (above == 0),
                off,
                tails["g_min"] < 0,
                fit.chi2_dof > MAX_CHI2_DOF,
            ],
            [NO_FORWARD, NONPOSITIVE_FORWARD, NO_QUOTES, THIN, ONE_SIDED, PARITY, BUTTERFLY, MISFIT],
            FULL,
        )
    quality = np.full(n, NORMAL, dtype=np.int64)
    np.maximum.at(quality, owner, qualities[quoted])
    quality = np.maximum(quality, np.where(status == FULL, np.where(np.isnan(parity), PARTIAL, NORMAL), DEGRADED))
    quality = np.where(np.isin(status, (NO_QUOTES, NO_FORWARD, NONPOSITIVE_FORWARD)), MISSING, quality)
    columns = {
        **{name: of_state[name] for name in ("forward", "tau")},
        **fit.parameters,
        **{f"svi_{name}": getattr(svi, name) for name in ("a", "b", "rho", "m", "sigma")},
        "n_liquid": count.astype(float),
        "n_below": below.astype(float),
        **strikes,
        **tails,
        "chi2_dof": fit.chi2_dof,
        "parity_forward": of_state["forward"] + parity,
        "parity_error": parity_error,
    }
    return _Fitted(columns, status, quality, np.where(has, np.where(fit.five, "svi", "ssvi"), "none"))


def _columns(slices: _Slices, owner: Ints, rank: Ints, fitted: _Fitted) -> dict[str, pa.Array]:
    chain, example = slices.chain, slices.example[owner]
    take = pa.array(example)
    columns: dict[str, pa.Array] = {
        "expiration": chain["expiration"].take(take),
        "underlying": chain["underlying"].take(take),
        "underlying_id": chain["underlying_id"].take(take),
        "as_of": chain["as_of"].take(take),
        "available_at": instants(slices.vintages.instants[rank]),
        "model": pa.array(fitted.model.tolist(), pa.string()),
        "status": pa.array(STATUSES).take(pa.array(fitted.status)),
        "quality": pa.array(QUALITIES).take(pa.array(fitted.quality)),
    }
    for name, values in fitted.columns.items():
        whole = name in ("n_liquid", "n_below")
        columns[name] = pa.array(values.astype(np.int64)) if whole else pa.array(values, mask=~np.isfinite(values))
    missing = [name for name in OPTION_SMILES.schema.names if name not in columns]
    if missing:
        raise SchemaError(f"option_smiles: columns {missing} were not made")
    return {name: columns[name] for name in OPTION_SMILES.schema.names}


def svi_of(smiles: pa.Table) -> RawSvi:
    """The slices of a table of smiles, in its order; NaN where there is no fit."""
    parts = (smiles[f"svi_{name}"].to_numpy(zero_copy_only=False).astype(float) for name in ("a", "b", "rho", "m", "sigma"))
    return RawSvi(*parts)


def _comparable(column: pa.ChunkedArray) -> np.ndarray:
    """A column as something that can be compared element by element: floats with NaN, else integers."""
    array = column.combine_chunks()
    if pa.types.is_floating(array.type):
        return np.asarray(array.to_numpy(zero_copy_only=False), dtype=float)
    if pa.types.is_timestamp(array.type):
        return np.asarray(pc.fill_null(array.cast(pa.int64()), -1).to_numpy(zero_copy_only=False))
    return np.asarray(array.dictionary_encode(null_encoding="encode").indices.to_numpy(zero_copy_only=False))


def _first_of(values: Floats, state: Ints, n: int) -> Floats:
    """The value of the first row of each state."""
    states, first = np.unique(state, return_index=True)
    answer = np.full(n, np.nan)
    answer[states] = values[first]
    return answer


def _nanmin(values: Floats, axis: int) -> Floats:
    return np.asarray(np.where(np.isnan(values), np.inf, values).min(axis=axis))


def _nanmax(values: Floats, axis: int) -> Floats:
    return np.asarray(np.where(np.isnan(values), -np.inf, values).max(axis=axis))
