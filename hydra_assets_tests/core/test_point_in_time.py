"""The rule of the house against the plainest possible oracle."""

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydra_assets.core.instants import column_us, from_us, iso, to_us
from hydra_assets.core.point_in_time import known_vintages, visible_frontier
from hydra_assets.errors import InvalidTimeError

ROWS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 6), st.booleans()), max_size=25
)  # group, stamped_at, available_at, retracted; recorded in the order written


def oracle(rows, known_at, recorded_by, stamped):
    """Row by row, as the design says it in words."""
    newest = {}
    for recorded_at, (group, stamp, available, retracted) in enumerate(rows):
        if recorded_by is None or recorded_at <= recorded_by:
            newest[group, stamp if stamped else 0, available] = (recorded_at, retracted)
    answer = {}
    for (group, stamp, available), (row, retracted) in newest.items():
        if retracted or (known_at is not None and available > known_at):
            continue
        if group not in answer or (stamp, available) > answer[group][:2]:
            answer[group] = (stamp, available, row)
    return [answer[group][2] for group in sorted(answer)]


@given(ROWS, st.none() | st.integers(0, 6), st.none() | st.integers(0, 25), st.booleans())
def test_known_vintages_equal_the_rule_in_words(rows, known_at, recorded_by, stamped):
    columns = np.array(rows, dtype=np.int64).reshape(-1, 4)
    got = known_vintages(
        columns[:, 0],
        columns[:, 2],
        np.arange(len(rows)),
        columns[:, 3].astype(bool),
        known_at=known_at,
        recorded_by=recorded_by,
        stamped_at=columns[:, 1] if stamped else None,
    )
    assert got.tolist() == oracle(rows, known_at, recorded_by, stamped)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 8), st.integers(0, 8)), max_size=30), st.integers(-1, 9))
def test_a_plain_search_on_the_frontier_is_the_rule(rows, known_at):
    rows = sorted(rows)  # series, available_at, as_of
    series, available, as_of = (np.array(column, dtype=np.int64) for column in (zip(*rows, strict=True) if rows else ((), (), ())))
    kept = visible_frontier(series, as_of, available)
    for s in range(3):
        visible = [(a, v) for (t, v, a) in rows if t == s and v <= known_at]
        mine = np.flatnonzero(kept & (series == s))
        at = np.searchsorted(available[mine], known_at, side="right") - 1
        served = None if at < 0 else (as_of[mine][at], available[mine][at])
        assert served == (max(visible) if visible else None)


def test_one_instant_in_three_zones_is_one_number():
    utc = dt.datetime(2025, 10, 3, 19, 30, tzinfo=dt.UTC)
    assert {to_us(utc.astimezone(ZoneInfo(z))) for z in ("UTC", "Asia/Tokyo", "America/Chicago")} == {to_us(utc)}
    assert from_us(to_us(utc)) == utc
    assert iso(to_us(utc)) == "2025-10-03T19:30:00.000000Z"


def test_nanoseconds_round_up_for_availability_down_for_a_cut_and_are_refused_elsewhere():
    fine = pd.Timestamp("2025-10-03T19:30:00.000000001Z")
    whole = to_us(dt.datetime(2025, 10, 3, 19, 30, tzinfo=dt.UTC))
    assert to_us(fine, rounding="ceil") == whole + 1
    assert to_us(fine, rounding="floor") == whole
    with pytest.raises(InvalidTimeError, match="finer than a microsecond"):
        to_us(fine)
    column = pa.array([fine.value], pa.timestamp("ns", tz="UTC"))
    assert column_us(column, what="x", rounding="ceil")[0] == whole + 1
    with pytest.raises(InvalidTimeError, match="finer"):
        column_us(column, what="x")


@pytest.mark.parametrize("when", [dt.datetime(2025, 1, 1), "2025-01-01T00:00Z", 5, None, pd.NaT, dt.date(2025, 1, 1)])  # noqa: DTZ001
def test_what_is_not_an_aware_instant_is_refused_by_name(when):
    with pytest.raises(InvalidTimeError, match="query_time"):
        to_us(when, what="query_time")


def test_columns_without_zone_or_with_nulls_are_refused_by_name():
    for column in (pa.array([0], pa.timestamp("us")), pa.array([None], pa.timestamp("us", tz="UTC")), pa.array(["2025"])):
        with pytest.raises(InvalidTimeError, match="available_at"):
            column_us(column, what="available_at")


def test_the_frontier_of_very_many_series_over_sixteen_years_does_not_overflow():
    """200,000 series x 16 years in microseconds is beyond 2**63: the lifted maximum must not wrap around."""
    n, years = 200_000, 16 * 365 * 86_400 * 10**6
    series = np.repeat(np.arange(n), 2)
    as_of = np.tile([years, 0], n).astype(np.int64)  # the second row is older: never served
    available = np.tile([years, years + 1], n).astype(np.int64)
    assert visible_frontier(series, as_of, available).tolist() == [True, False] * n
