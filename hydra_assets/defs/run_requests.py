"""Run requests of due months: one a market and month, none for a month in flight."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import dagster as dg

from hydra_assets.core.months import Month
from hydra_assets.defs.in_flight import InFlight
from hydra_assets.defs.partitions import MARKET_MONTH, key_of
from hydra_assets.flow.due import DueMonth

SHOWN = 3


def request(market: str, month: Month, *, run_key: str, tags: Mapping[str, str]) -> dg.RunRequest:
    """One run of one market and month."""
    return dg.RunRequest(run_key=f"{run_key}-{market}-{month}", partition_key=key_of(market, month), tags=dict(tags))


def without_in_flight(months: Iterable[DueMonth], busy: InFlight) -> tuple[list[DueMonth], list[str]]:
    """Due months that have a partition and are not in flight; and a message for each that is."""
    free, messages = [], []
    for item in months:
        on = busy.on(item.market, item.month)
        if on is not None:
            messages.append(f"{on} is on {item.market} {item.month}")
        elif MARKET_MONTH.has_partition_key(key_of(item.market, item.month)):
            free.append(item)
    return free, messages


def summarise(reasons: Iterable[str]) -> str:
    """The first reasons, and how many more there are."""
    every = list(dict.fromkeys(reasons))
    more = f"; and {len(every) - SHOWN} more" if len(every) > SHOWN else ""
    return "; ".join(every[:SHOWN]) + more


def source_opener(resources: Any, *, run: str) -> Callable[[str], AbstractContextManager[Any]]:
    """Opens the source of a feed among Dagster's *resources*, for a schedule or sensor that nobody attends."""
    return lambda name: getattr(resources, name).open(run=run, unattended=True)
