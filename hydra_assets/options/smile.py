"""
A smile fitted to few quotes: SSVI slices, free of butterfly arbitrage by construction, weighted least squares, many slices at once.

Three parameters a slice, searched in coordinates in which every point is arbitrage-free: ln theta, artanh rho, and the logit of phi
as a share of the largest that is allowed. A weak prior keeps what the quotes do not determine (the wings of five strikes) near the
middle; each slice stands alone, so that its fit does not depend on what else was fitted.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hydra_assets.errors import InvalidValueError
from hydra_assets.options.black76 import Floats
from hydra_assets.options.svi import SAFELY, RawSvi, largest_phi

MAX_STEPS = 30
PRIOR_SD = np.array([5.0, 1.0, 1.5])  # of ln theta, artanh rho and the logit of phi, around the start
STARTS = (-0.4, 0.4)  # of artanh rho: one valley each
_DIAGONAL = 1e-12


@dataclass(frozen=True)
class SmileFit:
    """
    Fitted slices, arrays of shape (n,).

    Attributes:
        theta: total variance at the money. rho, phi: skew and curvature of the slice.
        covariance: of (theta, rho, phi), shape (n, 3, 3); scaled by nothing: weights are taken as one over standard errors.
        chi2_dof: weighted squared misses per degree of freedom; NaN with three quotes or fewer.
        quotes: how many had a weight.
    """

    theta: Floats
    rho: Floats
    phi: Floats
    covariance: Floats
    chi2_dof: Floats
    quotes: NDArray[np.int64]

    @property
    def svi(self) -> RawSvi:
        """The slices in raw form."""
        return RawSvi.of_ssvi(theta=self.theta, rho=self.rho, phi=self.phi)


def fit_smiles(log_moneyness: Floats, *, total_variance: Floats, standard_error: Floats) -> SmileFit:
    """
    Fit one SSVI slice to each row of quotes.

    Args:
        log_moneyness, total_variance: shape (slices, quotes). standard_error: of the total variance, > 0; NaN or infinite where
            there is no quote (rows are padded to one length).
    Returns:
        NaN throughout for a slice without a quote.
    Raises:
        InvalidValueError: shapes differ, or a standard error is not positive.
    """
    k, w, se = (np.atleast_2d(np.asarray(part, dtype=float)) for part in (log_moneyness, total_variance, standard_error))
    if not k.shape == w.shape == se.shape:
        raise InvalidValueError(f"log_moneyness {k.shape}, total_variance {w.shape} and standard_error {se.shape} differ in shape")
    quoted = np.isfinite(se) & np.isfinite(k) & np.isfinite(w)
    if (se[quoted] <= 0).any():
        raise InvalidValueError("a standard error is not positive; leave a quote out with NaN")
    weight = np.where(quoted, 1 / np.where(quoted, se, 1.0), 0.0)
    k, w = np.where(quoted, k, 0.0), np.where(quoted, w, 1.0)
    n = quoted.sum(axis=1)
    nearest = np.argmin(np.where(quoted, np.abs(k), np.inf), axis=1)
    level = np.log(np.maximum(w[np.arange(len(k)), nearest], 1e-10))
    centre = np.stack([level, np.zeros(len(k)), np.full(len(k), -1.0)], axis=1)
    best: tuple[Floats, Floats, Floats] | None = None
    for start in STARTS:
        found = _descend(k, w, weight, centre, centre + np.array([0.0, start, 0.0]))
        if best is None:
            best = found
        else:
            better = found[1] < best[1]
            best = tuple(np.where(better.reshape(-1, *(1,) * (new.ndim - 1)), new, old) for new, old in zip(found, best, strict=True))  # type: ignore[assignment]
    assert best is not None  # noqa: S101  there are two starts
    z, _, information = best
    theta, rho, phi = _slice(z)
    misses = ((RawSvi.of_ssvi(theta=theta, rho=rho, phi=phi).total_variance(k) - w) * weight) ** 2
    jacobian = _parameters_by_z(z)
    covariance = jacobian @ np.linalg.pinv(information) @ np.swapaxes(jacobian, 1, 2)
    empty = n == 0
    return SmileFit(
        theta=np.where(empty, np.nan, theta),
        rho=np.where(empty, np.nan, rho),
        phi=np.where(empty, np.nan, phi),
        covariance=np.where(empty[:, None, None], np.nan, covariance),
        chi2_dof=np.where(n > 3, misses.sum(axis=1) / np.maximum(n - 3, 1), np.nan),
        quotes=n.astype(np.int64),
    )


def _slice(z: Floats) -> tuple[Floats, Floats, Floats]:
    theta, rho = np.exp(z[:, 0]), SAFELY * np.tanh(z[:, 1])
    return theta, rho, largest_phi(theta, rho) / (1 + np.exp(-z[:, 2]))


def _parameters_by_z(z: Floats) -> Floats:
    """d(theta, rho, phi)/dz, shape (n, 3, 3)."""
    theta, rho, phi = _slice(z)
    share = 1 / (1 + np.exp(-z[:, 2]))
    wide = theta * (1 + np.abs(rho))
    power = np.where(4 / wide < 2 / np.sqrt(wide), 1.0, 0.5)  # which of the two bounds of theorem 4.2 binds
    rho_by_z = SAFELY * (1 - np.tanh(z[:, 1]) ** 2)
    by = np.zeros((len(z), 3, 3))
    by[:, 0, 0], by[:, 1, 1] = theta, rho_by_z
    by[:, 2, 0] = -power * phi
    by[:, 2, 1] = -power * phi * np.sign(rho) / (1 + np.abs(rho)) * rho_by_z
    by[:, 2, 2] = phi * (1 - share)
    return by


def _misses(k: Floats, w: Floats, weight: Floats, centre: Floats, z: Floats) -> tuple[Floats, Floats]:
    """Weighted residuals with the prior's behind them, and their Jacobian in z."""
    theta, rho, phi = (part[:, None] for part in _slice(z))
    root = np.sqrt((phi * k) ** 2 + 2 * rho * phi * k + 1)
    model = theta / 2 * (1 + rho * phi * k + root)
    by = np.stack([model / theta, theta / 2 * phi * k * (1 + 1 / root), theta / 2 * (rho * k + (phi * k * k + rho * k) / root)], axis=-1)
    by_z = (by @ _parameters_by_z(z)) * weight[:, :, None]
    prior = np.broadcast_to(np.diag(1 / PRIOR_SD), (len(z), 3, 3))
    return (
        np.concatenate([(model - w) * weight, (z - centre) / PRIOR_SD], axis=1),
        np.concatenate([by_z, prior], axis=1),
    )


