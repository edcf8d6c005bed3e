"""Shared by the commands: options, parsing of arguments, the store to read, and rendering on the console or as JSON."""

import datetime as dt
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console, ConsoleDimensions
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from hydra_assets.command import INTERRUPTED
from hydra_assets.core.months import Month, months_between
from hydra_assets.errors import InvalidTimeError

if TYPE_CHECKING:
    from hydra_assets.storage.store import FeatureStore

_RANGE = re.compile(r"(\d{4}-\d{2})(?:\.\.(\d{4}-\d{2}))?")

BAR_CHARACTERS = 65  # bar, counts and clock beside the description

STOPPED = "[yellow]Stopped.[/] What had been appended is kept; the same command goes on from there."
UNLIMITED = 10_000  # characters


class WideConsole(Console):
    """A console without a width where its output is no terminal and ``COLUMNS`` asks for none: what goes into a file is never cut."""

    @property  # type: ignore[misc]  # nothing here sets it
    def size(self) -> ConsoleDimensions:
        """Columns and lines."""
        held = super().size
        return held if self.is_terminal or os.environ.get("COLUMNS") else ConsoleDimensions(UNLIMITED, held.height)


console = WideConsole()
errors = WideConsole(stderr=True)

WorldOption = Annotated[
    str | None,
    typer.Option("--world", help="sample (embedded, synthetic beside real public rows) or live. Default: $HYDRA_WORLD, else sample."),
]
MarketArgument = Annotated[str, typer.Argument(metavar="MARKET", help="A configured market, for example HE.", show_default=False)]
MonthsArgument = Annotated[
    str, typer.Argument(metavar="MONTHS", help="A month, or a first and a last one: 2016-01..2026-02.", show_default=False)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
StoreOption = Annotated[
    Path | None,
    typer.Option("--store", exists=True, dir_okay=False, help="The store's SQLite file. Default: that of the home and --world."),
]


@contextmanager
def opened_store(world: str | None, path: Path | None) -> "Iterator[FeatureStore]":
    """The store in the file *path* (of any world unless one is named), else the home's; closed at the end of the block."""
    from hydra_assets.desk import open as open_desk  # pandas and Arrow take a second to load; --help needs neither
    from hydra_assets.storage.store import FeatureStore

    if path is not None:
        with FeatureStore(path, world=world) as store:
            yield store
        return
    with open_desk(world) as desk:
        yield desk.store


def split_names(items: Sequence[str] | None) -> list[str]:
    """Names given by repeating an option, by commas, or both."""
    return [name.strip() for item in items or () for name in item.split(",") if name.strip()]


def parse_instant(text: str) -> dt.datetime:
    """
    Parse an aware datetime from ISO 8601 text such as ``2025-10-20T12:00Z``.

    Raises:
        InvalidTimeError: not ISO 8601, or without a zone.
    """
    try:
        when = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidTimeError(f"{text!r} is not an ISO 8601 instant; write 2025-10-20T12:00Z or 2025-10-20T07:00-05:00") from error
    if when.tzinfo is None:
        exact = when.isoformat(timespec="auto" if when.second or when.microsecond else "minutes")
        raise InvalidTimeError(f"{text!r} has no zone, and a zone decides what was known; write {exact}Z for UTC, or {exact}-05:00")
    return when


def parse_day(text: str, option: str) -> dt.datetime:
    """
    Parse a day such as ``2025-09-01`` to its midnight in UTC.

    Raises:
        InvalidTimeError: not a day; the message names *option*.
    """
    try:
        return dt.datetime.combine(dt.date.fromisoformat(text), dt.time(), dt.UTC)
    except ValueError as error:
        raise InvalidTimeError(f"{option} {text!r} is not a day; write 2025-09-01") from error


def parse_months(text: str) -> list[Month]:
    """
    Parse ``2016-01..2026-02``, or one month, to a list of months.

    Raises:
        InvalidTimeError: another text, or a range that ends before it begins.
    """
    match = _RANGE.fullmatch(text)
    if match is None:
        raise InvalidTimeError(f"{text!r} is not a range of months; write 2016-01..2026-02, or one month")
    found = months_between(match[1], match[2] or match[1])
    if not found:
        raise InvalidTimeError(f"{text!r} ends before it begins")
    return found


def instant(when: Any, *, to_the_minute: bool = False) -> str:
    """An instant as text in UTC, rounded up to the second or minute, so that it never shows too early."""
    if when is None:
        return "-"
    from hydra_assets.core.instants import rounded_up  # Arrow takes long to load; --help needs none of it

    utc = rounded_up(when, dt.timedelta(minutes=1) if to_the_minute else dt.timedelta(seconds=1))
    return utc.strftime("%Y-%m-%d %H:%MZ" if not utc.second else "%Y-%m-%d %H:%M:%SZ")


def number(value: float | None) -> str:
    """A value as text: counts and large numbers whole, ratios to four decimals, null as a dash."""
    if value is None or value != value:
        return "-"
    whole = (float(value).is_integer() and abs(value) >= 2) or abs(value) >= 10_000
    return f"{value:,.0f}" if whole else f"{round(value, 4) + 0.0:,.4f}"


def print_json(document: Any) -> None:
    """Print one JSON document on standard output; instants as ISO 8601 with their zone."""
    typer.echo(json.dumps(document, default=lambda v: v.isoformat() if isinstance(v, dt.datetime | dt.date) else str(v), indent=2))


@contextmanager
def stopping() -> Iterator[None]:
    """A block whose work goes on from where Ctrl-C met it, by the same command; it ends with one line and the exit code of shells."""
    try:
        yield
    except KeyboardInterrupt:
        errors.print(STOPPED)
        raise typer.Exit(INTERRUPTED) from None


def progress_bar(*, quiet: bool) -> Progress:
    """Progress bars on standard error, so that standard output holds the answer alone; none if *quiet*."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=errors, disable=quiet)


@contextmanager
def bar(description: str, total: int | None) -> Iterator[Callable[[object], None]]:
    """One transient progress bar on standard error, if that is a terminal; yield the function that advances it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as progress:
        task = progress.add_task(description, total=total)
        yield lambda _: progress.advance(task)


def doing(what: str, step: str) -> str:
    """The description of a progress bar: *what*, and the current *step* as far as the terminal has room for both and the bar."""
    room = max(len(what), errors.width - BAR_CHARACTERS)
    line = f"{what} {step}".strip()
    return line if len(line) <= room else f"{line[: room - 1]}…"


def plain(text: str) -> str:
    """*text* with brackets escaped, which rich would read as markup."""
    return text.replace("[", "\\[")
