"""
The synthetic chain as Databento would publish it: definitions, one-minute quotes, statistics; every flaw of real ones in it.

Quotes are sparse: a record only where the book changed. Sides are missing, asks are 0, books are crossed, strikes are silent for a
day or since the morning, and some records come after the desk's cut. Combinations that users defined (class T) are among them.
"""

import datetime as dt
from collections.abc import Callable
from functools import partial
from pathlib import Path

import databento_dbn as dbn
import numpy as np

from hydra_assets.sources.sample.curve import FIRST_DAY, chance, seed_of
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
    many,
    midnight,
    ns,
)
from hydra_assets.sources.sample.smile import COMBINATION_IDS, Chain, ChainDay

MINUTE = 60 * NS_PER_S
CUT, LAST = 270, 275  # minutes from the opening to the close (08:30 to 13:00 for livestock) and to five minutes after it
NOON = 210
# First and last minute of what can be up to six records of one option and day; the fifth ends at the cut, the sixth comes after it.
SLOTS = np.array([(1, 20), (21, 97), (98, 174), (175, 254), (255, CUT), (CUT + 1, LAST)])
ASKED, BY_MORNING = np.array([0.8, 0.75, 0.7, 0.75, 0.9, 0.35]), 120
COMBINATIONS = 2  # a day


