"""The derived tables, built from the lake's own rows month by month; knows no Dagster."""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import pyarrow as pa

from hydra_assets.config.load import load_config
from hydra_assets.core.calendar import Calendar
from hydra_assets.core.months import Month
from hydra_assets.core.option_rules import OptionRules
from hydra_assets.core.rows import rows_between
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.features.cash.index import CASH_HOGS, build_cash_index
from hydra_assets.features.futures.continuous import build_continuous
from hydra_assets.features.futures.limits import build_limits
from hydra_assets.features.options.chain import build_chain
from hydra_assets.features.options.chain_rows import INPUTS as CHAIN_INPUTS
from hydra_assets.features.options.chain_rows import LIMITS, RATES
from hydra_assets.features.options.smiles import build_smiles
from hydra_assets.flow.batch import Batch
from hydra_assets.storage.lake import ParquetLake


@dataclass(frozen=True)
class Derivation:
    """
    Recipe of one derived table.

    Attributes:
        inputs: tables of the lake that it is built from.
        look_back: how far before its month a row may use them.
        build: inputs (every vintage), rules, calendar, start, end and the newest recording to the table's rows.
    """

    inputs: tuple[str, ...]
    look_back: dt.timedelta
    build: Callable[[Mapping[str, pa.Table], OptionRules, Calendar, dt.date, dt.date, dt.datetime | None], pa.Table]


DERIVATIONS: Mapping[str, Derivation] = {
    "futures_continuous": Derivation(
        ("futures_statistics",),
        dt.timedelta(30),  # twelve sessions, over the longest run of holidays
        lambda inputs, _rules, calendar, start, end, now: build_continuous(inputs, calendar=calendar, start=start, end=end, known_at=now),
    ),
    "cash_index": Derivation(
        (CASH_HOGS,),
        dt.timedelta(7),  # three weekdays, over a weekend
        lambda inputs, rules, _calendar, start, end, _now: build_cash_index(
            inputs[CASH_HOGS], negotiated_formula=rules.negotiated_formula, start=start, end=end
        ),
    ),
    "futures_limits": Derivation(
        ("futures_definitions", "futures_statistics"),
        dt.timedelta(10),  # the session before
        lambda inputs, _rules, calendar, start, end, now: build_limits(inputs, calendar=calendar, start=start, end=end, known_at=now),
    ),
    "option_chain": Derivation(
        (*CHAIN_INPUTS, LIMITS, RATES),
        dt.timedelta(16),  # five sessions, over the longest run of holidays
        lambda inputs, rules, calendar, start, end, now: build_chain(
            inputs, rules=rules, calendar=calendar, start=start, end=end, known_at=now
        ),
    ),
    "option_smiles": Derivation(
        ("option_chain",),
        dt.timedelta(0),
        lambda inputs, rules, _calendar, start, end, _now: build_smiles(inputs["option_chain"], rules=rules, start=start, end=end),
    ),
}


def derived_months(
    lake: ParquetLake, name: str, market: str, months: Sequence[Month], rules: OptionRules, *, allow_retract: bool = False
) -> Iterator[Batch]:
    """The months of the derived table *name*, ascending; computed a year at a time."""
    how, calendar = DERIVATIONS[name], load_config().calendar_of(market)
    for _, group in groupby(sorted(months), key=lambda month: month.year):
        chunk = list(group)
        first, last = chunk[0].first, chunk[-1].last
        start = first - how.look_back
        watermarks = [at for each in how.inputs for at in lake.watermarks(each, market, start, last).values()]
        recorded = max(watermarks, default=None)
        inputs = {
            each: lake.read_vintages(each, market, start, last)  # lookahead-ok: the builder stamps its rows
            for each in how.inputs
        }
        rows = how.build(inputs, rules, calendar, first, last, recorded)
        for month in chunk:
            yield Batch(TABLES[name], market, month, rows_between(rows, month.first, month.last), allow_retract=allow_retract)
