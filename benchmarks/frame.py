"""
The training frame against other ways to join as of an instant.

    uv run --group bench python -m benchmarks --only frame
    uv run --group bench python -m benchmarks.frame [--markets 30] [--features 60] [--days 2480] [--times 2500] [--rounds 5] [--duckdb]

Synthetic numbers in a store that is thrown away: every feature has a value a day, a share of them revised, some recorded again, and (as
in the real tables) features of one family become known at the same instants. Polars is given the visible frontier, in memory and sorted,
so that its plain join answers rightly; finding that frontier is not on its bill. DuckDB reads the same frontier from Parquet.
"""

import argparse
import datetime as dt
import sqlite3
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from benchmarks.table import Row, alternated, drawn
from hydra_assets.core.instants import DAY_US, instants, to_us
from hydra_assets.storage.store import FeatureStore

START = to_us(dt.datetime(2015, 1, 1, tzinfo=dt.UTC))
FAMILIES, REVISED, RECORDED_AGAIN = 4, 0.05, 0.01
HOUR_US = 3_600_000_000


def fill(store: FeatureStore, markets: list[str], features: list[str], days: int) -> dt.datetime:
    """Write all vintages, and record some again; the instant in between."""
    rng = np.random.default_rng(0)
    for market in markets:
        parts = []
        for number, name in enumerate(features):
            family = np.random.default_rng(number % FAMILIES)
            as_of, value = START + np.arange(days) * DAY_US, rng.standard_normal(days)
            late = family.integers(6, 30, days) * HOUR_US
            revised = np.flatnonzero(family.random(days) < REVISED)
            stamps = np.concatenate([as_of, as_of[revised]]), np.concatenate([as_of + late, as_of[revised] + 5 * DAY_US])
            parts.append(_table(market, name, *stamps, np.concatenate([value, value[revised] + 1])))
        store.write_features(pa.concat_tables(parts))
    between = store.newest_recorded()
    for market in markets:
        table = store.vintages(market)
        again = np.sort(rng.choice(table.num_rows, int(table.num_rows * RECORDED_AGAIN), replace=False))
        some = table.take(again)
        store.write_features(some.set_column(some.column_names.index("value"), "value", pa.array(rng.standard_normal(len(again)))))
    return between


def _table(market: str, name: str, as_of: np.ndarray, available: np.ndarray, value: np.ndarray) -> pa.Table:
    n = len(value)
    stamps = {"as_of": instants(as_of), "available_at": instants(available)}
    return pa.table({"market": [market] * n, "feature_name": [name] * n, **stamps, "value": value, "quality": ["normal"] * n})


def frontier(store: FeatureStore, markets: list[str], features: list[str]) -> dict[str, pl.DataFrame]:
    """The table that Polars and DuckDB join against."""
    held = {market: store.series(market) for market in markets}
    out = {}
    for name in features:
        parts = []
        for market in markets:
            found = held[market][name].frontier()
            parts.append(pl.DataFrame({"market": [market] * len(found.value), "at": found.available_at, name: found.value}))
        out[name] = pl.concat(parts).sort("at")
    return out


