"""
Open findings of the checks, by asset, check, market and month.

Dagster shows the newest evaluation of a check alone: a failure of HE would be erased when GF passes later. Here it stays until
the same market and month are checked again and are in order.
"""

import os
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hydra_assets.core.instants import iso, now_us
from hydra_assets.sqlite_seals import SealedTable
from hydra_assets.storage.health import FindingsHealth
from hydra_assets.storage.sqlite.health import findings_health
from hydra_assets.storage.sqlite.sealed_table import SealedTableFile

_TABLE = """CREATE TABLE IF NOT EXISTS findings(
    asset TEXT, check_name TEXT, market TEXT, month TEXT, finding TEXT NOT NULL, found_at TEXT NOT NULL,
    PRIMARY KEY(asset, check_name, market, month)) WITHOUT ROWID"""

_ROWS = SealedTable("findings", "SELECT * FROM findings")


@dataclass(frozen=True)
class OpenFinding:
    """An open fault that one check found in one market's month."""

    asset: str
    check: str
    market: str
    month: str
    finding: str
    found_at: str


class Findings(SealedTableFile):
    """The table of open findings; safe for several processes."""

    def __init__(self, db_path: str | os.PathLike[str]) -> None:
        super().__init__(db_path, _ROWS, wal=False)

    def _tables(self, connection: sqlite3.Connection) -> None:
        connection.execute(_TABLE)
        super()._tables(connection)

    def judge(self, asset: str, check: str, looked_at: Iterable[tuple[str, str]], found: Mapping[tuple[str, str], str]) -> None:
        """Open or renew the finding of every (market, month) looked at that *found* names; close that of every other."""
        at = iso(now_us())
        with self._writing():
            self._verify()
            for market, month in looked_at:
                if (market, month) in found:
                    row = (asset, check, market, month, found[market, month], at)
                    self._db.execute("INSERT OR REPLACE INTO findings VALUES (?, ?, ?, ?, ?, ?)", row)
                else:
                    where = (asset, check, market, month)
                    self._db.execute("DELETE FROM findings WHERE asset = ? AND check_name = ? AND market = ? AND month = ?", where)
            self._seals.renew(self._db, _ROWS)

    def open_of(self, asset: str) -> list[OpenFinding]:
        """The open findings of *asset*."""
        with self._reading():
            self._verify()
            rows = self._db.execute("SELECT * FROM findings WHERE asset = ? ORDER BY market, month, check_name", (asset,))
            return [OpenFinding(*row) for row in rows]

    def health(self) -> FindingsHealth:
        """Facts and problems, through a connection of its own."""
        return findings_health(self.path)
