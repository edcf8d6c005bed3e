"""The site builds strictly, and its pages ask no other host."""

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pytest

import hydra_assets
from hydra_assets.features import ALL
from hydra_assets_tests.docs.test_docs import PAGES, ROOT

DOCS = ROOT / "docs"


class Addresses(HTMLParser):
    """The resources that a browser fetches by itself for a page."""

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


@pytest.mark.slow
def test_a_broken_link_fails_the_build(site, tmp_path):
    shutil.copytree(DOCS, tmp_path / "docs")
    (tmp_path / "docs" / "pages" / "axes.md").open("a").write("\n[nowhere](no-such-page.md)\n")
    text = (tmp_path / "docs" / "mkdocs.yml").read_text(encoding="utf-8").replace("paths: [..]", f"paths: [{ROOT}]")
    (tmp_path / "docs" / "mkdocs.yml").write_text(text)
    done = subprocess.run([*BUILD, "-d", str(tmp_path / "out")], cwd=tmp_path / "docs", capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "no-such-page.md" in done.stdout + done.stderr
