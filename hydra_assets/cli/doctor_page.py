"""The page of `hydra-assets doctor --live`: tables on a terminal, plain lines elsewhere, or JSON."""

from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from rich.table import Table

from hydra_assets.cli.console import console, plain
from hydra_assets.cli.tables import show_table
from hydra_assets.config.home import Home
from hydra_assets.doctor.reading import Reading
from hydra_assets.doctor.vendors import Page
from hydra_assets.log import mask

COLOURS = {"ok": "green", "look": "yellow", "wrong": "bold red"}


def page_as_json(page: Page, home: Home, market: str) -> dict[str, Any]:
    """The page as one document."""
    counts = Counter(reading.verdict for reading in page.readings)
    readings = [
        {
            "section": reading.section,
            "name": reading.name,
            "aspect": reading.aspect,
            "verdict": reading.verdict,
            "message": mask(reading.message),
            "remedy": reading.remedy,
            "facts": dict(reading.facts),
        }
        for reading in page.readings
    ]
    return {
        "world": home.world,
        "market": market,
        "day": page.chosen.day if page.chosen else None,
        "scratch": page.scratch,
        "ok": counts["ok"],
        "look": counts["look"],
        "wrong": counts["wrong"],
        "readings": readings,
    }


def show_page(page: Page, home: Home, market: str) -> None:
    """Print the page."""
    note = " (sample world: the embedded vendor, synthetic in every number and price)" if home.world == "sample" else ""
    console.print(f"The vendors of {market}, as they answer now{note}", soft_wrap=True, highlight=False)
    for section, readings in groupby(page.readings, key=lambda reading: reading.section):
        _show_section(section, list(readings))
    if page.chosen is not None:
        _show_prices(page)
    if page.scratch is not None:
        console.print(f"The day's rows are in {page.scratch}; delete it when you have seen them.", soft_wrap=True, highlight=False)
    counts = Counter(reading.verdict for reading in page.readings)
    console.print(f"{counts['wrong']} wrong, {counts['look']} to look at, {counts['ok']} ok.", highlight=False)


def _show_section(section: str, readings: list[Reading]) -> None:
    lines = list(_merged(readings))
    if not console.is_terminal:
        console.print(f"\n{section}")
        for verdict, name, message, remedy in lines:
            console.print(f"{verdict:<6}{name}: {message}", soft_wrap=True, highlight=False)
            if remedy:
                console.print(f"      -> {remedy}", soft_wrap=True, highlight=False)
        return
    table = Table(title=section, title_justify="left")
    for heading in ("", "subject", "found"):
        table.add_column(heading, no_wrap=heading == "")
    for verdict, name, message, remedy in lines:
        table.add_row(f"[{COLOURS[verdict]}]{verdict}[/]", name, message + (f"\n[dim]→ {remedy}[/]" if remedy else ""))
    console.print(table)


def _merged(readings: list[Reading]) -> Iterator[tuple[str, str, str, str]]:
    """Verdict, subject, message and remedy of each line: what is well about one subject shares a line."""
    for name, group in groupby(readings, key=lambda reading: reading.name):
        mine = list(group)
        well = [plain(mask(reading.message)) for reading in mine if reading.verdict == "ok"]
        if well:
            yield "ok", name, "; ".join(well), ""
        for reading in mine:
            if reading.verdict != "ok":
                yield reading.verdict, name, plain(mask(reading.message)), plain(reading.remedy)


def _show_prices(page: Page) -> None:
    chosen = page.chosen
    assert chosen is not None  # noqa: S101  asked by the caller
    columns = ("table", "schema", "symbols", "records", "MB", "$")
    rows = [
        (
            each.table.name,
            each.request.schema,
            each.request.symbols,
            f"{each.quote.records:,}",
            f"{each.quote.size / 1e6:,.2f}",
            f"{each.quote.usd:,.4f}",
        )
        for each in chosen.tables
    ]
    title = f"Price of {chosen.market.symbol} {chosen.day}: ${chosen.usd:,.4f}"
    if not console.is_terminal:
        console.print(f"\n{title}", highlight=False)
        for row in (columns, *rows):
            console.print(
                "  ".join(f"{text:<20}" if n < 3 else f"{text:>10}" for n, text in enumerate(row)), soft_wrap=True, highlight=False
            )
        return
    show_table(title, columns, rows, left=columns[:3], least=["symbols", "MB", "records", "schema"])
