"""
Timings of a store's file: open, write, point read (first and warm), history and frame; medians in milliseconds.

    python benchmarks/store.py [features] [days]
"""

import datetime as dt
import statistics
import sys
import tempfile
import time
from pathlib import Path

from hydra_assets.storage.store import FeatureStore

FIRST = dt.datetime(2010, 1, 4, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


def median_ms(act, times: int) -> float:
    """The median duration of *times* calls."""
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        act()
        found.append(1000 * (time.perf_counter() - begun))
    return statistics.median(found)


def row(market: str, feature: int, day: int, value: float) -> dict:
    """One row of a feature, known a day later."""
    at = FIRST + day * DAY
    return {"market": market, "feature_name": f"f{feature}", "as_of": at, "available_at": at + DAY, "value": value}


def main(features: int = 60, days: int = 2000) -> None:
    """Fill a store of two markets and print one line a measure."""
    path = Path(tempfile.mkdtemp()) / "store.sqlite"
    late, early = FIRST + (days + 10) * DAY, FIRST + (days // 2) * DAY
    with FeatureStore(path) as store:
        begun = time.perf_counter()
        for market in ("HE", "LE"):
            store.write_features(row(market, f, day, day * 0.5) for f in range(features) for day in range(days))
        print(f"fill {2 * features * days:,} rows: {1000 * (time.perf_counter() - begun):,.0f}")
        count = iter(range(10**6))
        print(f"write one: {median_ms(lambda: store.write_feature(**row('HE', 0, days + next(count), 1.0)), 100):.2f}")
        batch = iter(range(days + 200, 10**6))

        def write() -> None:
            day = next(batch)
            store.write_features([row("HE", f, day, 1.0) for f in range(features)])

        print(f"write a day of {features}: {median_ms(write, 50):.2f}")
        print(f"point read, warm, latest: {median_ms(lambda: store.get_features_at('HE', late), 200):.3f}")
        print(f"point read, warm, mid-history: {median_ms(lambda: store.get_features_at('HE', early), 200):.3f}")
        print(f"history: {median_ms(lambda: store.get_feature_history('HE', 'f0', FIRST, late), 20):.2f}")
        print(f"frame, warm: {median_ms(lambda: store.get_training_frame(['HE'], [late, early]), 20):.3f}")
    print(f"open: {median_ms(lambda: FeatureStore(path).close(), 50):.2f}")

    def first_read() -> None:
        with FeatureStore(path) as opened:
            opened.get_features_at("HE", late)

    def first_frame() -> None:
        with FeatureStore(path) as opened:
            opened.get_training_frame(["HE"], [late, early])

    print(f"open and first point read: {median_ms(first_read, 10):.2f}")
    print(f"open and first frame, mirror there: {median_ms(first_frame, 10):.2f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
