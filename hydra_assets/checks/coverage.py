"""Coverage of raw tables: every day that is out is held, by the calendar of the table."""

import datetime as dt

import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.checks.check import Scope, check
from hydra_assets.checks.days import due_days, known_days
from hydra_assets.checks.report import CheckReport
from hydra_assets.core.tables.futures import STATISTICS
from hydra_assets.core.tables.table import Table

_OPTION_STATISTICS = ("settlement", "open_interest")  # options that nobody trades have no volume


@check("coverage", applies_to=lambda table: table.group == "raw")
def coverage(report: CheckReport, scope: Scope, rows: pa.Table) -> str:
    """Every session or COT report that is out by its calendar is held, and no row lies on another day."""
    reports = scope.table.calendar == "cot_releases"
    extent = "reports due by the release calendar" if reports else "sessions of the calendar"
    if not scope.is_listed:
        return f"{report.rows} {extent}; no option_roots configured for {scope.market}"
    due, held = due_days(scope), _held_days(scope.table, rows)
    report.count(len(due))
    if scope.unpublished and scope.alone and not rows.num_rows:
        fault = "no report held has ever been of this market: is its cftc_code right?"
        report.add_failure(scope.market, scope.months[-1].last, report=max(scope.unpublished), fault=fault, due="")
    for day in due:
        for stat, days in held.items():
            if day in days:
                continue
            if reports:
                report.add_failure(scope.market, day, report=day, fault="missing", due=scope.releases.release(day).available_at)
            else:
                report.add_failure(scope.market, day, day=day, fault=f"no {stat or 'row'} of this session")
    for day in sorted(set().union(*held.values()) - set(known_days(scope))):
        if reports:
            report.add_failure(scope.market, day, report=day, fault="no report date of the calendar", due="")
        else:
            report.add_failure(scope.market, day, day=day, fault="a row on a day that is no session")
    return f"{report.rows} {extent}"


def _held_days(table: Table, rows: pa.Table) -> dict[str, set[dt.date]]:
    """Days held by statistic; of a table without statistics, all of them under an empty name."""
    if "stat" not in table.schema.names:
        return {"": _days(rows)}
    wanted = _OPTION_STATISTICS if table.needs_options else STATISTICS
    return {stat: _days(rows.filter(pc.equal(rows["stat"], stat)) if rows.num_rows else rows) for stat in wanted}


def _days(rows: pa.Table) -> set[dt.date]:
    return {as_of.date() for as_of in pc.unique(rows["as_of"]).to_pylist()} if rows.num_rows else set()
