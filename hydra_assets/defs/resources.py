"""Resources of the assets: the lake, the store, the vendors. Each is settings plus one verb."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import PrivateAttr

from hydra_assets.config.home import Home
from hydra_assets.config.load import load_config
from hydra_assets.flow.alerts import Alert, notify
from hydra_assets.flow.feeds.registry import FEEDS
from hydra_assets.log import mask
from hydra_assets.storage.lake import ParquetLake
from hydra_assets.storage.rebuild import refuse_lost_store
from hydra_assets.storage.sqlite.findings import Findings
from hydra_assets.storage.store import FeatureStore


class SecretlessResource(dg.ConfigurableResource[None]):
    """A resource whose text never shows a key, even one given literally."""

    def __repr__(self) -> str:
        shown = {name: "***" if "key" in name or "secret" in name else value for name, value in dict(self).items()}
        return mask(f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in shown.items())})")

    __str__ = __repr__


class LakeResource(SecretlessResource):
    """The Parquet lake of one world."""

    base_path: str
    world: str
    _lake: ParquetLake | None = PrivateAttr(default=None)  # one for all steps of a run: it holds the months read lately

    def open(self) -> ParquetLake:
        """The lake; WorldError where the folder is another world's."""
        if self._lake is None:
            self._lake = ParquetLake(self.base_path, world=self.world, lock_timeout_s=load_config().storage.busy_timeout_s)
        return self._lake


class FeatureStoreResource(SecretlessResource):
    """The point-in-time store of one world, and the lake that its features are in, too."""

    db_path: str
    world: str
    lake_path: str

    @contextmanager
    def open(self) -> Iterator[FeatureStore]:
        """The store, closed at the end of the block; StorageError where it is missing and the lake holds what it served."""
        refuse_lost_store(Path(self.db_path), ParquetLake(self.lake_path, world=self.world))
        with FeatureStore(self.db_path, world=self.world, busy_timeout_s=load_config().storage.busy_timeout_s) as store:
            yield store


class FindingsResource(SecretlessResource):
    """Findings of checks, by market and month."""

    db_path: str

    @contextmanager
    def open(self) -> Iterator[Findings]:
        """The findings, closed at the end of the block."""
        with Findings(self.db_path) as findings:
            yield findings


class FeedResource(SecretlessResource):
    """
    A vendor: the real one in the live world, within the budgets of the settings; the embedded one in the sample world.

    Attributes:
        feed: a name in `FEEDS`.
        base: the folder of all worlds.
        api_key: of a vendor that needs one, in the live world.
    """

    feed: str
    base: str
    world: str
    api_key: str = ""

    @property
    def home(self) -> Home:
        """The world's folders."""
        return Home(self.world, Path(self.base))

    @contextmanager
    def open(self, *, run: str = "by hand", unattended: bool = False) -> Iterator[Any]:
        """
        The source, for as long as the block runs.

        Args:
            run: name under which spending is counted.
            unattended: requested by a schedule or sensor, which have a budget of their own.
        """
        feed = FEEDS[self.feed]
        with feed.open(self.home, load_config(), key=self.api_key, run=run, unattended=unattended) as source:
            yield source


class AlertResource(SecretlessResource):
    """The notifier of failed runs that the settings' block `alerts` names."""

    base: str
    world: str
    webhook_secret: str

    def tell(self, alert: Alert) -> None:
        """Log *alert*, and hand it to the notifier of the settings."""
        notify(alert, load_config().alerts, home=Home(self.world, Path(self.base)), webhook=self.webhook_secret)
