"""Publication times of COT reports, as observed and as scheduled; kept in the ledger's file."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from hydra_assets.sources.ledger_tables import PUBLICATIONS, LedgerFile

BUSY_S = 60.0


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


class Publications(LedgerFile):
    """The table of publications in the SQLite file *path*; shared by processes. The first observation of a report stays."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, BUSY_S)

    def observe(self, seen: Publication) -> None:
        """Write *seen* down, unless its report was seen before."""
        row = (seen.report.isoformat(), _text(seen.scheduled_at), _text(seen.observed_at), seen.last_modified, seen.sha256)
        with self._writing():
            self._seals.verify(self._db, PUBLICATIONS)
            if self._db.execute("SELECT 1 FROM publications NOT INDEXED WHERE report = ?", row[:1]).fetchone() is None:
                self._db.execute("INSERT INTO publications VALUES(?, ?, ?, ?, ?)", row)
                self._seals.change(self._db, PUBLICATIONS, (), (row,))

    def newest(self, count: int) -> list[Publication]:
        """The newest reports seen, newest first."""
        with self._reading(PUBLICATIONS):
            rows = self._db.execute("SELECT * FROM publications NOT INDEXED ORDER BY report DESC LIMIT ?", (count,)).fetchall()
        return [
            Publication(dt.date.fromisoformat(report), dt.datetime.fromisoformat(due), dt.datetime.fromisoformat(seen), modified, sha256)
            for report, due, seen, modified, sha256 in rows
        ]


def _text(when: dt.datetime) -> str:
    return when.astimezone(dt.UTC).isoformat()
