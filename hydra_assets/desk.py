"""The notebook's entry: the lake and the store of one home, and the instants of a training frame."""

import datetime as dt
from dataclasses import dataclass

import pyarrow as pa

from hydra_assets.closing import Closing
from hydra_assets.config.home import Home, resolve_home
from hydra_assets.config.load import Config, config_text, load_config
from hydra_assets.core.tables.futures import FUTURES_CONTINUOUS
from hydra_assets.errors import InvalidTimeError
from hydra_assets.features.futures.continuous import Method, adjusted
from hydra_assets.storage.lake import ParquetLake
from hydra_assets.storage.rebuild import refuse_lost_store
from hydra_assets.storage.store import FeatureStore


@dataclass(frozen=True)
class Desk(Closing):
    """
    One world's lake and store, opened.

    Attributes:
        home: where they lie, and which world it is.
        config: the shipped defaults with the user's ``config.yaml`` merged over.
    """

    home: Home
    config: Config
    lake: ParquetLake
    store: FeatureStore

    @property
    def world(self) -> str:
        """``sample`` (synthetic beside public-domain rows) or ``live``."""
        return self.home.world

    def close(self) -> None:
        """Close the store; the lake holds nothing open."""
        self.store.close()


def open(world: str | None = None) -> Desk:
    """
    Open the lake and the store that the Dagster assets write.

    Args:
        world: ``sample`` or ``live``; default from ``HYDRA_WORLD``, else ``sample``.

    Raises:
        WorldError: the folder belongs to the other world.
        StorageError: the store is missing, and the lake holds what it served.
    """
    home = resolve_home(world)
    home.create()
    config = load_config()
    lake = ParquetLake(home.lake, world=home.world, lock_timeout_s=config.storage.busy_timeout_s)
    refuse_lost_store(home.store, lake)
    return Desk(
        home=home,
        config=config,
        lake=lake,
        store=FeatureStore(home.store, world=home.world, settings=config_text, busy_timeout_s=config.storage.busy_timeout_s),
    )


def sessions(market: str, start: dt.date | str, end: dt.date | str, at: str = "18:30") -> list[dt.datetime]:
    """
    One aware instant a trading day of *market*, for `FeatureStore.get_training_frame`.

    Args:
        market: a configured symbol, for example ``HE``.
        start: first day, inclusive; a date or ISO text.
        end: last day, inclusive.
        at: wall-clock time in the exchange's own zone; 18:30 Chicago is after the final settlement of livestock and grains.
    """
    return load_config().market(market).calendar.instants(_day(start), _day(end), at=at)


def continuous(
    market: str,
    known_at: dt.datetime,
    method: Method = "difference",
    *,
    start: dt.date | None = None,
    end: dt.date | None = None,
    world: str | None = None,
) -> pa.Table:
    """
    The continuous front series of *market*, adjusted as known at *known_at*: its past is not moved by rolls that came later.

    Args:
        known_at: aware; inclusive.
        method: ``difference``, ``ratio`` or ``none``; see `hydra_assets.features.futures.continuous.adjusted`.
        start: first day of the answer, inclusive.
        end: last day of the answer, inclusive; its newest day is the anchor.
        world: ``sample`` or ``live``; default from ``HYDRA_WORLD``, else ``sample``.

    Returns:
        ``as_of, contract, expiration, settlement, price, quality``.
    """
    home = resolve_home(world)
    home.create()
    load_config().market(market)
    lake = ParquetLake(home.lake, world=home.world)
    known = lake.read_known(FUTURES_CONTINUOUS.name, market, known_at, start=start, end=end)
    return adjusted(FUTURES_CONTINUOUS.conform(known) if known.num_rows else FUTURES_CONTINUOUS.schema.empty_table(), method)


def _day(day: dt.date | str) -> dt.date:
    if isinstance(day, str):
        try:
            return dt.date.fromisoformat(day)
        except ValueError as error:
            raise InvalidTimeError(f"{day!r} is not a day; write YYYY-MM-DD") from error
    if isinstance(day, dt.datetime) or not isinstance(day, dt.date):
        raise InvalidTimeError(f"a day of the exchange must be a date or YYYY-MM-DD, not {day!r}")
    return day
