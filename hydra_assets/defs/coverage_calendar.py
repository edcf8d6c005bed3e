"""The coverage calendar of a month in the UI: every day on which something was due, and its state."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence

import dagster as dg

from hydra_assets.core.months import Month
from hydra_assets.core.releases import ReleaseCalendar
from hydra_assets.flow.feeds.databento import Plan
from hydra_assets.plots.coverage import CoveredDay, report_coverage, session_coverage

_DAYS = dg.TableSchema(columns=[dg.TableColumn("day"), dg.TableColumn("state"), dg.TableColumn("note")])


def session_calendar(plan: Plan, month: Month) -> Mapping[str, dg.MetadataValue]:
    """The month's sessions by the plan of a fetch that has been handed over."""
    sessions = plan.market.calendar.session_days(month.first, month.last)
    degraded = [day for day in sessions if plan.degraded(day)]
    return _rendered(session_coverage(sessions, fetched=plan.days, gaps=plan.gaps, degraded=degraded))


def report_calendar(calendar: ReleaseCalendar, month: Month, held: Iterable[dt.date], now: dt.datetime) -> Mapping[str, dg.MetadataValue]:
    """The month's COT reports, with their releases."""
    return _rendered(report_coverage(calendar, month, set(held), now))


def _rendered(days: Sequence[CoveredDay]) -> Mapping[str, dg.MetadataValue]:
    held = sum(day.state in ("held", "degraded") for day in days)
    records = [dg.TableRecord({"day": f"{d.day:%a} {d.day}", "state": d.state, "note": d.note}) for d in days]
    return {"coverage": dg.MetadataValue.text(f"{held} of {len(days)}"), "calendar": dg.MetadataValue.table(records, schema=_DAYS)}
