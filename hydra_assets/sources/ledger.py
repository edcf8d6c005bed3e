"""The ledger: what was asked of a vendor that takes money, what it cost, and what was kept."""

import contextlib
import datetime as dt
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra_assets.core.instants import from_us, to_us
from hydra_assets.errors import BudgetError
from hydra_assets.sources.ledger_days import CapturedDays
from hydra_assets.sources.ledger_tables import REQUESTS
from hydra_assets.sqlite_errors import rebuild_remedy, remedy_of

BUSY_S = 60.0
# A request counts as spent until the vendor is known to have refused it: after a kill nobody knows.
_SPENT = "state != 'refused'"


@dataclass(frozen=True)
class Budget:
    """
    Limits of a run's spending, in dollars; None is no limit (the embedded vendor takes no money).

    Attributes:
        run: whose spending counts together, over retries too.
        unattended: asked for by a schedule or sensor: such runs share a daily budget of their own.
    """

    run: str
    run_usd: float | None = None
    day_usd: float | None = None
    unattended_day_usd: float | None = None
    unattended: bool = False


@dataclass(frozen=True)
class Kept:
    """Bytes in the archive, and the moment their answer was seen."""

    sha256: str
    seen_at: dt.datetime


@dataclass(frozen=True)
class Unjudged:
    """An answer whose bytes came, before the process ended: its number, hash, and the records announced."""

    number: int
    sha256: str
    records: int


@dataclass(frozen=True)
class Job:
    """
    A batch job that is paid for, or may be, and whose file is not in the archive yet.

    Attributes:
        number: of `Ledger.reserve`.
        id: the vendor's name of it; empty where the process ended before the vendor's answer was noted.
        symbols: symbols that it was submitted for.
        start: start of its range, which can be wider than the one wanted now.
        end: end of its range.
        asked_at: when it was submitted, or about to be.
        usd: quoted dollars.
        records: quoted number of records.
        size: quoted bytes, uncompressed.
    """

    number: int
    id: str
    symbols: str
    start: dt.datetime
    end: dt.datetime
    asked_at: dt.datetime
    usd: float
    records: int
    size: int


@dataclass(frozen=True)
class LedgerHealth:
    """
    Facts of a ledger that may be damaged or missing.

    Attributes:
        requests: number of requests ever made.
        fault: SQLite's message on a file that is damaged or held; empty for a sound one.
        remedy: what mends it.
    """

    requests: int = 0
    fault: str = ""
    remedy: str = ""


def ledger_health(path: Path) -> LedgerHealth | None:
    """Examine the ledger *path* through a read-only connection; None if there is no such file."""
    if not path.exists():
        return None
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)) as db:
            verdict = str(db.execute("PRAGMA quick_check").fetchone()[0])
            count = int(db.execute("SELECT count(*) FROM requests").fetchone()[0])
    except sqlite3.DatabaseError as error:
        return LedgerHealth(fault=str(error), remedy=remedy_of(error, path))
    return LedgerHealth(count) if verdict == "ok" else LedgerHealth(count, verdict, rebuild_remedy(path))


