"""
Black-76 implied volatility: vectorised, to the last digits, over the whole domain; NaN and a status where there is no answer.

The normalised time value is inverted on two branches that meet where it is steepest, at s = sqrt(2|x|): below it by its reciprocal
logarithm, above it by the logarithm of what is left to its upper bound. On both the function is nearly straight, and one or two
third-order Householder steps from a start of our own reach full precision. Source: Jaeckel (2017), "Let's be rational", for the
branches and objectives; Corrado & Miller (1996) for the problem.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hydra_assets.core.arrays import Floats
from hydra_assets.lazy import lazy
from hydra_assets.options.black76 import INV_SQRT_2PI, SQRT2, minus_distance, time_value_and_slope
from hydra_assets.options.right import right_sign

special = lazy("scipy.special")

MOST_STEPS = 8  # one or two do, but for the ends of the domain
CHUNK = 32768  # elements at once: larger pieces leave the cache, smaller ones pay for the calls
_SETTLED = 1e-4
_LEAST = 1e-16


class Status(IntEnum):
    """Why there is, or is no, implied volatility."""

    OK = 0
    AT_OR_BELOW_EXERCISE_VALUE = 1
    AT_OR_ABOVE_BOUND = 2  # a call worth the future, or a put worth its strike
    EXPIRED = 3
    INVALID = 4  # not finite, or a forward or strike that is not positive


@dataclass(frozen=True)
class ImpliedVol:
    """``vol``: decimals a year, NaN unless ``status`` is `Status.OK` (int8)."""

    vol: Floats
    status: NDArray[np.int8]


def implied_vol(
    price: ArrayLike, *, forward: ArrayLike, strike: ArrayLike, tau: ArrayLike, rate: ArrayLike, right: ArrayLike
) -> ImpliedVol:
    """
    The volatility at which Black-76 gives *price*; the arguments broadcast.

    Args:
        price: discounted, price units.
        forward: price units, > 0.
        strike: price units, > 0.
        tau: years, ACT/365.
        rate: continuously compounded, a year.
        right: +1 or ``C`` call, -1 or ``P`` put.

    >>> implied_vol([1.7010507, 0.5], forward=19.0, strike=19.0, tau=[0.75, 0.0], rate=0.10, right=1).vol.round(6).tolist()
    [0.28, nan]
    """
    p, f, k, t, r, cp = (np.asarray(a, dtype=float) for a in np.broadcast_arrays(price, forward, strike, tau, rate, right_sign(right)))
    shape = p.shape
    p, f, k, t, r, cp = (a.ravel() for a in (p, f, k, t, r, cp))
    vol, status = np.empty(p.shape), np.empty(p.shape, dtype=np.int8)
    with np.errstate(all="ignore"):
        for first in range(0, len(p), CHUNK):
            part = slice(first, first + CHUNK)
            vol[part], status[part] = _invert(*(a[part] for a in (p, f, k, t, r, cp)))
    return ImpliedVol(vol.reshape(shape), status.reshape(shape))


def _invert(p: Floats, f: Floats, k: Floats, t: Floats, r: Floats, cp: Floats) -> tuple[Floats, NDArray[np.int8]]:
    """Volatility and status of a piece that fits into the cache."""
    beta = (p * np.exp(r * t) - np.maximum(cp * (f - k), 0.0)) / np.sqrt(f * k)
    x = minus_distance(f, k)
    bound = np.exp(0.5 * x)
    status = np.full(p.shape, Status.OK, dtype=np.int8)
    status[beta >= bound] = Status.AT_OR_ABOVE_BOUND
    status[beta <= 0] = Status.AT_OR_BELOW_EXERCISE_VALUE
    status[t <= 0] = Status.EXPIRED
    finite = np.isfinite(p) & np.isfinite(f) & np.isfinite(k) & np.isfinite(t) & np.isfinite(r)
    status[~(finite & (f > 0) & (k > 0) & (np.abs(cp) == 1))] = Status.INVALID
    vol = np.full(p.shape, np.nan)
    ok = np.flatnonzero(status == Status.OK)
    vol[ok] = _total(beta[ok], x[ok], bound[ok]) / np.sqrt(t[ok])
    return vol, status


def _total(beta: Floats, x: Floats, bound: Floats) -> Floats:
    """Total standard deviation of each normalised value."""
    steepest = np.sqrt(2 * np.abs(x))
    at_steepest = 0.5 * bound * (1 - special.erfcx(np.sqrt(np.abs(x))))  # the value there, in closed form
    is_low = beta < at_steepest
    low, high = np.flatnonzero(is_low), np.flatnonzero(~is_low)
    s = np.empty_like(beta)
    s[low] = _low(beta[low], x[low], steepest[low])
    s[high] = _high(beta[high], x[high], bound[high], at_steepest[high], steepest[high])
    return s


@dataclass(frozen=True)
class _Bachelier:
    """
    The limit of small |x|, in which s Y'(h) phi(h) is the normalised value, and the next term of its series; Y = Phi / phi, h = |x| / s.

    Evenly spaced in ``-ln(value / |x|)``, so that no place has to be searched.

    Attributes:
        first: where the table begins.
        per_unit: places in a unit.
        log_h: ln h.
        rise: of *log_h* to the next place.
        pull: rise of ln s with s^2, to first order.
    """

    first: float
    per_unit: float
    log_h: Floats
    rise: Floats
    pull: Floats


@lru_cache(maxsize=1)
def _bachelier() -> _Bachelier:
    places = 16384
    h = np.geomspace(1e-3, 45.0, places)
    given = 0.5 * h * h - np.log(INV_SQRT_2PI / h - 0.5 * special.erfcx(h / SQRT2))
    even = np.linspace(given[0], given[-1], places + 1)
    log_h = np.interp(even, given, np.log(h))
    h = np.exp(log_h)
    y = special.erfcx(h / SQRT2) / (2 * INV_SQRT_2PI)  # Y(-h)
    third_by_first = (h * h + 2 - y * h * (h * h + 3)) / (1 - h * y)  # Y'''(-h) / Y'(-h)
    per_unit = places / (even[-1] - even[0])
    rise = np.diff(log_h)
    return _Bachelier(even[0], per_unit, log_h, rise, rise * per_unit * (3 - third_by_first[:-1]) / 24)


def _start(beta: Floats, x: Floats) -> tuple[Floats, Floats]:
    """A first guess of s below the steepest place, and ln(beta)."""
    table, size, target = _bachelier(), np.abs(x), np.log(beta)
    place = np.fmin(np.fmax((np.log(size) - target - table.first) * table.per_unit, 0.0), len(table.rise) - 1e-6)  # 0 for NaN
    whole = place.astype(np.int32)
    s = size / np.exp(table.log_h[whole] + (place - whole) * table.rise[whole])
    moved = np.minimum(table.pull[whole] * s * s, 0.2)  # ln s = ln s0 + pull s^2, solved to third order
    return s * (1 + moved / (1 - 2 * moved)), target


def _low(beta: Floats, x: Floats, steepest: Floats) -> Floats:
    s, target = _start(beta, x)

    def step(s: Floats, x: Floats, target: Floats) -> Floats:
        b, slope, second, third = _derivatives(x, s)
        log_b = np.log(np.maximum(b, 1e-310))
        ratio = slope / b
        # Derivatives of ln b, then of 1/ln b, each divided by the first.
        l2, l3 = second - ratio, third - 3 * ratio * second + 2 * ratio * ratio
        q = ratio / log_b
        newton = (target - log_b) * log_b / (target * ratio)
        return _householder(newton, l2 - 2 * q, l3 - 6 * q * l2 + 6 * q * q)

    return _approach(step, np.minimum(s, steepest), x, target)


def _high(beta: Floats, x: Floats, bound: Floats, at_steepest: Floats, steepest: Floats) -> Floats:
    left = np.clip((bound - beta) / (bound - at_steepest), 1e-300, 1.0)

    def step(s: Floats, x: Floats, beta: Floats, bound: Floats) -> Floats:
        b, slope, second, third = _derivatives(x, s)
        rest = np.maximum(bound - b, 1e-300)
        ratio = slope / rest
        newton = -np.log1p(np.maximum((b - beta) / rest, -1 + 1e-16)) / ratio
        return _householder(newton, second + ratio, third + 3 * ratio * second + 2 * ratio * ratio)

    return _approach(step, np.maximum(-2 * special.ndtri(left * special.ndtr(-0.5 * steepest)), _LEAST), x, beta, bound)


def _derivatives(x: Floats, s: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """The normalised value, its slope in s, and the second and third derivative divided by the slope."""
    h = x / s
    value, slope = time_value_and_slope(x, s)
    pull = h * h / s
    second = pull - 0.25 * s
    return value, slope, second, second * second - 3 * pull / s - 0.25


def _householder(newton: Floats, second: Floats, third: Floats) -> Floats:
    """The step of third order; a Newton step where it would turn round."""
    step = newton * (1 + 0.5 * second * newton) / (1 + newton * (second + third * newton / 6))
    return np.asarray(np.where(step * newton > 0, step, np.where(np.isfinite(newton), newton, 0.0)))


def _approach(step: Callable[..., Floats], s: Floats, *given: Floats) -> Floats:
    """
    *s* after as many steps as each element needs, each down by half or up to three times at most.

    The order is four: after a step of one part in ten thousand nothing is left to do.
    """
    left = np.arange(len(s))
    for _ in range(MOST_STEPS):
        old = s[left]
        move = step(old, *(part[left] for part in given))
        s[left] = new = np.maximum(old + np.clip(move, -0.5 * old, 2 * old + 0.5), _LEAST)
        left = left[np.abs(new - old) > _SETTLED * new]
        if not len(left):
            break
    return s
