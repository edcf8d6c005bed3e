"""The declaration of a check: a pure judge, the tables it applies to, and what it is given."""

import datetime as dt
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pyarrow as pa

from hydra_assets.checks.report import CheckReport
from hydra_assets.core.calendar import Calendar
from hydra_assets.core.known_holes import KnownHole
from hydra_assets.core.months import Month
from hydra_assets.core.releases import ReleaseCalendar
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.core.tables.table import Table

Severity = Literal["blocks", "warns", "by_setting"]
Days = tuple[dt.date, dt.date]


@dataclass(frozen=True)
class Scope:
    """
    One market's months of one table, and what a judge may know beside its rows.

    Attributes:
        table: the table judged.
        market: symbol of the market.
        months: months judged, ascending.
        now: UTC instant of the check.
        calendar: exchange calendar of the market.
        releases: COT release calendar.
        complete_at: UTC instant by which all records of a session are out, by its day.
        option_roots: first day of each root under which the market's options are listed; None where no day is known.
        known_holes: days that the vendor is known not to have of this table and market.
        alone: whether all months held are judged, rather than those of a run.
        unpublished: days of the table on which the source published for other markets alone.
        below_zero: whether the market's prices and strikes can be 0 or less.
        absence: reason why the source has no rows of the table for the market; empty where it has some.
    """

    table: Table
    market: str
    months: Sequence[Month]
    now: dt.datetime
    calendar: Calendar
    releases: ReleaseCalendar
    complete_at: Callable[[dt.date], dt.datetime]
    option_roots: Mapping[str, dt.date | None] = field(default_factory=dict)
    known_holes: Sequence[KnownHole] = ()
    alone: bool = False
    unpublished: Collection[dt.date] = frozenset()
    below_zero: bool = False
    absence: str = ""

    @property
    def is_listed(self) -> bool:
        """Whether the market can have rows of the table in these months."""
        if self.absence or not self.table.needs_options:
            return not self.absence
        return bool(self.option_roots) and (self.listed_from is None or self.listed_from <= self.months[-1].last)

    @property
    def listed_from(self) -> dt.date | None:
        """First day on which the market can have rows of the table; None where that is not limited."""
        firsts = list(self.option_roots.values()) if self.table.needs_options else []
        return None if None in firsts else min((first for first in firsts if first is not None), default=None)

    def hole(self, day: dt.date, stat: str = "") -> KnownHole | None:
        """The known hole that *day* lies in, for the statistic *stat*."""
        return next((hole for hole in self.known_holes if hole.covers(day, stat)), None)


def months_judged(scope: Scope) -> Days:
    """First and last day of the months judged."""
    return scope.months[0].first, scope.months[-1].last


def from_days_before(days: int) -> Callable[[Scope], Days]:
    """The months judged and so many days before, so that their first row has rows before it."""

    def span(scope: Scope) -> Days:
        first, last = months_judged(scope)
        return first - dt.timedelta(days), last

    return span


@dataclass(frozen=True)
class Check:
    """
    A judge and its declaration; the decorator `check` makes it.

    Attributes:
        name: name in Dagster, and in the settings' block ``checks.severity`` where that decides.
        judge: called with a report, a scope and the rows; returns the extent of the look.
        applies_to: whether a table gets the check, by its facts.
        severity: ``blocks`` downstream, ``warns``, or ``by_setting``.
        beside: another table, whose rows the judge gets after its own.
        span: first and last ``as_of`` of the rows read.
        reads: ``vintages``, or every write as ``recordings``, with the columns ``recording`` and ``restamped``.
        settings: names of the settings that the judge takes as keyword arguments.
    """

    name: str
    judge: Callable[..., str]
    applies_to: Callable[[Table], bool]
    severity: Severity
    beside: str | None
    span: Callable[[Scope], Days]
    reads: Literal["vintages", "recordings"]
    settings: tuple[str, ...]

    @property
    def description(self) -> str:
        """First line of the judge's docstring."""
        return (inspect.getdoc(self.judge) or "").split("\n")[0]

    @property
    def tables(self) -> list[Table]:
        """Tables that get the check."""
        return [table for table in TABLES.values() if self.applies_to(table)]

    def __call__(self, report: CheckReport, scope: Scope, *tables: pa.Table, **settings: float) -> CheckReport:
        """Judge the rows of one market; the report, with what was found added."""
        report.looked_at = self.judge(report, scope, *tables, **settings)
        return report


def check(
    name: str,
    *,
    applies_to: Callable[[Table], bool],
    severity: Severity = "by_setting",
    beside: str | None = None,
    span: Callable[[Scope], Days] = months_judged,
    reads: Literal["vintages", "recordings"] = "vintages",
) -> Callable[[Callable[..., str]], Check]:
    """
    Declare a judge as a check; see `Check` for the arguments.

    The judge's keyword-only arguments are names of settings, in the block ``checks`` or ``thresholds``.
    """

    def declare(judge: Callable[..., str]) -> Check:
        parameters = inspect.signature(judge).parameters.values()
        settings = tuple(parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY)
        return Check(name, judge, applies_to, severity, beside, span, reads, settings)

    return declare


def only(*tables: Table) -> Callable[[Table], bool]:
    """The tables given, and no other."""
    names = {table.name for table in tables}
    return lambda table: table.name in names


def defined_by(definitions: Table) -> Callable[[Table], bool]:
    """Tables whose rows name instruments that *definitions* defines."""
    return lambda table: table.definitions == definitions.name


def every_table(_: Table) -> bool:
    """Any table."""
    return True
