"""Findings on Dagster's home: its settings, and at most one daemon; without importing Dagster."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from hydra_assets.command import command
from hydra_assets.config.home import Home
from hydra_assets.doctor.finding import Finding
from hydra_assets.host.webserver import DAEMON_LOCK


def examine_dagster(home: Home) -> Iterator[Finding]:
    """Whether Dagster's settings are complete and at most one daemon runs."""
    yield from _environment(home)
    if home.root.exists():
        yield _settings(home.dagster / "dagster.yaml", home.world)
    yield _daemons(home)


def _environment(home: Home) -> Iterator[Finding]:
    elsewhere = os.environ.get("DAGSTER_HOME")
    if elsewhere and Path(elsewhere).absolute() != home.dagster:
        message = f"DAGSTER_HOME is {elsewhere}; the commands here use {home.dagster}"
        yield Finding("dagster", "warning", message, f"export DAGSTER_HOME={home.dagster}, or two sets of runs and schedules grow")


def _settings(path: Path, world: str) -> Finding:
    if not path.exists():
        return Finding("dagster", "warning", f"{path} is not there yet", f"{command('ui', world=world)} puts the shipped one there")
    shipped = yaml.safe_load((files("hydra_assets.config") / "dagster.yaml").read_text(encoding="utf-8"))
    try:
        own: Any = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        return Finding("dagster", "problem", f"{path}: not valid YAML: {error}", "mend it, or move it away: the shipped one is put there")
    if not isinstance(own, dict):
        return Finding("dagster", "problem", f"{path}: must be a block of keys", "move it away: the shipped one is put there")
    missing = sorted(key for key in shipped if key not in own)
    if missing:
        remedy = "add them as hydra_assets/config/dagster.yaml has them, or move the file away: the shipped one is put there"
        return Finding("dagster", "warning", f"{path} lacks {', '.join(missing)}", remedy)
    changed = sorted(key for key in shipped if own[key] != shipped[key])
    return Finding("dagster", "ok", f"{path}, with {', '.join(changed)} of your own" if changed else f"{path}, as shipped")


def _daemons(home: Home) -> Finding:
    """Daemons of this home: the one that holds `hydra-assets ui`'s lock, and any other among the system's processes."""
    found = list(_daemon_processes(home.dagster))
    if len(found) > 1:
        message = f"{len(found)} daemons run on {home.dagster}: processes {', '.join(map(str, found))}"
        return Finding("daemon", "problem", message, "stop all but one: each runs every schedule, so what they ask for is asked for twice")
    if found or _locked(home.root / DAEMON_LOCK):
        return Finding("daemon", "ok", f"one runs{f' (process {found[0]})' if found else ''}")
    return Finding("daemon", "ok", f"none runs; schedules and sensors work while {command('ui', world=home.world)}, or the service, is up")


def _daemon_processes(dagster_home: Path) -> Iterator[int]:
    """Process ids, on systems with /proc."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            arguments = (folder / "cmdline").read_bytes().split(b"\0")
            if not any(part.endswith((b"dagster-daemon", b"dagster._daemon")) for part in arguments) or b"run" not in arguments:
                continue
            variables = dict(part.split(b"=", 1) for part in (folder / "environ").read_bytes().split(b"\0") if b"=" in part)
            if Path(os.fsdecode(variables.get(b"DAGSTER_HOME", b""))) == dagster_home:
                yield int(folder.name)


def _locked(path: Path) -> bool:
    """Whether another process holds the lock of *path*."""
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False
