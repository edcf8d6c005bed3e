"""
Whole commands over a home of their own: the demo, and with --long years of one market, each the first time and again.

    uv run --group bench python -m benchmarks --only commands [--long]

Processor time and peak memory are those of the command with all its children; the demo's is the wall clock, since a person waits for it.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.table import Row

PROGRAM = str(Path(sys.executable).with_name("hydra-assets"))
YEARS = {1: "2025-01..2025-12", 3: "2023-01..2025-12", 10: "2016-01..2025-12"}
MOST_S = {10: 90.0}  # of the processor, the first time
MOST_AGAIN_S = {3: 8.0, 10: 15.0}
MOST_MB = {10: 500.0}


@dataclass(frozen=True)
class Spent:
    """Seconds of the wall clock and of the processor that a command took, and the largest resident set of one of its processes in MB."""

    wall: float
    processor: float
    peak_mb: float


def spent(home: Path, *words: str) -> Spent:
    """Run a command to its end, which must be a good one."""
    begun = time.perf_counter()
    environment = {**os.environ, "HYDRA_HOME": str(home)}
    process = subprocess.Popen([PROGRAM, *words], env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"hydra-assets {' '.join(words)} ended with {process.returncode}")
    return Spent(time.perf_counter() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def rows(*, rounds: int, long: bool) -> Iterator[Row]:
    """The demo once in a new home and once again; with *long* also backfills of 1, 3 and 10 years."""
    del rounds  # once each: a turn takes a minute
    with tempfile.TemporaryDirectory() as folder:
        first, again = (spent(Path(folder), "demo", "-q") for _ in range(2))
        yield Row("demo in a new home, wall clock", first.wall, most=25.0)
        yield Row("the same, processor", first.processor)
        yield Row("the demo again", again.processor, "the first time", first.processor)
    for years, months in YEARS.items() if long else ():
        with tempfile.TemporaryDirectory() as folder:
            first, again = (spent(Path(folder), "backfill", "HE", months, "-q") for _ in range(2))
            what = f"all tables and checks of HE, {years} year{'s' * (years > 1)}"
            yield Row(what, first.processor, most=MOST_S.get(years))
            yield Row("  its peak memory", first.peak_mb, most=MOST_MB.get(years), unit="MB")
            yield Row("  again, nothing new", again.processor, most=MOST_AGAIN_S.get(years))
