"""One line of `hydra-assets doctor --live`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Verdict = Literal["ok", "look", "wrong"]


@dataclass(frozen=True)
class Reading:
    """
    A fact about a vendor, and whether the product can live with it.

    Attributes:
        section: heading under which it is printed.
        name: subject.
        verdict: ``ok``, ``look`` (a person should know it, nothing stops) or ``wrong``.
        message: what was found.
        remedy: action that mends it; empty for ``ok``.
        facts: the numbers in the message, for ``--json``.
        aspect: of a subject that is read in several ways, which of them this is.
    """

    section: str
    name: str
    verdict: Verdict
    message: str
    remedy: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    aspect: str = ""
