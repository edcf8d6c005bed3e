"""The derived table ``futures_continuous``: built from the lake's statistics month by month; knows no Dagster."""

import datetime as dt
from collections.abc import Iterator, Sequence
from itertools import groupby

import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.core.dataset import DATASETS
from hydra_assets.core.instants import day_us
from hydra_assets.core.months import Month
from hydra_assets.features.continuous import build_continuous
from hydra_assets.storage.lake import ParquetLake

INPUTS = ("futures_statistics",)
_LOOK_BACK = dt.timedelta(30)  # twelve sessions, over the longest run of holidays


def continuous_months(lake: ParquetLake, market: str, months: Sequence[Month]) -> Iterator[tuple[Month, pa.Table]]:
    """The series' months, ascending; computed a year at a time."""
    for _, group in groupby(sorted(months), key=lambda month: month.year):
        chunk = list(group)
        first, last = chunk[0].first, chunk[-1].last
        inputs = {name: lake.read_vintages(name, market, first - _LOOK_BACK, last, key=DATASETS[name].key) for name in INPUTS}
        rows = build_continuous(inputs, start=first, end=last)
        as_of = rows["as_of"].cast(pa.int64())
        for month in chunk:
            yield month, rows.filter(pc.and_(pc.greater_equal(as_of, day_us(month.first)), pc.less_equal(as_of, day_us(month.last))))
