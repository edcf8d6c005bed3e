"""The log of publishes: what each month of features was last computed from, so that older inputs never take the place of newer ones."""

import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from hydra_assets.core.instants import INSTANT, iso
from hydra_assets.errors import StaleInputsError

PUBLISHES = pa.schema(
    [
        ("market", pa.string()),
        ("month", pa.string()),
        ("features", pa.string()),
        ("recorded_at", INSTANT),
        ("folder", pa.string()),
        ("input_recorded_at", INSTANT),
        ("new_rows", pa.int64()),
    ]
)


class PublishLog:
    """
    The log in one store's file, inside whatever transaction its owner has begun; instants in microseconds UTC.

    A publish has one row for each folder of the lake that it used, and one that names none where it used nothing.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def add(self, rows: Iterable[Sequence[Any]]) -> None:
        """Append *rows*, in the order of PUBLISHES."""
        self._db.executemany("INSERT INTO publishes VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def refuse_stale(self, market: str, month: str, scope: str, used: Mapping[str, int]) -> None:
        """StaleInputsError where an earlier publish of the scope used a newer recording of one of these folders."""
        for folder, recorded in used.items():
            newest = self._db.execute(
                "SELECT max(input_recorded_at) FROM publishes WHERE market = ? AND month = ? AND features = ? AND folder = ?",
                (market, month, scope, folder),
            ).fetchone()[0]
            if newest is not None and recorded < newest:
                raise StaleInputsError(
                    f"{market} {month}: computed from {folder} as recorded at {iso(recorded)}, but already published from it as recorded at"
                    f" {iso(newest)}; compute again from the lake as it is"
                )

    def last(self, market: str, features: Collection[str]) -> dict[str, dict[str, int]]:
        """Month to the inputs of its newest publish that spoke for any of *features*: folder to the recording used."""
        newest: dict[str, tuple[int, str]] = {}
        for month, scope, at in self._db.execute(
            "SELECT month, features, max(recorded_at) FROM publishes WHERE market = ? GROUP BY month, features", (market,)
        ):
            if not set(features).isdisjoint(scope.split(",")):
                newest[month] = max(newest.get(month, (at, scope)), (at, scope))
        used = "SELECT folder, input_recorded_at FROM publishes WHERE market = ? AND month = ? AND features = ? AND recorded_at = ?"
        return {
            month: {folder: recorded for folder, recorded in self._db.execute(used, (market, month, scope, at)) if folder}
            for month, (at, scope) in newest.items()
        }

    def table(self, market: str | None) -> pa.Table:
        """PUBLISHES, of one market or of all, oldest first."""
        rows = self._db.execute(
            "SELECT * FROM publishes WHERE market = coalesce(?, market) ORDER BY recorded_at, folder", (market,)
        ).fetchall()
        columns = zip(*rows, strict=True) if rows else [()] * len(PUBLISHES)
        return pa.table(
            [
                pa.array(column, pa.int64()).cast(INSTANT) if kind == INSTANT else pa.array(column, kind)
                for column, kind in zip(columns, PUBLISHES.types, strict=True)
            ],
            schema=PUBLISHES,
        )
