"""Plots of the front series: prices with their rolls, and the carry of the curve."""

import datetime as dt
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.plots.plot import Plot, date_axis, figure_of

CARRIES = {"fut_carry_ann": "annualised carry", "fut_carry_deseas": "carry less its season"}
_ROLLS = {"day": "string", "from": "string", "to": "string"}


def price_with_rolls(market: str, series: pa.Table, *, note: str = "") -> Plot | None:
    """
    Settlements of the front contract, the adjusted price, and each roll.

    Args:
        market: symbol.
        series: the answer of `features.futures.continuous.adjusted`.
        note: end of the title.

    Returns:
        The plot; None without a price.
    """
    if not series.num_rows:
        return None
    rows = series.sort_by("as_of").to_pylist()
    rolls = [
        {"day": f"{new['as_of']:%Y-%m-%d}", "from": old["contract"], "to": new["contract"]}
        for old, new in pairwise(rows)
        if old["contract"] != new["contract"]
    ]

    def draw(axes: Any) -> None:
        days = [row["as_of"] for row in rows]
        axes.plot(days, _numbers(rows, "settlement"), color="#7f7f7f", lw=1, label="settlement of the front contract")
        axes.plot(days, _numbers(rows, "price"), color="#1f77b4", lw=2, label="price adjusted for rolls")
        for roll in rolls:
            at = dt.datetime.fromisoformat(roll["day"]).replace(tzinfo=dt.UTC)
            axes.axvline(at, color="#2ca02c", lw=0.8, ls=":")
            axes.annotate(roll["to"], (at, 0.02), xycoords=("data", "axes fraction"), rotation=90, va="bottom", ha="right")
        axes.set_title(f"{market}: front price and rolls{note}")
        axes.set_ylabel("price units")
        date_axis(axes)
        axes.legend()

    return Plot("rolls", rolls, _ROLLS, figure_of(draw))


def carry(market: str, known: pa.Table, *, note: str = "") -> Plot | None:
    """
    Carry of the curve, day by day.

    Args:
        market: symbol.
        known: rows of `futures_features` as known at one instant.
        note: end of the title.

    Returns:
        The plot; None without a value.
    """
    if not known.num_rows:
        return None
    valued = known.filter(pc.and_(pc.is_in(known["feature_name"], pa.array(list(CARRIES))), pc.is_valid(known["value"]))).sort_by("as_of")
    if not valued.num_rows:
        return None
    rows = valued.to_pylist()
    newest = {row["feature_name"]: row for row in rows}
    table = [
        {"feature": name, "day": f"{row['as_of']:%Y-%m-%d}", "value": row["value"], "quality": row["quality"]}
        for name, row in newest.items()
    ]

    def draw(axes: Any) -> None:
        for name, label in CARRIES.items():
            days = [row["as_of"] for row in rows if row["feature_name"] == name]
            if days:
                axes.plot(days, [row["value"] for row in rows if row["feature_name"] == name], lw=1.5, label=f"{label} ({name})")
        axes.axhline(0, color="grey", lw=0.8)
        axes.set_title(f"{market}: carry{note}")
        axes.set_ylabel("ln units a year")
        date_axis(axes)
        axes.legend()

    return Plot("carry", table, {"feature": "string", "day": "string", "value": "float", "quality": "string"}, figure_of(draw))


def _numbers(rows: list[dict[str, Any]], name: str) -> list[float]:
    return [np.nan if row[name] is None else row[name] for row in rows]
