"""
The CME Lean Hog Index of each slaughter day, every vintage, from the rows of the USDA's report.

Rule: total value over total carcass weight of hogs that producers sold on two consecutive weekdays, negotiated and by swine or pork
market formula: sum(head x carcass weight x net price) / sum(head x carcass weight), rounded half up to 0.01 cents per lb. Friday and Monday
are consecutive. A purchase type that the report names without a price (its confidentiality rule) is left out, and the row is ``partial``;
one that the report does not name at all makes the day unknown.

Two readings are not verified against the exchange. A federal holiday without slaughter is stepped over, and the row is ``partial``.
*Negotiated formula* is not counted, as it had no price on any day held against the exchange's own numbers; CME's Special Executive Report
S-7740 of 2016-09-08 counts it from 2016-10-12 on where it has one: see `cash.negotiated_formula` in the settings.

Source: CME rule 15203.A; held to the cent against the exchange's published index.
"""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from hydra_assets.core.instants import DAY_US
from hydra_assets.core.releases import federal_holidays
from hydra_assets.core.tables.cash import CASH_INDEX, MARKET_FORMULA, NEGOTIATED, NEGOTIATED_FORMULA
from hydra_assets.core.tables.table import QUALITIES
from hydra_assets.features.days import date_of, day_range, days_of, weekday_of
from hydra_assets.features.quality import MISSING, NORMAL, PARTIAL, quality_codes
from hydra_assets.features.vintages import known_from, require

CASH_HOGS = "cash_hogs"
STEPS_BACK = 3  # weekdays, to the newest day before that is no federal holiday without slaughter
COLUMNS = ("purchase_type", "as_of", "available_at", "head_count", "avg_net_price", "avg_carcass_weight", "quality")
_NEEDED = (NEGOTIATED, MARKET_FORMULA)
_COUNTED = (*_NEEDED, NEGOTIATED_FORMULA)
_PLAIN = ("index", "daily", "negotiated", "market_formula", "head_count", "synthetic")


@dataclass(frozen=True)
class _Sold:
    """A row of the report: hogs, hundredths of a lb and of a cent; zeros where one of them is not reported."""

    at: int
    head: int
    weight: int
    price: int
    quality: int
    synthetic: bool


Sold = Mapping[str, _Sold]  # by purchase type
Days = Mapping[int, Mapping[str, Sequence[_Sold]]]  # every vintage, in order of arrival


@dataclass(frozen=True)
class CashDay:
    """
    One vintage of a slaughter day.

    Attributes:
        day: days since 1970-01-01.
        at: microseconds UTC from which it is known.
        index: cents per lb; None where the day before is unknown.
        quality: the worst of the rows that the index rests on; of the day's own where it is unknown.
        day_quality: the worst of the day's own rows.
    """

    day: int
    at: int
    index: float | None
    daily: float
    negotiated: float | None
    market_formula: float | None
    head_count: int
    quality: int
    day_quality: int
    synthetic: bool


def cash_days(table: pa.Table, *, negotiated_formula: bool = False) -> list[CashDay]:
    """
    All vintages of every slaughter day, by day and instant; a further one only where it differs from the one before.

    Args:
        table: ``cash_hogs`` as it lies in the lake, every vintage, in any order.
        negotiated_formula: count that purchase type too, where it has a price.

    Raises:
        SchemaError: a column is missing.
    """
    require(table, COLUMNS, CASH_HOGS)
    days = _by_day(table) if table.num_rows else {}
    found: list[CashDay] = []
    for day in sorted(days):
        before = _days_before(day)
        instants = sorted({row.at for each in (day, *before) for rows in days.get(each, {}).values() for row in rows})
        last = None
        for at in instants:
            made = _known_day(days, day, before, at, negotiated_formula)
            if made is not None and (last is None or _differs(made, last)):
                found.append(made)
                last = made
    return found


def build_cash_index(
    table: pa.Table, *, negotiated_formula: bool = False, start: dt.date | None = None, end: dt.date | None = None
) -> pa.Table:
    """
    CASH_INDEX of the days from *start* to *end*, every vintage.

    Args:
        table: ``cash_hogs`` from `STEPS_BACK` weekdays before *start* on, every vintage.
        negotiated_formula: count that purchase type too, where it has a price.
        start: earliest day; None for no bound.
        end: latest day, included; None for no bound.
    """
    low, high = day_range(start, end)
    rows = [made for made in cash_days(table, negotiated_formula=negotiated_formula) if low <= made.day <= high]
    columns = {
        "as_of": [made.day * DAY_US for made in rows],
        "available_at": [made.at for made in rows],
        "quality": [QUALITIES[MISSING if made.index is None else made.quality] for made in rows],
        **{name: [getattr(made, name) for made in rows] for name in _PLAIN},
    }
    types = {each.name: pa.int64() if pa.types.is_timestamp(each.type) else each.type for each in CASH_INDEX.schema}
    arrays = {each.name: pa.array(columns[each.name], types[each.name]).cast(each.type) for each in CASH_INDEX.schema}
    return pa.table(arrays, CASH_INDEX.schema)


