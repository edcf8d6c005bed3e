"""The synthetic curve as Databento would publish it: DBN records of futures and their calendar spreads."""

import datetime as dt
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import databento_dbn as dbn
import numpy as np

from hydra_assets.core.calendar import DEFAULT_CALENDAR
from hydra_assets.sources.sample.curve import FIRST_DAY, Contract, Curve, chance, is_degraded, is_restated
from hydra_assets.sources.sample.monthly import (
    EXCHANGES,
    NS_PER_S,
    PUBLISHER,
    SETTLES_FINAL,
    SETTLES_PRELIMINARY,
    MonthlyRecords,
    Symbology,
    enum_of,
    fixed,
    is_first_version,
    last_modified,
    many,
    midnight,
    ns,
)


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

    def _of_day(self, schema: str, day: dt.date) -> np.ndarray:
        return {"definition": self._definitions, "ohlcv-1d": self._bars, "statistics": self._statistics}[schema](day)

    # ---------------------------------------------------------------- a day's records

    def _values(self, name: str, contracts: Sequence[Contract], day: dt.date) -> np.ndarray:
        """A number of each of *contracts* on *day*: a field of `ContractHistory`."""
        return np.array([getattr(history, name)[i] for history, i in (self.curve.at(contract, day) for contract in contracts)])

    def _definitions(self, day: dt.date) -> np.ndarray:
        at, market, contracts, spreads = midnight(day), self.curve.market, self.curve.listed_on(day), self.curve.spreads_on(day)
        blank = dbn.InstrumentDefMsg(
            publisher_id=PUBLISHER,
            instrument_id=0,
            ts_event=at - 7 * 3600 * NS_PER_S,
            ts_recv=at,
            min_price_increment=fixed(market.tick).item(),
            display_factor=fixed(0.01).item(),
            raw_symbol="",
            asset=market.symbol,
            security_type="FUT",
            instrument_class=enum_of(dbn.InstrumentClass).FUTURE,
            security_update_action=enum_of(dbn.SecurityUpdateAction).ADD,
            currency="USD",
            settl_currency="USD",
            exchange=EXCHANGES.get(market.exchange, "XCME"),
            group=market.symbol,
        )
        rows = many(blank, "definition", len(contracts) + len(spreads))
        outright, combined = rows[: len(contracts)], rows[len(contracts) :]
        near = [*contracts, *(leg for _, _, leg, _ in spreads)]
        rows["raw_symbol"] = np.array([*(c.symbol for c in contracts), *(symbol for symbol, *_ in spreads)], dtype="S")
        rows["instrument_id"] = [*(c.instrument_id for c in contracts), *(number for _, number, *_ in spreads)]
        rows["expiration"], rows["activation"] = [ns(c.expiration) for c in near], [midnight(c.listed) for c in near]
        rows["maturity_year"], rows["maturity_month"] = [c.month.year for c in near], [c.month.month for c in near]
        combined["instrument_class"] = b"S"
        for place, name in enumerate(("low_limit_price", "high_limit_price")):
            outright[name] = fixed([self.curve.limits(contract, day)[place] for contract in contracts])
        return rows

    def _bars(self, day: dt.date) -> np.ndarray:
        contracts, spreads = self.curve.listed_on(day), self.curve.spreads_on(day)
        volume = self._values("volume", contracts, day)
        traded = volume > 0  # no trade, no record
        if is_first_version(day, self._now()):
            volume = np.maximum(1, volume * 3 // 4)  # packets were lost
        near, far = [leg for _, _, leg, _ in spreads], [leg for *_, leg in spreads]
        busy = np.minimum(self._values("volume", near, day), self._values("volume", far, day)) > 300
        numbers = np.array([*(c.instrument_id for c in contracts), *(number for _, number, *_ in spreads)])
        message = dbn.OHLCVMsg(
            rtype=35, publisher_id=PUBLISHER, instrument_id=0, ts_event=midnight(day), open=0, high=0, low=0, close=0, volume=25
        )
        rows = many(message, "ohlcv-1d", len(numbers))
        rows["instrument_id"], rows["volume"][: len(contracts)] = numbers, volume
        difference = self._values("close", near, day) - self._values("close", far, day)
        for name in ("open", "high", "low", "close"):
            rows[name] = fixed(np.concatenate([self._values(name, contracts, day), difference]))
        return np.asarray(rows[np.concatenate([traded, busy])])

    def _statistics(self, day: dt.date) -> np.ndarray:
        after, symbol, tick = self.calendar.next_session(day), self.curve.market.symbol, self.curve.market.tick
        kinds, say = enum_of(dbn.StatType), partial(self._statistics_of, day)
        contracts, spreads = self.curve.listed_on(day), self.curve.spreads_on(day)
        numbers, rank = np.array([contract.instrument_id for contract in contracts]), np.arange(len(contracts))
        settle, interest = self._values("settle", contracts, day), self._values("open_interest", contracts, day)
        opened, preliminary, volume = (self._values(name, contracts, day) for name in ("open", "preliminary", "volume"))
        close, evening, morning = ns(self.calendar.at(day, self.curve.shape.close)), self._at(day, "18:00"), self._at(after, "06:45")
        final, opens, soon = settle.copy(), close - 270 * 60 * NS_PER_S, close + 8 * 60 * NS_PER_S
        parts = []
        if chance(1 / 80, "corrected", symbol, day) and len(contracts) > 1:  # a final settlement that had to be corrected the next day
            final[1] += 2 * tick
            mended = self._at(after, "07:30" if chance(0.5, "early", symbol, day) else "15:10")
            parts.append(say(numbers[1:2], kinds.SETTLEMENT_PRICE, mended, settle[1:2], flags=SETTLES_FINAL))
        if chance(1 / 160, "retracted", symbol, day):  # an open interest published, deleted and published again
            for at, action in ((morning - 60 * NS_PER_S, None), (morning - 40 * NS_PER_S, enum_of(dbn.StatUpdateAction).DELETE)):
                parts.append(say(numbers[3:4], kinds.OPEN_INTEREST, at, interest[3:4] * 10, action=action))
        near, far = (self._values("settle", legs, day) for legs in ([leg for _, _, leg, _ in spreads], [leg for *_, leg in spreads]))
        combined, late = np.array([number for _, number, *_ in spreads]), evening + 100_000_000 + np.arange(len(spreads)) * 5_000_250
        return np.concatenate(
            [
                # Session statistics carry no reference date, and no settlement flags.
                say(numbers, kinds.OPENING_PRICE, opens + rank * 900_000, opened, dated=False),
                say(numbers, kinds.SETTLEMENT_PRICE, soon + rank * 1_370_001, preliminary, flags=SETTLES_PRELIMINARY),
                say(numbers, kinds.SETTLEMENT_PRICE, evening + 250_000 + rank * 5_000_250, final, flags=SETTLES_FINAL),
                say(numbers, kinds.CLEARED_VOLUME, morning + rank * 1_000_125, volume),
                say(numbers, kinds.OPEN_INTEREST, morning + 2 * NS_PER_S + rank * 3_000_375, interest),
                say(combined, kinds.SETTLEMENT_PRICE, late, near - far, flags=SETTLES_FINAL),
                *parts,
            ]
        )


def condition(day: dt.date, now: dt.datetime, range_end: dt.datetime) -> tuple[str, dt.date]:
    """The vendor's word on *day* and when it last changed; a day past the range, and now and then the day before, is ``pending``."""
    late = chance(1 / 60, "pending", day) and now - range_end < dt.timedelta(1) and day == range_end.date() - dt.timedelta(1)
    if late or midnight(day) >= ns(range_end):
        return "pending", day
    degraded = is_degraded(day) and DEFAULT_CALENDAR.is_session(day) and (is_first_version(day, now) or not is_restated(day))
    return "degraded" if degraded else "available", last_modified(day, now)
