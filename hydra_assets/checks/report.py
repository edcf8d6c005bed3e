"""The report of a check: rows looked at, failures found, and the verdict that follows."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Failure = Mapping[str, object]
Verdict = Literal["passed", "failed", "unproven"]


@dataclass
class CheckReport:
    """
    Findings of one check over all markets.

    Attributes:
        rows: rows looked at.
        values: rows among them that could prove anything.
        failures: one mapping a fault; ``market`` and ``month`` say where it belongs.
        counts: further counts, by names of the check's own.
        known_holes: what is absent and known to be, with the reason; no failures.
        looked_at: the extent of the look, for people.
    """

    rows: int = 0
    values: int = 0
    failures: list[Failure] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    known_holes: list[Failure] = field(default_factory=list)
    looked_at: str = "nothing"

    @property
    def verdict(self) -> Verdict:
        """``unproven`` where there was nothing but nulls to look at."""
        return "failed" if self.failures else "passed" if self.values else "unproven"

    def count(self, rows: int, values: int | None = None) -> None:
        """Add to the rows looked at; each of them counts as a value unless *values* is given."""
        self.rows += rows
        self.values += rows if values is None else values

    def add_failure(self, market: str, when: object, /, **facts: object) -> None:
        """
        Add a fault.

        Args:
            market: symbol.
            when: a month, day or instant of the month that the fault belongs to.
            facts: what is wrong, by column.
        """
        self.failures.append({"market": market, "month": str(when)[:7], **facts})
