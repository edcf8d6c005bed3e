"""
Total implied variance as a function of log-moneyness: raw SVI, its jump-wing form, and the surface form SSVI.

Source: Gatheral (2004) for raw SVI; Gatheral & Jacquier (2014), "Arbitrage-free SVI volatility surfaces", for the jump-wing and
surface forms, for the density factor g (their equation 2.1) and for the condition under which a slice is free of butterfly
arbitrage (their theorem 4.2).
"""

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hydra_assets.core.arrays import Floats

REACH = 60.0  # |ln(K/F)| to which a slice is looked at: wings of SVI are heavy
G_NODES = 401
SAFELY = 0.999  # of the largest phi and |rho| that theorem 4.2 allows

Chosen = slice | NDArray[np.intp] | NDArray[np.bool_]  # some of many slices


class Smile(Protocol):
    """Slices of total variance, however they are made: what densities and deltas are read from."""

    @property
    def size(self) -> int:
        """Number of slices."""

    @property
    def call_wing(self) -> Floats:
        """Slope of total variance far above the forward, shape (n,)."""

    def __getitem__(self, slices: Chosen) -> Self:
        """Some of the slices."""

    def total_variance(self, k: ArrayLike) -> Floats:
        """w at log-moneyness *k* of shape (n, m), or (m,) for all slices."""

    def derivatives(self, k: ArrayLike) -> tuple[Floats, Floats, Floats]:
        """w, dw/dk, d2w/dk2 at *k*; shapes (n, m)."""


