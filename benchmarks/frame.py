"""
The training frame against other ways to join as of an instant, in one process, alternated; what counts are the ratios.

    uv run --group docs python benchmarks/frame.py [--markets 6] [--features 60] [--days 2600] [--times 12500] [--rounds 5] [--duckdb]

Synthetic numbers in a store that is thrown away: every feature has a value a day, a share of them revised, and (as in the real
tables) features of one family become known at the same instants. Polars is given the visible frontier, in memory and sorted, so
that its plain join answers rightly; finding that frontier is not on its bill. DuckDB reads the same frontier from Parquet.
"""

import argparse
import datetime as dt
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from hydra_assets.core.instants import DAY_US, instants, to_us
from hydra_assets.storage.facts import Fact
from hydra_assets.storage.store import FeatureStore

START = to_us(dt.datetime(2015, 1, 1, tzinfo=dt.UTC))
FAMILIES, REVISED = 4, 0.05


def fill(store: FeatureStore, markets: list[str], features: list[str], days: int) -> int:
    """Vintages of every series; how many."""
    dice, at = np.random.default_rng(0), START + days * 2 * DAY_US

    def recordings():
        for market in markets:
            for number, name in enumerate(features):
                family = np.random.default_rng(number % FAMILIES)
                late = family.integers(6, 30, days) * 3_600_000_000
                revised = np.flatnonzero(family.random(days) < REVISED)
                values = dice.standard_normal(days)
                for day in range(days):
                    as_of = START + day * DAY_US
                    yield Fact(market, name, as_of, as_of + int(late[day]), float(values[day])), False, at
                for day in revised.tolist():
                    as_of = START + day * DAY_US
                    yield Fact(market, name, as_of, as_of + 5 * DAY_US, float(values[day]) + 1.0), False, at

    return store.restore(recordings())


def frontier(store: FeatureStore, markets: list[str], features: list[str]) -> dict[str, pl.DataFrame]:
    """The table that Polars and DuckDB join against."""
    out = {}
    with store._table.snapshot():
        found = {market: store._frontiers(market, features, None) for market in markets}
    for name in features:
        parts = [
            pl.DataFrame({"market": [m] * len(found[m][name].value), "at": found[m][name].available_at, name: found[m][name].value})
            for m in markets
        ]
        out[name] = pl.concat(parts).sort("at")
    return out


def by_polars(asked: pl.DataFrame, right: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """A plain backward join, feature by feature."""
    joined = asked.sort("at")
    for table in right.values():
        joined = joined.join_asof(table, on="at", by="market", strategy="backward", check_sortedness=False)
    return joined.sort("row")


def by_duckdb(folder: Path, features: list[str]):
    import duckdb

    columns = ", ".join(f'f{i}."{name}"' for i, name in enumerate(features))
    joins = " ".join(
        f"ASOF LEFT JOIN '{folder}/{name}.parquet' f{i} ON asked.market = f{i}.market AND asked.at >= f{i}.at"
        for i, name in enumerate(features)
    )
    return duckdb.sql(f"SELECT {columns} FROM '{folder}/asked.parquet' asked {joins} ORDER BY asked.row").to_arrow_table()


def timed(call) -> tuple[float, object]:
    begun = time.perf_counter()
    answer = call()
    return time.perf_counter() - begun, answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("markets", 6), ("features", 60), ("days", 2600), ("times", 12_500), ("rounds", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--duckdb", action="store_true", help="DuckDB, too: minutes")
    given = parser.parse_args()
    markets, features = [f"M{n}" for n in range(given.markets)], [f"f{n:02d}" for n in range(given.features)]
    with tempfile.TemporaryDirectory() as base:
        folder = Path(base)
        with FeatureStore(folder / "store.sqlite", world="sample") as store:
            seconds, count = timed(lambda: fill(store, markets, features, given.days))
            print(f"{count:,} vintages, filled in {seconds:.1f} s; frame of {given.markets * given.times:,} x {given.features}", flush=True)
            moments = START + np.sort(np.random.default_rng(1).integers(0, given.days * DAY_US, given.times))
            pairs = pa.table({"market": np.repeat(markets, given.times).tolist(), "time": instants(np.tile(moments, given.markets))})
            cold, _ = timed(lambda: store.get_training_frame(pairs, features=features))
            right = frontier(store, markets, features)
            asked = pl.DataFrame(
                {"row": np.arange(pairs.num_rows), "market": pairs["market"].to_pylist(), "at": np.tile(moments, given.markets)}
            )
            for name, table in right.items():
                table.write_parquet(folder / f"{name}.parquet")
            asked.write_parquet(folder / "asked.parquet")
            ways = {
                "ours, warm": lambda: store.get_training_frame(pairs, features=features),
                "ours, warm, with_meta": lambda: store.get_training_frame(pairs, features=features, with_meta=True),
                "polars join_asof, in memory": lambda: by_polars(asked, right),
                "polars, the rows from parquet": lambda: [pl.read_parquet(folder / f"{name}.parquet") for name in features],
                "copy of the output": lambda: [np.array(column) for column in answer],
                **({"duckdb asof, parquet": lambda: by_duckdb(folder, features)} if given.duckdb else {}),
            }
            answer = [store.get_training_frame(pairs, features=features)[name].to_numpy() for name in features]
            polars = by_polars(asked, right)
            for name, column in zip(features, answer, strict=True):
                assert np.array_equal(column, polars[name].to_numpy(), equal_nan=True), name
            took: dict[str, list[float]] = {name: [] for name in ways}
            for _ in range(given.rounds):
                for name, call in ways.items():
                    took[name].append(timed(call)[0])
            reference = statistics.median(took["polars join_asof, in memory"])
            for name, seconds in {**{n: statistics.median(t) for n, t in took.items()}, "ours, cold (mirror made anew)": cold}.items():
                print(f"{name:<34}{seconds:9.4f} s {seconds / reference:8.3f} of polars join_asof", flush=True)
            points = {}
            for name, share in (("latest", 1.0), ("mid-history", 0.5), ("early", 0.05)):
                when = dt.datetime.fromtimestamp((START + given.days * DAY_US * share) / 1e6, dt.UTC)
                points[name] = statistics.median(timed(lambda when=when: store.get_features_at("M0", when))[0] for _ in range(50))
            for name, seconds in points.items():
                print(f"get_features_at, {name:<17}{seconds * 1e3:9.3f} ms {seconds / points['latest']:8.3f} of the latest", flush=True)
            mirror = sum(path.stat().st_size for path in folder.glob("*.arrow"))
            print(f"store {size_of(folder / 'store.sqlite'):,} bytes, mirror {mirror:,} bytes ({mirror / count:.0f} a vintage)")


def size_of(path: Path) -> int:
    """Bytes of a file."""
    return path.stat().st_size


if __name__ == "__main__":
    main()
