"""Reasons why a feature's value is null, read from the lake as known at the same instant."""

import datetime as dt

import pyarrow as pa

from hydra_assets.core.calendar import Calendar
from hydra_assets.core.feature import Feature, Window
from hydra_assets.core.tables.options import OPTION_SMILES
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.features import ALL
from hydra_assets.features.missing import first_day, thin_windows, unread_smiles
from hydra_assets.storage.lake import ParquetLake


class Reasons:
    """
    Why features of one market have no value, as known at one instant; each input is read once.

    Args:
        lake: the lake that the features were computed from.
        market: symbol.
        at: the instant of the reader.
        calendar: the market's.
    """

    def __init__(self, lake: ParquetLake, market: str, at: dt.datetime, calendar: Calendar) -> None:
        self._lake, self._market, self._at, self._calendar = lake, market, at, calendar
        self._features = {feature.name: feature for feature in ALL}
        self._read: dict[tuple[str, dt.date], pa.Table] = {}

    def of(self, name: str, as_of: dt.date) -> list[str]:
        """Sentences on the null of feature *name* that describes *as_of*; the formula itself where every input was there."""
        feature = self._features.get(name)
        if feature is None:
            return ["its code is not installed here"]
        found = thin_windows(feature, as_of, lambda window: self._known(window, as_of), self._calendar)
        if not found:
            found = [f"every input was known; the formula has no answer: {feature.formula}"]
        smiles = self._smiles(feature, as_of)
        return [*found, f"smiles of the day: {smiles}"] if smiles else found

    def _smiles(self, feature: Feature, as_of: dt.date) -> str:
        if not any(TABLES[window.dataset].needs_options for window in feature.windows):
            return ""
        return unread_smiles(self._rows(OPTION_SMILES.name, as_of), as_of)

    def _known(self, window: Window, as_of: dt.date) -> pa.Table:
        return self._rows(window.dataset, first_day(window, as_of))

    def _rows(self, dataset: str, start: dt.date) -> pa.Table:
        """Rows of *dataset* from *start* on, as known at the instant; a longer stretch that was read already serves shorter ones."""
        for (name, first), table in self._read.items():
            if name == dataset and first <= start:
                return table
        table = self._lake.read_known(dataset, self._market, self._at, start=start)
        self._read[dataset, start] = table
        return table
