"""Findings on the machine, the installed packages, the settings and the vendor's key, which is never printed."""

import datetime as dt
import difflib
import importlib.metadata
import os
import platform
import sys
from collections.abc import Iterator
from importlib.resources import files
from zoneinfo import ZoneInfo

from hydra_assets.command import command
from hydra_assets.config.home import Home
from hydra_assets.config.load import load_config, load_release_calendar, user_config_path
from hydra_assets.doctor.finding import Finding
from hydra_assets.errors import ConfigError
from hydra_assets.features.compute import ENTRY_POINTS
from hydra_assets.features.plugins import load_plugins
from hydra_assets.features.registry import FAMILIES
from hydra_assets.host.webserver import port_is_free

PACKAGE = "hydra-assets"
VARIABLES = ("HYDRA_HOME", "HYDRA_WORLD", "HYDRA_CONFIG", "HYDRA_LOG_FORMAT", "HYDRA_LOG_LEVEL")


def examine_machine(home: Home, port: int) -> Iterator[Finding]:
    """Whether the program can run on this machine, with valid settings."""
    yield from _python()
    yield from _packages()
    yield from _variables()
    yield from _settings()
    yield from _entry_points()
    yield from _time_zones()
    yield from _release_calendar()
    yield from _port(port)
    yield from _keys(home)


def _python() -> Iterator[Finding]:
    yield Finding("python", "ok", f"{platform.python_version()} at {sys.executable}")


def _packages() -> Iterator[Finding]:
    from packaging.requirements import Requirement

    try:
        required = [Requirement(line) for line in importlib.metadata.requires(PACKAGE) or ()]
    except importlib.metadata.PackageNotFoundError:
        yield Finding("packages", "warning", f"{PACKAGE} runs from a folder and is not installed", "run it by uv run, or pip install it")
        return
    wrong = []
    for requirement in required:
        try:
            installed = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(installed, prereleases=True):
            wrong.append(f"{requirement.name} {installed} is not {requirement.specifier}")
    if wrong:
        yield Finding("packages", "problem", "; ".join(wrong), "install what requirements.lock says, or run uv sync")
    else:
        versions = f"{PACKAGE} {importlib.metadata.version(PACKAGE)}, dagster {importlib.metadata.version('dagster')}"
        yield Finding("packages", "ok", f"{versions}; all {len(required)} are as required")


def _variables() -> Iterator[Finding]:
    for name in sorted(name for name in os.environ if name.startswith("HYDRA_") and name not in VARIABLES):
        near = difflib.get_close_matches(name, VARIABLES, 1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(VARIABLES)}"
        yield Finding("environment", "warning", f"{name} is set, and nothing reads it", hint)


def _settings() -> Iterator[Finding]:
    path = user_config_path()
    try:
        config = load_config()
    except ConfigError as error:
        shipped = files("hydra_assets.config") / "default.yaml"
        yield Finding("settings", "problem", str(error), f"mend that line; {shipped} has every key with its default")
        return
    where = str(path) if path.exists() else f"defaults alone (no {path})"
    yield Finding("settings", "ok", f"{where}; markets {', '.join(sorted(config.markets))}")


def _entry_points() -> Iterator[Finding]:
    features, faults = load_plugins(importlib.metadata.entry_points(group=ENTRY_POINTS), FAMILIES, group=ENTRY_POINTS)
    for fault in faults:
        yield Finding("features of others", "problem", f"{fault.origin}: {fault.detail}", fault.remedy)
    if features and not faults:
        yield Finding("features of others", "ok", f"{len(features)} by entry point: {', '.join(f.name for f in features)}")


def _time_zones() -> Iterator[Finding]:
    try:
        for zone, hours in (("America/Chicago", -6), ("America/New_York", -5)):
            offset = dt.datetime(2025, 12, 3, 12, tzinfo=ZoneInfo(zone)).utcoffset()
            if offset != dt.timedelta(hours=hours):
                raise ValueError(f"{zone} is {offset} in December 2025, not {hours} hours")
    except Exception as error:
        yield Finding("time zones", "problem", str(error), "install the package tzdata, or mend the system's zone files (TZPATH)")
        return
    yield Finding("time zones", "ok", "Chicago and New York are where they should be")


def _release_calendar() -> Iterator[Finding]:
    until = load_release_calendar().reviewed_until
    age = (dt.datetime.now(dt.UTC).date() - until).days
    message = f"COT release exceptions are reviewed until {until}"
    if age > 0:
        remedy = "upgrade the package; until then later reports count as partial unless a live look saw them come out"
        yield Finding("release calendar", "warning", f"{message}, {age} days ago", remedy)
    else:
        yield Finding("release calendar", "ok", message)


def _port(port: int) -> Iterator[Finding]:
    if port_is_free(port):
        yield Finding("port", "ok", f"{port} on 127.0.0.1 is free")
    else:
        remedy = f"if that is not your UI already: {command(f'ui --port {port + 1}')}"
        yield Finding("port", "warning", f"{port} on 127.0.0.1 is taken", remedy)


def _keys(home: Home) -> Iterator[Finding]:
    """Whether the key of each vendor that needs one is set; the key itself is never printed."""
    from hydra_assets.flow.feeds.registry import FEEDS

    feeds = [feed for feed in FEEDS.values() if feed.secret]
    if home.world != "live":
        present = any(os.environ.get(feed.secret) for feed in feeds)
        message = "not needed in the sample world" + ("; one is set, and nothing here uses it" if present else "")
        yield Finding("key", "ok", message)
        return
    for feed in feeds:
        key, tables = os.environ.get(feed.secret, ""), ", ".join(table.name for table in feed.tables)
        if not key:
            remedy = f"set it for {tables}, which come from {feed.title}; other vendors' tables work without"
            yield Finding("key", "warning", f"{feed.secret} is not set", remedy)
        elif not key.startswith(feed.key_prefix):
            message = f"{feed.secret} does not look like a key of {feed.title}'s"
            yield Finding("key", "problem", message, f"copy it anew: it begins with {feed.key_prefix}")
        else:
            yield Finding("key", "ok", f"{feed.secret} is set; what it may spend: {command('config show')}, {feed.name}")
