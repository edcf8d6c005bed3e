"""Plot of the cash basis."""

import datetime as dt
import math
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.plots.plot import Plot, date_axis, figure_of, synthetic_note

BASIS = "fut_basis_cash"
_KINDS = {"day": "string", "cash index": "float", "front contract": "float", "basis %": "float"}
_SHOWN = 6  # newest days in the table


def basis(market: str, features: pa.Table, index: pa.Table) -> Plot | None:
    """
    The exchange's cash index beside the front contract, and the basis between the two, session by session.

    Args:
        market: symbol.
        features: rows of `futures_features` as known at one instant.
        index: rows of `cash_index` as known at that instant; they say whether it is synthetic.

    Returns:
        The plot; None without a basis.
    """
    if not features.num_rows or not index.num_rows:
        return None
    mine = features.filter(pc.and_(pc.equal(features["feature_name"], BASIS), pc.is_valid(features["value"])))
    indexed = index.filter(pc.is_valid(index["index"])).sort_by("as_of").to_pylist()
    if not mine.num_rows or not indexed:
        return None
    basis_of = {row["as_of"]: row["value"] for row in mine.sort_by("as_of").to_pylist()}
    days = sorted(basis_of)
    newest: dict[dt.datetime, float] = {}  # the basis of a session rests on the newest index of the days before it
    for day in days:
        newest[day] = next((row["index"] for row in reversed(indexed) if row["as_of"] < day), math.nan)
    front = {day: newest[day] / math.exp(basis_of[day]) for day in days}
    rows = [
        {
            "day": f"{day:%Y-%m-%d}",
            "cash index": None if math.isnan(newest[day]) else newest[day],
            "front contract": None if math.isnan(front[day]) else round(front[day], 3),
            "basis %": round(100 * basis_of[day], 2),
        }
        for day in days[-_SHOWN:]
    ]

    def draw_prices(axes: Any) -> None:
        axes.plot(days, [front[day] for day in days], marker=".", color="#1f77b4", label="front contract")
        axes.plot([row["as_of"] for row in indexed], [row["index"] for row in indexed], marker=".", color="#d62728", label="cash index")
        axes.set_title(f"{market}: cash and futures{synthetic_note(indexed)}")
        axes.set_ylabel("cents per lb")
        date_axis(axes)
        axes.legend()

    def draw_basis(axes: Any) -> None:
        axes.axhline(0, color="grey", lw=0.6)
        axes.plot(days, [100 * basis_of[day] for day in days], marker=".", color="#2ca02c")
        axes.set_title("basis: ln(index / front contract)")
        axes.set_ylabel("%")
        date_axis(axes)

    return Plot("basis", rows, _KINDS, figure_of(draw_prices, draw_basis))
