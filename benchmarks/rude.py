"""
A backfill of whole years against the rude embedded vendor: what was inferred, set aside and missing, year by year.

    uv run python benchmarks/rude.py [--first 2016-01] [--last 2025-12] [--markets HE,ZC]

All raw tables, derived tables and features, without Dagster, in a home of its own that is thrown away. Every behaviour of the rude
vendor is on; only its delays, and our own before a retry, are shortened. Everything is synthetic, but for the CFTC's lean-hogs rows
of 2025.
"""

import argparse
import collections
import itertools
import os
import re
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from hydra_assets.config.home import Home
from hydra_assets.config.load import load_config
from hydra_assets.core.months import Month, months_between
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.features.registry import FAMILIES
from hydra_assets.flow.derive import DERIVATIONS, derived_months
from hydra_assets.flow.feed import fetch_all, held_days, keep
from hydra_assets.flow.feeds.registry import FEEDS
from hydra_assets.flow.publish import batch_of, compute_months, publish_month
from hydra_assets.sources import http
from hydra_assets.sources.ledger import Ledger
from hydra_assets.storage.lake import ParquetLake
from hydra_assets.storage.store import FeatureStore

SETTINGS = "sample: {rude: all, first_byte_s: 0.02, bytes_per_s: 50000000}\n"
Years = dict[tuple[str, int], collections.Counter]


def raw(home: Home, markets: list[str], months: list[Month], years: Years, reasons: collections.Counter[str]) -> None:
    """Fetch, parse and append the raw tables year by year; count what was set aside, and what could not be had."""
    config, lake = load_config(), ParquetLake(home.lake, world="sample")
    for feed in FEEDS.values():
        with feed.open(home, config) as source, Ledger(home.ledger) as ledger:
            for table, symbol in itertools.product(feed.tables, markets):
                rows, records, begun = 0, 0, time.perf_counter()
                for year, group in itertools.groupby(months, key=lambda month: month.year):
                    plans, fetched = fetch_all(feed, source, lake, table, {config.market(symbol): list(group)}, config)
                    rows += sum(keep(batch, lake, ledger) for batch in feed.batches(fetched, lake))
                    records += fetched.records
                    counts = years[table.name, year]
                    counts["quarantined"] += len(fetched.quarantined)
                    counts["refused"] += len(fetched.refused)
                    counts["gap"] += sum(len(getattr(plan, "gaps", ())) for plan in plans)
                    for record in fetched.quarantined:
                        reasons[f"{table.name}: {kind_of(record)}"] += 1
                print(f"{symbol} {table.name:<20}{rows:>10,} rows{records:>12,} records{seconds(begun)}", flush=True)


def kind_of(record: object) -> str:
    """The reason of a quarantined record without its names and numbers."""
    reason = str(getattr(record, "reason", record))
    return re.sub(r"[-+:T.Z\d]*\d[-+:T.Z\d]*", "#", reason.split("): ")[-1])


def seconds(begun: float) -> str:
    """Seconds since *begun*."""
    return f"{time.perf_counter() - begun:9.1f} s"


def computed(home: Home, markets: list[str], months: list[Month]) -> None:
    """Derived tables and the features of all families."""
    config, lake = load_config(), ParquetLake(home.lake, world="sample")
    with FeatureStore(home.store, world="sample") as store:
        for symbol in markets:
            for name in DERIVATIONS:
                for batch in derived_months(lake, name, symbol, months, config.option_rules):
                    batch.append(lake)
            for family in FAMILIES:
                begun, facts = time.perf_counter(), 0
                for month in compute_months(lake, family, symbol, months, config.option_rules):
                    facts += publish_month(store, family, symbol, month)
                    batch_of(family, symbol, month).append(lake)
                print(f"{symbol} {family:<20}{facts:>10,} vintages{seconds(begun)}", flush=True)


def held(home: Home, markets: list[str], months: list[Month], years: Years) -> None:
    """Count the rows by quality, and sessions without a row."""
    config, lake = load_config(), ParquetLake(home.lake, world="sample")
    for name, table in TABLES.items():
        for symbol in markets:
            rows = lake.read(name, symbol, months[0].first, months[-1].last)
            if not rows.num_rows:
                continue
            year = np.asarray(pc.year(rows["as_of"]))
            quality = rows["quality"].to_numpy(zero_copy_only=False) if "quality" in rows.column_names else np.full(len(year), "normal")
            for y, q in zip(year.tolist(), quality.tolist(), strict=True):
                years[name, y]["rows"] += 1
                years[name, y]["null" if q == "missing" else q] += 1
            for month in months:
                calendar = config.market(symbol).calendar
                if table.cadence == "daily":
                    sessions = set(calendar.session_days(month.first, month.last))
                    years[name, month.year]["absent"] += len(sessions - held_days(lake, table, symbol, month.first, month.last))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", default="2016-01")
    parser.add_argument("--last", default="2025-12")
    parser.add_argument("--markets", default="HE,ZC")
    wanted = parser.parse_args()
    http.FIRST_WAIT_S = 0.02
    months, markets = months_between(wanted.first, wanted.last), wanted.markets.split(",")
    years: Years = collections.defaultdict(collections.Counter)
    reasons: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HYDRA_HOME"] = folder
        home = Home("sample", Path(folder) / "sample")
        home.root.mkdir(parents=True)
        (Path(folder) / "config.yaml").write_text(SETTINGS)
        raw(home, markets, months, years, reasons)
        computed(home, markets, months)
        held(home, markets, months, years)
        columns = ("rows", "normal", "partial", "degraded", "null", "absent", "quarantined", "refused", "gap")
        print(f"\n{'table':<22}{'year':>6}" + "".join(f"{column:>13}" for column in columns))
        for (name, year), counts in sorted(years.items()):
            print(f"{name:<22}{year:>6}" + "".join(f"{counts[column]:>13,}" for column in columns))
        print("\nquarantined, by reason")
        for reason, number in reasons.most_common(30):
            print(f"{number:>8,}  {reason[:120]}")
        with Ledger(home.ledger) as ledger:
            print(f"\nledger: {len(ledger.requests())} requests, ${ledger.spent():,.4f} (synthetic prices)")


if __name__ == "__main__":
    main()
