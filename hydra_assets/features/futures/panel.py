"""
A futures curve as it is known at one instant, sessions down and contracts across, with its first, second and third contract.

The roll rule: a contract is a candidate on t if it had a final settlement or an open interest in the five sessions before t. Of
the candidates with more than ten business days left, in order of expiration, the first is stepped over as long as the next one
has more open interest. Nothing of day t enters, so the front contract of t is known on the morning of t; nothing is remembered,
so the same days give the same contracts from whatever slice of history was loaded.
"""

import datetime as dt
from collections.abc import Sequence

import numpy as np

from hydra_assets.core.arrays import Floats, Ints, read_only
from hydra_assets.core.calendar import Calendar
from hydra_assets.core.instants import DAY_US, from_us
from hydra_assets.features.days import date_of, day_number
from hydra_assets.features.limits import at_limit, is_locked, sane_limits

MEMORY = 5  # sessions in which a contract must have been seen, and for which its open interest is carried
BUSINESS_DAYS_LEFT = 10  # with exactly so many left the contract is out
PAD = 520  # sessions in front of the first row, so that no window starts outside (the widest reaches back 508)
SLOPE_LEGS = 6
YEAR_S = 365 * 86_400
KINDS = 8
EXPIRATION = KINDS  # an update that is no cell: see `Panel.state_expiration`
SETTLEMENT, OPEN_INTEREST, VOLUME, HIGH, LOW, CASH, LIMIT_HIGH, LIMIT_LOW = range(KINDS)
PAIRED = {HIGH: LOW, LIMIT_HIGH: LIMIT_LOW}  # one row gives both
CHOOSING = (SETTLEMENT, OPEN_INTEREST)  # kinds that decide which contract is first, second, third


def positive(price: Floats) -> Floats:
    """Prices above 0; NaN for the others, which are valid settlements without a logarithm or a rate of return."""
    return np.asarray(np.where(price > 0, price, np.nan))


def _upto(array: Ints, end: int, fill: int) -> Ints:
    """A copy with *fill* from *end* on."""
    copy = array.copy()
    copy[end:] = fill
    return copy