@dataclass(frozen=True)
class RawSvi:
    """
    w(k) = a + b (rho (k - m) + sqrt((k - m)^2 + sigma^2)), one slice an element; arrays of shape (n,).

    >>> RawSvi.of(a=0.04, b=0.0, rho=0.0, m=0.0, sigma=0.1).total_variance([[0.0, 0.3]]).tolist()
    [[0.04, 0.04]]
    """

    a: Floats
    b: Floats
    rho: Floats
    m: Floats
    sigma: Floats

    @classmethod
    def of(cls, *, a: ArrayLike, b: ArrayLike, rho: ArrayLike, m: ArrayLike, sigma: ArrayLike) -> "RawSvi":
        """Build it from numbers or arrays that broadcast."""
        parts = np.broadcast_arrays(*(np.atleast_1d(np.asarray(part, dtype=float)) for part in (a, b, rho, m, sigma)))
        return cls(*(np.array(part) for part in parts))

    @classmethod
    def of_ssvi(cls, *, theta: ArrayLike, rho: ArrayLike, phi: ArrayLike) -> "RawSvi":
        """Build it from w(k) = theta/2 (1 + rho phi k + sqrt((phi k + rho)^2 + 1 - rho^2)); theta is the variance at the money."""
        th, r, ph = (np.atleast_1d(np.asarray(part, dtype=float)) for part in (theta, rho, phi))
        root = np.sqrt(1 - r * r)
        return cls.of(a=th / 2 * (1 - r * r), b=th * ph / 2, rho=r, m=-r / ph, sigma=root / ph)

    def __getitem__(self, slices: Chosen) -> "RawSvi":
        """Some of the slices."""
        return RawSvi(self.a[slices], self.b[slices], self.rho[slices], self.m[slices], self.sigma[slices])

    def total_variance(self, k: ArrayLike) -> Floats:
        """w at log-moneyness *k* of shape (n, m), or (m,) for all slices."""
        y = np.asarray(k, dtype=float) - self.m[:, None]
        return np.asarray(self.a[:, None] + self.b[:, None] * (self.rho[:, None] * y + np.sqrt(y * y + (self.sigma * self.sigma)[:, None])))

    def derivatives(self, k: ArrayLike) -> tuple[Floats, Floats, Floats]:
        """w, dw/dk, d2w/dk2 at *k*; shapes (n, m)."""
        a, b, rho, m, sigma = (part[:, None] for part in (self.a, self.b, self.rho, self.m, self.sigma))
        y = np.asarray(k, dtype=float) - m
        root = np.sqrt(y * y + sigma * sigma)
        return a + b * (rho * y + root), b * (rho + y / root), b * sigma * sigma / (root * root * root)

    def by_parameters(self, k: ArrayLike) -> Floats:
        """dw/d(a, b, rho, m, sigma) at *k*; shape (n, m, 5)."""
        b, rho, m, sigma = (part[:, None] for part in (self.b, self.rho, self.m, self.sigma))
        y = np.asarray(k, dtype=float) - m
        root = np.sqrt(y * y + sigma * sigma)
        return np.stack([np.ones_like(y), rho * y + root, b * y, -b * (rho + y / root), b * sigma / root], axis=-1)

    def g(self, k: ArrayLike) -> Floats:
        """
        The density factor: where it is negative, a butterfly costs less than nothing.

        Not the sign of d2w/dk2, which is never negative for SVI and so detects nothing.
        """
        x = np.asarray(k, dtype=float)
        return density_factor(x, *self.derivatives(x))

    @property
    def size(self) -> int:
        """Number of slices."""
        return len(self.a)

    @property
    def call_wing(self) -> Floats:
        """Slope of total variance far above the forward, shape (n,)."""
        return np.asarray(self.b * (1 + self.rho))

    def g_min(self) -> Floats:
        """
        The smallest `g` over the whole line, shape (slices,); below 0 where there is a butterfly.

        Looked for on two grids that reach |k| = 60, dense at the money and at the vertex, and then closer around the smallest.
        """
        sd = np.sqrt(np.maximum(self.total_variance(np.zeros((len(self.a), 1)))[:, 0], 1e-12))
        u = np.linspace(-1, 1, G_NODES)
        nodes = [
            middle[:, None] + scale[:, None] * np.sinh(np.arcsinh(REACH / scale)[:, None] * u)
            for middle, scale in ((np.zeros_like(sd), 2 * sd), (self.m, np.maximum(self.sigma, 1e-12)))
        ]
        k = np.sort(np.concatenate(nodes, axis=1), axis=1)
        row = np.arange(len(k))
        for _ in range(3):
            g = self.g(k)
            least = np.argmin(np.where(np.isnan(g), np.inf, g), axis=1)
            low, high = k[row, np.maximum(least - 1, 0)], k[row, np.minimum(least + 1, k.shape[1] - 1)]
            k = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, 41)
        return np.asarray(g[row, least])


def density_factor(k: Floats, w: Floats, first: Floats, second: Floats) -> Floats:
    """g of Gatheral & Jacquier, of total variance and its two derivatives at log-moneyness *k*."""
    return np.asarray((1 - k * first / (2 * w)) ** 2 - first * first / 4 * (1 / w + 0.25) + second / 2)


def largest_phi(theta: Floats, rho: Floats) -> Floats:
    """The largest phi for which an SSVI slice is free of butterfly arbitrage by theorem 4.2, less a little."""
    wide = theta * (1 + np.abs(rho))
    return np.asarray(SAFELY * np.minimum(4 / wide, 2 / np.sqrt(wide)))


def raw_by_ssvi(*, theta: Floats, rho: Floats, phi: Floats) -> Floats:
    """d(a, b, rho, m, sigma)/d(theta, rho, phi) of `RawSvi.of_ssvi`; shape (n, 5, 3)."""
    root = np.sqrt(1 - rho * rho)
    none, one = np.zeros_like(theta), np.ones_like(theta)
    rows = [
        [(1 - rho * rho) / 2, -theta * rho, none],
        [phi / 2, none, theta / 2],
        [none, one, none],
        [none, -1 / phi, rho / phi**2],
        [none, -rho / (root * phi), -root / phi**2],
    ]
    return np.moveaxis(np.array(rows), 2, 0)
