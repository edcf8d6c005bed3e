"""The public surface and what importing it costs."""

import doctest
import importlib
import pkgutil
import subprocess
import sys

import pytest

import hydra_assets

MODULES = [module.name for module in pkgutil.walk_packages(hydra_assets.__path__, "hydra_assets.")]
WITH_EXAMPLES = [name for name in MODULES if ".core." in name or name.endswith(".log")]


def test_version_and_public_names():
    assert hydra_assets.__version__ == "0.1.0"
    assert sorted(hydra_assets.__all__) == [
        "Desk",
        "FeatureStore",
        "Look",
        "ParquetLake",
        "__version__",
        "backfill",
        "continuous",
        "labels",
        "open",
        "proof",
        "sessions",
    ]
    assert all(getattr(hydra_assets, name) is not None for name in hydra_assets.__all__)


def test_importing_the_package_and_its_notebook_entry_brings_no_dagster():
    program = (
        "import sys, hydra_assets; bare = set(sys.modules);"
        "hydra_assets.open; hydra_assets.ParquetLake; import hydra_assets.features;"
        "heavy = {'dagster', 'pandas', 'pyarrow'} & bare;"
        "assert not heavy, heavy; assert 'dagster' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_in_the_docstrings_hold(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0
