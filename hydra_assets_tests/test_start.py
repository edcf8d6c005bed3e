"""Start of a process: libraries that take long to load are loaded by what needs them."""

import subprocess
import sys

import pytest

from hydra_assets.lazy import lazy

SLOW = ("pandas", "scipy", "matplotlib", "databento", "pandas_market_calendars", "requests", "structlog", "pyarrow.dataset")


@pytest.mark.parametrize(
    ("module", "slow"),
    [
        ("hydra_assets.cli.main", (*SLOW, "numpy", "pyarrow", "yaml", "dagster")),
        ("hydra_assets.definitions", SLOW),
        ("hydra_assets.flow.feeds.registry", SLOW),
        ("hydra_assets.storage.lake", SLOW),
        ("hydra_assets.storage.store", SLOW),
    ],
)
def test_a_module_loads_nothing_slow_that_it_does_not_need(module, slow, tmp_path):
    code = f"import sys, {module}; print(sorted({set(slow)!r} & set(sys.modules)))"
    environment = {"HYDRA_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    assert subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_lazy_module_is_loaded_by_its_first_use():
    code = (
        "import sys; from hydra_assets.lazy import lazy; d = lazy('decimal'); before = 'decimal' in sys.modules;"
        "d.Decimal; print(before, 'decimal' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False True\n"


def test_a_lazy_module_lacks_what_the_module_lacks():
    with pytest.raises(AttributeError, match="nothing"):
        _ = lazy("math").nothing


def test_the_vendors_package_leaves_the_filters_of_warnings_alone():
    code = (
        "import warnings; before = list(warnings.filters); from hydra_assets.sources.databento_errors import load_package;"
        "load_package(); import databento; print(warnings.filters == before)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "True\n"
