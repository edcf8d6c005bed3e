"""One line of `hydra-assets doctor`."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """
    Result of one check of the installation.

    Attributes:
        name: subject of the check.
        status: ``ok``, ``warning`` (nothing stops) or ``problem``.
        message: facts found, naming the place.
        remedy: action that mends it; empty for ``ok``.
    """

    name: str
    status: Status
    message: str
    remedy: str = ""
