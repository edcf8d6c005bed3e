"""Quality words as numbers: the worst of several is their maximum."""

from hydra_assets.core.tables.registry import QUALITIES

NORMAL, PARTIAL, DEGRADED, STALE, MISSING = range(len(QUALITIES))
