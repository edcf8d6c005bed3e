"""The seam between the feature store and what keeps its facts: rows, series, publishes and a recording clock."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from hydra_assets.storage.fact_columns import Facts, Name
from hydra_assets.storage.facts import Fact
from hydra_assets.storage.health import StoreHealth
from hydra_assets.storage.recordings import Recordings
from hydra_assets.storage.served import ServedLog

Row = Mapping[str, Any]
"""One recording: ``as_of``, ``available_at``, ``recorded_at`` (microseconds UTC), ``value`` and ``quality``."""


class FactTable(Protocol):
    """
    Facts, kept append-only; `FeatureStore` holds the rules and asks this for everything it keeps.

    Instants are microseconds UTC. Reads other than `last_recorded` belong inside `snapshot` or `transaction`, appends inside
    `transaction`. Every row is held against its checksum as it is read.

    Attributes:
        place: the file or address, for messages.
        identity: the table's own name, the same for as long as it lives; a mirror of another table is no help.
        cache: file whose name mirrors extend; None where they are kept in memory alone.
        served: the log of answers handed out.
    """

    @property
    def place(self) -> str: ...

    @property
    def identity(self) -> str: ...

    @property
    def cache(self) -> Path | None: ...

    @property
    def served(self) -> ServedLog: ...

    def world(self, default: str) -> str:
        """The world that the table belongs to; *default*, written down, where it names none yet."""

    def transaction(self) -> AbstractContextManager[Callable[[], int]]:
        """
        Hold the writers' lock for one transaction, undone where it ends by an exception.

        Yields:
            The transaction's recording stamp, taken on the first call: ``max(now, last + 1 us)``, under the lock.
        """

    def snapshot(self) -> AbstractContextManager[None]:
        """One consistent view for all reads inside; takes no writers' lock, and may be entered again inside a transaction."""

    def wait_for_writers(self) -> None:
        """Take and release the writers' lock: afterwards no transaction with an earlier stamp is still to commit."""

    # ---------------------------------------------------------------- facts

    def series(self, market: str | None = None) -> list[tuple[str, str]]:
        """Market and feature name of everything ever held, in that order; of one market or of all."""

    def append(self, facts: Facts, recorded_at: int, *, withdraw: bool = False) -> None:
        """
        Append facts.

        Args:
            withdraw: the vintages are withdrawn.

        Raises:
            ConflictError: a vintage has a recording of this stamp already.
        """

    def recordings(self, spans: Mapping[Name, tuple[int | None, int | None]]) -> Recordings:
        """
        Every recording of some series.

        Args:
            spans: market and feature name, to the first and last ``as_of``, inclusive; None is no bound. Unknown series have no rows.
        """

    def known(self, market: str, cut: int, recorded_by: int | None, feature: str | None = None) -> dict[str, Row]:
        """
        The point-in-time rule: of each feature the greatest ``as_of``, then the greatest ``available_at``, available by *cut*.

        Of one vintage the newest recording by *recorded_by* counts; where it withdraws the vintage, the one before is taken.
        """

    def vintages(
        self, market: str, feature: str, first: int | None = None, last: int | None = None, recorded_by: int | None = None
    ) -> list[Row]:
        """The newest recording of every vintage with *first* <= ``as_of`` <= *last*, in order of both stamps; withdrawn ones left out."""

    def since(self, market: str, feature: str, watermark: int) -> Recordings | None:
        """Every recording of a series later than *watermark*; None where none is at *watermark* (an older state was put back)."""

    def watermarks(self, market: str) -> dict[str, int]:
        """The newest recording of each feature of *market*."""

    def last_recorded(self) -> int:
        """The newest stamp handed out; 0 where there is none yet."""

    def restore(self, recordings: Iterable[tuple[Fact, bool, int]], publishes: Iterable[Sequence[Any]]) -> int:
        """
        Fill an empty table, in one transaction of its own; how many recordings.

        Args:
            recordings: fact, whether it withdraws its vintage, and its own ``recorded_at``.
            publishes: rows in the order of `publishes.PUBLISHES`.

        Raises:
            ConflictError: the table holds facts already.
        """

    # ---------------------------------------------------------------- publishes

    def add_publishes(self, rows: Iterable[Sequence[Any]]) -> None:
        """Append rows in the order of `publishes.PUBLISHES`."""

    def any_publish(self) -> bool:
        """Whether there is a publish of any market."""

    def newest_input(self, market: str, month: str, features: str, folder: str) -> int | None:
        """The newest recording of *folder* used by a publish that spoke for any of *features*, names joined by commas."""

    def last_inputs(self, market: str, features: Collection[str]) -> dict[str, dict[str, int]]:
        """Month to the inputs of its newest publish that spoke for any of *features*: folder to the recording used."""

    def publishes(self, market: str | None = None) -> list[tuple[Any, ...]]:
        """Rows in the order of `publishes.PUBLISHES`, of one market or of all, by ``recorded_at`` and folder."""

    # ---------------------------------------------------------------- upkeep

    def check(self) -> int:
        """
        Verify every row's checksum and the structure of what keeps them; how many rows.

        Raises:
            CorruptionError: naming what is wrong.
        """

    def repair(self) -> int:
        """Mend rows that an older version wrote in a way that its own check refuses; how many."""

    def health(self, world: str) -> StoreHealth:
        """Facts and problems without reading rows; takes no writers' lock."""

    def close(self) -> None:
        """Close it; calling it twice is allowed."""
