"""
Ten years of one market from the embedded vendor: where the seconds go, ours and Dagster's.

    uv run python benchmarks/futures.py [--first 2016-01] [--last 2025-12] [--dagster]

Without --dagster: plan, fetch, parse and append of the raw tables, the continuous series, features computed, audited and published,
in this process. With it: the same partitions through one Dagster run, and a run of as many no-op assets over as many partitions to
compare with. Everything is synthetic, in a home of its own that is thrown away.
"""

import argparse
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from hydra_assets.config.home import Home
from hydra_assets.config.load import load_config
from hydra_assets.core.months import Month, months_between
from hydra_assets.flow.derive import derived_months
from hydra_assets.flow.feed import fetch_all, keep
from hydra_assets.flow.feeds.databento import DATABENTO
from hydra_assets.flow.publish import compute_months, publish_month
from hydra_assets.sources.ledger import Ledger
from hydra_assets.storage.lake import ParquetLake
from hydra_assets.storage.store import FeatureStore

MARKET = "HE"


@contextmanager
def timed(what: str):
    begun = time.perf_counter()
    yield
    print(f"{what:<52}{time.perf_counter() - begun:8.2f} s", flush=True)


def ours(home: Home, months: list[Month]) -> None:
    """Every step of our own, one by one."""
    config = load_config()
    market, lake = config.market(MARKET), ParquetLake(home.lake, world="sample")
    with DATABENTO.open(home, config) as source:
        for table in DATABENTO.tables:
            with timed(f"{table.name}: plan, quote, fetch"):
                _, fetched = fetch_all(DATABENTO, source, lake, table, {market: months}, config)
            rows = 0
            with timed(f"{table.name}: parse, append"):
                for batch in DATABENTO.batches(fetched, lake):
                    rows += keep(batch, lake, source.ledger)
            told = f"{fetched.records:,} records, {rows:,} rows, {fetched.facts['requests']} request(s), {fetched.left_out:,} of spreads"
            print(f"    {told} left out")
    with timed("futures_continuous: build, append"):
        for batch in derived_months(lake, "futures_continuous", MARKET, months, load_config().option_rules):
            batch.append(lake)
    facts = spent = 0.0
    with FeatureStore(home.store, world="sample") as store:
        begun = time.perf_counter()
        for computed in compute_months(lake, "futures", MARKET, months):
            publishing = time.perf_counter()
            facts += publish_month(store, "futures", MARKET, computed)
            spent += time.perf_counter() - publishing
        whole = time.perf_counter() - begun
    print(f"{'futures_features: read, compute':<52}{whole - spent:8.2f} s")
    print(f"{'futures_features: audit, publish':<52}{spent:8.2f} s\n{'':<4}{facts:,.0f} vintages")
    with Ledger(home.ledger) as ledger:
        print(f"ledger: {len(ledger.requests())} requests, ${ledger.spent():,.4f} (synthetic prices)")


def through_dagster(home: Home, months: list[Month]) -> None:
    """One run over the same partitions, and the bookkeeping of one that does nothing."""
    import dagster as dg

    from hydra_assets.definitions import definitions_for
    from hydra_assets.defs.partitions import MARKET_MONTH, key_of

    keys = [str(key_of(MARKET, month)) for month in (months[0], months[-1])]
    tags = {"dagster/asset_partition_range_start": keys[0], "dagster/asset_partition_range_end": keys[1]}
    names = [*(table.name for table in DATABENTO.tables), "futures_continuous", "futures_features"]
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

    def nothing(name: str) -> dg.AssetsDefinition:
        @dg.asset(name=name, partitions_def=MARKET_MONTH, backfill_policy=dg.BackfillPolicy.single_run())
        def asset() -> dg.MaterializeResult:
            return dg.MaterializeResult()

        return asset

    jobs = {
        "no-op assets": dg.Definitions([nothing(name) for name in names], executor=dg.in_process_executor),
        "the futures assets and their checks": definitions_for(home),
    }
    for what, defs in jobs.items():
        with tempfile.TemporaryDirectory() as folder, dg.DagsterInstance.local_temp(folder) as instance, timed(f"Dagster: {what}"):
            job = defs.resolve_implicit_global_asset_job_def()
            chosen = [dg.AssetKey(name) for name in names]
            result = job.execute_in_process(instance=instance, tags=tags, run_config=quiet, asset_selection=chosen)
        failed = [e.check_name for e in result.get_asset_check_evaluations() if not e.passed]
        print(f"{'':<4}success: {result.success}; checks not passed: {failed or 'none'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", default="2016-01")
    parser.add_argument("--last", default="2025-12")
    parser.add_argument("--dagster", action="store_true")
    asked = parser.parse_args()
    months = months_between(asked.first, asked.last)
    with tempfile.TemporaryDirectory() as folder:
        home = Home("sample", Path(folder))
        home.create()
        print(f"{MARKET} {asked.first}..{asked.last}, {len(months)} months, embedded vendor (synthetic)")
        with timed("together"):
            (through_dagster if asked.dagster else ours)(home, months)


if __name__ == "__main__":
    main()
