"""Outcome of a run through Dagster: rows, gaps and failures of each table, and the results of the checks."""

from dataclasses import dataclass

NOT_APPLICABLE = "nothing_served"  # verdict of a check that had nothing to speak of: it counts neither as passed nor as a warning


@dataclass(frozen=True)
class CheckVerdict:
    """Result of one check on one asset; a warning does not fail a run."""

    asset: str
    name: str
    verdict: str
    passed: bool
    warning: bool
    looked_at: str

    @property
    def applies(self) -> bool:
        """Whether there was anything that the check speaks of."""
        return self.verdict != NOT_APPLICABLE


@dataclass(frozen=True)
class Gap:
    """A day or month that could not be captured yet, with the reason; the next run requests it again."""

    when: str
    reason: str


@dataclass(frozen=True)
class GapGroup:
    """Gaps of one table with the same reason: the first, the last and their number."""

    reason: str
    first: str
    last: str
    count: int

    def __str__(self) -> str:
        days = self.first if self.count == 1 else f"{self.first}..{self.last} ({self.count:,})"
        return f"{days}: {self.reason}"


@dataclass(frozen=True)
class TableOutcome:
    """
    Outcome for one table.

    Attributes:
        status: ``done``, ``failed``, ``stopped`` (interrupted), or ``not run`` because an earlier step failed or was stopped.
        months: number of materialised months.
        new_rows: rows that the lake did not hold before.
        paid_usd: the vendor's price of this run.
        reason: error message of a failed table.
    """

    table: str
    status: str
    months: int
    new_rows: int
    gaps: tuple[Gap, ...]
    paid_usd: float
    reason: str = ""

    @property
    def gaps_by_reason(self) -> tuple[GapGroup, ...]:
        """The gaps, those of one reason together, in order of their first."""
        groups: dict[str, list[str]] = {}
        for gap in self.gaps:
            groups.setdefault(gap.reason, []).append(gap.when)
        return tuple(GapGroup(reason, min(days), max(days), len(days)) for reason, days in groups.items())


@dataclass(frozen=True)
class RunOutcome:
    """Outcome of a finished or interrupted run."""

    run_id: str
    tables: tuple[TableOutcome, ...]
    checks: tuple[CheckVerdict, ...]
    failures: tuple[str, ...] = ()
    interrupted: bool = False

    @property
    def new_rows(self) -> int:
        """New rows of all tables."""
        return sum(table.new_rows for table in self.tables)

    @property
    def warnings(self) -> tuple[CheckVerdict, ...]:
        """Checks that did not pass and do not fail the run."""
        return tuple(check for check in self.checks if not check.passed and check.warning)

    @property
    def failed_checks(self) -> tuple[CheckVerdict, ...]:
        """Blocking checks that did not pass."""
        return tuple(check for check in self.checks if not check.passed and not check.warning)

    @property
    def ok(self) -> bool:
        """Whether the run ended with every step successful and no check failed, warnings apart."""
        return not self.interrupted and not self.failures and not self.failed_checks
