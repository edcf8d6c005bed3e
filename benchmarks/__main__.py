"""
All benchmarks, printed as one table: work, ours, beside, ratio, to reach.

    uv run --group bench python -m benchmarks [--only NAME ...] [--long] [--rounds 5]

Each measure is taken in turns with what stands beside it, and the ratio is what counts. Seconds are processor time unless the work waits
for a disk or for another process. All data are synthetic. Progress goes to standard error; the table comes at the end.
"""

import argparse
import importlib
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.table import Row, drawn, machine

MODULES = ("lake", "audit", "options", "start", "commands", "frame", "store")


def main() -> None:
    """Run the benchmarks that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=MODULES, metavar="NAME", help=f"of {', '.join(MODULES)}")
    parser.add_argument("--long", action="store_true", help="also what takes many minutes: ten years of a market, many markets")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each measure (default 5)")
    given = parser.parse_args()
    rows: list[Row] = []
    for name in given.only or MODULES:
        begun = time.perf_counter()
        print(f"{name} ...", file=sys.stderr, flush=True)
        try:
            for row in importlib.import_module(f"benchmarks.{name}").rows(rounds=given.rounds, long=given.long):
                rows.append(row)
                print(f"  {'  '.join(filter(None, row.cells))}", file=sys.stderr, flush=True)
        except ModuleNotFoundError as error:
            print(f"  left out: {error}; run it with `uv run --group bench`", file=sys.stderr, flush=True)
        print(f"{name}: {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)
    print(f"\n{machine(Path(tempfile.gettempdir()))}\n\n{drawn(rows)}")


if __name__ == "__main__":
    main()
