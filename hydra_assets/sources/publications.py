"""Publication times of COT reports, as observed and as scheduled; kept in the ledger's file."""

import datetime as dt
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from hydra_assets.closing import Closing
from hydra_assets.private_files import make_file, make_folder
from hydra_assets.sqlite_errors import Connection

BUSY_S = 60.0
_TABLE = """CREATE TABLE IF NOT EXISTS publications(
    report TEXT PRIMARY KEY, scheduled_at TEXT NOT NULL, observed_at TEXT NOT NULL, last_modified TEXT, sha256 TEXT NOT NULL)"""


@dataclass(frozen=True)
class Publication:
    """
    The first look that found a report.

    Attributes:
        scheduled_at: release instant by the calendar.
        observed_at: instant of the look; the report was out by then.
        last_modified: the CFTC server's date of the archive that held it.
    """

    report: dt.date
    scheduled_at: dt.datetime
    observed_at: dt.datetime
    last_modified: str | None
    sha256: str


class Publications(Closing):
    """The table of publications in the SQLite file *path*; shared by processes. The first observation of a report stays."""

    def __init__(self, path: Path) -> None:
        make_folder(path.parent, 0o700)
        make_file(path)
        self._db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, factory=Connection)
        self._db.execute(_TABLE)

    def observe(self, seen: Publication) -> None:
        """Write *seen* down, unless its report was seen before."""
        self._db.execute(
            "INSERT OR IGNORE INTO publications VALUES(?, ?, ?, ?, ?)",
            (seen.report.isoformat(), _text(seen.scheduled_at), _text(seen.observed_at), seen.last_modified, seen.sha256),
        )

    def newest(self, count: int) -> list[Publication]:
        """The newest reports seen, newest first."""
        rows = self._db.execute("SELECT * FROM publications ORDER BY report DESC LIMIT ?", (count,))
        return [
            Publication(dt.date.fromisoformat(report), dt.datetime.fromisoformat(due), dt.datetime.fromisoformat(seen), modified, sha256)
            for report, due, seen, modified, sha256 in rows
        ]

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def _text(when: dt.datetime) -> str:
    return when.astimezone(dt.UTC).isoformat()
