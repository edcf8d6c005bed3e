"""`hydra-assets features`, `explain` and `history`: values known at an instant, the reason, and every vintage."""

import datetime as dt
from typing import TYPE_CHECKING, Annotated

import typer

from hydra_assets.cli.console import JsonOption, MarketArgument, WorldOption, console, instant, number, parse_day, parse_instant, print_json
from hydra_assets.cli.filling import how_to_fill
from hydra_assets.cli.tables import PLAIN, show_table
from hydra_assets.errors import UnknownFeatureError

if TYPE_CHECKING:
    from hydra_assets.desk import Desk

FeatureArgument = Annotated[
    str,
    typer.Argument(
        metavar="FEATURE", help="A feature's name, for example cot_mm_net; hydra-assets catalogue lists all.", show_default=False
    ),
]
At = Annotated[
    str | None, typer.Option("--at", help="The instant to stand at, ISO 8601 with a zone, e.g. 2025-10-20T12:00Z. Default: now.")
]


def features(market: MarketArgument, at: At = None, world: WorldOption = None, as_json: JsonOption = False) -> None:
    """Show every feature of MARKET as it was known at an instant."""
    from hydra_assets.flow.publish import synthetic_inputs

    when = when_of(at)
    with _open(world) as desk:
        desk.config.market(market)
        explained = [desk.store.explain(market, name, when) for name in desk.store.features(market)]
        synthetic = synthetic_inputs(desk.lake, market)
        if as_json:
            known = {}
            for row in explained:
                name, served = row["feature_name"], row["served"]
                known[name] = served and {**served, "synthetic": synthetic(name, served["as_of"]), "withheld": len(row["withheld"])}
            print_json({"world": desk.world, "market": market, "at": when, "features": known})
            return
        if not explained:
            fill = how_to_fill(desk.world, market)
            console.print(f"The {desk.world} world holds no features of {market} yet. Make some: [bold]{fill}[/]", soft_wrap=True)
            return
        title = f"{market} as known at {instant(when)} ({desk.world} world)"
        rows = []
        for row in explained:
            served = row["served"]
            if served is None:
                rows.append((row["feature_name"], "-", "not yet", "-", "-", "-"))
                continue
            origin = "[yellow]synthetic[/]" if synthetic(row["feature_name"], served["as_of"]) else "real"
            when_known = (f"{served['as_of']:%Y-%m-%d}", instant(served["available_at"], to_the_minute=True))
            rows.append((row["feature_name"], number(served["value"]), served["quality"], origin, *when_known))
        headings, least = ("feature", "value", "quality", "input", "as of", "available at"), ["input", "as of", "quality"]
        show_table(
            title, headings, rows, left=[heading for heading in headings if heading != "value"], least=least, **PLAIN, pad_edge=False
        )
        withheld = max(len(row["withheld"]) for row in explained)
        if withheld:
            console.print(f"{withheld} later rows that describe this time or earlier are withheld; the command explain says which.")
        if desk.world == "sample":
            console.print("[dim]input: synthetic where any row of the feature's window is.[/]")


def explain(
    market: MarketArgument,
    feature: FeatureArgument,
    at: At = None,
    world: WorldOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the row that is served at an instant, and the later ones withheld until they become available."""
    from hydra_assets.report.page import view_of
    from hydra_assets.report.reasons import Reasons

    when = when_of(at)
    with _open(world) as desk:
        desk.config.market(market)
        _known(desk, market, feature)
        answer = desk.store.explain(market, feature, when)
        if as_json:
            print_json({"world": desk.world, **answer})
            return
        served = answer["served"]
        console.print(f"[bold]{market} {feature}[/] at {instant(when)} ({desk.world} world)")
        if served is None:
            console.print("  served    nothing: no row of it was available yet")
        else:
            console.print(
                f"  served    [bold green]{number(served['value'])}[/] ({served['quality']}), as of {served['as_of']:%Y-%m-%d},"
                f" available since {instant(served['available_at'])}"
            )
            if served["value"] is None:
                for reason in Reasons(view_of(desk, market, when)).of(feature, served["as_of"].date(), served["quality"]):
                    console.print(f"  because   {reason}", soft_wrap=True)
        for row in answer["withheld"]:
            console.print(
                f"  withheld  [red]{number(row['value'])}[/] ({row['quality']}), as of {row['as_of']:%Y-%m-%d},"
                f" becomes available {instant(row['available_at'])}"
            )
        if not answer["withheld"]:
            console.print("  withheld  nothing")


def history(
    market: MarketArgument,
    feature: FeatureArgument,
    start: Annotated[str, typer.Option(help="First as_of day, e.g. 2025-09-01.")] = "2010-01-01",
    end: Annotated[str, typer.Option(help="Last as_of day, inclusive.")] = "2100-01-01",
    world: WorldOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show every vintage of a feature: its value, its day, and when it became available."""
    with _open(world) as desk:
        desk.config.market(market)
        first, last = parse_day(start, "--start"), parse_day(end, "--end")
        _known(desk, market, feature)
        rows = desk.store.get_feature_history(market, feature, first, last)
        if as_json:
            print_json({"world": desk.world, "market": market, "feature": feature, "vintages": rows})
            return
        cells = [
            (f"{row['as_of']:%Y-%m-%d}", number(row["value"]), row["quality"], instant(row["available_at"]), instant(row["recorded_at"]))
            for row in rows
        ]
        headings = ("as of", "value", "quality", "available at", "recorded at")
        title = f"{market} {feature}: {len(rows)} vintages ({desk.world} world)"
        show_table(title, headings, cells, left=[name for name in headings if name != "value"], least=["recorded at", "quality"])


def _known(desk: "Desk", market: str, feature: str) -> None:
    """Raise UnknownFeatureError with the reason if *market* has no such feature."""
    from hydra_assets.storage.uncomputed import absence_of  # Arrow takes a second to load; --help needs neither

    known = desk.store.features(market)
    if not known:
        fill = how_to_fill(desk.world, market)
        raise UnknownFeatureError(f"{market} has no feature {feature!r}: the {desk.world} world holds none of it yet; make some: {fill}")
    if feature not in known:
        raise UnknownFeatureError(absence_of(desk.store, market, feature))


def _open(world: str | None) -> "Desk":
    from hydra_assets.desk import open as open_desk  # pandas and Arrow take a second to load; --help needs neither

    return open_desk(world)


def when_of(at: str | None) -> dt.datetime:
    """The instant of ``--at``; now without it."""
    return parse_instant(at) if at else dt.datetime.now(dt.UTC)
