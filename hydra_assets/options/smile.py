"""
A smile fitted to few quotes: SSVI slices, free of butterfly arbitrage by construction, weighted least squares, many slices at once.

Three parameters a slice, searched in coordinates in which every point is arbitrage-free: ln theta, artanh rho, and the logit of phi
as a share of the largest that is allowed. A weak prior keeps what the quotes do not determine (the wings of five strikes) near the
middle; each slice stands alone, so that its fit does not depend on what else was fitted.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hydra_assets.core.arrays import Floats
from hydra_assets.errors import InvalidValueError
from hydra_assets.options.svi import SAFELY, RawSvi, largest_phi, raw_by_ssvi

MAX_STEPS = 30
PRIOR_SD = np.array([5.0, 1.0, 1.5])  # of ln theta, artanh rho and the logit of phi, around the start
STARTS = (-0.4, 0.4)  # of artanh rho: one valley each
_SETTLED = 1e-9  # of the cost, relative
_LANES = 8  # sums run in so many lanes: rows of a multiple of it are summed in one order, however many zeros are behind


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

    @property
    def raw_covariance(self) -> Floats:
        """Covariance of (a, b, rho, m, sigma) of `svi`, shape (n, 5, 5), of rank 3: input of `surface.standard_errors`."""
        by = raw_by_ssvi(theta=self.theta, rho=self.rho, phi=self.phi)
        return np.asarray(by @ self.covariance @ np.swapaxes(by, 1, 2))


def fit_smiles(log_moneyness: Floats, *, total_variance: Floats, standard_error: Floats) -> SmileFit:
    """
    Fit one SSVI slice to each row of quotes.

    Args:
        log_moneyness: ln(K/F), shape (slices, quotes).
        total_variance: squared volatility times years, shape (slices, quotes).
        standard_error: of the total variance, > 0; NaN or infinite where there is no quote (rows are padded to one length). A
            market's half-spread is about two of them: with one whole half-spread the intervals come out too wide.

    Returns:
        The fits, one a slice; NaN throughout for a slice without a quote.

    Raises:
        InvalidValueError: shapes differ, or a standard error is not positive.
    """
    k, w, se = (np.atleast_2d(np.asarray(part, dtype=float)) for part in (log_moneyness, total_variance, standard_error))
    if not k.shape == w.shape == se.shape:
        raise InvalidValueError(f"log_moneyness {k.shape}, total_variance {w.shape} and standard_error {se.shape} differ in shape")
    room = -k.shape[1] % _LANES
    k, w, se = (np.pad(part, ((0, 0), (0, room)), constant_values=np.nan) for part in (k, w, se))
    quoted = np.isfinite(se) & np.isfinite(k) & np.isfinite(w)
    if (se[quoted] <= 0).any():
        raise InvalidValueError("a standard error is not positive; leave a quote out with NaN")
    weight = np.where(quoted, 1 / np.where(quoted, se, 1.0), 0.0)
    k, w = np.where(quoted, k, 0.0), np.where(quoted, w, 1.0)
    n = quoted.sum(axis=1)
    nearest = np.argmin(np.where(quoted, np.abs(k), np.inf), axis=1)
    level = np.log(np.maximum(w[np.arange(len(k)), nearest], 1e-10))
    quotes = _Quotes(k, w, weight, np.stack([level, np.zeros(len(k)), np.full(len(k), -1.0)]))
    # All starts go down side by side, as slices of one batch.
    copies = np.tile(np.arange(len(k)), len(STARTS))
    starts = np.repeat(np.array(STARTS), len(k))
    z, cost = _descend(quotes.of(copies), quotes.centre[:, copies] + np.array([0.0, 1.0, 0.0])[:, None] * starts)
    best = np.argmin(cost.reshape(len(STARTS), len(k)), axis=0)
    z = z[:, best * len(k) + np.arange(len(k))]
    last = _misses(quotes, z)
    theta, rho, phi = _slice(z)
    jacobian = np.moveaxis(_parameters_by_z(z), 2, 0)
    covariance = jacobian @ np.linalg.pinv(last.information, hermitian=True) @ np.swapaxes(jacobian, 1, 2)
    empty = n == 0
    return SmileFit(
        theta=np.where(empty, np.nan, theta),
        rho=np.where(empty, np.nan, rho),
        phi=np.where(empty, np.nan, phi),
        covariance=np.where(empty[:, None, None], np.nan, covariance),
        chi2_dof=np.where(n > 3, last.chi2 / np.maximum(n - 3, 1), np.nan),
        quotes=n.astype(np.int64),
    )


@dataclass(frozen=True)
class _Quotes:
    """Padded quotes of shape (slices, quotes), and the middle of the prior, shape (3, slices)."""

    k: Floats
    w: Floats
    weight: Floats
    centre: Floats

    def of(self, slices: NDArray[np.intp]) -> "_Quotes":
        return _Quotes(self.k[slices], self.w[slices], self.weight[slices], self.centre[:, slices])


@dataclass(frozen=True)
class _Misses:
    """Terms of the fit at one z: the squared misses of the quotes, those with the prior, half the cost's slope, the information matrix."""

    chi2: Floats
    cost: Floats
    slope: Floats
    information: Floats


