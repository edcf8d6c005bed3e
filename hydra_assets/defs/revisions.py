"""The sensor that has feature months computed again when what they rest on has changed. Shipped stopped."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg

from hydra_assets.config.load import load_config
from hydra_assets.core.months import Month
from hydra_assets.defs.in_flight import ACTIVE
from hydra_assets.defs.partitions import MARKET_MONTH, key_of, parts_of
from hydra_assets.defs.resources import FeatureStoreResource, LakeResource
from hydra_assets.features.compute import INPUTS
from hydra_assets.flow.outdated import input_watermarks, outdated_months, recompute_targets
from hydra_assets.storage.lake import ParquetLake
from hydra_assets.storage.store import FeatureStore

EVERY_S = 300
MAX_ATTEMPTS = 3
REVISION_TAG = "hydra/revision"
FIRST_TAG, LAST_TAG, ONE_TAG = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end", "dagster/partition"


@dataclass(frozen=True)
class Revision:
    """
    Feature months of one market to be computed again.

    Attributes:
        families: of which any month of the range is outdated.
        key: market, range and the inputs' marks in one word: the same state of the inputs is the same revision.
    """

    market: str
    families: tuple[str, ...]
    first: Month
    last: Month
    months: int
    key: str

    @property
    def assets(self) -> list[dg.AssetKey]:
        """The tables to be materialised."""
        return [dg.AssetKey(name) for name in recompute_targets(self.families)]


@dg.sensor(
    asset_selection=dg.AssetSelection.assets(*recompute_targets(list(INPUTS))),
    minimum_interval_seconds=EVERY_S,
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Asks, as one range a market, for the feature months whose last publish used older inputs than the lake now holds in"
    " their look-back: a report revised, a day re-fetched, an older month loaded later, a gap filled. Three attempts at most.",
)
def revision_sensor(
    context: dg.SensorEvaluationContext, lake: LakeResource, store: FeatureStoreResource
) -> dg.SensorResult | dg.SkipReason:
    """One request a market that is outdated and at rest; a reason where there is none."""
    opened = lake.open()
    with store.open() as feature_store:
        found = [revision for market in sorted(load_config().markets) if (revision := revision_of(feature_store, opened, market))]
    if not found:
        return dg.SkipReason("every published feature month rests on the newest inputs that the lake holds")
    requests, waiting = [], []
    for revision in found:
        reason, attempt = _attempt(context.instance, revision)
        if reason is not None:
            waiting.append(f"{revision.market} {revision.first}..{revision.last}: {reason}")
            continue
        requests.append(_request(revision, attempt))
    return dg.SensorResult(run_requests=requests) if requests else dg.SkipReason("; ".join(waiting))


def revision_of(store: FeatureStore, lake: ParquetLake, market: str) -> Revision | None:
    """The outdated months of *market* as one range over all families; None where there are none."""
    outdated = {
        family: [month for month in outdated_months(store, lake, family, market) if MARKET_MONTH.has_partition_key(key_of(market, month))]
        for family in INPUTS
    }
    families = tuple(family for family, months in outdated.items() if months)
    if not families:
        return None
    months = {month for family in families for month in outdated[family]}
    first, last = min(months), max(months)
    marks = sorted((key, at.isoformat()) for family in families for key, at in input_watermarks(lake, family, market, first, last).items())
    state = hashlib.sha256(repr((families, marks)).encode()).hexdigest()[:16]
    return Revision(market, families, first, last, len(months), f"revision-{market}-{first}-{last}-{state}")


def _attempt(instance: dg.DagsterInstance, revision: Revision) -> tuple[str | None, int]:
    """Why not now, or None and the number of the attempt."""
    for run in instance.get_runs(dg.RunsFilter(statuses=ACTIVE)):
        if _touches(run, revision):
            return f"run {run.run_id[:8]} on them is under way; looking again after it", 0
    tried = len(instance.get_runs(dg.RunsFilter(tags={REVISION_TAG: revision.key}), limit=MAX_ATTEMPTS))
    if tried >= MAX_ATTEMPTS:
        return f"given up after {tried} attempts on these inputs; see the runs tagged {REVISION_TAG}={revision.key}", 0
    return None, tried + 1


def _touches(run: dg.DagsterRun, revision: Revision) -> bool:
    """Whether *run* writes one of the tables for one of the months; where it does not say which, it may."""
    if run.asset_selection is not None and run.asset_selection.isdisjoint(revision.assets):
        return False
    keys = [run.tags[tag] for tag in (ONE_TAG, FIRST_TAG, LAST_TAG) if tag in run.tags]
    if not keys:
        return True
    parts = sorted(parts_of(key) for key in keys)
    markets, months = {market for market, _ in parts}, [month for _, month in parts]
    return revision.market in markets and min(months) <= revision.last and revision.first <= max(months)


def _request(revision: Revision, attempt: int) -> dg.RunRequest:
    keys: Sequence[str] = [str(key_of(revision.market, month)) for month in (revision.first, revision.last)]
    return dg.RunRequest(
        run_key=f"{revision.key}-{attempt}",
        asset_selection=revision.assets,
        tags={
            FIRST_TAG: keys[0],
            LAST_TAG: keys[1],
            REVISION_TAG: revision.key,
            "hydra/outdated_months": str(revision.months),
        },
    )
