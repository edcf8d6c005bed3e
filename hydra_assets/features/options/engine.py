"""
Feature vintages of an option chain and its smiles: each rests on what was known at its own instant.

A day has rows from the instant at which every smile of the options defined by then is known: the last settlement of an underlying
contract. A later change of the day gives a further state, and a further row of each feature that it moves.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.core.feature import Feature, Values
from hydra_assets.core.instants import DAY_US
from hydra_assets.core.rows import rows_between
from hydra_assets.core.sealed.seal import run_sealed
from hydra_assets.core.tables.features import FEATURE_SCHEMA
from hydra_assets.core.tables.options import CHAIN_COLUMNS, OPTION_SMILES
from hydra_assets.errors import SchemaError
from hydra_assets.features.days import date_of
from hydra_assets.features.family import Inputs, Request
from hydra_assets.features.futures import formulas as futures
from hydra_assets.features.futures.engine import feature_vintages
from hydra_assets.features.options.chain import build_chain
from hydra_assets.features.options.chain_rows import INPUTS as RAW
from hydra_assets.features.options.day_states import REALISED, DayStates
from hydra_assets.features.options.formulas import INTEREST
from hydra_assets.features.options.open_interest import put_call_interest
from hydra_assets.features.options.smiles import build_smiles
from hydra_assets.features.options.state_values import surface_states
from hydra_assets.features.options.surface_states import SurfaceStates
from hydra_assets.features.quality import MISSING
from hydra_assets.features.rows import changed_rows, concat_sorted, feature_rows
from hydra_assets.features.vintages import require

_OF_SMILES = ("option_definitions", "option_quotes", "option_chain", "option_smiles")


def compute_options(inputs: Inputs, features: Sequence[Feature], request: Request) -> pa.Table:
    """
    All vintages of *features*.

    Args:
        inputs: every vintage of ``option_definitions``, of ``option_chain`` and ``option_smiles``, of ``option_statistics`` and of
            ``futures_features``. A derived one that is not given is made from the raw ones: the four inputs of `build_chain`, and
            ``futures_statistics`` as far back as the realised volatilities reach.
        features: those wanted.
        request: calendar, rules and bounds of the answer's ``as_of``.

    Returns:
        FEATURE_SCHEMA, ordered by as_of, feature and available_at.

    Raises:
        SchemaError: an input or a column of it is missing.
    """
    if "option_definitions" not in inputs:
        raise SchemaError(f"options: the input 'option_definitions' is missing; given are {sorted(inputs)}")
    if "option_chain" not in inputs and not all(name in inputs for name in RAW):
        raise SchemaError(f"options: give the input 'option_chain', or all of {list(RAW)}; given are {sorted(inputs)}")
    ours = [feature for feature in features if feature.name != INTEREST.name]
    parts = _smile_features(inputs, ours, request) if ours else []
    if len(ours) < len(features) and "option_statistics" in inputs:
        parts.append(put_call_interest(inputs["option_statistics"], inputs["option_definitions"], INTEREST, request))
    return concat_sorted(parts)


def _smile_features(inputs: Inputs, features: Sequence[Feature], request: Request) -> list[pa.Table]:
    rules, calendar, start, end = request.rules, request.calendar, request.start, request.end
    chain = inputs.get("option_chain")
    if chain is None:
        chain = build_chain(inputs, rules=rules, calendar=calendar, start=start, end=end, known_at=request.known_at)
    require(chain, CHAIN_COLUMNS, "option_chain")
    chain = rows_between(chain, start, end)
    smiles = inputs["option_smiles"] if "option_smiles" in inputs else build_smiles(chain, rules=rules)
    require(smiles, OPTION_SMILES.schema.names, "option_smiles")
    smiles = rows_between(smiles, start, end)
    if not smiles.num_rows:
        return []
    joined = any(feature.needs for feature in features)
    realised = _realised(inputs, request) if joined else FEATURE_SCHEMA.empty_table()
    states = DayStates(inputs["option_definitions"], chain, smiles, realised, calendar=calendar, rules=rules)
    return _rows(states, features, request) if states.n else []


def _realised(inputs: Inputs, request: Request) -> pa.Table:
    """Vintages of the realised volatilities."""
    if "futures_features" in inputs:
        table = inputs["futures_features"]
        if not table.num_rows:
            return FEATURE_SCHEMA.empty_table()
        return rows_between(table.filter(pc.is_in(table["feature_name"], pa.array(REALISED))), request.start, request.end)
    if "futures_statistics" not in inputs:
        return FEATURE_SCHEMA.empty_table()
    wanted = [feature for feature in futures.FEATURES if feature.name in REALISED]
    return feature_vintages(inputs, wanted, request, multiplier=1.0).combine_chunks()


def _rows(states: DayStates, features: Sequence[Feature], request: Request) -> list[pa.Table]:
    """FEATURE_SCHEMA of each feature."""
    surface = surface_states(states, request.rules)
    as_of, at = states.days[states.state_day] * DAY_US, states.vintages.instants[states.state_rank]
    parts = []
    for feature in features:
        values = _one_by_one(feature, states, surface, request) if request.windowed else _answers(feature, surface)
        value = np.where(np.isfinite(values.value), values.value, np.nan)
        quality = np.where(np.isnan(value), MISSING, values.quality).astype(np.int64)
        rows = np.flatnonzero(states.realised_rows(feature.needs.name) >= 0) if feature.needs else np.arange(states.n)
        rows = rows[changed_rows(states.state_day[rows], value[rows], quality[rows])]
        parts.append(feature_rows(feature, as_of[rows], at[rows], value[rows], quality[rows]))
    return parts


def _answers(feature: Feature, surface: SurfaceStates) -> Values:
    """Result of the feature's function, checked for its shape."""
    with np.errstate(invalid="ignore", divide="ignore"):
        values: Values = run_sealed(feature, surface)
    if np.shape(values.value) != (surface.n,):
        raise SchemaError(f"{feature.name}: {np.shape(values.value)} values for {surface.n} states; give one a state")
    return values


def _one_by_one(feature: Feature, states: DayStates, surface: SurfaceStates, request: Request) -> Values:
    """The answers, each from a surface that holds the states inside its own windows, known by its own instant, alone."""
    first = min((window.first for window in feature.windows if window.dataset in _OF_SMILES), default=0)
    sessions = request.calendar.session_numbers(date_of(states.days.min()), date_of(states.days.max()))
    value, quality = np.full(states.n, np.nan), np.zeros(states.n, dtype=np.int64)
    day = states.days[states.state_day]
    for state in range(states.n):
        at = int(np.searchsorted(sessions, day[state]))
        inside = (day >= sessions[max(at + first, 0)]) & (day <= day[state]) & (states.state_rank <= states.state_rank[state])
        seen = np.flatnonzero(inside)
        seen = np.r_[seen[seen != state], state]  # the state itself is the last
        values = _answers(feature, surface.take(seen))
        value[state], quality[state] = values.value[-1], np.broadcast_to(np.asarray(values.quality), len(seen))[-1]
    return Values(value, quality)
