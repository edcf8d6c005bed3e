"""What is read off smiles: volatility at the money and at a delta, risk reversal and butterfly, constant maturities between slices."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from hydra_assets.options.black76 import Floats
from hydra_assets.options.svi import RawSvi

BISECTIONS = 60
NEAR_DAYS = 15.0


def atm_vol(smile: RawSvi, *, tau: ArrayLike) -> Floats:
    """Volatility at the forward, decimals a year, shape (slices,)."""
    return np.asarray(np.sqrt(smile.total_variance(np.zeros((len(smile.a), 1)))[:, 0] / np.asarray(tau, dtype=float)))


def strike_of_delta(smile: RawSvi, *, delta: float, right: int) -> Floats:
    """
    Log-moneyness at which an option of *right* has the absolute undiscounted forward delta *delta* on its own smile.

    Args:
        delta: in (0, 0.5]. right: +1 call, -1 put.
    Returns:
        Shape (slices,); found by bisection, on which side of the forward the right says.
    """
    sd = np.sqrt(smile.total_variance(np.zeros((len(smile.a), 1)))[:, 0])
    near, far = -right * sd, right * (8 * sd + 1)
    for _ in range(BISECTIONS):
        middle = 0.5 * (near + far)
        s = np.sqrt(smile.total_variance(middle[:, None])[:, 0])
        beyond = ndtr(right * (-middle / s + s / 2)) < delta
        near, far = np.where(beyond, near, middle), np.where(beyond, middle, far)
    return np.asarray(0.5 * (near + far))


def risk_reversal_and_butterfly(smile: RawSvi, *, tau: ArrayLike, delta: float = 0.25) -> tuple[Floats, Floats]:
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
