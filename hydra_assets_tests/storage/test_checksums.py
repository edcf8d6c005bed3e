"""The checksum of a row of facts, as a read compares it: it misses no changed cell."""

import contextlib
import sqlite3

import numpy as np
import pytest

from hydra_assets.core.tables.table import QUALITIES
from hydra_assets.errors import CorruptionError
from hydra_assets.storage.facts import crc
from hydra_assets.storage.sqlite.fact_table import SqliteFactTable
from hydra_assets.storage.sqlite.rows import COLUMNS, ChecksumError, columns_of

SERIES = 7


@pytest.fixture(scope="module", params=["rows", "columns"])
def all_right(request, tmp_path_factory):
    """Whether a read takes every one of some rows of a series for the row that was written: row by row, and in columns."""
    with SqliteFactTable(tmp_path_factory.mktemp("rows") / "store.sqlite") as table:

        def in_rows(series, held):
            for row in held:
                table._checked(series, row, "HE a")

        def in_columns(series, held):
            with contextlib.closing(sqlite3.connect(":memory:")) as db:
                db.execute("CREATE TABLE facts(series_id, as_of, available_at, recorded_at, value, quality, retracted, crc)")
                db.executemany("INSERT INTO facts VALUES (?, ?, ?, ?, ?, ?, ?, ?)", [(series, *row) for row in held])
                columns_of(db.execute(f"SELECT {COLUMNS} FROM facts"))

        def right(series, held):
            try:
                {"rows": in_rows, "columns": in_columns}[request.param](series, held)
            except (ChecksumError, CorruptionError, OverflowError):
                return False
            return True

        yield right


def rows(n=200):
    rng = np.random.default_rng(3)
    made = []
    for _ in range(n):
        stamps = [int(x) for x in rng.integers(-(2**60), 2**60, 3)]
        value = None if rng.random() < 0.2 else float(rng.choice([0.0, -0.0, 1.5, -3e300, 5e-324]) * rng.random())
        quality, retracted = QUALITIES[rng.integers(len(QUALITIES))], int(rng.random() < 0.3)
        made.append([*stamps, value, quality, retracted, crc(SERIES, *stamps, value, quality, retracted)])
    return made


def test_rows_as_written_are_right(all_right):
    assert all_right(SERIES, rows())
    assert all_right(SERIES, rows(1))
    assert all_right(SERIES, [])
    assert not all_right(SERIES + 1, rows())


@pytest.mark.parametrize("column", range(7))
def test_a_changed_cell_is_seen(all_right, column):
    changed = {3: 2.5, 4: "stale?"}.get(column, 12345)
    for place in (0, 77, 199):
        held = rows()
        held[place][column] = 1 - held[place][5] if column == 5 else changed
        assert not all_right(SERIES, held)


@pytest.mark.parametrize("damage", [(0, "text"), (3, b"blob"), (4, None), (4, 3), (5, 7000), (0, 2**70)])
def test_a_cell_of_another_kind_is_not_right(all_right, damage):
    column, content = damage
    held = rows()
    held[5][column] = content
    assert not all_right(SERIES, held)
