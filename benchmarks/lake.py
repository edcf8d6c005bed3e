"""
The lake beside plain Parquet: a durable write, the read of a year, the view known at an instant.

    uv run --group bench python -m benchmarks --only lake [--rounds 15]

Synthetic rows. Beside a write stands `pq.write_table` of the same rows with the same compression, checksums and fsyncs, and no lock, no
stamp, no check of the rows; beside a read Polars reading the same files, which checks no page.
"""

import datetime as dt
import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.table import Row, alternated
from hydra_assets.core.instants import DAY_US, INSTANT, to_us
from hydra_assets.storage.files import _WRITE
from hydra_assets.storage.lake import ParquetLake

TABLE, MARKET = "bench_rows", "HE"
COLUMNS = 20
YEAR = (dt.date(2025, 1, 1), dt.date(2025, 12, 31))


def month_rows(month: int, rows: int) -> pa.Table:
    """Rows of a month of 2025: an instrument a day, numbers and text."""
    rng, first = np.random.default_rng(month), to_us(dt.datetime(2025, month, 1, tzinfo=dt.UTC))
    as_of = first + np.arange(rows) % 28 * DAY_US
    columns: dict[str, object] = {"as_of": pa.array(as_of, INSTANT), "available_at": pa.array(as_of + DAY_US, INSTANT)}
    columns |= {"instrument": [f"HEZ{i}" for i in (np.arange(rows) // 28).tolist()], "quality": ["normal"] * rows}
    columns |= {f"c{i}": rng.standard_normal(rows) for i in range(COLUMNS - len(columns))}
    return pa.table(columns)


def synced(path: Path) -> None:
    """Sync a file or folder."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def plain_write(folder: Path, table: pa.Table) -> None:
    """The rows in a file that would survive a power cut."""
    file = folder / uuid.uuid4().hex
    pq.write_table(table, file, **_WRITE)
    synced(file)
    file.rename(f"{file}.parquet")
    synced(folder)


def writes(rounds: int, rows: int, most: float) -> Iterator[Row]:
    """A durable write of *rows* rows."""
    table, day = month_rows(1, rows), dt.datetime(2025, 1, 31, tzinfo=dt.UTC)
    with tempfile.TemporaryDirectory() as base:
        lake, plain = ParquetLake(Path(base) / "lake"), Path(base) / "plain"
        plain.mkdir()
        lake.write(table, TABLE, MARKET, day)
        ours, other = alternated(rounds, lambda: lake.write(table, TABLE, MARKET, day), lambda: plain_write(plain, table))
        yield Row(f"lake: durable write, {rows:,} x {COLUMNS}", ours, "pq.write_table, fsyncs", other, most=most)


def reads(rounds: int, rows: int) -> Iterator[Row]:
    """The read of a year of *rows* rows a month, first and again, and the view known at its end."""
    known_at = dt.datetime(2026, 1, 31, tzinfo=dt.UTC)
    with tempfile.TemporaryDirectory() as base:
        lake = ParquetLake(Path(base) / "lake")
        for month in range(1, 13):
            lake.write(month_rows(month, rows), TABLE, MARKET, dt.date(2025, month, 1))
        files = sorted((Path(base) / "lake").rglob("*.parquet"))
        named = f"{12 * rows:,} x {COLUMNS}"

        def known() -> pa.Table:
            return lake.read_known(TABLE, MARKET, known_at, key=["instrument"], start=YEAR[0], end=YEAR[1])

        assert known().num_rows == 12 * rows
        first, again, view, other = alternated(
            rounds,
            lambda: ParquetLake(Path(base) / "lake").read(TABLE, MARKET, *YEAR),
            lambda: lake.read(TABLE, MARKET, *YEAR),
            known,
            lambda: pl.read_parquet(files),
        )
        yield Row(f"lake: read of a year, {named}", first, "Polars", other, most=1.1)
        yield Row("  again by the same lake", again, "Polars", other)
        yield Row(f"lake: read_known of a year, {named}", view, "read again, held too", again, most=1.3)


def rows(*, rounds: int, long: bool = False) -> Iterator[Row]:
    """Writes and reads."""
    for size, most in ((3_000, 1.4), (63_000, 1.15)):
        yield from writes(rounds, size, most)
    for size in (3_000, 40_000):
        yield from reads(rounds, size)
