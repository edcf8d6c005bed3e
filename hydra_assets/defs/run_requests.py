"""From what is due to the runs that are asked for: one a market and month, none of what is under way."""

from collections.abc import Iterable, Mapping

import dagster as dg

from hydra_assets.core.months import Month
from hydra_assets.defs.in_flight import UnderWay
from hydra_assets.defs.partitions import MARKET_MONTH, key_of
from hydra_assets.flow.due import Work

SHOWN = 3


def request(market: str, month: Month, *, run_key: str, tags: Mapping[str, str]) -> dg.RunRequest:
    """One run of one market and month."""
    return dg.RunRequest(run_key=f"{run_key}-{market}-{month}", partition_key=key_of(market, month), tags=dict(tags))


def free_of(work: Iterable[Work], busy: UnderWay) -> tuple[list[Work], list[str]]:
    """Work that nobody is on and that has a partition; and what is under way, in words."""
    free, told = [], []
    for item in work:
        on = busy.on(item.market, item.month)
        if on is not None:
            told.append(f"{on} is on {item.market} {item.month}")
        elif MARKET_MONTH.has_partition_key(key_of(item.market, item.month)):
            free.append(item)
    return free, told


def few(reasons: Iterable[str]) -> str:
    """The first reasons, and how many more there are."""
    every = list(dict.fromkeys(reasons))
    more = f"; and {len(every) - SHOWN} more" if len(every) > SHOWN else ""
    return "; ".join(every[:SHOWN]) + more
