"""Facts and problems of a lake and a store, for whoever renders them; read-only, without locks, and nothing is created."""

import contextlib
import datetime as dt
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hydra_assets.core.instants import from_us
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.errors import CorruptionError
from hydra_assets.storage import files
from hydra_assets.storage.folder import PLACE
from hydra_assets.storage.names import WORLD_FILE

Severity = Literal["warning", "problem"]


@dataclass(frozen=True)
class Problem:
    """
    One thing that is wrong, and how to mend it.

    Attributes:
        subject: ``lake``, ``store`` or ``findings``.
        place: the file or folder.
        detail: the fault, naming its place.
        remedy: the action that mends it.
        severity: ``problem`` stops the work, ``warning`` does not.
    """

    subject: str
    place: str
    detail: str
    remedy: str
    severity: Severity = "problem"


@dataclass(frozen=True)
class LakeHealth:
    """
    Facts and problems of a lake.

    Attributes:
        world: the world that the root names; None: no lake is there, or its root names none.
        tables: how many data types hold files.
        feature_months: market and ``YYYY-MM`` of every month that holds features.
        last_recorded_at: the newest recording stamp handed out in any folder.
        orphans: staging of writers that were killed more than an hour ago.
        problems: found in the root and in the newest file of every table.
    """

    world: str | None = None
    tables: int = 0
    feature_months: frozenset[tuple[str, str]] = frozenset()
    last_recorded_at: dt.datetime | None = None
    orphans: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class StoreHealth:
    """
    Facts and problems of a store.

    Attributes:
        world: the world that the store names.
        version: of its schema; None: no store is there, or it cannot be read.
        series: how many features of markets it has ever held.
        published: market and ``YYYY-MM`` of every month ever published; None where that cannot be read.
        last_recorded_at: the newest recording stamp handed out.
        problems: found without reading rows.
    """

    world: str | None = None
    version: int | None = None
    series: int = 0
    published: frozenset[tuple[str, str]] | None = None
    last_recorded_at: dt.datetime | None = None
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class FindingsHealth:
    """
    Facts and problems of the table of open findings.

    Attributes:
        open: how many findings are open.
        problems: found in the file.
    """

    open: int = 0
    problems: tuple[Problem, ...] = ()


def lake_health(lake: str | os.PathLike[str], world: str) -> LakeHealth:
    """
    Examine a lake: its world, the newest file of every table (footer, place and world), its clock and its leftovers.

    Args:
        lake: the root; it need not exist.
        world: the world that it should belong to.
    """
    root = Path(lake)
    if not root.exists():
        return LakeHealth()
    named = _text(root / WORLD_FILE) or None
    folders = sorted(root.glob("data_type=*/market=*/year=*/month=*"), key=lambda f: (f.parent.name, f.name), reverse=True)
    held = {folder: found for folder in folders if (found := files.committed(folder))}
    newest = {folder.parents[2].name: found[-1] for folder, found in reversed(held.items())}
    stamps = [stamp for folder in folders if (stamp := files.last_stamp(folder)) is not None]
    problems = [*_world_problems(root, named, world)] or [
        found for path in sorted(newest.values()) for found in _file_problems(root, path, world)
    ]
    return LakeHealth(
        world=named,
        tables=len(newest),
        feature_months=frozenset(month for folder in held if (month := _feature_month(folder.relative_to(root).as_posix()))),
        last_recorded_at=from_us(max(stamps)) if stamps else None,
        orphans=tuple(_orphans(root)),
        problems=tuple(problems),
    )


def _world_problems(root: Path, named: str | None, world: str) -> list[Problem]:
    if named == world:
        return []
    detail = f"{root} belongs to the world {named or 'of nobody'}, not to {world}"
    return [Problem("lake", str(root), detail, "put the right folder back from a backup; the two worlds never share one")]


def _file_problems(root: Path, path: Path, world: str) -> list[Problem]:
    try:
        footer = files.footer(root, path)
    except (CorruptionError, OSError) as error:
        remedy = "restore that file from a backup, or move it away and run the backfill of its month"
        return [Problem("lake", str(path), str(error), remedy)]
    if footer["world"] == world:
        return []
    detail = f"{path} belongs to the world {footer['world']}"
    return [Problem("lake", str(path), detail, "move it away; the backfill fetches its own")]


def _feature_month(key: str) -> tuple[str, str] | None:
    """Market and month of a folder of features; None of any other."""
    place = PLACE.fullmatch(key)
    if place is None or place["data_type"] not in TABLES or TABLES[place["data_type"]].group != "features":
        return None
    return place["market"], f"{place['year']}-{place['month']}"


def _orphans(root: Path) -> list[str]:
    found = []
    for path in sorted((root / files.STAGING).glob("*")):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > files.ORPHAN_AGE_S:
                found.append(str(path))
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
