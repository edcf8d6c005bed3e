"""A few days of options for tests: SYNTHETIC raw tables with everything that goes wrong in a thin chain, every vintage of them."""

import datetime as dt
import math
import random

import numpy as np
import pyarrow as pa

from hydra_assets.core.calendar import LIVESTOCK
from hydra_assets.core.tables.features import FEATURE_SCHEMA
from hydra_assets.core.tables.futures import FUTURES_STATISTICS
from hydra_assets.core.tables.options import OPTION_DEFINITIONS, OPTION_QUOTES, OPTION_STATISTICS
from hydra_assets.core.tables.rates import RATES, TENORS
from hydra_assets.options.american import american_price
from hydra_assets.options.svi import RawSvi
from hydra_assets_tests.support.futures_history import ct

TICK = 0.025
FUTURES = {  # symbol: id, expiration
    "HEZ5": (101, ct(dt.date(2025, 12, 12), "12:00")),
    "HEG6": (102, ct(dt.date(2026, 2, 13), "12:00")),
    "HEJ6": (103, ct(dt.date(2026, 4, 15), "12:00")),
}
SKEW = {"theta": 0.3**2, "rho": -0.35, "phi": 3.0}  # theta a year; phi of the slice


def midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), dt.UTC)


def tau_of(day: dt.date, expiration: dt.datetime) -> float:
    return (expiration - ct(day, "13:00")).total_seconds() / (365 * 86_400)


def smile_of(tau: float) -> RawSvi:
    return RawSvi.of_ssvi(theta=SKEW["theta"] * tau, rho=SKEW["rho"], phi=SKEW["phi"])


