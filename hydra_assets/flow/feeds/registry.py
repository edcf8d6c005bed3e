"""All feeds, by the name that `Table.source` gives."""

import datetime as dt
from collections.abc import Mapping

from hydra_assets.core.calendar import Calendar
from hydra_assets.core.option_rules import OptionRules
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.core.tables.table import Table
from hydra_assets.errors import ConfigError
from hydra_assets.flow.feed import AnyFeed
from hydra_assets.flow.feeds.cot import COT
from hydra_assets.flow.feeds.databento import DATABENTO

FEEDS: Mapping[str, AnyFeed] = {feed.name: feed for feed in (DATABENTO, COT)}


def check_sources(tables: Mapping[str, Table], feeds: Mapping[str, AnyFeed]) -> None:
    """
    Hold tables and feeds against each other.

    Raises:
        ConfigError: a raw table without a feed, or a feed without a table.
    """
    for table in tables.values():
        if table.group == "raw" and table.source not in feeds:
            raise ConfigError(f"table {table.name} has the source {table.source!r}, and no feed of that name is in flow/feeds/registry.py")
    for feed in feeds.values():
        if not any(table.source == feed.name for table in tables.values()):
            raise ConfigError(f"feed {feed.name} fills no table: none in core/tables has it as its source")


def complete_at(table: Table, calendar: Calendar, day: dt.date, rules: OptionRules) -> dt.datetime:
    """The instant by which the rows of *day* are out; a computed table is complete with the last of its inputs, the statistics."""
    if table.group != "raw":
        return calendar.prints_complete(day)
    return FEEDS[table.source].complete_at(table, calendar, day, rules)


check_sources(TABLES, FEEDS)
