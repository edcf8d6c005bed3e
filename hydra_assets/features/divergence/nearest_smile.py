"""Rows of a feature that reads the smile nearest 30 days, from the instant at which the options' own features of the day exist."""

import numpy as np
import pyarrow as pa

from hydra_assets.core.arrays import Ints
from hydra_assets.core.feature import Feature
from hydra_assets.core.instants import DAY_US, column_us
from hydra_assets.core.rows import rows_between
from hydra_assets.core.tables.features import FEATURE_SCHEMA
from hydra_assets.core.tables.options import OPTION_SMILES
from hydra_assets.features.days import days_of
from hydra_assets.features.family import Inputs, Request
from hydra_assets.features.quality import NORMAL
from hydra_assets.features.rows import changed_rows, feature_rows, rows_of
from hydra_assets.features.vintages import CellVintages, VintageIndex, expand, known_from, require, unique_pairs

LEVEL = "opt_atm_iv_30"
HORIZON = 30 / 365


def nearest_smile_rows(inputs: Inputs, feature: Feature, request: Request, column: str) -> pa.Table:
    """
    All vintages of *feature*, FEATURE_SCHEMA.

    Args:
        inputs: ``option_features`` and ``option_smiles``, every vintage.
        feature: whose rows they are.
        request: bounds of ``as_of``.
        column: of OPTION_SMILES that is the value.
    """
    level = rows_between(rows_of(inputs["option_features"], LEVEL), request.start, request.end)
    smiles = inputs["option_smiles"]
    require(smiles, OPTION_SMILES.schema.names, "option_smiles")
    smiles = rows_between(smiles, request.start, request.end)
    if not level.num_rows or not smiles.num_rows:
        return FEATURE_SCHEMA.empty_table()
    days, first = _first_rows(level)
    slices = _Slices(days, first, smiles)
    day, rank, row = slices.nearest()
    value = smiles[column].to_numpy()[row].astype(float)
    quality = np.full(len(row), NORMAL)
    keep = changed_rows(day, value, quality)
    return feature_rows(feature, days[day[keep]] * DAY_US, slices.vintages.instants[rank[keep]], value[keep], quality[keep])


def _first_rows(level: pa.Table) -> tuple[Ints, Ints]:
    """The days that have a row, and the earliest ``available_at`` of each."""
    days, place = np.unique(days_of(level), return_inverse=True)
    first = np.full(len(days), np.iinfo(np.int64).max)
    np.minimum.at(first, place, known_from(level))
    return days, first


class _Slices:
    """The fitted slices of *days*; a day counts from its instant in *first*."""

    def __init__(self, days: Ints, first: Ints, smiles: pa.Table) -> None:
        self._first, self._tau = first, smiles["tau"].to_numpy()
        smile_day = days_of(smiles)
        on = np.flatnonzero(np.isin(smile_day, days))
        key = np.stack([smile_day[on], column_us(smiles["expiration"], what="expiration")[on], smiles["underlying_id"].to_numpy()[on]])
        slices, cell = np.unique(key, axis=1, return_inverse=True)
        self._day = np.searchsorted(days, slices[0])
        self._begin = np.searchsorted(self._day, np.arange(len(days) + 1))
        every = np.arange(len(days))
        self.vintages = VintageIndex(
            {"smile": CellVintages.of(smiles, cell.reshape(-1).astype(np.int64), on), "ready": CellVintages(every, first, every)}
        )

    def nearest(self) -> tuple[Ints, Ints, Ints]:
        """Day, instant's rank and smile row of every state: the known slice whose tau is nearest `HORIZON`."""
        known, every = self.vintages, np.arange(len(self._first))
        owner, rank = known.updates("smile", np.arange(len(self._day)))
        day, rank = unique_pairs(
            np.r_[self._day[owner], every].astype(np.int64), np.r_[rank, np.searchsorted(known.instants, self._first)].astype(np.int64)
        )
        live = known.instants[rank] >= self._first[day]
        day, rank = day[live], rank[live]
        state, place = expand(self._begin[day], np.diff(self._begin)[day])
        row = known.newest("smile", place, rank[state])
        state, row = state[row >= 0], row[row >= 0]
        tau = self._tau[row]
        order = np.lexsort((tau, np.abs(tau - HORIZON), state))
        chosen = order[np.r_[True, state[order][1:] != state[order][:-1]]] if len(order) else order
        return day[state[chosen]], rank[state[chosen]], row[chosen]
