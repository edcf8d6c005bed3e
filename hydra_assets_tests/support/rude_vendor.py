"""The embedded vendor with chosen behaviours of the real ones, and the real client at it."""

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import databento
from databento.historical.api.batch import BatchHttpAPI
from databento.historical.api.metadata import MetadataHttpAPI
from databento.historical.api.timeseries import TimeseriesHttpAPI

from hydra_assets.config.load import load_config, load_release_calendar
from hydra_assets.flow.feeds.registry import FEEDS
from hydra_assets.sources.http import utc_now
from hydra_assets.sources.sample.databento import SAMPLE_KEY
from hydra_assets.sources.sample.rude import Rudeness
from hydra_assets.sources.sample.server import SampleVendor
from hydra_assets.sources.sample.side import Served

NOW = dt.datetime(2026, 10, 1, 15, tzinfo=dt.UTC)
SMALL = {"max_days": 40, "max_bytes": 50_000_000, "bytes_per_s": 40_000, "first_byte_s": 0.2, "busy_polls": 2}

RudeVendor = Callable[..., SampleVendor]


@contextmanager
def serving(*names: str, markets=None, now=NOW, cache=None, tls=None, **sizes) -> Iterator[SampleVendor]:
    """A running vendor with the behaviours *names* (``all`` for every one), sizes small unless given; *now* None is the wall clock."""
    rude = Rudeness.of(names, **{**SMALL, **sizes})
    clock = utc_now if now is None else lambda: now
    served = Served(markets or load_config().markets, load_release_calendar(), cache, clock, rude)
    with SampleVendor([feed.sample(served) for feed in FEEDS.values()], tls=tls, rude=rude) as vendor:
        yield vendor


def addresses(url: str) -> dict[str, dict[str, str]]:
    """Settings that put every vendor at *url*."""
    return {name: {"gateway" if "gateway" in block else "base_url": url} for name, block in load_config().vendors.items()}


def real_client(url: str) -> databento.Historical:
    """Databento's own client at *url*, nothing of it replaced but the address (it insists on https)."""
    made = databento.Historical(SAMPLE_KEY, gateway="https://localhost")
    for name, api in (("timeseries", TimeseriesHttpAPI), ("metadata", MetadataHttpAPI), ("batch", BatchHttpAPI)):
        setattr(made, name, api(SAMPLE_KEY, url))
    return made
