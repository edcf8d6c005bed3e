"""The one public way to compute features: pure, without a clock, all vintages in and all vintages out."""

import datetime as dt
from collections.abc import Collection, Mapping
from functools import lru_cache
from importlib.metadata import entry_points

import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.core.feature import Feature
from hydra_assets.core.market import CONTRACT_MULTIPLIERS
from hydra_assets.core.option_rules import OptionRules
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.errors import SchemaError, UnknownFeatureError
from hydra_assets.features.cot import formulas as cot
from hydra_assets.features.cot.engine import compute_weekly
from hydra_assets.features.divergence import formulas as divergence
from hydra_assets.features.divergence.formulas import compute_divergence
from hydra_assets.features.futures import formulas as futures
from hydra_assets.features.futures.engine import compute_daily
from hydra_assets.features.options import formulas as options
from hydra_assets.features.options.engine import compute_options

ENTRY_POINTS = "hydra_assets.features"
INPUTS = {
    "cot": ("cot_disaggregated",),
    "futures": ("futures_definitions", "futures_statistics", "futures_bars"),
    "options": ("option_definitions", "option_statistics", "option_chain", "option_smiles", "futures_features"),
    "divergence": ("option_features", "cot_features", "option_smiles"),
}


@lru_cache(maxsize=1)
def registered() -> tuple[Feature, ...]:
    """Every feature: ours, then those of the entry point group ``hydra_assets.features`` (a Feature, or an iterable of them)."""
    found = [*cot.FEATURES, *futures.FEATURES, *options.FEATURES, *divergence.FEATURES]
    for entry in sorted(entry_points(group=ENTRY_POINTS), key=lambda e: e.name):
        loaded = entry.load()
        found += [loaded] if isinstance(loaded, Feature) else list(loaded)
    names = [feature.name for feature in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SchemaError(f"features registered twice: {twice}; an entry point of {ENTRY_POINTS!r} must choose another name")
    return tuple(found)


def of_family(family: str) -> tuple[Feature, ...]:
    """The registered features of *family*."""
    if family not in INPUTS:
        raise UnknownFeatureError(f"feature family {family!r} is none of {', '.join(INPUTS)}")
    return tuple(feature for feature in registered() if feature.family == family)


def evidence(family: str) -> tuple[str, ...]:
    """The tables that a proof of the family starts from: those in its features' windows, which do not rest on its own computations."""
    windows = {window.dataset for feature in of_family(family) for window in feature.windows}
    raw = {name for name in (*INPUTS[family], *windows) if TABLES[name].group == "raw"}
    return tuple(sorted(raw or {*INPUTS[family], *windows}))


def compute(
    family: str,
    inputs: Mapping[str, pa.Table],
    *,
    market: str,
    start: dt.date | None = None,
    end: dt.date | None = None,
    rules: OptionRules | None = None,
    names: Collection[str] | None = None,
) -> pa.Table:
    """
    All vintages of a family's features.

    Args:
        family: ``cot``, ``futures``, ``options`` or ``divergence``.
        inputs: data type to its Arrow table as it lies in the lake, every vintage in. ``futures`` takes the contract's
            multiplier from ``futures_definitions``; without that table the market must be one that is shipped. ``options`` takes
            the derived tables, or makes them from the raw ones.
        market: whose inputs they are.
        start, end: inclusive bounds of the answer's ``as_of`` (dates, or aware datetimes of which the UTC day counts).
        rules: how options are read; default the shipped settings.
        names: features wanted; default all of the family.
    Returns:
        ``feature_name, as_of, available_at, value, unit, quality``: each value uses only inputs available at its own
        ``available_at``; a later vintage of an input inside a window gives a further row.
    Raises:
        UnknownFeatureError: no such family, or none of its features. SchemaError: an input is missing, or a column of it.
    """
    features = of_family(family)
    if names is not None:
        strangers = sorted(set(names) - {feature.name for feature in features})
        if strangers:
            raise UnknownFeatureError(f"{strangers} are no {family} features; there are {[feature.name for feature in features]}")
        features = tuple(feature for feature in features if feature.name in names)
    if family == "futures":
        # Without bars the features that need them have no rows, as on days without a bar; without statistics nothing has.
        if "futures_statistics" not in inputs:
            raise SchemaError(f"{market} {family}: the input 'futures_statistics' is missing; given are {sorted(inputs)}")
        multiplier = _multiplier(inputs, market)
        return compute_daily(inputs, features, multiplier=multiplier, start=_day(start), end=_day(end))
    if family == "options":
        return compute_options(inputs, features, rules=rules or OptionRules(), start=_day(start), end=_day(end))
    if family == "divergence":
        return compute_divergence(inputs, features, start=_day(start), end=_day(end))
    (dataset,) = INPUTS[family]
    if dataset not in inputs:
        raise SchemaError(f"{market} {family}: the input {dataset!r} is missing; given are {sorted(inputs)}")
    return compute_weekly(inputs[dataset], features, dataset=dataset, start=_day(start), end=_day(end))


def _multiplier(inputs: Mapping[str, pa.Table], market: str) -> float:
    """Dollars per price unit: what the contracts' definitions say, all of them the same."""
    table = inputs.get("futures_definitions")
    stated = set(pc.unique(table["multiplier"]).to_pylist()) if table is not None and table.num_rows else set()
    if len(stated) > 1:
        raise SchemaError(f"{market} futures_definitions: several multipliers {sorted(stated)}; give one market's rows")
    if stated:
        return float(stated.pop())
    if market not in CONTRACT_MULTIPLIERS:
        raise SchemaError(f"{market} futures: the contract's multiplier is not known; give the input 'futures_definitions'")
    return CONTRACT_MULTIPLIERS[market]


def _day(when: dt.date | None) -> dt.date | None:
    return when.astimezone(dt.UTC).date() if isinstance(when, dt.datetime) else when
