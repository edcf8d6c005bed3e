"""
Settlements, cleared volume and open interest from DBN statistics: each placed on its session, or quarantined by itself.

A settlement's flags are the bits of FIX tag 731: 0 final, 1 actual (else theoretical), 3 intraday, 7 unset (255 means no flags). The feed
before about 2015 sets none of them, and before about 2018 open interest and volume have no reference date.
"""

import datetime as dt
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from hydra_assets.core.calendar import DEFAULT_CALENDAR, Calendar
from hydra_assets.sources.databento_join import Definitions, unknown
from hydra_assets.sources.databento_records import (
    DAY_NS,
    EPOCH,
    UNDEF_PRICE,
    UNDEF_TIME,
    Degraded,
    Parsed,
    Within,
    by_day,
    last_of,
    prices_of,
    quality_of,
    records_of,
    times_of,
)

if TYPE_CHECKING:
    from databento.common.dbnstore import DBNStore


SETTLEMENT, CLEARED_VOLUME, OPEN_INTEREST = 3, 6, 9
STATS = {SETTLEMENT: "settlement", CLEARED_VOLUME: "cleared_volume", OPEN_INTEREST: "open_interest"}
FINAL, ACTUAL, INTRADAY, UNSET = 0x01, 0x02, 0x08, 0x80
DELETE = 2
UNDEF_QUANTITIES = (2**63 - 1, 2**31 - 1)  # DBN 3, and DBN 1 and 2, whose quantities have 32 bits
FLAGS_SINCE = dt.date(2015, 1, 1)
SESSIONS_WITHOUT_FINALS = 3  # in which no settlement was final: from then on the feed counts as one without flags
_LONGEST_CLOSURE = 15  # days


