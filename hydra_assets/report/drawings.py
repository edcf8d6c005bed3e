"""Plots of a market's view: each reads what it draws, from a first day on."""

import datetime as dt

import pyarrow.compute as pc

from hydra_assets.core.tables.cash import CASH_INDEX
from hydra_assets.core.tables.cot import COT_DISAGGREGATED
from hydra_assets.core.tables.features import FUTURES_FEATURES, OPTION_FEATURES
from hydra_assets.core.tables.futures import FUTURES_CONTINUOUS, FUTURES_LIMITS, FUTURES_STATISTICS
from hydra_assets.core.tables.options import OPTION_CHAIN, OPTION_SMILES
from hydra_assets.features.futures.continuous import adjusted
from hydra_assets.plots import cash, cot, futures, options, prices
from hydra_assets.plots.plot import Plot
from hydra_assets.report.view import View

_WEEK = dt.timedelta(7)


def curve(view: View, start: dt.date) -> Plot | None:
    """The newest term structure."""
    return futures.term_structure(view.market, view.rows(FUTURES_STATISTICS, start), calendar=view.calendar, known_at=view.at)


def limit_days(view: View, start: dt.date) -> Plot | None:
    """Settlements between their price limits."""
    return futures.limit_days(view.market, view.rows(FUTURES_LIMITS, start))


def basis(view: View, start: dt.date) -> Plot | None:
    """The cash index beside the front contract."""
    index = view.rows(CASH_INDEX, start - _WEEK)  # the index of the first session is one of the days before
    return cash.basis(view.market, view.rows(FUTURES_FEATURES, start), index) if index.num_rows else None


def rolls(view: View, start: dt.date) -> Plot | None:
    """The front price and its rolls."""
    known = view.rows(FUTURES_CONTINUOUS, start)
    return prices.price_with_rolls(view.market, adjusted(FUTURES_CONTINUOUS.conform(known)), note=view.note) if known.num_rows else None


def carry(view: View, start: dt.date) -> Plot | None:
    """The carry of the curve."""
    return prices.carry(view.market, view.rows(FUTURES_FEATURES, start), note=view.note)


def positioning(view: View, start: dt.date) -> Plot | None:
    """Net positions of trader groups."""
    return cot.positioning(view.market, view.rows(COT_DISAGGREGATED, start))


def smiles(view: View, start: dt.date) -> Plot | None:
    """The newest fitted smiles with their quotes."""
    fits = options.newest_fits(view.rows(OPTION_SMILES, start))
    if not fits.num_rows:
        return None
    return options.smiles(view.market, fits, view.day(OPTION_CHAIN, pc.max(fits["as_of"]).as_py().date()))


def volatility(view: View, start: dt.date) -> Plot | None:
    """Volatility at constant maturities."""
    return options.volatility(view.market, view.rows(OPTION_FEATURES, start), note=view.note)
