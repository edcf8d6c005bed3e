"""A plot: a table of numbers, and the figure drawn of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZE_IN, DPI = (11.0, 5.0), 120
# Sizes in points, and the grid behind every plot; a plot sets what differs.
_STYLE: Any = {
    "font.size": 10,
    "axes.labelsize": 12,
    "legend.fontsize": 10,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
}
_TITLE_ALONE, _TITLE_BESIDE = 14, 12
_DATES = 7  # that a figure has room for, side by side


@dataclass(frozen=True)
class Plot:
    """
    A picture that the UI shows beside a month of a table.

    Attributes:
        name: metadata key.
        rows: records of the table.
        kinds: column to type: ``string``, ``int`` or ``float``.
        figure: the picture.
    """

    name: str
    rows: Sequence[Mapping[str, Any]]
    kinds: Mapping[str, str]
    figure: "Figure"


def figure_of(*draws: Callable[[Any], None]) -> "Figure":
    """One figure with the axes of each of *draws* side by side."""
    from matplotlib import rc_context  # half a second: only where something is drawn
    from matplotlib.figure import Figure

    with rc_context({**_STYLE, "axes.titlesize": _TITLE_ALONE if len(draws) == 1 else _TITLE_BESIDE}):
        figure = Figure(figsize=SIZE_IN, dpi=DPI)
        # Margins that fit every figure here: a layout engine would draw each one three times to find its own.
        figure.subplots_adjust(left=0.1, right=0.985, top=0.90, bottom=0.13, wspace=0.16)
        for axes, draw in zip(figure.subplots(1, len(draws), squeeze=False)[0], draws, strict=True):
            draw(axes)
    return figure


def date_axis(axes: Any) -> None:
    """Few, whole dates along the axis; a short form would name the month of the last tick alone, which may hold no data."""
    from matplotlib import dates

    locator: Any = dates.AutoDateLocator(minticks=2, maxticks=_DATES // axes.get_gridspec().ncols)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.DateFormatter("%Y-%m-%d"))  # type: ignore[no-untyped-call]


def synthetic_note(rows: Sequence[Mapping[str, Any]]) -> str:
    """Note for a title: how many of *rows* are synthetic; empty where none is."""
    made = sum(bool(row["synthetic"]) for row in rows)
    return "" if not made else " (synthetic)" if made == len(rows) else f" ({made} of {len(rows)} synthetic)"
