"""Findings on a home: folders, disk, and the health that lake, store, ledger and findings report; nothing is created or mended."""

import datetime as dt
import shutil
import stat
from collections.abc import Iterable, Iterator

from hydra_assets.command import command
from hydra_assets.config.home import Home
from hydra_assets.doctor.finding import Finding
from hydra_assets.host.run_locks import dead_runs
from hydra_assets.sources.archive import unfinished_fetches
from hydra_assets.sources.ledger import ledger_health
from hydra_assets.storage.health import LakeHealth, Problem, StoreHealth, lake_health
from hydra_assets.storage.sqlite.health import findings_health, store_health
from hydra_assets.storage.sqlite.swap import series_and_publishes
from hydra_assets.storage.unclaimed import unclaimed_names

LOW_GB, TOO_LOW_GB = 5.0, 0.5
CLOCK_TOLERANCE = dt.timedelta(seconds=2)


def examine_home(home: Home) -> Iterator[Finding]:
    """Whether folders, lake, store and ledger exist, are sound, belong to the home's world and agree."""
    yield from _folders(home)
    yield from _disk(home)
    lake, store = lake_health(home.lake, home.world), store_health(home.store, home.world)
    yield from _problems(lake.problems)
    if home.lake.exists() and not lake.problems:
        verify = command("lake verify", world=home.world)
        yield Finding("lake", "ok", f"{home.lake}: {lake.tables} tables; the newest file of each is whole ({verify} reads all)")
    yield from _problems(store.problems)
    if home.store.exists() and not store.problems:
        yield Finding("store", "ok", f"{home.store}: {store.series} series, schema {store.version}")
    if home.store.exists() and not store.problems and store.published:
        yield from _unclaimed(home)
    yield from _ledger(home)
    yield from _findings(home)
    yield from _agreement(lake, store, home.world)
    yield from _clock(lake, store)
    yield from _leftovers(home, lake)


def _problems(problems: Iterable[Problem]) -> Iterator[Finding]:
    for problem in problems:
        yield Finding(problem.subject, problem.severity, problem.detail, problem.remedy)


def _folders(home: Home) -> Iterator[Finding]:
    if not home.root.exists():
        sample = home.world == "sample"
        first, effect = ("demo", "makes and fills it") if sample else ("quote HE 2025-12", "says a price; backfill fills it")
        remedy = f"{command(first, world=home.world)} {effect}"
        yield Finding("home", "warning", f"{home.root} does not exist yet", remedy)
        return
    obstacle = home.obstacle()
    if obstacle is not None:
        yield Finding("home", "problem", f"{obstacle.place} {obstacle.reason}; reading works, writing does not", obstacle.remedy)
        return
    mode = stat.S_IMODE(home.root.stat().st_mode)
    if mode & 0o077:
        yield Finding("home", "warning", f"{home.root} is open to others (mode {mode:o})", f"chmod 700 {home.root}")
    else:
        yield Finding("home", "ok", f"{home.root} (world {home.world}), yours alone")


def _disk(home: Home) -> Iterator[Finding]:
    folder = next(folder for folder in (home.root, *home.root.parents) if folder.exists())
    free = shutil.disk_usage(folder).free / 1e9
    message = f"{free:,.1f} GB free at {folder}"
    if free < TOO_LOW_GB:
        yield Finding("disk", "problem", message, "free some space: writes will fail (they leave nothing half-written)")
    elif free < LOW_GB:
        yield Finding("disk", "warning", message, "free some space before a long backfill")
    else:
        yield Finding("disk", "ok", message)


def _unclaimed(home: Home) -> Iterator[Finding]:
    series, _ = series_and_publishes(home.store)
    unclaimed = set(unclaimed_names(name for _, name in series))
    names = sorted(f"{market} {name}" for market, name in series if name in unclaimed)
    if names:
        message = f"unproven, since no registered feature claims it: {', '.join(names[:10])}{', ...' if len(names) > 10 else ''}"
        yield Finding("series", "warning", message, "withdraw it (FeatureStore.retract), or install the package that computes it")


def _ledger(home: Home) -> Iterator[Finding]:
    health = ledger_health(home.ledger)
    if health is not None and health.fault:
        yield Finding("ledger", "problem", f"{home.ledger}: {health.fault}", health.remedy)
    elif health is not None:
        yield Finding("ledger", "ok", f"{health.requests} requests")


def _findings(home: Home) -> Iterator[Finding]:
    health = findings_health(home.findings)
    yield from _problems(health.problems)
    if health.open and not health.problems:
        remedy = f"{command('ui', world=home.world)} shows them: the check open_findings of each table"
        yield Finding("findings", "warning", f"{health.open} open finding(s) of checks", remedy)
    elif home.findings.exists() and not health.problems:
        yield Finding("findings", "ok", "0 open findings")


def _agreement(lake: LakeHealth, store: StoreHealth, world: str) -> Iterator[Finding]:
    """Whether the store has published every month of features in the lake; it has not after one was restored alone."""
    if store.published is None or not lake.feature_months:
        return
    missing = sorted(lake.feature_months - store.published)
    if missing:
        market, month = missing[0]
        message = f"{len(missing)} months of features are in the lake and not in the store, the first {market} {month}"
        remedy = f"{command('store rebuild', world=world)}, or a backfill of these months"
        yield Finding("store and lake", "warning", message, remedy)
    else:
        yield Finding("store and lake", "ok", f"the store holds all {len(lake.feature_months)} months of features in the lake")


def _clock(lake: LakeHealth, store: StoreHealth) -> Iterator[Finding]:
    now = dt.datetime.now(dt.UTC)
    newest = max((stamp for stamp in (lake.last_recorded_at, store.last_recorded_at) if stamp is not None), default=now)
    if newest - now > CLOCK_TOLERANCE:
        message = f"the newest recording is of {newest:%Y-%m-%d %H:%M:%SZ}, {(newest - now).total_seconds():,.0f} s ahead of this clock"
        remedy = "set the clock (NTP); until it has caught up recordings follow each other by a microsecond"
        yield Finding("clock", "problem", message, remedy)
    else:
        yield Finding("clock", "ok", f"{now:%Y-%m-%d %H:%M:%SZ}, no recording lies in its future")


def _leftovers(home: Home, lake: LakeHealth) -> Iterator[Finding]:
    unfinished, dead = [*lake.orphans, *map(str, unfinished_fetches(home.archives))], dead_runs(home)
    if unfinished:
        message = f"{len(unfinished)} unfinished file(s) of writers that were killed, the first {unfinished[0]}"
        remedy = "harmless: readers ignore them, and the lake's next write removes its own; or delete them"
        yield Finding("leftovers", "warning", message, remedy)
    if dead:
        message = f"{len(dead)} run(s) whose process was killed: {', '.join(run[:8] for run in dead)}"
        remedy = "harmless: the next backfill, of whatever market, ends them in Dagster's records; what they wrote is kept"
        yield Finding("leftovers", "warning", message, remedy)
    if not unfinished and not dead:
        yield Finding("leftovers", "ok", "none")
