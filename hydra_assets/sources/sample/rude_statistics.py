"""Statistics as the real vendor publishes them: pure functions from polite records, in order of receipt, to rude ones."""

import datetime as dt
from collections.abc import Callable

import databento_dbn as dbn
import numpy as np

from hydra_assets.core.calendar import GRAINS
from hydra_assets.sources.sample.curve import Contract, chance
from hydra_assets.sources.sample.monthly import NS_PER_S, SETTLES_FINAL, SETTLES_PRELIMINARY, clock_ns, midnight
from hydra_assets.sources.sample.rude_product import Product
from hydra_assets.sources.sample.rude_seeds import DAY_NS, date_of, day_numbers, happens, number_of

SETTLEMENT, CLEARED_VOLUME, OPEN_INTEREST = 3, 6, 9
NEW = 1
FLAGS_SINCE = dt.date(2015, 1, 1)
DATED_SINCE = dt.date(2018, 1, 1)
FAR = 365  # days to the last one from which a contract is seldom traded
CHANGED_SHARE = 0.0035  # of contract-days before 2015 whose settlement changes between prints
HOUR = 3600 * NS_PER_S
_POLITE_SETTLE = dt.time(13, 8)

Transformation = Callable[[np.ndarray, Product], np.ndarray]


def unflagged(rows: np.ndarray, _: Product) -> np.ndarray:
    """Flags 0 or 4 on settlements of sessions before 2015, and one price on all prints of most sessions."""
    rows, ref = rows.copy(), day_numbers(rows["ts_ref"])
    old = np.flatnonzero((rows["stat_type"] == SETTLEMENT) & (ref < number_of(FLAGS_SINCE)))
    numbers = rows["instrument_id"][old]
    rows["stat_flags"][old] = np.where(happens(0.3, "flags", numbers, ref[old]), 4, 0)
    sessions = list(zip(numbers.tolist(), ref[old].tolist(), strict=True))
    last = dict(zip(sessions, old.tolist(), strict=True))
    final = np.array([last[session] for session in sessions], dtype=np.int64)
    steady = ~happens(CHANGED_SHARE, "changed", numbers, ref[old])
    rows["price"][old[steady]] = rows["price"][final[steady]]
    return rows


def never_final(rows: np.ndarray, product: Product) -> np.ndarray:
    """Drop the final settlements of half of the sessions of far contracts."""
    ref = day_numbers(rows["ts_ref"])
    owner = product.owners(rows, product.received(rows))
    last = np.array([number_of(contract.last_day) for contract in product.curve.contracts])
    far = (owner >= 0) & (last[np.maximum(owner, 0)] - ref >= FAR)
    final = (rows["stat_type"] == SETTLEMENT) & (rows["stat_flags"] == SETTLES_FINAL)
    return np.asarray(rows[~(far & final & happens(0.5, "never final", rows["instrument_id"], ref))])


def friday(rows: np.ndarray, product: Product) -> np.ndarray:
    """Open interest and volume on the clock of the real vendor; a repeat in the morning, corrected now and then."""
    rows, ref = rows.copy(), day_numbers(rows["ts_ref"])
    counted = np.isin(rows["stat_type"], (CLEARED_VOLUME, OPEN_INTEREST)) & (rows["ts_ref"] != dbn.UNDEF_TIMESTAMP)
    weekday = np.zeros(len(rows), dtype=bool)
    for number in np.unique(ref[counted]).tolist():
        of_day, day = counted & (ref == number), date_of(number)
        is_friday = day.weekday() == 4
        base = midnight(day + dt.timedelta(2)) + 18 * HOUR if is_friday else midnight(day + dt.timedelta(1)) + 2 * HOUR
        morning = (
            clock_ns(product.curve.calendar, product.curve.calendar.next_session(day), "06:45") - 120 * NS_PER_S
        )  # a retraction precedes it
        _move(rows, of_day, base - morning)
        weekday |= of_day & (not is_friday)
    again = rows[weekday & (rows["update_action"] == NEW)]
    key = np.stack([again["instrument_id"].astype(np.int64), again["stat_type"].astype(np.int64), day_numbers(again["ts_ref"])])
    _, first_from_end = np.unique(key[:, ::-1], axis=1, return_index=True)
    again = again[np.sort(len(again) - 1 - first_from_end)] if len(again) else again
    _move(again, np.ones(len(again), dtype=bool), 12 * HOUR)
    corrected = happens(1 / 200, "corrected interest", again["instrument_id"], day_numbers(again["ts_ref"])) & (again["quantity"] > 10)
    again["quantity"][corrected] -= 3
    return in_order(np.concatenate([rows, again]))


