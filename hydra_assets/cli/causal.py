"""`hydra-assets causal`: run a function of your own on cut and poisoned data, and say whether a later row moved an earlier one."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from hydra_assets import log
from hydra_assets.cli.console import JsonOption, console, errors, print_json
from hydra_assets.errors import HydraError


def causal(
    function: Annotated[str, typer.Argument(help="module:function, or file.py:function; it is given the frame.")],
    frame: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A .parquet or .csv file.")],
    time: Annotated[str | None, typer.Option("--time", help="The column of times. Default: the order of the rows.")] = None,
    library: Annotated[
        Literal["pandas", "polars", "arrow", "numpy"], typer.Option(help="The library whose frame the function takes.")
    ] = "pandas",
    cuts: Annotated[int, typer.Option(help="Instants to cut at: the first ones, and a random sample.", min=1)] = 40,
    full: Annotated[bool, typer.Option("--full", help="Cut at every instant.")] = False,
    seed: Annotated[int | None, typer.Option(help="Seed of the sample. Default: another one every time, which is printed.")] = None,
    as_json: JsonOption = False,
) -> None:
    """
    Find out whether FUNCTION looks ahead: what it gives for a row must not change with rows that come later.

    It is run on all rows, on copies cut at an instant and on copies in which everything after the instant is absurd, and compared bit
    for bit. The whole and the copies are computed in two fresh interpreters, so that nothing kept in memory can hide a difference.

        hydra-assets causal features.py:momentum prices.parquet --time ts

    Exit code 0: no row moved. 1: a row moved. 2: the function or the frame cannot be used, or there was nothing to compare.
    """
    sys.path.insert(0, str(Path.cwd()))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        from hydra_assets.proof.causality import run_causal, run_whole
        from hydra_assets.proof.child import fresh_interpreter
        from hydra_assets.proof.user_frame import read_table

        table = read_table(frame, time="", market="")
        reference = str(Path(function.rpartition(":")[0]).resolve()) + f":{function.rpartition(':')[2]}" if ".py:" in function else function
        run = fresh_interpreter().run
        with Progress(*columns, console=errors, transient=True, disable=as_json) as bar:
            task = bar.add_task("cutting", total=None)
            whole = run(run_whole, reference=reference, data=table, library=library)
            options = {"time": time, "cuts": None if full else cuts, "seed": seed, "whole": whole}
            found = run(run_causal, lambda n: bar.update(task, completed=n), reference=reference, data=table, library=library, **options)
    except HydraError as error:
        errors.print(f"[bold red]error[/] {log.mask(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from error
    if as_json:
        print_json(dataclasses.asdict(found))
    else:
        console.print(str(found), highlight=False, soft_wrap=True, markup=False)
    if found.verdict != "passed":
        raise typer.Exit(1 if found.verdict == "failed" else 2)