class Ledger(CapturedDays):
    """Requests with their money, and the days captured, in the SQLite file *path*; shared by processes."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, BUSY_S)

    def reserve(
        self,
        request: Mapping[str, Any],
        *,
        usd: float,
        records: int,
        size: int,
        budget: Budget,
        now: dt.datetime,
        by_job: bool = False,
    ) -> int:
        """
        Write down that *request* is about to be asked for *usd*, as a batch job or a stream; its number.

        Raises:
            BudgetError: it would exceed a budget; nothing was written.
        """
        with self._writing():
            self._seals.verify(self._db, REQUESTS)
            today = now.astimezone(dt.UTC).date().isoformat()
            for limit, setting, spent, whose in (
                (budget.run_usd, "run_budget_usd", self._spent("run = ?", budget.run), "this run"),
                (budget.day_usd, "day_budget_usd", self._spent("substr(asked_at, 1, 10) = ?", today), "today"),
                (
                    budget.unattended_day_usd if budget.unattended else None,
                    "unattended_day_budget_usd",
                    self._spent("substr(asked_at, 1, 10) = ? AND unattended = 1", today),
                    "unattended today",
                ),
            ):
                if limit is not None and usd > 0 and spent + usd > limit + 1e-9:
                    raise BudgetError(
                        f"{request['symbols']} {request['schema']} {request['start']:%Y-%m-%d %H:%MZ}..{request['end']:%Y-%m-%d %H:%MZ}"
                        f" costs ${usd:,.4f}; ${spent:,.4f} of ${limit:,.2f} is spent {whose} (databento.{setting} in config.yaml);"
                        " nothing was requested"
                    )
            done = self._db.execute(
                "INSERT INTO requests"
                "(asked_at, run, unattended, dataset, schema, symbols, start_us, end_us, usd, records, bytes, state, job)"
                " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'asked', ?)",
                (
                    now.astimezone(dt.UTC).isoformat(),
                    budget.run,
                    int(budget.unattended),
                    *_scope(request),
                    float(usd),
                    int(records),
                    int(size),
                    "" if by_job else None,
                ),
            )
            number = int(done.lastrowid or 0)
            self._seals.change(self._db, REQUESTS, (), self._row(number))
            return number

    def keep(self, number: int, sha256: str, seen_at: dt.datetime) -> None:
        """The request's bytes are in the archive."""
        seen = seen_at.astimezone(dt.UTC).isoformat()
        self._update(number, "UPDATE requests SET state = 'kept', sha256 = ?, seen_at = ? WHERE id = ?", sha256, seen)

    def end(self, number: int, *, refused: bool, reason: str, sha256: str | None = None) -> None:
        """
        Note that the request brought nothing that can be used.

        Args:
            number: of `reserve`.
            refused: it cost nothing; else it may have.
            reason: for people.
            sha256: hash of bytes that came and are kept all the same.
        """
        state = "refused" if refused else "failed"
        self._update(number, "UPDATE requests SET state = ?, reason = ?, sha256 = ? WHERE id = ?", state, reason, sha256)

    def received(self, number: int, sha256: str) -> None:
        """Note the hash of bytes that came, before they are in the archive and judged: after a kill they are judged, not bought again."""
        self._update(number, "UPDATE requests SET sha256 = ? WHERE id = ?", sha256)

    def unjudged(self, request: Mapping[str, Any], *, seen_since: dt.date) -> Unjudged | None:
        """The newest answer to exactly *request*, asked for on *seen_since* or later, that came and was not judged."""
        with self._reading(REQUESTS):
            row = self._db.execute(
                "SELECT * FROM requests WHERE state = 'asked' AND sha256 IS NOT NULL AND dataset = ? AND schema = ? AND symbols = ?"
                " AND start_us = ? AND end_us = ? AND substr(asked_at, 1, 10) >= ? ORDER BY id DESC LIMIT 1",
                (*_scope(request), seen_since.isoformat()),
            ).fetchone()
        return None if row is None else Unjudged(row["id"], row["sha256"], row["records"])

    def submitted(self, number: int, job: str) -> None:
        """Note that the vendor has taken the request as batch job *job*."""
        self._update(number, "UPDATE requests SET job = ? WHERE id = ?", job)

    def waiting_job(self, request: Mapping[str, Any], *, seen_since: dt.date) -> Job | None:
        """The newest batch job for all of *request*'s range, begun on *seen_since* or later, whose file is not kept yet."""
        row = self._covering("state = 'asked' AND job IS NOT NULL", request, seen_since)
        if row is None:
            return None
        at, span = dt.datetime.fromisoformat(row["asked_at"]), (from_us(row["start_us"]), from_us(row["end_us"]))
        return Job(row["id"], row["job"], row["symbols"], *span, at, row["usd"], row["records"], row["bytes"])

    def job_ids(self) -> set[str]:
        """The vendor's names of all batch jobs ever noted."""
        with self._reading(REQUESTS):
            return {row["job"] for row in self._db.execute("SELECT job FROM requests WHERE job > ''")}

    def unusable(self, request: Mapping[str, Any]) -> list[str]:
        """Hashes of kept answers to exactly *request* that were not whole."""
        with self._reading(REQUESTS):
            rows = self._db.execute(
                "SELECT sha256 FROM requests WHERE state = 'failed' AND sha256 IS NOT NULL AND dataset = ? AND schema = ? AND symbols = ?"
                " AND start_us = ? AND end_us = ?",
                _scope(request),
            )
            return [str(row["sha256"]) for row in rows]

    def spent(self, run: str | None = None) -> float:
        """Dollars that were, or may have been, paid: by *run*, or ever."""
        return self._spent("run = ?", run) if run is not None else self._spent("? IS NULL", None)

    def spent_on(self, day: dt.date) -> float:
        """Dollars that were, or may have been, paid on a UTC day."""
        return self._spent("substr(asked_at, 1, 10) = ?", day.isoformat())

    def covering(self, request: Mapping[str, Any], *, seen_since: dt.date) -> Kept | None:
        """The newest kept answer that holds all of *request*'s range and was seen on *seen_since* or later."""
        row = self._covering("state = 'kept'", request, seen_since)
        return None if row is None else Kept(row["sha256"], dt.datetime.fromisoformat(row["seen_at"]))

    def paid_for(self, request: Mapping[str, Any], *, seen_since: dt.date) -> int | None:
        """Number of the kept answer, else of the waiting batch job, that brings all of *request*'s range at no further charge."""
        row = self._covering("state = 'kept'", request, seen_since) or self._covering(
            "state = 'asked' AND job IS NOT NULL", request, seen_since
        )
        return None if row is None else int(row["id"])

    def touches(self, request: Mapping[str, Any]) -> bool:
        """Whether an answer or batch job that is paid for holds a part of *request*'s range."""
        with self._reading(REQUESTS):
            row = self._db.execute(
                "SELECT 1 FROM requests WHERE (state = 'kept' OR state = 'asked' AND job IS NOT NULL) AND dataset = ? AND schema = ?"
                " AND symbols = ? AND start_us < ? AND end_us > ? LIMIT 1",
                (request["dataset"], request["schema"], request["symbols"], to_us(request["end"]), to_us(request["start"])),
            ).fetchone()
            return row is not None

    def requests(self) -> list[dict[str, Any]]:
        """Every request, oldest first."""
        with self._reading(REQUESTS):
            return [dict(row) for row in self._db.execute("SELECT * FROM requests ORDER BY id")]

    # ---------------------------------------------------------------- inside

    def _covering(self, state: str, request: Mapping[str, Any], seen_since: dt.date) -> sqlite3.Row | None:
        """The newest request in *state* that holds all of *request*'s range; a job's data are those of its submission."""
        with self._reading(REQUESTS):
            row: sqlite3.Row | None = self._db.execute(
                f"SELECT * FROM requests WHERE {state} AND dataset = ? AND schema = ? AND symbols = ? AND start_us <= ? AND end_us >= ?"
                " AND substr(CASE WHEN job IS NULL THEN seen_at ELSE asked_at END, 1, 10) >= ?"
                " ORDER BY coalesce(seen_at, asked_at) DESC LIMIT 1",
                (*_scope(request), seen_since.isoformat()),
            ).fetchone()
        return row

    def _spent(self, where: str, value: str | None) -> float:
        with self._reading(REQUESTS):
            row = self._db.execute(f"SELECT coalesce(sum(usd), 0) AS usd FROM requests WHERE {_SPENT} AND {where}", (value,)).fetchone()
        return float(row["usd"])

    def _row(self, number: int) -> list[sqlite3.Row]:
        return self._db.execute("SELECT * FROM requests WHERE id = ?", (number,)).fetchall()

    def _update(self, number: int, statement: str, *values: str | None) -> None:
        """Change one request, and the seal of the table with it."""
        with self._writing():
            self._seals.verify(self._db, REQUESTS)
            old = self._row(number)
            self._db.execute(statement, (*values, number))
            self._seals.change(self._db, REQUESTS, old, self._row(number))


def _scope(request: Mapping[str, Any]) -> tuple[str, str, str, int, int]:
    """Dataset, schema, symbols, start and end of a request, as the table of requests keeps them."""
    return request["dataset"], request["schema"], request["symbols"], to_us(request["start"]), to_us(request["end"])
