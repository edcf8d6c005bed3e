"""The doctor's look at Dagster's own home: its settings, and that no more than one daemon works on it. Dagster is not loaded for it."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from hydra_assets.config.home import Home
from hydra_assets.doctor.finding import Finding


def examine_dagster(home: Home) -> Iterator[Finding]:
    """Whether Dagster is set up as shipped, or knowingly otherwise, and one daemon at most runs."""
    yield from _dagster_home(home)
    yield from _daemons(home)


def _dagster_home(home: Home) -> Iterator[Finding]:
    path = home.dagster / "dagster.yaml"
    elsewhere = os.environ.get("DAGSTER_HOME")
    if elsewhere and Path(elsewhere).absolute() != home.dagster:
        told = f"DAGSTER_HOME is {elsewhere}; the commands here use {home.dagster}"
        yield Finding("dagster", "warning", told, f"export DAGSTER_HOME={home.dagster}, or two sets of runs and schedules grow")
    if not home.root.exists():
        return
    if not path.exists():
        yield Finding("dagster", "warning", f"{path} is not there yet", "hydra-assets ui or backfill puts the shipped one there")
        return
    shipped = yaml.safe_load((files("hydra_assets.config") / "dagster.yaml").read_text(encoding="utf-8"))
    try:
        own: Any = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        yield Finding("dagster", "problem", f"{path}: not valid YAML: {error}", "mend it, or move it away: the shipped one is put there")
        return
    if not isinstance(own, dict):
        yield Finding("dagster", "problem", f"{path}: must be a block of keys", "move it away: the shipped one is put there")
        return
    gone = sorted(key for key in shipped if key not in own)
    changed = sorted(key for key in shipped if key in own and own[key] != shipped[key])
    if gone:
        remedy = "add them as hydra_assets/config/dagster.yaml has them, or move the file away: the shipped one is put there"
        yield Finding("dagster", "warning", f"{path} lacks {', '.join(gone)}", remedy)
    elif changed:
        yield Finding("dagster", "ok", f"{path}, with {', '.join(changed)} of your own")
    else:
        yield Finding("dagster", "ok", f"{path}, as shipped")


def _daemons(home: Home) -> Iterator[Finding]:
    """Daemons over this home: the one that `hydra-assets ui` guards, and any other that the system shows."""
    ours = _held(home.root / "daemon.lock")
    found = list(_daemon_processes(home.dagster))
    if len(found) > 1:
        told = f"{len(found)} daemons run on {home.dagster}: processes {', '.join(map(str, found))}"
        yield Finding("daemon", "problem", told, "stop all but one: each runs every schedule, so what they ask for is asked for twice")
    elif ours or found:
        yield Finding("daemon", "ok", f"one runs{f' (process {found[0]})' if found else ''}")
    else:
        yield Finding("daemon", "ok", "none runs; schedules and sensors work while hydra-assets ui, or the service, is up")


def _daemon_processes(dagster_home: Path) -> Iterator[int]:
    """Process ids, where the system has /proc."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if not any(word.endswith((b"dagster-daemon", b"dagster._daemon")) for word in words) or b"run" not in words:
                continue
            variables = dict(part.split(b"=", 1) for part in (folder / "environ").read_bytes().split(b"\0") if b"=" in part)
            if Path(os.fsdecode(variables.get(b"DAGSTER_HOME", b""))) == dagster_home:
                yield int(folder.name)


def _held(path: Path) -> bool:
    """Whether another process holds the lock of *path*."""
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False
