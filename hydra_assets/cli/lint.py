"""`hydra-assets lint`: find code that looks ahead, without running it."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from hydra_assets.cli.console import JsonOption, errors, print_json


def lint(
    paths: Annotated[list[Path], typer.Argument(exists=True, help="Python files, or folders of which every .py file is read.")],
    as_json: JsonOption = False,
) -> None:
    """
    Find code in PATHS that could see what was not yet known.

    Rules: negative shifts and rows taken from ahead, centred or two-sided windows, back-fills and interpolation, statistics over
    the whole series used in a row's own value, the clock, I/O inside a feature, and reads of the lake without known_at.

    Each finding is path:line:column: rule, why, and what to write instead. A line that is right all the same says why, in a
    comment on it:  # lookahead-ok: the label of a training set, joined with the instant from which it is known.

    Exit code 0: nothing found. 1: findings. 2: no such path.
    """
    from hydra_assets.proof.lint.linter import lint as lint_paths

    found = lint_paths(paths)
    if as_json:
        print_json({"findings": [dataclasses.asdict(finding) for finding in found]})
    else:
        for finding in found:
            typer.echo(str(finding))
        errors.print(f"{len(found)} finding{'' if len(found) == 1 else 's'}", highlight=False)
    if found:
        raise typer.Exit(1)
