"""The implementations of both seams; a further one is one line here."""

import pytest

from hydra_assets.storage.lake import ParquetLake
from hydra_assets.storage.local import LocalStorage
from hydra_assets.storage.sqlite.fact_table import SqliteFactTable
from hydra_assets.storage.store import FeatureStore
from hydra_assets_tests.support.memory_fact_table import MemoryFactTable
from hydra_assets_tests.support.memory_storage import MemoryStorage

FACT_TABLES = {
    "sqlite": lambda folder: SqliteFactTable(folder / "store.sqlite"),
    "memory": lambda folder: MemoryFactTable(),
}
STORAGES = {
    "local": lambda folder: LocalStorage(folder / "lake"),
    "memory": lambda folder: MemoryStorage(),
}


@pytest.fixture(params=FACT_TABLES)
def fact_table(request, tmp_path):
    table = FACT_TABLES[request.param](tmp_path)
    yield table
    table.close()


@pytest.fixture(params=STORAGES)
def storage(request, tmp_path):
    return STORAGES[request.param](tmp_path)


@pytest.fixture
def any_store(fact_table):
    """A store over each implementation."""
    return FeatureStore.over(fact_table, world="sample")


@pytest.fixture
def any_lake(storage):
    """A lake over each implementation."""
    return ParquetLake(storage=storage, world="sample")


@pytest.fixture
def file_store(tmp_path):
    """A store in a SQLite file, for tests of the file itself."""
    with FeatureStore(tmp_path / "store.sqlite", world="sample") as opened:
        yield opened


@pytest.fixture
def file_lake(tmp_path):
    """A lake on the disk, for tests of the files themselves."""
    return ParquetLake(tmp_path / "lake", world="sample")
