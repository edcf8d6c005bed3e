"""Commands that messages name, run as they are printed in the shell that printed them."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from hydra_assets.command import command
from hydra_assets_tests.support.demo_home import PROGRAM

UV = '#!/bin/sh\n[ "$1" = run ] || exit 64\nshift\nUV_RUN_RECURSION_DEPTH=1 PATH="{bin}:$PATH" exec "$@"\n'
REMEDY = re.compile(r"(?:uv run |\S*/)?hydra-assets(?: [a-z][\w-]*)+(?: [A-Z]\w*)?(?: \d{4}-\d\d(?:\.\.\d{4}-\d\d)?)?(?: --world live)?")


@pytest.fixture(params=["uv", "on the path", "by its path"])
def shell(request, tmp_path):
    """A shell in which the program is started in one of the README's three ways; runs a line, gives its result."""
    bare = os.pathsep.join(folder for folder in os.environ["PATH"].split(os.pathsep) if not (Path(folder) / "hydra-assets").exists())
    started, venv = tmp_path / "bin", Path(PROGRAM).parent
    started.mkdir()
    if request.param == "uv":
        (started / "uv").write_text(UV.format(bin=venv))
        (started / "uv").chmod(0o755)
    way, path = {"uv": ("uv run hydra-assets", started), "on the path": ("hydra-assets", venv), "by its path": (PROGRAM, started)}[
        request.param
    ]
    environment = {name: value for name, value in os.environ.items() if name != "UV_RUN_RECURSION_DEPTH"}
    environment |= {"PATH": f"{path}{os.pathsep}{bare}", "COLUMNS": "80", "NO_COLOR": "1"}

    def run(line):
        line = line.replace("$PROGRAM", way)
        return subprocess.run(["sh", "-c", line], env=environment, capture_output=True, text=True, check=False, cwd=tmp_path)

    return run


def remedies(done):
    return [match[0] for match in REMEDY.finditer(done.stdout + done.stderr)]


@pytest.mark.slow
def test_a_remedy_runs_in_the_shell_that_printed_it(shell):
    told = shell("$PROGRAM features LE")
    (fill,) = remedies(told)
    assert fill.endswith("hydra-assets backfill LE 2025-01..2025-12")
    filled = shell(f"{fill} -q --select 'cot_*'")
    assert filled.returncode == 0, filled.stdout + filled.stderr
    assert "LE as known at" in shell("$PROGRAM features LE").stdout  # it has helped
    hint = re.search(r"Try '(.+)' for help", shell("$PROGRAM export").stderr)[1]
    assert "Usage: hydra-assets export" in shell(hint).stdout


@pytest.mark.parametrize("words", ["features HE --at 2025-10-20", "explain HE cot_mm_net --at 2025-10-20T12:00:30"])
def test_an_instant_that_is_told_to_be_written_is_taken(words, cot_home):
    def said(line):
        return subprocess.run([PROGRAM, *line.split()], capture_output=True, text=True, check=False).stderr

    better = re.findall(r"2025-\S+(?:Z|-05:00)", said(words).partition("write ")[2])
    assert len(better) == 2
    for instant in better:
        assert said(f"{words.rpartition(' ')[0]} {instant}") == ""


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("features HE", "hydra-assets demo\n"),
        ("features LE", "hydra-assets backfill LE 2025-01..2025-12\n"),
        ("features HE --world live", r"hydra-assets backfill HE \S+ --world live .*hydra-assets quote HE \S+ --world live"),
        ("lake ls --market GF", "hydra-assets backfill GF 2025-01..2025-12\n"),
        ("lake ls --world live", r"hydra-assets backfill HE \S+ --world live"),
        ("explain GF cot_mm_net", "hydra-assets backfill GF 2025-01..2025-12\n"),
        ("export GF --start 2025-01-02 --end 2025-01-31 -o x.csv", "hydra-assets backfill GF 2025-01..2025-12\n"),
    ],
)
def test_what_is_empty_names_the_command_that_fills_it(words, says, tmp_path):
    done = subprocess.run([PROGRAM, *words.split()], capture_output=True, text=True, check=False, cwd=tmp_path)
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    assert re.search(says, said)


def test_the_world_is_named_where_the_shell_would_take_another(monkeypatch):
    assert command("ui", world="live").endswith("hydra-assets ui --world live")
    assert command("ui", world="sample").endswith("hydra-assets ui")
    monkeypatch.setenv("HYDRA_WORLD", "live")
    assert command("ui", world="live").endswith("hydra-assets ui")
    assert command("ui", world="sample").endswith("hydra-assets ui --world sample")


@pytest.mark.parametrize("world", ["sample", "live"])
def test_a_damaged_store_is_rebuilt_by_the_command_of_its_own_world(world, home):
    folder = home / world
    folder.mkdir(parents=True)
    (folder / "store.sqlite").write_bytes(b"SQLite format 3\0" + b"x" * 4096)
    done = subprocess.run([PROGRAM, "features", "HE", "--world", world], capture_output=True, text=True, check=False)
    assert f"hydra-assets store rebuild{' --world live' if world == 'live' else ''};" in done.stderr
