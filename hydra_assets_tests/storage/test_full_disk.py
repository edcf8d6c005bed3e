"""A disk that is really full, a small one in memory: our error with path and remedy, nothing acknowledged is lost, and it goes on."""

import contextlib
import datetime as dt
import os
import subprocess

import pyarrow as pa
import pytest

from hydra_assets.core.instants import INSTANT
from hydra_assets.errors import StorageError
from hydra_assets.sources.ledger import Budget, Ledger
from hydra_assets.storage.lake import ParquetLake
from hydra_assets.storage.sqlite.findings import Findings
from hydra_assets.storage.store import FeatureStore
from hydra_assets_tests.conftest import at
from hydra_assets_tests.support.databento_vendor import patient_source, request
from hydra_assets_tests.support.databento_vendor import vendor as serving_vendor

DAY = at("2025-01-07")
pytestmark = pytest.mark.filterwarnings("ignore::hydra_assets.errors.UnprovenWarning")


@pytest.fixture
def disk(tmp_path):
    """A file system of two megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no file system may be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@contextlib.contextmanager
def full(folder, left=0):
    """All but *left* bytes are taken."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    os.truncate(filler, max(filler.stat().st_size - left, 0))
    yield
    filler.unlink()


def rows(count, value, name="f"):
    days = [DAY + dt.timedelta(hours=n) for n in range(count)]
    return [
        {"market": "HE", "feature_name": f"{name}{n % 3}", "as_of": day, "available_at": day, "value": value} for n, day in enumerate(days)
    ]


def refused(path, act):
    with pytest.raises(StorageError, match=rf"{path}.*(space|full)") as caught:
        act()
    assert "acknowledged" in str(caught.value) or "begun" in str(caught.value) or "room" in str(caught.value)
    assert "rollback" not in str(caught.value)


@pytest.mark.parametrize("left", [0, 4096, 40_000])
def test_the_store(disk, left):
    path = disk / "store.sqlite"
    with FeatureStore(path, world="sample") as store:
        store.write_features(rows(30, 1.0))
        with full(disk, left):
            refused(path, lambda: store.write_features(rows(4000, 2.0)))
            assert store.vintages("HE")["value"].to_pylist() == [1.0] * 30
        assert store.write_features(rows(4000, 2.0)) == 4000
    with FeatureStore(path) as store:
        assert store.check() == 4030


def test_a_store_that_is_to_be_made(disk):
    path = disk / "new" / "store.sqlite"
    with full(disk), pytest.raises(StorageError, match="store"):
        FeatureStore(path, world="sample")
    assert not path.exists()
    FeatureStore(path, world="sample").close()


def test_a_publish(disk):
    path = disk / "store.sqlite"

    def publish(store, value, count):
        table = pa.Table.from_pylist([{**row, "quality": "normal"} for row in rows(count, value)]).drop_columns("market")
        return store.publish("HE", "2025-01", table, features=["f0", "f1", "f2"], inputs={"x": DAY}, audit=lambda _rows: None)

    with FeatureStore(path, world="sample") as store:
        assert publish(store, 1.0, 300) == 300
        with full(disk):
            refused(path, lambda: publish(store, 2.0, 300))
            assert store.publishes().num_rows == 1
        assert publish(store, 2.0, 300) == 300
        assert (store.publishes().num_rows, store.check()) == (2, 600)


def test_the_lake(disk):
    lake = ParquetLake(disk / "lake")
    large = pa.table({"as_of": pa.array([DAY] * 9000, INSTANT), "x": [os.urandom(12) for _ in range(9000)]})
    lake.write(large.slice(0, 10), "t", "HE", DAY)
    with full(disk, 20_000):
        refused(disk / "lake", lambda: lake.write(large, "t", "HE", DAY))
        assert lake.read("t", "HE").num_rows == 10
    lake.write(large, "t", "HE", DAY)
    assert lake.read("t", "HE").num_rows == 9010
    assert lake.verify() == 2
    assert not list((disk / "lake" / ".staging").iterdir())


def test_the_ledger_and_the_findings(disk):
    days = [(DAY.date() + dt.timedelta(n), DAY.date()) for n in range(8000)]
    months = [("HE", f"{1000 + n}-01") for n in range(8000)]
    with Ledger(disk / "ledger.sqlite") as ledger, Findings(disk / "findings.sqlite") as findings:
        ledger.capture("futures_bars", "HE", days[:5], DAY)
        findings.judge("a", "c", months[:5], dict.fromkeys(months, "wrong"))
        with full(disk):
            refused(disk / "ledger.sqlite", lambda: ledger.capture("futures_bars", "HE", days, DAY))
            refused(disk / "findings.sqlite", lambda: findings.judge("a", "c", months, dict.fromkeys(months, "wrong")))
        assert len(ledger.captured("futures_bars", "HE")) == len(findings.open_of("a")) == 5
        ledger.capture("futures_bars", "HE", days[:50], DAY)
        findings.judge("a", "c", months[:50], dict.fromkeys(months, "wrong"))
        assert len(ledger.captured("futures_bars", "HE")) == len(findings.open_of("a")) == 50


def test_the_mirror_costs_time_and_no_answer(disk):
    with FeatureStore(disk / "store.sqlite", world="sample") as store:
        store.write_features(rows(3000, 1.0))
        with full(disk):
            assert store.get_training_frame("HE", [DAY + dt.timedelta(400)])["f0"].to_pylist() == [1.0]
        assert not list(disk.glob("*.mirror*"))


def test_an_answer_that_would_not_fit_is_refused_before_it_is_paid(disk):
    with serving_vendor() as vendor, patient_source(vendor.url, disk, budget=Budget("test")) as archive:
        with full(disk, 20_000), pytest.raises(StorageError, match=rf"{disk}.*room for 0.0 MB.*nothing was requested"):
            archive.fetch(request())
        assert archive.ledger.requests() == []
        paid = archive.fetch(request())
        assert paid.usd > 0
        with full(disk):
            assert archive.fetch(request()).usd == 0  # kept answers need no room


def test_a_disk_that_fills_under_an_answer_costs_that_answer_alone(disk, monkeypatch):
    with serving_vendor() as vendor, patient_source(vendor.url, disk, budget=Budget("test")) as archive:
        first = archive.fetch(request(end="2025-10-02"))
        monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10**12}))
        with full(disk, 60_000):
            with pytest.raises(StorageError, match=rf"{disk / 'databento'}.*space"):
                archive.fetch(request(start="2025-06-02", end="2025-10-31"))
            assert not [*disk.glob("databento/.fetch*")]
            assert archive.fetch(request(end="2025-10-02")).sha256 == first.sha256
        assert archive.fetch(request(start="2025-06-02", end="2025-10-31")).usd > 0
        assert {row["state"] for row in archive.ledger.requests()} == {"kept", "failed"}
