"""
A seeded, SYNTHETIC futures curve: what the embedded vendor publishes of a market, a pure function of the date.

Nothing here was ever traded. Term structure with a season, a common level that wanders and returns, open interest that grows and
moves on to the next contract, volume, settlements first preliminary and then final, corrections, deletions. Repeated and longer
requests give the same numbers for the same day.
"""

import datetime as dt
import hashlib
import itertools
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from hydra_assets.core.calendar import NOON, Calendar
from hydra_assets.core.market import Market

FIRST_DAY = dt.date(2010, 6, 7)  # Databento's own history of CME Globex begins here
LISTED_AHEAD = dt.timedelta(560)
MONTH_CODES = "FGHJKMNQUVXZ"


@dataclass(frozen=True)
class Shape:
    """
    Delivery months, how the last trading day is found, price level, yearly vol, season by month (log), open interest at its peak.
    """

    months: str
    # "tenth": 10th business day; "last": last business day; "before15": business day before the 15th; of the month before delivery,
    # "crude": 3rd business day before the 25th, "gas": 3rd last business day.
    expiry: str
    level: float
    vol: float
    season: tuple[float, ...]
    peak_oi: float
    thin: str = ""  # delivery months that hardly trade
    close: dt.time = dt.time(13)  # in the exchange's zone; the futures settle by then


_HOGS = (-0.09, -0.06, -0.03, 0.02, 0.06, 0.11, 0.12, 0.09, 0.0, -0.07, -0.10, -0.10)
_CATTLE = (0.02, 0.03, 0.03, 0.03, 0.0, -0.03, -0.04, -0.03, -0.01, 0.0, 0.01, 0.02)
_GRAIN = (0.0, 0.01, 0.01, 0.02, 0.03, 0.03, 0.02, 0.0, -0.03, -0.04, -0.03, -0.01)
_CRUDE = (0.0,) * 12
_GAS = (0.10, 0.08, 0.02, -0.06, -0.06, -0.04, -0.02, -0.02, -0.03, -0.02, 0.03, 0.08)
SHAPES = {
    "HE": Shape("GJKMNQVZ", "tenth", 82.0, 0.27, _HOGS, 62_000, "K"),
    "LE": Shape("GJMQVZ", "last", 150.0, 0.16, _CATTLE, 110_000),
    "GF": Shape("FHJKQUVX", "last", 190.0, 0.18, _CATTLE, 16_000),
    "ZO": Shape("HKNUZ", "before15", 360.0, 0.33, _GRAIN, 2_600),
    "ZR": Shape("FHKNUX", "before15", 14.5, 0.22, _GRAIN, 6_000),
    "ZC": Shape("HKNUZ", "before15", 430.0, 0.26, _GRAIN, 520_000),
    "ZS": Shape("FHKNQUX", "before15", 1080.0, 0.22, _GRAIN, 260_000, "QU"),
    "ZM": Shape("FHKNQUVZ", "before15", 340.0, 0.26, _GRAIN, 130_000, "QUV"),
    "ZL": Shape("FHKNQUVZ", "before15", 45.0, 0.27, _GRAIN, 140_000, "QUV"),
    "ZW": Shape("HKNUZ", "before15", 600.0, 0.30, _GRAIN, 150_000),
    "KE": Shape("HKNUZ", "before15", 590.0, 0.29, _GRAIN, 90_000),
    "CL": Shape(MONTH_CODES, "crude", 68.0, 0.34, _CRUDE, 330_000, close=dt.time(14, 30)),
    "NG": Shape(MONTH_CODES, "gas", 3.3, 0.45, _GAS, 220_000, close=dt.time(14, 30)),
}
# Prints of the real market that no seeded walk has: delivery month and day to settlement and low.
NEGATIVE_PRICES = {"CL": {(dt.date(2020, 5, 1), dt.date(2020, 4, 20)): (-37.63, -40.32)}}
# Days on which the nearest three contracts stay at their price limit, up (1) or down (-1). A little of 2019, when lean hogs did so on every
# seventh day; the curve returns to where it was going on the day after each run.
LOCKED_LEGS, LIMIT, BEYOND = 3, 3.0, 1.5  # contracts; cents from the settlement before; cents that options trade beyond it
LOCKS = {"HE": {dt.date(2019, 3, 13): 1, dt.date(2019, 3, 14): 1, dt.date(2019, 3, 15): -1, dt.date(2019, 4, 24): -1}}
OTHER = Shape("HKNUZ", "before15", 100.0, 0.25, _GRAIN, 20_000)


@dataclass(frozen=True)
class Contract:
    """
    One outright contract.

    Attributes:
        symbol: has one digit of the year, and comes back after ten.
        number: place in the listing.
        expiration: noon, in the exchange's zone, of the last trading day.
    """

    symbol: str
    instrument_id: int
    number: int
    month: dt.date
    listed: dt.date
    last_day: dt.date
    expiration: dt.datetime