class OptionPublisher(MonthlyRecords):
    """The options of one market; other arguments as `MonthlyRecords`."""

    schemas = ("definition", "bbo-1m", "statistics")

    def __init__(self, chain: Chain, cache: Path | None, now: Callable[[], dt.datetime]) -> None:
        super().__init__(f"{chain.root}.OPT", chain.curve.calendar, cache, now)
        self.chain = chain

    def symbology(self, first: dt.date, last: dt.date) -> Symbology:
        """Options, each from the day of its listing, and combinations."""
        days, found = self.chain.curve.days, []
        for contract in self.chain.curve.contracts:
            if contract.last_day < first or self.chain.begins(contract) > last:
                continue
            series = self.chain.series(contract)
            for strike, place in enumerate(np.argmax(series.listed, axis=0)):
                for side in range(2):
                    name, number = series.symbols[strike, side].decode(), int(series.numbers[strike, side])
                    found.append((name, number, days[series.first + int(place)], contract.last_day))
        for day in self.calendar.session_days(max(first, FIRST_DAY), last):
            found += [(symbol, number, day, day) for symbol, number in self._combinations(day)]
        return found

    def _opens(self, day: dt.date) -> int:
        return ns(self.calendar.at(day, self.chain.curve.shape.close)) - CUT * MINUTE

    def _combinations(self, day: dt.date) -> list[tuple[str, int]]:
        """Combinations that users defined on *day*, valid for that day alone."""
        base = seed_of("combination", self.chain.root) % 9_000
        first = COMBINATION_IDS + base * 100_000 + day.year % 10 * 10_000 + day.timetuple().tm_yday * 20
        return [(f"UD:1V: VT {base:04d}{day:%j}{k}", first + k) for k in range(COMBINATIONS)]

    def _of_day(self, schema: str, day: dt.date) -> np.ndarray:
        make = {"definition": self._definitions, "bbo-1m": self._quotes, "statistics": self._statistics}[schema]
        return make(day, self.chain.on(day))

    # ---------------------------------------------------------------- a day's records

    def _definitions(self, day: dt.date, chain: ChainDay) -> np.ndarray:
        market, root, n = self.chain.curve.market, self.chain.root, len(chain.number)
        blank = dbn.InstrumentDefMsg(
            publisher_id=PUBLISHER,
            instrument_id=0,
            ts_event=midnight(day) - 7 * 3600 * NS_PER_S,
            ts_recv=midnight(day),
            min_price_increment=fixed(self.chain.listing.tick).item(),
            display_factor=fixed(0.01).item(),
            raw_symbol="",
            asset=root,
            security_type="OOF",
            instrument_class=enum_of(dbn.InstrumentClass).CALL,
            security_update_action=enum_of(dbn.SecurityUpdateAction).ADD,
            currency="USD",
            settl_currency="USD",
            strike_price_currency="USD",
            exchange=EXCHANGES.get(market.exchange, "XCME"),
            group=root,
        )
        rows = many(blank, "definition", n + COMBINATIONS)
        options, combined = rows[:n], rows[n:]
        options["instrument_id"], options["raw_symbol"] = chain.number, chain.symbol
        options["strike_price"], options["instrument_class"] = fixed(chain.strike), np.where(chain.right > 0, b"C", b"P")
        for name, values in (
            ("underlying", np.array([contract.symbol for contract in chain.contracts], dtype="S21")),
            ("underlying_id", np.array([contract.instrument_id for contract in chain.contracts])),
            ("expiration", np.array([ns(contract.expiration) for contract in chain.contracts], dtype=np.uint64)),
            ("activation", np.array([midnight(self.chain.begins(contract)) for contract in chain.contracts], dtype=np.uint64)),
            ("maturity_year", np.array([contract.month.year for contract in chain.contracts])),
            ("maturity_month", np.array([contract.month.month for contract in chain.contracts])),
        ):
            options[name] = values[chain.series]
        combined["instrument_class"], combined["user_defined_instrument"] = b"T", b"Y"
        combined["security_type"], combined["expiration"] = b"MLEG", ns(chain.contracts[0].expiration)
        for row, (symbol, number) in zip(combined, self._combinations(day), strict=True):
            row["raw_symbol"], row["instrument_id"] = symbol.encode(), number
        return rows

    def _quotes(self, day: dt.date, chain: ChainDay) -> np.ndarray:
        market, tick, n = self.chain.curve.market.symbol, self.chain.listing.tick, len(chain.number)
        rng = np.random.default_rng(seed_of("quotes", market, day))
        opens = self._opens(day)
        minute, there = _minutes(chain, rng)
        mid = _values_at(chain, minute, self.chain.curve.shape.vol, rng) / tick
        wide = np.maximum(np.round(chain.spread[:, None] * np.exp(0.12 * rng.standard_normal(minute.shape))), 1)
        bid = np.floor(mid - wide / 2 + 0.25 * wide * np.clip(rng.standard_normal(minute.shape), -1.5, 1.5) + 0.5)
        ask = np.maximum(bid, 0) + wide
        odd = rng.random(minute.shape)
        crossed = (odd > 0.994) & (bid > 1)
        bid, ask = np.where(crossed, ask, bid), np.where(crossed, bid, ask)
        no_bid = (bid < 1) | (odd < 0.012) | ((odd > 0.030) & (odd < 0.033))
        no_ask = ((odd > 0.012) & (odd < 0.024)) | ((odd > 0.030) & (odd < 0.033))
        zero_ask, zero_bid = (odd > 0.024) & (odd < 0.028), rng.random(minute.shape) < 0.5
        lost = rng.random(n) < 0.3  # packets, in the first version of a degraded day
        if is_first_version(day, self._now()):
            there[lost, 4] = False
        rows = many(
            dbn.BBOMsg(
                rtype=196, publisher_id=PUBLISHER, instrument_id=0, ts_event=dbn.UNDEF_TIMESTAMP, ts_recv=0, price=dbn.UNDEF_PRICE, size=0,
                side=enum_of(dbn.Side).NONE, flags=0x80, levels=enum_of(dbn.BidAskPair(0, 0, 0, 0, 0, 0)),
            ),
            "bbo-1m",
            n * len(SLOTS),
        )  # fmt: skip
        rows["instrument_id"], rows["ts_recv"] = np.repeat(chain.number, len(SLOTS)), (opens + minute * MINUTE).ravel()
        rows["bid_px_00"] = np.where(no_bid, np.where(zero_bid, 0, dbn.UNDEF_PRICE), fixed(bid * tick)).ravel()
        rows["ask_px_00"] = np.where(zero_ask, 0, np.where(no_ask, dbn.UNDEF_PRICE, fixed(ask * tick))).ravel()
        for side, gone in (("bid", no_bid), ("ask", no_ask | zero_ask)):
            orders = 1 + rng.geometric(0.5, minute.shape)
            rows[f"{side}_ct_00"] = np.where(gone, 0, orders).ravel()
            rows[f"{side}_sz_00"] = np.where(gone, 0, orders * rng.geometric(0.08, minute.shape)).ravel()
        # The record's own ts_event and price are those of the last trade, if there was one that day: not of the quote.
        trade = 1 + np.floor(rng.random(n) * 200)[:, None]
        traded = ((chain.volume[:, None] > 0) & (minute > trade)).ravel()
        rows["ts_event"][traded] = np.broadcast_to(opens + trade.astype(np.int64) * MINUTE - 17_000_333, minute.shape).ravel()[traded]
        rows["price"][traded], rows["size"][traded] = np.repeat(fixed(np.maximum(np.round(chain.value / tick), 1) * tick), 6)[traded], 1
        rows["side"][traded] = b"A"
        combined = rows[:COMBINATIONS].copy()
        combined["ts_recv"], combined["bid_px_00"], combined["ask_px_00"] = opens + 100 * MINUTE, fixed(-0.5), fixed(0.75)
        combined["instrument_id"] = [number for _, number in self._combinations(day)]
        return np.concatenate([rows[there.ravel()], combined])

    def _statistics(self, day: dt.date, chain: ChainDay) -> np.ndarray:
        market, tick, n = self.chain.curve.market.symbol, self.chain.listing.tick, len(chain.number)
        rng = np.random.default_rng(seed_of("statistics", market, day))
        after, rank = self.calendar.next_session(day), np.arange(n)
        settle = np.round(chain.value / tick)
        preliminary = np.maximum(settle + np.where(rng.random(n) < 0.12, rng.choice([-1, 1], n), 0), 0)
        corrected, final = chance(1 / 80, "corrected options", market, day), settle.copy()
        wrong = int(np.argmax(chain.interest))
        if corrected:
            final[wrong] += 3
        say = partial(self._statistics_of, day, tick=tick)
        kinds, morning = enum_of(dbn.StatType), self._at(after, "06:46")
        soon = self._opens(day) + (CUT + 9) * MINUTE + rank * 2_000_125
        evening = self._at(day, "18:00") + 20 * NS_PER_S + rank * 200_000_125
        parts = [
            say(chain.number, kinds.SETTLEMENT_PRICE, soon, preliminary, flags=SETTLES_PRELIMINARY),
            say(chain.number, kinds.SETTLEMENT_PRICE, evening, final, flags=SETTLES_FINAL),
        ]
        if corrected:
            mended = self._at(after, "07:30" if chance(0.5, "early", market, day) else "15:10")
            one = slice(wrong, wrong + 1)
            parts.append(say(chain.number[one], kinds.SETTLEMENT_PRICE, np.array([mended]), settle[one], flags=SETTLES_FINAL))
        traded = np.flatnonzero(chain.volume > 0)
        parts.append(say(chain.number[traded], kinds.CLEARED_VOLUME, morning + traded * 1_000_125, chain.volume[traded]))
        parts.append(say(chain.number, kinds.OPEN_INTEREST, morning + 2 * NS_PER_S + rank * 3_000_375, chain.interest))
        if chance(1 / 160, "retracted options", market, day):  # an open interest published, deleted, and published again
            early, one = morning - 60 * NS_PER_S, slice(wrong, wrong + 1)
            for at, action in ((early, None), (early + 20 * NS_PER_S, enum_of(dbn.StatUpdateAction).DELETE)):
                parts.append(say(chain.number[one], kinds.OPEN_INTEREST, np.array([at]), chain.interest[one] * 10, action=action))
        # A session's figures about itself carry no reference date and no settlement flags.
        spoken = say(chain.number[traded], kinds.OPENING_PRICE, self._opens(day) + traded * 900_000, settle[traded], dated=False)
        numbers = np.array([number for _, number in self._combinations(day)])
        combined = say(numbers, kinds.OPEN_INTEREST, np.full(COMBINATIONS, morning), np.zeros(COMBINATIONS))
        return np.concatenate([spoken, *parts, combined])


