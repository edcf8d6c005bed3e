"""Facts and problems of a lake and a store, for whoever renders them; read-only, without locks, and nothing is created."""

import datetime as dt
import os
from dataclasses import dataclass
from typing import Literal

from hydra_assets.core.instants import from_us
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.errors import CorruptionError
from hydra_assets.storage import files
from hydra_assets.storage.backend import Storage
from hydra_assets.storage.folder import folder_of
from hydra_assets.storage.local import LocalStorage
from hydra_assets.storage.names import named_world

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


def lake_health(lake: str | os.PathLike[str] | Storage, world: str) -> LakeHealth:
    """
    Examine a lake: its world, the newest file of every table (footer, place and world), its clock and its leftovers.

    Args:
        lake: the root, or its storage; it need not exist.
        world: the world that it should belong to.
    """
    storage = LocalStorage(lake) if isinstance(lake, str | os.PathLike) else lake
    if not storage.exists():
        return LakeHealth()
    try:
        named = named_world(storage)
    except CorruptionError as error:
        detail, _, remedy = str(error).partition("; ")
        return LakeHealth(problems=(Problem("lake", str(storage.path("")), detail, remedy),))
    held = {folder: found for folder in _month_folders(storage) if (found := files.committed(storage, folder))}
    newest = {folder.partition("/")[0]: found[-1] for folder, found in held.items()}
    stamps = [stamp for folder in _month_folders(storage) if (stamp := storage.last_stamp(folder)) is not None]
    problems = _world_problems(storage, named, world)
    if not problems:
        problems = [found for key in sorted(newest.values()) for found in _file_problems(storage, key, world)]
    return LakeHealth(
        world=named,
        tables=len(newest),
        feature_months=frozenset(month for folder in held if (month := _feature_month(folder))),
        last_recorded_at=from_us(max(stamps)) if stamps else None,
        orphans=tuple(storage.orphans()),
        problems=tuple(problems),
    )


def _month_folders(storage: Storage) -> list[str]:
    """Keys of all month folders, oldest month first."""
    return sorted(storage.folders("data_type=*/market=*/year=*/month=*"), key=lambda key: key.split("/")[2:])


def _world_problems(storage: Storage, named: str | None, world: str) -> list[Problem]:
    if named == world:
        return []
    root = storage.path("")
    detail = f"{root} belongs to the world {named or 'of nobody'}, not to {world}"
    return [Problem("lake", str(root), detail, "put the right folder back from a backup; the two worlds never share one")]


def _file_problems(storage: Storage, key: str, world: str) -> list[Problem]:
    place = str(storage.path(key))
    try:
        footer = files.footer(storage, key)
    except (CorruptionError, OSError) as error:
        remedy = "restore that file from a backup, or move it away and run the backfill of its month"
        return [Problem("lake", place, str(error), remedy)]
    if footer["world"] == world:
        return []
    return [Problem("lake", place, f"{place} belongs to the world {footer['world']}", "move it away; the backfill fetches its own")]


def _feature_month(key: str) -> tuple[str, str] | None:
    """Market and month of a folder of features; None of any other."""
    folder = folder_of(key)
    if folder is None or folder.data_type not in TABLES or TABLES[folder.data_type].group != "features":
        return None
    return folder.market, f"{folder.year:04d}-{folder.month:02d}"
