"""The sensor of the COT report, shipped stopped: start it under Automation."""

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import dagster as dg

from hydra_assets.config.load import load_config, load_release_calendar
from hydra_assets.core.months import Month
from hydra_assets.core.releases import ReleaseCalendar
from hydra_assets.defs.in_flight import in_flight
from hydra_assets.defs.jobs import COT_TABLES, cot_refresh
from hydra_assets.defs.partitions import MARKET_MONTH, key_of
from hydra_assets.defs.resources import FeedResource
from hydra_assets.defs.run_requests import request, summarise
from hydra_assets.errors import VendorError
from hydra_assets.sources.cftc import CftcSource, CotArchive
from hydra_assets.sources.cftc_parse import reports_of
from hydra_assets.sources.publications import Publication, Publications

EVERY_S = 300
QUIET = dt.timedelta(hours=6)  # between looks for corrections, while no report is due
CORRECTED_WITHIN = dt.timedelta(weeks=8)  # early in a year, the old year's archive is looked at too


@dataclass
class CotCursor:
    """
    State of the sensor; all that a restart leaves.

    Attributes:
        newest: the newest report asked for.
        archives: year to the Last-Modified and content hash of the archive looked at last.
        looked_at: the instant of the last look.
    """

    newest: str = ""
    archives: dict[str, dict[str, str | None]] = field(default_factory=dict)
    looked_at: str = ""

    @classmethod
    def of(cls, text: str | None) -> "CotCursor":
        """Parse the sensor's cursor."""
        return cls(**json.loads(text)) if text else cls()

    def __str__(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    def quiet_until(self) -> dt.datetime | None:
        """The instant of the next look while no report is due; None: at once."""
        return dt.datetime.fromisoformat(self.looked_at) + QUIET if self.looked_at else None


@dataclass
class _Seen:
    """Result of one look at the archives."""

    reports: dict[dt.date, CotArchive] = field(default_factory=dict)
    corrected: set[dt.date] = field(default_factory=set)
    archives: dict[str, dict[str, str | None]] = field(default_factory=dict)


@dg.sensor(
    job=cot_refresh,
    minimum_interval_seconds=EVERY_S,
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Polls the CFTC from the minute a report is due until it is there, then asks once, for every market, for its month;"
    " writes down when it was seen beside when it was scheduled. In quiet times it looks every six hours for corrections of older"
    " reports, by the archive's Last-Modified and content hash, and asks for their months.",
)
def cot_release_sensor(context: dg.SensorEvaluationContext, cftc: FeedResource) -> dg.SensorResult | dg.SkipReason:
    """One request a market and month when a due report has appeared or an older one was corrected; none of what is under way."""
    calendar, now, cursor = load_release_calendar(), dt.datetime.now(dt.UTC), CotCursor.of(context.cursor)
    due, quiet_until = due_reports(calendar, cursor.newest, now), cursor.quiet_until()
    if not due and quiet_until is not None and now < quiet_until:
        return dg.SkipReason(f"the report of {cursor.newest} has been asked for; no later one is due yet")
    try:
        with cftc.open() as source:
            seen = _look(source, sorted({day.year for day in due} or _years_of_corrections(cursor.newest)), cursor)
    except VendorError as error:
        return dg.SkipReason(f"the CFTC gave no archive: {error}")
    out = [day for day in due if day in seen.reports]
    tags = _observed(cftc, calendar, out, seen)
    months = sorted({Month.of(day) for day in [*out, *seen.corrected]})
    busy = in_flight(context.instance, cot_refresh.name, COT_TABLES)
    on = [name for market in load_config().markets for month in months if (name := busy.on(market, month))]
    if on:
        return dg.SkipReason(f"{summarise(on)} is under way on the COT tables; looking again after it")
    after = CotCursor(out[-1].isoformat() if out else cursor.newest, {**cursor.archives, **seen.archives}, now.isoformat())
    if not months:
        why = f"no report is due; {', '.join(seen.archives)} not corrected"
        if due:
            was_due = calendar.release(due[-1]).available_at
            why = f"the report of {due[-1]} was due {was_due:%Y-%m-%d %H:%MZ} and is not there yet"
        return dg.SensorResult(skip_reason=dg.SkipReason(why), cursor=str(after) if cursor.newest else None)
    mark = "-".join(str(facts["sha256"])[:12] for facts in seen.archives.values())
    return dg.SensorResult(run_requests=requests_for(months, f"cot-{mark}", tags), cursor=str(after))


def due_reports(calendar: ReleaseCalendar, newest_requested: str, now: dt.datetime) -> list[dt.date]:
    """Reports out by *now* and later than the newest asked for; the newest alone where none was asked for yet."""
    newest = calendar.newest_due(now).report_date
    if not newest_requested:
        return [newest]
    after = dt.date.fromisoformat(newest_requested) + dt.timedelta(1)
    return [day for day in calendar.report_dates(after, newest) if calendar.release(day).available_at <= now]


def _years_of_corrections(newest_requested: str) -> set[int]:
    newest = dt.date.fromisoformat(newest_requested)
    return {newest.year, (newest - CORRECTED_WITHIN).year}


def requests_for(months: list[Month], run_key: str, tags: Mapping[str, str]) -> list[dg.RunRequest]:
    """One run a market and month."""
    return [
        request(market, month, run_key=run_key, tags=tags)
        for month in months
        for market in sorted(load_config().markets)
        if MARKET_MONTH.has_partition_key(key_of(market, month))
    ]


def _look(source: CftcSource, years: list[int], cursor: CotCursor) -> _Seen:
    """The archives of *years* now, against those of the cursor."""
    seen, codes = _Seen(), {market.cftc_code for market in load_config().markets.values()}
    for year in years:
        archive = source.fetch_once(year)
        marks = reports_of(archive.read(), codes, place=f"CFTC {archive.name}")
        seen.reports.update(dict.fromkeys(marks, archive))
        seen.archives[archive.name] = {"last_modified": archive.last_modified, "sha256": archive.sha256}
        before: Any = cursor.archives.get(archive.name)
        path = source.folder / f"{before['sha256']}.zip" if before else None
        if path is not None and before["sha256"] != archive.sha256 and path.exists():
            old = reports_of(path.read_bytes(), codes, place=f"CFTC {archive.name} before")
            seen.corrected |= {day for day, mark in marks.items() if day in old and old[day] != mark}
    return seen


def _observed(cftc: FeedResource, calendar: ReleaseCalendar, out: list[dt.date], seen: _Seen) -> dict[str, str]:
    """Write down when each report was first seen; the newest one's times as tags of the runs."""
    tags: dict[str, str] = {}
    with Publications(cftc.home.ledger) as table:
        for day in out:
            archive, scheduled = seen.reports[day], calendar.release(day).available_at
            table.observe(Publication(day, scheduled, archive.seen_at, archive.last_modified, archive.sha256))
            tags = {
                "hydra/report": day.isoformat(),
                "hydra/scheduled_at": f"{scheduled:%Y-%m-%dT%H:%M:%SZ}",
                "hydra/observed_at": f"{archive.seen_at.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}",
            }
    return {**tags, **({"hydra/corrected": ",".join(map(str, sorted(seen.corrected)))} if seen.corrected else {})}
