"""The synthetic curve as Databento would publish it: DBN records of futures and their calendar spreads."""

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import databento_dbn as dbn
import numpy as np

from hydra_assets.core.calendar import DEFAULT_CALENDAR
from hydra_assets.core.months import Month
from hydra_assets.sources.sample.curve import FIRST_DAY, Contract, Curve, chance, is_degraded, is_restated
from hydra_assets.sources.sample.monthly import (
    NS_PER_S,
    PUBLISHER,
    MonthlyRecords,
    Symbology,
    dtype_of,
    enum_of,
    fixed_price,
    is_first_version,
    last_modified,
    midnight,
    ns,
)

SETTLES_FINAL, SETTLES_PRELIMINARY = 3, 2  # FIX tag 731: bit 0 final, bit 1 actual
UNSET_FLAGS = 255
EXCHANGES = {"CME": "XCME", "CBOT": "XCBT", "NYMEX": "XNYM"}

Record = tuple[int, bytes]


class Publisher(MonthlyRecords):
    """The futures of one market; arguments as `MonthlyRecords`."""

    schemas = ("definition", "ohlcv-1d", "statistics")

    def __init__(self, curve: Curve, cache: Path | None, now: Callable[[], dt.datetime]) -> None:
        super().__init__(f"{curve.market.symbol}.FUT", curve.calendar, cache, now)
        self.curve = curve

    def symbology(self, first: dt.date, last: dt.date) -> Symbology:
        """Outright contracts, and the spreads of *first*."""
        outright = [(c.symbol, c.instrument_id, c.listed, c.last_day) for c in self.curve.contracts]
        spreads = self.curve.spreads_on(first) if first >= FIRST_DAY else []
        return outright + [(symbol, number, first, min(last, near.last_day, far.last_day)) for symbol, number, near, far in spreads]

    def _encode(self, schema: str, month: Month) -> np.ndarray:
        make = {"definition": self._definitions, "ohlcv-1d": self._bars, "statistics": self._statistics}[schema]
        # What a day says can be published up to a week later: the morning after a holiday.
        days = self._sessions(month, lag=7)
        low, high = midnight(month.first), midnight(month.next().first)
        made = sorted((record for day in days for record in make(day) if low <= record[0] < high), key=lambda record: record[0])
        return np.frombuffer(b"".join(body for _, body in made), dtype=dtype_of(schema))

    # ---------------------------------------------------------------- a day's records

    def _definitions(self, day: dt.date) -> Iterator[Record]:
        at, market, classes = midnight(day), self.curve.market, enum_of(dbn.InstrumentClass)

        def defined(symbol: str, number: int, kind: Any, contract: Contract, limits: tuple[int, int]) -> Record:
            message = dbn.InstrumentDefMsg(
                publisher_id=PUBLISHER,
                instrument_id=number,
                ts_event=at - 7 * 3600 * NS_PER_S,
                ts_recv=at,
                min_price_increment=fixed_price(market.tick),
                display_factor=fixed_price(0.01),
                raw_symbol=symbol,
                asset=market.symbol,
                security_type="FUT",
                instrument_class=kind,
                security_update_action=enum_of(dbn.SecurityUpdateAction).ADD,
                expiration=ns(contract.expiration),
                activation=midnight(contract.listed),
                low_limit_price=limits[0],
                high_limit_price=limits[1],
                currency="USD",
                settl_currency="USD",
                exchange=EXCHANGES.get(market.exchange, "XCME"),
                group=market.symbol,
                maturity_year=contract.month.year,
                maturity_month=contract.month.month,
            )
            return at, bytes(message)

        for contract in self.curve.listed_on(day):
            low, high = self.curve.limits(contract, day)
            limits = (fixed_price(low), fixed_price(high))
            yield defined(contract.symbol, contract.instrument_id, classes.FUTURE, contract, limits)
        for symbol, number, near, _ in self.curve.spreads_on(day):
            yield defined(symbol, number, classes.FUTURE_SPREAD, near, (dbn.UNDEF_PRICE, dbn.UNDEF_PRICE))

    def _bars(self, day: dt.date) -> Iterator[Record]:
        at = midnight(day)
        first_version = is_first_version(day, self._now())
        for contract in self.curve.listed_on(day):
            history, i = self.curve.at(contract, day)
            volume = int(history.volume[i])
            if not volume:
                continue  # no trade, no record
            if first_version:
                volume = max(1, volume * 3 // 4)  # packets were lost
            prices = [fixed_price(float(series[i])) for series in (history.open, history.high, history.low, history.close)]
            yield at, _bar(contract.instrument_id, at, prices, volume)
        for _, number, near, far in self.curve.spreads_on(day):
            a, i = self.curve.at(near, day)
            b, j = self.curve.at(far, day)
            if min(int(a.volume[i]), int(b.volume[j])) > 300:
                difference = fixed_price(float(a.close[i] - b.close[j]))
                yield at, _bar(number, at, [difference] * 4, 25)

    def _statistics(self, day: dt.date) -> Iterator[Record]:
        ref, after = midnight(day), self.calendar.next_session(day)
        symbol, tick = self.curve.market.symbol, self.curve.market.tick
        kinds, actions = enum_of(dbn.StatType), enum_of(dbn.StatUpdateAction)

        def record(
            number: int,
            kind: Any,
            at: int,
            *,
            price: int = dbn.UNDEF_PRICE,
            quantity: int = dbn.UNDEF_STAT_QUANTITY,
            flags: int = UNSET_FLAGS,
            of: int = ref,
            action: Any = None,
        ) -> Record:
            message = dbn.StatMsg(
                publisher_id=PUBLISHER,
                instrument_id=number,
                ts_event=at - 250_000,
                ts_recv=at,
                ts_ref=of,
                price=price,
                quantity=quantity,
                stat_type=kind,
                update_action=action or actions.NEW,
                stat_flags=flags,
            )
            return at, bytes(message)

        close, evening = ns(self.calendar.at(day, self.curve.shape.close)), self._at(day, "18:00")
        opened, soon = close - 270 * 60 * NS_PER_S, close + 8 * 60 * NS_PER_S
        morning = self._at(after, "06:45")
        # A final settlement that had to be corrected the next day; an open interest published, deleted and published again.
        corrected = chance(1 / 80, "corrected", symbol, day)
        retracted = chance(1 / 160, "retracted", symbol, day)
        for k, contract in enumerate(self.curve.listed_on(day)):
            history, i = self.curve.at(contract, day)
            number, settle = contract.instrument_id, float(history.settle[i])
            # Session statistics carry no reference date, and no settlement flags.
            yield record(
                number, kinds.OPENING_PRICE, opened + k * 900_000, price=fixed_price(float(history.open[i])), of=dbn.UNDEF_TIMESTAMP
            )
            settled = kinds.SETTLEMENT_PRICE
            yield record(number, settled, soon + k * 1_370_001, price=fixed_price(float(history.preliminary[i])), flags=SETTLES_PRELIMINARY)
            wrong = corrected and k == 1
            final = fixed_price(settle + (2 * tick if wrong else 0))
            yield record(number, settled, evening + 250_000 + k * 5_000_250, price=final, flags=SETTLES_FINAL)
            if wrong:
                mended = "07:30" if chance(0.5, "early", symbol, day) else "15:10"
                yield record(number, settled, self._at(after, mended), price=fixed_price(settle), flags=SETTLES_FINAL)
            volume, interest = int(history.volume[i]), int(history.open_interest[i])
            yield record(number, kinds.CLEARED_VOLUME, morning + k * 1_000_125, quantity=volume)
            if retracted and k == 3:
                early = morning - 60 * NS_PER_S
                yield record(number, kinds.OPEN_INTEREST, early, quantity=interest * 10)
                yield record(number, kinds.OPEN_INTEREST, early + 20 * NS_PER_S, quantity=interest * 10, action=actions.DELETE)
            yield record(number, kinds.OPEN_INTEREST, morning + 2 * NS_PER_S + k * 3_000_375, quantity=interest)
        for k, (_, number, near, far) in enumerate(self.curve.spreads_on(day)):
            a, i = self.curve.at(near, day)
            b, j = self.curve.at(far, day)
            price = fixed_price(float(a.settle[i] - b.settle[j]))
            yield record(number, kinds.SETTLEMENT_PRICE, evening + 100_000_000 + k * 5_000_250, price=price, flags=SETTLES_FINAL)


def condition(day: dt.date, now: dt.datetime, range_end: dt.datetime) -> tuple[str, dt.date]:
    """The vendor's word on *day* and when it last changed; a day past the range, and now and then the day before, is ``pending``."""
    late = chance(1 / 60, "pending", day) and now - range_end < dt.timedelta(1) and day == range_end.date() - dt.timedelta(1)
    if late or midnight(day) >= ns(range_end):
        return "pending", day
    degraded = is_degraded(day) and DEFAULT_CALENDAR.is_session(day) and (is_first_version(day, now) or not is_restated(day))
    return "degraded" if degraded else "available", last_modified(day, now)


def _bar(number: int, at: int, prices: list[int], volume: int) -> bytes:
    opened, high, low, close = prices
    message = dbn.OHLCVMsg(
        rtype=35, publisher_id=PUBLISHER, instrument_id=number, ts_event=at, open=opened, high=high, low=low, close=close, volume=volume
    )
    return bytes(message)
