"""Features: pure functions and one table of them a family."""

from hydra_assets.features.compute import compute, of_family, registered

ALL = registered()
__all__ = ["ALL", "compute", "of_family"]
