"""
Labels from a home's lake: what a model is to foretell, each with the instant at which it becomes known.

Not features: the store holds none of them, and `get_training_frame` refuses their names. Join them to a frame by market and time,
then purge what was not known when the model is trained, and embargo what overlaps its test:

    y = hydra_assets.labels.forward_returns("HE", times, [5])
    known = y["label_fwd_5d__known_at"] <= trained_at
"""

import datetime as dt
from collections.abc import Sequence

import pyarrow as pa

from hydra_assets.config.home import resolve_home
from hydra_assets.config.load import load_config
from hydra_assets.core.instants import from_us, instants_us
from hydra_assets.core.tables.futures import FUTURES_STATISTICS
from hydra_assets.features import labels
from hydra_assets.storage.lake import ParquetLake

_BEFORE, _AFTER = dt.timedelta(30), dt.timedelta(30)

__all__ = ["forward_returns"]


def forward_returns(market: str, times: Sequence[dt.datetime], horizons: Sequence[int], *, world: str | None = None) -> pa.Table:
    """
    Log returns over the next *horizons* sessions within one contract, from the home's lake.

    Args:
        market: a configured symbol.
        times: aware instants.
        horizons: sessions ahead, 1 or more.
        world: ``sample`` or ``live``; default from ``HYDRA_WORLD``, else ``sample``.

    Returns:
        See `hydra_assets.features.labels.forward_returns`: ``market, time``, then for each horizon the label, its contract, and
        the instant from which it is known. Null where that is still to come.

    Raises:
        ConfigError: no such market.
        InvalidValueError: a horizon below 1.
        InvalidTimeError: a naive time.
    """
    calendar = load_config().market(market).calendar
    home = resolve_home(world)
    home.create()
    lake = ParquetLake(home.lake, world=home.world)
    rows = FUTURES_STATISTICS.schema.empty_table()
    counts = labels.session_counts(horizons)
    requested = [from_us(us) for us in instants_us(times, what="times", rounding="floor").tolist()]
    if requested:
        after = dt.timedelta(2 * max(counts, default=1)) + _AFTER
        first = max(min(requested).date(), dt.date.min + _BEFORE) - _BEFORE
        last = min(max(requested).date(), dt.date.max - after) + after
        name = FUTURES_STATISTICS.name
        rows = lake.read_vintages(name, market, first, last)  # lookahead-ok: labels, each with its own available_at
    return labels.forward_returns({FUTURES_STATISTICS.name: rows}, market=market, times=requested, horizons=counts, calendar=calendar)
