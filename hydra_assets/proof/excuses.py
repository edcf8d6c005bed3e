"""Months whose stored values need not be what the lake gives today: their inputs are newer, or the settings were others."""

from collections.abc import Mapping
from dataclasses import dataclass

from hydra_assets.command import command
from hydra_assets.core.option_rules import OptionRules
from hydra_assets.features import of_family
from hydra_assets.features.registry import FAMILIES
from hydra_assets.flow.outdated import outdated_months
from hydra_assets.flow.publish import SETTINGS, settings_hash
from hydra_assets.storage.lake import ParquetLake
from hydra_assets.storage.store import FeatureStore


@dataclass(frozen=True)
class MonthExcuses:
    """
    Months of one family and market.

    Attributes:
        outdated: their publish used older inputs than the lake now holds.
        other_settings: they were published under settings that are no longer in force.
        published: name of a feature to the months whose publishes spoke for it.
        again: the command that computes one month again, with ``{month}`` in it.
    """

    outdated: frozenset[str]
    other_settings: frozenset[str]
    published: Mapping[str, frozenset[str]]
    again: str

    @classmethod
    def of(cls, store: FeatureStore, lake: ParquetLake, family: str, market: str, rules: OptionRules) -> "MonthExcuses":
        """Those of today."""
        published = store.last_inputs(market, {feature.name for feature in of_family(family)})
        now = f"{SETTINGS}{settings_hash(rules)}"
        kept = {month: [key for key in used if key.startswith(SETTINGS)] for month, used in published.items()}
        other = frozenset(month for month, keys in kept.items() if keys and now not in keys)
        names = [feature.name for feature in of_family(family)]
        months: dict[str, set[str]] = {name: set() for name in names}
        publishes = store.publishes(market).group_by(["month", "features"]).aggregate([])
        for month, scope in zip(publishes["month"].to_pylist(), publishes["features"].to_pylist(), strict=True):
            for name in months.keys() & set(scope.split(",")):
                months[name].add(month)
        outdated = frozenset(map(str, outdated_months(store, lake, family, market)))
        again = command(f"backfill {market} {{month}} --select {FAMILIES[family].table.name}", world=lake.world)
        return cls(outdated, other, {name: frozenset(found) for name, found in months.items()}, again)

    def excuse(self, row: Mapping[str, object]) -> str:
        """Why a row of `Replay.differing` may differ; empty where it may not."""
        month = str(row["as_of"])[:7]
        if month not in self.published.get(str(row["feature_name"]), frozenset()) and str(row["stored"]).endswith("(absent)"):
            return f"{month} was never published for {row['feature_name']}: compute it: {self.again.format(month=month)}"
        if month in self.other_settings:
            return f"{month} was made under other settings: compute it again: {self.again.format(month=month)}"
        if month in self.outdated:
            return f"inputs of {month} are newer than its publish: compute it again: {self.again.format(month=month)}"
        return ""
