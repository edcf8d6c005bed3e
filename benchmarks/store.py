"""
Writes of a store against a bare `executemany` of the same rows into the same table, and what reads of its file take.

    uv run --group bench python -m benchmarks --only store
    uv run --group bench python -m benchmarks.store [--features 60] [--days 2500] [--rounds 5]

The bare table has the store's columns, key, constraints and journal, and no checksums, seals or clock; its rows are tuples made
beforehand. The store is given an Arrow table, as a computation gives it.
"""

import argparse
import datetime as dt
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.table import Row, alternated, drawn, wall
from hydra_assets.core.instants import DAY_US, from_us, instants, to_us
from hydra_assets.storage.sqlite.file import configure
from hydra_assets.storage.sqlite.migrations import STEPS
from hydra_assets.storage.store import FeatureStore

START = to_us(dt.datetime(2015, 1, 5, tzinfo=dt.UTC))
MONTH = 21


def batch(market: str, features: int, first: int, days: int) -> pa.Table:
    """Days of every feature, known ten hours later."""
    as_of = np.tile(START + (first + np.arange(days)) * DAY_US, features)
    n = len(as_of)
    return pa.table(
        {
            "market": [market] * n,
            "feature_name": np.repeat([f"f{number:02d}" for number in range(features)], days).tolist(),
            "as_of": instants(as_of),
            "available_at": instants(as_of + 36_000_000_000),
            "value": np.random.default_rng(first).standard_normal(n),
            "quality": ["normal"] * n,
        }
    )


class Bare:
    """The store's table of facts without the store."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        configure(self._db, 60.0)
        for statement in STEPS[0].split(";\n"):
            if statement.strip():
                self._db.execute(statement)
        self._series: dict[tuple[str, str], int] = {}

    def rows(self, table: pa.Table) -> list[tuple]:
        """The rows to insert, made beforehand; their series are there."""
        stamps = (table[name].cast(pa.int64()).to_pylist() for name in ("as_of", "available_at"))
        made = []
        cells = (table["market"].to_pylist(), table["feature_name"].to_pylist(), *stamps, table["value"].to_pylist())
        for market, name, as_of, available, value in zip(*cells, strict=True):
            series = self._series.setdefault((market, name), len(self._series) + 1)
            made.append((series, as_of, available, 1_790_000_000_000_000, value, "normal", 0, 3_000_000_000))
        known = [(series, *name) for name, series in self._series.items()]
        self._db.executemany("INSERT OR IGNORE INTO series VALUES (?, ?, ?)", known)
        return made

    def write(self, rows: list[tuple]) -> None:
        """One transaction."""
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany("INSERT INTO facts VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        self._db.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def rows(*, rounds: int, long: bool = False, features: int = 60, days: int = 2500) -> Iterator[Row]:
    """The lines of the store."""
    with tempfile.TemporaryDirectory() as base:
        path = Path(base) / "store.sqlite"
        with FeatureStore(path, world="sample") as store, closing(Bare(Path(base) / "bare.sqlite")) as bare:
            yield from _writes(store, bare, rounds, features, days)
            yield from _small(store, features, days, rounds)

        def first_read() -> None:
            with FeatureStore(path) as opened:
                opened.get_features_at("HE", from_us(START + days * DAY_US))

        opened, read = alternated(rounds, lambda: FeatureStore(path).close(), first_read)
        yield Row("store: open", opened)
        yield Row("store: open and first point read", read)


def _writes(store: FeatureStore, bare: Bare, rounds: int, features: int, days: int) -> Iterator[Row]:
    """Batches, each of a market or month of its own."""
    markets, months = (iter(range(10**6)) for _ in range(2))
    given: dict[str, object] = {}

    def prepared(make: Callable[[], pa.Table]) -> Callable[[], None]:
        def prepare() -> None:
            given["table"] = make()
            given["rows"] = bare.rows(given["table"])

        return prepare

    def ours() -> None:
        given["last"] = given["table"]
        assert store.write_features(given["table"]) == len(given["table"])

    def theirs() -> None:
        bare.write(given["rows"])

    def again() -> None:
        assert store.write_features(given["last"]) == 0

    new_market = prepared(lambda: batch(f"M{next(markets)}", features, 0, days))
    first, executed, second = alternated(rounds, ours, theirs, again, before=new_market)
    count = features * days
    yield Row(f"store: {count:,} new rows", first, "bare executemany", executed, most=1.5)
    yield Row(f"store: the same {count:,} rows again", second, "the first time", first, most=0.3)
    for each in (store.write_features, lambda table: bare.write(bare.rows(table))):
        each(batch("HE", features, 0, days))
    new_month = prepared(lambda: batch("HE", features, days + MONTH * next(months), MONTH))
    month, executed = alternated(rounds, ours, theirs, before=new_month)
    yield Row(f"store: {features * MONTH:,} new rows, a month's batch", month, "bare executemany", executed, most=1.5)


def _small(store: FeatureStore, features: int, days: int, rounds: int) -> Iterator[Row]:
    """One fact, one day, and reads."""
    late, early = from_us(START + days * DAY_US), from_us(START + days // 2 * DAY_US)
    fresh = iter(range(20_000, 10**6))
    (one,) = alternated(rounds, lambda: store.write_features(batch("HE", 1, next(fresh), 1)), clock=wall)
    yield Row("store: one new row, waiting for the disk", one)
    (day,) = alternated(rounds, lambda: store.write_features(batch("HE", features, next(fresh), 1)), clock=wall)
    yield Row(f"store: a day of {features} new rows, waiting for the disk", day)
    latest, middle = alternated(rounds, lambda: store.get_features_at("HE", late), lambda: store.get_features_at("HE", early))
    yield Row("store: point read, latest", latest)
    yield Row("store: point read, mid-history", middle, "the latest", latest)
    (history,) = alternated(rounds, lambda: store.get_feature_history("HE", "f00", from_us(START), late))
    yield Row(f"store: history of {days:,} days", history)


def main() -> None:
    """Print the table of these rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("features", 60), ("days", 2500), ("rounds", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    print(drawn(rows(rounds=given.rounds, features=given.features, days=given.days)))


if __name__ == "__main__":
    main()
