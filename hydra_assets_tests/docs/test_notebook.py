"""The quickstart notebook runs from top to bottom on the demo's home, and its three libraries agree."""

import ast
import json
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


def test_it_is_kept_without_outputs_of_a_machine():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")] == []
