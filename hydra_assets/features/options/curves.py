"""The curve that discounts a day's options: of the sessions before, the newest one that was known."""

import numpy as np
import pyarrow as pa

from hydra_assets.core.arrays import Floats, Ints
from hydra_assets.core.calendar import Calendar
from hydra_assets.core.instants import DAY_US
from hydra_assets.core.tables.rates import TENORS
from hydra_assets.features.days import date_of, days_of
from hydra_assets.features.vintages import CellVintages
from hydra_assets.options.discount import discount_rates

CURVE_SESSIONS = 5  # before the options' day in which a curve still counts: one lost week
_TENOR_YEARS = np.array([months / 12 for _, months in TENORS.values()])


def curve_vintages(rates: pa.Table, days: Ints, calendar: Calendar) -> CellVintages:
    """
    The curve of each of *days* (distinct, ascending) as it became known; the cell is the day's position, the row that of *rates*.

    A curve of the day itself never counts: it comes out after the quotes. One that comes late never hides a newer day's.
    """
    if not rates.num_rows or not len(days):
        nothing = np.zeros(0, dtype=np.int64)
        return CellVintages(nothing, nothing, nothing)
    of_row = days_of(rates)
    low, high = min(int(of_row.min()), int(days.min())), max(int(of_row.max()), int(days.max()))
    sessions = calendar.session_numbers(date_of(low), date_of(high + 14))
    place, wanted = np.searchsorted(sessions, of_row), np.searchsorted(sessions, days)
    rows = np.flatnonzero(sessions[place] == of_row)  # curves of other days are ignored, as every row is
    parts = []
    for back in range(1, CURVE_SESSIONS + 1):
        cell = np.searchsorted(wanted, place[rows] + back)
        fits = (cell < len(days)) & (wanted[np.minimum(cell, len(days) - 1)] == place[rows] + back)
        parts.append((cell[fits], rows[fits]))
    cell, row = (np.concatenate(part) for part in zip(*parts, strict=True))
    known = CellVintages.of(rates, cell, row, stamp=of_row[row])
    # Of curves known before the day began, the last one alone can ever count.
    same, early = known.cell[1:] == known.cell[:-1], known.at[1:] <= days[known.cell[1:]] * DAY_US
    kept = ~np.r_[same & early, False][: len(known.cell)]
    return CellVintages(known.cell[kept], known.at[kept], known.row[kept])


def rates_of(rates: pa.Table, row: Ints, tau: Floats) -> Floats:
    """Continuously compounded rate of each option by the curve at *row* of *rates*; NaN at -1."""
    if not rates.num_rows:
        return np.full(len(tau), np.nan)
    columns = [rates[name].cast(pa.float64()).to_numpy(zero_copy_only=False) for name in TENORS]
    return discount_rates(np.stack(columns, axis=1) / 100, _TENOR_YEARS, row, tau)