def undated(rows: np.ndarray, product: Product) -> np.ndarray:
    """Clear ``ts_ref`` on open interest and volume before 2018; replays on one Sunday in four, without one in any year."""
    rows = rows.copy()
    counted = np.isin(rows["stat_type"], (CLEARED_VOLUME, OPEN_INTEREST))
    parts, received = [rows], product.received(rows)
    market = product.curve.market.symbol
    for number in range(int(received.min()), int(received.max()) + 1) if len(rows) else ():
        sunday = date_of(number)
        if sunday.weekday() != 6 or not chance(1 / 4, "replay", market, sunday):
            continue
        at = midnight(sunday) + 23 * HOUR
        known = np.flatnonzero(
            (rows["ts_recv"] > at - 4 * DAY_NS)
            & (rows["ts_recv"] < at)
            & (rows["update_action"] == NEW)
            & (counted | (rows["stat_type"] == SETTLEMENT))
        )
        last = {(row["instrument_id"], row["stat_type"]): place for place, row in zip(known.tolist(), rows[known], strict=True)}
        replay = rows[sorted(last.values())]
        replay = replay[happens(0.3, "replayed", replay["instrument_id"], np.full(len(replay), number))]
        replay["ts_recv"] = at + np.arange(len(replay)) * 1_000_125
        replay["ts_event"], replay["ts_ref"] = replay["ts_recv"] - 250_000, dbn.UNDEF_TIMESTAMP
        parts.append(replay)
    old = counted & (day_numbers(rows["ts_ref"]) < number_of(DATED_SINCE))
    rows["ts_ref"][old] = dbn.UNDEF_TIMESTAMP
    return in_order(np.concatenate(parts))


def early_final(rows: np.ndarray, product: Product) -> np.ndarray:
    """The final settlement of a contract's second session also on the evening before it, one contract a year."""
    parts = [rows]
    for contract in _each_year(rows, product, product.first_listed):
        second = product.curve.calendar.next_session(product.curve.calendar.next_session(contract.listed - dt.timedelta(1)))
        early = _settlements(rows, contract.instrument_id, second)[-1:]
        early["ts_recv"], early["stat_flags"] = midnight(second) - HOUR // 2, SETTLES_FINAL
        early["ts_event"] = early["ts_recv"] - 250_000
        parts.append(early)
    return in_order(np.concatenate(parts))


def after_expiry(rows: np.ndarray, product: Product) -> np.ndarray:
    """The last settlement repeated for the session after the expiration, one contract a year."""
    parts = [rows]
    for contract in _each_year(rows, product, product.first_to_expire):
        late, after = (
            _settlements(rows, contract.instrument_id, contract.last_day)[-1:],
            product.curve.calendar.next_session(contract.last_day),
        )
        late["ts_ref"], late["ts_recv"] = midnight(after), clock_ns(product.curve.calendar, after, "18:00") + 90 * NS_PER_S
        late["stat_flags"] = SETTLES_FINAL
        late["ts_event"] = late["ts_recv"] - 250_000
        parts.append(late)
    return in_order(np.concatenate(parts))


def undefined_quantity(rows: np.ndarray, _: Product) -> np.ndarray:
    """The sentinel in the place of one quantity in 300."""
    rows = rows.copy()
    counted = np.isin(rows["stat_type"], (CLEARED_VOLUME, OPEN_INTEREST)) & (rows["update_action"] == NEW)
    rows["quantity"][counted & happens(1 / 300, "no quantity", rows["instrument_id"], rows["ts_recv"])] = dbn.UNDEF_STAT_QUANTITY
    return rows


def grain_clock(rows: np.ndarray, product: Product) -> np.ndarray:
    """Preliminary settlements of grains from 13:15 on (14:00 from 2012-06-25 to 2013-04-05)."""
    if not product.is_grain:
        return rows
    rows = rows.copy()
    soon = (rows["stat_type"] == SETTLEMENT) & (rows["stat_flags"] == SETTLES_PRELIMINARY)
    _move(rows, soon, grain_delay(rows["ts_recv"], _POLITE_SETTLE)[soon])
    return in_order(rows)


def grain_delay(at: np.ndarray, clock: dt.time) -> np.ndarray:
    """Nanoseconds between *clock* and the grains' settlement on the days of *at*; never negative."""
    days = day_numbers(at)
    delay = np.zeros(len(at), dtype=np.int64)
    for number in np.unique(days).tolist():
        settles = GRAINS.settles_at.on(date_of(number))
        minutes = (settles.hour - clock.hour) * 60 + settles.minute - clock.minute
        delay[days == number] = max(minutes, 0) * 60 * NS_PER_S
    return delay


def in_order(rows: np.ndarray) -> np.ndarray:
    """*rows* by time of receipt; of one instant, as they were."""
    return np.asarray(rows[np.argsort(rows["ts_recv"], kind="stable")])


def _move(rows: np.ndarray, chosen: np.ndarray, by: int | np.ndarray) -> None:
    rows["ts_recv"][chosen] = rows["ts_recv"][chosen].astype(np.int64) + by
    rows["ts_event"][chosen] = rows["ts_event"][chosen].astype(np.int64) + by


def _each_year(rows: np.ndarray, product: Product, choose: Callable[[int], Contract | None]) -> list[Contract]:
    received = product.received(rows)
    if product.chain is not None or not len(rows):
        return []
    years = range(date_of(received.min()).year, date_of(received.max()).year + 1)
    return [contract for contract in map(choose, years) if contract is not None]


def _settlements(rows: np.ndarray, number: int, day: dt.date) -> np.ndarray:
    of_day = (rows["instrument_id"] == number) & (rows["stat_type"] == SETTLEMENT) & (rows["ts_ref"] == midnight(day))
    return np.array(rows[of_day])
