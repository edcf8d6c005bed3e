"""Folders of a home: one home a world, so that synthetic and live data cannot meet."""

import os
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from hydra_assets.command import WORLDS
from hydra_assets.config.writable import Obstacle, obstacle_among
from hydra_assets.errors import ConfigError, StorageError
from hydra_assets.private_files import make_folder, write_file


@dataclass(frozen=True)
class Home:
    """One world's folders under *base*."""

    world: str
    base: Path

    @property
    def root(self) -> Path:
        """``<base>/<world>``."""
        return self.base / self.world

    @property
    def lake(self) -> Path:
        """The Parquet lake."""
        return self.root / "lake"

    @property
    def store(self) -> Path:
        """The SQLite feature store."""
        return self.root / "store.sqlite"

    @property
    def findings(self) -> Path:
        """Open findings of the checks (SQLite)."""
        return self.root / "findings.sqlite"

    @property
    def ledger(self) -> Path:
        """The ledger of paid requests and captured days (SQLite)."""
        return self.root / "ledger.sqlite"

    @property
    def archives(self) -> Path:
        """Vendors' bytes, kept by hash before they are parsed."""
        return self.root / "archives"

    @property
    def dagster(self) -> Path:
        """``DAGSTER_HOME``."""
        return self.root / "dagster"

    @property
    def cache(self) -> Path:
        """Disposable caches."""
        return self.root / "cache"

    def create(self) -> None:
        """Make the folders, readable by their owner alone."""
        for folder in (self.base, self.root, self.archives, self.dagster, self.cache):
            try:
                make_folder(folder, 0o700)
            except OSError as error:
                raise StorageError(f"{folder}: cannot be made: {error.strerror}; set HYDRA_HOME to a folder that may be written") from error

    def obstacle(self) -> Obstacle | None:
        """The reason for which the home may not be written, and the command that mends it; None where it may."""
        files = (self.store, self.ledger, self.findings)
        return obstacle_among(self.base, (self.base, self.root, self.lake, self.archives, self.dagster, self.cache, *files))

    def create_to_write(self) -> None:
        """
        Make the folders, and refuse a home that may only be read before any work is begun.

        Raises:
            StorageError: naming the place and the command that mends it.
        """
        self.create()
        found = self.obstacle()
        if found is not None:
            raise StorageError(f"{found.place} {found.reason}; nothing was begun; to write: {found.remedy}")

    def prepare_dagster(self) -> None:
        """Put the shipped ``dagster.yaml`` into ``DAGSTER_HOME`` where there is none yet."""
        self.create_to_write()
        put_dagster_yaml(self.dagster)


def put_dagster_yaml(folder: Path) -> None:
    """Put the shipped ``dagster.yaml`` into *folder* where there is none yet."""
    folder.mkdir(mode=0o700, exist_ok=True)
    target = folder / "dagster.yaml"
    if not target.exists():
        write_file(target, (files("hydra_assets.config") / "dagster.yaml").read_bytes())


def base_folder() -> Path:
    """``$HYDRA_HOME``, else the user's data folder."""
    named = os.environ.get("HYDRA_HOME")
    if not named:
        import platformdirs

        named = platformdirs.user_data_dir("hydra_assets")
    try:
        return Path(named).expanduser().absolute()
    except RuntimeError as error:
        raise ConfigError(f"HYDRA_HOME={named!r}: {error} Name a folder by its whole path") from error


def resolve_home(world: str | None = None) -> Home:
    """
    The home of *world*.

    Args:
        world: ``sample`` or ``live``; default from ``HYDRA_WORLD``, else ``sample``.

    Raises:
        ConfigError: another word.
    """
    chosen = world or os.environ.get("HYDRA_WORLD") or "sample"
    if chosen not in WORLDS:
        where = "world" if world else "HYDRA_WORLD"
        raise ConfigError(f"{where}={chosen!r} is not a world; choose one of {', '.join(WORLDS)}")
    return Home(chosen, base_folder())
