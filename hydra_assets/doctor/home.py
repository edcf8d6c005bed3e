"""
The doctor's look at a home: cheap questions, asked read-only; nothing is created, migrated or mended.

What is whole in detail, `hydra-assets lake verify` and `hydra-assets store check` say.
"""

import contextlib
import datetime as dt
import os
import shutil
import sqlite3
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from hydra_assets.config.home import Home
from hydra_assets.doctor.finding import Finding
from hydra_assets.errors import CorruptionError
from hydra_assets.host.run_locks import dead_runs
from hydra_assets.storage import files
from hydra_assets.storage.lake import WORLD_FILE
from hydra_assets.storage.migrations import STEPS

LITTLE_GB, TOO_LITTLE_GB = 5.0, 0.5
CLOCK_SLACK_S = 2.0


def examine_home(home: Home) -> Iterator[Finding]:
    """Whether folders, lake, store and ledger are there, whole, of one world, and in step."""
    yield from _folders(home)
    yield from _disk(home)
    yield from _lake(home)
    yield from _store(home)
    yield from _databases(home)
    yield from _in_step(home)
    yield from _clock(home)
    yield from _leftovers(home)


def _folders(home: Home) -> Iterator[Finding]:
    if not home.root.exists():
        yield Finding(
            "home", "warning", f"{home.root} does not exist yet", "hydra-assets demo, or hydra-assets backfill, makes and fills it"
        )
        return
    for folder in (home.base, home.root):
        about = folder.stat()
        if about.st_uid != os.getuid() or not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            told = f"{folder} belongs to user {about.st_uid} or cannot be written by you (user {os.getuid()})"
            yield Finding("home", "problem", told, f"run as its owner, or: sudo chown -R {os.getuid()} {folder}")
            return
    mode = stat.S_IMODE(home.root.stat().st_mode)
    if mode & 0o077:
        yield Finding("home", "warning", f"{home.root} is open to others (mode {mode:o})", f"chmod 700 {home.root}")
    else:
        yield Finding("home", "ok", f"{home.root} (world {home.world}), yours alone")


def _disk(home: Home) -> Iterator[Finding]:
    folder = next(folder for folder in (home.root, *home.root.parents) if folder.exists())
    free = shutil.disk_usage(folder).free / 1e9
    told = f"{free:,.1f} GB free at {folder}"
    if free < TOO_LITTLE_GB:
        yield Finding("disk", "problem", told, "free some space: writes will fail (they leave nothing half-written)")
    elif free < LITTLE_GB:
        yield Finding("disk", "warning", told, "free some space before a long backfill")
    else:
        yield Finding("disk", "ok", told)


def _lake(home: Home) -> Iterator[Finding]:
    """The world mark, and the newest file of every table: its footer, place and world."""
    if not home.lake.exists():
        return
    world = _text(home.lake / WORLD_FILE)
    if world != home.world:
        told = f"{home.lake} belongs to the world {world or 'of nobody'}, not to {home.world}"
        yield Finding("lake", "problem", told, "put the right folder back from a backup; the two worlds never share one")
        return
    tables = sorted(home.lake.glob("data_type=*"))
    count = 0
    for table in tables:
        newest = next((found[-1] for folder in _month_folders(table) if (found := files.committed(folder))), None)
        if newest is None:
            continue
        count += 1
        try:
            footer = files.footer(home.lake, newest)
        except (CorruptionError, OSError) as error:
            yield Finding(
                "lake", "problem", str(error), "restore that file from a backup, or move it away and run the backfill of its month"
            )
            continue
        if footer["world"] != home.world:
            yield Finding(
                "lake", "problem", f"{newest} belongs to the world {footer['world']}", "move it away; the backfill fetches its own"
            )
    yield Finding("lake", "ok", f"{home.lake}: {count} tables; the newest file of each is whole (hydra-assets lake verify reads all)")


def _store(home: Home) -> Iterator[Finding]:
    if not home.store.exists():
        return
    try:
        with _reading(home.store) as db:
            version = int(db.execute("PRAGMA user_version").fetchone()[0])
            if version > len(STEPS):
                told = f"{home.store} has schema {version}, this package knows {len(STEPS)}"
                yield Finding("store", "problem", told, "it was written by a newer package: upgrade this one")
                return
            world = db.execute("SELECT value FROM about WHERE key = 'world'").fetchone() if version else ("",)
            verdict = str(db.execute("PRAGMA quick_check").fetchone()[0])
            series = db.execute("SELECT count(*) FROM series").fetchone()[0] if version else 0
    except sqlite3.DatabaseError as error:
        yield Finding(
            "store", "problem", f"{home.store}: {error}", "restore it from a backup, or move it away and run hydra-assets store rebuild"
        )
        return
    if world is None or world[0] != home.world:
        told = f"{home.store} belongs to the world {world[0] if world else 'of nobody'}, not to {home.world}"
        yield Finding("store", "problem", told, "put the right file back; the two worlds never share one")
    elif verdict != "ok":
        yield Finding("store", "problem", f"{home.store}: {verdict}", "restore it, or move it away and run hydra-assets store rebuild")
    else:
        yield Finding("store", "ok", f"{home.store}: {series} series, schema {version}")


