"""The key of a vendor, for a command that asks it without Dagster."""

import os

from hydra_assets.command import command
from hydra_assets.config.home import Home
from hydra_assets.errors import ConfigError
from hydra_assets.flow.feeds.registry import FEEDS


def key_of_feed(name: str, home: Home) -> str:
    """The key itself of the feed *name*; empty where the world needs none or it is not set."""
    variable = FEEDS[name].secret
    return os.environ.get(variable, "") if variable and home.world == "live" else ""


def require_keys(tables: list[str], home: Home, example: str) -> None:
    """
    Refuse to begin what needs a key that is not set.

    Args:
        tables: names of the tables wanted.
        home: of the world.
        example: market and months of the command, for the one that works without a key.

    Raises:
        ConfigError: naming the variable, the tables that need it, and the command for those that do not.
    """
    for feed in FEEDS.values():
        concerned = [table.name for table in feed.tables if table.name in tables]
        if not concerned or not feed.secret or home.world != "live" or key_of_feed(feed.name, home):
            continue
        free = command(f"backfill {example} --select 'cot_*'", world=home.world)
        raise ConfigError(f"{feed.secret} is not set, and {', '.join(concerned)} come from {feed.title}: set it. COT needs none: {free}")
