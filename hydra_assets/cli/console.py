"""What every command shares: the console, instants from the command line, JSON that other programs can read."""

import datetime as dt
import json
import re
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from hydra_assets.core.months import Month, months_between
from hydra_assets.errors import InvalidTimeError

_RANGE = re.compile(r"(\d{4}-\d{2})(?:\.\.(\d{4}-\d{2}))?")

console = Console()
errors = Console(stderr=True)

WorldOption = Annotated[
    str | None,
    typer.Option("--world", help="sample (embedded, synthetic beside real public rows) or live. Default: $HYDRA_WORLD, else sample."),
]
MarketArgument = Annotated[str, typer.Argument(metavar="MARKET", help="A configured market, for example HE.", show_default=False)]
MonthsArgument = Annotated[
    str, typer.Argument(metavar="MONTHS", help="A month, or a first and a last one: 2016-01..2026-02.", show_default=False)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def parse_instant(text: str) -> dt.datetime:
    """
    An aware datetime from ISO 8601 text such as ``2025-10-20T12:00Z``.

    Raises:
        InvalidTimeError: not ISO 8601, or without a zone.
    """
    try:
        when = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidTimeError(f"{text!r} is not an ISO 8601 instant; write 2025-10-20T12:00Z or 2025-10-20T07:00-05:00") from error
    if when.tzinfo is None:
        raise InvalidTimeError(f"{text!r} has no zone, and a zone decides what was known; write {text}Z for UTC")
    return when


def parse_day(text: str, option: str) -> dt.datetime:
    """
    The midnight in UTC of a day such as ``2025-09-01``.

    Raises:
        InvalidTimeError: not a day; it names *option*.
    """
    try:
        return dt.datetime.combine(dt.date.fromisoformat(text), dt.time(), dt.UTC)
    except ValueError as error:
        raise InvalidTimeError(f"{option} {text!r} is not a day; write 2025-09-01") from error


def parse_months(text: str) -> list[Month]:
    """
    The months of ``2016-01..2026-02``, or of one month.

    Raises:
        InvalidTimeError: neither, or a range that ends before it begins.
    """
    match = _RANGE.fullmatch(text)
    if match is None:
        raise InvalidTimeError(f"{text!r} is not a range of months; write 2016-01..2026-02, or one month")
    found = months_between(match[1], match[2] or match[1])
    if not found:
        raise InvalidTimeError(f"{text!r} ends before it begins")
    return found


def instant(when: Any, *, to_the_minute: bool = False) -> str:
    """An instant for people: UTC, to the second (or to the minute) rounded up: never before what it was."""
    if when is None:
        return "-"
    exact: dt.datetime = when.astimezone(dt.UTC)
    utc = exact.replace(second=0, microsecond=0) if to_the_minute else exact.replace(microsecond=0)
    if utc < exact:
        utc += dt.timedelta(minutes=1) if to_the_minute else dt.timedelta(seconds=1)
    return utc.strftime("%Y-%m-%d %H:%MZ" if not utc.second else "%Y-%m-%d %H:%M:%SZ")


def number(value: float | None) -> str:
    """A value for people: counts and what is large whole, ratios to four decimals, null as a dash."""
    if value is None or value != value:
        return "-"
    whole = (float(value).is_integer() and abs(value) >= 2) or abs(value) >= 10_000
    return f"{value:,.0f}" if whole else f"{round(value, 4) + 0.0:,.4f}"


def print_json(document: Any) -> None:
    """One JSON document on standard output; instants as ISO 8601 with their zone."""
    typer.echo(json.dumps(document, default=lambda v: v.isoformat() if isinstance(v, dt.datetime | dt.date) else str(v), indent=2))


def progress_bar(*, quiet: bool) -> Progress:
    """A bar for long work, on standard error, so that standard output holds the answer alone; none where *quiet*."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=errors, disable=quiet)
