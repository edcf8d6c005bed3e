"""
Start of the program: help, definitions, a quote, the smallest backfill, and the UI until its page answers.

    uv run --group bench python -m benchmarks --only start [--rounds 5]

Processor seconds of a process of its own, children included, in a new home of synthetic data; bytecode is there before the first is
timed. The UI is timed by the clock on the wall, since it waits for its own processes: on a busy machine that says little.
"""

import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator

from benchmarks.table import Row, alternated

PROGRAM = [sys.executable, "-m", "hydra_assets"]
DEADLINE_S = 120


def run(*words: str) -> Callable[[], object]:
    """A process of this interpreter in a new home."""

    def process() -> None:
        with tempfile.TemporaryDirectory() as home:
            subprocess.run([sys.executable, *words], env=_environment(home), check=True, capture_output=True)

    return process


def _environment(home: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "HYDRA_HOME": home, "HYDRA_WORLD": "sample", "PYTHONWARNINGS": "ignore"}


def ui_seconds() -> float:
    """Seconds of `hydra-assets ui` in a new home until the page is there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as home:
        begun = time.perf_counter()
        process = subprocess.Popen([*PROGRAM, "ui", "--port", str(port)], env=_environment(home), stdout=subprocess.DEVNULL)
        try:
            _wait_for(f"http://127.0.0.1:{port}/", process)
            return time.perf_counter() - begun
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def _wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310  of this machine
                return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(f"{url}: no answer within {DEADLINE_S} s")


def rows(*, rounds: int, long: bool = False) -> Iterator[Row]:
    """Each command, the longer ones less often."""
    program = ["-m", "hydra_assets"]
    works = [run("-c", "import dagster"), run("-c", "import hydra_assets.definitions"), run(*program, "--help")]
    for work in works:
        work()  # compiles
    dagster, definitions, help_page = alternated(rounds, *works)
    yield Row("--help", help_page, most=0.30)
    yield Row("definitions load", definitions, "import dagster", dagster, most=1.3)
    (quote,) = alternated(rounds, run(*program, "quote", "HE", "2025-10"))
    yield Row("quote HE 2025-10", quote, most=3.0)
    (backfill,) = alternated(min(rounds, 3), run(*program, "backfill", "HE", "2025-10", "--select", "cot_disaggregated", "--yes"))
    yield Row("backfill of one month of COT", backfill, most=5.0)
    yield Row("ui until the page answers, wall", statistics.median(ui_seconds() for _ in range(min(rounds, 3))), most=8.0)
