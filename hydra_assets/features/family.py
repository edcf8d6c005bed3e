"""A family of features: what it reads, where its values are stored, and the engine that computes them."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from hydra_assets.core.calendar import Calendar
from hydra_assets.core.feature import Feature
from hydra_assets.core.option_rules import OptionRules
from hydra_assets.core.tables.table import Table

Inputs = Mapping[str, pa.Table]


@dataclass(frozen=True)
class Request:
    """
    The request of a computation, beside the features themselves.

    Attributes:
        market: symbol of the inputs' market.
        calendar: the market's exchange calendar.
        rules: how options are read.
        start: earliest ``as_of`` day of the answer; None for no bound.
        end: latest ``as_of`` day of the answer; None for no bound.
        known_at: instant up to which the inputs are whole; None for the newest ``available_at`` in them.
        windowed: each value is computed by itself, from the cells of the feature's declared windows alone. Without it many are
            computed at once, which is quicker, and a function could look past its windows; tests hold the features shipped to them.
    """

    market: str
    calendar: Calendar
    rules: OptionRules
    start: dt.date | None = None
    end: dt.date | None = None
    known_at: dt.datetime | None = None
    windowed: bool = False


Engine = Callable[[Inputs, Sequence[Feature], Request], pa.Table]


@dataclass(frozen=True)
class Family:
    """
    One family of features.

    Attributes:
        name: as in `Feature.family` and in `features.compute`.
        table: where its values are kept.
        inputs: tables that its engine reads.
        features: the features shipped.
        compute: inputs (every vintage), features and a request to all vintages of these features, as FEATURE_SCHEMA.
        heading: its heading in the catalogue.
    """

    name: str
    table: Table
    inputs: tuple[str, ...]
    features: tuple[Feature, ...]
    compute: Engine
    heading: str