class Panel:
    """
    The curve at the instant under way.

    Args:
        contracts: (symbol, expiration in microseconds UTC as first stated), by expiration.
        first_day: of the rows; the axis of sessions starts `PAD` sessions before.
        last_day: of the rows; the axis ends one session after.
        multiplier: dollars per price unit and contract.
        calendar: the market's; its zone decides the day of an expiration.

    Attributes:
        days: sessions as days since 1970-01-01.
        cells: float64 (kinds, sessions, contracts): final settlement, open interest, cleared volume, high, low, the cash index that counts
            on a session (of no contract, kept in the first one's place), and the price limits; NaN is unknown.
        qualities: int8 (kinds, sessions, contracts): of the row that the cell came from.
        legs: int64 (sessions, 3): first, second, third contract; -1 is none. ``year_leg``: the first's month a year later.
        legs_oi: open interest used for each leg. ``legs_age``: how many sessions old it is (0: none known, counted as 0).
            ``legs_quality``: of its row. ``year_oi``, ``year_age``, ``year_quality`` likewise.
        slope: int64 (sessions, 6) legs of the slope, -1 none; ``slope_oi``, ``slope_age`` and ``slope_quality`` likewise.
        expiry_us: int64 (sessions, contracts): expiration as stated by the prints up to each session, microseconds UTC. ``expiry_month``:
            its month, counted from year 0. ``last``: int64, position of its day among the sessions.
        locked: bool (sessions, contracts): the settlement stands at its price limit. ``censored``: bool (sessions,), the first contract's
            return into the session rests on such a settlement, at its end or its beginning.
    """

    def __init__(
        self, contracts: Sequence[tuple[str, int]], first_day: dt.date, last_day: dt.date, *, multiplier: float, calendar: Calendar
    ) -> None:
        self.contracts: Sequence[tuple[str, int]] = list(contracts)
        self.multiplier = multiplier
        expirations = [self._date(at, calendar) for _, at in contracts]
        # An expiration may be put off by a month later on. 520 sessions are never more than 760 days.
        sessions = calendar.session_numbers(first_day - dt.timedelta(770), max([last_day, *expirations]) + dt.timedelta(45))
        first = int(np.searchsorted(sessions, day_number(first_day)))
        newest = int(np.searchsorted(sessions, day_number(last_day), side="right"))  # the session after the newest row
        self.days = sessions[first - PAD : newest + 1]
        self._calendar, self._first, self._sessions = calendar, first - PAD, sessions
        dates = [date_of(day) for day in self.days]
        self.month = np.array([day.year * 12 + day.month - 1 for day in dates], dtype=np.int64)
        self.as_of = self.days * DAY_US
        n, m = len(self.days), len(contracts)
        self.last, self.expiry_month, self.expiry_us = (np.zeros((n, m), dtype=np.int64) for _ in range(3))
        self._stated = np.full((n, m), -1)  # session whose print stated the expiration
        self.cells = np.full((KINDS, n, m), np.nan)
        self.qualities = np.zeros((KINDS, n, m), dtype=np.int8)
        self.legs, self.legs_age = np.full((n, 3), -1), np.zeros((n, 3), dtype=np.int64)
        self.legs_oi = np.zeros((n, 3))
        self.year_leg, self.year_age, self.year_oi = np.full(n, -1), np.zeros(n, dtype=np.int64), np.zeros(n)
        self.slope, self.slope_age = np.full((n, SLOPE_LEGS), -1), np.zeros((n, SLOPE_LEGS), dtype=np.int64)
        self.slope_oi = np.zeros((n, SLOPE_LEGS))
        self.legs_quality, self.year_quality, self.slope_quality = (
            np.zeros(shape, dtype=np.int8) for shape in ((n, 3), n, (n, SLOPE_LEGS))
        )
        self.returns, self.moves = np.full(n, np.nan), np.full(n, np.nan)
        self.simple = np.full((2, n), np.nan)
        self.carry, self.range2, self.illiquidity = np.full(n, np.nan), np.full(n, np.nan), np.full(n, np.nan)
        self.bar_quality = np.zeros(n, dtype=np.int8)
        self.locked, self.censored = np.zeros((n, m), dtype=bool), np.zeros(n, dtype=bool)
        self._chain_dirty, self._dirty = np.ones(n, dtype=bool), np.ones(n, dtype=bool)
        for contract, (_, at) in enumerate(contracts):
            self.state_expiration(0, contract, at)
        self._chain_dirty[:PAD] = self._dirty[:PAD] = False

    @staticmethod
    def _date(at: int, calendar: Calendar) -> dt.date:
        return from_us(at).astimezone(calendar.zone).date()

    def given(self) -> "Panel":
        """The panel as features are given it: the same cells, which they cannot write."""
        view = object.__new__(Panel)
        view.__dict__.update(vars(self))
        view.contracts = tuple(self.contracts)
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                setattr(view, name, read_only(value))
        return view

    def within(self, session: int, windows: Sequence[tuple[int, int, int]]) -> "Panel":
        """
        The panel as one value may see it: cells outside of *windows* are unknown, and so is what is derived from them.

        Contracts are those chosen on each session up to *session*: their choice is no cell, and rests on earlier sessions alone.

        Args:
            session: of the value; `refresh` must have brought the panel up to date until there.
            windows: kind of cell, first and last offset from *session*, both included.
        """
        seen = object.__new__(Panel)
        seen.__dict__.update(vars(self))
        n, end = len(self.days), session + 1
        seen.cells, seen.qualities = np.full_like(self.cells, np.nan), np.zeros_like(self.qualities)
        known = np.zeros((KINDS, n), dtype=bool)
        for kind, first, last in windows:
            rows = slice(max(session + first, 0), max(session + last + 1, 0))
            for each in (kind, PAIRED[kind]) if kind in PAIRED else (kind,):
                seen.cells[each, rows], seen.qualities[each, rows] = self.cells[each, rows], self.qualities[each, rows]
                known[each, rows] = True
        seen.legs, seen.year_leg, seen.slope = (_upto(array, end, -1) for array in (self.legs, self.year_leg, self.slope))
        for name in ("legs", "year", "slope"):
            age = getattr(self, f"{name}_age")
            source = np.arange(n).reshape(-1, *[1] * (age.ndim - 1)) - age
            held = known[OPEN_INTEREST, np.maximum(source, 0)] & (np.arange(n) < end).reshape(-1, *[1] * (age.ndim - 1))
            for part in ("oi", "age", "quality"):
                setattr(seen, f"{name}_{part}", np.where(held, getattr(self, f"{name}_{part}"), 0))
        for name in ("last", "expiry_month", "expiry_us"):
            stated = getattr(self, name).copy()
            stated[end:] = stated[session]
            setattr(seen, name, stated)
        for name in ("returns", "moves", "simple", "carry", "range2", "illiquidity"):
            setattr(seen, name, np.full_like(getattr(self, name), np.nan))
        for name in ("bar_quality", "locked", "censored"):
            setattr(seen, name, np.zeros_like(getattr(self, name)))
        near = np.arange(max(session + min((first for _, first, _ in windows), default=0), PAD), end)
        if len(near):
            seen._figures(near)
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray) and getattr(seen, name) is value:
                setattr(seen, name, value.copy())  # nothing leads back to what other features are given
        return seen.given()

    # ---------------------------------------------------------------- what changes

    def put(self, kind: int, session: int, contract: int, value: float, quality: int) -> None:
        """Set one cell; NaN makes it unknown."""
        self.cells[kind, session, contract], self.qualities[kind, session, contract] = value, quality
        if kind in CHOOSING:
            self._chain_dirty[session + 1 : session + 1 + MEMORY] = True
            self._dirty[session : session + 1 + MEMORY] = True
        else:
            self._dirty[session : session + 2] = True

    def state_expiration(self, session: int, contract: int, at: int) -> None:
        """Take note of the expiration that a print of *session* states; it holds from there to the next session whose print states one."""
        moved = self.expiry_us[session, contract] != at
        end = session + int(np.searchsorted(self._stated[session:, contract], session, side="right"))
        where = (slice(session, end), contract)
        self._stated[where] = session
        if not moved:
            return
        self.expiry_us[where] = at
        day = self._date(at, self._calendar)
        self.expiry_month[where] = day.year * 12 + day.month - 1
        self.last[where] = np.searchsorted(self._sessions, day_number(day), side="right") - 1 - self._first
        self._chain_dirty[max(session, PAD) : end] = self._dirty[max(session, PAD) : end] = True

    def states(self, session: int, contract: int, at: int) -> bool:
        """Whether it is a print of *session* itself that states *at* as the expiration in force there."""
        return bool(self._stated[session, contract] == session and self.expiry_us[session, contract] == at)

    def chain(self, session: int) -> None:
        """Bring the legs of one session up to date."""
        if self._chain_dirty[session]:
            self._chains(np.array([session]))

    def refresh(self, upto: int) -> None:
        """Bring legs and one-day figures of every session up to *upto* up to date."""
        rows = np.flatnonzero(self._chain_dirty[: upto + 1])
        if len(rows):
            self._chains(rows)
        rows = np.flatnonzero(self._dirty[: upto + 1])
        if len(rows):
            self._figures(rows)
            self._dirty[rows] = False

    # ---------------------------------------------------------------- which contract

    def _chains(self, ts: Ints) -> None:
        self._chain_dirty[ts] = False
        self._dirty[ts] = True
        self.legs[ts], self.year_leg[ts], self.slope[ts] = -1, -1, -1
        near = np.arange(max(int(ts.min()) - MEMORY, 0), int(ts.max()))
        settled, interest, quality = self.cells[SETTLEMENT], self.cells[OPEN_INTEREST], self.qualities[OPEN_INTEREST]
        columns = np.flatnonzero(np.isfinite(settled[near]).any(axis=0) | np.isfinite(interest[near]).any(axis=0))
        if not len(columns):
            return
        shape = (len(ts), len(columns))
        seen, oi, age = np.zeros(shape, dtype=bool), np.zeros(shape), np.zeros(shape, dtype=np.int64)
        of_row = np.zeros(shape, dtype=np.int8)
        for back in range(1, MEMORY + 1):
            rows = interest[ts - back][:, columns]
            fresh = np.isfinite(rows)
            seen |= fresh | np.isfinite(settled[ts - back][:, columns])
            fresh &= age == 0
            oi[fresh], age[fresh], of_row[fresh] = rows[fresh], back, quality[ts - back][:, columns][fresh]
        chain = seen & (self.last[ts][:, columns] - ts[:, None] > BUSINESS_DAYS_LEFT)

        # The chain packed to the left: `at[row, rank]` is the rank-th contract that may be chosen on the row's session.
        width = int(chain.sum(axis=1).max(initial=0)) + 3
        row, column = np.nonzero(chain)
        rank = (np.cumsum(chain, axis=1) - 1)[row, column]
        at, at_oi = np.full((len(ts), width), -1), np.full((len(ts), width), -np.inf)
        at_age, at_quality = np.zeros((len(ts), width), dtype=np.int64), np.zeros((len(ts), width), dtype=np.int8)
        at[row, rank], at_oi[row, rank], at_age[row, rank] = columns[column], oi[row, column], age[row, column]
        at_quality[row, rank] = of_row[row, column]
        first = np.argmin(at_oi[:, 1:] > at_oi[:, :-1], axis=1)  # climb while the next has strictly more

        every = np.arange(len(ts))
        for leg in range(3):
            self.legs[ts, leg] = at[every, first + leg]
            self.legs_oi[ts, leg], self.legs_age[ts, leg] = at_oi[every, first + leg], at_age[every, first + leg]
            self.legs_quality[ts, leg] = at_quality[every, first + leg]
        later = at.copy()
        later[np.arange(width)[None, :] < first[:, None]] = -1
        twelve = np.where(later >= 0, self.expiry_month[ts[:, None], later], -1) == (self.expiry_month[ts, self.legs[ts, 0]] + 12)[:, None]
        has = twelve.any(axis=1) & (self.legs[ts, 0] >= 0)
        pick = np.argmax(twelve, axis=1)
        self.year_leg[ts] = np.where(has, at[every, pick], -1)
        self.year_oi[ts], self.year_age[ts], self.year_quality[ts] = at_oi[every, pick], at_age[every, pick], at_quality[every, pick]
        liquid = (later >= 0) & (at_oi > 0)
        row, column = np.nonzero(liquid)
        rank = (np.cumsum(liquid, axis=1) - 1)[row, column]
        row, column, rank = (part[rank < SLOPE_LEGS] for part in (row, column, rank))
        self.slope[ts[row], rank] = at[row, column]
        self.slope_oi[ts[row], rank], self.slope_age[ts[row], rank] = at_oi[row, column], at_age[row, column]
        self.slope_quality[ts[row], rank] = at_quality[row, column]

    # ---------------------------------------------------------------- figures of one day

    def at(self, kind: int, sessions: Ints, contracts: Ints) -> Floats:
        """Cells by session and contract; NaN where there is no contract."""
        return np.asarray(np.where(contracts >= 0, self.cells[kind, sessions, contracts], np.nan))

    def delivery_month(self, sessions: Ints, contracts: Ints) -> Ints:
        """Month of delivery, counted from year 0; energy is delivered in the month after the last trade."""
        return np.asarray(self.expiry_month[sessions, contracts] + self._calendar.delivery_lag)

    def price(self, sessions: Ints, leg: int, *, back: int = 0) -> Floats:
        """Settlement, *back* sessions before, of the contract that is the leg on each of *sessions*."""
        return self.at(SETTLEMENT, sessions - back, self.legs[sessions, leg])

    def limits(self, sessions: Ints, contracts: Ints) -> tuple[Floats, Floats]:
        """Lowest and highest price allowed by session and contract, as far as they are sane; NaN where they are not known."""
        low, high = (self.at(kind, sessions, contracts) for kind in (LIMIT_LOW, LIMIT_HIGH))
        return sane_limits(low, high, self.at(SETTLEMENT, sessions - 1, contracts))

    def at_limit(self, sessions: Ints, contracts: Ints) -> Ints:
        """Whether settlements stand at their limit: a code of `features.limits` by session and contract."""
        return at_limit(self.at(SETTLEMENT, sessions, contracts), *self.limits(sessions, contracts))

    def _figures(self, ts: Ints) -> None:
        every = np.arange(self.cells.shape[2])
        self.locked[ts] = is_locked(self.at_limit(ts[:, None], every[None, :]))
        front = self.legs[ts, 0]
        self.censored[ts] = (front >= 0) & (self.locked[ts, front] | self.locked[ts - 1, front])
        now, before = self.price(ts, 0), self.price(ts, 0, back=1)
        self.returns[ts], self.moves[ts] = np.log(positive(now) / positive(before)), now - before
        for leg in range(2):
            self.simple[leg, ts] = positive(self.price(ts, leg)) / positive(self.price(ts, leg, back=1)) - 1
        self.carry[ts] = (np.log(positive(now)) - np.log(positive(self.price(ts, 1)))) / self.years(ts, 0, 1)
        front = self.legs[ts, 0]
        high, low, volume = (self.at(kind, ts, front) for kind in (HIGH, LOW, VOLUME))
        sane = (low > 0) & (high >= low)
        self.range2[ts] = np.log(np.where(sane, high / np.where(sane, low, 1), np.nan)) ** 2 / (4 * np.log(2))
        self.bar_quality[ts] = np.where(np.isfinite(self.range2[ts]), self.qualities[HIGH, ts, front], 0)
        traded = np.where(volume > 0, volume, np.nan)
        self.illiquidity[ts] = np.abs(self.returns[ts]) / (traded * self.multiplier * positive(now)) * 1e9

    def years(self, sessions: Ints, near: int, far: int) -> Floats:
        """ACT/365 years between the expirations of two legs; NaN where one is missing or both expire together."""
        a, b = self.legs[sessions, near], self.legs[sessions, far]
        distance = self.expiry_us[sessions, b] - self.expiry_us[sessions, a]
        return np.asarray(np.where((a >= 0) & (b >= 0) & (distance != 0), distance / 1e6 / YEAR_S, np.nan))