def by_polars(asked: pl.DataFrame, right: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """A plain backward join, feature by feature."""
    joined = asked.sort("at")
    for table in right.values():
        joined = joined.join_asof(table, on="at", by="market", strategy="backward", check_sortedness=False)
    return joined.sort("row")


def by_duckdb(folder: Path, features: list[str]) -> pa.Table:
    """An ASOF join from Parquet, feature by feature."""
    import duckdb

    columns = ", ".join(f'f{i}."{name}"' for i, name in enumerate(features))
    joins = " ".join(
        f"ASOF LEFT JOIN '{folder}/{name}.parquet' f{i} ON asked.market = f{i}.market AND asked.at >= f{i}.at"
        for i, name in enumerate(features)
    )
    return duckdb.sql(f"SELECT {columns} FROM '{folder}/asked.parquet' asked {joins} ORDER BY asked.row").to_arrow_table()


def peak_bytes(work: Callable[[], object]) -> int:
    """The most memory that *work* had at a time in Python, numpy and Arrow."""
    arrow = pa.total_allocated_bytes()
    tracemalloc.start()
    answer = work()
    peak = tracemalloc.get_traced_memory()[1] + pa.total_allocated_bytes() - arrow
    tracemalloc.stop()
    del answer
    return peak


def rows(
    *, rounds: int, long: bool = False, markets: int = 30, features: int = 60, days: int = 2480, times: int = 2500, duckdb: bool = False
) -> Iterator[Row]:
    """The lines of the frame."""
    symbols, names = [f"M{n:02d}" for n in range(markets)], [f"f{n:02d}" for n in range(features)]
    with tempfile.TemporaryDirectory() as base:
        folder, path = Path(base), Path(base) / "store.sqlite"
        with FeatureStore(path, world="sample") as store:
            between = fill(store, symbols, names, days)
            moments = START + np.sort(np.random.default_rng(1).integers(0, days * DAY_US, times))
            pairs = pa.table({"market": np.repeat(symbols, times).tolist(), "time": instants(np.tile(moments, markets))})
            right = frontier(store, symbols, names)
            asked = pl.DataFrame({"row": np.arange(len(pairs)), "market": pairs["market"].to_pylist(), "at": np.tile(moments, markets)})
            yield from _warm(store, pairs, names, between, asked, right, rounds)
            if duckdb:
                for name, table in right.items():
                    table.write_parquet(folder / f"{name}.parquet")
                asked.write_parquet(folder / "asked.parquet")
                took = alternated(1, lambda: store.get_training_frame(pairs, features=names), lambda: by_duckdb(folder, names))
                yield Row("frame, warm", took[0], "DuckDB ASOF, Parquet", took[1])
            every = pa.concat_tables([store.vintages(market) for market in symbols])
        count = every.num_rows
        pl.DataFrame(every).write_parquet(folder / "every.parquet")
        del every

        def first() -> pa.Table:
            with FeatureStore(path) as opened:
                return opened.get_training_frame(pairs, features=names)

        def lost() -> pa.Table:
            for mirror in folder.glob("*.mirror-*"):
                mirror.unlink()
            return first()

        def select() -> int:
            with closing(sqlite3.connect(path)) as db:
                return sum(1 for _ in db.execute("SELECT * FROM facts"))

        ours, other = alternated(rounds, first, lambda: by_polars(asked, right))
        yield Row(f"first frame after a start, {count:,} vintages in the mirror", ours, "Polars join_asof", other, most=0.6)
        ours, other, floor = alternated(min(rounds, 3), lost, lambda: pl.read_parquet(folder / "every.parquet"), select)
        yield Row(f"mirror lost, {count:,} vintages from SQLite", ours, "Polars reads them from Parquet", other, most=1.5)
        yield Row("mirror lost", ours, "SELECT of the rows alone", floor)


def _warm(
    store: FeatureStore,
    pairs: pa.Table,
    names: list[str],
    between: dt.datetime,
    asked: pl.DataFrame,
    right: dict[str, pl.DataFrame],
    rounds: int,
) -> Iterator[Row]:
    """The lines of a store that has answered before."""
    earlier = iter(between - dt.timedelta(microseconds=n) for n in range(10**6))

    def ours(**more: object) -> pa.Table:
        return store.get_training_frame(pairs, features=names, **more)

    answer, polars = ours(), by_polars(asked, right)
    columns = [answer[name].to_numpy() for name in names]
    for name, column in zip(names, columns, strict=True):
        assert np.array_equal(column, polars[name].to_numpy(), equal_nan=True), name
    took = alternated(rounds, ours, lambda: by_polars(asked, right), lambda: [np.array(column) for column in columns])
    size = f"{len(pairs):,} x {len(names)}"
    yield Row(f"frame, warm, {size}", took[0], "Polars join_asof", took[1], most=0.3)
    yield Row("frame, warm", took[0], "copy of the output", took[2])
    options = {
        "recorded_by, always an instant not requested before": (lambda: ours(recorded_by=next(earlier)), 3.0),
        "max_age": (lambda: ours(max_age=dt.timedelta(days=3)), 2.0),
        "delay": (lambda: ours(delay=dt.timedelta(hours=2)), 2.0),
        "with_meta": (lambda: ours(with_meta=True), 2.0),
    }
    for name, (work, most) in options.items():
        first, plain = alternated(rounds, work, ours)
        yield Row(f"frame, {name}", first, "the frame, warm", plain, most=most)
    yield Row("frame, warm, peak memory", peak_bytes(ours) / 1e6, "the result", answer.nbytes / 1e6, most=3, unit="MB")


def main() -> None:
    """Print the table of these rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("markets", 30), ("features", 60), ("days", 2480), ("times", 2500), ("rounds", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--duckdb", action="store_true", help="DuckDB, too: minutes")
    given = parser.parse_args()
    sizes = {name: getattr(given, name) for name in ("markets", "features", "days", "times")}
    print(drawn(rows(rounds=given.rounds, duckdb=given.duckdb, **sizes)))


if __name__ == "__main__":
    main()
