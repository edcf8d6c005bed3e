"""The audit's eyes on daily inputs: when each session was first printed, and what arrived when; see `audit`."""

import datetime as dt
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.core.feature import Feature, Window
from hydra_assets.core.instants import DAY_US, EPOCH, iso
from hydra_assets.core.sessions import session_days

NEVER = np.iinfo(np.int64).max


class DailyPrints:
    """
    Prints by session of the tables given, of those rows alone that a window's ``where`` lets through.

    Args:
        tables: data type to every vintage.
    """

    def __init__(self, tables: Mapping[str, pa.Table]) -> None:
        self._tables = tables
        self._seen: dict[tuple[str, tuple[tuple[str, object], ...]], tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
        days = [pc.min_max(table["as_of"]).as_py() for table in tables.values() if table.num_rows and "as_of" in table.column_names]
        low = min((d["min"].date() for d in days), default=EPOCH.date()) - dt.timedelta(14)
        high = max((d["max"].date() for d in days), default=EPOCH.date()) + dt.timedelta(14)
        self._days = np.array([(day - EPOCH.date()).days for day in session_days(low, high)], dtype=np.int64)

    def why_early(self, feature: Feature, as_of: int, available: int, value: float | None) -> str | None:
        """The reason why a row of *feature* could not have been known at *available* (microseconds UTC); None if it could."""
        day = as_of // DAY_US
        session = int(np.searchsorted(self._days, day))
        if session >= len(self._days) or self._days[session] != day:
            return "that day is no session within reach of the inputs"
        arrived = False
        for window in feature.windows:
            if window.dataset not in self._tables:
                return f"the input {window.dataset} was not given"
            first, at, where = self._prints(window)
            for offset in window.required:
                seen = first[session + offset]
                if seen > available:
                    told = "was never printed" if seen == NEVER else f"was first printed {iso(int(seen))}"
                    return f"{_named(window)} of {self._day(session + offset)} {told}"
            low, high = max(session + window.first, 0), session + window.last + 1
            known = int((first[low:high] <= available).sum())
            if value is not None and known < window.at_least:
                return f"only {known} sessions of {_named(window)} were out in its window; a value needs {window.at_least}"
            a, b = np.searchsorted(at, [available, available + 1])
            arrived |= bool(((where[a:b] >= low) & (where[a:b] < high)).any())
        return None if arrived else "no input inside its windows arrived at that instant"

    def _day(self, session: int) -> dt.date:
        return EPOCH.date() + dt.timedelta(int(self._days[session]))

    def _prints(self, window: Window) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """First print of each session; and all arrivals in order of time, with their sessions."""
        key = (window.dataset, window.where)
        if key not in self._seen:
            table = self._tables[window.dataset]
            for column, value in window.where:
                table = table.filter(pc.fill_null(pc.equal(table[column], pa.scalar(value, table.schema.field(column).type)), False))
            days, at = (_us(table[name]) for name in ("as_of", "available_at"))
            session = np.searchsorted(self._days, days // DAY_US)
            on = self._days[np.minimum(session, len(self._days) - 1)] == days // DAY_US
            value = table["value"].is_valid().to_numpy(zero_copy_only=False) if "value" in table.column_names else np.ones(len(at), bool)
            first = np.full(len(self._days), NEVER)
            np.minimum.at(first, session[on & value], at[on & value])
            order = np.argsort(at[on], kind="stable")
            self._seen[key] = (first, at[on][order], session[on][order])
        return self._seen[key]


def _named(window: Window) -> str:
    return " ".join([window.dataset, *(str(value) for column, value in window.where if column == "stat")])


def _us(column: pa.ChunkedArray) -> np.ndarray:
    counts: np.ndarray = column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy()
    return counts
