"""Coverage of a month, day by day: every day on which something was due, and its state."""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from hydra_assets.core.months import Month
from hydra_assets.core.releases import ReleaseCalendar


@dataclass(frozen=True)
class CoveredDay:
    """
    One day that was due.

    Attributes:
        day: session or report date.
        state: ``held``, ``degraded``, ``gap`` or ``to come``.
        note: reason or release.
    """

    day: dt.date
    state: str
    note: str = ""


def session_coverage(
    sessions: Iterable[dt.date], *, fetched: Collection[dt.date], gaps: Mapping[dt.date, str], degraded: Collection[dt.date]
) -> list[CoveredDay]:
    """
    States of a month's sessions after a fetch.

    Args:
        sessions: sessions of the month.
        fetched: days that the fetch looked at.
        gaps: days that cannot be captured yet, with the reason.
        degraded: days that the vendor calls of reduced quality.
    """
    days = []
    for day in sessions:
        if day in gaps:
            days.append(CoveredDay(day, "gap", gaps[day]))
        elif day not in fetched:
            days.append(CoveredDay(day, "to come"))
        elif day in degraded:
            days.append(CoveredDay(day, "degraded", "the vendor says reduced quality; fetched again when it mends the day"))
        else:
            days.append(CoveredDay(day, "held"))
    return days


def report_coverage(releases: ReleaseCalendar, month: Month, held: Collection[dt.date], now: dt.datetime) -> list[CoveredDay]:
    """States of a month's COT reports at *now*, each with its release."""
    days = []
    for day in releases.report_dates(month.first, month.last):
        release = releases.release(day)
        state = "held" if day in held else "to come" if release.available_at > now else "gap"
        moved = "" if release.available_at == release.rule_at else f", moved from {release.rule_at:%Y-%m-%d}"
        days.append(CoveredDay(day, state, f"released {release.available_at:%Y-%m-%d %H:%M}Z{moved}"))
    return days