def _databases(home: Home) -> Iterator[Finding]:
    for name, path, remedy in (
        ("ledger", home.ledger, "restore it from a backup: without it what is paid already is asked for again"),
        ("findings", home.findings, "move it away: the next run of the checks makes it anew"),
    ):
        if not path.exists():
            continue
        try:
            with _reading(path) as db:
                verdict = str(db.execute("PRAGMA quick_check").fetchone()[0])
                count = db.execute("SELECT count(*) FROM " + ("requests" if name == "ledger" else "findings")).fetchone()[0]
        except sqlite3.DatabaseError as error:
            verdict, count = str(error), 0
        if verdict != "ok":
            yield Finding(name, "problem", f"{path}: {verdict}", remedy)
        elif name == "findings" and count:
            yield Finding(
                name, "warning", f"{count} open finding(s) of checks", "hydra-assets ui shows them: the check open_findings of each table"
            )
        else:
            yield Finding(name, "ok", f"{count} {'requests' if name == 'ledger' else 'open findings'}")


def _in_step(home: Home) -> Iterator[Finding]:
    """The store speaks of every month of features that the lake holds; not so after one of the two was restored alone."""
    if not home.store.exists() or not home.lake.exists():
        return
    held = set()
    for folder in home.lake.glob("data_type=*_features/market=*/year=*/month=*"):
        if files.committed(folder):
            parts = dict(part.split("=", 1) for part in folder.relative_to(home.lake).parts)
            held.add((parts["market"], f"{parts['year']}-{parts['month']}"))
    try:
        with _reading(home.store) as db:
            published = set(db.execute("SELECT DISTINCT market, month FROM publishes").fetchall())
    except sqlite3.DatabaseError:
        return  # told already
    missing = sorted(held - published)
    if missing:
        market, month = missing[0]
        told = f"{len(missing)} months of features are in the lake and not in the store, the first {market} {month}"
        yield Finding("store and lake", "warning", told, "hydra-assets store rebuild, or a backfill of these months")
    elif held:
        yield Finding("store and lake", "ok", f"the store speaks of all {len(held)} months of features in the lake")


def _clock(home: Home) -> Iterator[Finding]:
    newest: list[float] = []
    for lock in home.lake.glob("data_type=*/market=*/year=*/month=*/.lock"):
        if (text := _text(lock)).isdigit():
            newest.append(int(text) / 1e6)
    if home.store.exists():
        with contextlib.suppress(sqlite3.DatabaseError, TypeError), _reading(home.store) as db:
            newest.append(int(db.execute("SELECT value FROM about WHERE key = 'last_recorded_at'").fetchone()[0]) / 1e6)
    ahead = max(newest, default=0.0) - time.time()
    if ahead > CLOCK_SLACK_S:
        when = dt.datetime.fromtimestamp(max(newest), dt.UTC)
        told = f"the newest recording is of {when:%Y-%m-%d %H:%M:%SZ}, {ahead:,.0f} s ahead of this clock"
        yield Finding("clock", "problem", told, "set the clock (NTP); until it has caught up recordings follow each other by a microsecond")
    else:
        yield Finding("clock", "ok", f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M:%SZ}, no recording lies in its future")


def _leftovers(home: Home) -> Iterator[Finding]:
    found = [*(home.lake / files.STAGING).glob("*"), *home.archives.glob("**/.fetch-*"), *home.archives.glob("**/*.part")]
    old = [path for path in found if time.time() - path.stat().st_mtime > files.ORPHAN_AGE_S]
    dead = dead_runs(home)
    if old:
        told = f"{len(old)} unfinished file(s) of writers that were killed, the first {old[0]}"
        yield Finding(
            "leftovers", "warning", told, "harmless: readers ignore them, and the lake's next write removes its own; or delete them"
        )
    if dead:
        told = f"{len(dead)} run(s) whose process was killed: {', '.join(run[:8] for run in dead)}"
        yield Finding(
            "leftovers", "warning", told, "the next hydra-assets backfill ends them in Dagster's records; what they wrote is kept"
        )
    if not old and not dead:
        yield Finding("leftovers", "ok", "none")


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
    try:
        yield db
    finally:
        db.close()


def _month_folders(table: Path) -> list[Path]:
    """Newest first."""
    return sorted(table.glob("market=*/year=*/month=*"), key=lambda folder: (folder.parent.name, folder.name), reverse=True)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
