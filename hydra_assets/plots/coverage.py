"""Plot of coverage: a calendar of tables and days."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hydra_assets.core.tables.table import QUALITIES
from hydra_assets.plots.plot import Plot, figure_of

_COLOURS_OF = {
    "not due": "#00000000",
    "missing": "#d62728",
    "stale": "#9467bd",
    "degraded": "#ff7f0e",
    "partial": "#f2c744",
    "normal": "#4c9f70",
}
STATES = ("not due", *reversed(QUALITIES))  # from worst to best, after days on which nothing is due
_COLOURS = [_COLOURS_OF[state] for state in STATES]


def coverage_heat_map(market: str, days: Sequence[dt.date], states: Mapping[str, Sequence[str]]) -> Plot | None:
    """
    State of each table on each session.

    Args:
        market: symbol.
        days: sessions, ascending; length n.
        states: table to one of `STATES` a day, length n.

    Returns:
        The plot; None without a table or day.
    """
    if not days or not states:
        return None
    grid = np.array([[STATES.index(state) for state in row] for row in states.values()])
    rows = [
        {"table": name, **{state: int((line == i).sum()) for i, state in enumerate(STATES) if i}}
        for name, line in zip(states, grid, strict=True)
    ]

    def draw(axes: Any) -> None:
        from matplotlib.colors import ListedColormap
        from matplotlib.patches import Patch

        axes.imshow(grid, aspect="auto", interpolation="nearest", cmap=ListedColormap(_COLOURS), vmin=-0.5, vmax=len(STATES) - 0.5)
        axes.set_yticks(range(len(states)), list(states))
        firsts = [i for i in range(1, len(days)) if days[i].month != days[i - 1].month] or [0]
        axes.set_xticks(firsts, [f"{days[i]:%Y-%m}" for i in firsts], rotation=45, ha="right")
        axes.set_yticks(np.arange(len(states)) + 0.5, minor=True)
        axes.grid(visible=False)
        axes.grid(which="minor", axis="y", color="white", linewidth=2, alpha=1)
        axes.tick_params(which="minor", length=0)
        axes.set_title(f"{market}: coverage by session")
        patches = [Patch(color=_COLOURS[i], label=STATES[i]) for i in range(len(STATES) - 1, 0, -1)]
        axes.legend(handles=patches, ncols=len(STATES) - 1, loc="upper left", bbox_to_anchor=(0, -0.2), frameon=False)
        axes.figure.subplots_adjust(left=0.17, bottom=0.26)

    return Plot("coverage", rows, {"table": "string", **dict.fromkeys(STATES[1:], "int")}, figure_of(draw))
