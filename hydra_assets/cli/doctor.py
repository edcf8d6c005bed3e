"""`hydra-assets doctor`: find misconfiguration, each with its remedy."""

import dataclasses
from typing import Annotated

import typer

from hydra_assets.cli.console import JsonOption, WorldOption, console, plain, print_json
from hydra_assets.config.home import resolve_home
from hydra_assets.log import mask

_COLOURS = {"ok": "green", "warning": "yellow", "problem": "bold red"}


def doctor(
    port: Annotated[int, typer.Option(help="The port that the UI is to have.")] = 3000,
    world: WorldOption = None,
    as_json: JsonOption = False,
) -> None:
    """
    Look at machine, settings and home; say what is wrong and how to mend it.

    Quick, and it changes nothing: no folder is made, no key is printed. Exit code 1 where there is a problem; a warning is worth
    reading and stops nothing.
    """
    from hydra_assets.doctor.dagster import examine_dagster  # Arrow takes a second to load; --help needs none of it
    from hydra_assets.doctor.home import examine_home
    from hydra_assets.doctor.machine import examine_machine

    home = resolve_home(world)
    examined = (*examine_machine(home, port), *examine_home(home), *examine_dagster(home))
    findings = [dataclasses.replace(found, message=mask(found.message)) for found in examined]
    counts = {status: sum(found.status == status for found in findings) for status in _COLOURS}
    if as_json:
        rows = [{"name": f.name, "status": f.status, "told": f.message, "remedy": f.remedy} for f in findings]
        print_json({"world": home.world, "home": home.root, **counts, "findings": rows})
    else:
        for found in findings:
            colour = _COLOURS[found.status]
            console.print(f"[{colour}]{found.status:<8}[/] [bold]{found.name}[/]  {plain(found.message)}", soft_wrap=True, highlight=False)
            if found.remedy:
                console.print(f"         [dim]→[/] {plain(found.remedy)}", soft_wrap=True, highlight=False)
        console.print(f"{counts['problem']} problem(s), {counts['warning']} warning(s), {counts['ok']} in order.", highlight=False)
    if counts["problem"]:
        raise typer.Exit(1)
