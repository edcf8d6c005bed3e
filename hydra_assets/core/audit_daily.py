"""Prints of daily inputs as the audit sees them: when each session or weekday was first printed, and what arrived when; see `audit`."""

import datetime as dt
from collections.abc import Mapping
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.core.calendar import Calendar
from hydra_assets.core.feature import Feature, Window
from hydra_assets.core.instants import DAY_US, EPOCH, iso

NEVER = np.iinfo(np.int64).max
_NO_ROWS = pa.schema([(name, pa.timestamp("us", tz="UTC")) for name in ("as_of", "available_at")])
_CELLS = 4_000_000  # of rows and sessions looked at at once


class DailyPrints:
    """
    Prints by session, or by weekday where a window counts these; only rows that match the window's ``where`` count.

    Args:
        tables: data type to every vintage.
        calendar: the market's.
    """

    def __init__(self, tables: Mapping[str, pa.Table], calendar: Calendar) -> None:
        self._tables, self._calendar = tables, calendar
        self._seen: dict[tuple[str, str, tuple[tuple[str, object], ...]], _Prints] = {}
        days = [pc.min_max(table["as_of"]).as_py() for table in tables.values() if table.num_rows and "as_of" in table.column_names]
        low = min((d["min"].date() for d in days), default=EPOCH.date()) - dt.timedelta(14)
        high = max((d["max"].date() for d in days), default=EPOCH.date()) + dt.timedelta(14)
        self._axes = {"sessions": calendar.session_numbers(low, high), "weekdays": _weekdays(low, high)}

    def reasons(self, feature: Feature, as_of: np.ndarray, available: np.ndarray, valued: np.ndarray) -> dict[int, str]:
        """
        Reasons why rows of *feature* could not have been known at their ``available_at``.

        Args:
            feature: whose rows they are.
            as_of: microseconds UTC, one a row.
            available: microseconds UTC, one a row.
            valued: whether the row has a value.

        Returns:
            The row's place to the first reason found; rows in order are absent.
        """
        found: dict[int, str] = {}
        day = as_of // DAY_US
        places = {}
        for unit in dict.fromkeys(window.unit for window in feature.windows):
            axis = self._axes[unit]
            places[unit] = np.minimum(np.searchsorted(axis, day), len(axis) - 1)
            for row in np.flatnonzero(axis[places[unit]] != day).tolist():
                found.setdefault(row, f"that day is no {unit.removesuffix('s')} within reach of the inputs")
        for row in np.flatnonzero(available < as_of).tolist():
            found.setdefault(row, "it claims to be known before its own day")
        arrived, with_value = np.zeros(len(day), dtype=bool), np.flatnonzero(valued)
        for window in feature.windows:
            if window.dataset not in self._tables and window.required:
                return {row: found.get(row, f"the input {window.dataset} was not given") for row in range(len(day))}
            prints, session = self._prints(window), places[window.unit]
            for offset in window.required:
                first = prints.first_of(session + offset)
                for row in np.flatnonzero(first > available).tolist():
                    printed = "was never printed" if first[row] == NEVER else f"was first printed {iso(int(first[row]))}"
                    found.setdefault(row, f"{_named(window)} of {self._day(window.unit, int(session[row]) + offset)} {printed}")
            known = prints.known(session[with_value], window, available[with_value])
            for row, n in zip(with_value.tolist(), known.tolist(), strict=True):
                if n < window.at_least:
                    few = f"only {n} {window.unit} of {_named(window)} were out in its window; a value needs {window.at_least}"
                    found.setdefault(row, few)
            arrived |= prints.arrived(session, window, available)
            # Rows that arrived before the day began are known when it begins.
            arrived |= (available == as_of) & prints.arrived_before(session, window, available)
        for row in np.flatnonzero(~arrived).tolist():
            found.setdefault(row, "no input inside its windows arrived at that instant")
        return found

    def _day(self, unit: str, place: int) -> dt.date:
        return EPOCH.date() + dt.timedelta(int(self._axes[unit][place]))

    def _prints(self, window: Window) -> "_Prints":
        key = (window.dataset, window.unit, window.where)
        if key not in self._seen:
            table = self._tables.get(window.dataset)
            table = table if table is not None and table.num_rows else _NO_ROWS.empty_table()  # one that was never written has no columns
            for column, value in window.where if table.num_rows else ():
                table = table.filter(pc.fill_null(pc.equal(table[column], pa.scalar(value, table.schema.field(column).type)), False))
            days, at = (utc_us(table[name]) for name in ("as_of", "available_at"))
            axis = self._axes[window.unit]
            session = np.searchsorted(axis, days // DAY_US)
            if "is_final" in table.column_names and ("stat", "settlement") in window.where:
                at = self._standing_from(table, session, at)
            on = axis[np.minimum(session, len(axis) - 1)] == days // DAY_US
            value = table["value"].is_valid().to_numpy(zero_copy_only=False) if "value" in table.column_names else np.ones(len(at), bool)
            first = np.full(len(axis), NEVER)
            np.minimum.at(first, session[on & value], at[on & value])
            self._seen[key] = _Prints(first, at[on], session[on])
        return self._seen[key]

    def _standing_from(self, table: pa.Table, session: np.ndarray, at: np.ndarray) -> np.ndarray:
        """Instants from which settlements may stand: one that is not final only from noon of the next session on."""
        preliminary = pc.equal(table["is_final"], False).fill_null(False).to_numpy(zero_copy_only=False).astype(bool)
        answer = at.copy()
        for row in np.flatnonzero(preliminary & (session < len(self._axes["sessions"]))).tolist():
            noon = self._noon(int(session[row]))
            answer[row] = max(int(at[row]), noon)
        return answer

    @cache  # noqa: B019  lives as long as the audit
    def _noon(self, session: int) -> int:
        return round(self._calendar.prints_complete(self._day("sessions", session)).timestamp() * 1e6)


class _Prints:
    """
    Prints of one input.

    Args:
        first: when each session was first printed, NEVER for none.
        at: instant of every arrival.
        session: its session.
    """

    def __init__(self, first: np.ndarray, at: np.ndarray, session: np.ndarray) -> None:
        self._first, self._sessions = first, len(first)
        self._earliest = np.full(len(first), NEVER)
        np.minimum.at(self._earliest, session, at)
        self._instants, rank = np.unique(at, return_inverse=True)
        self._arrivals = np.sort(rank.reshape(-1) * self._sessions + session)

    def first_of(self, session: np.ndarray) -> np.ndarray:
        """The instant at which each *session* was first printed; NEVER also beyond what is in reach."""
        inside = (session >= 0) & (session < self._sessions)
        return np.where(inside, self._first[np.where(inside, session, 0)], NEVER)

    def known(self, session: np.ndarray, window: Window, available: np.ndarray) -> np.ndarray:
        """Number of sessions of the window that were out at *available*."""
        offsets = np.arange(window.first, window.last + 1)
        counts = [np.zeros(0, dtype=np.int64)]
        step = max(_CELLS // len(offsets), 1)
        for begin in range(0, len(session), step):
            rows = slice(begin, begin + step)
            counts.append((self.first_of(session[rows, None] + offsets) <= available[rows, None]).sum(axis=1))
        return np.concatenate(counts)

    def arrived(self, session: np.ndarray, window: Window, available: np.ndarray) -> np.ndarray:
        """Whether anything arrived in the window at the very instant *available*."""
        rank = np.searchsorted(self._instants, available)
        there = self._instants[np.minimum(rank, len(self._instants) - 1)] == available if len(self._instants) else rank < 0
        low, high = np.maximum(session + window.first, 0), np.minimum(session + window.last + 1, self._sessions)
        base = rank * self._sessions
        some = np.searchsorted(self._arrivals, base + high) > np.searchsorted(self._arrivals, base + low)
        return np.asarray(there & some)

    def arrived_before(self, session: np.ndarray, window: Window, available: np.ndarray) -> np.ndarray:
        """Whether anything in the window arrived before *available*."""
        offsets = np.arange(window.first, window.last + 1)
        answer = np.zeros(len(session), dtype=bool)
        for offset in offsets.tolist():
            answer |= self._earliest_of(session + offset) < available
        return answer

    def _earliest_of(self, session: np.ndarray) -> np.ndarray:
        """The instant of the first arrival of each *session*, a number or none; NEVER beyond what is in reach."""
        inside = (session >= 0) & (session < self._sessions)
        return np.where(inside, self._earliest[np.where(inside, session, 0)], NEVER)


def _named(window: Window) -> str:
    return " ".join([window.dataset, *(str(value) for column, value in window.where if column in ("stat", "purchase_type"))])


def _weekdays(low: dt.date, high: dt.date) -> np.ndarray:
    """Mondays to Fridays from *low* to *high*, as days since 1970-01-01."""
    days = np.arange((low - EPOCH.date()).days, (high - EPOCH.date()).days + 1)
    return days[(days + 3) % 7 < 5]


def utc_us(column: pa.ChunkedArray) -> np.ndarray:
    """Microseconds UTC; on purpose not `column_us`: the audit shares no code with the engines."""
    counts: np.ndarray = column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy()
    return counts
