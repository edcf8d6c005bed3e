"""Fits of the slices of one day's smiles, and the forward that put-call parity implies."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hydra_assets.core.arrays import Floats, Ints
from hydra_assets.options.smile import fit_smiles
from hydra_assets.options.svi import RawSvi
from hydra_assets.options.svi_fit import fit_svi

MEDIAN_ERROR = 1.2533  # of a median, in standard errors of a mean
NEAR_THE_MONEY = 0.1  # |ln(K/F)| within which put-call parity is looked at


@dataclass(frozen=True)
class SliceFits:
    """Slices in raw form, and their columns: of five parameters there are no rho and phi of the surface form."""

    svi: RawSvi
    chi2_dof: Floats
    five: np.ndarray
    parameters: Mapping[str, Floats]


def fit_slices(k: Floats, w: Floats, se: Floats, *, five: bool) -> SliceFits:
    """
    Fit every slice.

    Args:
        k: log-moneyness of the quotes, shape (slices, width), NaN in unused slots.
        w: total variance of each quote.
        se: its standard error.
        five: fit raw SVI too, and keep it where it is clearly better.
    """
    if five:
        both = fit_svi(k, total_variance=w, standard_error=se)
        ssvi, svi, chi2_dof, chosen = both.ssvi, both.svi, both.chi2_dof, both.five
        middle = svi.by_parameters(np.zeros((svi.size, 1)))[:, 0, :]
        theta = svi.total_variance(np.zeros((svi.size, 1)))[:, 0]
        theta_error = np.sqrt(np.einsum("ni,nij,nj->n", middle, both.raw_covariance, middle))
    else:
        ssvi = fit_smiles(k, total_variance=w, standard_error=se)
        svi, chi2_dof, chosen, theta = ssvi.svi, ssvi.chi2_dof, np.zeros(len(k), dtype=bool), ssvi.theta
        theta_error = np.sqrt(np.maximum(ssvi.covariance[:, 0, 0], 0))
    covariance = ssvi.covariance
    parameters = {"theta": theta, "theta_error": theta_error}
    for i, name in ((1, "rho"), (2, "phi")):
        parameters[name] = np.where(chosen, np.nan, getattr(ssvi, name))
        parameters[f"{name}_error"] = np.where(chosen, np.nan, np.sqrt(np.maximum(covariance[:, i, i], 0)))
    for name, i, j in (("theta_rho", 0, 1), ("theta_phi", 0, 2), ("rho_phi", 1, 2)):
        parameters[f"cov_{name}"] = np.where(chosen, np.nan, covariance[:, i, j])
    return SliceFits(svi, chi2_dof, chosen, parameters)


def parity_gap(state: Ints, strike: Floats, k: Floats, gap: Floats, spread: Floats, right: np.ndarray, n: int) -> tuple[Floats, Floats]:
    """
    Distance of the forward that put-call parity implies from the settlement, and its standard error; shape (n,) each.

    It is a median over strikes near the money, weighted by how tight both markets are; NaN without such a strike.

    Args:
        state: number of the state of each row of the chain.
        strike: of each row; as *k* (log-moneyness), *gap* (``parity_gap``), *spread* and *right* (``C`` or ``P``).
        n: number of states.
    """
    with np.errstate(invalid="ignore"):
        usable = np.isfinite(gap) & (np.abs(k) < NEAR_THE_MONEY)
    median, error = np.full(n, np.nan), np.full(n, np.nan)
    calls, puts = (np.flatnonzero(usable & (right == one)) for one in ("C", "P"))
    key = np.unique(np.stack([state, np.unique(strike, return_inverse=True)[1]]), axis=1, return_inverse=True)[1].reshape(-1)
    puts = puts[np.argsort(key[puts], kind="stable")]
    place = np.minimum(np.searchsorted(key[puts], key[calls]), max(len(puts) - 1, 0))
    both = key[puts][place] == key[calls] if len(puts) else np.zeros(len(calls), dtype=bool)
    calls, partners = calls[both], puts[place[both]] if len(puts) else puts
    if not len(calls):
        return median, error
    sd = (spread[calls] + spread[partners]) / 4  # half the half-spread of each
    order = np.lexsort((gap[calls], state[calls]))
    owner, value, weight = state[calls][order], gap[calls][order], 1 / sd[order] ** 2
    total = np.bincount(owner, weights=weight, minlength=n)
    # A row a state: in one sum over all states an absurd weight of one would take the digits of those after it.
    count = np.bincount(owner, minlength=n)
    place = np.arange(len(owner)) - (np.cumsum(count) - count)[owner]
    by_state = np.zeros((n, count.max()))
    by_state[owner, place] = weight
    running = np.cumsum(by_state, axis=1)[owner, place]
    half = np.flatnonzero(running >= total[owner] / 2 * (1 - 1e-12))
    owners, first = np.unique(owner[half], return_index=True)
    median[owners] = value[half[first]]
    error[owners] = MEDIAN_ERROR / np.sqrt(total[owners])
    return median, error
