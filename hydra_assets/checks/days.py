"""Days that a table's calendar knows, and those whose rows are out."""

import datetime as dt
from collections.abc import Callable, Sequence

from hydra_assets.checks.check import Scope
from hydra_assets.core.calendar import Calendar
from hydra_assets.core.months import Month
from hydra_assets.core.releases import ReleaseCalendar

DELIVERED_AFTER = dt.timedelta(1)  # a historical API delivers a day about so long after its last record


def sessions_of(calendar: Calendar, months: Sequence[Month]) -> list[dt.date]:
    """Sessions of *months*."""
    return [day for month in months for day in calendar.session_days(month.first, month.last)]


def reports_of(releases: ReleaseCalendar, months: Sequence[Month]) -> list[dt.date]:
    """Report dates of *months*."""
    return [day for month in months for day in releases.report_dates(month.first, month.last)]


def due_sessions(
    calendar: Calendar, months: Sequence[Month], now: dt.datetime, complete_at: Callable[[dt.date], dt.datetime], *, grace: int = 0
) -> list[dt.date]:
    """
    Sessions of *months* whose last record was out, and delivered, by *now*.

    Args:
        calendar: exchange calendar.
        months: months looked at.
        now: UTC instant.
        complete_at: UTC instant by which all records of a session are out, by its day.
        grace: number of the newest sessions that are left out.
    """
    due = [day for day in sessions_of(calendar, months) if complete_at(day) + DELIVERED_AFTER <= now]
    return due[: max(len(due) - grace, 0)]


def due_reports(releases: ReleaseCalendar, months: Sequence[Month], now: dt.datetime, *, grace_days: int = 0) -> list[dt.date]:
    """COT reports of *months* that had been out for *grace_days* at *now*."""
    cut = now - dt.timedelta(days=grace_days)
    return [day for day in reports_of(releases, months) if releases.release(day).available_at <= cut]


def known_days(scope: Scope) -> list[dt.date]:
    """Days of the scope's months that the table's calendar knows."""
    if scope.table.calendar == "cot_releases":
        return reports_of(scope.releases, scope.months)
    return [day for day in sessions_of(scope.calendar, scope.months) if scope.table.expects(day)]


def due_days(scope: Scope) -> list[dt.date]:
    """Days of the scope's months whose rows are out."""
    if scope.table.calendar == "cot_releases":
        return [day for day in due_reports(scope.releases, scope.months, scope.now) if day not in scope.unpublished]
    due = due_sessions(scope.calendar, scope.months, scope.now, scope.complete_at)
    return [day for day in due if scope.table.expects(day)]
