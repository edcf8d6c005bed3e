"""What a run through Dagster did to each table, and what its checks said."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CheckVerdict:
    """One check's word on one asset; a warning does not fail a run."""

    asset: str
    name: str
    verdict: str
    passed: bool
    warning: bool
    looked_at: str


@dataclass(frozen=True)
class Gap:
    """A day, or a whole month, that could not be captured yet, and why; the next run asks for it again."""

    when: str
    reason: str


@dataclass(frozen=True)
class TableOutcome:
    """
    What a run did to one table.

    Attributes:
        status: ``done``, ``failed``, ``stopped`` (interrupted), or ``not run`` because something before it was one of the two.
        months: how many were materialised.
        new_rows: rows that the lake did not hold before.
        paid_usd: what the vendor was paid for them.
        reason: why it failed.
    """

    table: str
    status: str
    months: int
    new_rows: int
    gaps: tuple[Gap, ...]
    paid_usd: float
    reason: str = ""


@dataclass(frozen=True)
class RunOutcome:
    """What a finished or interrupted run leaves."""

    run_id: str
    tables: tuple[TableOutcome, ...]
    checks: tuple[CheckVerdict, ...]
    failures: tuple[str, ...] = ()
    interrupted: bool = False

    @property
    def new_rows(self) -> int:
        """Over all tables."""
        return sum(table.new_rows for table in self.tables)

    @property
    def warnings(self) -> tuple[CheckVerdict, ...]:
        """Checks that did not pass, and do not fail the run."""
        return tuple(check for check in self.checks if not check.passed and check.warning)

    @property
    def failed_checks(self) -> tuple[CheckVerdict, ...]:
        """Checks that stopped what was downstream of them."""
        return tuple(check for check in self.checks if not check.passed and not check.warning)

    @property
    def ok(self) -> bool:
        """It ran to its end, no step failed, and no check but with a warning."""
        return not self.interrupted and not self.failures and not self.failed_checks
