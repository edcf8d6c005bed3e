"""Features of third parties for tests: registered as an installed package would, by an entry point."""

import importlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest

from hydra_assets.core.feature import Feature
from hydra_assets.flow import publish

ROOM = importlib.import_module("hydra_assets.features.compute")  # the package's own name is the function


class Entry:
    """The answer that `importlib.metadata.entry_points` would give."""

    name = "theirs"

    def __init__(self, features: Iterable[Feature]) -> None:
        self.load = lambda: tuple(features)


@contextmanager
def registered(*features: Feature) -> Iterator[None]:
    """*features* beside our own, for as long as the block runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ROOM, "entry_points", lambda group: [Entry(features)] if group == "hydra_assets.features" else [])
        ROOM.registered.cache_clear()
        try:
            yield
        finally:
            ROOM.registered.cache_clear()


@contextmanager
def only(*features: Feature) -> Iterator[None]:
    """*features* and no others, as if they were shipped, for as long as the block runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ROOM, "registered", lambda: features)
        for room in (ROOM, publish):
            patch.setattr(room, "is_shipped", lambda feature: True)
        yield
