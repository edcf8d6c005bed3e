"""README and pages hold true: their outputs are printed by their commands, and the project speaks of itself alone."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from hydra_assets.config.load import load_config
from hydra_assets.features import ALL
from hydra_assets.features.catalogue import catalogue
from hydra_assets.flow.feeds.registry import FEEDS
from hydra_assets.flow.feeds.sample import served

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = sorted((ROOT / "docs" / "pages").glob("*.md"))
TEXT = {page.name: page.read_text(encoding="utf-8") for page in (README, *PAGES)}
SNIPPET = re.compile(r"```python\n(.*?)```", re.S)
SHOWN = re.compile(r"<!-- output of: (.+?) -->\n```\n(.*?)\n?```", re.S)
PART = re.compile(r"<!-- part of the output of: (.+?) -->\n```\n(.*?)\n```", re.S)
DEMO = "hydra-assets demo -q"


def kept(text):
    return [line.rstrip() for line in text.strip().splitlines()]


def shown_on(page):
    """(command or snippet, the output shown); a snippet is the last one before its output."""
    text, found = TEXT[page], []
    for match in SHOWN.finditer(text):
        what = match[1] if match[1] != "the snippet above" else SNIPPET.findall(text[: match.start()])[-1]
        found.append((what, match[2]))
    return found


OUTPUTS = [(page, what, shown) for page in TEXT for what, shown in shown_on(page)]
TEN_YEARS = "hydra-assets quote HE 2016-01..2026-02"
SLOW = (TEN_YEARS, "hydra-assets prove HE --feature cot_mm_net")
PARTS = [(page, what, shown) for page in TEXT for what, shown in PART.findall(TEXT[page])]


@pytest.mark.parametrize(
    ("page", "what", "shown"),
    [pytest.param(*output, marks=[pytest.mark.slow] if output[1].startswith(SLOW) else []) for output in OUTPUTS],
    ids=lambda value: str(value).split("\n")[0][:40],
)
def test_every_output_is_what_is_printed(page, what, shown, demo, tmp_path):
    if what.startswith("hydra-assets "):
        words = [str(tmp_path / word) if word.endswith((".parquet", ".csv")) else word for word in what.split()[1:]]
        printed = demo.run(*words).stdout.replace(f"{tmp_path}/", "")
    else:
        printed = demo.snippet(what)
    assert kept(printed) == kept(shown)


@pytest.mark.parametrize(("page", "what", "shown"), PARTS, ids=lambda value: str(value).split("\n")[0][:40])
def test_every_part_of_an_output_stands_in_it(page, what, shown, demo):
    assert what == DEMO
    assert "\n".join(kept(shown)) in "\n".join(kept(demo.printed))


@pytest.mark.parametrize("page", [page for page in TEXT if SNIPPET.search(TEXT[page])])
def test_the_snippets_of_a_page_run_top_to_bottom_as_one_notebook(page, demo):
    demo.snippet("\n".join(SNIPPET.findall(TEXT[page])))


def test_no_part_of_the_demo_and_no_page_goes_unheld():
    """The demo's tables (b), (c) and (d) stand on some page; (a) shows the wall clock. What is slow to print is there too."""
    assert TEN_YEARS in [what for _, what, _ in OUTPUTS]
    parts = "\n".join(shown for _, _, shown in PARTS)
    assert [letter for letter in "bc" if f"({letter}) " in parts] == ["b", "c"]
    assert all(name in parts for name in ("option_statistics", "cot_identity", "5 tables"))  # (d) from its second part on
    assert {"README.md", "axes.md", "commands.md", "index.md", "join.md", "operating.md", "proofs.md", "recipes.md"} <= {
        page for page, *_ in OUTPUTS
    }


def test_the_snippet_on_labels_keeps_training_and_test_apart(demo):
    (snippet,) = [what for page, what, _ in OUTPUTS if page == "recipes.md" and "forward_returns" in what]
    check = "\nassert pc.sum(known).as_py() > 70 and pc.sum(test).as_py() > 30 and not pc.any(pc.and_(known, test)).as_py()"
    assert demo.process("-c", snippet + check, program=sys.executable).stdout.startswith("126 rows")


