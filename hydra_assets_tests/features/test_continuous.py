"""The continuous series at a roll: the gap between two contracts is measured, or not known; it never shows as a price move."""

import datetime as dt

import pyarrow as pa
import pytest

from hydra_assets.core.calendar import LIVESTOCK
from hydra_assets.core.tables.futures import FUTURES_STATISTICS
from hydra_assets.features.futures.continuous import adjusted, build_continuous

DAYS = LIVESTOCK.session_days(dt.date(2023, 3, 1), dt.date(2023, 3, 28))
OLD, NEW = ("HEJ3", dt.date(2023, 4, 14)), ("HEM3", dt.date(2023, 6, 14))
ROLL = 10  # the session from which the new contract has more open interest


def print_of(contract, stat, day, value):
    at = LIVESTOCK.at(day, dt.time(18)) + dt.timedelta(hours=0 if stat == "settlement" else 13)
    return {
        "instrument": contract[0],
        "instrument_id": 1,
        "expiration": LIVESTOCK.at(contract[1], dt.time(12)),
        "stat": stat,
        "as_of": dt.datetime.combine(day, dt.time(), dt.UTC),
        "available_at": at,
        "stamped_at": at,
        "value": value,
        "is_final": True if stat == "settlement" else None,
        "quality": "normal",
        "synthetic": True,
    }


def series(method, missing):
    """The adjusted series where the new contract has no settlement on the sessions *missing*."""
    rows = []
    for i, day in enumerate(DAYS):
        rows += [print_of(OLD, "open_interest", day, 900.0 if i < ROLL - 1 else 10.0), print_of(NEW, "open_interest", day, 500.0)]
        rows.append(print_of(OLD, "settlement", day, 90 + 0.5 * i))
        if i not in missing:
            rows.append(print_of(NEW, "settlement", day, 100.0 + i))
    table = pa.Table.from_pylist(rows, schema=FUTURES_STATISTICS.schema)
    return {r["as_of"].date(): r for r in adjusted(build_continuous({"futures_statistics": table}), method).to_pylist()}


@pytest.mark.parametrize("missing", [(), (ROLL,), (ROLL, ROLL + 1), (ROLL - 1, ROLL)])
def test_a_roll_into_sessions_without_a_settlement_is_carried_on(missing):
    """On the newest session on which both settled before the roll they were 10 + 0.5 i apart."""
    both = max(i for i in range(ROLL) if i not in missing)
    gap = (100.0 + both) - (90 + 0.5 * both)
    for method, right in (("difference", 94.5 + gap), ("ratio", 94.5 * (100.0 + both) / (90 + 0.5 * both))):
        prices = series(method, missing)
        assert prices[DAYS[ROLL - 1]]["contract"] == "HEJ3"
        assert next(prices[day] for day in DAYS[ROLL:] if day in prices)["contract"] == "HEM3"
        assert prices[DAYS[ROLL - 1]]["price"] == pytest.approx(right)


def test_a_gap_that_cannot_be_measured_leaves_earlier_prices_unknown():
    prices = series("difference", range(4, ROLL + 1))
    assert prices[DAYS[ROLL - 1]]["price"] is None
    assert prices[DAYS[ROLL + 1]]["price"] == 111.0
