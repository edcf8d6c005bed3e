"""Tables of the commands: never cut where the output is no terminal; on a narrow one the least important columns are left out."""

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.measure import Measurement
from rich.table import Table

from hydra_assets.cli.console import UNLIMITED, console

PLAIN: dict[str, Any] = {"box": box.SIMPLE_HEAD, "padding": (0, 1, 0, 0), "show_edge": False}  # one line under the headings


def show_table(
    title: str,
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: Sequence[str] = (),
    least: Sequence[str] = (),
    remedy: str = "--json prints all",
    **style: Any,
) -> None:
    """
    Print a table, and under it the columns that the terminal has no room for.

    Args:
        title: above the table.
        headings: of the columns, in order.
        rows: cells as text with markup, in the order of *headings*.
        left: headings of columns of text; all others are aligned to the right.
        least: headings of columns that a narrow terminal is spared, the least important one first.
        remedy: a way to see what is left out, beside a wider terminal.
        style: of the table, as rich takes it.
    """
    dropped: list[str] = []
    room = console.width if console.is_terminal else UNLIMITED
    table = _table(title, headings, rows, dropped, left, style)
    for heading in least:
        if _width(table) <= room:
            break
        dropped.append(heading)
        table = _table(title, headings, rows, dropped, left, style)
    if _width(table) > room:
        for column in table.columns:  # a number on two lines is whole
            column.no_wrap, column.overflow = False, "fold"
    if not console.is_terminal:
        table.width = _width(table)  # whatever COLUMNS says
    console.print(table, crop=False)
    if dropped:
        console.print(f"[dim]No room for: {', '.join(dropped)}. Widen the terminal; {remedy}.[/]", highlight=False, soft_wrap=True)


def _table(
    title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], dropped: Sequence[str], left: Sequence[str], style: dict[str, Any]
) -> Table:
    table = Table(title=title, title_justify="left", **style)
    kept = [place for place, heading in enumerate(headings) if heading not in dropped]
    for place in kept:
        table.add_column(headings[place], justify="left" if headings[place] in left else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(row[place] for place in kept))
    return table


def _width(table: Table) -> int:
    """Characters of the widest line without the title, which wraps."""
    return Measurement.get(console, console.options.update(width=UNLIMITED), table).maximum
