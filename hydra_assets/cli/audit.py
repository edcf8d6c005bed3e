"""`hydra-assets audit`: audit a frame made elsewhere, cell by cell."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from hydra_assets import log
from hydra_assets.cli.console import JsonOption, StoreOption, WorldOption, console, errors, instant, number, opened_store, print_json
from hydra_assets.cli.tables import show_table
from hydra_assets.errors import HydraError

if TYPE_CHECKING:
    from hydra_assets.proof.audit_frame import FrameAudit

SHOWN = 20


def audit(
    frame: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A .parquet or .csv file; one row a market and instant.")],
    time: Annotated[str, typer.Option("--time", help="The column of instants at which each row was used, with a timezone.")] = "time",
    market: Annotated[str, typer.Option("--market", help="The column of markets, or the one market of all rows, e.g. HE.")] = "market",
    feature: Annotated[
        list[str] | None,
        typer.Option("--feature", help="A column to look at; may be repeated. Default: every one that is a feature."),
    ] = None,
    timezone: Annotated[
        str | None, typer.Option("--timezone", help="The zone of instants that have none, e.g. America/Chicago; else they are refused.")
    ] = None,
    tolerance: Annotated[
        float,
        typer.Option(
            "--tolerance",
            min=0.0,
            max=0.1,
            help="Relative; of a frame that was rounded, 1e-4: then half of each column's last digit is allowed for, too.",
        ),
    ] = 1e-9,
    store: StoreOption = None,
    world: WorldOption = None,
    as_json: JsonOption = False,
) -> None:
    """
    Find numbers of FRAME that were not yet known at their row's time, how early they are, and the right ones.

    A number counts as early if it is not the right one and equals a vintage of the store that became available only later. A
    number of no vintage counts as unknown, not early, and leaves its column unproven. The columns "naive" count what a plain join by
    date would have used early.

        hydra-assets audit frame.parquet --time ts --market HE

    Exit code 0: nothing found. 1: numbers used before they existed. 2: the frame cannot be used, and why.
    """
    try:
        from hydra_assets.proof.audit_frame import audit as audited
        from hydra_assets.proof.user_frame import read_table

        table = read_table(frame, time=time, market=market)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with opened_store(world, store) as opened, Progress(*columns, console=errors, transient=True, disable=as_json) as progress:
            task = progress.add_task("reading", total=len(feature) if feature else None)
            found = audited(
                table,
                opened,
                time=time,
                market=market,
                features=feature or None,
                tolerance=tolerance,
                timezone=timezone,
                progress=lambda name: progress.update(task, advance=1, description=name),
            )
            name_of_world = opened.world
    except HydraError as error:
        errors.print(f"[bold red]error[/] {log.mask(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from error
    if as_json:
        lists = {name: [dataclasses.asdict(each) for each in getattr(found, name)] for name in ("cells", "features")}
        print_json({"world": name_of_world, "verdict": found.verdict, "rows": found.rows, **lists, "ignored": found.ignored})
    else:
        _show(found, f"{frame.name}: {found.rows:,} rows against the {name_of_world} world")
    if found.cells:
        raise typer.Exit(1)


def _show(found: "FrameAudit", title: str) -> None:
    headings, rows = ("feature", "cells", "right", "early", "stale", "unknown", "naive: values", "days", "worst", "verdict"), []
    for column in found.features:
        counts = (column.cells, column.right, column.early, column.stale, column.unknown, column.naive_values, column.naive_days)
        texts = [f"{count:,}" for count in counts]
        texts[2] = f"[red]{texts[2]}[/]" if column.early else texts[2]
        rows.append((column.feature, *texts, f"{column.naive_worst_days:.1f} d", column.verdict))
    show_table(title, headings, rows, left=["feature"], least=["days", "worst", "naive: values", "cells", "unknown", "stale", "right"])
    withheld = {column.feature: column.withheld for column in found.features if column.withheld}
    if withheld:
        counts_of = ", ".join(f"{name} {count:,}" for name, count in withheld.items())
        console.print(f"Empty where a value was known: {counts_of}.", highlight=False)
    if found.cells:
        early = []
        for cell in found.cells[:SHOWN]:
            known = instant(cell.available_at)
            texts = [f"{cell.row}", instant(cell.time), cell.market, cell.feature, number(cell.value), number(cell.right), known]
            early.append((*texts, f"{cell.early_days:.1f} d"))
        title = f"Used before they existed: the first {min(SHOWN, len(found.cells))} of {len(found.cells):,}"
        columns = ("row", "time", "market", "feature", "value", "right", "available at", "early")
        least = ["market", "row", "right", "early"]
        show_table(title, columns, early, left=["time", "market", "feature", "available at"], least=least)
    if found.ignored:
        console.print(f"Not looked at, since they are no features of this store: {', '.join(found.ignored)}.", highlight=False)
    colour = {"failed": "red", "passed": "green", "unproven": "yellow"}[found.verdict]
    console.print(f"Verdict: [bold {colour}]{found.verdict}[/]. naive: what a join by as_of alone would have used too early at these rows.")
