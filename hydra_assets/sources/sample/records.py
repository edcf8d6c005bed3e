"""The synthetic curve as Databento would publish it: DBN records, month by month, kept in a cache once a month can no longer change."""

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import databento_dbn as dbn
import numpy as np

from hydra_assets.core.months import Month, months_between
from hydra_assets.core.sessions import is_session, session_days
from hydra_assets.sources.sample.curve import CHICAGO, FIRST_DAY, Contract, Curve, chance, is_degraded, next_session

SCHEMAS = ("definition", "ohlcv-1d", "statistics")
CACHE_VERSION = "2"  # of the curve and of this file: another one is another cache
RESTATED_AFTER = dt.timedelta(20)  # a degraded day is mended so much later
PUBLISHER = 1
SETTLES_FINAL, SETTLES_PRELIMINARY = 3, 2  # FIX tag 731: bit 0 final, bit 1 actual
UNSET_FLAGS = 255
_NS_PER_S = 1_000_000_000
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

Record = tuple[int, bytes]


def ns(when: dt.datetime) -> int:
    """Nanoseconds since 1970."""
    delta = when - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * _NS_PER_S + delta.microseconds * 1000


def midnight(day: dt.date) -> int:
    """00:00 UTC of *day*."""
    return ns(dt.datetime.combine(day, dt.time(), dt.UTC))


def dtype_of(schema: str) -> np.dtype:
    """The records of *schema* as a NumPy structure."""
    kind: Any = {"definition": dbn.InstrumentDefMsg, "ohlcv-1d": dbn.OHLCVMsg, "statistics": dbn.StatMsg}[schema]
    structure: np.dtype = np.dtype(kind._dtypes)
    return structure


def last_modified(day: dt.date, now: dt.datetime) -> dt.date:
    """When the vendor last changed what it has of *day*, as of *now*."""
    mended = day + RESTATED_AFTER
    return mended if is_degraded(day) and mended <= now.date() else day + dt.timedelta(1)


