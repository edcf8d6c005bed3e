"""`hydra-assets verify`: make a training frame again from its certificate and compare."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hydra_assets.cli.console import JsonOption, StoreOption, WorldOption, console, instant, opened_store, print_json

if TYPE_CHECKING:
    from hydra_assets.proof.certificate import Verification


def verify(
    certificate: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="What get_training_frame(..., certificate=path) wrote.")],
    store: StoreOption = None,
    world: WorldOption = None,
    as_json: JsonOption = False,
) -> None:
    """
    Make the training frame of CERTIFICATE again and say whether it is the same, bit for bit.

    Facts recorded since do not count: the frame is made from what had been recorded when the certificate was written. Where it
    differs, the columns, the rows and the first cells are named. Code, settings or a release calendar that changed since are
    noted. The world is the certificate's own unless --world or --store names another place.

    Exit code 0: identical. 1: it differs, or the certificate was changed.
    """
    from hydra_assets.config.load import config_text
    from hydra_assets.proof.certificate import verify as verified
    from hydra_assets.storage.certificate import read_certificate

    held = read_certificate(certificate)
    with opened_store(world or (None if store else held["store"]["world"]), store) as opened:
        found = verified(certificate, opened, settings=config_text())
    if as_json:
        print_json({"certificate": str(certificate), **dataclasses.asdict(found)})
    else:
        rows, columns = held["result"]["rows"], len(held["result"]["columns"])
        what = f"{certificate.name}: {rows:,} rows x {columns} columns, recorded by {held['store']['recorded_at']}"
        verdict = "[bold green]identical[/], bit for bit" if found.identical else "[bold red]differs[/]"
        for line in (f"{verdict}. {what}", *_differences(found)):
            console.print(line, highlight=False, soft_wrap=True)
        for note in found.notes:
            console.print(f"  [yellow]note[/] {note}", highlight=False, soft_wrap=True)
    if not found.identical:
        raise typer.Exit(1)


def _differences(found: "Verification") -> Iterator[str]:
    if found.reason:
        yield f"  {found.reason}"
    if found.columns:
        yield f"  columns that differ: {', '.join(found.columns)}"
    if found.rows:
        yield f"  rows that differ: {len(found.rows):,}, the first {', '.join(map(str, found.rows[:10]))}"
    for cell in found.cells:
        yield f"  row {cell.row}  {cell.market} {instant(cell.time)}  {cell.column} is now {cell.value}"
