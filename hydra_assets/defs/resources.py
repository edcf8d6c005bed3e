"""What the assets are given: the lake, the store, the vendors. Each is settings plus one verb."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from hydra_assets.config.home import Home
from hydra_assets.config.load import load_config, load_release_calendar
from hydra_assets.flow.alerts import Alert, notify
from hydra_assets.flow.feeds.cot import open_cftc
from hydra_assets.flow.feeds.databento import open_databento
from hydra_assets.log import mask
from hydra_assets.sources.cftc import CftcSource
from hydra_assets.sources.databento import DatabentoSource
from hydra_assets.sources.ledger import Ledger
from hydra_assets.sources.publications import Publications
from hydra_assets.storage.lake import ParquetLake
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

    def open(self) -> ParquetLake:
        """The lake; WorldError where the folder is another world's."""
        return ParquetLake(self.base_path, world=self.world)


class FeatureStoreResource(SecretlessResource):
    """The point-in-time store of one world."""

    db_path: str
    world: str

    @contextmanager
    def open(self) -> Iterator[FeatureStore]:
        """The store, closed at the end of the block."""
        Path(self.db_path).parent.mkdir(parents=True, exist_ok=True)
        with FeatureStore(self.db_path, world=self.world) as store:
            yield store


class FindingsResource(SecretlessResource):
    """Where checks leave what they found, by market and month."""

    db_path: str

    @contextmanager
    def open(self) -> Iterator[Findings]:
        """The findings, closed at the end of the block."""
        Path(self.db_path).parent.mkdir(parents=True, exist_ok=True)
        with Findings(self.db_path) as findings:
            yield findings


class CftcResource(SecretlessResource):
    """The CFTC: the real one in the live world, the embedded vendor (started on demand, on loopback) in the sample world."""

    base: str
    world: str

    @contextmanager
    def open(self) -> Iterator[CftcSource]:
        """The source, for as long as the block runs."""
        with open_cftc(Home(self.world, Path(self.base)), load_config(), load_release_calendar()) as source:
            yield source

    @contextmanager
    def publications(self) -> Iterator[Publications]:
        """When each report was seen to be out."""
        with Publications(Home(self.world, Path(self.base)).ledger) as seen:
            yield seen


class DatabentoResource(SecretlessResource):
    """Databento: the real one in the live world, within the budgets of the settings; the embedded vendor in the sample world."""

    base: str
    world: str
    api_key: str

    @contextmanager
    def open(self, *, run: str, unattended: bool) -> Iterator[DatabentoSource]:
        """
        The source, for as long as the block runs.

        Args:
            run: whose spending counts together. unattended: asked for by a schedule or sensor, which have a budget of their own.
        """
        home = Home(self.world, Path(self.base))
        with open_databento(home, load_config(), key=self.api_key, run=run, unattended=unattended) as source:
            yield source

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        """What was asked, paid and captured."""
        with Ledger(Home(self.world, Path(self.base)).ledger) as ledger:
            yield ledger


class AlertResource(SecretlessResource):
    """Whom to tell that a run failed, by the settings' block `alerts`."""

    base: str
    world: str
    webhook_secret: str

    def tell(self, alert: Alert) -> None:
        """Log *alert*, and hand it to the notifier of the settings."""
        notify(alert, load_config().alerts, home=Home(self.world, Path(self.base)), webhook=self.webhook_secret)
