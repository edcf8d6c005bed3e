"""
The quickstart notebook runs from top to bottom on the demo's home, its three libraries agree, and its outputs are kept.

They are renewed over the home of a fresh demo by ``uv run --group notebook jupyter nbconvert --to notebook --execute --inplace
--ExecutePreprocessor.record_timing=False docs/quickstart.ipynb``.
"""

import ast
import json
import re
import sys
import tomllib
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[2] / "docs" / "quickstart.ipynb"
NEEDED = ("nbformat", "nbclient", "ipykernel", "polars", "duckdb")
REASON = "the notebook needs the dependency group docs: uv run --group docs pytest"


@pytest.fixture(scope="module")
def executed(demo, tmp_path_factory):
    for name in NEEDED:
        pytest.importorskip(name, reason=REASON)
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    folder = tmp_path_factory.mktemp("notebook")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYDRA_HOME", str(demo.home))
        patch.setenv("IPYTHONDIR", str(folder))
        for name in ("HYDRA_WORLD", "HYDRA_CONFIG"):
            patch.delenv(name, raising=False)
        NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    return notebook


def printed(notebook) -> str:
    return "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", ()))


def test_it_runs_and_the_three_libraries_agree(executed):
    told = {line.split(":")[0]: line.split(":", 1)[1] for line in printed(executed).splitlines() if ":" in line}
    ages = [ast.literal_eval(told[library].strip()) for library in ("pandas", "polars", "duckdb")]
    assert ages[0] == ages[1] == ages[2]
    assert set(ages[0]) == {9, 10, 11, 12, 1}  # 18:30 in Chicago on the last evening is January in UTC
    assert ages[0][11] > 50  # of 23 September until the 19th of November


def test_it_shows_what_it_teaches(executed):
    told = printed(executed)
    assert "on 01 Oct the newest report was of 23 Sep" in told
    assert "on 24 Nov the newest report was of 07 Oct" in told
    assert "served: 140103.0 of 2025-09-23" in told
    assert "the right join: 0" in told


def texts(cells) -> list[str]:
    return ["".join("".join(output.get("text", "")) for output in cell.get("outputs", ())) for cell in cells]


def test_its_kept_outputs_are_those_of_a_run_with_the_picture(executed):
    kept = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert texts(kept) == texts(executed.cells)
    for cells in (kept, executed.cells):
        assert ["image/png" in output["data"] for cell in cells for output in cell.get("outputs", ()) if "data" in output] == [True]


def test_its_kept_outputs_are_small_and_name_no_place_of_a_machine():
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert len(text) < 60_000
    kept = json.loads(text)
    assert not re.search(r"/(tmp|home|root|Users|work)/", "".join(texts(kept["cells"])))
    assert kept["metadata"].keys() == {"kernelspec", "language_info"}
    assert [cell["metadata"] for cell in kept["cells"] if cell["metadata"]] == []


def test_its_group_brings_what_it_imports_and_a_server():
    project = tomllib.loads((NOTEBOOK.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    brought = {re.match("[a-z-]+", line)[0] for line in (*project["dependency-groups"]["notebook"], *project["project"]["dependencies"])}
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = ast.parse("\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"))
    names = {alias.name for node in ast.walk(code) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(code) if isinstance(node, ast.ImportFrom)}
    imported = {name.split(".")[0] for name in names} - sys.stdlib_module_names - {"hydra_assets"}
    assert imported == {"duckdb", "matplotlib", "pandas", "polars", "pyarrow"}
    assert imported | {"jupyterlab"} <= brought
