"""Plot of one feature joined two ways: by the day that it describes, and by the instant at which it became known."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import numpy as np

from hydra_assets.plots.plot import Plot, date_axis, figure_of


def naive_beside_honest(
    market: str, feature: str, times: Sequence[dt.datetime], naive: np.ndarray, honest: np.ndarray, cheated: np.ndarray, *, unit: str = ""
) -> Plot | None:
    """
    One feature by both joins; the time in which the naive one used a value before it existed is shaded.

    Args:
        market: symbol.
        feature: its name.
        times: instants of the joins, ascending; length n.
        naive: values by ``as_of`` alone, shape (n,); NaN where there is none.
        honest: values by the point-in-time rule, shape (n,).
        cheated: True where the naive value was not yet available, shape (n,).
        unit: of the feature's values, for the axis.

    Returns:
        The plot; None without a value.
    """
    if not len(times) or not np.isfinite(honest).any():
        return None
    rows = [{"values": len(times), "used before they existed": int(cheated.sum())}]

    def draw(axes: Any) -> None:
        axes.plot(times, naive, color="#d62728", lw=1.2, drawstyle="steps-post", label="joined by as_of: uses values before they exist")
        axes.plot(times, honest, color="#1f77b4", lw=2, drawstyle="steps-post", label="point in time: as known")
        low, high = axes.get_ylim()
        axes.fill_between(times, low, high, where=cheated, step="post", color="#d62728", alpha=0.08, lw=0)
        axes.set_ylim(low, high)
        axes.set_title(f"{market} {feature}, joined two ways")
        axes.set_ylabel(unit or feature)
        date_axis(axes)
        axes.legend()

    return Plot("naive", rows, {"values": "int", "used before they existed": "int"}, figure_of(draw))