class Publisher:
    """
    Everything published of one market up to now.

    Args:
        cache: folder for encoded months; None encodes anew.
        now: its clock: it decides which version of a degraded day is served.
    """

    def __init__(self, curve: Curve, cache: Path | None, now: Callable[[], dt.datetime]) -> None:
        self.curve, self._now = curve, now
        self._cache = cache / f"dbn-{CACHE_VERSION}" / curve.market.symbol if cache else None
        self._held: dict[tuple[str, Month], np.ndarray] = {}

    def records(self, schema: str, low: int, high: int) -> np.ndarray:
        """Records with low <= index time < high (nanoseconds; ``ts_recv`` where the schema has one), in order of that time."""
        first = max((_EPOCH + dt.timedelta(microseconds=low // 1000)).date(), FIRST_DAY)
        last = (_EPOCH + dt.timedelta(microseconds=(high - 1) // 1000)).date()
        months = [self._month(schema, month) for month in months_between(first, last)] if first <= last else []
        if not months:
            return np.zeros(0, dtype=dtype_of(schema))
        joined = np.concatenate(months)
        at = joined["ts_recv" if "ts_recv" in (joined.dtype.names or ()) else "ts_event"]
        return np.asarray(joined[(at >= low) & (at < high)])

    def _month(self, schema: str, month: Month) -> np.ndarray:
        settled = month.last + RESTATED_AFTER + dt.timedelta(15) < self._now().date()
        if not settled:
            return self._encode(schema, month)  # not yet in its last version
        if (schema, month) not in self._held:
            self._held[schema, month] = self._from_cache(schema, month)
        return self._held[schema, month]

    def _from_cache(self, schema: str, month: Month) -> np.ndarray:
        if self._cache is None:
            return self._encode(schema, month)
        path = self._cache / schema / f"{month}.records"
        if path.exists():
            return np.frombuffer(path.read_bytes(), dtype=dtype_of(schema))
        made = self._encode(schema, month)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{id(made)}")
        temporary.write_bytes(made.tobytes())
        temporary.replace(path)
        return made

    def _encode(self, schema: str, month: Month) -> np.ndarray:
        make = {"definition": self._definitions, "ohlcv-1d": self._bars, "statistics": self._statistics}[schema]
        # What a day says can be published up to a week later: the morning after a holiday.
        days = session_days(max(month.first - dt.timedelta(7), FIRST_DAY), month.last)
        low, high = midnight(month.first), midnight(month.next().first)
        made = sorted((record for day in days for record in make(day) if low <= record[0] < high), key=lambda record: record[0])
        return np.frombuffer(b"".join(body for _, body in made), dtype=dtype_of(schema))

    # ---------------------------------------------------------------- a day's records

    def _definitions(self, day: dt.date) -> Iterator[Record]:
        at, market, classes = midnight(day), self.curve.market, _enum(dbn.InstrumentClass)

        def defined(symbol: str, number: int, kind: Any, contract: Contract, limits: tuple[int, int]) -> Record:
            message = dbn.InstrumentDefMsg(
                publisher_id=PUBLISHER,
                instrument_id=number,
                ts_event=at - 7 * 3600 * _NS_PER_S,
                ts_recv=at,
                min_price_increment=_price(market.tick),
                display_factor=_price(0.01),
                raw_symbol=symbol,
                asset=market.symbol,
                security_type="FUT",
                instrument_class=kind,
                security_update_action=_enum(dbn.SecurityUpdateAction).ADD,
                expiration=ns(contract.expiration),
                activation=midnight(contract.listed),
                low_limit_price=limits[0],
                high_limit_price=limits[1],
                currency="USD",
                settl_currency="USD",
                exchange="XCME",
                group=market.symbol,
                maturity_year=contract.month.year,
                maturity_month=contract.month.month,
            )
            return at, bytes(message)

        for contract in self.curve.listed_on(day):
            life, i = self.curve.at(contract, day)
            before = float(life.settle[max(i - 1, 0)])
            limits = (_price(before * 0.92), _price(before * 1.08))
            yield defined(contract.symbol, contract.instrument_id, classes.FUTURE, contract, limits)
        for symbol, number, near, _ in self.curve.spreads_on(day):
            yield defined(symbol, number, classes.FUTURE_SPREAD, near, (dbn.UNDEF_PRICE, dbn.UNDEF_PRICE))

    def _bars(self, day: dt.date) -> Iterator[Record]:
        at = midnight(day)
        first_version = is_degraded(day) and day + RESTATED_AFTER > self._now().date()
        for contract in self.curve.listed_on(day):
            life, i = self.curve.at(contract, day)
            volume = int(life.volume[i])
            if not volume:
                continue  # no trade, no record
            if first_version:
                volume = max(1, volume * 3 // 4)  # packets were lost
            prices = [_price(float(series[i])) for series in (life.open, life.high, life.low, life.close)]
            yield at, _bar(contract.instrument_id, at, prices, volume)
        for _, number, near, far in self.curve.spreads_on(day):
            a, i = self.curve.at(near, day)
            b, j = self.curve.at(far, day)
            if min(int(a.volume[i]), int(b.volume[j])) > 300:
                difference = _price(float(a.close[i] - b.close[j]))
                yield at, _bar(number, at, [difference] * 4, 25)

    def _statistics(self, day: dt.date) -> Iterator[Record]:
        ref, after = midnight(day), next_session(day)
        symbol, tick = self.curve.market.symbol, self.curve.market.tick
        kinds, actions = _enum(dbn.StatType), _enum(dbn.StatUpdateAction)

        def said(
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

        opened, soon, evening = (_clock(day, clock) for clock in ("08:30", "13:08", "18:00"))
        morning = _clock(after, "06:45")
        # A final settlement that had to be corrected the next day; an open interest published, deleted and published again.
        corrected = chance(1 / 80, "corrected", symbol, day)
        retracted = chance(1 / 160, "retracted", symbol, day)
        for k, contract in enumerate(self.curve.listed_on(day)):
            life, i = self.curve.at(contract, day)
            number, settle = contract.instrument_id, float(life.settle[i])
            # Session statistics carry no reference date, and no settlement flags.
            yield said(number, kinds.OPENING_PRICE, opened + k * 900_000, price=_price(float(life.open[i])), of=dbn.UNDEF_TIMESTAMP)
            settled = kinds.SETTLEMENT_PRICE
            yield said(number, settled, soon + k * 1_370_001, price=_price(float(life.preliminary[i])), flags=SETTLES_PRELIMINARY)
            wrong = corrected and k == 1
            final = _price(settle + (2 * tick if wrong else 0))
            yield said(number, settled, evening + 250_000 + k * 5_000_250, price=final, flags=SETTLES_FINAL)
            if wrong:
                mended = "07:30" if chance(0.5, "early", symbol, day) else "15:10"
                yield said(number, settled, _clock(after, mended), price=_price(settle), flags=SETTLES_FINAL)
            volume, interest = int(life.volume[i]), int(life.open_interest[i])
            yield said(number, kinds.CLEARED_VOLUME, morning + k * 1_000_125, quantity=volume)
            if retracted and k == 3:
                early = morning - 60 * _NS_PER_S
                yield said(number, kinds.OPEN_INTEREST, early, quantity=interest * 10)
                yield said(number, kinds.OPEN_INTEREST, early + 20 * _NS_PER_S, quantity=interest * 10, action=actions.DELETE)
            yield said(number, kinds.OPEN_INTEREST, morning + 2 * _NS_PER_S + k * 3_000_375, quantity=interest)
        for k, (_, number, near, far) in enumerate(self.curve.spreads_on(day)):
            a, i = self.curve.at(near, day)
            b, j = self.curve.at(far, day)
            price = _price(float(a.settle[i] - b.settle[j]))
            yield said(number, kinds.SETTLEMENT_PRICE, evening + 100_000_000 + k * 5_000_250, price=price, flags=SETTLES_FINAL)


def condition(day: dt.date, now: dt.datetime, range_end: dt.datetime) -> tuple[str, dt.date]:
    """The vendor's word on *day* and when it last changed; a day past the range, and now and then the day before, is ``pending``."""
    late = chance(1 / 60, "pending", day) and now - range_end < dt.timedelta(1) and day == range_end.date() - dt.timedelta(1)
    if late or midnight(day) >= ns(range_end):
        return "pending", day
    return "degraded" if is_degraded(day) and is_session(day) else "available", last_modified(day, now)


def _enum(kind: Any) -> Any:
    """The encoder's stubs say that its enums' members are numbers; they are members."""
    return kind


def _price(price: float) -> int:
    """DBN's fixed point: 1e-9 of a price unit."""
    return round(price * 1e6) * 1000


def _clock(day: dt.date, clock: str) -> int:
    return ns(dt.datetime.combine(day, dt.time.fromisoformat(clock), CHICAGO).astimezone(dt.UTC))


def _bar(number: int, at: int, prices: list[int], volume: int) -> bytes:
    opened, high, low, close = prices
    message = dbn.OHLCVMsg(
        rtype=35, publisher_id=PUBLISHER, instrument_id=number, ts_event=at, open=opened, high=high, low=low, close=close, volume=volume
    )
    return bytes(message)