def _by_day(table: pa.Table) -> Days:
    """Day to purchase type to its vintages, in order of arrival; rows of weekends are ignored."""
    day, at, quality = days_of(table), known_from(table), quality_codes(table["quality"])
    is_weekday = weekday_of(day) < 5
    weight, price = (_hundredths(table[name]) for name in ("avg_carcass_weight", "avg_net_price"))
    head = _numbers(table["head_count"])
    kinds = table["purchase_type"].to_pylist()
    made = table["synthetic"].to_pylist() if "synthetic" in table.column_names else [False] * table.num_rows
    found: dict[int, dict[str, list[_Sold]]] = {}
    for i in np.argsort(at, kind="stable").tolist():
        if kinds[i] in _COUNTED and is_weekday[i]:
            cells = int(head[i]), int(weight[i]), int(price[i])
            row = _Sold(int(at[i]), *(cells if min(cells) > 0 else (0, 0, 0)), int(quality[i]), bool(made[i]))
            found.setdefault(int(day[i]), {}).setdefault(kinds[i], []).append(row)
    return found


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    numbers = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return np.asarray(np.where(np.isfinite(numbers) & (np.abs(numbers) < 1e9), numbers, 0))


def _hundredths(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(np.rint(_numbers(column) * 100))


def _days_before(day: int) -> list[int]:
    """The weekdays before *day*, newest first: the first that had slaughter or is no federal holiday is the one that counts."""
    found: list[int] = []
    while len(found) < STEPS_BACK:
        day -= 1 if weekday_of(day) else 3
        found.append(day)
        date = date_of(day)
        if date not in federal_holidays(date.year):
            break
    return found


def _known(days: Days, day: int, at: int, negotiated_formula: bool) -> Sold | None:
    """The rows of *day* that count at *at*; None where one that is needed is not known."""
    newest = {kind: next((row for row in reversed(rows) if row.at <= at), None) for kind, rows in days.get(day, {}).items()}
    if any(newest.get(kind) is None for kind in _NEEDED):
        return None
    wanted = _COUNTED if negotiated_formula else _NEEDED
    return {kind: row for kind, row in newest.items() if row is not None and kind in wanted}


def _known_day(days: Days, day: int, before: Sequence[int], at: int, negotiated_formula: bool) -> CashDay | None:
    today = _known(days, day, at, negotiated_formula)
    daily = _average(today.values()) if today else None
    if not today or daily is None:
        return None
    index, used, is_inferred = None, [today], False
    for place, each in enumerate(before):
        earlier = _known(days, each, at, negotiated_formula)
        if earlier is not None:
            if _average(earlier.values()) is not None:
                index = _average([*today.values(), *earlier.values()])
                used, is_inferred = [today, earlier], place > 0
            break
    negotiated, formula = (today[kind].price / 100 if today[kind].head else None for kind in _NEEDED)
    return CashDay(
        day,
        at,
        index,
        daily,
        negotiated,
        formula,
        sum(row.head for row in today.values()),
        max(PARTIAL if is_inferred else NORMAL, *map(_quality, used)),
        _quality(today),
        any(row.synthetic for sold in used for row in sold.values()),
    )


def _quality(sold: Sold) -> int:
    unpriced = any(not sold[kind].head for kind in _NEEDED)
    return max(PARTIAL if unpriced else NORMAL, *(row.quality for row in sold.values()))


def _average(rows: Collection[_Sold]) -> float | None:
    """Value over carcass weight in cents per lb, rounded half up to 0.01 in whole numbers; None without weight."""
    weight = sum(row.head * row.weight for row in rows)
    if not weight:
        return None
    value = sum(row.head * row.weight * row.price for row in rows)
    return (2 * value + weight) // (2 * weight) / 100


def _differs(a: CashDay, b: CashDay) -> bool:
    names = (*_PLAIN, "quality", "day_quality")
    return any(getattr(a, name) != getattr(b, name) for name in names)
