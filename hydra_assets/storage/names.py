"""Names of data types, markets and features, and the world that a lake belongs to."""

import re

from hydra_assets.errors import CorruptionError, InvalidNameError, WorldError
from hydra_assets.storage.backend import Storage

WORLD_FILE = "WORLD"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def checked_name(name: object, what: str) -> str:
    """*name* if it can be a folder on every filesystem; InvalidNameError otherwise."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise InvalidNameError(f"{what} {name!r} is not a name: letters, digits, '_', '.', '-', at most 64, the first a letter or digit")
    return name


def adopt_world(storage: Storage, world: str | None, what: str) -> str:
    """
    The world that the root of *storage* names; *world*, or ``sample``, written down where it names none.

    Args:
        what: the lake, for the error.

    Raises:
        WorldError: *world* is another one.
    """
    if world is not None and (not isinstance(world, str) or not NAME.fullmatch(world)):
        raise WorldError(f"world {world!r} is not a name")
    named = named_world(storage)
    if named is None:
        storage.create(WORLD_FILE, (world or "sample").encode())
        named = named_world(storage) or ""
    if world is not None and named != world:
        raise WorldError(f"{what} belongs to the world {named!r} and was opened as {world!r}; each world has a home of its own")
    return named


def named_world(storage: Storage) -> str | None:
    """The world that the root names; None where it names none."""
    try:
        named = storage.read(WORLD_FILE).decode("utf-8", errors="replace").strip()
    except FileNotFoundError:
        return None
    if not NAME.fullmatch(named):
        raise CorruptionError(f"{storage.path(WORLD_FILE)}: names no world but {named!r}; write the right one into it: sample or live")
    return named
