"""Readings of smiles: volatility at the money and at a delta, risk reversal and butterfly, constant maturities between slices."""

import numbers
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hydra_assets.core.arrays import Floats
from hydra_assets.errors import InvalidValueError
from hydra_assets.lazy import lazy
from hydra_assets.options.right import right_sign
from hydra_assets.options.svi import Chosen, RawSvi, Smile

special = lazy("scipy.special")

MOST_STEPS = 60
NEAR_DAYS = 15.0
_SETTLED = 1e-13


@dataclass(frozen=True)
class Between:
    """
    Smiles between two slices each, linear in total variance at equal log-moneyness.

    Attributes:
        near: n nearer slices.
        far: n farther slices.
        weight: weight of the farther slice, in [0, 1], shape (n,).
    """

    near: RawSvi
    far: RawSvi
    weight: Floats

    @property
    def size(self) -> int:
        """Number of smiles."""
        return self.near.size

    @property
    def call_wing(self) -> Floats:
        """Slope of total variance far above the forward, shape (n,)."""
        return np.asarray((1 - self.weight) * self.near.call_wing + self.weight * self.far.call_wing)

    def __getitem__(self, slices: Chosen) -> "Between":
        """Some of the smiles."""
        return Between(self.near[slices], self.far[slices], self.weight[slices])

    def total_variance(self, k: ArrayLike) -> Floats:
        """w at log-moneyness *k* of shape (n, m), or (m,) for all smiles."""
        return self.derivatives(k)[0]

    def derivatives(self, k: ArrayLike) -> tuple[Floats, Floats, Floats]:
        """w, dw/dk, d2w/dk2 at *k*; shapes (n, m)."""
        a, b = self.near.derivatives(k), self.far.derivatives(k)
        share = self.weight[:, None]
        w, first, second = ((1 - share) * x + share * y for x, y in zip(a, b, strict=True))
        return w, first, second


def atm_vol(smile: Smile, *, tau: ArrayLike) -> Floats:
    """Volatility at the forward, decimals a year, shape (slices,)."""
    return np.asarray(np.sqrt(smile.total_variance(np.zeros((smile.size, 1)))[:, 0] / np.asarray(tau, dtype=float)))


def strike_of_delta(smile: Smile, *, delta: float, right: int | str) -> Floats:
    """
    Log-moneyness at which an option of *right* has the absolute undiscounted forward delta *delta* on its own smile.

    Args:
        delta: in (0, 0.5].
        right: +1 or ``C`` call, -1 or ``P`` put; one for all slices.

    Raises:
        InvalidValueError: another right, or a delta outside (0, 0.5].

    Returns:
        Shape (slices,); found by Newton's steps within a bracket. -d1 grows with log-moneyness on every slice without butterflies; one that
        has them may hold several such strikes.
    """
    signs = right_sign(right)
    if signs.size != 1 or np.isnan(signs).any():
        raise InvalidValueError(f"right {right!r} must be one of +1, -1, C and P")
    if not isinstance(delta, numbers.Real) or not 0 < delta <= 0.5:
        raise InvalidValueError(f"delta {delta!r} must be a number above 0 and up to 0.5, of a put too")
    right = int(signs.item())
    target = -right * special.ndtri(delta)  # what k / sqrt(w) - sqrt(w) / 2 is to be, up to the right's sign
    sd = np.sqrt(smile.total_variance(np.zeros((smile.size, 1)))[:, 0])
    low, high = np.minimum(-right * sd, right * (8 * sd + 1)), np.maximum(-right * sd, right * (8 * sd + 1))
    k = np.clip(target * sd, low, high)
    going = np.isfinite(sd)
    for _ in range(MOST_STEPS):
        w, slope, _ = (part[:, 0] for part in smile.derivatives(k[:, None]))
        s = np.sqrt(w)
        miss = k / s - s / 2 - target
        low, high = np.where(miss < 0, k, low), np.where(miss > 0, k, high)
        newton = k - miss / (1 / s - slope / (2 * w) * (k / s + s / 2))
        # Where a step would leave the bracket, halve it instead.
        new = np.where((newton >= low) & (newton <= high), newton, 0.5 * (low + high))
        going &= np.abs(new - k) > _SETTLED * sd
        if not going.any():
            break
        k = np.where(going, new, k)
    return np.asarray(k)


