"""
The cost of the seal and of the fresh interpreter in the run that publishes a month, alternated with the same run without them.

    uv run python benchmarks/seal.py HOME [--month 2025-10] [--market HE] [--rounds 3]

HOME is a demo home (`hydra-assets demo` with HYDRA_HOME set); a copy of it is used. A round is a process of its own, as a run is: it
materialises the four feature tables of the month through Dagster, with all their checks. With the seal, features run under the audit hook
and the proofs in a template process; without, both run plainly in the process. What counts is processor time, children included.
"""

import argparse
import contextlib
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import hydra_assets
from hydra_assets.core.feature import Feature
from hydra_assets.core.sealed.seal import run_sealed
from hydra_assets.core.tables.registry import FEATURE_TABLES
from hydra_assets.features import of_family
from hydra_assets.features.compute import INPUTS

ENGINES = [
    *(f"hydra_assets.features.{family}.engine.run_sealed" for family in ("futures", "options", "divergence")),
    "hydra_assets.features.periods.run_sealed",
]


def publish(market: str, month: str) -> None:
    """Publish the month of every family, and look through it with every check."""
    outcome = hydra_assets.backfill(market, month, month, assets=[FEATURE_TABLES[family].name for family in INPUTS])
    assert outcome.ok, outcome


def unsealed(feature: Feature, *args: Any) -> Any:
    """The answer of the feature's function, without a seal."""
    return feature.function(*args)


@contextlib.contextmanager
def without_seal() -> Iterator[None]:
    """A block in which features run plainly, and proofs in this process."""
    plain = mock.Mock(run=lambda function, step=None, **arguments: function(**arguments))
    with contextlib.ExitStack() as stack:
        for engine in ENGINES:
            stack.enter_context(mock.patch(engine, unsealed))
        stack.enter_context(mock.patch("hydra_assets.defs.proof_checks.fresh_interpreter", return_value=plain))
        yield


def spent(market: str, month: str, *, sealed: bool) -> tuple[float, float]:
    """Processor and wall time of a run in a process of its own, in seconds."""

    def processor() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    before, wall = processor(), time.perf_counter()
    words = [
        sys.executable,
        __file__,
        os.environ["HYDRA_HOME"],
        "--month",
        month,
        "--market",
        market,
        "--only",
        "sealed" if sealed else "plain",
    ]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return processor() - before, time.perf_counter() - wall


def calls() -> tuple[float, float]:
    """Microseconds that the seal adds to one call, of a shipped feature and of a third party's."""
    (ours, *_), n = of_family("cot"), 2000
    function = ours.function
    for_ours, for_theirs = [], []
    rows = dict.fromkeys(("mm_long", "mm_short"), np.ones(1))
    theirs = replace(ours, name="theirs", function=lambda given: function(given))
    for target, feature in ((for_ours, ours), (for_theirs, theirs)):
        for _ in range(5):
            start = time.perf_counter()
            for _ in range(n):
                feature.function(rows)
            plain = time.perf_counter() - start
            start = time.perf_counter()
            for _ in range(n):
                run_sealed(feature, rows)
            target.append((time.perf_counter() - start - plain) / n * 1e6)
    return statistics.median(for_ours), statistics.median(for_theirs)


def main() -> None:
    """Print medians and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path)
    parser.add_argument("--month", default="2025-10")
    parser.add_argument("--market", default="HE")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["sealed", "plain"], help="one run, in this process")
    args = parser.parse_args()
    if args.only:
        with contextlib.nullcontext() if args.only == "sealed" else without_seal():
            publish(args.market, args.month)
        return
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(args.home / "sample", Path(folder) / "sample", ignore=shutil.ignore_patterns("dagster"))
        os.environ["HYDRA_HOME"] = folder
        spent(args.market, args.month, sealed=True)  # warm
        plain, sealed = [], []
        for _ in range(args.rounds):
            plain.append(spent(args.market, args.month, sealed=False))
            sealed.append(spent(args.market, args.month, sealed=True))
        for name, column in (("processor time", 0), ("wall time", 1)):
            a, b = (statistics.median(each[column] for each in found) for found in (plain, sealed))
            ratios = [y[column] / x[column] - 1 for x, y in zip(plain, sealed, strict=True)]
            print(f"{name}: plain {a:.2f} s, sealed and in a fresh interpreter {b:.2f} s: {b / a - 1:+.1%}", end=" ")
            print(f"(rounds {min(ratios):+.1%} to {max(ratios):+.1%})")
    ours, theirs = calls()
    print(f"the seal adds {ours:.1f} us to a call of a shipped feature, {theirs:.1f} us to a third party's")


if __name__ == "__main__":
    main()
