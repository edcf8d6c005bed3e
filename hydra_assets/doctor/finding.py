"""One line of `hydra-assets doctor`."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, how it stands, and, where it is not well, what to do."""

    name: str
    status: Status
    told: str
    remedy: str = ""
