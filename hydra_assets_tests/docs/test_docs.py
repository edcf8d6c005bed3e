"""The README says what is so: its outputs are printed by its commands, and the project speaks of itself alone."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from hydra_assets.features import ALL
from hydra_assets.features.catalogue import catalogue

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.S)
BLOCKS = re.findall(r"<!-- output of: (.+?) -->\n```\n(.*?)\n```", README, re.S)
# The wall clock, the machine's speed and the user's home are not part of the promise.
VARYING = re.compile(r"recorded_at +│|Done in \d+ s|^hydra-assets demo  world")


def kept(text):
    return [line.rstrip() for line in text.strip().splitlines() if not VARYING.search(line)]


@pytest.mark.parametrize(("command", "shown"), [b for b in BLOCKS if b[0].startswith("hydra-assets")], ids=lambda b: b[:30].split("\n")[0])
def test_every_output_in_the_readme_is_what_the_command_prints(command, shown, demo):
    printed = demo.printed if command.startswith("hydra-assets demo") else demo.run(*command.split()[1:]).stdout
    assert kept(printed) == kept(shown)


def test_the_snippet_prints_what_the_readme_shows(demo):
    snippet = SNIPPETS[0]
    ((_, shown),) = [b for b in BLOCKS if b[0] == "the snippet above"]
    assert kept(demo.run("-c", snippet, program=sys.executable).stdout) == kept(shown)


def test_the_snippets_on_delay_and_labels_run_and_keep_training_and_test_apart(demo):
    before = "from datetime import timedelta\nimport hydra_assets\ndesk = hydra_assets.open()\nfeatures = ['fut_ret_1d']\n"
    before += "times = hydra_assets.sessions('HE', '2025-10-01', '2025-10-31')\n"
    check = (
        "\nassert pc.sum(known).as_py() > 70 and pc.sum(test).as_py() > 30 and not pc.any(pc.and_(known, test)).as_py()\nprint(x.num_rows)"
    )
    printed = demo.run("-c", before + SNIPPETS[1] + SNIPPETS[2] + check, program=sys.executable).stdout
    assert printed.strip() == "126"


def test_the_catalogue_page_is_what_the_code_declares():
    page = (ROOT / "docs" / "features.md").read_text(encoding="utf-8")
    assert page == catalogue(ALL)
    assert [page.count(f"| `{family}_") for family in ("cot", "fut", "opt", "div", "diag")] == [13, 23, 25, 1, 1]
    assert "`fut_basis_cash` needs the CME Lean Hog Index, which has no source here yet" in page


def test_the_readme_shows_its_outputs_and_its_two_commands():
    assert len(BLOCKS) == 6
    assert "pip install uv && uv run hydra-assets demo\nuv run pytest\n" in README
    assert "--require-hashes -r requirements.lock" in README


def test_the_map_of_the_house_names_what_is_there():
    house = README.split("## The map of the house")[1].split("```")[1]
    for name in re.findall(r"^  (\w+/|\w+\.py)", house, re.M):
        assert (ROOT / "hydra_assets" / name).exists(), name


def test_no_index_host_and_no_machine_path_stands_in_the_project():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    if not tracked:
        pytest.skip("not a git checkout")
    hosts = re.compile(r"pypi\.|pythonhosted|/root/|/work/|/opt/")
    for name in tracked:
        if Path(name).suffix in (".py", ".md", ".yaml", ".toml", ".lock", ".txt", "") and name != "hydra_assets_tests/docs/test_docs.py":
            found = hosts.search((ROOT / name).read_text(encoding="utf-8"))
            assert found is None, f"{name}: {found}"
