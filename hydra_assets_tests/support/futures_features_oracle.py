"""
The exact definitions of the futures features, once more: one value at a time, in plain Python, straight from the page.

Slow and simple on purpose, and sharing nothing with the code under test but the calendar. Rows are taken as known at an instant.
"""

import datetime as dt
import math
from bisect import bisect_right
from functools import cache
from statistics import median
from zoneinfo import ZoneInfo

import pandas as pd
from pandas.tseries.holiday import USFederalHolidayCalendar

from hydra_assets.core.calendar import LIVESTOCK
from hydra_assets.core.report_dates import DATES

CHICAGO = ZoneInfo("America/Chicago")


MOVED = dt.timedelta(31)


def deliveries(inputs):
    """(symbol with one digit of the year, expiration) to a contract: the symbol and the first expiration of its delivery."""
    ends = {}
    for rows in inputs.values():
        for row in rows:
            ends.setdefault(short(row["instrument"]), set()).add(row["expiration"])
    found = {}
    for symbol, every in ends.items():
        begins = before = None
        for end in sorted(every):
            if before is None or end - before > MOVED:
                begins = end
            found[symbol, end] = (symbol, begins)
            before = end
    return found


def short(symbol):
    return symbol[:-2] + symbol[-1] if symbol[-2:].isdigit() else symbol


def log(price):
    """None for a price that has no logarithm."""
    return math.log(price) if price is not None and price > 0 else None


@cache
def noon_after(day):
    """Noon of the session after *day*."""
    after = LIVESTOCK.session_days(day + dt.timedelta(1), day + dt.timedelta(20))[0]
    return dt.datetime.combine(after, dt.time(12), CHICAGO)


def standing(rows, day, known_at):
    """The print that is the settlement of *day* at *known_at*, of one contract's rows by then; None where none is yet."""

    def newest(prints):
        return max(prints, key=lambda row: (row["stamped_at"], row["available_at"]), default=None)

    final = newest([row for row in rows if row["is_final"]])
    counts = known_at >= noon_after(day) and (final is None or final["value"] is None)
    found = newest([row for row in rows if row["is_final"] is not False or counts])
    if found is not None and found["is_final"] is False and found["quality"] == "normal":
        return found | {"quality": "partial"}
    return found


