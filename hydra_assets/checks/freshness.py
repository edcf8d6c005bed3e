"""Freshness: the newest row held against the newest that is out, by the table's calendar."""

import datetime as dt
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.checks.check import Days, Scope, check, every_table
from hydra_assets.checks.days import due_reports, due_sessions
from hydra_assets.checks.report import CheckReport
from hydra_assets.core.months import Month, months_between

_LOOK_BACK = dt.timedelta(120)  # a shutdown can hold a report back by two months


def recent_months(scope: Scope) -> Sequence[Month]:
    """The newest month of a run; the months up to now of a check run alone."""
    return months_between((scope.now - _LOOK_BACK).date(), scope.now.date()) if scope.alone else scope.months[-1:]


def _recent_days(scope: Scope) -> Days:
    months = recent_months(scope)
    return months[0].first, months[-1].last


def newest_expected(scope: Scope, *, futures_stale_days: float, options_stale_days: float, cot_stale_days: float) -> dt.date | None:
    """
    The newest ``as_of`` of the recent months that the table should hold by now; None where there is none.

    Args:
        scope: table, market, months and calendars.
        futures_stale_days: sessions that may be late.
        options_stale_days: sessions that may be late of a table that needs options.
        cot_stale_days: days after its release that a report may be late.
    """
    months = recent_months(scope)
    if scope.table.calendar == "cot_releases":
        out = due_reports(scope.releases, months, scope.now, grace_days=int(cot_stale_days))
        due = [day for day in out if day not in scope.unpublished]
    else:
        grace = int(options_stale_days if scope.table.needs_options else futures_stale_days)
        due = due_sessions(scope.calendar, months, scope.now, scope.complete_at, grace=grace)
        due = [day for day in due if scope.table.expects(day)]
    return due[-1] if due else None


def newest_held(rows: pa.Table) -> dt.date | None:
    """The newest ``as_of`` of *rows*; of statistics, the newest settled for good as far as the feed says."""
    if not rows.num_rows:
        return None
    if "is_final" in rows.column_names:
        settled = pc.and_(pc.equal(rows["stat"], "settlement"), pc.fill_null(rows["is_final"], True))
        rows = rows.filter(pc.and_(settled, pc.is_valid(rows["value"])))
    newest = pc.max(rows["as_of"]).as_py()
    return newest.date() if newest is not None else None


@check("staleness", applies_to=every_table, span=_recent_days)
def staleness(
    report: CheckReport, scope: Scope, rows: pa.Table, *, futures_stale_days: float, options_stale_days: float, cot_stale_days: float
) -> str:
    """The newest row held is the newest that should be: in a run at the earlier of now and its newest month's end, alone at now."""
    expected, newest = None, newest_held(rows)
    if scope.is_listed:
        expected = newest_expected(
            scope, futures_stale_days=futures_stale_days, options_stale_days=options_stale_days, cot_stale_days=cot_stale_days
        )
    report.count(1, int(scope.is_listed))  # a market without options is unproven, not passed
    if expected is not None and (newest is None or newest < expected):
        report.add_failure(scope.market, scope.months[-1], newest=newest, expected=expected)
    return f"the newest row of {report.rows} market(s) against the calendar"
