"""
Published feature months that were computed from inputs which have changed since.

A publish keeps, for every folder of the lake inside its look-back, the newest recording that it used. A folder with a newer one,
or one that the publish did not know (an older month loaded later, a gap filled), makes the month outdated.
"""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hydra_assets.core.instants import to_us
from hydra_assets.core.months import Month
from hydra_assets.core.tables.registry import FEATURE_TABLES
from hydra_assets.features import of_family
from hydra_assets.features.compute import INPUTS
from hydra_assets.flow.derive import DERIVATIONS
from hydra_assets.flow.publish import reach_of
from hydra_assets.storage.lake import Folder, ParquetLake
from hydra_assets.storage.store import FeatureStore


def outdated_months(store: FeatureStore, lake: ParquetLake, family: str, market: str) -> list[Month]:
    """
    The months of a family's features whose last publish used older inputs than the lake now holds in their windows, ascending.

    A month whose features lie in the lake while the store knows of no publish (a store rebuilt without them) is one, too.
    """
    published = _last_publishes(store, family, market)
    inputs = _Inputs(lake, family, market)
    kept = {Month(folder.year, folder.month) for folder in lake.folders(FEATURE_TABLES[family].name, market)}
    return [month for month in sorted(published.keys() | kept) if month not in published or inputs.newer(month, published[month])]


def recompute_targets(families: Sequence[str]) -> list[str]:
    """Tables to recompute when inputs of *families* have changed: theirs, and the derived ones in between."""
    made = {table.name: family for family, table in FEATURE_TABLES.items()}
    found: dict[str, None] = {}

    def add(name: str) -> None:
        inputs = DERIVATIONS[name].inputs if name in DERIVATIONS else INPUTS[made[name]] if name in made else ()
        for each in inputs:
            add(each)
        if inputs:
            found[name] = None

    for family in families:
        add(FEATURE_TABLES[family].name)
    read = {name for family in families for name in reach_of(family)}
    for name, how in DERIVATIONS.items():
        if set(how.inputs) <= read:
            found[name] = None
    return list(found)


def input_watermarks(lake: ParquetLake, family: str, market: str, first: Month, last: Month) -> dict[str, dt.datetime]:
    """Folder to its newest recording, of every input folder that the windows from *first* to *last* touch."""
    return {
        key: at
        for name, back in reach_of(family).items()
        for key, at in lake.watermarks(name, market, first.first - back, last.last).items()
    }


def restamped_since_publish(store: FeatureStore, lake: ParquetLake, family: str, market: str, months: Sequence[Month]) -> set[Month]:
    """Months whose inputs were restamped after their last publish; their vintages are expected to move."""
    published, inputs = _last_publishes(store, family, market), _Inputs(lake, family, market)

    def restamped(month: Month, used: Mapping[str, dt.datetime]) -> bool:
        for folder in inputs.newer(month, used):
            inside = Month(folder.year, folder.month)
            for note in lake.writes(folder.data_type, market, inside.first, inside.last):
                if note.reason is not None and (folder.key not in used or note.recorded_at > to_us(used[folder.key])):
                    return True
        return False

    return {month for month in months if month in published and restamped(month, published[month])}


@dataclass
class _Inputs:
    """The input folders of one family and market, each looked into once."""

    lake: ParquetLake
    family: str
    market: str
    folders: list[tuple[Folder, dt.timedelta]] = field(init=False)
    _newest: dict[str, dt.datetime | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folders = [(folder, back) for name, back in reach_of(self.family).items() for folder in self.lake.folders(name, self.market)]

    def newer(self, month: Month, used: Mapping[str, dt.datetime]) -> list[Folder]:
        """The folders in the month's windows that hold something which a publish that *used* these did not see."""
        return [folder for folder in self._in_windows(month) if self._is_newer(folder, used.get(folder.key))]

    def _in_windows(self, month: Month) -> Iterator[Folder]:
        for folder, back in self.folders:
            if Month.of(month.first - back) <= Month(folder.year, folder.month) <= month:
                yield folder

    def _is_newer(self, folder: Folder, used: dt.datetime | None) -> bool:
        if used is not None and self.lake.unchanged_since(folder, used):
            return False
        if folder.key not in self._newest:
            self._newest[folder.key] = self.lake.newest_recorded(folder.key)
        newest = self._newest[folder.key]
        return newest is not None and (used is None or newest > used)


def _last_publishes(store: FeatureStore, family: str, market: str) -> dict[Month, dict[str, dt.datetime]]:
    """Month to the inputs of its newest publish that spoke for any feature of the family."""
    names = {feature.name for feature in of_family(family)}
    return {Month.of(month): used for month, used in store.last_inputs(market, names).items()}
