"""`hydra-assets doctor`: find misconfiguration, each with its remedy; with `--live`, how the vendors answer."""

import dataclasses
import datetime as dt
import os
from typing import Annotated

import typer

from hydra_assets.cli.console import JsonOption, WorldOption, console, parse_day, plain, print_json
from hydra_assets.config.home import Home, resolve_home
from hydra_assets.errors import ConfigError
from hydra_assets.log import mask

_COLOURS = {"ok": "green", "warning": "yellow", "problem": "bold red"}


def doctor(
    port: Annotated[int, typer.Option(help="The port that the UI is to have.")] = 3000,
    live: Annotated[
        bool, typer.Option("--live", help="Look at the vendors instead, free of charge; the world is live unless named.")
    ] = False,
    spend: Annotated[
        float, typer.Option("--spend", metavar="DOLLARS", min=0.0, help="With --live: fetch one real day if it costs no more.")
    ] = 0.0,
    market: Annotated[str | None, typer.Option("--market", help="With --live: a configured market. Default: default_market.")] = None,
    day: Annotated[
        str | None, typer.Option("--day", help="With --live: the session, 2025-09-01. Default: the newest complete one.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="With --spend: keep the scratch home of the day's rows.")] = False,
    world: WorldOption = None,
    as_json: JsonOption = False,
) -> None:
    """
    Look at machine, settings and home; say what is wrong and how to mend it.

    Quick, and it changes nothing: no folder is made, no key is printed. Exit code 1 where there is a problem; a warning is worth
    reading and stops nothing.

    With `--live` it asks the vendors instead: whether the CFTC and the key are answered, ranges, the last week, the price of a day. With
    `--spend 0.50` as well, it fetches one day of one market through all tables, priced first, and says whether units, flags, clocks and
    counts are what the product takes them for. The day's answers are paid once and kept in the archive, the ledger notes them, and its
    rows go to a scratch home that is deleted.
    """
    if live:
        _look_at_vendors(world, market, day, spend, keep, as_json)
        return
    for option, given in (("--spend", spend), ("--market", market), ("--day", day), ("--keep", keep)):
        if given:
            raise ConfigError(f"{option} is an option of doctor --live: add --live")
    _look_at_home(resolve_home(world), port, as_json)


def _look_at_vendors(world: str | None, market: str | None, day: str | None, spend: float, keep: bool, as_json: bool) -> None:
    from hydra_assets.cli.doctor_page import page_as_json, show_page
    from hydra_assets.config.load import load_config
    from hydra_assets.doctor.vendors import Probe, examine_vendors
    from hydra_assets.flow.feeds.databento import DATABENTO
    from hydra_assets.keys import key_of_feed

    config = load_config()
    home = resolve_home(world or os.environ.get("HYDRA_WORLD") or "live")
    probe = Probe(config.market(market or config.default_market), parse_day(day, "--day").date() if day else None, spend, keep)
    key = key_of_feed(DATABENTO.name, home)
    with console.status("looking ...") as status:
        page = examine_vendors(home, config, probe, key=key, now=dt.datetime.now(dt.UTC), report=status.update)
    if as_json:
        print_json(page_as_json(page, home, probe.market.symbol))
    else:
        show_page(page, home, probe.market.symbol)
    if any(reading.verdict == "wrong" for reading in page.readings):
        raise typer.Exit(1)


def _look_at_home(home: Home, port: int, as_json: bool) -> None:
    from hydra_assets.doctor.dagster import examine_dagster  # Arrow takes a second to load; --help needs none of it
    from hydra_assets.doctor.home import examine_home
    from hydra_assets.doctor.machine import examine_machine

    examined = (*examine_machine(home, port), *examine_home(home), *examine_dagster(home))
    findings = [dataclasses.replace(found, message=mask(found.message)) for found in examined]
    counts = {status: sum(found.status == status for found in findings) for status in _COLOURS}
    if as_json:
        rows = [{"name": f.name, "status": f.status, "message": f.message, "remedy": f.remedy} for f in findings]
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
