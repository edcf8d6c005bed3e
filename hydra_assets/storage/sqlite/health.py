"""Facts and problems of the SQLite files, read through read-only connections."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from hydra_assets.core.instants import from_us
from hydra_assets.errors import CorruptionError
from hydra_assets.sqlite_errors import rebuild_remedy, remedy_of
from hydra_assets.sqlite_new import refuse_stub
from hydra_assets.sqlite_wal import check_journal
from hydra_assets.storage.health import FindingsHealth, Problem, StoreHealth
from hydra_assets.storage.sqlite.file import reading_uri
from hydra_assets.storage.sqlite.migrations import STEPS


def store_health(db_path: str | os.PathLike[str], world: str) -> StoreHealth:
    """
    Examine a store: its schema, its world, SQLite's own structure and its clock; rows are not read.

    Args:
        db_path: the SQLite file; it need not exist.
        world: the world that it should belong to.
    """
    path = Path(db_path)
    if not path.exists():
        return StoreHealth()
    try:
        with _reading(path) as db:
            version = int(db.execute("PRAGMA user_version").fetchone()[0])
            if version > len(STEPS):
                detail = f"{path} has schema {version}, this package knows {len(STEPS)}"
                newer = Problem("store", str(path), detail, "it was written by a newer package: upgrade this one")
                return StoreHealth(version=version, problems=(newer,))
            verdict = str(db.execute("PRAGMA quick_check").fetchone()[0])
            about = dict(db.execute("SELECT key, value FROM about").fetchall()) if version else {}
            series = int(db.execute("SELECT count(*) FROM series").fetchone()[0]) if version else 0
            published = frozenset(db.execute("SELECT DISTINCT market, month FROM publishes").fetchall()) if version else frozenset()
    except sqlite3.DatabaseError as error:
        return StoreHealth(problems=(Problem("store", str(path), f"{path}: {error}", remedy_of(error, path)),))
    except CorruptionError as error:
        return StoreHealth(problems=(Problem("store", str(path), str(error), rebuild_remedy(path)),))
    named, last = about.get("world"), about.get("last_recorded_at")
    return StoreHealth(
        world=named,
        version=version,
        series=series,
        published=published,
        last_recorded_at=from_us(int(last)) if last else None,
        problems=tuple(_problems(path, named, world, verdict)),
    )


def findings_health(db_path: str | os.PathLike[str]) -> FindingsHealth:
    """
    Examine the table of open findings.

    Args:
        db_path: the SQLite file; it need not exist.
    """
    path = Path(db_path)
    if not path.exists():
        return FindingsHealth()
    count, remedy = 0, rebuild_remedy(path)
    try:
        with _reading(path) as db:
            verdict = str(db.execute("PRAGMA quick_check").fetchone()[0])
            count = int(db.execute("SELECT count(*) FROM findings").fetchone()[0])
    except sqlite3.DatabaseError as error:
        verdict, remedy = str(error), remedy_of(error, path)
    except CorruptionError as error:
        verdict = str(error)
    if verdict == "ok":
        return FindingsHealth(count)
    return FindingsHealth(count, (Problem("findings", str(path), f"{path}: {verdict}", remedy),))


def _problems(path: Path, named: str | None, world: str, verdict: str) -> Iterator[Problem]:
    if named != world:
        detail = f"{path} belongs to the world {named or 'of nobody'}, not to {world}"
        yield Problem("store", str(path), detail, "put the right file back; the two worlds never share one")
    elif verdict != "ok":
        yield Problem("store", str(path), f"{path}: {verdict}", rebuild_remedy(path))


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    refuse_stub(path)
    check_journal(path)
    db = sqlite3.connect(reading_uri(path), uri=True, timeout=5)
    try:
        yield db
    finally:
        db.close()
