"""
A backfill of one market through Dagster, all tables and all checks: where the processor's seconds go, step by step.

    uv run python benchmarks/backfill.py [--first 2025-01] [--last 2025-12] [--cache FOLDER] [--profile STEP]

Seconds are those of the processor, of this process and its children, so that a busy machine does not change them; the wall clock
stands beside them. Beside the real run stands one of as many assets that do nothing over the same partitions: what Dagster itself
takes. The embedded vendor makes its synthetic records in this process too; with --cache they are kept from one run to the next.
--profile shows the costliest functions of one step, an asset or asset.check.
"""

import argparse
import cProfile
import os
import pstats
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import dagster as dg

from hydra_assets.config.home import Home
from hydra_assets.core.months import months_between
from hydra_assets.definitions import ASSETS, definitions_for
from hydra_assets.defs.partitions import MARKET_MONTH, key_of

MARKET = "HE"
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
STARTS, ENDS = dg.DagsterEventType.STEP_START, (dg.DagsterEventType.STEP_SUCCESS, dg.DagsterEventType.STEP_FAILURE)


def processor() -> float:
    """Seconds of user and system time, children included."""
    return sum(os.times()[:4])


class Stopwatch:
    """Listens to a run's events and keeps the seconds of each step."""

    def __init__(self, profiled: str | None = None) -> None:
        self.steps: dict[str, tuple[float, float]] = {}
        self._begun: tuple[float, float] = (0.0, 0.0)
        self._profiled, self.profile = profiled, cProfile.Profile()

    def __call__(self, entry: dg.EventLogEntry) -> None:
        event = entry.dagster_event
        if event is None:
            return
        if event.event_type is STARTS:
            self._begun = (processor(), time.perf_counter())
            if event.step_key == self._profiled:
                self.profile.enable()
        elif event.event_type in ENDS:
            if event.step_key == self._profiled:
                self.profile.disable()
            self.steps[str(event.step_key)] = (processor() - self._begun[0], time.perf_counter() - self._begun[1])


def timed_run(defs: dg.Definitions, keys: list[str], watch: Stopwatch) -> tuple[dg.ExecuteInProcessResult, float, float]:
    """One run over the range of *keys*: the result, processor's and wall clock's seconds."""
    tags = {"dagster/asset_partition_range_start": keys[0], "dagster/asset_partition_range_end": keys[1]}
    with tempfile.TemporaryDirectory() as folder, dg.DagsterInstance.local_temp(folder) as instance:
        run_id = str(uuid.uuid4())
        instance.add_event_listener(run_id, watch)
        job = defs.resolve_implicit_global_asset_job_def()
        cpu, wall = processor(), time.perf_counter()
        result = job.execute_in_process(instance=instance, run_id=run_id, tags=tags, run_config=QUIET, raise_on_error=False)
        return result, processor() - cpu, time.perf_counter() - wall


def idle(name: str) -> dg.AssetsDefinition:
    """An asset that does nothing."""

    @dg.asset(name=name, partitions_def=MARKET_MONTH, backfill_policy=dg.BackfillPolicy.single_run())
    def asset() -> dg.MaterializeResult:
        return dg.MaterializeResult()

    return asset


def table(title: str, steps: dict[str, tuple[float, float]], chosen: Callable[[str], bool]) -> None:
    """Steps in order of cost, and their sum."""
    rows = sorted(((cpu, wall, name) for name, (cpu, wall) in steps.items() if chosen(name)), reverse=True)
    print(f"\n{title:<48}{'processor':>12}{'wall':>10}")
    for cpu, wall, name in rows:
        if cpu >= 0.05:
            print(f"  {name:<46}{cpu:>10.2f} s{wall:>8.1f} s")
    print(f"  {'together':<46}{sum(r[0] for r in rows):>10.2f} s{sum(r[1] for r in rows):>8.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", default="2025-01")
    parser.add_argument("--last", default="2025-12")
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--profile")
    asked = parser.parse_args()
    months = months_between(asked.first, asked.last)
    keys = [str(key_of(MARKET, month)) for month in (months[0], months[-1])]
    print(f"{MARKET} {asked.first}..{asked.last}, {len(months)} months, embedded vendor (synthetic)")
    with tempfile.TemporaryDirectory() as folder:
        home = Home("sample", Path(folder))
        home.root.mkdir(parents=True)
        if asked.cache:
            asked.cache.mkdir(parents=True, exist_ok=True)
            home.cache.symlink_to(asked.cache.absolute())
        watch = Stopwatch(asked.profile and asked.profile.replace(".", "_"))
        result, cpu, wall = timed_run(definitions_for(home), keys, watch)
    assets = {asset.key.path[-1] for asset in ASSETS}
    table("tables", watch.steps, lambda name: name in assets)
    table("checks", watch.steps, lambda name: name not in assets)
    failed = [f"{e.asset_key.path[-1]}.{e.check_name}" for e in result.get_asset_check_evaluations() if not e.passed]
    print(f"\nsuccess: {result.success}; checks not passed: {', '.join(failed) or 'none'}")
    idlers = dg.Definitions([idle(name) for name in sorted(assets)], executor=dg.in_process_executor)
    _, nothing, nothing_wall = timed_run(idlers, keys, Stopwatch())
    print(f"whole run {cpu:.1f} s (wall {wall:.1f}); {len(assets)} assets that do nothing {nothing:.1f} s (wall {nothing_wall:.1f});")
    print(f"ours {cpu - nothing:.1f} s of the processor")
    if asked.profile:
        pstats.Stats(watch.profile).sort_stats("cumulative").print_stats(45)


if __name__ == "__main__":
    main()