def risk_reversal_and_butterfly(smile: Smile, *, tau: ArrayLike, delta: float = 0.25) -> tuple[Floats, Floats]:
    """Call minus put volatility at *delta*; and their mean minus the volatility at the money. Decimals a year, shape (slices,)."""
    years = np.asarray(tau, dtype=float)
    call, put = (
        np.sqrt(smile.total_variance(strike_of_delta(smile, delta=delta, right=right)[:, None])[:, 0] / years) for right in (1, -1)
    )
    return np.asarray(call - put), np.asarray((call + put) / 2 - atm_vol(smile, tau=years))


@dataclass(frozen=True)
class StandardErrors:
    """Standard errors of `atm_vol` and `risk_reversal_and_butterfly`; decimals a year, shape (slices,)."""

    atm_vol: Floats
    risk_reversal: Floats
    butterfly: Floats


def standard_errors(smile: RawSvi, *, covariance: Floats, tau: ArrayLike, delta: float = 0.25) -> StandardErrors:
    """
    Standard errors of the numbers read off the fit, by the delta method.

    Args:
        covariance: of (a, b, rho, m, sigma), shape (slices, 5, 5): a fit's ``raw_covariance``.
        tau: as `risk_reversal_and_butterfly`.
        delta: as `risk_reversal_and_butterfly`. The move of a delta's strike with the smile is counted.
    """
    years = np.asarray(tau, dtype=float)

    def vol_by_parameters(k: Floats, moves: bool) -> Floats:
        w, slope, _ = (part[:, 0] for part in smile.derivatives(k[:, None]))
        # On a strike of constant delta k / sqrt(w) - sqrt(w) / 2 stays what it is, so that dk/dw is that of the smile's own level.
        along = 1 / (1 - slope * (k / w + 0.5) / 2) if moves else 1.0
        return np.asarray(smile.by_parameters(k[:, None])[:, 0, :] * (along / (2 * np.sqrt(w * years)))[:, None])

    def error(gradient: Floats) -> Floats:
        return np.asarray(np.sqrt(np.einsum("ni,nij,nj->n", gradient, covariance, gradient)))

    call, put = (vol_by_parameters(strike_of_delta(smile, delta=delta, right=right), True) for right in (1, -1))
    atm = vol_by_parameters(np.zeros_like(smile.a), False)
    return StandardErrors(error(atm), error(call - put), error((call + put) / 2 - atm))


def bracket(tau: Floats, horizon: float) -> tuple[int, int, float, bool]:
    """
    The two slices around a constant maturity.

    Args:
        tau: years to expiry of the slices, ascending.
        horizon: years.

    Returns:
        Positions of the nearer and the farther slice, the weight of the farther in total variance, and whether they bracket.
        Without a bracket the nearest within 15 days stands alone (weight 0, both positions its own); -1, -1 where none is: never
        extrapolated.
    """
    after = int(np.searchsorted(tau, horizon))
    if after < len(tau) and tau[after] == horizon:
        return after, after, 0.0, True
    if 0 < after < len(tau):
        return after - 1, after, float((horizon - tau[after - 1]) / (tau[after] - tau[after - 1])), True
    if not len(tau):
        return -1, -1, 0.0, False
    nearest = int(np.argmin(np.abs(tau - horizon)))
    return (nearest, nearest, 0.0, False) if abs(tau[nearest] - horizon) * 365 <= NEAR_DAYS else (-1, -1, 0.0, False)
