"""
The cash index and its features once more, one value at a time, in decimal arithmetic, straight from the exchange's rule.

Sharing nothing with the code under test: the federal holidays are written out.
"""

import datetime as dt
from decimal import ROUND_HALF_UP, Decimal

COUNTED = ("Prod. Sold Negotiated", "Prod. Sold Swine or Pork Market Formula")
THIRD = "Prod. Sold Negotiated Formula"
WORDS = ("normal", "partial", "degraded", "stale", "missing")
CENT = Decimal("0.01")
_HOLIDAYS = """
2018-10-08 2018-11-12 2018-11-22 2018-12-25 2019-01-01 2019-01-21 2019-02-18 2019-05-27 2019-07-04 2019-09-02 2019-10-14 2019-11-11
2019-11-28 2019-12-25 2023-09-04 2023-10-09 2023-11-10 2023-11-23 2023-12-25 2024-01-01 2024-01-15 2024-02-19 2024-05-27 2024-06-19
2024-07-04 2024-09-02 2024-10-14 2024-11-11 2024-11-28 2024-12-25
"""
HOLIDAYS = {dt.date.fromisoformat(day) for day in _HOLIDAYS.split()}


def weekday_before(day):
    return day - dt.timedelta(3 if day.weekday() == 0 else 1)


class Hogs:
    """Rows as known at *known_at*."""

    def __init__(self, rows, known_at, *, third=False):
        self.kinds = (*COUNTED, THIRD) if third else COUNTED
        self.cells = {}
        for row in sorted(rows, key=lambda row: row["available_at"]):
            if row["available_at"] <= known_at:
                self.cells[row["as_of"].date(), row["purchase_type"]] = row

    def of(self, day):
        """The counted rows of the day by kind; None where one of the two is unknown."""
        found = {kind: self.cells[day, kind] for kind in self.kinds if (day, kind) in self.cells}
        return found if all(kind in found for kind in COUNTED) else None

    def average(self, *days):
        value, weight = Decimal(0), Decimal(0)
        for day in days:
            for row in self.of(day).values():
                if row["head_count"] and row["avg_net_price"] is not None and row["avg_carcass_weight"]:
                    pounds = row["head_count"] * Decimal(str(row["avg_carcass_weight"]))
                    value, weight = value + pounds * Decimal(str(row["avg_net_price"])), weight + pounds
        return float((value / weight).quantize(CENT, ROUND_HALF_UP)) if weight else None

    def day_before(self, day):
        before, stepped = weekday_before(day), False
        for _ in range(3):
            if self.of(before) is not None:
                return before, stepped
            if before not in HOLIDAYS:
                return None, stepped
            before, stepped = weekday_before(before), True
        return None, stepped

    def index(self, day):
        """(index, quality of the rows used); None where the day itself is unknown or without a price."""
        if self.of(day) is None or self.average(day) is None:
            return None
        before, stepped = self.day_before(day)
        days = [day] if before is None or self.average(before) is None else [day, before]
        index = self.average(*days) if len(days) == 2 else None
        words = [row["quality"] for each in days for row in self.of(each).values()]
        unpriced = any(self.of(each)[kind]["avg_net_price"] is None for each in days for kind in COUNTED)
        words.append("partial" if unpriced or (stepped and len(days) == 2) else "normal")
        return index, max(words, key=WORDS.index)


def answer(hogs, name, day):
    """(value, quality) of a feature of *day*; None where it has no row."""
    found = hogs.index(day)
    if found is None:
        return None
    index, quality = found
    if name == "cash_index":
        value = index
    elif name == "cash_index_chg_5d":
        earlier = hogs.index(day - dt.timedelta(7))
        value = None if index is None or earlier is None or earlier[0] is None else float(Decimal(str(index)) - Decimal(str(earlier[0])))
    else:
        words = [row["quality"] for row in hogs.of(day).values()]
        unpriced = any(hogs.of(day)[kind]["avg_net_price"] is None for kind in COUNTED)
        quality = max([*words, "partial" if unpriced else "normal"], key=WORDS.index)
        prices = [hogs.of(day)[kind]["avg_net_price"] for kind in COUNTED]
        value = None if None in prices else float(Decimal(str(prices[0])) - Decimal(str(prices[1])))
    return (None, "missing") if value is None else (value, quality)


def index_for(hogs, day):
    """(index, quality) that counts on a session *day*: the newest of the three weekdays before it; None for none."""
    before, age = weekday_before(day), 1
    while age <= 3:
        found = hogs.index(before)
        if found is not None and found[0] is not None:
            return found[0], found[1] if age == 1 else max(found[1], "stale", key=WORDS.index)
        before, age = weekday_before(before), age + 1
    return None
