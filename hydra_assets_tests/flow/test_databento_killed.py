"""A backfill of all tables from the vendor as it really is, killed three times: an equal lake, and nothing paid twice."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from hydra_assets.sources.ledger import Ledger
from hydra_assets.sources.sample.databento import FakeDatabento
from hydra_assets.sources.sample.rude import behaviours
from hydra_assets.storage.lake import ParquetLake
from hydra_assets_tests.support.rude_vendor import serving

TABLES = ("futures_definitions", "futures_bars", "futures_statistics", "option_definitions", "option_quotes", "option_statistics")
# Streams that break off are paid for twice by their nature, and so are jobs that nobody fetched in time; the rest only takes time.
LEFT_OUT = {"drip", "slow_start", "expired_jobs", "breaks_off"}
RUN = """
import os, signal, sys
from itertools import count
from pathlib import Path
from hydra_assets.core.months import months_between
from hydra_assets.flow.feed import keep
from hydra_assets.flow.feeds.databento import DATABENTO
from hydra_assets.flow.feeds.databento_plan import plan_of
from hydra_assets.sources import databento
from hydra_assets.sources.databento_batch import BatchJobs
from hydra_assets.sources.databento_client import BoundedBatch
from hydra_assets.sources.ledger import Ledger
from hydra_assets.storage.lake import ParquetLake
from hydra_assets_tests.flow.test_databento_killed import TABLES
from hydra_assets_tests.support.databento_vendor import HE, patient_source
from hydra_assets_tests.support.rude_vendor import NOW

def killing(owner, name, number):
    real, calls = getattr(owner, name), count(1)
    def call(*words, **more):
        if next(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*words, **more)
    setattr(owner, name, call)

url, folder, batch_above, place, number = sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5])
owners = {"judge": databento, "capture": Ledger, "submitted": Ledger, "save": BoundedBatch, "_wait": BatchJobs}
if place:
    killing(owners[place], place, number)
lake, months = ParquetLake(folder / "lake", world="sample"), months_between("2025-07", "2025-08")
more = {"now": NOW, "sleep": lambda seconds: None, "batch_above": int(batch_above) if batch_above else None}
with patient_source(url, folder, **more) as asking:
    for table in TABLES:
        for attempt in range(4):  # a corrupted file is downloaded again
            try:
                got = DATABENTO.fetch(asking, [plan_of(asking, lake, table, HE, months, NOW.date())], once=True)
                break
            except databento.VendorContentError:
                continue
        for batch in DATABENTO.batches(got, lake):
            keep(batch, lake, asking.ledger)
        assert not got.refused, got.refused
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("batch_above", "kills"),
    [
        ("", [("judge", 2), ("capture", 3), ("judge", 5)]),
        ("0", [("submitted", 3), ("save", 2), ("capture", 4)]),
        ("0", [("_wait", 2), ("judge", 4), ("submitted", 5)]),
    ],
)
def test_killed_three_times_the_lake_is_equal_and_nothing_is_paid_twice(batch_above, kills, tmp_path, monkeypatch):
    paid = []
    for name in ("_get_range", "_submit_job"):
        real = getattr(FakeDatabento, name)
        monkeypatch.setattr(FakeDatabento, name, lambda self, asked, real=real: paid.append(asked) or real(self, asked))
    rude = sorted(set(behaviours()) - LEFT_OUT)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    with serving(*rude, cache=tmp_path / "cache", max_days=120) as vendor:  # bars are asked for by the quarter
        assert run(vendor.url, whole, batch_above).returncode == 0
        once = len(paid)
        for place, number in kills:
            assert run(vendor.url, killed, batch_above, place, number).returncode == -9, place
        done = run(vendor.url, killed, batch_above)
        assert done.returncode == 0, done.stderr
    assert len(paid) == 2 * once
    assert once >= 11  # two months of five tables, a quarter of bars
    with Ledger(whole / "ledger.sqlite") as a, Ledger(killed / "ledger.sqlite") as b:
        assert b.spent() == pytest.approx(a.spent())
        assert a.spent() > 0
        assert [row["state"] for row in b.requests() if row["state"] != "refused"] == ["kept"] * once
    lakes = [ParquetLake(folder / "lake") for folder in (whole, killed)]
    for table in TABLES:
        one, two = (lake.read(table, "HE") for lake in lakes)
        order = [(name, "ascending") for name in ("as_of", "available_at", "instrument", "instrument_id")]
        order += [("stat", "ascending")] if "stat" in one.column_names else []
        order += [("stamped_at", "ascending")] if "stamped_at" in one.column_names else []
        assert one.num_rows > 400
        assert one.sort_by(order).equals(two.sort_by(order)), table


def run(url: str, folder: Path, batch_above: str, place: str = "", number: int = 0) -> "subprocess.CompletedProcess[str]":
    """The backfill in a process of its own, which kills itself at the *number*-th call of *place*."""
    words = [url, str(folder), batch_above, place, str(number)]
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(RUN), *words]
    return subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
