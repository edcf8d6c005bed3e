"""Reasons why a feature's value is null, read from the lake as known at the same instant."""

import datetime as dt

import pyarrow as pa

from hydra_assets.core.feature import Feature, Window
from hydra_assets.core.tables.options import OPTION_SMILES
from hydra_assets.core.tables.registry import FEATURE_TABLES, TABLES
from hydra_assets.features.compute import registered
from hydra_assets.features.missing import first_day, thin_windows, unread_smiles
from hydra_assets.flow.suspension import is_suspended
from hydra_assets.report.view import View


class Reasons:
    """
    Why features have no value in a view.

    Args:
        view: the market at the instant of the reader.
    """

    def __init__(self, view: View) -> None:
        self._view = view
        self._features = {feature.name: feature for feature in registered()}

    def of(self, name: str, as_of: dt.date, quality: str) -> list[str]:
        """
        Sentences on a null; the formula itself where every input was there.

        Args:
            name: feature.
            as_of: the day that the row describes.
            quality: of the row.
        """
        if is_suspended(None, quality):
            table = FEATURE_TABLES[self._features[name].family].name if name in self._features else "its table"
            return [f"suspended: its code failed a proof ({table}: replay, poison or no_lookahead); mend it and publish the month again"]
        feature = self._features.get(name)
        if feature is None:
            return ["its code is not installed here"]
        found = thin_windows(feature, as_of, lambda window: self._known(window, as_of), self._view.calendar)
        if not found:
            found = [f"every input was known; the formula has no answer: {feature.formula}"]
        smiles = self._smiles(feature, as_of)
        return [*found, f"smiles of the day: {smiles}"] if smiles else found

    def _smiles(self, feature: Feature, as_of: dt.date) -> str:
        if not any(TABLES[window.dataset].needs_options for window in feature.windows):
            return ""
        return unread_smiles(self._view.rows(OPTION_SMILES, as_of), as_of)

    def _known(self, window: Window, as_of: dt.date) -> pa.Table:
        return self._view.rows(TABLES[window.dataset], first_day(window, as_of))
