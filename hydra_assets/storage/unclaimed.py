"""Series that no registered feature claims: nothing can recompute them, so nothing proves them."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from hydra_assets.core.label import is_label

if TYPE_CHECKING:
    from hydra_assets.storage.store import FeatureStore


def unclaimed_names(names: Iterable[str]) -> list[str]:
    """Those of *names* that no registered feature has, sorted."""
    from hydra_assets.features.compute import registered  # takes pandas and scipy, which a bare store does without

    known = {feature.name for feature in registered()}
    return sorted(name for name in set(names) - known if not is_label(name))


def unclaimed_series(store: "FeatureStore", market: str) -> list[str]:
    """Series of a market with at least one vintage that stands and no registered feature of the name."""
    names = unclaimed_names(store.features(market))
    if not names:
        return []
    return sorted(pc.unique(store.vintages(market, names)["feature_name"]).to_pylist())
