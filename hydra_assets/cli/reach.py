"""Whether the vendors of a live command can be reached at all, before it begins to wait for them."""

import socket
from collections.abc import Collection
from urllib.parse import urlsplit
from urllib.request import getproxies

from hydra_assets.config.load import Config
from hydra_assets.errors import VendorUnavailableError
from hydra_assets.flow.feeds.registry import FEEDS

_TIMEOUT_S = 3.0
_ADDRESSES = ("gateway", "base_url")  # the key of a vendor's settings that names its server


def refuse_without_network(config: Config, tables: Collection[str]) -> None:
    """
    Raise where none of the vendors of *tables* can be reached.

    One that answers is enough: the others cost their own tables' days alone. Behind a proxy nothing is tried.

    Raises:
        VendorUnavailableError: in one line, after seconds; nothing was requested.
    """
    urls = [
        str(block[key])
        for feed in FEEDS.values()
        if any(table.name in tables for table in feed.tables)
        for block in [config.vendors.get(feed.name, {})]
        for key in _ADDRESSES
        if block.get(key)
    ]
    if not urls or getproxies().keys() & {"http", "https", "all"}:
        return
    faults = [fault for url in urls if (fault := _fault(url)) is not None]
    if len(faults) == len(urls):
        raise VendorUnavailableError(f"no network: {'; '.join(faults)}. Nothing was requested; try again once it is back")


def _fault(url: str) -> str | None:
    """Why no connection to the server of *url* can be made; None where one can."""
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or (80 if parts.scheme == "http" else 443)), _TIMEOUT_S).close()
    except OSError as error:
        return f"{parts.hostname} cannot be reached ({error.strerror or error})"
    return None
