"""What a trader would look at, beside each feature table in the UI: a table of the numbers, and a picture of them."""

import base64
import datetime as dt
import io
from collections.abc import Callable, Mapping
from typing import Any

import dagster as dg
import pyarrow.compute as pc

from hydra_assets.core.months import Month
from hydra_assets.core.tables.cot import COT_DISAGGREGATED
from hydra_assets.core.tables.futures import FUTURES_STATISTICS
from hydra_assets.storage.lake import ParquetLake

SIZE_IN, DPI = (7.0, 3.2), 90
Facts = Mapping[str, dg.MetadataValue]
_YEAR = dt.timedelta(363)


def term_structure(lake: ParquetLake, market: str, month: Month) -> Facts:
    """The newest curve of the month: final settlement and open interest by expiration."""
    known = lake.read_known(
        FUTURES_STATISTICS.name, market, dt.datetime.now(dt.UTC), key=FUTURES_STATISTICS.key, start=month.first, end=month.last
    )
    if not known.num_rows:
        return {}
    final = known.filter(pc.and_(pc.equal(known["stat"], "settlement"), pc.fill_null(known["is_final"], False)))
    if not final.num_rows:
        return {}
    day = pc.max(final["as_of"]).as_py()
    curve = [row for row in final.sort_by("expiration").to_pylist() if row["as_of"] == day and row["value"] is not None]
    interest = {
        (row["instrument"], row["expiration"]): row["value"]
        for row in known.filter(pc.equal(known["stat"], "open_interest")).sort_by("as_of").to_pylist()
    }
    rows = [(row["instrument"], row["expiration"], row["value"], interest.get((row["instrument"], row["expiration"]))) for row in curve]
    table = [
        dg.TableRecord({"contract": name, "last trade": f"{end:%Y-%m-%d}", "settlement": value, "open interest": oi})
        for name, end, value, oi in rows
    ]
    columns = [
        dg.TableColumn("contract"),
        dg.TableColumn("last trade"),
        dg.TableColumn("settlement", "float"),
        dg.TableColumn("open interest", "float"),
    ]

    def draw(axes: Any) -> None:
        axes.plot([end for _, end, *_ in rows], [value for _, _, value, _ in rows], marker="o", color="#1f77b4")
        for name, end, value, _ in rows:
            axes.annotate(name, (end, value), textcoords="offset points", xytext=(0, 7), ha="center", fontsize=7)
        axes.set_title(f"{market}: term structure of {day:%Y-%m-%d}{synthetic_note(curve)}", fontsize=10)
        axes.set_ylabel("final settlement", fontsize=8)
        by_date(axes)
        axes.margins(y=0.12)

    return {
        "term_structure": dg.MetadataValue.table(table, schema=dg.TableSchema(columns=columns)),
        "term_structure_picture": picture_of(draw),
    }


def positioning(lake: ParquetLake, market: str, month: Month) -> Facts:
    """A year of managed money, producers and swap dealers, net, as known now."""
    known = lake.read_known(
        COT_DISAGGREGATED.name, market, dt.datetime.now(dt.UTC), key=COT_DISAGGREGATED.key, start=month.last - _YEAR, end=month.last
    )
    reports = known.sort_by("as_of").to_pylist() if known.num_rows else []
    if not reports:
        return {}
    nets = {group: [row[f"{group}_long"] - row[f"{group}_short"] for row in reports] for group in ("mm", "prod", "swap")}
    newest = [
        dg.TableRecord({"report": f"{row['as_of']:%Y-%m-%d}", **{f"{group} net": nets[group][i] for group in nets}})
        for i, row in list(enumerate(reports))[-6:]
    ]
    kinds = {"report": "string", **{f"{group} net": "int" for group in nets}}

    def draw(axes: Any) -> None:
        days = [row["as_of"] for row in reports]
        for group, label in (("mm", "managed money"), ("prod", "producers"), ("swap", "swap dealers")):
            axes.plot(days, nets[group], label=label, drawstyle="steps-post")
        axes.axhline(0, color="grey", linewidth=0.6)
        axes.set_title(f"{market}: net positions by report date{synthetic_note(reports)}", fontsize=10)
        axes.set_ylabel("contracts", fontsize=8)
        by_date(axes)
        axes.legend(fontsize=7, loc="best")

    return {"positioning": table_of(newest, kinds), "positioning_picture": picture_of(draw)}


def table_of(rows: list[dg.TableRecord], kinds: Mapping[str, str]) -> dg.MetadataValue:
    return dg.MetadataValue.table(rows, schema=dg.TableSchema(columns=[dg.TableColumn(name, kind) for name, kind in kinds.items()]))


def synthetic_note(rows: list[dict[str, Any]]) -> str:
    made = sum(bool(row["synthetic"]) for row in rows)
    return "" if not made else " (synthetic)" if made == len(rows) else f" ({made} of {len(rows)} synthetic)"


def by_date(axes: Any) -> None:
    """Few, short dates along the axis."""
    from matplotlib import dates

    locator: Any = dates.AutoDateLocator(maxticks=7)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def picture_of(*draws: Callable[[Any], None]) -> dg.MetadataValue:
    from matplotlib.figure import Figure  # half a second: only where something is drawn

    figure = Figure(figsize=SIZE_IN, dpi=DPI)
    # Margins that fit every picture here: a layout engine would draw each one three times to find its own.
    figure.subplots_adjust(left=0.115, right=0.985, top=0.90, bottom=0.15, wspace=0.12)
    for axes, draw in zip(figure.subplots(1, len(draws), squeeze=False)[0], draws, strict=True):
        draw(axes)
        axes.tick_params(labelsize=7)
    body = io.BytesIO()
    figure.savefig(body, format="png")
    return dg.MetadataValue.md(f"![picture](data:image/png;base64,{base64.b64encode(body.getvalue()).decode()})")
