"""Features of options beside positioning, from feature tables and fitted smiles."""

import datetime as dt
import functools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.core.feature import Feature
from hydra_assets.core.sealed.seal import run_sealed
from hydra_assets.core.tables.features import FEATURE_SCHEMA
from hydra_assets.errors import SchemaError
from hydra_assets.features.days import date_of, day_range, days_of
from hydra_assets.features.family import Inputs, Request
from hydra_assets.features.rows import concat_sorted
from hydra_assets.features.vintages import require
from hydra_assets.features.windows import days_covered, named, rows_within

_ANY_DAY = dt.date(2020, 1, 2)


def compute_divergence(inputs: Inputs, features: Sequence[Feature], request: Request) -> pa.Table:
    """
    All vintages of *features*.

    Args:
        inputs: ``option_features``, ``cot_features`` and ``option_smiles`` as they lie in the lake, every vintage.
        features: those wanted; each function gives its own rows.
        request: calendar and bounds of the answer's ``as_of``.

    Returns:
        FEATURE_SCHEMA, ordered by as_of, feature and available_at.

    Raises:
        SchemaError: an input or a column of it is missing.
    """
    absent = [name for name in ("option_features", "cot_features", "option_smiles") if name not in inputs]
    if absent:
        raise SchemaError(f"divergence: the inputs {absent} are missing; given are {sorted(inputs)}")
    for name in ("option_features", "cot_features"):
        require(inputs[name], FEATURE_SCHEMA.names, name)
    request.calendar.session_days(_ANY_DAY, _ANY_DAY)  # loads the exchange's calendar, which functions under the seal could not
    rows_of_one = _one_by_one if request.windowed else _rows
    parts = [rows_of_one(inputs, feature, request) for feature in features]
    return concat_sorted([part for part in parts if part.num_rows])


def _rows(inputs: Inputs, feature: Feature, request: Request) -> pa.Table:
    """Rows of one feature, and of no other."""
    rows: pa.Table = run_sealed(feature, _declared(inputs, feature), feature, request)
    if not isinstance(rows, pa.Table) or rows.schema.names != FEATURE_SCHEMA.names:
        raise SchemaError(f"{feature.name}: its function gives no table of {FEATURE_SCHEMA.names}")
    others = sorted(set(pc.unique(rows["feature_name"]).to_pylist()) - {feature.name})
    if others:
        raise SchemaError(f"{feature.name}: its function gives rows of {others}; a feature speaks for itself alone")
    return rows


def _one_by_one(inputs: Inputs, feature: Feature, request: Request) -> pa.Table:
    """Rows of one feature, each day's from the rows inside its own windows alone."""
    given = _declared(inputs, feature)
    days = np.unique(np.concatenate([days_of(table) for table in given.values() if table.num_rows] or [np.zeros(0, dtype=np.int64)]))
    if not len(days):
        return FEATURE_SCHEMA.empty_table()
    first, last = day_range(request.start, request.end)
    sessions = request.calendar.session_numbers(date_of(days.min()), date_of(days.max()))
    parts = []
    for day in days[(days >= first) & (days <= last)].tolist():
        covered = {name: [(w, days_covered(w, day, sessions)) for w in feature.windows if w.dataset == name] for name in given}
        near = {name: rows_within(table, covered[name]) for name, table in given.items()}
        rows = _rows(near, feature, replace(request, start=date_of(day), end=date_of(day)))
        parts.append(rows.filter(pa.array(days_of(rows) == day)) if rows.num_rows else rows)
    return pa.concat_tables(parts) if parts else FEATURE_SCHEMA.empty_table()


def _declared(inputs: Inputs, feature: Feature) -> Inputs:
    """The rows that the feature's windows name; nothing of a table that no window names."""
    given = {}
    for name, table in inputs.items():
        wanted = [named(table, window.where) for window in feature.windows if window.dataset == name] if table.num_rows else []
        given[name] = table.filter(functools.reduce(pc.or_, wanted)) if wanted else table.slice(0, 0)
    return given
