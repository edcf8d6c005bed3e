"""Rebuild of the store from the lake's feature tables: built beside the old one, compared with the lake, swapped in one rename."""

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.core.tables.registry import TABLES
from hydra_assets.errors import ConflictError, CorruptionError, StorageError
from hydra_assets.sqlite_errors import rebuild_remedy
from hydra_assets.storage.facts import Fact, Vintage
from hydra_assets.storage.folder import RECORDED, RETRACTED, Folder
from hydra_assets.storage.lake import ParquetLake
from hydra_assets.storage.sqlite.swap import beside, is_there, series_and_publishes, swap
from hydra_assets.storage.store import FeatureStore

_COMPARED = ["feature_name", "as_of", "available_at", "value", "quality"]


@dataclass(frozen=True)
class Rebuilt:
    """
    The result of a rebuild.

    Attributes:
        recordings: facts written.
        vintages: those of them that stand today.
        publishes: taken over from the old store.
        backup: where the old file lies now; None where there was none.
        dropped: series of the old store that the lake does not hold.
    """

    recordings: int
    vintages: int
    publishes: int
    backup: Path | None
    dropped: tuple[str, ...]


def feature_folders(lake: ParquetLake) -> list[Folder]:
    """The lake's folders that hold features."""
    return [folder for name, dataset in TABLES.items() if dataset.group == "features" for folder in lake.folders(name)]


def refuse_lost_store(db_path: Path, lake: ParquetLake) -> None:
    """
    Refuse to begin a new store in the place of one that served what *lake* holds.

    Raises:
        StorageError: the file *db_path* is missing, and the lake has features.
    """
    if not is_there(db_path) and feature_folders(lake):
        raise StorageError(f"{db_path}: is missing, and {lake.base_path} holds the features that it served; {rebuild_remedy(db_path)}")


def rebuild_store(
    lake: ParquetLake, db_path: Path, *, drop_others: bool = False, progress: Callable[[Folder], None] | None = None
) -> Rebuilt:
    """
    Make the store of *db_path* anew from *lake*.

    Kept: every vintage, value, quality and withdrawal, in the order and under the stamps of the lake's recordings (which lie
    moments after the store's own), and of an old store that can be read the table ``publishes``. Not kept: what was written into
    the store by hand, which the lake never held.

    Args:
        drop_others: rebuild although the old store holds features that the lake does not.
        progress: called after each folder read.

    Raises:
        ConflictError: the old store holds such features.
        LockTimeoutError: it is open elsewhere.
        CorruptionError: what was built is not what the lake says; the old store stays.
    """
    held = {(folder.market, name) for folder in feature_folders(lake) for name in _names(lake, folder)}
    series, publishes = series_and_publishes(db_path)
    dropped = tuple(sorted(f"{market} {name}" for market, name in series - held))
    if dropped and not drop_others:
        raise ConflictError(
            f"{db_path}: {len(dropped)} feature(s) are not in the lake and would be lost: {', '.join(dropped[:5])}"
            f"{', ...' if len(dropped) > 5 else ''}; write them again afterwards, and rebuild with --drop-others"
        )
    with beside(db_path) as fresh:
        with FeatureStore(fresh, world=lake.world) as store:
            count = store.restore(_recordings(lake, progress), publishes)
            store.check()
            wrong = differences(lake, store)
            if wrong:
                raise CorruptionError(f"{fresh}: what was built is not what the lake says: {'; '.join(wrong)}; the old store stays")
            vintages = sum(store.vintages(market).num_rows for market in sorted({market for market, _ in held}))
        backup = swap(fresh, db_path)
    return Rebuilt(count, vintages, len(publishes), backup, dropped)


def differences(lake: ParquetLake, store: FeatureStore) -> list[str]:
    """Differences between the store and the lake's feature tables; a line for each table and market."""
    found = []
    for name, market in sorted({(folder.data_type, folder.market) for folder in feature_folders(lake)}):
        there = lake.read_vintages(name, market)  # lookahead-ok: every vintage is compared with the store
        features = sorted(set(there["feature_name"].to_pylist())) if there.num_rows else []
        served = store.vintages(market, features)
        a, b = (_ordered(table) for table in (there, served))
        if not a.equals(b):
            found.append(f"{name} {market}: {a.num_rows:,} vintages in the lake, {b.num_rows:,} in the store, not the same")
    return found


def _ordered(table: pa.Table) -> pa.Table:
    rows = table.select(_COMPARED).sort_by([(name, "ascending") for name in _COMPARED[:3]]).combine_chunks()
    return pa.table({name: rows[name].cast(pa.string()) if pa.types.is_string(rows[name].type) else rows[name] for name in _COMPARED})


def _names(lake: ParquetLake, folder: Folder) -> list[str]:
    day = dt.date(folder.year, folder.month, 1)
    names: list[str] = pc.unique(lake.recordings(folder.data_type, folder.market, day, _last(day))["feature_name"]).to_pylist()
    return names


def _last(day: dt.date) -> dt.date:
    return (day + dt.timedelta(31)).replace(day=1) - dt.timedelta(1)


def _recordings(lake: ParquetLake, progress: Callable[[Folder], None] | None) -> Iterator[tuple[Fact, bool, int]]:
    for folder in feature_folders(lake):
        day = dt.date(folder.year, folder.month, 1)
        table = lake.recordings(folder.data_type, folder.market, day, _last(day)).sort_by(RECORDED)
        times = {name: table[name].cast(pa.int64()).to_pylist() for name in ("as_of", "available_at", RECORDED)}
        current: dict[Vintage, tuple[float | None, str] | None] = {}
        for name, as_of, available, value, quality, recorded, gone in zip(
            table["feature_name"].to_pylist(),
            times["as_of"],
            times["available_at"],
            table["value"].to_pylist(),
            table["quality"].to_pylist(),
            times[RECORDED],
            table[RETRACTED].to_pylist(),
            strict=True,
        ):
            fact = Fact(folder.market, name, as_of, available, value, quality)
            now = None if gone else (value, quality)
            if current.get(fact.vintage) == now:
                continue  # recorded again for another reason than its value, or withdrawn without having been there
            current[fact.vintage] = now
            yield fact, bool(gone), recorded
        if progress is not None:
            progress(folder)