class Known:
    """The inputs, as tables or as lists of rows, as known at *known_at*."""

    def __init__(self, inputs, known_at, multiplier=400.0):
        self.mult = multiplier
        newest, prints, ends = {}, {}, {}
        inputs = {name: rows if isinstance(rows, list) else rows.to_pylist() for name, rows in inputs.items()}
        contract_of = deliveries(inputs)
        for row in inputs["futures_statistics"]:
            if row["available_at"] > known_at:
                continue
            contract = contract_of[short(row["instrument"]), row["expiration"]]
            if row["stat"] == "settlement":
                prints.setdefault((contract, row["as_of"].date()), []).append(row)
                continue
            ends.setdefault(contract, []).append((row["as_of"].date(), row["available_at"], row["expiration"]))
            key = (row["stat"], contract, row["as_of"].date())
            rank = (row["stamped_at"], row["available_at"])
            if key not in newest or rank >= newest[key][0]:
                newest[key] = (rank, row["value"], row["quality"])
        for (contract, day), rows in prints.items():
            row = standing(rows, day, known_at)
            if row is not None:
                newest["settlement", contract, day] = (None, row["value"], row["quality"])
            counted = [r for r in rows if r["is_final"] is not False or (row is not None and row["is_final"] is False)]
            ends.setdefault(contract, []).extend((day, r["available_at"], r["expiration"]) for r in counted)
        self.value = {k: (v, q) for k, (_, v, q) in newest.items() if v is not None and math.isfinite(v)}
        bars = {}
        for row in inputs["futures_bars"]:
            key = (contract_of[short(row["instrument"]), row["expiration"]], row["as_of"].date())
            if row["available_at"] <= known_at and (key not in bars or row["available_at"] >= bars[key][0]):
                bars[key] = (row["available_at"], row["high"], row["low"], row["quality"])
        newest = {}
        for row in inputs.get("futures_definitions", []):
            contract = contract_of.get((short(row["instrument"]), row["expiration"]))
            key, rank = (contract, row["as_of"].date()), (row["stamped_at"], row["available_at"])
            if row["available_at"] <= known_at and (key not in newest or rank >= newest[key][0]):
                newest[key] = (rank, row["low_limit"], row["high_limit"])
        self.stated_limits = {key: (low, high) for key, (_, low, high) in newest.items()}
        self.bars = {k: b for k, b in bars.items() if b[2] > 0 and b[1] >= b[2]}
        self.contracts = sorted({k[1] for k in self.value} | {k[0] for k in self.bars}, key=lambda c: (c[1], c[0]))
        days = [k[2] for k in self.value] + [k[1] for k in self.bars]
        last = [c[1].astimezone(CHICAGO).date() for c in self.contracts]
        self.days = LIVESTOCK.session_days(min(days) - dt.timedelta(800), max(days + last) + dt.timedelta(45))
        self.place = {day: i for i, day in enumerate(self.days)}
        self.ends = {contract: sorted(stated) for contract, stated in ends.items()}
        self._chain, self._r = {}, {}

    # -- cells by session number
    def get(self, stat, c, t):
        found = self.value.get((stat, c, self.days[t]))
        return None if found is None else found[0]

    def settle(self, c, t):
        return self.get("settlement", c, t) if c else None

    def end(self, c, t):
        """Expiration that the newest print of a session up to *t* states."""
        stated = self.ends.get(c, [])
        after = bisect_right(stated, self.days[t], key=lambda found: found[0])
        return stated[after - 1][2] if after else c[1]

    def last(self, c, t):
        return self.end(c, t).astimezone(CHICAGO).date()

    def left(self, t, c):
        return min(max(bisect_right(self.days, self.last(c, t)) - (t + 1), 0), 419)

    def oi(self, c, t):
        """Value, age and quality."""
        for back in range(1, 6):
            found = self.value.get(("open_interest", c, self.days[t - back]))
            if found is not None:
                return found[0], back, found[1]
        return 0.0, 0, "normal"

    def chain(self, t):
        if t not in self._chain:
            found = []
            for c in self.contracts:
                seen = any(self.settle(c, t - b) is not None or self.get("open_interest", c, t - b) is not None for b in range(1, 6))
                if seen and self.left(t, c) > 10:
                    found.append(c)
            i = 0
            while i + 1 < len(found) and self.oi(found[i + 1], t)[0] > self.oi(found[i], t)[0]:
                i += 1
            self._chain[t] = found[i:]
        return self._chain[t]

    def leg(self, t, k):
        chain = self.chain(t)
        return chain[k - 1] if len(chain) >= k else None

    def r(self, t):
        if t not in self._r:
            a, b = self.settle(self.leg(t, 1), t - 1), self.settle(self.leg(t, 1), t)
            self._r[t] = None if log(a) is None or log(b) is None else math.log(b / a)
        return self._r[t]

    def rs(self, a, b):
        return [x for x in (self.r(s) for s in range(a, b + 1)) if x is not None]

    def tau(self, near, far, t):
        return (self.end(far, t) - self.end(near, t)).total_seconds() / (365 * 86400)

    def carry(self, t):
        f1, f2 = self.leg(t, 1), self.leg(t, 2)
        s1, s2 = log(self.settle(f1, t)), log(self.settle(f2, t))
        return None if s1 is None or s2 is None else (s1 - s2) / self.tau(f1, f2, t)

    def sigma(self, t):
        if len(self.rs(t - 34, t)) < 29:
            return None
        alpha = 2 / 36
        pairs = [((1 - alpha) ** k, self.r(t - k)) for k in range(252)]
        pairs = [(w, x) for w, x in pairs if x is not None]
        total, squares = sum(w for w, _ in pairs), sum(w * w for w, _ in pairs)
        mean = sum(w * x for w, x in pairs) / total
        return math.sqrt(sum(w * (x - mean) ** 2 for w, x in pairs) / total * total**2 / (total**2 - squares))

    def limits(self, c, t):
        """Low and high limit of the day, if about equally far from the settlement before, not too near nor too wide."""
        low, high = self.stated_limits.get((c, self.days[t]), (None, None))
        before = self.settle(c, t - 1)
        if None in (low, high, before) or not low < before < high:
            return None
        up, down = high - before, before - low
        if abs(up - down) / 2 > 0.1 * (up + down) / 2 or not 0.002 * abs(before) <= (up + down) / 2 <= 0.5 * abs(before):
            return None
        return low, high

    def lock(self, c, t):
        """up, down or none; None where it is not known."""
        limits, s = self.limits(c, t), self.settle(c, t)
        if limits is None or s is None:
            return None
        for side, word in zip(limits, ("down", "up"), strict=True):
            if math.isclose(s, side, rel_tol=1e-9, abs_tol=1e-9):
                return word
        return "none" if limits[0] < s < limits[1] else None

    def locked(self, c, t):
        return self.lock(c, t) in ("up", "down")

    def censored(self, a, b):
        """Whether a return of the sessions a to b rests on a settlement at its limit."""
        return any(self.locked(self.leg(s, 1), s - back) for s in range(a, b + 1) if self.leg(s, 1) for back in (0, 1))

    def ewma(self, xs, span):
        alpha = 2 / (span + 1)
        pairs = [((1 - alpha) ** k, x) for k, x in enumerate(xs) if x is not None]
        return sum(w * x for w, x in pairs) / sum(w for w, _ in pairs)

    def month_of(self, year, month):
        return [i for i, day in enumerate(self.days) if (day.year, day.month) == (year, month)]


