"""Plots of the futures curve, and of settlements between their price limits."""

import datetime as dt
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.core.calendar import DEFAULT_CALENDAR, Calendar
from hydra_assets.features.settlements import standing_settlements
from hydra_assets.plots.plot import Plot, date_axis, figure_of, synthetic_note

_KINDS = {"contract": "string", "last trade": "string", "settlement": "float", "open interest": "float"}


def term_structure(
    market: str, known: pa.Table, *, calendar: Calendar = DEFAULT_CALENDAR, known_at: dt.datetime | None = None
) -> Plot | None:
    """
    The newest curve: settlement and open interest by expiration.

    Args:
        market: symbol.
        known: rows of `futures_statistics` as known at one instant.
        calendar: the market's.
        known_at: that instant; default the newest ``available_at`` in *known*. A print that is not final stands from noon of the next
            session on.

    Returns:
        The plot; None without a settlement.
    """
    if not known.num_rows:
        return None
    standing = standing_settlements(known, known["instrument_id"].to_numpy(), calendar, known_at)
    settled = standing.filter(pc.equal(standing["stat"], "settlement"))
    if not settled.num_rows:
        return None
    day = pc.max(settled["as_of"]).as_py()
    curve = [row for row in settled.sort_by("expiration").to_pylist() if row["as_of"] == day and row["value"] is not None]
    interest = {
        (row["instrument"], row["expiration"]): row["value"]
        for row in known.filter(pc.equal(known["stat"], "open_interest")).sort_by("as_of").to_pylist()
    }
    rows = [
        {
            "contract": row["instrument"],
            "last trade": f"{row['expiration']:%Y-%m-%d}",
            "settlement": row["value"],
            "open interest": interest.get((row["instrument"], row["expiration"])),
        }
        for row in curve
    ]

    def draw(axes: Any) -> None:
        axes.plot([row["expiration"] for row in curve], [row["value"] for row in curve], marker="o", color="#1f77b4")
        for row in curve:
            place = (row["expiration"], row["value"])
            axes.annotate(row["instrument"], place, textcoords="offset points", xytext=(0, 7), ha="center")
        axes.set_title(f"{market}: term structure of {day:%Y-%m-%d}{synthetic_note(curve)}")
        axes.set_ylabel("settlement, price units")
        axes.set_xlabel("last trade")
        date_axis(axes)
        axes.margins(y=0.12)

    return Plot("term_structure", rows, _KINDS, figure_of(draw))


_LIMIT_KINDS = {
    "day": "string",
    "contract": "string",
    "settlement": "float",
    "low limit": "float",
    "high limit": "float",
    "at limit": "string",
}


def limit_days(market: str, known: pa.Table) -> Plot | None:
    """
    Settlements of the nearest contract between the price limits of their days, and a mark on those at one.

    Args:
        market: symbol.
        known: rows of `futures_limits` as known at one instant.

    Returns:
        The plot, its table the days at a limit, of all contracts; None without a settlement.
    """
    rows = [
        row for row in known.sort_by([("as_of", "ascending"), ("expiration", "ascending")]).to_pylist() if row["settlement"] is not None
    ]
    if not rows:
        return None
    nearest: dict[dt.datetime, Any] = {}
    for row in rows:
        nearest.setdefault(row["as_of"], row)
    drawn, locked = list(nearest.values()), [row for row in rows if row["at_limit"] in ("up", "down")]
    table = [
        {
            "day": f"{row['as_of']:%Y-%m-%d}",
            "contract": row["instrument"],
            "settlement": row["settlement"],
            "low limit": row["low_limit"],
            "high limit": row["high_limit"],
            "at limit": row["at_limit"],
        }
        for row in locked
    ]

    def draw(axes: Any) -> None:
        days = [row["as_of"] for row in drawn]
        low, high = ([float("nan") if row[name] is None else row[name] for row in drawn] for name in ("low_limit", "high_limit"))
        axes.fill_between(days, low, high, step="mid", color="#1f77b4", alpha=0.15, label="limits")
        axes.plot(days, [row["settlement"] for row in drawn], marker=".", color="#1f77b4", label="settlement, nearest contract")
        at = [row for row in drawn if row["at_limit"] in ("up", "down")]
        axes.plot([row["as_of"] for row in at], [row["settlement"] for row in at], "o", mfc="none", color="#d62728", label="at the limit")
        axes.set_title(f"{market}: settlements and price limits{synthetic_note(drawn)}")
        axes.legend()
        date_axis(axes)

    return Plot("limit_days", table, _LIMIT_KINDS, figure_of(draw))
