"""A request to Databento, its price, and its answer."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra_assets.errors import CorruptionError
from hydra_assets.sources.archive import sha256_of
from hydra_assets.sources.databento_errors import load_package

if TYPE_CHECKING:
    from databento.common.dbnstore import DBNStore


@dataclass(frozen=True)
class Request:
    """
    One answer wanted: all instruments of a parent symbol.

    Attributes:
        start: first instant, aware; of ``ts_recv`` where the schema has one, else of ``ts_event``.
        end: instant after the last, aware.
    """

    dataset: str
    schema: str
    symbols: str
    start: dt.datetime
    end: dt.datetime

    def arguments(self) -> dict[str, Any]:
        """Arguments of the client, the same ones for the quote and for the answer."""
        return {
            "dataset": self.dataset,
            "schema": self.schema,
            "symbols": self.symbols,
            "stype_in": "parent",
            "start": self.start.astimezone(dt.UTC),
            "end": self.end.astimezone(dt.UTC),
        }

    def __str__(self) -> str:
        return f"Databento {self.symbols} {self.schema} {self.start:%Y-%m-%d %H:%MZ}..{self.end:%Y-%m-%d %H:%MZ}"


@dataclass(frozen=True)
class Limits:
    """Seconds and bytes that one request may take."""

    connect_timeout_s: float = 10.0
    read_timeout_s: float = 100.0
    deadline_s: float = 1800.0
    max_bytes: int = 1 << 30


@dataclass(frozen=True)
class Quote:
    """The price of a request before it is made: dollars, records, bytes (uncompressed)."""

    usd: float
    records: int
    size: int


@dataclass(frozen=True)
class Payload:
    """
    A whole answer in the archive.

    Attributes:
        seen_at: when it was seen.
        usd: what it cost now; 0 where it had been paid before.
        warnings: the vendor's warnings beside it.
    """

    path: Path
    sha256: str
    seen_at: dt.datetime
    usd: float
    warnings: tuple[str, ...] = ()

    def store(self) -> "DBNStore":
        """The decoded answer; CorruptionError where the bytes are not those that were kept."""
        if sha256_of(self.path) != self.sha256:
            raise CorruptionError(f"{self.path}: the archive is not what was downloaded; delete it to fetch it again")
        return decoded(self.path)


def decoded(path: Path) -> "DBNStore":
    """The answer in a file."""
    load_package()
    from databento.common.dbnstore import DBNStore

    return DBNStore.from_file(path)


@dataclass(frozen=True)
class Condition:
    """The vendor's status of a day (``available``, ``degraded``, ``pending``, ``missing``) and the date of its last change."""

    status: str
    last_modified: dt.date | None
