"""
Cost of the guards of a store's file, each measure with and without them in one run, alternately: CPU and wall, medians, milliseconds.

The guards: seals of blocks, the mark after each commit, and the check of the journal as a file is opened.

    python benchmarks/guards.py [features] [days]
"""

import contextlib
import datetime as dt
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from unittest import mock

from hydra_assets.storage.sqlite import file
from hydra_assets.storage.sqlite.fact_table import SqliteFactTable
from hydra_assets.storage.store import FeatureStore

FIRST = dt.datetime(2010, 1, 4, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


@contextlib.contextmanager
def without_guards() -> Iterator[None]:
    """The same code with its guards taken out."""
    with (
        mock.patch.object(SqliteFactTable, "_verify", return_value=None),
        mock.patch.object(SqliteFactTable, "_mark", return_value=None),
        mock.patch.object(file, "check_journal", return_value=None),
    ):
        yield


def rows(features: int, day: int) -> list[dict]:
    """One day of all features, known a day later."""
    at = FIRST + day * DAY
    return [{"market": "HE", "feature_name": f"f{n}", "as_of": at, "available_at": at + DAY, "value": 1.0} for n in range(features)]


def compare(name: str, act: Callable[[], object], times: int) -> None:
    """Print the medians of *act* without and with the guards."""
    found: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    for _ in range(times):
        for guarded in (False, True):
            with contextlib.nullcontext() if guarded else without_guards():
                cpu, wall = time.process_time(), time.perf_counter()
                act()
                found[guarded].append((time.process_time() - cpu, time.perf_counter() - wall))
    cells = [1000 * statistics.median(each[axis] for each in found[guarded]) for axis in (0, 1) for guarded in (False, True)]
    print(f"{name:<36}cpu {cells[0]:8.3f} -> {cells[1]:8.3f}   wall {cells[2]:8.3f} -> {cells[3]:8.3f}")


def main(features: int = 60, days: int = 4000) -> None:
    """Fill a store and print one line a measure: without -> with guards."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.sqlite"
        late, early = FIRST + (days + 1) * DAY, FIRST + days // 2 * DAY
        with FeatureStore(path) as store:
            store.write_features([row for day in range(days) for row in rows(features, day)])

        def first(time: dt.datetime) -> None:
            with FeatureStore(path) as opened:
                opened.get_features_at("HE", time)

        compare("open", lambda: FeatureStore(path).close(), 30)
        compare("open and first point read, latest", lambda: first(late), 15)
        compare("open and first point read, mid", lambda: first(early), 15)
        numbers = count(days + 10)
        with FeatureStore(path) as store:
            compare("point read, warm", lambda: store.get_features_at("HE", late), 200)
            compare("write one", lambda: store.write_features(rows(1, next(numbers))), 60)
            compare(f"write a day of {features}", lambda: store.write_features(rows(features, next(numbers))), 40)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