def test_every_command_on_a_page_exists():
    from typer.main import get_command

    from hydra_assets.cli.main import app

    known = set(get_command(app).commands)
    for page, text in TEXT.items():
        for name in re.findall(r"hydra-assets (?!hydra-assets)([a-z][a-z-]*)", text):
            assert name in known, f"{page}: hydra-assets {name}"


def test_a_newcomers_commands_in_the_readme_find_their_program():
    """The program is on nobody's path yet: `uv run` finds it in the clone."""
    shown = re.findall(r"`([^`\n]*hydra-assets [a-z][^`\n]*)`", TEXT["README.md"])
    assert shown
    assert [command for command in shown if not command.startswith("uv run ")] == []


def test_every_picture_of_a_page_is_there_and_no_other():
    folder = ROOT / "docs" / "pages" / "pictures"
    shown = {Path(name).name for text in TEXT.values() for name in re.findall(r"!\[[^]]*]\(([^)]+\.svg)\)", text)}
    assert shown == {file.name for file in folder.iterdir()}
    assert sum(file.stat().st_size for file in folder.iterdir()) < 300_000


def test_the_catalogue_page_is_what_the_code_declares():
    page = (ROOT / "docs" / "features.md").read_text(encoding="utf-8")
    assert page == catalogue(ALL)
    assert [feature.name for feature in ALL if page.count(f"\n| `{feature.name}` |") != 1] == []
    assert page.count("\n| `") == len(ALL)
    assert "Of markets without a cash price" in page


def test_the_readme_has_its_two_commands_and_is_read_in_one_go():
    assert "pip install uv && uv run hydra-assets demo\nuv run pytest\n" in TEXT["README.md"]
    assert "--require-hashes -r requirements.lock" in TEXT["README.md"]
    assert len(TEXT["README.md"].splitlines()) <= 160


def test_the_map_of_the_house_names_every_room_there_is():
    house = TEXT["README.md"].split("## The map")[1].split("```")[1]
    named = set(re.findall(r"(?:^|\s{2,})(\w+/|\w+\.py)(?= )", house, re.M))
    package = ROOT / "hydra_assets"
    assert [name for name in sorted(named) if not (package / name).exists()] == []
    rooms = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    assert rooms - named == set()


@pytest.mark.parametrize("page", ["README.md", "recipes.md", "CONTRIBUTING.md"])
def test_every_file_that_a_recipe_names_exists(page):
    text = TEXT.get(page) or (ROOT / page).read_text(encoding="utf-8")
    files = re.findall(r"`((?:hydra_assets|hydra_assets_tests|docs|\.ci)/[\w./-]+)`", text)
    assert files
    assert [file for file in files if not (ROOT / file).exists()] == []


def test_the_check_list_of_a_vendor_names_where_each_vendor_stands():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("**A vendor**")[1].split("**A check**")[0]
    named = set(re.findall(r"`(hydra_assets/[\w./]+)`", text))
    assert {"hydra_assets/core/tables/registry.py", "hydra_assets/flow/feeds/registry.py", "hydra_assets/config/default.yaml"} <= named
    folders = {name for name in named if name.endswith("/")}
    for feed in FEEDS.values():
        sides = [type(feed), type(feed.sample(served(load_config()))), feed.settings]
        assert {f"{kind.__module__.rpartition('.')[0].replace('.', '/')}/" for kind in sides} <= folders, feed.name
    assert "hydra_assets/core/tables/" in folders


def test_no_index_host_and_no_machine_path_stands_in_the_project():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    if not tracked:
        pytest.skip("not a git checkout")
    hosts = re.compile(r"pypi\.|pythonhosted|/root/|/work/|/opt/")
    for name in tracked:
        if Path(name).suffix in (".py", ".md", ".yaml", ".toml", ".lock", ".txt", "") and name != "hydra_assets_tests/docs/test_docs.py":
            found = hosts.search((ROOT / name).read_text(encoding="utf-8"))
            assert found is None, f"{name}: {found}"
