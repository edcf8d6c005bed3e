"""Work in flight, whichever entrance started it: runs queued or running, and backfills still handing out runs."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import dagster as dg

from hydra_assets.core.months import Month, months_between
from hydra_assets.defs.jobs import JOBS
from hydra_assets.defs.partitions import MARKET_MONTH, parts_of

ACTIVE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
Place = tuple[str, Month]


@dataclass
class InFlight:
    """
    Market months that runs and backfills work on.

    Attributes:
        places: market and month to the run or backfill on them.
        everywhere: a run that does not say which partitions it is on.
    """

    places: dict[Place, str] = field(default_factory=dict)
    everywhere: str | None = None

    def on(self, market: str, month: Month) -> str | None:
        """The run or backfill on a market's month; None where it is free."""
        return self.everywhere or self.places.get((market, month))


def in_flight(instance: dg.DagsterInstance, job: str, tables: Collection[str]) -> InFlight:
    """Runs and backfills in flight on any of *tables*, which are *job*'s."""
    from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus  # a tenth of a second, for sensors alone

    wanted, found = {dg.AssetKey(name) for name in tables}, InFlight()
    for run in instance.get_runs(dg.RunsFilter(statuses=ACTIVE)):
        selected = run.asset_selection
        if (not wanted & set(selected)) if selected else run.job_name in JOBS and run.job_name != job:
            continue
        name, places = f"run {run.run_id[:8]}", places_of(run.tags)
        if places is None:
            found.everywhere = name
        else:
            found.places.update(dict.fromkeys(places, name))
    open_ones = BulkActionsFilter(statuses=[BulkActionStatus.REQUESTED, BulkActionStatus.CANCELING])
    for backfill in instance.get_backfills(filters=open_ones):
        target = backfill.asset_backfill_data.target_subset if backfill.asset_backfill_data else None
        name = f"backfill {backfill.backfill_id}"
        if target is None:
            found.everywhere = name
            continue
        for key in wanted & set(target.asset_keys):
            found.places.update({parts_of(part): name for part in target.get_partitions_subset(key).get_partition_keys()})
    return found


def places_of(tags: Mapping[str, str]) -> list[Place] | None:
    """The partitions of a run by its tags; None where they say nothing."""
    if "dagster/partition" in tags:
        return [parts_of(tags["dagster/partition"])]
    if not all(tag in tags for tag in _RANGE):
        return None
    (first_market, first), (last_market, last) = (parts_of(tags[tag]) for tag in _RANGE)
    markets = MARKET_MONTH.get_partitions_def_for_dimension("market").get_partition_keys()
    inside = [market for market in markets if first_market <= market <= last_market]
    return [(market, month) for market in inside for month in months_between(str(first), str(last))]
