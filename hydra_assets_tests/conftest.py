"""
Fixtures that many tests share: a home for each test, the demo's home, the real files, instants in one line.

pytest's first process reads this file before it starts the workers, which wait for it: pandas, Dagster and the vendors are imported
by the fixtures that need them.
"""

import datetime as dt
import gc
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from hypothesis import settings

from hydra_assets.core.instants import INSTANT
from hydra_assets_tests.support import laid_down
from hydra_assets_tests.support.demo_home import Demo

if TYPE_CHECKING:
    from hydra_assets_tests.support.rude_vendor import RudeVendor

settings.register_profile("house", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("house")

# A shell gives what it runs in the background no Ctrl-C; the programs that tests start and stop by one would inherit that, and go on.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Hundreds of processes are started by these tests. Where the environment forbids bytecode beside the sources, each would compile
# pandas and Dagster anew, which takes longer than most of them run; so it is kept in pytest's own folder.
if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
    os.environ.setdefault("PYTHONPYCACHEPREFIX", str(Path(__file__).parents[1] / ".pytest_cache" / "bytecode"))

gc.set_threshold(50_000, 20, 50)  # as the command line does

SHARED = Path(__file__).parents[2] / "shared"


def at(text: str) -> dt.datetime:
    """``2025-10-03 19:30`` in UTC."""
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def rows(**columns) -> pa.Table:
    """A table; columns named as_of, available_at or ending in _at are instants in UTC text."""
    arrays = {}
    for name, values in columns.items():
        instant = name in ("as_of", "available_at")
        arrays[name] = pa.array([at(v) for v in values], INSTANT) if instant else pa.array(values)
    return pa.table(arrays)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """No test may touch the user's own home, or see the user's settings."""
    base = tmp_path / "home"
    for name in [n for n in os.environ if n.startswith(("HYDRA_", "DAGSTER_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HYDRA_HOME", str(base))
    return base


@pytest.fixture
def lake(tmp_path):
    from hydra_assets.storage.lake import ParquetLake

    return ParquetLake(tmp_path / "lake", world="sample")


@pytest.fixture
def store(tmp_path):
    from hydra_assets.storage.store import FeatureStore

    with FeatureStore(tmp_path / "store.sqlite", world="sample") as opened:
        yield opened


@pytest.fixture
def rude_vendor() -> "Iterator[RudeVendor]":
    """Starts vendors: ``rude_vendor("counts", "friday").url``; all of them end with the test."""
    from hydra_assets_tests.support.rude_vendor import serving

    with ExitStack() as running:
        yield lambda *names, **more: running.enter_context(serving(*names, **more))


@pytest.fixture
def forked_library(monkeypatch):
    """`cot_reports` runs in a forked process where a test is of what comes of its answer, not of how it is started."""
    from hydra_assets.sources import cftc
    from hydra_assets_tests.support import forked_library

    monkeypatch.setattr(cftc, "subprocess", forked_library)


@pytest.fixture
def real_2025() -> Path:
    """The CFTC's own archive of 2025."""
    path = SHARED / "data" / "cftc" / "fut_disagg_txt_2025.zip"
    if not path.exists():
        pytest.skip("the CFTC's real archive of 2025 is not beside this checkout (../shared/data/cftc)")
    return path


@pytest.fixture(scope="session")
def demo(tmp_path_factory) -> Demo:
    """The demo's home and what its first run printed."""

    def make(folder):
        (folder / "first.txt").write_text(Demo(folder, "").process("demo", "-q").stdout)

    folder = laid_down.made_once(tmp_path_factory, "demo", make)
    return Demo(folder, (folder / "first.txt").read_text())


@pytest.fixture
def cot_home(tmp_path_factory, home):
    """This test's home, with COT of HE from September to November 2025 in it."""
    laid_down.copy(laid_down.made_once(tmp_path_factory, "cot", laid_down.cot), home)


@pytest.fixture
def futures_home(tmp_path_factory, home):
    """This test's home, with futures of HE in November and December 2025 in it, raw and features."""
    laid_down.copy(laid_down.made_once(tmp_path_factory, "futures", laid_down.futures), home)


@pytest.fixture
def instance(tmp_path_factory, tmp_path):
    """A Dagster of this test's own, on disk, without a run."""
    import dagster as dg

    laid_down.copy(laid_down.made_once(tmp_path_factory, "instance", laid_down.instance), tmp_path / "dagster")
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as local:
        yield local


def pytest_collection_modifyitems(items):
    """Start the slow tests first: they mostly wait, and the last worker should not end with one."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Quick tests go by file; slow ones, which mostly wait, to whichever worker is free."""
    from hydra_assets_tests.support.by_file import ByFile

    return ByFile(config, log) if config.option.markexpr == "not slow" else None
