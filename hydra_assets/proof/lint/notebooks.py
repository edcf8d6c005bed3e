"""Notebooks for the lint: the code of all cells as one text, with the cell and line that each of its lines came from."""

import ast
import json
import re
from dataclasses import dataclass
from pathlib import Path

_MAGIC = re.compile(r"^\s*[%!?]|^\s*\S+\?\??\s*$")


@dataclass(frozen=True)
class Notebook:
    """
    A notebook's code.

    Attributes:
        text: of all cells that can be parsed, one below the other.
        places: cell and line, from 1, of each line of *text*.
        unread: cell, line and reason of each cell that cannot be parsed.
    """

    text: str
    places: tuple[tuple[int, int], ...]
    unread: tuple[tuple[int, int, str], ...]


def read_notebook(path: Path) -> Notebook:
    """
    Read the code cells; lines of the shell and magics are left empty, and a cell in another language is named as not read.

    Raises:
        ValueError: no notebook.
    """
    document = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(document, dict) or not isinstance(document.get("cells"), list):
        raise ValueError("no notebook of cells")
    lines: list[str] = []
    places: list[tuple[int, int]] = []
    unread: list[tuple[int, int, str]] = []
    for number, cell in enumerate(document["cells"], start=1):
        if cell.get("cell_type") != "code":
            continue
        source = cell.get("source", "")
        given = ("".join(source) if isinstance(source, list) else str(source)).splitlines()
        if given and given[0].startswith("%%"):
            unread.append((number, 1, f"the cell is of {given[0].split()[0]}, no Python"))
            continue
        kept = [re.match(r"\s*", line).group() + "pass" if _MAGIC.match(line) else line for line in given]  # type: ignore[union-attr]
        try:
            ast.parse("\n".join(kept))
        except (SyntaxError, ValueError) as error:
            unread.append((number, getattr(error, "lineno", None) or 1, f"cannot be parsed: {getattr(error, 'msg', error)}"))
            continue
        lines += kept
        places += [(number, line) for line in range(1, len(kept) + 1)]
    return Notebook("\n".join(lines) + "\n", tuple(places), tuple(unread))