class History:
    """
    Raw tables of *days*; with a seed things go wrong in them, without one nothing does.

    Args:
        strikes: a contract. spread: of a quote, in ticks.
    """

    def __init__(self, first: dt.date, days: int, *, seed: int | None = None, strikes: int = 13, spread: int = 4) -> None:
        self.days = LIVESTOCK.session_days(first, first + dt.timedelta(2 * days + 10))[:days]
        self.dice = random.Random(seed)
        self.wild = seed is not None
        self.strikes, self.spread = strikes, spread
        self.rows: dict[str, list[dict]] = {
            name: [] for name in ("option_definitions", "option_quotes", "option_statistics", "futures_statistics", "rates")
        }
        dice = random.Random(f"curves of {seed}")
        for day in LIVESTOCK.session_days(first - dt.timedelta(12), self.days[-1]):
            self._curve(day, dice)
        for i, day in enumerate(self.days):
            self._day(day, i)

    def tables(self) -> dict[str, pa.Table]:
        schemas = {t.name: t.schema for t in (OPTION_DEFINITIONS, OPTION_QUOTES, OPTION_STATISTICS, FUTURES_STATISTICS, RATES)}
        return {name: pa.Table.from_pylist(rows, schema=schemas[name]) for name, rows in self.rows.items()}

    def _chance(self, share: float) -> bool:
        return self.wild and self.dice.random() < share

    def _curve(self, day: dt.date, dice: random.Random) -> None:
        """Yields of 4.5 % a year compounded continuously; in a wild history not flat, some missing, late or restated."""
        missing, late, restated = (self.wild and dice.random() < 0.15 for _ in range(3))
        flat = 200 * math.expm1(0.045 / 2)
        yields = {name: flat + (0.2 * math.sin(months) if self.wild else 0.0) for name, (_, months) in TENORS.items()}
        yields |= {name: None for name in yields if self.wild and dice.random() < 0.2}
        at = ct(day, "17:00") + (dt.timedelta(days=2, hours=3) if late else dt.timedelta())
        row = {"as_of": midnight(day), "available_at": at, **yields, "quality": "partial", "synthetic": True}
        changed = {"available_at": at + dt.timedelta(days=3), "par_3m": 6.0}
        self.rows["rates"] += [] if missing else [row, *([{**row, **changed}] if restated else [])]

    def _day(self, day: dt.date, i: int) -> None:
        after = LIVESTOCK.next_session(day)
        for k, (symbol, (number, expiration)) in enumerate(FUTURES.items()):
            if ct(day, "23:59") > expiration:
                continue
            level = 85.0 + 2 * k + 0.4 * np.sin(i + k)
            self._settle(symbol, number, expiration, day, after, round(level / TICK) * TICK, k)
            self._options(symbol, number, expiration, day, after, round(level / TICK) * TICK, k, i)

    def _settle(self, symbol, number, expiration, day, after, price, k) -> None:
        def said(at, value):
            return {
                **{"instrument": symbol, "instrument_id": number, "expiration": expiration, "stat": "settlement"},
                **{"as_of": midnight(day), "available_at": at, "stamped_at": at, "value": value, "is_final": True},
                **{"quality": "normal", "synthetic": True},
            }

        evening = ct(day, "18:00", 5 * k)
        corrected = self._chance(0.15)
        self.rows["futures_statistics"].append(said(evening, price + (2 * TICK if corrected else 0)))
        if corrected:
            self.rows["futures_statistics"].append(said(ct(after, "07:30"), price))
        if self._chance(0.08):  # taken back, and given again an hour later
            self.rows["futures_statistics"].append(said(ct(after, "08:00"), None))
            self.rows["futures_statistics"].append(said(ct(after, "09:00"), price))

    def _options(self, symbol, number, expiration, day, after, forward, k, i) -> None:
        tau = tau_of(day, expiration)
        step = 2.0
        centre = round(forward / step) * step
        for j in range(self.strikes):
            strike = centre + (j - self.strikes // 2) * step
            vol = float(np.sqrt(smile_of(tau).total_variance([[np.log(strike / forward)]])[0, 0] / tau))
            for right in ("C", "P"):
                option = number * 1000 + j * 2 + (right == "P")
                fair = american_price(forward, strike=strike, tau=tau, rate=0.045, vol=vol, right=1 if right == "C" else -1).item()
                self._define(f"{symbol} {right}{strike:.0f}", option, symbol, number, right, strike, expiration, day)
                self._quote(option, f"{symbol} {right}{strike:.0f}", day, fair)
                self._interest(option, f"{symbol} {right}{strike:.0f}", day, after, 400 - 45 * abs(j - self.strikes // 2) - 20 * k, j)

    def _define(self, name, option, symbol, number, right, strike, expiration, day) -> None:
        self.rows["option_definitions"].append(
            {
                **{"instrument": name, "instrument_id": option, "underlying": symbol, "underlying_id": number, "right": right},
                **{"strike": strike, "expiration": expiration, "as_of": midnight(day), "available_at": midnight(day)},
                **{"stamped_at": midnight(day), "tick": TICK, "multiplier": 400.0, "quality": "normal", "synthetic": True},
            }
        )

    def _quote(self, option, name, day, fair) -> None:
        half = self.spread * TICK / 2
        noise = self.dice.gauss(0, 0.25) * half if self.wild else 0.0
        bid, ask = fair + noise - half, fair + noise + half
        if self.wild:
            bid, ask = np.floor(bid / TICK) * TICK, np.ceil(ask / TICK) * TICK
        bid = max(bid, TICK / 2)
        if self._chance(0.05):
            return  # missing
        kind = self.dice.random() if self.wild else 1.0
        faults = ((0.04, (None, ask)), (0.06, (bid, None)), (0.09, (ask, bid)), (0.11, (bid, 0.0)))
        bid, ask = next((fault for share, fault in faults if kind < share), (bid, ask))
        row = {
            **{"instrument": name, "instrument_id": option, "as_of": midnight(day), "available_at": ct(day, "13:00")},
            **{"bid": bid, "ask": ask, "bid_size": 5, "ask_size": 5, "quoted_at": ct(day, "12:41")},
            **{"quality": "degraded" if self._chance(0.02) else "normal", "synthetic": True},
        }
        self.rows["option_quotes"].append(row)
        if self._chance(0.03) and bid and ask:  # mended by the vendor three days later
            later = {"available_at": ct(day, "13:00") + dt.timedelta(3), "bid": bid + TICK, "ask": ask + TICK}
            self.rows["option_quotes"].append({**row, **later})

    def _interest(self, option, name, day, after, interest, j) -> None:
        def said(at, stat, value, final):
            return {
                **{"instrument": name, "instrument_id": option, "stat": stat, "as_of": midnight(day), "available_at": at},
                **{"stamped_at": at, "value": value, "is_final": final, "quality": "normal", "synthetic": True},
            }

        rows = self.rows["option_statistics"]
        rows.append(said(ct(day, "18:01", j), "settlement", 1.0 + j, True))
        morning = ct(after, "06:45", 3 * j)
        if self._chance(0.01):
            morning = ct(after, "19:30")  # after that evening's settlement
        rows.append(said(morning, "open_interest", float(max(interest, 0)), None))
        if self._chance(0.02):
            rows.append(said(ct(after, "06:50", j), "open_interest", None, None))
            rows.append(said(ct(after, "10:00", j), "open_interest", float(max(interest, 0)), None))


def realised(days: list[dt.date], *, late: dt.date | None = None) -> pa.Table:
    """Futures features that options are joined with, made by hand: as of each of *days*, on its evening."""
    rows = []
    for i, day in enumerate(days):
        for name, value in (("fut_rv_21", 0.25 + 0.001 * i), ("fut_rv_252", 0.28)):
            at = ct(day, "18:00", 900) if day != late else ct(LIVESTOCK.next_session(day), "09:15")
            rows.append(
                {"feature_name": name, "as_of": midnight(day), "available_at": at, "value": value, "unit": "vol ann", "quality": "normal"}
            )
    return pa.Table.from_pylist(rows, schema=FEATURE_SCHEMA)