def _descend(k: Floats, w: Floats, weight: Floats, centre: Floats, z: Floats) -> tuple[Floats, Floats, Floats]:
    """Levenberg-Marquardt on all slices at once: z, the cost, and the information matrix of each."""
    damping = np.full(len(z), 1e-2)
    miss, by = _misses(k, w, weight, centre, z)
    cost = (miss**2).sum(axis=1)
    for _ in range(MAX_STEPS):
        information = np.swapaxes(by, 1, 2) @ by
        slope = (np.swapaxes(by, 1, 2) @ miss[:, :, None])[:, :, 0]
        diagonal = np.maximum(np.einsum("sii->si", information), _DIAGONAL)
        step = -np.linalg.solve(information + (damping[:, None] * diagonal)[:, :, None] * np.eye(3), slope[:, :, None])[:, :, 0]
        tried = z + np.clip(step, -1.5, 1.5)
        new_miss, new_by = _misses(k, w, weight, centre, tried)
        new_cost = (new_miss**2).sum(axis=1)
        better = new_cost < cost
        settled = np.abs(cost - new_cost) <= 1e-12 * (cost + 1e-300)
        z = np.where(better[:, None], tried, z)
        miss, by = np.where(better[:, None], new_miss, miss), np.where(better[:, None, None], new_by, by)
        cost, damping = np.where(better, new_cost, cost), np.where(better, damping * 0.2, damping * 6)
        if (settled | (damping > 1e9)).all():
            break
    return z, cost, np.swapaxes(by, 1, 2) @ by
