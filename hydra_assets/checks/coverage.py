"""Coverage of raw tables: every day that is out is held, by the calendar of the table."""

import datetime as dt
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.checks.check import Scope, check
from hydra_assets.checks.days import due_days, known_days
from hydra_assets.checks.report import CheckReport
from hydra_assets.checks.settlements import SettledDays
from hydra_assets.core.tables.futures import STATISTICS
from hydra_assets.core.tables.table import Table

_OPTION_STATISTICS = ("settlement", "open_interest")  # options that nobody trades have no volume
_SUNDAY = 6


@check("coverage", applies_to=lambda table: table.group == "raw")
def coverage(report: CheckReport, scope: Scope, rows: pa.Table) -> str:
    """Every session or COT report that is out by its calendar is held, settled where it is one of statistics; no row lies elsewhere."""
    reports = scope.table.calendar == "cot_releases"
    extent = "reports due by the release calendar" if reports else "sessions of the calendar"
    if not scope.is_listed:
        if scope.absence:
            return f"{report.rows} {extent}; {scope.absence}"
        later = f"options of {scope.market} are listed from {scope.listed_from} on"
        return f"{report.rows} {extent}; {later if scope.option_roots else f'no option_roots configured for {scope.market}'}"
    due, settled = due_days(scope), SettledDays.of(rows) if "stat" in scope.table.schema.names else None
    held = _held_days(scope.table, rows, settled)
    listed = [day for day in due if scope.listed_from is None or day >= scope.listed_from]
    report.count(len(due), len(listed))
    if scope.unpublished and scope.alone and not rows.num_rows:
        fault = "no report held has ever been of this market: is its cftc_code right?"
        report.add_failure(scope.market, scope.months[-1].last, report=max(scope.unpublished), fault=fault, due="")
    for day in listed:
        for stat in (stat for stat, days in held.items() if day not in days):
            if hole := scope.hole(day, stat):
                known = {"market": scope.market, "day": day, "missing": stat or "row", "reason": hole.reason, "source": hole.source}
                report.known_holes.append(known)
            elif reports:
                report.add_failure(scope.market, day, report=day, fault="missing", due=scope.releases.release(day).available_at)
            else:
                report.add_failure(scope.market, day, day=day, fault=f"no {stat or 'row'} of this session")
        if scope.hole(day) and not any(day in days for days in held.values()):
            report.values -= 1  # nothing to look at, and nothing is expected
    for day in sorted(set().union(*held.values()) - set(known_days(scope))):
        if reports:
            report.add_failure(scope.market, day, report=day, fault="no report date of the calendar", due="")
        elif not _may_lie_off_session(scope, rows, day):
            report.add_failure(scope.market, day, day=day, fault="a row on a day that is no session")
    if settled:
        report.counts.update(inferred=len(settled.inferred), unflagged=len(settled.unflagged), nonpositive=_nonpositive(scope.table, rows))
    if len(listed) < len(due):
        report.counts["before_listing"] += len(due) - len(listed)
    return f"{report.rows} {extent}" + "".join(_remarks(report, scope))


def _held_days(table: Table, rows: pa.Table, settled: SettledDays | None) -> dict[str, set[dt.date]]:
    """Days held by statistic; of a table without statistics, all of them under an empty name."""
    if settled is None:
        return {"": _days(rows)}
    wanted = _OPTION_STATISTICS if table.needs_options else STATISTICS
    held = {stat: _days(rows.filter(pc.equal(rows["stat"], stat)) if rows.num_rows else rows) for stat in wanted}
    return held | {"settlement": settled.all}


def _nonpositive(table: Table, rows: pa.Table) -> int:
    """Contracts and days that settled at 0 or less; of options, which are worth nothing often, none is counted."""
    if table.needs_options or not rows.num_rows:
        return 0
    hit = rows.filter(pc.and_(pc.equal(rows["stat"], "settlement"), pc.less_equal(rows["value"], 0)))
    return int(hit.group_by(["instrument_id", "as_of"]).aggregate([]).num_rows)


def _days(rows: pa.Table) -> set[dt.date]:
    return {as_of.date() for as_of in pc.unique(rows["as_of"]).to_pylist()} if rows.num_rows else set()


def _may_lie_off_session(scope: Scope, rows: pa.Table, day: dt.date) -> bool:
    """Whether the table can have rows on *day*, which is no session: by its own fact."""
    if scope.table.off_session_rows != "eves" or day.weekday() == _SUNDAY:
        return scope.table.off_session_rows != "none"
    # The evening of a holiday: in years whose bars are no sessions they are partial.
    partial = pc.equal(rows["quality"], "partial")
    return day not in _days(rows.filter(pc.invert(partial))) and scope.calendar.is_session(day + dt.timedelta(1))


def _remarks(report: CheckReport, scope: Scope) -> Iterator[str]:
    """Remarks that are no failures."""
    for count, remark in (
        (report.counts["inferred"], "with a settlement that never became final"),
        (report.counts["unflagged"], "settled without a word on being final"),
        (report.counts["nonpositive"], "settlements of 0 or less, without a logarithm"),
        (len(report.known_holes), "known not to be in the vendor's history"),
        (report.counts["before_listing"], "before the market had options"),
    ):
        if count:
            yield f"; {count} {remark}"
    for root, first in scope.option_roots.items():
        if scope.table.needs_options and first is not None and first > scope.months[0].first:
            yield f"; {root} has options from {first} on"
