"""A person's path through the UI, in a real browser: the graph, a partition, a backfill of two months, green checks, a plot."""

import functools
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
import requests

from hydra_assets.config.home import resolve_home
from hydra_assets.host.webserver import stop
from hydra_assets_tests.host.test_live import free_port, wait_for

playwright = pytest.importorskip("playwright.sync_api", reason="the dependency group 'browser' is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine (Debian: apt-get install chromium)"),
]

ROOT = Path(__file__).parents[2]
WAIT_MS = 90_000
LOCATION = "hydra_assets.definitions"


@contextmanager
def ui(home, port):
    """`hydra-assets ui` without its banner."""
    home.prepare_dagster()
    environment = {**os.environ, "DAGSTER_HOME": str(home.dagster), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "ignore", "-m", "hydra_assets.host.serve", "--port", str(port)]
    process = subprocess.Popen(command, cwd=home.dagster, env=environment, start_new_session=True)
    try:
        wait_for(lambda: requests.get(f"http://127.0.0.1:{port}/server_info", timeout=2).ok, 120)
        yield f"http://127.0.0.1:{port}"
    finally:
        stop(process)


@contextmanager
def browser_page(said):
    """A page; what its console calls an error is appended to *said*."""
    with playwright.sync_playwright() as engine:
        chromium = engine.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        page = chromium.new_page(viewport={"width": 1500, "height": 1000})
        page.set_default_timeout(WAIT_MS)
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        yield page
        chromium.close()


def launch(page, months, button):
    """In the open page, Materialize: HE and *months*."""
    page.get_by_role("button", name="Materialize").first.click()
    page.get_by_text("Select a partition or create one").first.click()
    page.get_by_role("menuitem", name="HE").first.click()
    page.keyboard.press("Escape")
    month = page.get_by_placeholder("ex: 2010-06")
    month.fill(months)
    month.press("Enter")
    page.get_by_role("button", name=button, exact=True).click()


def test_a_first_time_user_makes_months_and_reads_them():
    home, port, said = resolve_home(), free_port(), []
    with ui(home, port) as url, dg.DagsterInstance.from_config(str(home.dagster)) as instance, browser_page(said) as page:

        def succeeded(count):
            runs = instance.get_runs()
            assert not [run for run in runs if run.status is dg.DagsterRunStatus.FAILURE]
            return len(runs) == count and all(run.is_success for run in runs)

        page.goto(f"{url}/")  # the first page is the graph of all tables
        for group in ("raw", "derived", "features"):
            page.get_by_text(group, exact=True).first.wait_for()
        page.get_by_role("link", name="Jobs").first.click()
        page.get_by_role("link", name="cot_refresh").first.click()
        launch(page, "2025-09", "Launch 1 run")
        wait_for(lambda: succeeded(1), 180)
        for count, table in enumerate(("cot_disaggregated", "cot_features"), start=2):
            page.goto(f"{url}/assets/{table}?view=overview")
            launch(page, "[2025-10...2025-11]", "Launch backfill")
            wait_for(functools.partial(succeeded, count), 240)

        page.goto(f"{url}/assets/cot_features?view=checks")
        page.get_by_text("Checks (7)").wait_for()
        wait_for(lambda: page.get_by_text("Succeeded", exact=True).count() == 6, 60)
        page.get_by_text("Skipped", exact=True).wait_for()  # nothing was handed out, so `served` has nothing to say

        page.goto(f"{url}/assets/cot_features?view=partitions")
        page.get_by_text("HE", exact=True).first.click()
        page.get_by_text("2025-11", exact=True).first.click()
        page.get_by_text("positioning_picture").wait_for()
        page.get_by_role("button", name="Show Markdown").or_(page.get_by_text("Show Markdown")).first.click()
        picture = page.locator("img[src^='data:image/png']").first
        picture.wait_for()
        assert picture.evaluate("image => image.naturalWidth") > 500

        page.goto(f"{url}/assets/cot_disaggregated?view=overview")
        page.get_by_text("Contracts held long by managed money.").wait_for()
        page.goto(f"{url}/automation")
        page.get_by_text("after_settlement").wait_for()

        page.goto(f"{url}/desk/HE?at=2025-11-18T18:00Z")
        page.get_by_text("140,103").first.wait_for()
        drawn = page.locator("figure img")
        assert drawn.count() >= 3
        assert drawn.evaluate_all("images => images.every(image => image.complete && image.naturalWidth > 500)")
        page.goto(f"{url}/assets/cot_features?view=overview")
        page.get_by_text("feature/cot_mm_net", exact=True).first.wait_for()
    assert said == []
