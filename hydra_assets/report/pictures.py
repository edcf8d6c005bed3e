"""Pictures of a market as known at an instant, each an inline SVG."""

import base64
import datetime as dt
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.config.load import load_release_calendar
from hydra_assets.core.months import months_between
from hydra_assets.core.tables.cash import CASH_INDEX
from hydra_assets.core.tables.cot import COT_DISAGGREGATED
from hydra_assets.core.tables.features import FUTURES_FEATURES, OPTION_FEATURES
from hydra_assets.core.tables.futures import FUTURES_CONTINUOUS, FUTURES_STATISTICS
from hydra_assets.core.tables.options import OPTION_CHAIN, OPTION_SMILES
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.core.tables.table import Table
from hydra_assets.desk import Desk
from hydra_assets.features.futures.continuous import adjusted
from hydra_assets.flow.feed import expected_days
from hydra_assets.plots.cash import basis
from hydra_assets.plots.cot import positioning
from hydra_assets.plots.coverage import coverage_heat_map
from hydra_assets.plots.futures import term_structure
from hydra_assets.plots.naive import naive_beside_honest
from hydra_assets.plots.options import newest_fits, smiles, volatility
from hydra_assets.plots.plot import Plot
from hydra_assets.plots.prices import carry, price_with_rolls
from hydra_assets.proof.naive import compare_with_naive

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


def pictures(desk: Desk, market: str, at: dt.datetime) -> list[Picture]:
    """All pictures of *market* that have something to show, drawn from rows as known at *at*."""
    found = []
    for draw, caption in DRAWN:
        plot = draw(desk, market, at)
        if plot is not None:
            found.append(Picture(plot.name, caption, _address(plot)))
    return found


def save_pictures(desk: Desk, market: str, at: dt.datetime, folder: Path) -> list[Path]:
    """Write each picture of *market* as known at *at* into *folder*, as an SVG on white; the files."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for draw, _ in DRAWN:
        plot = draw(desk, market, at)
        if plot is not None:
            found.append(folder / f"{market}-{plot.name}.svg")
            found[-1].write_bytes(_svg(plot, transparent=False))
    return found


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


def _known(desk: Desk, table: Table, market: str, at: dt.datetime, reach: dt.timedelta) -> pa.Table:
    return desk.lake.read_known(table.name, market, at, start=(at - reach).date(), end=at.date())


def _note(desk: Desk) -> str:
    return " (synthetic)" if desk.world == "sample" else ""


def _curve(desk: Desk, market: str, at: dt.datetime) -> Plot | None:
    calendar = desk.config.market(market).calendar
    return term_structure(market, _known(desk, FUTURES_STATISTICS, market, at, _MONTH), calendar=calendar, known_at=at)


def _smiles(desk: Desk, market: str, at: dt.datetime) -> Plot | None:
    fits = newest_fits(_known(desk, OPTION_SMILES, market, at, _MONTH))
    if not fits.num_rows:
        return None
    day = pc.max(fits["as_of"]).as_py().date()
    return smiles(market, fits, desk.lake.read_known(OPTION_CHAIN.name, market, at, start=day, end=day))


def _positioning(desk: Desk, market: str, at: dt.datetime) -> Plot | None:
    return positioning(market, _known(desk, COT_DISAGGREGATED, market, at, _YEAR))


def _naive(desk: Desk, market: str, at: dt.datetime) -> Plot | None:
    if NAIVE_FEATURE not in desk.store.features(market):
        return None
    day = at.astimezone(desk.config.market(market).calendar.zone).date()
    times = [time for time in desk.config.market(market).calendar.instants(day - _YEAR, day) if time <= at]
    found = compare_with_naive(desk.store, market, NAIVE_FEATURE, times)
    # The join by day looks ahead on purpose, yet nothing that came after the instant of the page is shown.
    out = np.array(
        [time + dt.timedelta(days=early) <= at for time, early in zip(times, found.early_days.tolist(), strict=True)], dtype=bool
    )
    return naive_beside_honest(market, NAIVE_FEATURE, times, np.where(out, found.naive, np.nan), found.honest, found.cheated & out)


def _rolls(desk: Desk, market: str, at: dt.datetime) -> Plot | None:
    known = _known(desk, FUTURES_CONTINUOUS, market, at, _YEAR)
    return price_with_rolls(market, adjusted(FUTURES_CONTINUOUS.conform(known)), note=_note(desk)) if known.num_rows else None


def _carry(desk: Desk, market: str, at: dt.datetime) -> Plot | None:
    return carry(market, _known(desk, FUTURES_FEATURES, market, at, _YEAR), note=_note(desk))


def _basis(desk: Desk, market: str, at: dt.datetime) -> Plot | None:
    index = _known(desk, CASH_INDEX, market, at, _YEAR)
    return basis(market, _known(desk, FUTURES_FEATURES, market, at, _YEAR), index) if index.num_rows else None


def _volatility(desk: Desk, market: str, at: dt.datetime) -> Plot | None:
    return volatility(market, _known(desk, OPTION_FEATURES, market, at, _YEAR), note=_note(desk))


def _coverage(desk: Desk, market: str, at: dt.datetime) -> Plot | None:
    calendar = desk.config.market(market).calendar
    newest = at.date() - _WEEK  # by then each daily table of the day is published
    days = calendar.session_days(newest - _YEAR, newest)
    states = {}
    for table in TABLES.values():
        if table.group == "features" or not days or not desk.lake.folders(table.name, market):
            continue
        held = _qualities(_known(desk, table, market, at, _YEAR + _WEEK))
        if held:
            due = _due(desk, table, market, days, at, since=min(held))
            states[table.name] = [held.get(day, "missing" if day in due else "not due") for day in days]
    return coverage_heat_map(market, days, states)


def _qualities(known: pa.Table) -> dict[dt.date, str]:
    """The most frequent quality of each day's rows."""
    if "quality" not in known.column_names:
        return {day.date(): "normal" for day in pc.unique(known["as_of"]).to_pylist()} if known.num_rows else {}
    counted = known.group_by(["as_of", "quality"]).aggregate([([], "count_all")]).sort_by("count_all")
    return {row["as_of"].date(): row["quality"] for row in counted.to_pylist()}


def _due(desk: Desk, table: Table, market: str, days: list[dt.date], at: dt.datetime, *, since: dt.date) -> set[dt.date]:
    """Days from *since* on whose rows had been published by *at*, as the table's calendar has it."""
    due = {day for month in months_between(days[0], days[-1]) for day in expected_days(table, desk.config.market(market).calendar, month)}
    if table.calendar == "cot_releases":
        releases = load_release_calendar()
        due = {day for day in due if releases.release(day).available_at <= at}
    return {day for day in due if day >= since} - desk.lake.unpublished(table.name, market, days[0], days[-1])


DRAWN: Sequence[tuple[Callable[[Desk, str, dt.datetime], Plot | None], str]] = (
    (_curve, "The newest settlement of every contract."),
    (_smiles, "The newest fitted smiles with their quotes, and the densities that they imply."),
    (_positioning, "Solid lines step where a report became known; dotted ones where its day lay."),
    (_naive, "Shaded: the join by day used a number that nobody had yet."),
    (_rolls, "The adjusted past is that of the instant; later rolls cannot move it."),
    (_basis, "The index that the contract settles to, the front contract, and the difference of their logarithms."),
    (_carry, "Slope of the curve from the front contract to the next."),
    (_volatility, "Volatility at the forward at constant maturities."),
    (_coverage, "The usual quality of each table's rows by session; red where rows were due and none was known."),
)
