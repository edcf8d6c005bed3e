"""The store that a command reads: the home's, or a file that is named."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hydra_assets.storage.store import FeatureStore

StoreOption = Annotated[
    Path | None,
    typer.Option("--store", exists=True, dir_okay=False, help="The store's SQLite file. Default: that of the home and --world."),
]


@contextmanager
def opened_store(world: str | None, path: Path | None) -> "Iterator[FeatureStore]":
    """The store of *path* (of whichever world, where none is named), else of the home's world; closed at the end of the block."""
    from hydra_assets.desk import open as open_desk  # pandas and Arrow take a second to load; --help needs neither
    from hydra_assets.storage.store import FeatureStore

    if path is not None:
        with FeatureStore(path, world=world) as store:
            yield store
        return
    with open_desk(world) as desk:
        yield desk.store
