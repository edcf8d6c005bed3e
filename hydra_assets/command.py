"""The command line as the reader's own shell finds it, for the remedies that messages name."""

import os
import shutil
import sys
from pathlib import Path

PROGRAM = "hydra-assets"
_STARTED_BY_UV = "UV_RUN_RECURSION_DEPTH"  # set by `uv run` for what it starts
WORLDS = ("sample", "live")
INTERRUPTED = 130  # exit code of shells after Ctrl-C


def command(words: str, *, world: str | None = None) -> str:
    """
    A command of this package that can be typed as it stands.

    Args:
        words: what follows the program's name.
        world: the world that the command is for; named where the shell would take another one.

    Returns:
        ``uv run hydra-assets ...`` where uv started this process, ``hydra-assets ...`` where the shell finds this installation by
        that name, else the path of its program.
    """
    if world is not None and world != (os.environ.get("HYDRA_WORLD") or WORLDS[0]):
        words = f"{words} --world {world}"
    return f"{program()} {words}"


def program() -> str:
    """The program of `command`, without words."""
    if os.environ.get(_STARTED_BY_UV):
        return f"uv run {PROGRAM}"
    ours, found = Path(sys.executable).with_name(PROGRAM), shutil.which(PROGRAM)
    if not ours.exists() or (found is not None and Path(found).absolute() == ours.absolute()):
        return PROGRAM
    here = Path.cwd()
    return str(ours.relative_to(here) if ours.is_relative_to(here) else ours)
