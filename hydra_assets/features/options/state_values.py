"""The numbers of each state that formulas read: its smiles, and the Greeks of its liquid options summed."""

import numpy as np
import pyarrow as pa

from hydra_assets.core.arrays import Bools, Floats, Ints
from hydra_assets.core.option_rules import OptionRules
from hydra_assets.features.options.day_states import REALISED, DayStates
from hydra_assets.features.options.smiles import svi_of
from hydra_assets.features.options.surface_states import Flows, Slices, SurfaceStates, Synthetic
from hydra_assets.features.quality import MISSING, NORMAL, PARTIAL, quality_codes
from hydra_assets.options.greeks import greeks

STRIKES_OF_PARITY = 2


def surface_states(states: DayStates, rules: OptionRules) -> SurfaceStates:
    """Smiles, flows and realised volatilities of every state."""
    smile_rows = states.smile_rows()
    realised = {name: _realised(states.realised, states.realised_rows(name)) for name in REALISED}
    signs = (rules.dealer_sign_call, rules.dealer_sign_put)
    return SurfaceStates(states.n, _slices(states.smiles, smile_rows), _flows(states, smile_rows), realised, signs, _synthetic(states))


def _slices(smiles: pa.Table, smile_rows: tuple[Ints, Ints, Ints]) -> Slices:
    state, _, row = smile_rows
    state, row = state[row >= 0], row[row >= 0]
    order = np.lexsort((_column(smiles, "tau", row), state))
    state, row = state[order], row[order]
    return Slices(
        state=state,
        full=smiles["status"].to_numpy(zero_copy_only=False)[row] == "full",
        tau=_column(smiles, "tau", row),
        svi=svi_of(smiles)[row],
        theta_error=_column(smiles, "theta_error", row),
        tails=_column(smiles, "tail_lo", row) + _column(smiles, "tail_hi", row),
        quality=quality_codes(smiles["quality"])[row],
        n_liquid=smiles["n_liquid"].to_numpy()[row],
    )


def _realised(table: pa.Table, rows: Ints) -> tuple[Floats, Ints]:
    """Value and quality at *rows* of the table; NaN and ``missing`` at -1."""
    if not table.num_rows:
        return np.full(len(rows), np.nan), np.full(len(rows), MISSING)
    values, qualities = _column(table, "value", np.maximum(rows, 0)), quality_codes(table["quality"])[np.maximum(rows, 0)]
    return np.where(rows >= 0, values, np.nan), np.where(rows >= 0, qualities, MISSING)


def _flows(states: DayStates, smile_rows: tuple[Ints, Ints, Ints]) -> Flows:
    """Greeks of the liquid options at the volatility of their smile, times open interest, summed."""
    chain, n = states.chain, states.n
    state, row = states.option_rows()
    liquid = chain["liquid"].to_numpy(zero_copy_only=False).astype(bool)[row]
    state, row = state[liquid], row[liquid]
    smile = states.smile_of(state, row, smile_rows)
    forward, strike, tau, rate = (_column(chain, name, row) for name in ("forward", "strike", "tau", "rate"))
    size = _column(chain, "open_interest", row) * _column(chain, "multiplier", row) * forward
    right = np.where(chain["right"].to_numpy(zero_copy_only=False)[row] == "C", 1, -1)
    with np.errstate(invalid="ignore", divide="ignore"):
        total = svi_of(states.smiles)[np.maximum(smile, 0)].total_variance(np.log(strike / forward)[:, None])[:, 0]
        vol = np.where(smile >= 0, np.sqrt(total / tau), np.nan)
    got = greeks(forward, strike=strike, tau=tau, rate=rate, vol=vol, right=right)
    known = np.isfinite(vol)

    def summed(values: Floats, which: Bools) -> Floats:
        count = np.bincount(state[which], minlength=n)
        return np.asarray(np.where(count > 0, np.bincount(state[which], weights=values[which], minlength=n), np.nan))

    gamma = got.gamma * size * forward / 100
    quality = np.full(n, NORMAL)
    np.maximum.at(quality, state, np.maximum(quality_codes(chain["quality"])[row], np.where(known, NORMAL, PARTIAL)))
    return Flows(
        gex_call=summed(gamma, known & (right > 0)),
        gex_put=summed(gamma, known & (right < 0)),
        vanna=summed(got.vanna * size * 0.01, known),
        charm=summed(got.charm * size / 365, known),
        quality=quality,
    )


def _synthetic(states: DayStates) -> Synthetic:
    """
    K + (C - P) e^(rT) of the two strikes whose call and put are worth nearest to the same, averaged; nearest expiration first.

    Mids alone enter, never the settlement, which a price limit can hold back and the exchange can take back. Of strikes equally near
    the lower comes first. Early exercise is left out: near the forward it is worth less than a tick, and about the same to both rights.
    """
    chain, n = states.chain, states.n
    state, call, put = _quoted_pairs(chain, *states.option_rows())
    strike, tau, rate = (_column(chain, name, call) for name in ("strike", "tau", "rate"))
    difference = _column(chain, "mid", call) - _column(chain, "mid", put)
    implied = strike + difference * np.exp(rate * tau)
    nearest = np.full(n, np.inf)
    np.minimum.at(nearest, state, tau)
    front = np.flatnonzero(tau == nearest[state])
    apart = np.round(np.abs(difference), 9)  # what the computer makes of a tick decides no tie
    order = front[np.lexsort((strike[front], apart[front], state[front]))]
    order = order[np.arange(len(order)) - np.searchsorted(state[order], state[order]) < STRIKES_OF_PARITY]
    owner = state[order]
    count = np.bincount(owner, minlength=n)
    total = np.bincount(owner, weights=implied[order], minlength=n)
    quality = np.where(count < STRIKES_OF_PARITY, PARTIAL, NORMAL)
    words = quality_codes(chain["quality"])
    np.maximum.at(quality, owner, np.minimum(np.maximum(words[call], words[put])[order], PARTIAL))
    return Synthetic(np.where(count > 0, total / np.maximum(count, 1), np.nan), count, quality)


def _quoted_pairs(chain: pa.Table, state: Ints, row: Ints) -> tuple[Ints, Ints, Ints]:
    """State, row of the call and row of the put of every strike that has both quoted."""
    pair = np.zeros(chain.num_rows, dtype=np.int64)
    for name in ("expiration", "underlying_id", "strike"):
        distinct, code = np.unique(chain[name].to_numpy(zero_copy_only=False), return_inverse=True)
        pair = np.unique(pair * max(len(distinct), 1) + code.reshape(-1), return_inverse=True)[1].reshape(-1)
    quoted = np.isfinite(_column(chain, "mid", row))
    key = state * (int(pair.max(initial=0)) + 1) + pair[row]
    is_call = chain["right"].to_numpy(zero_copy_only=False)[row] == "C"
    calls, puts = np.flatnonzero(quoted & is_call), np.flatnonzero(quoted & ~is_call)
    puts = puts[np.argsort(key[puts], kind="stable")]
    if not len(puts):
        return state[puts], row[puts], row[puts]
    partner = puts[np.minimum(np.searchsorted(key[puts], key[calls]), len(puts) - 1)]
    both = key[partner] == key[calls]
    calls, partner = calls[both], partner[both]
    return state[calls], row[calls], row[partner]


def _column(table: pa.Table, name: str, rows: Ints) -> Floats:
    return np.asarray(table[name].to_numpy(zero_copy_only=False)[rows], dtype=float)