@dataclass(frozen=True)
class ContractHistory:
    """A contract's numbers by session of its life: arrays of one length; ``fair`` is where options see it, beyond a limit too."""

    first: int
    settle: np.ndarray
    fair: np.ndarray
    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    volume: np.ndarray
    open_interest: np.ndarray
    preliminary: np.ndarray


@lru_cache(maxsize=8)
def session_index(calendar: Calendar) -> tuple[list[dt.date], dict[dt.date, int]]:
    """Every session from `FIRST_DAY` to the end of the last contract that can be listed, and each one's place."""
    days = calendar.session_days(FIRST_DAY, dt.date(dt.datetime.now(dt.UTC).year + 4, 12, 31))
    return days, {day: i for i, day in enumerate(days)}


def seed_of(*words: object) -> int:
    """A seed that depends on nothing but *words*."""
    return int.from_bytes(hashlib.sha256(":".join(map(str, words)).encode()).digest()[:8], "big")


def chance(share: float, *words: object) -> bool:
    """Whether a seeded event of probability *share* happens to *words*."""
    return seed_of("chance", *words) / 2**64 < share


class Curve:
    """The synthetic curve of *market*."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.calendar = market.calendar
        self.days, self.places = session_index(market.calendar)
        self.shape = SHAPES.get(market.symbol, OTHER)
        self._histories: dict[int, ContractHistory] = {}

    @cached_property
    def contracts(self) -> list[Contract]:
        """Every contract that expires after `FIRST_DAY`, in order of expiration."""
        days = self.days
        base = 1000 * (1 + seed_of("id", self.market.symbol) % 800)
        made: list[Contract] = []
        for year in range(FIRST_DAY.year, days[-1].year):  # of the delivery
            for code in self.shape.months:
                month = dt.date(year, MONTH_CODES.index(code) + 1, 1)
                last = self._last_day(month)
                if last >= FIRST_DAY:
                    # The exchange uses a number again: the same id is another contract ten years later.
                    number = base + (year % 10) * 12 + month.month - 1
                    listed = max(last - LISTED_AHEAD, FIRST_DAY)
                    made.append(
                        Contract(
                            f"{self.market.symbol}{code}{year % 10}", number, len(made), month, listed, last, self.calendar.at(last, NOON)
                        )
                    )
        return [contract for contract in made if contract.last_day in self.places]

    def _last_day(self, month: dt.date) -> dt.date:
        if self.shape.expiry in ("crude", "gas"):
            month = (month - dt.timedelta(1)).replace(day=1)
        end = (month + dt.timedelta(32)).replace(day=1) - dt.timedelta(1)
        days = self.calendar.session_days(month, end)
        if self.shape.expiry == "tenth":
            return days[9]
        if self.shape.expiry == "crude":  # where the 25th is no business day, counted from the one before it
            before = [day for day in days if day.day < 25]
            return before[-3 if dt.date(month.year, month.month, 25) in days else -4]
        if self.shape.expiry == "gas":
            return days[-3]
        return days[-1] if self.shape.expiry == "last" else [day for day in days if day.day < 15][-1]

    @cached_property
    def _factors(self) -> tuple[np.ndarray, np.ndarray]:
        """Log level and log slope a year of the curve, by session: each wanders and returns."""
        rng = np.random.default_rng(seed_of("curve", self.market.symbol))
        shocks = rng.standard_normal((len(self.days) + 400, 2))
        level = wander(shocks[:, 0] * self.shape.vol / np.sqrt(252), 0.997)
        slope = wander(shocks[:, 1] * 0.012, 0.99)
        return level[400:], slope[400:]  # begun well before, so that the first day is like any other

    def history(self, contract: Contract) -> ContractHistory:
        """The numbers of one contract, on each session from its listing to its last day."""
        if contract.number not in self._histories:
            self._histories[contract.number] = self._make_history(contract)
        return self._histories[contract.number]

    def _make_history(self, contract: Contract) -> ContractHistory:
        days, places = self.days, self.places
        first = places[next(day for day in days[max(0, places[contract.last_day] - 420) :] if day >= contract.listed)]
        last = places[contract.last_day]
        n = last - first + 1
        rng = np.random.default_rng(seed_of("life", self.market.symbol, contract.month))
        noise = rng.standard_normal((6, n))
        level, slope = (factor[first : last + 1] for factor in self._factors)
        left = np.array([(contract.last_day - day).days for day in days[first : last + 1]]) / 365
        # Nearer contracts move more (Samuelson); the season belongs to the delivery month.
        log_price = np.log(self.shape.level) + level * np.exp(-0.35 * left) + slope * left
        log_price = log_price + self.shape.season[contract.month.month - 1] + 0.0015 * noise[0]
        tick = self.market.tick
        settle = _on_tick(np.exp(log_price), tick)
        day_vol = self.shape.vol / np.sqrt(252)
        close = _on_tick(settle * np.exp(0.0012 * noise[1]), tick)
        opened = _on_tick(settle * np.exp(0.5 * day_vol * noise[2]), tick)
        spread = np.abs(noise[3]) * 0.6 * day_vol
        high = np.maximum.reduce([_on_tick(settle * np.exp(spread), tick), opened, close])
        low = np.minimum.reduce([_on_tick(settle * np.exp(-np.abs(noise[4]) * 0.6 * day_vol), tick), opened, close])
        sessions_left = np.arange(n - 1, -1, -1)
        # Open interest rises to its peak about fifty sessions before the end and is gone at it.
        rise = np.exp(-((np.maximum(sessions_left - 35, 0) / 62.0) ** 1.15))
        fall = 1 / (1 + np.exp(-(sessions_left - 17) / 3.5))
        code = MONTH_CODES[contract.month.month - 1]
        weight = 0.15 if code in self.shape.thin else 0.85 + 0.3 * (seed_of("weight", self.market.symbol, code) % 1000) / 1000
        interest = self.shape.peak_oi * weight * rise * fall * np.exp(0.004 * noise[5])
        age = np.arange(n)
        interest = np.floor(interest * np.minimum(1, age / 20))
        volume = np.floor(interest * 0.22 * np.exp(0.45 * noise[3] + 0.25 * noise[1]) * (0.3 + rise))
        for (month, day), (price, lowest) in NEGATIVE_PRICES.get(self.market.symbol, {}).items():
            if month == contract.month:
                settle[places[day] - first] = close[places[day] - first] = price
                low[places[day] - first] = lowest
        preliminary = settle + tick * np.where(np.abs(noise[2]) > 1.2, np.sign(noise[2]), 0)
        fair = settle.copy()
        for day, side in self._locks(contract).items():
            i = places[day] - first
            before = settle[i - 1]
            settle[i] = close[i] = preliminary[i] = before + side * LIMIT
            fair[i], opened[i] = settle[i] + side * BEYOND, before + side * LIMIT / 2
            low[i], high[i] = sorted((settle[i], before + side * LIMIT / 4))
        return ContractHistory(
            first, settle, fair, opened, high, low, close, volume.astype(np.int64), interest.astype(np.int64), preliminary
        )

    def _locks(self, contract: Contract) -> dict[dt.date, int]:
        """Days on which *contract*, one of the nearest then, stays at its limit; 1 up, -1 down."""
        return {
            day: side
            for day, side in LOCKS.get(self.market.symbol, {}).items()
            if contract in self.listed_on(day)[:LOCKED_LEGS] and contract.listed < day
        }

    def limits(self, contract: Contract, day: dt.date) -> tuple[float, float]:
        """Lowest and highest price that may be traded: around the settlement before, wider where the day is beyond it at 0 or less."""
        history, i = self.at(contract, day)
        before = float(history.settle[max(i - 1, 0)])
        if day in self._locks(contract):
            return before - LIMIT, before + LIMIT
        low, high = before - 0.08 * abs(before), before + 0.08 * abs(before)
        if min(before, float(history.low[i])) <= 0:
            return min(low, float(history.low[i]) - 0.1 * abs(before)), max(high, float(history.high[i]))
        return low, high

    def listed_on(self, day: dt.date) -> list[Contract]:
        """Contracts that trade on *day*, nearest first."""
        return [contract for contract in self.contracts if contract.listed <= day <= contract.last_day]

    def spreads_on(self, day: dt.date) -> list[tuple[str, int, Contract, Contract]]:
        """Calendar spreads of neighbours: symbol, id, near and far leg. Their prices are differences, often negative."""
        listed = self.listed_on(day)
        return [
            (f"{near.symbol}-{far.symbol}", 500_000_000 + near.instrument_id * 1000 + i, near, far)
            for i, (near, far) in enumerate(itertools.pairwise(listed))
        ]

    def at(self, contract: Contract, day: dt.date) -> tuple[ContractHistory, int]:
        """The contract's life and the place of *day* in it."""
        history = self.history(contract)
        return history, self.places[day] - history.first


def wander(shocks: np.ndarray, stay: float) -> np.ndarray:
    """Sums of *shocks* along the first axis, of which each step keeps the share *stay*."""
    levels = np.empty_like(shocks)
    level = np.zeros_like(shocks[0])
    for i, shock in enumerate(shocks):  # scipy.signal does it too, and takes a second to import
        levels[i] = level = shock + stay * level
    return levels


@lru_cache(maxsize=32)
def curve_of(market: Market) -> Curve:
    """The one curve of *market* in this process: what it has worked out serves every vendor that is started."""
    return Curve(market)


def is_degraded(day: dt.date) -> bool:
    """Whether the vendor flags the day as of reduced quality (some packets were lost)."""
    return chance(1 / 170, "degraded", day)


def is_restated(day: dt.date) -> bool:
    """Whether the vendor finds the lost packets of a degraded day later; the other degraded days stay as they are."""
    return is_degraded(day) and chance(1 / 2, "restated", day)


def _on_tick(price: np.ndarray, tick: float) -> np.ndarray:
    return np.asarray(np.maximum(np.round(price / tick), 1) * tick)
