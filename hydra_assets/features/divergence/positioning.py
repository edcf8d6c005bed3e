"""Rows of a feature over a window of sessions of the skew and the newest COT report in reach."""

import itertools
from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa

from hydra_assets.core.arrays import Floats, Ints
from hydra_assets.core.feature import Feature
from hydra_assets.core.instants import DAY_US
from hydra_assets.core.tables.features import FEATURE_SCHEMA
from hydra_assets.features.days import day_range, days_of, sessions_between
from hydra_assets.features.family import Inputs, Request
from hydra_assets.features.quality import MISSING, NORMAL, PARTIAL, quality_codes
from hydra_assets.features.rows import changed_rows, feature_rows, rows_of
from hydra_assets.features.vintages import known_from

SESSIONS = 756  # 156 weeks
REPORT_REACH = 35  # sessions: an older COT report is not used for today
SKEW, POSITIONING = "opt_rr25_30", "cot_mm_z_156"
Formula = Callable[[Floats, Floats], Floats]
_SKEW, _REPORT = range(2)
Rows = tuple[Ints, Ints, Floats, Ints]  # session, instant, value, quality


def skew_and_report_rows(inputs: Inputs, feature: Feature, request: Request, formula: Formula) -> pa.Table:
    """
    All vintages of *feature*, FEATURE_SCHEMA.

    Args:
        inputs: ``option_features`` and ``cot_features``, every vintage.
        feature: whose rows they are.
        request: calendar and bounds of ``as_of``.
        formula: windows of the skew (rows, `SESSIONS`), NaN where unknown, and the positioning of each row, to values.
    """
    skew, reports = (_cells(rows_of(inputs[name], of)) for name, of in (("option_features", SKEW), ("cot_features", POSITIONING)))
    if not len(skew[0]) or not len(reports[0]):
        return FEATURE_SCHEMA.empty_table()
    sessions = sessions_between(skew[0], request.calendar)
    first, last = day_range(request.start, request.end)
    low, high = int(np.searchsorted(sessions, first)), int(np.searchsorted(sessions, last, side="right"))
    state = _Known(sessions, formula)
    updates = sorted(
        [(at, _SKEW, day, value, q) for day, at, value, q in zip(*(c.tolist() for c in skew), strict=True)]
        + [(at, _REPORT, day, value, q) for day, at, value, q in zip(*(c.tolist() for c in reports), strict=True)]
    )
    parts: list[Rows] = []
    for at, group in itertools.groupby(updates, key=lambda update: update[0]):
        touched: set[int] = set()
        for _, kind, day, value, quality in group:
            touched.update(state.put_skew(day, value, quality) if kind == _SKEW else state.put_report(day, value, quality))
        rows = np.array(sorted(t for t in touched if low <= t < high and state.quality[t] >= 0), dtype=np.int64)
        if len(rows):
            parts.append(state.rows(rows, at))
    if not parts:
        return FEATURE_SCHEMA.empty_table()
    t, at_us, values, qualities = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((at_us, t))
    t, at_us, values, qualities = t[order], at_us[order], values[order], qualities[order]
    keep = changed_rows(t, values, qualities)
    return feature_rows(feature, sessions[t[keep]] * DAY_US, at_us[keep], values[keep], qualities[keep])


class _Known:
    """
    The skew of each session and the reports, as known at the instant under way.

    Attributes:
        quality: of the skew of each session, -1 where there is none.
    """

    def __init__(self, sessions: Ints, formula: Formula) -> None:
        self._sessions, self._formula = sessions, formula
        self._skew = np.full(SESSIONS + len(sessions), np.nan)  # a window of nothing in front
        self.quality = np.full(len(sessions), -1, dtype=np.int64)
        self._reports: dict[int, tuple[float, int]] = {}

    def put_skew(self, day: int, value: float, quality: int) -> range:
        """Set the skew of *day*; the sessions whose windows hold it."""
        i, n = int(np.searchsorted(self._sessions, day)), len(self._sessions)
        if i == n or self._sessions[i] != day:
            return range(0)
        self._skew[SESSIONS + i], self.quality[i] = value, quality
        return range(i, min(i + SESSIONS, n))

    def put_report(self, day: int, value: float, quality: int) -> range:
        """Set the report of *day*; the sessions that it reaches."""
        self._reports[day] = (value, quality)
        i = int(np.searchsorted(self._sessions, day))
        return range(i, min(i + REPORT_REACH + 1, len(self._sessions)))

    def rows(self, wanted: Ints, at: int) -> Rows:
        """Rows of the sessions *wanted* at one instant; a session without a report in reach has none yet."""
        reports: Mapping[int, tuple[float, int]] = self._reports
        days = np.array(sorted(reports), dtype=np.int64)
        place = np.searchsorted(days, self._sessions[wanted], side="right") - 1
        oldest = self._sessions[np.maximum(wanted - REPORT_REACH, 0)]
        near = (place >= 0) & (days[np.maximum(place, 0)] >= oldest) if len(days) else np.zeros(len(wanted), dtype=bool)
        wanted, place = wanted[near], place[near]
        windows = self._skew[wanted[:, None] + np.arange(1, SESSIONS + 1)]
        positioning = np.array([reports[int(days[p])][0] for p in place], dtype=float)
        qualities = np.array([reports[int(days[p])][1] for p in place], dtype=np.int64)
        value = self._formula(windows, positioning)
        thin = np.isfinite(windows).sum(axis=1) < SESSIONS
        qualities = np.maximum(np.maximum(qualities, self.quality[wanted]), np.where(thin, PARTIAL, NORMAL))
        return wanted, np.full(len(wanted), at), value, np.where(np.isnan(value), MISSING, qualities)


def _cells(table: pa.Table) -> Rows:
    """Day, instant, value and quality of each row, in order of arrival."""
    at = known_from(table)
    order = np.argsort(at, kind="stable")
    value = table["value"].to_numpy(zero_copy_only=False).astype(float)
    return days_of(table)[order], at[order], value[order], quality_codes(table["quality"])[order]
