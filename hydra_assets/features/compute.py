"""The one public way to compute features: pure, without a clock, all vintages in and all vintages out."""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from importlib.metadata import entry_points

import pyarrow as pa

from hydra_assets.core.calendar import Calendar
from hydra_assets.core.feature import Feature
from hydra_assets.core.market import calendar_of
from hydra_assets.core.names import names_of
from hydra_assets.core.option_rules import OptionRules
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.errors import FeatureError, HydraError, PluginError, UnknownFeatureError
from hydra_assets.features.family import Request
from hydra_assets.features.plugins import PluginFault, load_plugins
from hydra_assets.features.registry import FAMILIES
from hydra_assets.features.rows import concat_sorted

ENTRY_POINTS = "hydra_assets.features"
INPUTS: Mapping[str, tuple[str, ...]] = {name: family.inputs for name, family in FAMILIES.items()}


@lru_cache(maxsize=1)
def registered() -> tuple[Feature, ...]:
    """
    Every feature: ours, then the sound ones of the entry point group ``hydra_assets.features``; `plugin_faults` names the others.
    """
    shipped = (feature for family in FAMILIES.values() for feature in family.features)
    return (*shipped, *load_plugins(entry_points(group=ENTRY_POINTS), FAMILIES, group=ENTRY_POINTS)[0])


def plugin_faults() -> tuple[PluginFault, ...]:
    """Entry points and features of third parties that are left out, and why."""
    return load_plugins(entry_points(group=ENTRY_POINTS), FAMILIES, group=ENTRY_POINTS)[1]


def is_shipped(feature: Feature) -> bool:
    """Whether the feature is one of ours."""
    return feature.family in FAMILIES and any(feature is ours for ours in FAMILIES[feature.family].features)


def of_family(family: str) -> tuple[Feature, ...]:
    """
    The registered features of *family*.

    Raises:
        UnknownFeatureError: no such family.
    """
    if family not in FAMILIES:
        raise UnknownFeatureError(f"feature family {family!r} is none of {', '.join(FAMILIES)}")
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
    calendar: Calendar | None = None,
    known_at: dt.datetime | None = None,
) -> pa.Table:
    """
    All vintages of a family's features.

    Args:
        family: ``cot``, ``futures``, ``options`` or ``divergence``.
        inputs: data type to its Arrow table as it lies in the lake, every vintage in. ``futures`` takes the contract's
            multiplier from ``futures_definitions``; without that table the market must be one that is shipped. ``options`` takes
            the derived tables, or makes them from the raw ones.
        market: symbol of the inputs' market.
        start: earliest ``as_of`` of the answer, included: a date, or an aware datetime of which the UTC day counts.
        end: latest ``as_of`` of the answer, included.
        rules: how options are read; default the shipped settings.
        names: features wanted; default all of the family.
        calendar: the market's exchange calendar; default that of the shipped market.
        known_at: instant up to which *inputs* are whole, which decides whether a settlement may still become final; default the newest
            ``available_at`` in them.

    Returns:
        ``feature_name, as_of, available_at, value, unit, quality``: each value uses only inputs available at its own
        ``available_at``; a later vintage of an input inside a window gives a further row.

    Raises:
        UnknownFeatureError: no such family, or none of its features.
        SchemaError: an input is missing, or a column of it.
        PluginError: a feature of a third party cannot be computed.
        FeatureError: one of ours cannot be computed, by an error that is none of the package's own.
    """
    features = of_family(family)
    if names is not None:
        names = names_of(names, "names")
        unknown = sorted(set(names) - {feature.name for feature in features})
        if unknown:
            raise UnknownFeatureError(f"{unknown} are no {family} features; there are {[feature.name for feature in features]}")
        features = tuple(feature for feature in features if feature.name in names)
    request = Request(market, calendar or calendar_of(market), rules or OptionRules(), _day(start), _day(end), known_at)
    rows, faults = compute_isolated(family, features, inputs, request)
    if faults:
        raise next(iter(faults.values()))
    return rows


def compute_isolated(
    family: str, features: Sequence[Feature], inputs: Mapping[str, pa.Table], request: Request, *, windowed: bool = True
) -> tuple[pa.Table, dict[str, PluginError]]:
    """
    All vintages of *features*; those of third parties are computed apart from ours, and one that fails takes no other with it.

    Args:
        family: of the features.
        features: those wanted.
        inputs: of the family.
        request: market, calendar, rules and bounds.
        windowed: give features of third parties the cells of their declared windows alone, as a publish does. A proof that looks
            for functions which use others does without.

    Returns:
        The rows, and by name the error of each feature of a third party that could not be computed.
    """
    engine = FAMILIES[family].compute
    ours = [feature for feature in features if is_shipped(feature)]
    theirs = [feature for feature in features if not is_shipped(feature)]
    parts = [_computed(family, ours, inputs, request)] if ours or not theirs else []
    faults: dict[str, PluginError] = {}
    if theirs:
        apart = replace(request, windowed=windowed)
        try:
            parts.append(engine(inputs, theirs, apart))
        except Exception:
            for feature in theirs:
                try:
                    parts.append(engine(inputs, [feature], apart))
                except PluginError as error:
                    faults[feature.name] = error
                except Exception as error:
                    place = f"{feature.name} of a third party could not be computed for {request.market}"
                    faults[feature.name] = PluginError(f"{place}: {type(error).__name__}: {error}", feature=feature.name)
                    faults[feature.name].__cause__ = error
    return concat_sorted([part for part in parts if part.num_rows]) if len(parts) != 1 else parts[0], faults


def _computed(family: str, features: Sequence[Feature], inputs: Mapping[str, pa.Table], request: Request) -> pa.Table:
    """The rows of our own features; an error in one of them, which nobody foresaw, names it."""
    engine = FAMILIES[family].compute
    try:
        return engine(inputs, features, request)
    except HydraError:
        raise
    except Exception:
        for feature in features:
            try:
                engine(inputs, [feature], request)
            except HydraError:
                continue
            except Exception as error:
                place = f"{feature.name} could not be computed for {request.market}"
                raise FeatureError(f"{place}: {type(error).__name__}: {error}", feature=feature.name) from error
        raise


def _day(when: dt.date | None) -> dt.date | None:
    return when.astimezone(dt.UTC).date() if isinstance(when, dt.datetime) else when
