"""The one partition definition of every asset: a market and a month of ``as_of``, which is also the folder on disk."""

import datetime as dt
import warnings
from collections.abc import Iterable, Mapping, Sequence

import dagster as dg

from hydra_assets.config.load import load_config
from hydra_assets.core.months import Month
from hydra_assets.errors import InvalidTimeError

# Dagster says at every start that `backfill_policy` may still change; the version is pinned.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
# And its code server reads a property of every schedule that it has itself deprecated.
warnings.filterwarnings("ignore", message=".*ScheduleDefinition.environment_vars")
_config = load_config()


class MarketMonths(dg.MultiPartitionsDefinition):
    """Two dimensions whose keys are made once an hour: Dagster would make all of them anew at each of its many looks in a run."""

    def _get_partition_keys(  # type: ignore[override]  # the one below is wrapped in a cache
        self, _current_time: dt.datetime
    ) -> Sequence[dg.MultiPartitionKey]:
        # A month begins with an hour, so the keys are the same within it.
        return super()._get_partition_keys(_current_time.replace(minute=0, second=0, microsecond=0))


MARKET_MONTH = MarketMonths(
    {
        "market": dg.StaticPartitionsDefinition(sorted(_config.markets)),
        "month": dg.MonthlyPartitionsDefinition(start_date=_config.start_month, timezone="America/Chicago", fmt="%Y-%m", end_offset=1),
    }
)


def key_of(market: str, month: Month) -> dg.MultiPartitionKey:
    """The partition key of a market and month."""
    return dg.MultiPartitionKey({"market": market, "month": str(month)})


def parts_of(key: str) -> tuple[str, Month]:
    """Market and month of a key; its text is never taken apart, since the order of the dimensions in it varies."""
    multi = key if isinstance(key, dg.MultiPartitionKey) else MARKET_MONTH.get_partition_key_from_str(key)
    by_dimension = multi.keys_by_dimension
    return by_dimension["market"], Month.of(by_dimension["month"])


def months_by_market(keys: Iterable[str]) -> dict[str, list[Month]]:
    """
    The months requested of each market, both in order.

    Raises:
        InvalidTimeError: no key at all: a range whose end lies before its start selects nothing, silently.
    """
    requested: dict[str, list[Month]] = {}
    for market, month in sorted(parts_of(key) for key in keys):
        requested.setdefault(market, []).append(month)
    if not requested:
        raise InvalidTimeError("the run selects no partition; give a range as <first market and month>...<last>, in that order")
    return requested


def refuse_shortened_range(tags: Mapping[str, str]) -> None:
    """
    Raise where Dagster would do one partition of a range and call it the whole.

    A backfill launched from a *job's* page tags its run with the range and with the dimensions of the range's first key; the keys that
    the step is then given are that one alone, and the run ends green (Dagster 1.13). From the assets' pages it is right.

    Raises:
        InvalidTimeError: naming the range and the way round.
    """
    first, last = (tags.get(f"dagster/asset_partition_range_{end}") for end in ("start", "end"))
    if first != last and any(tag.startswith("dagster/partition/") for tag in tags):
        raise InvalidTimeError(
            f"the range {first}...{last} was launched from a job's page, where Dagster runs its first month alone; nothing was written."
            " Launch several months from Lineage, Catalog or the command line, or from the job one month at a time"
        )
