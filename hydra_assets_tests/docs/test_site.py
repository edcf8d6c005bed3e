"""The site: it builds strictly and asks no host, and what its pages show is what the commands and snippets print."""

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import hydra_assets
from hydra_assets.features import ALL
from hydra_assets_tests.docs.test_docs import kept

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted((DOCS / "pages").glob("*.md"))
TEXT = {page.name: page.read_text(encoding="utf-8") for page in PAGES}
SNIPPET = re.compile(r"```python\n(.*?)```", re.S)
SHOWN = re.compile(r"<!-- output of: (.+?) -->\n```\n(.*?)\n?```", re.S)
PART = re.compile(r"<!-- part of the output of: (.+?) -->\n```\n(.*?)\n```", re.S)


def shown_on(page):
    """(what is run, what the page shows); a snippet is the last one before its output."""
    text, found = TEXT[page], []
    for match in SHOWN.finditer(text):
        what = match[1] if match[1] != "the snippet above" else SNIPPET.findall(text[: match.start()])[-1]
        found.append((what, match[2]))
    return found


OUTPUTS = [(page, what, shown) for page in TEXT for what, shown in shown_on(page)]


@pytest.mark.parametrize(("page", "what", "shown"), OUTPUTS, ids=lambda value: str(value).split("\n")[0][:40])
def test_every_output_on_a_page_is_what_is_printed(page, what, shown, demo, tmp_path):
    if what.startswith("hydra-assets "):
        words = [str(tmp_path / word) if word.endswith((".parquet", ".csv")) else word for word in what.split()[1:]]
        printed = demo.run(*words).stdout.replace(f"{tmp_path}/", "")
    else:
        printed = demo.run("-c", what, program=sys.executable).stdout
    assert kept(printed) == kept(shown)


@pytest.mark.parametrize("page", [page for page in TEXT if PART.search(TEXT[page])])
def test_every_part_of_an_output_stands_in_it(page, demo):
    for what, shown in PART.findall(TEXT[page]):
        assert what == "hydra-assets demo -q"
        assert "\n".join(kept(shown)) in "\n".join(kept(demo.printed))


def test_there_is_something_to_hold_the_pages_to():
    assert len(OUTPUTS) >= 7
    assert sum(len(PART.findall(text)) for text in TEXT.values()) == 2


def test_every_command_on_a_page_exists():
    from typer.main import get_command

    from hydra_assets.cli.main import app

    known = set(get_command(app).commands)
    for page, text in TEXT.items():
        for name in re.findall(r"hydra-assets (?!hydra-assets)([a-z][a-z-]*)", text):
            assert name in known, f"{page}: hydra-assets {name}"


class Addresses(HTMLParser):
    """What a browser would fetch by itself for a page."""

    def __init__(self):
        super().__init__()
        self.fetched = []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag in ("script", "img", "iframe", "source"):
            self.fetched.append(given.get("src") or "")
        if tag == "link" and given.get("rel") != "canonical":
            self.fetched.append(given.get("href") or "")


# Without -q: it silences warnings before --strict counts them.
BUILD = [sys.executable, "-W", "ignore", "-m", "mkdocs", "build", "--strict"]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    for name in ("mkdocs", "material", "mkdocstrings"):
        pytest.importorskip(name, reason="the site needs the dependency group docs: uv run --group docs pytest")
    out = tmp_path_factory.mktemp("site")
    done = subprocess.run([*BUILD, "-f", str(DOCS / "mkdocs.yml"), "-d", str(out)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def test_the_site_builds_strictly_with_every_page(site):
    assert {page.stem for page in PAGES} <= {path.stem for path in site.glob("*.html")}


def test_the_catalogue_and_the_api_are_made_from_the_code(site):
    catalogue = (site / "features.html").read_text(encoding="utf-8")
    for feature in ALL:
        assert f"<code>{feature.name}</code>" in catalogue
    api = (site / "api.html").read_text(encoding="utf-8")
    for name in hydra_assets.__all__:
        if name not in ("__version__", "labels"):
            assert f".{name}</span>" in api, name
    assert "get_training_frame" in api
    assert "delivery to the desk" in api  # the docstring's own words


def test_no_page_makes_a_browser_ask_another_host(site):
    for page in site.glob("*.html"):
        found = Addresses()
        found.feed(page.read_text(encoding="utf-8"))
        assert found.fetched
        assert [address for address in found.fetched if re.match(r"(https?:)?//", address)] == [], page.name


def test_a_broken_link_fails_the_build(site, tmp_path):
    shutil.copytree(DOCS, tmp_path / "docs")
    (tmp_path / "docs" / "pages" / "axes.md").open("a").write("\n[nowhere](no-such-page.md)\n")
    text = (tmp_path / "docs" / "mkdocs.yml").read_text(encoding="utf-8").replace("paths: [..]", f"paths: [{ROOT}]")
    (tmp_path / "docs" / "mkdocs.yml").write_text(text)
    done = subprocess.run([*BUILD, "-d", str(tmp_path / "out")], cwd=tmp_path / "docs", capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "no-such-page.md" in done.stdout + done.stderr