def summed(n, minimum):
    def f(k, t):
        xs = k.rs(t - n + 1, t)
        return (sum(xs) if len(xs) >= minimum else None), len(xs) < n

    return f


def mom(k, t):
    xs = k.rs(t - 252, t - 21)
    return (sum(xs) if len(xs) >= 200 else None), len(xs) < 232


def ewmac(k, t):
    moves = []
    for s in range(t, t - 251, -1):
        c = k.leg(s, 1)
        a, b = k.settle(c, s - 1), k.settle(c, s)
        moves.append(None if a is None or b is None else b - a)
    prices = [k.settle(k.leg(t, 1), t)]
    for move in moves:
        prices.append(prices[-1] - (move or 0.0))
    n = sum(move is not None for move in moves[:64])
    sigma = k.sigma(t)
    thin = n < 64 or len(k.rs(t - 34, t)) < 35
    if n < 52 or sigma is None or prices[0] <= 0:
        return None, thin
    return (k.ewma(prices[:252], 16) - k.ewma(prices[:252], 64)) / (sigma * prices[0]), thin


def rv(n, minimum):
    def f(k, t):
        xs = k.rs(t - n + 1, t)
        return (math.sqrt(252 / len(xs) * sum(x * x for x in xs)) if len(xs) >= minimum else None), len(xs) < n

    return f


def parkinson(k, t):
    xs, mixed = [], False
    for s in range(t - 20, t + 1):
        found = k.bars.get((k.leg(s, 1), k.days[s])) if k.leg(s, 1) else None
        if found:
            xs.append(math.log(found[1] / found[2]) ** 2 / (4 * math.log(2)))
            mixed |= found[3] == "partial"
    return (math.sqrt(252 / len(xs) * sum(xs)) if len(xs) >= 17 else None), len(xs) < 21 or mixed


def rv_ewma(k, t):
    sigma = k.sigma(t)
    return (None if sigma is None else sigma * math.sqrt(252)), len(k.rs(t - 34, t)) < 35


def carry_vol(k, t):
    xs = []
    for s in range(t, t - 252, -1):
        c, v = k.carry(s), None
        if c is not None:
            v = k.sigma(s)
        xs.append(None if c is None or v is None else c / (v * math.sqrt(252)))
    n = sum(x is not None for x in xs[:90])
    return (k.ewma(xs, 90) if n >= 73 else None), n < 90


def year_leg(k, t):
    front = k.leg(t, 1)
    want = k.last(front, t)
    return next((c for c in k.chain(t) if (k.last(c, t).year, k.last(c, t).month) == (want.year + 1, want.month)), None)


def carry_yoy(k, t):
    now, later = log(k.settle(k.leg(t, 1), t)), log(k.settle(year_leg(k, t), t))
    return (None if now is None or later is None else now - later), False


def deseas(k, t):
    day, pool, years = k.days[t], [], 0
    for year in range(day.year - 5, day.year):
        xs = [x for x in (k.carry(s) for s in k.month_of(year, day.month)) if x is not None]
        if len(xs) >= 10:
            pool, years = pool + xs, years + 1
    return (k.carry(t) - median(pool) if years >= 3 else None), years < 5


def slope_legs(k, t):
    return [c for c in k.chain(t) if k.oi(c, t)[0] > 0][:6]


def slope(k, t):
    legs = slope_legs(k, t)
    if len(legs) < 4:
        return None, True
    w = [k.oi(c, t)[0] for c in legs]
    x = [k.tau(legs[0], c, t) for c in legs]
    y = [log(k.settle(c, t)) for c in legs]
    if None in y:
        return None, True
    mx, my = (sum(a * b for a, b in zip(w, v, strict=True)) / sum(w) for v in (x, y))
    top = sum(a * (b - mx) * (c - my) for a, b, c in zip(w, x, y, strict=True))
    return top / sum(a * (b - mx) ** 2 for a, b in zip(w, x, strict=True)), len(legs) < 6


