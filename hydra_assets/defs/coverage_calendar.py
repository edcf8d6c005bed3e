"""The coverage calendar of a month: every day on which something was due, and what became of it."""

import datetime as dt
from collections.abc import Iterable, Mapping

import dagster as dg

from hydra_assets.core.months import Month
from hydra_assets.core.releases import ReleaseCalendar
from hydra_assets.core.sessions import session_days
from hydra_assets.flow.feeds.databento import Plan

_DAYS = dg.TableSchema(columns=[dg.TableColumn("day"), dg.TableColumn("state"), dg.TableColumn("note")])


def session_calendar(plan: Plan, month: Month) -> Mapping[str, dg.MetadataValue]:
    """The month's sessions by the plan of a fetch that has been handed over: held, degraded, or a gap with its reason."""
    rows = []
    for day in session_days(month.first, month.last):
        if day in plan.gaps:
            rows.append((day, "gap", plan.gaps[day]))
        elif day not in plan.days:
            rows.append((day, "to come", ""))
        elif plan.degraded(day):
            rows.append((day, "degraded", "the vendor says reduced quality; fetched again when it mends the day"))
        else:
            rows.append((day, "held", ""))
    return _calendar(rows)


def report_calendar(calendar: ReleaseCalendar, month: Month, held: Iterable[dt.date], now: dt.datetime) -> Mapping[str, dg.MetadataValue]:
    """The month's COT reports: held, missing, or still to come, with their release."""
    rows, there = [], set(held)
    for day in calendar.report_dates(month.first, month.last):
        release = calendar.release(day)
        state = "held" if day in there else "to come" if release.available_at > now else "gap"
        moved = "" if release.available_at == release.rule_at else f", moved from {release.rule_at:%Y-%m-%d}"
        rows.append((day, state, f"released {release.available_at:%Y-%m-%d %H:%M}Z{moved}"))
    return _calendar(rows)


def _calendar(rows: list[tuple[dt.date, str, str]]) -> Mapping[str, dg.MetadataValue]:
    held = sum(state in ("held", "degraded") for _, state, _ in rows)
    records = [dg.TableRecord({"day": f"{day:%a} {day}", "state": state, "note": note}) for day, state, note in rows]
    return {"coverage": dg.MetadataValue.text(f"{held} of {len(rows)}"), "calendar": dg.MetadataValue.table(records, schema=_DAYS)}
