"""Feature vintages of the cash price of hogs, from the USDA's report."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from hydra_assets.core.feature import Feature
from hydra_assets.core.instants import DAY_US, instants
from hydra_assets.core.tables.table import QUALITIES
from hydra_assets.errors import SchemaError
from hydra_assets.features.cash.index import CASH_HOGS, STEPS_BACK, CashDay, cash_days
from hydra_assets.features.days import weekday_number
from hydra_assets.features.family import Inputs, Request
from hydra_assets.features.periods import period_vintages
from hydra_assets.features.rows import concat_sorted

_OF_DAY = ("daily", "negotiated", "market_formula")  # numbers of the day alone


def compute_cash(inputs: Inputs, features: Sequence[Feature], request: Request) -> pa.Table:
    """
    All vintages of *features*.

    Args:
        inputs: ``cash_hogs`` as it lies in the lake, every vintage, in any order.
        features: those wanted.
        request: bounds of the answer's ``as_of``, and what the index counts.

    Returns:
        FEATURE_SCHEMA, ordered by as_of, feature and available_at; no row of a market without a cash price.

    Raises:
        SchemaError: the input or a column of it is missing.
    """
    if CASH_HOGS not in inputs:
        raise SchemaError(f"{request.market} cash: the input {CASH_HOGS!r} is missing; given are {sorted(inputs)}")
    days = cash_days(inputs[CASH_HOGS], negotiated_formula=request.rules.negotiated_formula)
    if not days:
        return concat_sorted([])
    parts = []
    for names, quality, of_index in ((_OF_DAY, "day_quality", False), ((*_OF_DAY, "index"), "quality", True)):
        wanted = {feature: first for feature in features if bool(first := _first(feature)) is of_index}
        # A function is given the days whose index lies in its windows.
        spans = [(min(first + STEPS_BACK, 0), 0) for first in wanted.values()]
        parts.append(period_vintages(_table(days, names, quality), list(wanted), spans, request, period=weekday_number))
    return concat_sorted(parts)


def _first(feature: Feature) -> int:
    return min(window.first for window in feature.windows)


def _table(days: Sequence[CashDay], names: Sequence[str], quality: str) -> pa.Table:
    """Numbers *names* of the days, with the quality of the day's own rows or of all that the index rests on."""
    return pa.table(
        {
            "as_of": instants(np.array([day.day for day in days]) * DAY_US),
            "available_at": instants(np.array([day.at for day in days])),
            "quality": pa.array([QUALITIES[getattr(day, quality)] for day in days]),
            **{name: pa.array([getattr(day, name) for day in days], pa.float64()) for name in names},
        }
    )