def curvature(k, t):
    f = [k.leg(t, i) for i in (1, 2, 3)]
    s = [log(k.settle(c, t)) for c in f]
    if None in s:
        return None, True
    near, far, whole = k.tau(f[0], f[1], t), k.tau(f[1], f[2], t), k.tau(f[0], f[2], t)
    return 2 * ((far * s[0] + near * s[2]) / whole - s[1]), False


def basis_mom(k, t):
    one = two = 1.0
    n = 0
    for s in range(t - 251, t + 1):
        cells = [k.settle(k.leg(s, leg), s - b) for leg in (1, 2) for b in (0, 1)]
        if None not in cells and min(cells) > 0:
            one, two, n = one * cells[0] / cells[1], two * cells[2] / cells[3], n + 1
    return (one - two if n >= 204 else None), n < 252


def seasonal(k, t):
    day, means = k.days[t], []
    for year in range(day.year - 10, day.year):
        xs = [x for x in (k.r(s) for s in k.month_of(year, day.month)) if x is not None]
        if len(xs) >= 15:
            means.append(sum(xs))
    n = len(means)
    return (sum(means) / n * n / (n + 5) if n >= 5 else None), n < 10


def wave(f):
    return lambda k, t: (f(2 * math.pi * k.last(k.leg(t, 1), t).month / 12), False)


def amihud(k, t):
    xs = []
    for s in range(t - 21, t):
        c = k.leg(s, 1)
        v = k.get("cleared_volume", c, s) if c else None
        if v and k.r(s) is not None:
            xs.append(abs(k.r(s)) / (v * k.mult * k.settle(c, s)) * 1e9)
    return (sum(xs) / len(xs) if len(xs) >= 17 else None), len(xs) < 21


def oi_change(k, t):
    now, then = ([x for x in (k.get("open_interest", c, t - b) for c in k.contracts) if x is not None] for b in (1, 21))
    inferred = any(k.value.get(("open_interest", c, k.days[t - 21]), (0, "normal"))[1] == "partial" for c in k.contracts)
    return (math.log(sum(now) / sum(then)) if sum(now) > 0 and sum(then) > 0 else None), inferred


def limit_lock(k, t):
    found = [word for word in (k.lock(k.leg(t, i), t) for i in (1, 2, 3)) if word is not None]
    return (sum(word != "none" for word in found) / len(found) if found else None), len(found) < 3


def limit_room(k, t):
    front, sigma = k.leg(t, 1), k.sigma(t)
    s, limits = k.settle(front, t), k.limits(front, t)
    if None in (s, limits, sigma, k.lock(front, t)) or s <= 0 or sigma == 0:
        return None, True
    return max(min(limits[1] - s, s - limits[0]), 0.0) / (sigma * s), len(k.rs(t - 34, t)) < 35


def f_legs(*which):
    return lambda k, t: [(c, k.oi(c, t)) if (c := k.leg(t, i)) else None for i in which]


def settled(*which):
    return lambda k, t: [("settlement", k.leg(t, i), t) if k.leg(t, i) else None for i in which]


def yoy_needs(k, t):
    if not k.leg(t, 1):
        return [None]
    later = year_leg(k, t)
    return [("settlement", k.leg(t, 1), t), ("settlement", later, t) if later else None]


def traded_needs(k, t):
    c = k.leg(t - 1, 1)
    return [None] if c is None else [("cleared_volume", c, t - 1), ("settlement", c, t - 1)]


def interest_needs(k, t):
    found = [
        ("open_interest", c, t - 1) for c in k.contracts if (k.get("open_interest", c, t - 2) or 0) > 0 and k.last(c, t) > k.days[t - 1]
    ]
    return found or [None]


BUSINESS = pd.offsets.CustomBusinessDay(calendar=USFederalHolidayCalendar())


@cache
def release_after(report, day):
    """(day, verified) of the next release as known when *day* begins; the dates are the table's, the choice is made here."""
    if report == "cot":  # the third business day after a Tuesday, or after its Monday where that is a holiday
        coming = []
        for back in range(-1, 3):
            tuesday = pd.Timestamp(day) - pd.Timedelta(days=day.weekday() - 1 + 7 * back)
            report_day = tuesday if BUSINESS.is_on_offset(tuesday) else tuesday - pd.Timedelta(days=1)
            coming.append((report_day + 3 * BUSINESS).date())
        return min(each for each in coming if each >= day), False
    known = [each for each in DATES if each.report == report and each.announced <= dt.datetime.combine(day, dt.time(), dt.UTC)]
    standing = [each for each in known if not any(o.period == each.period and o.announced > each.announced for o in known)]
    return min(((each.day, each.verified) for each in standing if each.day and each.day >= day), default=None)


