"""
American options on a future, and what is European in an American quote.

The early-exercise premium is the difference of the American and the European value on one and the same Leisen-Reimer tree, so that
most of the tree's error cancels; what is left falls with the number of steps, and two small trees extrapolate it away. A quote is
made European by a fixed point: the volatility of the quote less the premium at that volatility. Source: Leisen & Reimer (1996),
with the inversion of Peizer & Pratt (their method 2).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hydra_assets.core.arrays import Floats
from hydra_assets.lazy import lazy
from hydra_assets.options.black76 import price
from hydra_assets.options.implied_vol import Status, implied_vol
from hydra_assets.options.right import right_sign

special = lazy("scipy.special")

STEPS = (33, 65)
MOST_PASSES = 6  # two do for most quotes out of the money
CHUNK = 1024  # options at once: their trees stay in the cache
_SETTLED = 1e-5  # of the volatility: a tenth of what the trees are exact to


def exercise_premium(
    forward: ArrayLike,
    *,
    strike: ArrayLike,
    tau: ArrayLike,
    rate: ArrayLike,
    vol: ArrayLike,
    right: ArrayLike,
    steps: tuple[int, int] = STEPS,
) -> Floats:
    """
    Early-exercise premium of an American over a European option on a future; >= 0.

    Args:
        steps: of the two trees, odd. Others as `black76.price`; tau and vol > 0. All broadcast.
    """
    f, k, t, r, v, cp = (
        np.asarray(a, dtype=float).ravel() for a in np.broadcast_arrays(forward, strike, tau, rate, vol, right_sign(right))
    )
    shape = np.broadcast_shapes(*(np.shape(a) for a in (forward, strike, tau, rate, vol, right)))
    few, many = np.empty_like(f), np.empty_like(f)
    for first in range(0, len(f), CHUNK):
        part = slice(first, first + CHUNK)
        few[part], many[part] = (_tree(f[part], k[part], t[part], r[part], v[part], cp[part], n) for n in steps)
    extrapolated = (steps[1] * many - steps[0] * few) / (steps[1] - steps[0])
    return np.asarray(np.maximum(extrapolated, 0.0).reshape(shape))


def american_price(
    forward: ArrayLike,
    *,
    strike: ArrayLike,
    tau: ArrayLike,
    rate: ArrayLike,
    vol: ArrayLike,
    right: ArrayLike,
    steps: tuple[int, int] = STEPS,
) -> Floats:
    """Black-76 plus the premium, and never below the exercise value; arguments as `exercise_premium`."""
    european = price(forward, strike=strike, tau=tau, rate=rate, vol=vol, right=right)
    premium = exercise_premium(forward, strike=strike, tau=tau, rate=rate, vol=vol, right=right, steps=steps)
    exercised = right_sign(right) * (np.asarray(forward, dtype=float) - np.asarray(strike, dtype=float))
    return np.asarray(np.maximum(european + premium, exercised))


@dataclass(frozen=True)
class European:
    """An American quote made European: the Black-76 ``vol`` and the ``premium`` taken off; both NaN unless ``status`` is OK."""

    vol: Floats
    premium: Floats
    status: NDArray[np.int8]


def european_vol(
    quote: ArrayLike,
    *,
    forward: ArrayLike,
    strike: ArrayLike,
    tau: ArrayLike,
    rate: ArrayLike,
    right: ArrayLike,
    steps: tuple[int, int] = STEPS,
) -> European:
    """
    The volatility of American quotes, out of the money or at it.

    Args:
        quote: price units; others as `implied_vol`. In the money the premium is most of the value and the answer poor: use the
            other right of the same strike.

    Returns:
        Volatility and status; NaN at or below the exercise value, with the status that says so.
    """
    q, f, k, t, r, cp = (np.asarray(a, dtype=float) for a in np.broadcast_arrays(quote, forward, strike, tau, rate, right_sign(right)))
    shape = q.shape
    q, f, k, t, r, cp = (a.ravel() for a in (q, f, k, t, r, cp))
    first = implied_vol(q, forward=f, strike=k, tau=t, rate=r, right=cp)
    vol, status, premium = first.vol.copy(), first.status.copy(), np.zeros_like(q)
    with np.errstate(invalid="ignore"):
        dead = q <= cp * (f - k)
    status[dead & (status == Status.OK)] = Status.AT_OR_BELOW_EXERCISE_VALUE
    vol[status != Status.OK] = np.nan
    live = np.flatnonzero(status == Status.OK)
    for _ in range(MOST_PASSES):
        at = {"strike": k[live], "tau": t[live], "rate": r[live], "right": cp[live]}
        before = vol[live]
        premium[live] = exercise_premium(f[live], vol=before, steps=steps, **at)
        again = implied_vol(q[live] - premium[live], forward=f[live], **at)
        vol[live], status[live] = again.vol, again.status
        live = live[np.abs(again.vol - before) > _SETTLED]
        if not len(live):
            break
    premium[status != Status.OK] = np.nan
    return European(vol.reshape(shape), premium.reshape(shape), status.reshape(shape))


def _tree(f: Floats, k: Floats, t: Floats, r: Floats, v: Floats, cp: Floats, n: int) -> Floats:
    """American minus European on one tree of *n* steps, each column an option; the arrays are worked on in place."""
    s = v * np.sqrt(t)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        d1 = np.log(f / k) / s + s / 2
        up_share, share = _peizer_pratt(d1, n), _peizer_pratt(d1 - s, n)
        # The move up and down that make the future a martingale and put the strike between two nodes.
        up, down = np.log(up_share / share), np.log((1 - up_share) / (1 - share))
        level = np.arange(n + 1.0)[:, None]
        future = cp * f * np.exp(level * up + (n - level) * down)
        american = np.maximum(future - cp * k, 0.0)
        paths = special.gammaln(n + 1) - special.gammaln(level + 1) - special.gammaln(n - level + 1)
        likely = np.exp(paths + level * np.log(share) + (n - level) * np.log1p(-share))
        european = np.exp(-r * t) * (likely * american).sum(axis=0)
        discount = np.exp(-r * t / n)
        to_up, to_down, back, struck = discount * share, discount * (1 - share), np.exp(-down), cp * k
        spare = np.empty_like(future)
        for step in range(n, 0, -1):
            here, other = american[:step], spare[:step]
            np.multiply(american[1 : step + 1], to_up, out=other)
            here *= to_down
            here += other
            future[:step] *= back
            np.subtract(future[:step], struck, out=other)
            np.maximum(here, other, out=here)
    return np.asarray(american[0] - european)


def _peizer_pratt(z: Floats, n: int) -> Floats:
    """Probability of a binomial of *n* trials whose tail beyond the middle is that of a normal beyond *z*."""
    inside = np.exp(-((z / (n + 1 / 3 + 0.1 / (n + 1))) ** 2) * (n + 1 / 6))
    return np.asarray(0.5 + np.sign(z) * 0.5 * np.sqrt(1 - inside))
