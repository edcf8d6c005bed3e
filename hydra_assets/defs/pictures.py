"""Pictures beside a table in the UI: what each shows of a month, and its form in Dagster."""

import base64
import datetime as dt
import io
from collections.abc import Callable, Mapping, Sequence

import dagster as dg

from hydra_assets.config.load import load_config
from hydra_assets.core.months import Month
from hydra_assets.defs.partitions import key_of
from hydra_assets.plots.plot import Plot
from hydra_assets.report import drawings
from hydra_assets.report.view import View
from hydra_assets.storage.lake import ParquetLake

Facts = Mapping[str, dg.MetadataValue]
Drawing = Callable[[View, dt.date], Plot | None]
_YEAR = dt.timedelta(363)
PICTURED = 3  # months of a run, the newest ones: ten years would be drawn for minutes, and the desk page draws any month


def _attached(*draws: Drawing, reach: dt.timedelta | None = None) -> Callable[[ParquetLake, str, Month], Facts]:
    """A function that draws a month as known now, or *reach* up to its end."""

    def facts(lake: ParquetLake, market: str, month: Month) -> Facts:
        view = View(lake, market, dt.datetime.now(dt.UTC), load_config().calendar_of(market), until=month.last)
        plots = [draw(view, month.last - reach if reach else month.first) for draw in draws]
        found: dict[str, dg.MetadataValue] = {}
        for plot in plots:
            found |= {} if plot is None else {plot.name: _table(plot), f"{plot.name}_picture": _picture(plot)}
        return found

    return facts


def _table(plot: Plot) -> dg.MetadataValue:
    schema = dg.TableSchema(columns=[dg.TableColumn(name, kind) for name, kind in plot.kinds.items()])
    return dg.MetadataValue.table([dg.TableRecord(dict(row)) for row in plot.rows], schema=schema)


def _picture(plot: Plot) -> dg.MetadataValue:
    body = io.BytesIO()
    plot.figure.savefig(body, format="png")
    return dg.MetadataValue.md(f"![picture](data:image/png;base64,{base64.b64encode(body.getvalue()).decode()})")


PICTURES: Mapping[str, Callable[[ParquetLake, str, Month], Facts]] = {
    "cot_features": _attached(drawings.positioning, reach=_YEAR),
    "futures_features": _attached(drawings.curve, drawings.basis),
    "futures_limits": _attached(drawings.limit_days),
    "option_smiles": _attached(drawings.smiles),
    "option_features": _attached(drawings.volatility),
}


def add_pictures(context: dg.AssetExecutionContext, table: str, lake: ParquetLake, market: str, months: Sequence[Month]) -> None:
    """Put the pictures of *table*, if it has any, beside the newest of a run's months."""
    for month in months[-PICTURED:] if table in PICTURES else ():
        context.add_asset_metadata(PICTURES[table](lake, market, month), partition_key=str(key_of(market, month)))