def days_to(report):
    def formula(k, t):
        found = release_after(report, k.days[t])
        return (None, False) if found is None else (float((found[0] - k.days[t]).days), not found[1])

    return formula


F1, F12, F123 = settled(1), settled(1, 2), settled(1, 2, 3)
# name: formula, needs, legs of Q5 (None: no Q5), extra
RULES = {
    "fut_ret_1d": (summed(1, 1), F1, f_legs(1)),
    "fut_ret_5d": (summed(5, 5), F1, f_legs(1)),
    "fut_ret_21d": (summed(21, 17), F1, f_legs(1)),
    "fut_mom_252_21": (mom, F1, f_legs(1)),
    "fut_ewmac_16_64": (ewmac, F1, f_legs(1)),
    "fut_rv_21": (rv(21, 17), F1, f_legs(1)),
    "fut_rv_63": (rv(63, 51), F1, f_legs(1)),
    "fut_rv_252": (rv(252, 204), F1, f_legs(1)),
    "fut_rv_pk_21": (parkinson, lambda k, t: [("bar", k.leg(t, 1), t) if k.leg(t, 1) else None], f_legs(1)),
    "fut_rv_ewma": (rv_ewma, F1, f_legs(1)),
    "fut_basis_cash": (lambda k, t: (None, False), F1, f_legs(1)),
    "fut_carry_ann": (lambda k, t: (k.carry(t), False), F12, f_legs(1, 2)),
    "fut_carry_vol": (carry_vol, F12, f_legs(1, 2)),
    "fut_carry_yoy": (carry_yoy, yoy_needs, lambda k, t: [*f_legs(1)(k, t), (0, k.oi(year_leg(k, t), t))]),
    "fut_carry_deseas": (deseas, F12, f_legs(1, 2)),
    "fut_curve_slope": (
        slope,
        lambda k, t: [("settlement", c, t) for c in slope_legs(k, t)] or [None],
        lambda k, t: [(c, (max(k.oi(c, t)[0], 50), *k.oi(c, t)[1:])) for c in slope_legs(k, t)],
    ),
    "fut_curve_curv": (curvature, F123, f_legs(1, 2, 3)),
    "fut_basis_mom": (basis_mom, F12, f_legs(1, 2)),
    "fut_seas_month": (seasonal, F1, None),
    "fut_seas_sin": (wave(math.sin), F1, "always"),
    "fut_seas_cos": (wave(math.cos), F1, "always"),
    "fut_limit_lock": (limit_lock, F123, f_legs(1, 2, 3)),
    "fut_limit_room": (limit_room, F1, f_legs(1)),
    "fut_amihud_21": (amihud, traded_needs, lambda k, t: f_legs(1)(k, t - 1)),
    "fut_oi_chg_20": (oi_change, interest_needs, None),
    **{f"cal_days_to_{report}": (days_to(report), interest_needs, None) for report in ("hogs", "cold", "wasde", "cot")},
}
# First and last session, from the value's own, of the returns that must not rest on a settlement at its limit.
RETURNS = {
    "fut_ret_1d": (0, 0),
    "fut_ret_5d": (-4, 0),
    "fut_ret_21d": (-20, 0),
    "fut_mom_252_21": (-252, -21),
    "fut_ewmac_16_64": (-63, 0),
    "fut_rv_21": (-20, 0),
    "fut_rv_63": (-62, 0),
    "fut_rv_252": (-251, 0),
    "fut_rv_ewma": (-34, 0),
}
WORDS = ("normal", "partial", "degraded", "stale", "missing")


def answer(known: Known, name: str, day: dt.date):
    """(value, quality); None where the needs are not known."""
    formula, needs, legs = RULES[name]
    t = known.place[day]
    words = []
    for need in needs(known, t):
        if need is None:
            return None
        stat, c, s = need
        found = known.bars.get((c, known.days[s])) if stat == "bar" else known.value.get((stat, c, known.days[s]))
        if found is None:
            return None
        words.append(found[-1])
    value, thin = formula(known, t)
    if value is None or not math.isfinite(value):
        return None, "missing"
    if legs == "always":
        return value, "normal"
    words.append("partial" if thin else "normal")
    if not name.startswith("fut_limit_"):
        words += ["degraded" for stat, c, s in needs(known, t) if stat == "settlement" and known.locked(c, s)]
    if name in RETURNS and known.censored(*(t + offset for offset in RETURNS[name])):
        words.append("degraded")
    for leg in legs(known, t) if legs else []:
        if leg is None:
            continue
        oi, age, of_row = leg[1]
        words += [of_row, "stale" if age > 1 else "degraded" if oi < 50 else "normal"]
    return value, max(words, key=WORDS.index)
