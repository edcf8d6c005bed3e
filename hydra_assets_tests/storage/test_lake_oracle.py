"""The lake's point-in-time reads against the plainest possible oracle, and non-interference."""

import datetime as dt
import shutil
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hydra_assets.core.instants import instants
from hydra_assets.storage.capture import Look
from hydra_assets.storage.lake import ParquetLake
from hydra_assets_tests.storage.conftest import STORAGES

FEB = dt.date(2026, 2, 1)
BASE = dt.datetime(2026, 2, 3, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
ROW = st.tuples(st.sampled_from(["x", "y"]), st.integers(0, 3), st.integers(0, 12), st.integers(0, 2))  # code, as_of, lag in hours, value


def table(rows):
    as_of = [BASE + a * DAY for _, a, _, _ in rows]
    available = [t + dt.timedelta(hours=6 * lag) for t, (_, _, lag, _) in zip(as_of, rows, strict=True)]
    return pa.table(
        {
            "code": pa.array([c for c, *_ in rows], pa.string()),
            "as_of": instants([int(t.timestamp() * 1e6) for t in as_of]),
            "available_at": instants([int(t.timestamp() * 1e6) for t in available]),
            "value": pa.array([v for *_, v in rows], pa.int64()),
        }
    )


def oracle(batches, when):
    newest = {}
    for rows in batches:
        for row in table(rows).to_pylist():
            newest[row["code"], row["as_of"], row["available_at"]] = row["value"]  # a later recording of one vintage wins
    best = {}
    for (code, as_of, available), value in newest.items():
        if available <= when and ((code, as_of) not in best or available > best[code, as_of][0]):
            best[code, as_of] = (available, value)
    return {key: value for key, (_, value) in best.items()}


@pytest.mark.parametrize("kind", STORAGES)
@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(ROW, min_size=1, max_size=5), max_size=4), st.integers(0, 20), st.lists(ROW, max_size=5))
def test_read_known_is_the_rule_and_later_rows_change_nothing(kind, batches, hours, later):
    root = Path(tempfile.mkdtemp())
    try:
        lake, when = ParquetLake(storage=STORAGES[kind](root), world="sample"), BASE + dt.timedelta(hours=6 * hours)
        for rows in batches:
            lake.write(table(rows), "t", "HE", FEB)

        def known():
            return {(r["code"], r["as_of"]): r["value"] for r in lake.read_known("t", "HE", when, key=["code"]).to_pylist()}

        answer = known()
        assert answer == oracle(batches, when)
        after = [row for row in later if table([row])["available_at"][0].as_py() > when]
        if after:
            lake.write(table(after), "t", "HE", FEB)
        assert known() == answer
    finally:
        shutil.rmtree(root)


@pytest.mark.parametrize("kind", STORAGES)
@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.lists(ROW, max_size=4), st.integers(0, 30)), max_size=5))
def test_captures_never_change_an_earlier_answer(kind, looks):
    """Whatever is downloaded again, an answer at an instant before the look was made stays."""
    root = Path(tempfile.mkdtemp())
    try:
        lake, seen, promises = ParquetLake(storage=STORAGES[kind](root), world="sample"), BASE + 10 * DAY, []
        for rows, hours in looks:
            seen += dt.timedelta(hours=hours + 1)
            distinct = list({(c, a): (c, a, lag, v) for c, a, lag, v in rows}.values())
            look = Look("cftc", FEB, dt.date(2026, 2, 28), ["x", "y"], seen)
            lake.append_new(table(distinct), "t", "HE", FEB, key=["code"], stamps="ours", look=look)
            for when, answer in promises:
                now = lake.read_known("t", "HE", when, key=["code"]).sort_by([("code", "ascending"), ("as_of", "ascending")])
                assert now.equals(answer)
            promises.append((seen, lake.read_known("t", "HE", seen, key=["code"]).sort_by([("code", "ascending"), ("as_of", "ascending")])))
    finally:
        shutil.rmtree(root)
