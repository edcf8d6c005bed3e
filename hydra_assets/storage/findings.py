"""Open findings of the checks, by asset, check, market and month.

Dagster shows the newest evaluation of a check: a red one of HE would be erased when GF passes later. Here it stays until the
same market and month are looked at again and are in order.
"""

import os
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType

from hydra_assets.core.instants import iso, now_us

_TABLE = """CREATE TABLE IF NOT EXISTS findings(
    asset TEXT, check_name TEXT, market TEXT, month TEXT, finding TEXT NOT NULL, found_at TEXT NOT NULL,
    PRIMARY KEY(asset, check_name, market, month)) WITHOUT ROWID"""


@dataclass(frozen=True)
class Finding:
    """What one check has against one market's month."""

    asset: str
    check: str
    market: str
    month: str
    finding: str
    found_at: str


class Findings:
    """The table of open findings; safe for several processes."""

    def __init__(self, db_path: str | os.PathLike[str]) -> None:
        self._db = sqlite3.connect(db_path, timeout=60, isolation_level=None)
        self._db.execute(_TABLE)

    def judge(self, asset: str, check: str, looked_at: Iterable[tuple[str, str]], found: Mapping[tuple[str, str], str]) -> None:
        """Of every (market, month) looked at: open or renew its finding where *found* has one, else close it."""
        at = iso(now_us())
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for market, month in looked_at:
                if (market, month) in found:
                    row = (asset, check, market, month, found[market, month], at)
                    self._db.execute("INSERT OR REPLACE INTO findings VALUES (?, ?, ?, ?, ?, ?)", row)
                else:
                    where = (asset, check, market, month)
                    self._db.execute("DELETE FROM findings WHERE asset = ? AND check_name = ? AND market = ? AND month = ?", where)
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise

    def open_of(self, asset: str) -> list[Finding]:
        """The open findings of *asset*."""
        rows = self._db.execute("SELECT * FROM findings WHERE asset = ? ORDER BY market, month, check_name", (asset,))
        return [Finding(*row) for row in rows]

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def __enter__(self) -> "Findings":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
