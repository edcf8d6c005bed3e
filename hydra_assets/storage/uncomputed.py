"""Names of features that a store does not hold: registered and not computed yet, or unknown, with the near ones."""

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hydra_assets.command import command
from hydra_assets.core.tables.registry import FEATURE_TABLES

if TYPE_CHECKING:
    from hydra_assets.storage.store import FeatureStore

_ANY_YEAR = "2025-01..2025-12"
_NEAR = 3


def absence_of(store: "FeatureStore", market: str, name: str) -> str:
    """Why *store* has no feature *name* of *market*, with the command that computes it or the near names."""
    from hydra_assets.features.compute import registered  # takes pandas and scipy, which a bare store does without

    feature = next((each for each in registered() if each.name == name), None)
    if feature is not None:
        words = f"backfill {market} {_months(store, market)} --select {FEATURE_TABLES[feature.family].name}"
        return f"{name} of {market} is registered, not computed yet: {command(words, world=store.world)}"
    known = store.features(market)
    near = difflib.get_close_matches(name, sorted({*known, *(each.name for each in registered())}), _NEAR)
    more = f" ({', '.join(near[1:])} are near, too)" if near[1:] else ""
    hint = f"did you mean {near[0]}?{more}" if near else f"known are {', '.join(known) or 'none'}"
    return f"{market} has no feature {name!r}; {hint}"


def _months(store: "FeatureStore", market: str) -> str:
    """The months that were published for the market; a year where there is none."""
    published: Sequence[str] = sorted(store.publishes(market)["month"].to_pylist())
    return f"{published[0]}..{published[-1]}" if published else _ANY_YEAR
