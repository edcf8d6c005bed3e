"""What is read off smiles: volatility at the money and at a delta, risk reversal and butterfly, constant maturities between slices."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from hydra_assets.options.black76 import Floats
from hydra_assets.options.svi import RawSvi, Smile

BISECTIONS = 60
NEAR_DAYS = 15.0


@dataclass(frozen=True)
class Between:
    """
    Smiles between two slices each, linear in total variance at equal log-moneyness.

    Attributes:
        near, far: n slices each. weight: of the far one, in [0, 1], shape (n,).
    """

    near: RawSvi
    far: RawSvi
    weight: Floats

    @property
    def size(self) -> int:
        """How many smiles."""
        return self.near.size

    @property
    def call_wing(self) -> Floats:
        """Slope of total variance far above the forward, shape (n,)."""
        return np.asarray((1 - self.weight) * self.near.call_wing + self.weight * self.far.call_wing)

    def take(self, rows: NDArray[np.int64]) -> "Between":
        """Some of the smiles, in the order asked."""
        return Between(self.near.take(rows), self.far.take(rows), self.weight[rows])

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


def strike_of_delta(smile: Smile, *, delta: float, right: int) -> Floats:
    """
    Log-moneyness at which an option of *right* has the absolute undiscounted forward delta *delta* on its own smile.

    Args:
        delta: in (0, 0.5]. right: +1 call, -1 put.
    Returns:
        Shape (slices,); found by bisection, on which side of the forward the right says.
    """
    sd = np.sqrt(smile.total_variance(np.zeros((smile.size, 1)))[:, 0])
    near, far = -right * sd, right * (8 * sd + 1)
    for _ in range(BISECTIONS):
        middle = 0.5 * (near + far)
        s = np.sqrt(smile.total_variance(middle[:, None])[:, 0])
        beyond = ndtr(right * (-middle / s + s / 2)) < delta
        near, far = np.where(beyond, near, middle), np.where(beyond, middle, far)
    return np.asarray(0.5 * (near + far))


def risk_reversal_and_butterfly(smile: Smile, *, tau: ArrayLike, delta: float = 0.25) -> tuple[Floats, Floats]:
    """Call minus put volatility at *delta*; and their mean minus the volatility at the money. Decimals a year, shape (slices,)."""
    years = np.asarray(tau, dtype=float)
    call, put = (
        np.sqrt(smile.total_variance(strike_of_delta(smile, delta=delta, right=right)[:, None])[:, 0] / years) for right in (1, -1)
    )
    return np.asarray(call - put), np.asarray((call + put) / 2 - atm_vol(smile, tau=years))


def bracket(tau: Floats, horizon: float) -> tuple[int, int, float, bool]:
    """
    The two slices around a constant maturity.

    Args:
        tau: years to expiry of the slices, ascending. horizon: years.
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
