"""
The backfill of `rude.py`, killed three times and resumed, beside the same one undisturbed: an equal lake and store, nothing paid twice.

    uv run python benchmarks/rude_killed.py [--first 2016-01] [--last 2025-12] [--markets HE,ZC] [--seed 1] [--home FOLDER]

The killed process ends by SIGKILL at drawn points: in the middle of an answer, between two answers, and inside a publish, before its
commit. The vendor writes down each request that it is paid for; that list is held against the ledger. Everything is synthetic.
"""

import argparse
import collections
import itertools
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
from rude import SETTINGS, computed, raw

from hydra_assets.cli.quote import price_of
from hydra_assets.config.home import Home
from hydra_assets.config.load import load_config
from hydra_assets.core.months import Month, months_between
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.sources import http
from hydra_assets.sources.ledger import Ledger
from hydra_assets.sources.sample.databento import FakeDatabento
from hydra_assets.sources.sample.rude_http import RudeDelivery
from hydra_assets.storage.lake import ParquetLake
from hydra_assets.storage.store import FeatureStore

PLACES = ("answer", "keep", "publish")
REQUEST = ("schema", "symbols", "start", "end")
PATIENT = "databento: {read_timeout_s: 900, deadline_s: 3600}\n"  # on a busy machine the embedded vendor takes its time to make a year


def home_of(folder: Path) -> Home:
    """The home of the sample world under *folder*."""
    return Home("sample", folder)


# ---------------------------------------------------------------- the process that is killed


