"""Rows of a range of days."""

import datetime as dt

import pyarrow as pa
import pytest

from hydra_assets.core.instants import instants, to_us
from hydra_assets.core.rows import rows_between
from hydra_assets.errors import InvalidTimeError

DAYS = [dt.datetime(2025, 3, day, hour, tzinfo=dt.UTC) for day, hour in ((1, 0), (2, 0), (2, 23), (3, 0))]
TABLE = pa.table({"as_of": instants([to_us(day) for day in DAYS]), "n": [0, 1, 2, 3]})


@pytest.mark.parametrize(
    ("first", "last", "rows"),
    [
        (dt.date(2025, 3, 2), dt.date(2025, 3, 2), [1, 2]),
        (None, dt.date(2025, 3, 2), [0, 1, 2]),
        (dt.date(2025, 3, 2), None, [1, 2, 3]),
        (None, None, [0, 1, 2, 3]),
        (dt.date(2025, 3, 4), None, []),
    ],
)
def test_both_ends_are_included_to_the_last_instant_of_the_day(first, last, rows):
    assert rows_between(TABLE, first, last)["n"].to_pylist() == rows


def test_an_empty_table_needs_no_column_and_a_naive_one_is_refused():
    empty = pa.table({"n": pa.array([], pa.int64())})
    assert rows_between(empty, dt.date(2025, 1, 1), None).equals(empty)
    naive = pa.table({"as_of": pa.array([0], pa.timestamp("us"))})
    with pytest.raises(InvalidTimeError, match="as_of"):
        rows_between(naive, dt.date(2025, 1, 1), None)
