"""Run requests of due months: one a market and month, none for a month in flight."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import dagster as dg

from hydra_assets.core.months import Month
from hydra_assets.defs.in_flight import InFlight
from hydra_assets.defs.partitions import MARKET_MONTH, key_of
from hydra_assets.flow.due import DueMonth
from hydra_assets.flow.feeds.registry import FEEDS

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


@contextmanager
def opened_feeds(resources: Any, names: Iterable[str], *, run: str) -> Iterator[dict[str, Any]]:
    """The sources of the feeds *names* among Dagster's *resources*, for a schedule or sensor that nobody attends."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(getattr(resources, name).open(run=run, unattended=True)) for name in names}


def no_answer(names: Iterable[str], error: Exception) -> dg.SkipReason:
    """The reason of a schedule or sensor whose vendors could not be asked."""
    return dg.SkipReason(f"{' or '.join(FEEDS[name].title for name in names)} gave no answer: {error}")
