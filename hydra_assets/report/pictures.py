"""Pictures of a market as known at an instant, each an inline SVG."""

import base64
import datetime as dt
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.config.load import load_release_calendar
from hydra_assets.core.months import months_between
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.core.tables.table import Table
from hydra_assets.desk import Desk
from hydra_assets.features import ALL
from hydra_assets.flow.feed import expected_days
from hydra_assets.plots.coverage import coverage_heat_map
from hydra_assets.plots.naive import naive_beside_honest
from hydra_assets.plots.plot import Plot
from hydra_assets.proof.naive import compare_with_naive
from hydra_assets.report import drawings
from hydra_assets.report.view import View

Draw = Callable[[Desk, View], Plot | None]
NAIVE_FEATURE = "cot_mm_net"
_YEAR, _MONTH, _WEEK = dt.timedelta(365), dt.timedelta(31), dt.timedelta(7)


@dataclass(frozen=True)
class Picture:
    """
    One picture of the page.

    Attributes:
        name: of the plot.
        caption: one sentence.
        source: an SVG as a ``data:`` address.
    """

    name: str
    caption: str
    source: str


def pictures(desk: Desk, view: View) -> list[Picture]:
    """All pictures of the view that have something to show."""
    return [Picture(plot.name, caption, _address(plot)) for plot, caption in _plots(desk, view)]


def save_pictures(desk: Desk, view: View, folder: Path) -> list[Path]:
    """Write each picture of the view into *folder*, as an SVG on white; the files."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for plot, _ in _plots(desk, view):
        found.append(folder / f"{view.market}-{plot.name}.svg")
        found[-1].write_bytes(_svg(plot, transparent=False))
    return found


def _plots(desk: Desk, view: View) -> Iterator[tuple[Plot, str]]:
    for draw, caption in DRAWN:
        plot = draw(desk, view)
        if plot is not None:
            yield plot, caption


def _svg(plot: Plot, *, transparent: bool) -> bytes:
    from matplotlib import rc_context

    body = io.BytesIO()
    # Text stays text: half the bytes, and a reader can search it. Without a salt and a date two drawings are equal to the byte.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": plot.name, "font.family": "sans-serif"}):
        plot.figure.savefig(body, format="svg", transparent=transparent, metadata={"Date": None})
    return body.getvalue()


def _address(plot: Plot) -> str:
    body = _svg(plot, transparent=True)
    return f"data:image/svg+xml;base64,{base64.b64encode(body).decode()}"


def _naive(desk: Desk, view: View) -> Plot | None:
    if NAIVE_FEATURE not in desk.store.features(view.market):
        return None
    day = view.at.astimezone(view.calendar.zone).date()
    times = [time for time in view.calendar.instants(day - _YEAR, day) if time <= view.at]
    found = compare_with_naive(desk.store, view.market, NAIVE_FEATURE, times)
    # The join by day looks ahead on purpose, yet nothing that came after the instant of the page is shown.
    known_from = [time + dt.timedelta(days=early) for time, early in zip(times, found.early_days.tolist(), strict=True)]
    out = np.array([known <= view.at for known in known_from], dtype=bool)
    (unit,) = (feature.unit for feature in ALL if feature.name == NAIVE_FEATURE)
    naive, cheated = np.where(out, found.naive, np.nan), found.cheated & out
    return naive_beside_honest(view.market, NAIVE_FEATURE, times, naive, found.honest, cheated, unit=unit)


def _coverage(desk: Desk, view: View) -> Plot | None:
    newest = view.until - _WEEK  # by then each daily table of the day is published
    days = view.calendar.session_days(newest - _YEAR, newest)
    states = {}
    for table in TABLES.values():
        if table.group == "features" or not days or not desk.lake.folders(table.name, view.market):
            continue
        held = _qualities(view.rows(table, newest - _YEAR))
        if held:
            due = _due(view, table, days, since=min(held))
            states[table.name] = [held.get(day, "missing" if day in due else "not due") for day in days]
    return coverage_heat_map(view.market, days, states)


def _qualities(known: pa.Table) -> dict[dt.date, str]:
    """The most frequent quality of each day's rows."""
    if "quality" not in known.column_names:
        return {day.date(): "normal" for day in pc.unique(known["as_of"]).to_pylist()} if known.num_rows else {}
    counted = known.group_by(["as_of", "quality"]).aggregate([([], "count_all")]).sort_by("count_all")
    return {row["as_of"].date(): row["quality"] for row in counted.to_pylist()}


def _due(view: View, table: Table, days: list[dt.date], *, since: dt.date) -> set[dt.date]:
    """Days from *since* on whose rows had been published by the view's instant, as the table's calendar has it."""
    due = {day for month in months_between(days[0], days[-1]) for day in expected_days(table, view.calendar, month)}
    if table.calendar == "cot_releases":
        releases = load_release_calendar()
        due = {day for day in due if releases.release(day).available_at <= view.at}
    return {day for day in due if day >= since} - view.lake.unpublished(table.name, view.market, days[0], days[-1])


def _drawn(draw: Callable[[View, dt.date], Plot | None], reach: dt.timedelta) -> Draw:
    return lambda _, view: draw(view, view.until - reach)


DRAWN: Sequence[tuple[Draw, str]] = (
    (_drawn(drawings.curve, _MONTH), "The newest settlement of every contract."),
    (_drawn(drawings.smiles, _MONTH), "The newest fitted smiles with their quotes, and the densities that they imply."),
    (_drawn(drawings.positioning, _YEAR), "Solid lines step where a report became known; dotted ones where its day lay."),
    (_naive, "Shaded: the join by day used a number that nobody had yet."),
    (_drawn(drawings.rolls, _YEAR), "The adjusted past is that of the instant; later rolls cannot move it."),
    (_drawn(drawings.basis, _YEAR), "The index that the contract settles to, the front contract, and the difference of their logarithms."),
    (_drawn(drawings.carry, _YEAR), "Slope of the curve from the front contract to the next."),
    (_drawn(drawings.volatility, _YEAR), "Volatility at the forward at constant maturities."),
    (_coverage, "The usual quality of each table's rows by session; red where rows were due and none was known."),
)