def _slice(z: Floats) -> tuple[Floats, Floats, Floats]:
    theta, rho = np.exp(z[0]), SAFELY * np.tanh(z[1])
    return theta, rho, largest_phi(theta, rho) / (1 + np.exp(-z[2]))


def _parameters_by_z(z: Floats) -> Floats:
    """d(theta, rho, phi)/dz, shape (3, 3, n)."""
    theta, rho, phi = _slice(z)
    wide = theta * (1 + np.abs(rho))
    power = np.where(4 / wide < 2 / np.sqrt(wide), 1.0, 0.5)  # which of the two bounds of theorem 4.2 binds
    rho_by_z = SAFELY * (1 - np.tanh(z[1]) ** 2)
    none = np.zeros_like(theta)
    along = -power * phi
    return np.array(
        [
            [theta, none, none],
            [none, rho_by_z, none],
            [along, along * np.sign(rho) / (1 + np.abs(rho)) * rho_by_z, phi / (1 + np.exp(z[2]))],
        ]
    )


def _misses(quotes: _Quotes, z: Floats) -> _Misses:
    """
    Sums run along the quotes of one slice alone, so that its fit is the same to the last bit whatever was fitted beside it.
    """
    theta, rho, phi = (part[:, None] for part in _slice(z))
    by = _parameters_by_z(z)
    k = quotes.k
    skewed = rho * (x := phi * k)
    root = np.sqrt(x * x + 2 * skewed + 1)
    share = 0.5 * (1 + skewed + root)
    by_phi = theta / 2 * k * (rho + (x + rho) / root)
    jacobian = np.empty((3, *k.shape))
    jacobian[0] = theta * share + by[2, 0][:, None] * by_phi
    jacobian[1] = (by[1, 1][:, None] * theta / 2) * x * (1 + 1 / root) + by[2, 1][:, None] * by_phi
    jacobian[2] = by[2, 2][:, None] * by_phi
    jacobian *= quotes.weight
    miss = (theta * share - quotes.w) * quotes.weight
    chi2 = (miss * miss).sum(axis=-1)
    off = (z - quotes.centre) / PRIOR_SD[:, None]
    information = np.moveaxis((jacobian[:, None] * jacobian).sum(axis=-1), 2, 0) + np.diag(PRIOR_SD**-2)
    return _Misses(chi2, chi2 + (off * off).sum(axis=0), (jacobian * miss).sum(axis=-1) + off / PRIOR_SD[:, None], information)


def _descend(quotes: _Quotes, start: Floats) -> tuple[Floats, Floats]:
    """
    Levenberg-Marquardt on all slices at once, each until it has settled: z, shape (3, slices), and its cost.

    Where the misses are not small, what Gauss-Newton leaves out of the curvature makes it overshoot by the same share every time,
    and crawl to and fro; so each step is scaled by how much more the slope turned along the last one than was foreseen.
    """
    z, cost = start.copy(), np.empty(start.shape[1])
    left = np.arange(start.shape[1])
    at = _misses(quotes, z)
    cost[:] = at.cost
    slope, information = at.slope, at.information
    damping, turned = np.full(len(left), 1e-2), np.ones(len(left))
    for _ in range(MAX_STEPS):
        damped = information.copy()
        for i in range(3):
            damped[:, i, i] *= 1 + damping
        step = np.clip(-np.linalg.solve(damped, slope.T[:, :, None])[:, :, 0].T / turned, -1.5, 1.5)
        tried = z[:, left] + step
        at = _misses(quotes, tried)
        better = at.cost < cost[left]
        settled = np.abs(cost[left] - at.cost) <= _SETTLED * cost[left]
        foreseen = (step * (damped @ step.T[:, :, None])[:, :, 0].T).sum(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            share = (step * (at.slope - slope)).sum(axis=0) / foreseen
        turned = np.where(better & np.isfinite(share), np.clip(share, 1.0, 3.0), 1.0)
        z[:, left[better]], cost[left[better]] = tried[:, better], at.cost[better]
        slope = np.where(better, at.slope, slope)
        information = np.where(better[:, None, None], at.information, information)
        damping = np.where(better, damping * 0.2, damping * 6)
        going = ~settled & (damping < 1e9)
        if not going.any():
            break
        if not going.all():
            left, damping, turned, slope, information = left[going], damping[going], turned[going], slope[:, going], information[going]
            quotes = quotes.of(np.flatnonzero(going))
    return z, cost
