"""Pure checks over tables in memory, with the shipped settings and calendars."""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence

import pyarrow as pa

from hydra_assets.checks.check import Check, Scope
from hydra_assets.checks.report import CheckReport
from hydra_assets.config.load import load_config, load_release_calendar
from hydra_assets.core.calendar import DEFAULT_CALENDAR, Calendar
from hydra_assets.core.known_holes import KnownHole
from hydra_assets.core.months import Month
from hydra_assets.core.option_rules import OptionRules
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.flow.feeds.registry import complete_at


def scope(
    table: str,
    months: Sequence[Month],
    *,
    market: str = "HE",
    now: dt.datetime | None = None,
    has_options: bool = True,
    option_roots: Mapping[str, dt.date | None] | None = None,
    known_holes: Sequence[KnownHole] = (),
    calendar: Calendar = DEFAULT_CALENDAR,
    alone: bool = False,
    unpublished: Collection[dt.date] = (),
    below_zero: bool = False,
) -> Scope:
    """The scope of *months* of a market's table, long after them unless *now* is given."""
    return Scope(
        table=TABLES[table],
        market=market,
        months=months,
        now=now or dt.datetime(2026, 10, 1, tzinfo=dt.UTC),
        calendar=calendar,
        releases=load_release_calendar(),
        complete_at=lambda day: complete_at(TABLES[table], calendar, day, OptionRules()),
        option_roots=option_roots if option_roots is not None else {market: None} if has_options else {},
        known_holes=known_holes,
        alone=alone,
        unpublished=unpublished,
        below_zero=below_zero,
    )


def settings_of(check: Check) -> dict[str, float]:
    """The shipped settings that the check takes."""
    config = load_config()
    values = vars(config.checks) | vars(config.thresholds)
    return {name: values[name] for name in check.settings}


def judged(check: Check, scope: Scope, *tables: pa.Table, **settings: float) -> CheckReport:
    """The report of *check* on *tables*, by the shipped settings but those given."""
    return check(CheckReport(), scope, *tables, **settings_of(check) | settings)
