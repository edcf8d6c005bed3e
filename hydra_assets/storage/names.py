"""What may be the name of a data type, a market or a feature, and which world a folder or file belongs to."""

import contextlib
import os
import re
from pathlib import Path

from hydra_assets.errors import InvalidNameError, WorldError

WORLD_FILE = "WORLD"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def checked_name(name: object, what: str) -> str:
    """*name* if it can be a folder on every filesystem; InvalidNameError otherwise."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise InvalidNameError(f"{what} {name!r} is not a name: letters, digits, '_', '.', '-', at most 64, the first a letter or digit")
    return name


def adopt_world(file: Path, world: str | None, what: str) -> str:
    """
    The world written in *file*, which is made where it is missing.

    Raises:
        WorldError: *world* is another one.
    """
    if world is not None and not NAME.fullmatch(world):
        raise WorldError(f"world {world!r} is not a name")
    if not file.exists():
        temporary = file.with_name(f"{file.name}.{os.getpid()}")
        temporary.write_text(world or "sample", encoding="utf-8")
        with contextlib.suppress(FileExistsError):
            os.link(temporary, file)  # of two who come first together one wins, and both read it
        temporary.unlink()
    held = file.read_text(encoding="utf-8").strip()
    if world is not None and held != world:
        raise WorldError(f"{what} belongs to the world {held!r} and was opened as {world!r}; each world has a home of its own")
    return held
