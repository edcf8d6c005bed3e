"""The table ``publishes`` of a store's file."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from hydra_assets.storage.sqlite.seals import SealedFile


class PublishTable(SealedFile):
    """Publishes, inside whatever transaction or snapshot the caller has begun; see `FactTable`."""

    def add_publishes(self, rows: Iterable[Sequence[Any]]) -> None:
        """Append *rows*."""
        rows = list(rows)
        self._seal_publishes(rows)
        self._db.executemany("INSERT INTO publishes VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def any_publish(self) -> bool:
        """Whether there is a publish of any market."""
        either = "SELECT EXISTS (SELECT 1 FROM publishes) OR EXISTS (SELECT 1 FROM publish_seals)"  # a lost row must not answer no
        return bool(self._db.execute(either).fetchone()[0])

    def newest_input(self, market: str, month: str, features: str, folder: str) -> int | None:
        """The newest recording of *folder* used by a publish that spoke for any of *features*, names joined by commas."""
        self._verify_publishes(market)
        statement = "SELECT features, max(input_recorded_at) FROM publishes WHERE market = ? AND month = ? AND folder = ? GROUP BY features"
        rows = self._db.execute(statement, (market, month, folder))
        names = set(features.split(","))
        return max((newest for scope, newest in rows if not names.isdisjoint(scope.split(","))), default=None)

    def last_inputs(self, market: str, features: Collection[str]) -> dict[str, dict[str, int]]:
        """Month to the inputs of its newest publish that spoke for any of *features*."""
        self._verify_publishes(market)
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

    def publishes(self, market: str | None = None) -> list[tuple[Any, ...]]:
        """Rows, oldest first."""
        self._verify_publishes(market)
        statement = "SELECT * FROM publishes WHERE market = coalesce(?, market) ORDER BY recorded_at, folder"
        return self._db.execute(statement, (market,)).fetchall()
