"""All feeds, by the name that `Table.source` gives."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from hydra_assets.config.load import vendor_blocks
from hydra_assets.core.calendar import Calendar
from hydra_assets.core.option_rules import OptionRules
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.core.tables.table import Table
from hydra_assets.errors import ConfigError
from hydra_assets.flow.feed import AnyFeed
from hydra_assets.flow.feeds.cot import COT
from hydra_assets.flow.feeds.databento import DATABENTO
from hydra_assets.flow.feeds.treasury import TREASURY
from hydra_assets.flow.feeds.usda import USDA

FEEDS: Mapping[str, AnyFeed] = {feed.name: feed for feed in (DATABENTO, COT, USDA, TREASURY)}


def check_feeds(tables: Mapping[str, Table], feeds: Mapping[str, AnyFeed], blocks: Mapping[str, Mapping[str, Any]]) -> None:
    """
    Hold tables, feeds and the shipped settings of the vendors against each other.

    Raises:
        ConfigError: a raw table without a feed, a feed without a table, or settings that are not those of a feed.
    """
    for table in tables.values():
        if table.group == "raw" and table.source not in feeds:
            raise ConfigError(f"table {table.name} has the source {table.source!r}, and no feed of that name is in flow/feeds/registry.py")
    for feed in feeds.values():
        if not any(table.source == feed.name for table in tables.values()):
            raise ConfigError(f"feed {feed.name} fills no table: none in core/tables/registry.py has it as its source")
        wanted, block = {field.name for field in fields(feed.settings)}, set(blocks.get(feed.name, ()))
        if wanted != block:
            differ = ", ".join(sorted(wanted ^ block))
            raise ConfigError(f"feed {feed.name}: {feed.settings.__name__} and its block in config/default.yaml differ in {differ}")
    if alone := sorted(set(blocks) - set(feeds)):
        raise ConfigError(f"config/default.yaml: {', '.join(alone)}: settings of no feed in flow/feeds/registry.py")


def complete_at(table: Table, calendar: Calendar, day: dt.date, rules: OptionRules) -> dt.datetime:
    """The instant by which the rows of *day* are out; a computed table is complete with the last of its inputs, the statistics."""
    if table.group != "raw":
        return calendar.prints_complete(day)
    return FEEDS[table.source].complete_at(table, calendar, day, rules)


check_feeds(TABLES, FEEDS, vendor_blocks())
