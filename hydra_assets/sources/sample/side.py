"""One vendor's side of the embedded vendor: what it serves, and the requests that it answers."""

import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from hydra_assets.core.market import Market
from hydra_assets.sources.http import utc_now
from hydra_assets.sources.sample.rude import POLITE, Rudeness

if TYPE_CHECKING:
    from hydra_assets.core.releases import ReleaseCalendar


@dataclass(frozen=True)
class Served:
    """
    The facts by which every side answers.

    Attributes:
        markets: what is served, by symbol.
        releases: a COT report is served once it is out.
        cache: where encoded months are kept; None encodes them anew.
        now: the clock.
        rude: behaviours of the real vendors.
    """

    markets: Mapping[str, Market]
    releases: "ReleaseCalendar"
    cache: Path | None = None
    now: Callable[[], dt.datetime] = utc_now
    rude: Rudeness = POLITE


@dataclass(frozen=True)
class Request:
    """
    One HTTP request.

    Attributes:
        target: path and query.
        url: address of the server, for answers that name further ones.
    """

    method: str
    target: str
    headers: "Message[str, str]"
    body: bytes = b""
    url: str = ""


@dataclass(frozen=True)
class Reply:
    """Status, headers and body of one answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Side(ABC):
    """
    The requests of one vendor, answered as it does.

    Attributes:
        prefix: start of the paths that it answers.
    """

    prefix: ClassVar[str]

    @abstractmethod
    def answer(self, request: Request) -> Reply:
        """The reply to one request, errors included."""

    def is_bulk(self, path: str) -> bool:
        """Whether the answer is a stream or a file that can travel slowly or break off."""
        return False
