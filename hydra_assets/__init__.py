"""
hydra_assets: data assets for thin commodity futures in which nothing can be read before it could have been known.

A notebook needs few names: `open` (the lake and the store of a home), `sessions` (instants for a training frame),
`continuous` (a back-adjusted series as known at an instant), `labels` (what to foretell), `backfill` (months through Dagster), `proof`
(`proof.audit` looks through a frame made elsewhere) and, for code of one's own, the classes `ParquetLake` and `FeatureStore`.
Everything is imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hydra_assets.version import __version__

if TYPE_CHECKING:
    from hydra_assets import labels, proof
    from hydra_assets.desk import Desk, continuous, open, sessions
    from hydra_assets.host.runs import backfill
    from hydra_assets.storage.lake import Look, ParquetLake
    from hydra_assets.storage.store import FeatureStore

_HOMES = {
    "Desk": "hydra_assets.desk",
    "FeatureStore": "hydra_assets.storage.store",
    "Look": "hydra_assets.storage.lake",
    "ParquetLake": "hydra_assets.storage.lake",
    "backfill": "hydra_assets.host.runs",
    "continuous": "hydra_assets.desk",
    "open": "hydra_assets.desk",
    "sessions": "hydra_assets.desk",
}
__all__ = ["Desk", "FeatureStore", "Look", "ParquetLake", "__version__", "backfill", "continuous", "labels", "open", "proof", "sessions"]


def __getattr__(name: str) -> Any:
    if name in ("labels", "proof"):
        return import_module(f"hydra_assets.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
