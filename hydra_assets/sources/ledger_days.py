"""The days whose rows are in the lake, so that they need not be fetched again."""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hydra_assets.sources.ledger_tables import AVAILABLE, DAYS, LedgerFile


@dataclass(frozen=True)
class CapturedDay:
    """
    A day's table as last fetched.

    Attributes:
        last_modified: the vendor's date of its last change.
        fetches: how often it was fetched.
        status: the vendor's condition of the day, such as ``available`` or ``degraded``.
    """

    last_modified: dt.date
    fetches: int
    status: str = AVAILABLE


class CapturedDays(LedgerFile):
    """The days captured of each table and market, with the vendor's account of them."""

    def captured(self, data_type: str, market: str) -> dict[dt.date, CapturedDay]:
        """The days of a table that are in the lake."""
        with self._reading(DAYS, data_type, market):
            rows = self._db.execute(
                "SELECT day, last_modified, fetches, status FROM days WHERE data_type = ? AND market = ?", (data_type, market)
            ).fetchall()
        return {
            dt.date.fromisoformat(row["day"]): CapturedDay(dt.date.fromisoformat(row["last_modified"]), row["fetches"], row["status"])
            for row in rows
        }

    def capture(
        self,
        data_type: str,
        market: str,
        days: Iterable[tuple[dt.date, dt.date]],
        now: dt.datetime,
        *,
        statuses: Mapping[dt.date, str] | None = None,
    ) -> None:
        """
        Note that days are in the lake.

        Args:
            data_type: their table.
            market: their market.
            days: each with the vendor's own date of its last change.
            now: when they were captured.
            statuses: the vendor's condition of days that are not ``available``.
        """
        stamp = now.astimezone(dt.UTC).isoformat()
        with self._writing():
            self._seals.verify(self._db, DAYS, data_type, market)
            self._db.executemany(
                "INSERT INTO days(data_type, market, day, last_modified, fetches, captured_at, status) VALUES(?, ?, ?, ?, 1, ?, ?)"
                " ON CONFLICT(data_type, market, day) DO UPDATE SET last_modified = excluded.last_modified, fetches = fetches + 1,"
                " captured_at = excluded.captured_at, status = excluded.status",
                [
                    (data_type, market, day.isoformat(), changed.isoformat(), stamp, (statuses or {}).get(day, AVAILABLE))
                    for day, changed in days
                ],
            )
            self._seals.renew(self._db, DAYS, data_type, market)
