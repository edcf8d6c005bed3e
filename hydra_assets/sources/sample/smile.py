"""
A seeded, SYNTHETIC option chain over the synthetic curve: a pure function of the date and the market, like the curve itself.

Nothing here was ever traded. Each expiry is that of its own future (no serial or weekly options), options exist on the nearest few
futures, strikes are listed around the money and added as the price moves. Volatility at the money wanders, the skew wanders and has
a season, the wings breathe; every smile is an arbitrage-free SSVI slice, and every value is American. Open interest builds up where
the money was. What is quoted of it, and badly, is made in `option_records`.
"""

import datetime as dt
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from hydra_assets.core.market import Market
from hydra_assets.options.american import american_price
from hydra_assets.options.greeks import greeks
from hydra_assets.sources.sample.curve import FIRST_DAY, MONTH_CODES, Contract, Curve, curve_of, seed_of, wander
from hydra_assets.sources.sample.treasury import rate_of

TREES = (17, 33)  # 0.002 volatility points, a twelfth of a tick at the money
SHORTEST = 2 / 24 / 365  # years; on the last day options expire at noon and are worth their exercise value at the close
OPTION_IDS, COMBINATION_IDS = 2_000_000_000, 2_900_000_000  # futures and their spreads lie far below
STRIKES_PER_FUTURE = 500
_CALL_PUT = np.array([1.0, -1.0])


@dataclass(frozen=True)
class Listing:
    """
    The listing and trading of a market's options.

    Attributes:
        grid: distance of strikes, price units.
        wing: strikes listed beyond any settlement so far, on each side.
        expiries: number of nearest futures that have options.
        tick: tick of the option, price units.
        crowd: contracts of open interest that the best strikes of an ordinary expiry come to.
        width: how wide markets are, 1 for lean hogs.
    """

    grid: float
    wing: int
    expiries: int
    tick: float
    peak_open_interest: float
    width: float


LISTINGS = {
    "HE": Listing(2.0, 3, 5, 0.025, 1_350, 1.0),
    "LE": Listing(2.0, 4, 5, 0.025, 1_900, 0.9),
    "GF": Listing(4.0, 4, 4, 0.025, 420, 1.6),
    "ZO": Listing(10.0, 4, 3, 0.125, 320, 2.0),
    "ZR": Listing(0.2, 5, 3, 0.005, 190, 2.0),
    "ZC": Listing(10.0, 5, 5, 0.125, 14_000, 0.5),
    "ZS": Listing(20.0, 5, 5, 0.125, 6_000, 0.6),
    "ZM": Listing(10.0, 4, 4, 0.05, 1_500, 1.2),
    "ZL": Listing(1.0, 4, 4, 0.005, 1_500, 1.2),
    "ZW": Listing(10.0, 5, 4, 0.125, 3_500, 0.7),
    "KE": Listing(10.0, 4, 4, 0.125, 700, 1.5),
    "CL": Listing(2.0, 5, 5, 0.01, 9_000, 0.6),
    "NG": Listing(0.1, 6, 5, 0.001, 5_000, 0.8),
}
OTHER = Listing(5.0, 4, 4, 0.025, 400, 1.5)


@dataclass(frozen=True)
class Series:
    """
    The options on one future, on each session of their life: arrays of shape (sessions,), or (sessions, strikes, 2 rights).

    Attributes:
        first: place of the first session in the calendar.
        listed: whether the strike exists that day.
        value: American value at the close.
        delta: delta of *value*.
        gamma: gamma of *value*.
        spread: spread of the market at the close, in ticks.
        interest: open interest of the day, in contracts.
        volume: volume of the day, in contracts.
    """

    contract: Contract
    first: int
    strikes: np.ndarray
    numbers: np.ndarray
    symbols: np.ndarray
    opened: np.ndarray
    forward: np.ndarray
    listed: np.ndarray
    value: np.ndarray
    delta: np.ndarray
    gamma: np.ndarray
    spread: np.ndarray
    interest: np.ndarray
    volume: np.ndarray


@dataclass(frozen=True)
class ChainDay:
    """Every option listed on a day, one element each, nearest expiry first, then by strike, calls before puts."""

    contracts: list[Contract]
    series: np.ndarray  # which of them
    number: np.ndarray
    symbol: np.ndarray
    strike: np.ndarray
    right: np.ndarray  # 1 call, -1 put
    opened: np.ndarray
    forward: np.ndarray
    value: np.ndarray
    delta: np.ndarray
    gamma: np.ndarray
    spread: np.ndarray
    interest: np.ndarray
    volume: np.ndarray
    last_day: np.ndarray


