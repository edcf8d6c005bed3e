"""Names of tables that neither the package nor a lake knows: read as empty, and said once to the caller."""

import difflib
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path

from hydra_assets.core.tables.registry import TABLES
from hydra_assets.errors import UnknownTableWarning

_PACKAGE = str(Path(__file__).parents[1])
_NEAR = 3


def unknown_table(name: str, held: Iterable[str]) -> str | None:
    """
    The message on a table that nobody knows, with the near names; None where the package or the lake knows it.

    Args:
        name: of the table asked for.
        held: names of the tables in the lake.
    """
    known = sorted({*TABLES, *held})
    if name in known:
        return None
    near = difflib.get_close_matches(name.lower(), known, _NEAR)
    return f"no table {name!r}; " + (f"did you mean {' or '.join(near)}?" if near else f"the tables are {', '.join(known)}")


def warn_of(message: str) -> None:
    """Issue *message* as an UnknownTableWarning at the line of the caller outside this package."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, UnknownTableWarning, stacklevel=level - 1)