def _minutes(chain: ChainDay, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The minute, counted from the opening, of each possible record, and whether it is there; shape (options, slots)."""
    n, (low, high) = len(chain.number), SLOTS.T
    chances = rng.random((n, len(SLOTS)))
    chances[:, 4] = 1 - chances[:, 4] ** 2  # the book of most options moves until the close
    minute = low + np.floor((high - low + 1) * np.minimum(chances, 0.999999)).astype(np.int64)
    busy = np.where(chain.interest >= 50, 1.0, 0.8)[:, None]
    there = rng.random((n, len(SLOTS))) < ASKED * busy
    silent, stale = rng.random(n), rng.random(n)
    idle = chain.interest < 50
    there[silent < np.where(idle, 0.22, 0.03)] = False
    gone_by_noon = stale < np.where(idle, 0.15, 0.05)
    there &= ~(gone_by_noon[:, None] & (minute > BY_MORNING))
    there &= ~(chain.last_day[:, None] & (minute > NOON))
    return minute, there


def _values_at(chain: ChainDay, minute: np.ndarray, vol: float, rng: np.random.Generator) -> np.ndarray:
    """Option values at each minute; the future moves from its opening to its settlement, with a swing within the day."""
    swing, drift = (rng.standard_normal(len(chain.contracts))[chain.series][:, None] * chain.forward[:, None] for _ in range(2))
    share = np.minimum(minute / CUT, 1.0)
    day_vol = vol / np.sqrt(252)
    move = (chain.opened - chain.forward)[:, None] * (1 - share) + 0.25 * day_vol * swing * np.sin(2 * np.pi * share)
    move = move + 0.06 * day_vol * drift * np.maximum(minute - CUT, 0) / (LAST - CUT)
    worth = chain.value[:, None] + chain.delta[:, None] * move + 0.5 * chain.gamma[:, None] * move**2
    exercised = np.maximum(chain.right[:, None] * (chain.forward[:, None] + move - chain.strike[:, None]), 0.0)
    return np.asarray(np.maximum(worth, exercised))
