"""
The audit of lookahead: rows that could not have been known at their ``available_at``.

It reads raw vintages and the windows that features declare, and shares no code with the engines, so that it cannot repeat their
mistakes.
"""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from hydra_assets.core.audit_daily import DailyPrints, utc_us
from hydra_assets.core.calendar import DEFAULT_CALENDAR, Calendar
from hydra_assets.core.feature import Feature, Window
from hydra_assets.core.instants import EPOCH, iso
from hydra_assets.errors import LookaheadError

EARLY = pa.schema(
    [
        ("feature_name", pa.string()),
        ("as_of", pa.string()),
        ("available_at", pa.string()),
        ("reason", pa.string()),
    ]
)


def lookahead_audit(
    inputs: Mapping[str, pa.Table], features: Sequence[Feature], *, calendar: Calendar = DEFAULT_CALENDAR
) -> Callable[[pa.Table], None]:
    """
    The callable for `FeatureStore.publish`: raises LookaheadError where `early_rows` finds any.

    It can be used for many publishes from the same inputs, which are read once.
    """
    auditor = Auditor(inputs, features, calendar=calendar)

    def audit(rows: pa.Table) -> None:
        early = auditor.early(rows)
        if early.num_rows:
            first = early.slice(0, 1).to_pylist()[0]
            raise LookaheadError(
                f"{early.num_rows} of {rows.num_rows} row(s) look ahead; the first is {first['feature_name']} as_of {first['as_of']}"
                f" available_at {first['available_at']}: {first['reason']}; nothing was written",
                rows=early.num_rows,
            )

    return audit


def early_rows(
    rows: pa.Table, inputs: Mapping[str, pa.Table], features: Sequence[Feature], *, calendar: Calendar = DEFAULT_CALENDAR
) -> pa.Table:
    """
    Rows that claim to be known before they could be.

    A row is in order if its ``available_at`` is not before the first print of what its windows require (the period of its
    ``as_of``; for a value also every required offset and the least number of periods), and is the very instant at which an
    input of one of its windows arrived.

    Args:
        rows: ``feature_name, as_of, available_at, value``.
        inputs: data type to every vintage of it that the windows may touch, raw.
        features: those that *rows* may name.
        calendar: the market's.

    Returns:
        EARLY: one line per offending row, with the reason.
    """
    return Auditor(inputs, features, calendar=calendar).early(rows)


class Auditor:
    """`early_rows` for many tables of rows over the same inputs."""

    def __init__(self, inputs: Mapping[str, pa.Table], features: Sequence[Feature], *, calendar: Calendar = DEFAULT_CALENDAR) -> None:
        self._declared = {feature.name: feature for feature in features}
        units = {(window.dataset, window.unit) for feature in features for window in feature.windows}
        self._weekly = {name: _Prints(table) for name, table in inputs.items() if (name, "weeks") in units}
        daily = {name for name, unit in units if unit != "weeks"}
        self._daily = DailyPrints({name: table for name, table in inputs.items() if name in daily}, calendar)

    def early(self, rows: pa.Table) -> pa.Table:
        """EARLY of *rows*."""
        found: dict[str, list[str]] = {name: [] for name in EARLY.names}
        if not rows.num_rows:
            return pa.table(found, schema=EARLY)
        as_of, available = (utc_us(rows[name]) for name in ("as_of", "available_at"))
        valued = rows["value"].is_valid().to_numpy(zero_copy_only=False).astype(bool)
        names = np.array(rows["feature_name"].to_pylist(), dtype=object)
        reasons: dict[int, str] = {}
        for name in dict.fromkeys(names.tolist()):
            mine = np.flatnonzero(names == name)
            found_of = self._reasons(self._declared.get(name), as_of[mine], available[mine], valued[mine])
            reasons.update((int(mine[place]), reason) for place, reason in found_of.items())
        for row in sorted(reasons):
            line = (names[row], iso(int(as_of[row]))[:10], iso(int(available[row])), reasons[row])
            for column, cell in zip(EARLY.names, line, strict=True):
                found[column].append(cell)
        return pa.table(found, schema=EARLY)

    def _reasons(self, feature: Feature | None, as_of: np.ndarray, available: np.ndarray, valued: np.ndarray) -> dict[int, str]:
        if feature is None:
            return dict.fromkeys(range(len(as_of)), "no such feature is declared")
        if "weeks" not in {window.unit for window in feature.windows}:
            return self._daily.reasons(feature, as_of, available, valued)
        rows = zip(as_of.tolist(), available.tolist(), valued.tolist(), strict=True)
        reasons = {place: _why_early(feature, *row, self._weekly) for place, row in enumerate(rows)}
        return {place: reason for place, reason in reasons.items() if reason}


@dataclass(init=False)
class _Prints:
    """The first print of each period of an input, and every arrival in it."""

    first: dict[int, int]
    reports: dict[int, int]
    arrivals: dict[int, set[int]]

    def __init__(self, table: pa.Table) -> None:
        self.first, self.reports, self.arrivals = {}, {}, {}
        if not table.num_rows:
            return
        for as_of, available in zip(utc_us(table["as_of"]).tolist(), utc_us(table["available_at"]).tolist(), strict=True):
            week = _iso_week(as_of)
            self.first[week] = min(available, self.first.get(week, available))
            self.reports[as_of] = min(available, self.reports.get(as_of, available))
            self.arrivals.setdefault(available, set()).add(week)


def _why_early(feature: Feature, as_of: int, available: int, valued: bool, prints: Mapping[str, _Prints]) -> str | None:
    arrived = False
    for window in feature.windows:
        if window.unit != "weeks":
            return "windows of weeks and of days in one feature have no audit"
        seen = prints.get(window.dataset)
        if seen is None:
            return f"the input {window.dataset} was not given"
        if as_of not in seen.reports:
            return f"{window.dataset} has no row of that day"
        if available < seen.reports[as_of]:
            return f"{window.dataset} of that day was first printed {iso(seen.reports[as_of])}"
        week = _iso_week(as_of)
        if valued and (reason := _why_too_thin(window, week, available, seen)):
            return reason
        arrived |= any(window.first <= w - week <= window.last for w in seen.arrivals.get(available, ()))
    return None if arrived else "no input inside its windows arrived at that instant"


def _why_too_thin(window: Window, week: int, available: int, seen: _Prints) -> str | None:
    """The reason where a value exists although a required period was not yet out; else None."""
    for offset in window.required:
        first = seen.first.get(week + offset)
        if first is None or first > available:
            return f"{window.dataset} of {-offset} week(s) before was {'never printed' if first is None else 'first printed ' + iso(first)}"
    known = sum(seen.first.get(week + offset, available + 1) <= available for offset in range(window.first, window.last + 1))
    if known < window.at_least:
        return f"only {known} weeks of {window.dataset} were out in its window; a value needs {window.at_least}"
    return None


def _iso_week(us: int) -> int:
    """The Monday of the instant's week, as a count of weeks."""
    day = (EPOCH + dt.timedelta(microseconds=us)).date()
    return (day - dt.timedelta(day.weekday())).toordinal() // 7
