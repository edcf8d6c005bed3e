"""
The audit of a frame against timefence's, in one process, alternated; what counts is the ratio.

    uv run --group bench python -m benchmarks.audit [--rows 100000] [--features 10] [--days 2600] [--rounds 5]

Synthetic numbers in a store that is thrown away: a value a day of every feature, known in the evening or the next morning. Two frames are
audited, an honest one, and one in which every tenth row holds the number of a later day. timefence rebuilds the frame from Parquet files
of the same vintages and compares; it is given one vintage a day, since it knows no revisions.
"""

import argparse
import datetime as dt
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import timefence

from benchmarks.table import Row, alternated, drawn
from hydra_assets.core.instants import DAY_US, to_us
from hydra_assets.proof import audit
from hydra_assets.storage.facts import Fact
from hydra_assets.storage.store import FeatureStore

START = to_us(dt.datetime(2015, 1, 1, tzinfo=dt.UTC))
HOUR_US = 3_600_000_000


def vintages(names: list[str], days: int) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Day, instant and value of every vintage of each feature."""
    rng = np.random.default_rng(0)
    as_of = START + np.arange(days) * DAY_US
    return {name: (as_of, as_of + rng.integers(14, 30, days) * HOUR_US, rng.standard_normal(days)) for name in names}


def fill(store: FeatureStore, held: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]) -> None:
    """Write the vintages."""
    now = START + 20_000 * DAY_US
    facts = ((Fact("HE", n, int(a), int(k), float(v)), False, now) for n, columns in held.items() for a, k, v in zip(*columns, strict=True))
    store.restore(facts)


def frames(store: FeatureStore, names: list[str], rows: int, days: int) -> dict[str, pd.DataFrame]:
    """An honest frame, and one with numbers of later days."""
    times = START + np.sort(np.random.default_rng(1).integers(40, days - 40, rows) * DAY_US + np.arange(rows) % 86_400 * 1_000_000)
    asked = pd.to_datetime(times, unit="us", utc=True)
    honest = store.get_training_frame(["HE"], [at.to_pydatetime() for at in asked], names).to_pandas()
    leaking = honest.copy()
    leaking.loc[::10, names] = honest[names].shift(-rows // 100).loc[::10].to_numpy()
    return {"honest": honest, "leaking": leaking}


def sources(folder: Path, held: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]) -> list[timefence.Feature]:
    """The same vintages as timefence reads them."""
    features = []
    for name, (_, available, value) in held.items():
        at = pd.to_datetime(available, unit="us")
        pd.DataFrame({"market": "HE", "at": at, name: value}).to_parquet(folder / f"{name}.parquet")
        source = timefence.ParquetSource(folder / f"{name}.parquet", keys=["market"], timestamp="at")
        features.append(timefence.Feature(source, columns=[name], name=name, on_duplicate="keep_any"))
    return features


def rows(*, rounds: int, long: bool = False, size: int = 100_000, features: int = 10, days: int = 2600) -> Iterator[Row]:
    """The audit of an honest and of a leaking frame of *size* rows."""
    names = [f"f{i:02d}" for i in range(features)]
    held = vintages(names, days)
    with tempfile.TemporaryDirectory() as folder, FeatureStore(Path(folder) / "s.sqlite", world="sample") as store:
        fill(store, held)
        theirs = sources(Path(folder), held)
        for kind, frame in frames(store, names, size, days).items():
            naive = frame.assign(time=frame["time"].dt.tz_localize(None)).rename(columns={name: f"{name}__{name}" for name in names})

            def by_hydra(frame: pd.DataFrame = frame) -> str:
                return audit(frame, store).verdict

            def by_timefence(naive: pd.DataFrame = naive) -> bool:
                return timefence.audit(
                    naive, theirs, keys=["market"], label_time="time", max_lookback="3650d", join="inclusive"
                ).has_leakage

            assert by_timefence() == (by_hydra() == "failed") == (kind == "leaking")
            ours, other = alternated(rounds, by_hydra, by_timefence)
            yield Row(f"frame audit, {size:,} x {features}, {kind}", ours, "timefence", other, most=0.25)


def main() -> None:
    """Print the table of these rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("rows", 100_000), ("features", 10), ("days", 2600), ("rounds", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    print(drawn(rows(rounds=given.rounds, size=given.rows, features=given.features, days=given.days)))


if __name__ == "__main__":
    main()
