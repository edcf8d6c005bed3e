"""
A day's options as known at one instant, many days and instants at once: smiles at constant maturities, and the flows of Greeks.

Each state is a day and an instant; everything that the formulas read is an array over the states.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hydra_assets.core.arrays import Floats, Ints, frozen
from hydra_assets.features.quality import DEGRADED, MISSING, NORMAL, PARTIAL
from hydra_assets.options.density import Moments, moments
from hydra_assets.options.surface import Between, bracket
from hydra_assets.options.svi import RawSvi

HORIZONS = (30, 60, 90)  # calendar days
YEAR_DAYS = 365.0


@dataclass(frozen=True)
class Slices:
    """
    Fitted smiles by state; arrays of one length, sorted by state and tau.

    Attributes:
        state: number of the state.
        full: the smile may be read as a whole; else its level at the money alone.
        tau: years.
        svi: the slices.
        theta_error: standard error of the total variance at the money.
        tails: probability beyond the quoted strikes.
        quality: of the fit.
        n_liquid: strikes.
    """

    state: Ints
    full: np.ndarray
    tau: Floats
    svi: RawSvi
    theta_error: Floats
    tails: Floats
    quality: Ints
    n_liquid: Ints


@dataclass(frozen=True)
class Flows:
    """Sums over the liquid options of a state, shape (n,); NaN where there is none. ``quality`` is theirs."""

    gex_call: Floats
    gex_put: Floats
    vanna: Floats
    charm: Floats
    quality: Ints


@dataclass(frozen=True)
class Synthetic:
    """
    The forward that put-call parity gives in each state, shape (n,); NaN without a strike that has both rights quoted.

    Attributes:
        forward: price units, of the nearest expiration that has such a strike.
        strikes: how many strikes it rests on, at most two.
        quality: at best ``partial`` where one of the rows is less than normal, as positions in QUALITIES.
    """

    forward: Floats
    strikes: Ints
    quality: Ints


@dataclass(frozen=True)
class Maturity:
    """
    Smiles at one constant maturity, shape (n,); states without one have NaN throughout and the quality ``missing``.

    Attributes:
        smile: between the two slices around it; where only one is near, that one, at its own volatility.
        tau: years.
        theta: total variance at the money; ``theta_error`` its standard error.
        tails: the larger tail mass of the slices used.
        quality: of the slices used, at best ``partial`` outside of two slices.
        inside: two slices lie around the horizon.
    """

    smile: Between
    tau: float
    theta: Floats
    theta_error: Floats
    tails: Floats
    quality: Ints
    inside: np.ndarray


class SurfaceStates:
    """
    States of the volatility surface.

    Args:
        n: how many.
        slices: their smiles.
        flows: their Greeks.
        realised: name of a futures feature to its values and qualities, shape (n,) each.
        dealer_signs: of calls and puts.
        synthetic: forwards by put-call parity.
    """

    def __init__(
        self,
        n: int,
        slices: Slices,
        flows: Flows,
        realised: Mapping[str, tuple[Floats, Ints]],
        dealer_signs: tuple[int, int],
        synthetic: Synthetic,
    ) -> None:
        self.n, self.slices, self.flows, self.realised, self.dealer_signs = n, slices, flows, realised, dealer_signs
        self.synthetic = synthetic
        frozen((slices, flows, realised, synthetic))

    def take(self, states: Ints) -> "SurfaceStates":
        """*states* alone, in their order, as number 0, 1, ..."""
        rows = np.concatenate([np.arange(*np.searchsorted(self.slices.state, [state, state + 1])) for state in states.tolist()])
        rows = rows.astype(np.int64)
        number = np.repeat(np.arange(len(states)), [int((self.slices.state[rows] == state).sum()) for state in states.tolist()])
        slices = Slices(number, *(getattr(self.slices, name)[rows] for name in list(Slices.__dataclass_fields__)[1:]))
        flows = Flows(*(getattr(self.flows, name)[states] for name in Flows.__dataclass_fields__))
        realised = {name: (values[states], qualities[states]) for name, (values, qualities) in self.realised.items()}
        synthetic = Synthetic(*(getattr(self.synthetic, name)[states] for name in Synthetic.__dataclass_fields__))
        return SurfaceStates(len(states), slices, flows, realised, self.dealer_signs, synthetic)

    @cached_property
    def whole(self) -> Mapping[int, Maturity]:
        """The smile at each horizon (days) from full smiles alone, bracketed (normal) or the nearest within 15 days (partial)."""
        return {days: self._at(days, full=True) for days in HORIZONS}

    @cached_property
    def level(self) -> Mapping[int, Maturity]:
        """The smile at each horizon, good for the level at the money: as `whole` where bracketed; else from any fitted slices, degraded."""
        made = {}
        for days in HORIZONS:
            best, second = self.whole[days], self._at(days, full=False)
            use = (best.quality == MISSING) | (~best.inside & second.inside)
            made[days] = Maturity(
                smile=best.smile,
                tau=best.tau,
                theta=np.where(use, second.theta, best.theta),
                theta_error=np.where(use, second.theta_error, best.theta_error),
                tails=best.tails,
                inside=np.where(use, second.inside, best.inside),
                quality=np.where(use, np.where(second.quality == MISSING, MISSING, np.maximum(second.quality, DEGRADED)), best.quality),
            )
        return frozen(made)

    @cached_property
    def moments(self) -> Moments:
        """Risk-neutral moments of the 30-day smile; NaN without one."""
        whole = self.whole[30]
        rows = np.flatnonzero(whole.quality != MISSING)
        some = moments(whole.smile[rows])
        laid = {}
        for name in Moments.__dataclass_fields__:
            laid[name] = np.full(self.n, np.nan)
            laid[name][rows] = getattr(some, name)
        return frozen(Moments(**laid))

    def read(self, function: Callable[[Between], Floats]) -> Floats:
        """*function* of the 30-day smiles, shape (states,); NaN where there is none."""
        whole = self.whole[30]
        rows = np.flatnonzero(whole.quality != MISSING)
        answer = np.full(self.n, np.nan)
        if len(rows):
            answer[rows] = function(whole.smile[rows])
        return answer

    def _at(self, days: int, *, full: bool) -> Maturity:
        slices, horizon = self.slices, days / YEAR_DAYS
        usable = np.flatnonzero(slices.full if full else np.isfinite(slices.svi.a))
        near, far = np.full(self.n, -1), np.full(self.n, -1)
        weight, inside = np.zeros(self.n), np.zeros(self.n, dtype=bool)
        owners, first = np.unique(slices.state[usable], return_index=True)
        for owner, rows in zip(owners.tolist(), np.split(usable, first)[1:], strict=True):
            a, b, weight[owner], inside[owner] = bracket(slices.tau[rows], horizon)
            near[owner], far[owner] = (rows[a], rows[b]) if a >= 0 else (-1, -1)
        held = near >= 0
        alone = held & ~inside
        # One slice alone stands for the horizon at its own volatility: its variance scales with time.
        scale = np.where(alone, horizon / slices.tau[near], 1.0) if len(slices.tau) else np.ones(self.n)
        one, two = (_scaled(slices.svi, at, np.where(held, scale, np.nan)) for at in (near, far))
        smile = Between(one, two, weight)
        theta = smile.total_variance(np.zeros((self.n, 1)))[:, 0]

        def of(values: np.ndarray, at: Ints) -> np.ndarray:
            return values[at] if len(values) else np.zeros(self.n, dtype=values.dtype)

        error = np.hypot((1 - weight) * of(slices.theta_error, near), weight * of(slices.theta_error, far)) * scale
        # A slice used twice is one measurement.
        error = np.where(near == far, of(slices.theta_error, near) * scale, error)
        quality = np.maximum(of(slices.quality, near), of(slices.quality, far))
        quality = np.where(held, np.maximum(quality, np.where(inside, NORMAL, PARTIAL)), MISSING)
        tails = np.maximum(of(slices.tails, near), of(slices.tails, far))
        return frozen(Maturity(smile, horizon, theta, np.where(held, error, np.nan), np.where(held, tails, np.nan), quality, inside))


def _scaled(svi: RawSvi, at: Ints, scale: Floats) -> RawSvi:
    """Slices *at* with their total variance times *scale*; NaN where that is NaN."""
    if not len(svi.a):
        nothing = np.full(len(at), np.nan)
        return RawSvi(nothing, nothing, nothing, nothing, nothing)
    taken = svi[at]
    return RawSvi(taken.a * scale, taken.b * scale, taken.rho, taken.m, taken.sigma)