def parse_statistics(
    store: "DBNStore",
    definitions: Definitions,
    *,
    synthetic: bool,
    degraded: Degraded,
    calendar: Calendar = DEFAULT_CALENDAR,
    within: Within | None = None,
) -> Parsed:
    """
    Settlements, cleared volume and open interest of a ``statistics`` answer, each print at its ``ts_recv``.

    A deletion is a row without a value; the deletion of a settlement counts as final, since it takes back whatever stood. A
    settlement is final by its flags; ``is_final`` is null where the flags are unset and in an era whose feed carries none.
    Preliminary ones are kept where they are actual. Open interest and volume without a reference date belong to the session before
    the UTC date of receipt, ``partial``; replays of a known figure are counted as repeated.

    Args:
        calendar: the market's, for the session before a receipt.

    Returns:
        Rows, and the quarantined: received before the day described, described after the expiration, without a value or definition.
    """
    raw = records_of(store, "statistics", within)
    total = len(raw)
    raw = raw[np.isin(raw["stat_type"], list(STATS))]
    numbers, stamp = raw["instrument_id"].astype(np.int64), raw["ts_recv"].astype(np.int64)
    received = stamp // DAY_NS
    settled, deleted = raw["stat_type"] == SETTLEMENT, raw["update_action"] == DELETE
    undated = np.isin(raw["ts_ref"], np.array([0, UNDEF_TIME], dtype=np.uint64))
    days = np.where(undated, _sessions_before(received, calendar), (raw["ts_ref"].astype(np.uint64) // DAY_NS).astype(np.int64))
    row = definitions.described(numbers, days, received)
    left_out, lost = unknown(store, definitions, numbers[row < 0], days[row < 0])
    keep = row >= 0
    replayed = keep & undated & (settled | _known_figures(raw, undated, stamp))
    keep &= ~replayed
    valueless = np.where(settled, raw["price"] == UNDEF_PRICE, np.isin(raw["quantity"], UNDEF_QUANTITIES)) & ~deleted
    quarantined = list(chain.from_iterable(lost.values()))
    faults = (
        (days * DAY_NS > stamp, "received before the day it describes"),
        (definitions.expired(row, days), "describes a day after the expiration"),
        (valueless, "no value, and no deletion"),
    )
    for fault, why in faults:
        found = np.flatnonzero(fault & keep)
        reasons = [
            f"{STATS[int(raw['stat_type'][i])]} of id {numbers[i]} for {EPOCH + dt.timedelta(int(days[i]))} at {stamp[i]}: {why}"
            for i in found
        ]
        quarantined += reasons
        for day, of_day in by_day(days[found], reasons).items() if fault is not valueless else ():
            lost[day] = lost.get(day, []) + of_day
        keep &= ~fault
    final, silent, provisional = _finality(raw, days, stamp, settled & keep, deleted)
    keep &= ~provisional
    # Several messages of one instant about one number: the vendor's last one stands.
    kept = np.flatnonzero(keep)
    newest = kept[last_of(numbers[kept], raw["stat_type"][kept].astype(np.int64), days[kept], stamp[kept])]
    raw, numbers, stamp, row, days = raw[newest], numbers[newest], stamp[newest], row[newest], days[newest]
    deleted, settled, inferred = deleted[newest], settled[newest], undated[newest]
    value = np.where(settled, prices_of(raw["price"]), raw["quantity"].astype(float))
    table = pa.table(
        {
            **definitions.contracts(row, numbers),
            "stat": pa.array([STATS[kind] for kind in raw["stat_type"].tolist()], pa.string()),
            **times_of(days, stamp),
            "value": pa.array(value, mask=deleted | np.isnan(value)),
            "is_final": pa.array(final[newest], mask=~settled | silent[newest]),
            **quality_of(days, synthetic, degraded, also=received[newest], partial=inferred),
        }
    )
    repeated = len(kept) - len(newest) + int(replayed.sum())
    rows = definitions.statistics.conform(table)
    return Parsed(rows, total, left_out, repeated, quarantined, int(provisional.sum()), lost)


def _sessions_before(received: np.ndarray, calendar: Calendar) -> np.ndarray:
    """
    The last session before each UTC day.

    The vendor publishes a session's open interest on the following UTC date, Friday's on Sunday; the evening of the session in
    Chicago, when the first figures come, is already that date.
    """
    if not len(received):
        return received
    first, last = (EPOCH + dt.timedelta(int(day)) for day in (received.min(), received.max()))
    sessions = calendar.session_numbers(first - dt.timedelta(_LONGEST_CLOSURE), last)
    return np.asarray(sessions[np.searchsorted(sessions, received) - 1])


def _known_figures(raw: np.ndarray, undated: np.ndarray, stamp: np.ndarray) -> np.ndarray:
    """Mask of undated records that repeat the newest dated figure before them: a replay of what is known, in an era with dates."""
    again = np.zeros(len(raw), dtype=bool)
    if not undated.any() or undated.all():
        return again
    order = np.lexsort((stamp, raw["stat_type"], raw["instrument_id"]))
    ordered = raw[order]
    newest = np.maximum.accumulate(np.where(undated[order], -1, np.arange(len(order))))
    before = ordered[np.maximum(newest, 0)]
    same = (newest >= 0) & np.logical_and.reduce([ordered[name] == before[name] for name in ("instrument_id", "stat_type", "quantity")])
    again[order] = same & undated[order]
    return again


def _finality(
    raw: np.ndarray, days: np.ndarray, stamp: np.ndarray, settled: np.ndarray, deleted: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    Masks of settlements: final; without any flag; and preliminary ones that are theoretical or intraday.

    The meaning of a print's flags follows from the prints before it alone. The feed carries flags from the first final one on; before
    that it does by `FLAGS_SINCE`, unless `SESSIONS_WITHOUT_FINALS` sessions of the answer were without a final one.
    """
    flags = raw["stat_flags"].astype(np.int64)
    unset = (flags & UNSET) != 0
    flagged_final = settled & ((flags & FINAL) != 0) & ~unset & ~deleted
    begins = stamp[flagged_final].min(initial=2**63 - 1)
    before = np.searchsorted(np.unique(days[settled]), days)
    by_date = (days >= (FLAGS_SINCE - EPOCH).days) & (before < SESSIONS_WITHOUT_FINALS)
    carries = ((stamp >= begins) | by_date) & ~unset
    final = flagged_final | deleted
    provisional = settled & carries & ~final & (((flags & ACTUAL) == 0) | ((flags & INTRADAY) != 0))
    return final, ~carries & ~final, provisional
