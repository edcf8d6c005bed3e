"""COT histories for tests: synthetic weeks, with the revisions and delays a test asks for."""

import datetime as dt

import numpy as np
import pyarrow as pa

from hydra_assets.config.load import load_release_calendar
from hydra_assets.core.instants import INSTANT, day_us, to_us
from hydra_assets.core.tables.cot import COT_DISAGGREGATED
from hydra_assets.sources.cftc_parse import parse_cot
from hydra_assets.sources.sample.cot import cot_archive

CALENDAR = load_release_calendar()
LE = "057642"


def weeks(first=2021, last=2024) -> pa.Table:
    """Synthetic live-cattle reports of whole years, as the lake holds them."""
    now = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
    parts = []
    for year in range(first, last + 1):
        made = cot_archive(range(year, year + 1), {LE: "Live Cattle"}, CALENDAR, now)
        parts.append(parse_cot(made.body, [LE], years=range(year, year + 1), calendar=CALENDAR, place=str(year)).table)
    return pa.concat_tables(parts).combine_chunks()


def revised(table: pa.Table, row: int, *, available_at: dt.datetime, quality="normal", **values) -> pa.Table:
    """*table* and one more vintage of its *row*."""
    cells = table.slice(row, 1).to_pylist()[0] | values | {"available_at": available_at, "quality": quality}
    return pa.concat_tables([table, pa.Table.from_pylist([cells], schema=COT_DISAGGREGATED.schema)])


def with_column(table: pa.Table, name: str, values) -> pa.Table:
    i = table.column_names.index(name)
    field = table.schema.field(i)
    array = pa.array([to_us(v) for v in values], pa.int64()).cast(INSTANT) if field.type == INSTANT else pa.array(values, field.type)
    return table.set_column(i, field, array)


def scrambled(table: pa.Table, seed: int, outside: tuple[int, int]) -> pa.Table:
    """Every number of rows outside the inclusive range of as_of replaced by an absurd one, and absurd vintages added."""
    as_of = table["as_of"].cast(pa.int64()).to_numpy()
    hit = (as_of < outside[0]) | (as_of > outside[1])
    dice = np.random.default_rng(seed)
    for field in table.schema:
        if pa.types.is_integer(field.type) or pa.types.is_floating(field.type):
            old = table[field.name].to_numpy(zero_copy_only=False).astype(float)
            values = np.where(hit, dice.uniform(1, 1e7, len(old)).round(), old)
            cast = pa.array(values, mask=np.isnan(values)).cast(field.type, safe=False)
            table = table.set_column(table.column_names.index(field.name), field, cast)
    later = table.filter(pa.array(hit))
    at = later["available_at"].cast(pa.int64()).to_numpy() + dice.integers(1, 10**12, later.num_rows)
    later = later.set_column(later.column_names.index("available_at"), later.schema.field("available_at"), pa.array(at).cast(INSTANT))
    return pa.concat_tables([table, later])


def us(day: dt.date) -> int:
    return day_us(day)