def die() -> None:
    """End this process as a power cut does."""
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at(place: str, number: int) -> None:
    """Arrange that this process dies at the *number*-th call of *place*."""
    calls = itertools.count(1)
    if place == "answer":
        write = RudeDelivery._write

        def half(self: RudeDelivery, request: Any, body: bytes) -> None:
            if next(calls) == number:
                write(self, request, body[: len(body) // 2])
                time.sleep(0.2)  # the client reads what came
                die()
            write(self, request, body)

        RudeDelivery._write = half  # type: ignore[method-assign]
    elif place == "keep":
        keep = Ledger.keep

        def kept(self: Ledger, *words: Any) -> None:
            keep(self, *words)
            if next(calls) == number:
                die()

        Ledger.keep = kept  # type: ignore[method-assign]
    elif place == "publish":
        publish = FeatureStore.publish

        def published(self: FeatureStore, *words: Any, audit: Callable[..., Any], **more: Any) -> int:
            def last(*facts: Any) -> Any:
                return die() if next(calls) == number else audit(*facts)

            return publish(self, *words, audit=last, **more)

        FeatureStore.publish = published  # type: ignore[method-assign]


def write_down_what_is_served(path: Path) -> None:
    """Have the embedded vendor append each request that it is paid for to *path*."""
    for name in ("_get_range", "_submit_job"):
        real = getattr(FakeDatabento, name)

        def served(self: FakeDatabento, asked: dict[str, str], real: Callable[..., Any] = real) -> Any:
            answer = real(self, asked)  # a refusal raises, and costs nothing
            with path.open("a") as log:
                log.write(json.dumps([asked[name] for name in REQUEST]) + "\n")
            return answer

        setattr(FakeDatabento, name, served)


def backfill(folder: Path, markets: list[str], months: list[Month], place: str, number: int) -> None:
    """The whole backfill in *folder*; to be run in a process of its own."""
    http.FIRST_WAIT_S = 0.02
    write_down_what_is_served(folder / "served.jsonl")
    kill_at(place, number)
    raw(home_of(folder), markets, months, collections.defaultdict(collections.Counter), collections.Counter())
    computed(home_of(folder), markets, months)


def run(folder: Path, arguments: argparse.Namespace, place: str = "", number: int = 0) -> int:
    """`backfill` in a process of its own; its exit code."""
    begun = time.monotonic()
    command = [sys.executable, "-W", "ignore", __file__, "--child", str(folder), "--kill", f"{place}:{number}"]
    command += ["--first", arguments.first, "--last", arguments.last, "--markets", arguments.markets]
    with (folder / "output.txt").open("a") as output:
        code = subprocess.run(command, env={**os.environ, "HYDRA_HOME": str(folder)}, stdout=output, check=False).returncode
    killed = f"killed at {place} {number}" if place else "to its end"
    print(f"{folder.name:<8} {killed:<24}{time.monotonic() - begun:>9,.0f} s, exit code {code}", flush=True)
    return code


# ---------------------------------------------------------------- the comparison


def differences(one: Path, two: Path, markets: list[str], months: list[Month]) -> int:
    """Print each table's rows in both homes and how many lie in one of them alone; the number of those."""
    lakes = [ParquetLake(home_of(folder).lake, world="sample") for folder in (one, two)]
    apart = 0
    for name, market in itertools.product(TABLES, markets):
        rows, alone = 0, 0
        for year in sorted({month.year for month in months}):
            mine = [month for month in months if month.year == year]
            a, b = (lake.read(name, market, mine[0].first, mine[-1].last) for lake in lakes)
            rows += a.num_rows
            alone += 0 if in_order(a).equals(in_order(b)) else len(multiset(a) ^ multiset(b)) or 1
        print(f"{market} {name:<22}{rows:>12,} rows{alone:>8,} in one alone", flush=True)
        apart += alone
    return apart


def in_order(rows: pa.Table) -> pa.Table:
    """Rows by all their columns, so that equal multisets are equal tables."""
    columns = sorted(rows.column_names)
    return rows.select(columns).sort_by([(name, "ascending") for name in columns]).combine_chunks() if rows.num_rows else rows.slice(0, 0)


def multiset(rows: pa.Table) -> set[tuple[str, int]]:
    """Rows with their number; for what differs only."""
    counts = collections.Counter(map(repr, rows.select(sorted(rows.column_names)).to_pylist()))
    return set(counts.items())


def features_of(folder: Path) -> list[Any]:
    """Every vintage of the store as believed now."""
    with sqlite3.connect(home_of(folder).store) as db:
        columns = "market, feature_name, as_of, available_at, value, quality"
        return db.execute(f"SELECT {columns} FROM features ORDER BY market, feature_name, as_of, available_at").fetchall()


def payments(folder: Path) -> dict[str, Any]:
    """Requests and dollars of a home's ledger, and requests that the vendor served, by what became of them."""
    with Ledger(home_of(folder).ledger) as ledger:
        rows = [row for row in ledger.requests() if row["state"] != "refused"]
    names = ("schema", "symbols", "start_us", "end_us")
    noted = collections.Counter(tuple(row[name] for name in names) for row in rows)
    kept = collections.Counter(tuple(row[name] for name in names) for row in rows if row["state"] == "kept")
    lines = (folder / "served.jsonl").read_text().splitlines()
    by_state = {state: [row for row in rows if row["state"] == state] for state in ("kept", "failed", "asked")}
    return {
        "served by the vendor": len(lines),
        "noted in the ledger": sum(noted.values()),
        "served more often than noted": len(lines) - sum(noted.values()),
        "kept": sum(kept.values()),
        "kept twice": sum(number - 1 for number in kept.values()),
        "broke off": len(by_state["failed"]),
        "unanswered at a kill": len(by_state["asked"]),
        **{f"dollars, {state}": sum(row["usd"] for row in found) for state, found in by_state.items()},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", default="2016-01")
    parser.add_argument("--last", default="2025-12")
    parser.add_argument("--markets", default="HE,ZC")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--home", type=Path, help="folder that is kept; default: one that is thrown away")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--kill", default=":0", help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    months, markets = months_between(wanted.first, wanted.last), wanted.markets.split(",")
    if wanted.child:
        place, _, number = wanted.kill.partition(":")
        backfill(wanted.child, markets, months, place, int(number))
        return 0
    with tempfile.TemporaryDirectory() as thrown_away:
        return compared(wanted.home or Path(thrown_away), markets, months, wanted)


def compared(base: Path, markets: list[str], months: list[Month], wanted: argparse.Namespace) -> int:
    """Run both backfills under *base* and print the comparison; 0 where they are equal."""
    whole, killed, empty = base / "whole", base / "killed", base / "empty"
    for folder in (whole, killed, empty):
        home_of(folder).create()
        (folder / "config.yaml").write_text(SETTINGS + PATIENT)
    if run(whole, wanted) != 0:
        return 1
    # The vendor's records are made once; which answers it has broken off, and its batch jobs, are each home's own.
    for folder, made in itertools.product((killed, empty), home_of(whole).cache.glob("dbn-*")):
        (home_of(folder).cache / made.name).symlink_to(made)
    os.environ["HYDRA_HOME"] = str(empty)
    quoted = sum(price_of(home_of(empty), load_config(), market, months).usd for market in markets)
    rng = random.Random(wanted.seed)
    requests, publishes = payments(whole)["kept"], len(markets) * len(months) * 4
    # Each request is answered twice: the first answer breaks off. What was kept before a kill is not asked for after it.
    numbers = rng.randint(1, requests), rng.randint(1, requests // 3), rng.randint(1, publishes // 2)
    for place, number in zip(PLACES, numbers, strict=True):
        if run(killed, wanted, place, number) != -signal.SIGKILL:
            return 1
    if run(killed, wanted) != 0:
        return 1
    apart = differences(whole, killed, markets, months)
    one, two = features_of(whole), features_of(killed)
    print(f"store: {len(one):,} vintages, {'equal' if one == two else f'{len(set(one) ^ set(two)):,} in one alone'}")
    paid = payments(whole), payments(killed)
    print(f"\n{'':<32}{'undisturbed':>14}{'killed':>14}")
    for name in paid[0]:
        print(f"{name:<32}" + "".join(f"{each[name]:>14,.4f}" if "dollars" in name else f"{each[name]:>14,}" for each in paid))
    print(f"{'dollars, quoted for the whole':<32}{quoted:>14,.4f}{quoted:>14,.4f}")
    twice = [each["kept twice"] or each["served more often than noted"] for each in paid]
    return int(bool(apart or one != two or any(twice) or paid[0]["kept"] != paid[1]["kept"]))


if __name__ == "__main__":
    sys.exit(main())
