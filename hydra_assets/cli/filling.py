"""The command that fills a world with what it lacks of a market."""

import datetime as dt

from hydra_assets.command import command
from hydra_assets.core.months import Month

DEMO_MARKET = "HE"
_SAMPLE_YEAR = "2025-01..2025-12"  # of the embedded vendor's real rows, and long over
_DAYS = 365


def how_to_fill(world: str, market: str | None = None) -> str:
    """
    The command that makes rows and features of *market* in *world*, as part of a sentence.

    Args:
        market: a configured symbol; None where any will do.
    """
    if world == "sample":
        return command("demo" if market in (None, DEMO_MARKET) else f"backfill {market} {_SAMPLE_YEAR}", world=world)
    today = dt.datetime.now(dt.UTC).date()
    months = f"{market or DEMO_MARKET} {Month.of(today - dt.timedelta(_DAYS))}..{Month.of(today)}"
    price = command(f"quote {months}", world=world)
    return f"{command(f'backfill {months}', world=world)} (what it costs: {price})"