class Chain:
    """The synthetic options on *curve*, listed under *root*."""

    def __init__(self, curve: Curve, root: str) -> None:
        self.curve, self.root = curve, root
        self.listing = LISTINGS.get(curve.market.symbol, OTHER)
        self._series: dict[int, Series] = {}
        self._begins: dict[int, dt.date] = {}

    def begins(self, contract: Contract) -> dt.date:
        """The day from which *contract* is near enough to have options."""
        if contract.number not in self._begins:
            before = contract.number - self.listing.expiries
            opened = self.curve.calendar.next_session(self.curve.contracts[before].last_day) if before >= 0 else FIRST_DAY
            self._begins[contract.number] = max(contract.listed, opened)
        return self._begins[contract.number]

    def with_options(self, day: dt.date) -> list[Contract]:
        """Futures on which options are listed on *day*, nearest first."""
        return [contract for contract in self.curve.listed_on(day) if self.begins(contract) <= day]

    def series(self, contract: Contract) -> Series:
        """The options on one future."""
        if contract.number not in self._series:
            self._series[contract.number] = self._make(contract)
        return self._series[contract.number]

    def on(self, day: dt.date) -> ChainDay:
        """All options of *day*."""
        contracts = self.with_options(day)
        parts: list[list[np.ndarray]] = []
        for k, contract in enumerate(contracts):
            made = self.series(contract)
            i = self.curve.places[day] - made.first
            strike, side = np.nonzero(np.repeat(made.listed[i][:, None], 2, axis=1))
            n, cells = len(strike), (i, strike, side)
            parts.append(
                [
                    np.full(n, k),
                    made.numbers[strike, side],
                    made.symbols[strike, side],
                    made.strikes[strike],
                    _CALL_PUT[side],
                    np.full(n, made.opened[i]),
                    np.full(n, made.forward[i]),
                    *(part[cells] for part in (made.value, made.delta, made.gamma, made.spread, made.interest, made.volume)),
                    np.full(n, contract.last_day == day),
                ]
            )
        return ChainDay(contracts, *(np.concatenate(column) for column in zip(*parts, strict=True)))

    @cached_property
    def _weather(self) -> np.ndarray:
        """Level, skew and wings by session, common to all expiries: each wanders around 0 with a standard deviation of about 1."""
        shocks = np.random.default_rng(seed_of("surface", self.curve.market.symbol)).standard_normal((len(self.curve.days) + 400, 3))
        return np.stack([_wander(shocks[:, i], stay) for i, stay in enumerate((0.985, 0.97, 0.97))], axis=1)[400:]

    def _make(self, contract: Contract) -> Series:
        days, places = self.curve.days, self.curve.places
        history, symbol, listing = self.curve.history(contract), self.curve.market.symbol, self.listing
        first = places[days[bisect_right(days, self.begins(contract) - dt.timedelta(1))]]
        offset, n = first - history.first, places[contract.last_day] - first + 1
        rng = np.random.default_rng(seed_of("series", symbol, contract.month))
        settle = np.maximum(history.fair, self.curve.market.tick)  # on a price of 0 or less no smile is defined
        forward, opened = settle[offset : offset + n], history.open[offset : offset + n]
        # Strikes are listed in the morning, around what is known by then.
        before = settle[np.maximum(np.arange(offset, offset + n) - 1, 0)]
        low = np.minimum.accumulate(np.floor(before / listing.grid)).astype(int) - listing.wing
        high = np.maximum.accumulate(np.ceil(before / listing.grid)).astype(int) + listing.wing
        places_of = np.arange(max(low[-1], 1), high[-1] + 1)
        listed = (places_of >= low[:, None]) & (places_of <= high[:, None])
        strikes = np.round(places_of * listing.grid, 6)
        closes = [self.curve.calendar.at(day, self.curve.shape.close) for day in days[first : first + n]]
        tau = np.array([(contract.expiration - close).total_seconds() for close in closes]) / (365 * 86_400)
        vol = self._vols(contract, first, np.log(strikes / forward[:, None]), np.maximum(tau, SHORTEST), rng)
        rate = np.array([rate_of(day, part).item() for day, part in zip(days[first : first + n], np.maximum(tau, SHORTEST), strict=True)])
        value, delta, gamma = _american(forward, strikes, tau, rate, vol, listed)
        z = np.abs(np.log(strikes / forward[:, None])) / (vol * np.sqrt(np.maximum(tau, SHORTEST))[:, None])
        ticks = (1.4 + 0.032 * value / listing.tick) * (1 + 0.16 * np.minimum(z, 4.0) ** 2 + 0.9 * np.maximum(tau, 0)[:, None])[..., None]
        spread = np.maximum(np.round(listing.width * ticks * np.exp(0.3 * rng.standard_normal(value.shape))), 1)
        interest, volume = self._interest(contract, places_of, strikes, forward, listed, rng)
        numbers = OPTION_IDS + contract.instrument_id * 2 * STRIKES_PER_FUTURE + (places_of % STRIKES_PER_FUTURE)[:, None] * 2 + [0, 1]
        root = self.root + contract.symbol[len(symbol) :]
        symbols = np.array([[f"{root} {right}{strike * 100:.0f}" for right in "CP"] for strike in strikes], dtype="S71")
        return Series(
            contract, first, strikes, numbers, symbols, opened, forward, listed, value, delta, gamma, spread, interest, volume
        )  # fmt: skip

    def _vols(self, contract: Contract, first: int, k: np.ndarray, tau: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Volatility of each session and strike: an SSVI slice a session."""
        n = len(tau)
        level, lean, wing = self._weather[first : first + n].T
        own = _wander(rng.standard_normal((n + 200, 2)), 0.95)[200:]
        at_money = self.curve.shape.vol * np.exp(-0.3 * np.minimum(tau, 1.5)) * np.exp(0.17 * level + 0.05 * own[:, 0])
        season = np.sin(2 * np.pi * (contract.month.month - 3) / 12)  # upside is feared in summer, downside in winter
        rho = np.clip(0.22 * season - 0.05 + 0.16 * lean + 0.05 * own[:, 1], -0.7, 0.7)
        # Below 2/sqrt(1+|rho|) no slice has a butterfly arbitrage.
        eta = np.clip(0.85 * np.exp(0.16 * wing), 0.4, 1.4)
        theta = at_money**2 * tau
        phi, rho, theta = ((part)[:, None] for part in (eta / np.sqrt(theta), rho, theta))
        total = theta / 2 * (1 + rho * phi * k + np.sqrt((phi * k + rho) ** 2 + 1 - rho**2))
        return np.asarray(np.sqrt(total / tau[:, None]))

    def _interest(
        self,
        contract: Contract,
        places_of: np.ndarray,
        strikes: np.ndarray,
        forward: np.ndarray,
        listed: np.ndarray,
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Open interest that builds up out of the money of each day, more at round strikes, and what traded."""
        n, shape = len(forward), self.curve.shape
        left = np.arange(n - 1, -1, -1)
        flow = np.exp(-((left / 55.0) ** 1.2)) * (left > 3)
        flow /= max(float(flow.sum()), 1e-9)
        centre = np.log(strikes / forward[:, None])[..., None] - _CALL_PUT * 0.045
        round_strikes = np.where(places_of % 5 == 0, 1.4, np.where(places_of % 2 == 0, 1.15, 0.75))[:, None]
        liking = round_strikes * np.exp(0.3 * rng.standard_normal((len(strikes), 2)))
        thin = 0.15 if MONTH_CODES[contract.month.month - 1] in shape.thin else 1.0
        traded = self.listing.peak_open_interest * thin * flow[:, None, None] * np.exp(-((centre / (0.33 * shape.vol)) ** 2)) * liking
        traded = traded * listed[..., None] * np.exp(0.8 * rng.standard_normal(traded.shape))
        interest = np.floor(np.cumsum(traded, axis=0) * np.exp(0.01 * rng.standard_normal(traded.shape)))
        volume = np.where(rng.random(traded.shape) < 0.7, np.floor(traded * 1.6), 0)
        return interest.astype(np.int64), volume.astype(np.int64)


@lru_cache(maxsize=32)
def chain_of(market: Market, root: str) -> Chain:
    """The one chain of *market* under *root* in this process, over its one curve."""
    return Chain(curve_of(market), root)


def _american(
    forward: np.ndarray, strikes: np.ndarray, tau: np.ndarray, rate: np.ndarray, vol: np.ndarray, listed: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Value, delta and gamma of the listed options, both rights; 0 elsewhere."""
    at, strike = np.nonzero(listed)
    words = {
        "strike": strikes[strike][:, None],
        "tau": np.maximum(tau, SHORTEST)[at][:, None],
        "rate": rate[at][:, None],
        "vol": vol[at, strike][:, None],
        "right": _CALL_PUT,
    }
    future = forward[at][:, None]
    exercised = np.maximum(_CALL_PUT * (future - strikes[strike][:, None]), 0.0)
    worth = np.where(tau[at][:, None] > 0, np.fmax(american_price(future, **words, steps=TREES), exercised), exercised)
    senses = greeks(future, **words)
    filled = np.zeros((3, *listed.shape, 2))
    for place, part in zip(filled, (worth, senses.delta, senses.gamma), strict=True):
        place[at, strike] = part
    return filled[0], filled[1], filled[2]


def _wander(shocks: np.ndarray, stay: float) -> np.ndarray:
    """Shocks along the first axis made into a walk that returns, of standard deviation 1."""
    return wander(np.sqrt(1 - stay**2) * shocks, stay)
