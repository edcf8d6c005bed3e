"""Pictures beside a table in the UI: what each plot is given, and its form in Dagster."""

import base64
import datetime as dt
import io
from collections.abc import Callable, Mapping

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.config.load import load_config
from hydra_assets.core.months import Month
from hydra_assets.core.tables.cash import CASH_INDEX
from hydra_assets.core.tables.cot import COT_DISAGGREGATED
from hydra_assets.core.tables.features import FUTURES_FEATURES, OPTION_FEATURES
from hydra_assets.core.tables.futures import FUTURES_LIMITS, FUTURES_STATISTICS
from hydra_assets.core.tables.options import OPTION_CHAIN, OPTION_SMILES
from hydra_assets.core.tables.table import Table
from hydra_assets.plots import options as option_plots
from hydra_assets.plots.cash import basis
from hydra_assets.plots.cot import positioning
from hydra_assets.plots.futures import limit_days, term_structure
from hydra_assets.plots.plot import Plot
from hydra_assets.storage.lake import ParquetLake

Facts = Mapping[str, dg.MetadataValue]
_YEAR, _WEEK = dt.timedelta(363), dt.timedelta(7)


def _known(lake: ParquetLake, table: Table, market: str, first: dt.date, last: dt.date) -> pa.Table:
    return lake.read_known(table.name, market, dt.datetime.now(dt.UTC), start=first, end=last)


def _positioning(lake: ParquetLake, market: str, month: Month) -> Plot | None:
    return positioning(market, _known(lake, COT_DISAGGREGATED, market, month.last - _YEAR, month.last))


def _term_structure(lake: ParquetLake, market: str, month: Month) -> Plot | None:
    known = _known(lake, FUTURES_STATISTICS, market, month.first, month.last)
    return term_structure(market, known, calendar=load_config().calendar_of(market), known_at=dt.datetime.now(dt.UTC))


def _basis(lake: ParquetLake, market: str, month: Month) -> Plot | None:
    first = month.first - _WEEK  # the index of the month's first session is one of the days before
    index = _known(lake, CASH_INDEX, market, first, month.last)
    return basis(market, _known(lake, FUTURES_FEATURES, market, month.first, month.last), index) if index.num_rows else None


def _limit_days(lake: ParquetLake, market: str, month: Month) -> Plot | None:
    return limit_days(market, _known(lake, FUTURES_LIMITS, market, month.first, month.last))


def _smiles(lake: ParquetLake, market: str, month: Month) -> Plot | None:
    fits = option_plots.newest_fits(_known(lake, OPTION_SMILES, market, month.first, month.last))
    if not fits.num_rows:
        return None
    day = pc.max(fits["as_of"]).as_py().date()
    return option_plots.smiles(market, fits, _known(lake, OPTION_CHAIN, market, day, day))


def _volatility(lake: ParquetLake, market: str, month: Month) -> Plot | None:
    known = _known(lake, OPTION_FEATURES, market, month.first, month.last)
    return option_plots.volatility(market, known, note=" (synthetic)" if lake.world == "sample" else "")


def _attached(*plots: Callable[[ParquetLake, str, Month], Plot | None]) -> Callable[[ParquetLake, str, Month], Facts]:
    def facts(lake: ParquetLake, market: str, month: Month) -> Facts:
        found: dict[str, dg.MetadataValue] = {}
        for plot in plots:
            drawn = plot(lake, market, month)
            found |= {} if drawn is None else {drawn.name: _table(drawn), f"{drawn.name}_picture": _picture(drawn)}
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
    "cot_features": _attached(_positioning),
    "futures_features": _attached(_term_structure, _basis),
    "futures_limits": _attached(_limit_days),
    "option_smiles": _attached(_smiles),
    "option_features": _attached(_volatility),
}
