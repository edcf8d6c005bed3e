"""`hydra-assets report`: one HTML page of a market, everything on it as known at an instant."""

from pathlib import Path
from typing import Annotated

import typer

from hydra_assets.cli.console import MarketArgument, WorldOption, console, instant
from hydra_assets.cli.read import At, when_of


def report(
    market: MarketArgument,
    at: At = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write. Default: MARKET-INSTANT.html in this folder.", dir_okay=False)
    ] = None,
    pictures: Annotated[
        Path | None, typer.Option("--pictures", help="A folder for the pictures alone, as SVG files; no page is written.", file_okay=False)
    ] = None,
    world: WorldOption = None,
) -> None:
    """
    Write a page of MARKET as it was known at an instant: pictures, features with formula and age, reasons of nulls, checks and proofs.

    The file is self-contained: it loads nothing, prints, and follows the light or dark setting of its reader. `hydra-assets ui` serves
    the same page under /desk/MARKET.
    """
    from hydra_assets.desk import open as open_desk
    from hydra_assets.host.verdicts import verdicts_of
    from hydra_assets.report.page import REACH, render, view_of
    from hydra_assets.report.pictures import save_pictures

    when = when_of(at)
    with open_desk(world) as desk:
        desk.config.market(market)
        with console.status(f"reading {market} as known at {instant(when)} ..."):
            if pictures is not None:
                for file in save_pictures(desk, view_of(desk, market, when, reach=REACH), pictures):
                    console.print(file, soft_wrap=True, highlight=False)
                return
            page = render(desk, market, when, verdicts_of(desk.home, market))
    target = output or Path(f"{market}-{when:%Y%m%dT%H%M}.html")
    target.write_text(page, encoding="utf-8")
    console.print(f"{target}  {len(page) / 1e6:.1f} MB: open it in a browser", soft_wrap=True, highlight=False)
