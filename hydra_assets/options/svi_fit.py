"""
Fits of raw SVI's five parameters to slices with many quotes, kept where they are clearly better than SSVI.

For a vertex (m, sigma) the rest is linear in three numbers, of which the level drops out and the other two live in a diamond (no
wing steeper than 2, no negative curvature): the best of each vertex is exact, and only the vertex is searched, on a grid that
closes in. A slice keeps its SSVI fit unless five parameters win by the corrected information criterion and have no butterfly.

Source: De Marco & Martini (2009) for the quasi-explicit form; Hurvich & Tsai (1989) for the criterion.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hydra_assets.core.arrays import Floats
from hydra_assets.options.smile import SmileFit, fit_smiles
from hydra_assets.options.svi import SAFELY, RawSvi

LEAST_QUOTES = 15
NODES = 9  # of the grid along each of m and ln sigma
ROUNDS = 12
CHUNK = 64  # slices at once, for the memory of their grids
_NARROW, _WIDE = 0.05, 4.0  # sigma, in widths of the quotes: a sharper vertex would bend between two strikes


@dataclass(frozen=True)
class SviFit:
    """
    Fitted slices, arrays of shape (n,); to be read like a `SmileFit`.

    Attributes:
        svi: the chosen slices, in raw form.
        raw_covariance: covariance of their parameters, shape (n, 5, 5).
        chi2_dof: weighted squared misses per degree of freedom; NaN where there is none.
        quotes: number of quotes with a weight.
        five: whether five parameters were chosen.
        ssvi: the fit of all slices with three.
    """

    svi: RawSvi
    raw_covariance: Floats
    chi2_dof: Floats
    quotes: NDArray[np.int64]
    five: NDArray[np.bool_]
    ssvi: SmileFit


def fit_svi(log_moneyness: Floats, *, total_variance: Floats, standard_error: Floats) -> SviFit:
    """
    Fit each row of quotes with SSVI, and those with 15 quotes and more with five parameters too.

    Arguments and errors are those of `fit_smiles`.

    Returns:
        Per slice the five parameters where their AICc is the smaller and g >= 0 on the whole line, else the SSVI slice.
    """
    ssvi = fit_smiles(log_moneyness, total_variance=total_variance, standard_error=standard_error)
    k, w, se = (np.atleast_2d(np.asarray(part, dtype=float)) for part in (log_moneyness, total_variance, standard_error))
    quoted = np.isfinite(se) & np.isfinite(k) & np.isfinite(w)
    k, w, weight = np.where(quoted, k, np.nan), np.where(quoted, w, 1.0), np.where(quoted, 1 / np.where(quoted, se, 1.0), 0.0)
    n, five = ssvi.quotes, np.zeros(len(k), dtype=bool)
    raw, covariance, chi2_dof = ssvi.svi, ssvi.raw_covariance, ssvi.chi2_dof.copy()
    rich = np.flatnonzero(n >= LEAST_QUOTES)
    for first in range(0, len(rich), CHUNK):
        at = rich[first : first + CHUNK]
        low, high = np.nanmin(k[at], axis=1), np.nanmax(k[at], axis=1)
        near = np.where(quoted[at], k[at], 0.0)
        found = _search(near, w[at], weight[at], low, high)
        chi2 = (((found.total_variance(near) - w[at]) * weight[at]) ** 2).sum(axis=1)
        wins = _aicc(chi2, 5, n[at]) < _aicc(ssvi.chi2_dof[at] * (n[at] - 3), 3, n[at])
        lowest = found.a + found.b * found.sigma * np.sqrt(1 - found.rho**2)
        wins[wins] = (lowest[wins] > 0) & (found[wins].g_min() >= 0)
        chosen = at[wins]
        five[chosen] = True
        for name in ("a", "b", "rho", "m", "sigma"):
            getattr(raw, name)[chosen] = getattr(found, name)[wins]
        by = found[wins].by_parameters(near[wins]) * weight[chosen][:, :, None]
        covariance[chosen] = np.linalg.pinv(np.swapaxes(by, 1, 2) @ by, hermitian=True)
        chi2_dof[chosen] = chi2[wins] / (n[chosen] - 5)
    return SviFit(raw, covariance, chi2_dof, n, five, ssvi)


def _aicc(chi2: Floats, parameters: int, n: NDArray[np.int64]) -> Floats:
    """The corrected information criterion where the standard errors are known."""
    return np.asarray(chi2 + 2 * parameters + 2 * parameters * (parameters + 1) / (n - parameters - 1))


def _search(k: Floats, w: Floats, weight: Floats, low: Floats, high: Floats) -> RawSvi:
    """The best slice of each row, its vertex within half a width of the quotes, on a grid that closes in."""
    row, width = np.arange(len(k)), np.maximum(high - low, 1e-6)
    m, log_sigma = (low + high) / 2, np.log(width) + 0.5 * np.log(_NARROW * _WIDE)
    m_reach, log_reach = width, np.full(len(k), 0.5 * np.log(_WIDE / _NARROW))
    least, most = np.log(width * _NARROW), np.log(width * _WIDE)
    across, along = (part.ravel() for part in np.meshgrid(*[np.linspace(-1, 1, NODES)] * 2))
    for _ in range(ROUNDS):
        ms = m[:, None] + m_reach[:, None] * across
        sigmas = np.exp(np.clip(log_sigma[:, None] + log_reach[:, None] * along, least[:, None], most[:, None]))
        found, cost = _best_of(ms, sigmas, k, w, weight)
        best = np.argmin(cost, axis=1)
        m, log_sigma = ms[row, best], np.log(sigmas[row, best])
        # Two cells to each side: a diagonal valley stays inside.
        m_reach, log_reach = m_reach * 4 / (NODES - 1), log_reach * 4 / (NODES - 1)
    return RawSvi(*(part[row, best] for part in found))


def _best_of(m: Floats, sigma: Floats, k: Floats, w: Floats, weight: Floats) -> tuple[tuple[Floats, ...], Floats]:
    """Parameters a, b, rho, m, sigma of the best slice at each vertex, shape (slices, vertices), and its weighted squares."""
    square = (weight**2)[:, None, :]
    share = square / square.sum(axis=-1, keepdims=True)
    y = (k[:, None, :] - m[:, :, None]) / sigma[:, :, None]
    z = np.sqrt(y * y + 1)
    y_mean, z_mean, w_mean = ((share * part).sum(axis=-1) for part in (y, z, w[:, None, :]))
    y, z, v = y - y_mean[..., None], z - z_mean[..., None], w[:, None, :] - w_mean[..., None]
    yy, yz, zz, yv, zv = ((square * one * other).sum(axis=-1) for one, other in ((y, y), (y, z), (z, z), (y, v), (z, v)))
    vv = (square * v * v).sum(axis=-1)

    def cost(c: Floats, d: Floats) -> Floats:
        return np.asarray(vv - 2 * (c * zv + d * yv) + c * c * zz + 2 * c * d * yz + d * d * yy)

    with np.errstate(divide="ignore", invalid="ignore"):
        det = yy * zz - yz * yz
        c, d = (zv * yy - yv * yz) / det, (yv * zz - zv * yz) / det
        inside = np.abs(d) <= SAFELY * np.minimum(c, 2 * sigma - c)
        least = np.where(inside, cost(c, d), np.inf)
        # Else it lies on the edge of the diamond, on one of four straight lines.
        corners = [(0.0, 0.0), (1.0, SAFELY), (2.0, 0.0), (1.0, -SAFELY)]
        for (c0, d0), (c1, d1) in zip(corners, corners[1:] + corners[:1], strict=True):
            start_c, start_d, by_c, by_d = c0 * sigma, d0 * sigma, (c1 - c0) * sigma, (d1 - d0) * sigma
            uphill = by_c * (zv - start_c * zz - start_d * yz) + by_d * (yv - start_c * yz - start_d * yy)
            t = np.clip(uphill / (by_c * by_c * zz + 2 * by_c * by_d * yz + by_d * by_d * yy), 0.0, 1.0)
            edge_c, edge_d = start_c + t * by_c, start_d + t * by_d
            its = cost(edge_c, edge_d)
            better = ~inside & (its < least)
            c, d, least = np.where(better, edge_c, c), np.where(better, edge_d, d), np.where(better, its, least)
        rho = np.where(c > 0, d / np.where(c > 0, c, 1.0), 0.0)
    return (w_mean - d * y_mean - c * z_mean, c / sigma, rho, m, sigma), least
