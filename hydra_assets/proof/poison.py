"""
Poison: what becomes known after an instant is made absurd, and every answer at the instant must stay what it is, bit for bit.

In a scratch copy of the inputs, rows that become available after t get absurd values; beside them stand revisions of old rows,
instruments that never were, and the same keys twice. A computation that looks ahead anywhere is moved by one of them.
What is revised is limited, and the newest rows come first: poison costs about the same however long the history is.
"""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.core.instants import DAY_US, INSTANT, column_us, from_us, instants, iso
from hydra_assets.core.option_rules import OptionRules
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.features import compute

# Stated once for a contract, and refused loudly where two rows disagree.
FIXED = ("multiplier",)
TIMES = ("as_of", "available_at", "stamped_at")
NUMBERED = ("instrument_id", "underlying_id")
MINUTE_US = 60_000_000
# Days of which answers are looked at; a computation is given those ahead, too, for what it does with them shows in the others.
BEFORE, AHEAD = dt.timedelta(31), dt.timedelta(14)
NEWEST, OLDER = 900, 100  # rows of a table that are revised at most: the newest ones, and of those before them some at random
ALIEN = 10**10  # added to an id: the vendor's have 32 bits
LATER_DAYS = (-40, 30, 400)  # few, for each makes a contract of its own of every instrument


@dataclass(frozen=True)
class Poisoned:
    """
    What poison did to the answers at one instant.

    Attributes:
        at: the instant. answers: feature values known then, with a value, of the days looked at.
        moved: ``feature_name, as_of, honest, poisoned`` of every answer that changed.
        by_feature: name to answers with a value. absurd: how many poisoned rows there were.
    """

    at: str
    answers: int
    moved: tuple[Mapping[str, object], ...]
    by_feature: Mapping[str, int]
    absurd: int


def poisoned(inputs: Mapping[str, pa.Table], at: int, *, seed: int) -> tuple[dict[str, pa.Table], int]:
    """
    *inputs* with all that becomes available after *at* (microseconds UTC) made absurd, and how many such rows there are.

    Rows known at *at* are handed over as they are, in their order.
    """
    dice = np.random.default_rng(seed)
    made, count = {}, 0
    for name, table in inputs.items():
        if not table.num_rows:
            made[name] = table
            continue
        available = column_us(table["available_at"], what="available_at", rounding="ceil")
        known, later = table.filter(pa.array(available <= at)), table.filter(pa.array(available > at))
        old, keys = _revised(known, dice), TABLES[name].key
        parts = [
            known,
            _absurd(later, dice, keys),
            _absurd(later.slice(0, later.num_rows // 2), dice, keys),  # the same keys twice
            _stamped(_absurd(old, dice, keys), at + 1),  # revisions of old rows, the instant after
            _stamped(_absurd(_renamed(old), dice), at + MINUTE_US),  # instruments that never were
        ]
        made[name] = pa.concat_tables([part.cast(table.schema) for part in parts])
        count += made[name].num_rows - known.num_rows
    return made, count


def poison(
    inputs: Mapping[str, pa.Table],
    *,
    family: str,
    market: str,
    at: int,
    seed: int,
    around: dt.date | None = None,
    names: Sequence[str] | None = None,
    rules: OptionRules | None = None,
    computing: Callable[..., pa.Table] = compute,
) -> Poisoned:
    """
    Compare the answers at one instant with and without poison.

    Args:
        inputs: data type to every vintage that the windows may touch, of the family's evidence.
        at: microseconds UTC.
        around: answers are looked at of the month of days before this one, and of two weeks after it; default the day of *at*,
            which for what was published or corrected much later is too late.
        names: features to look at; default all. computing: `features.compute`, or what is to be tested in its place.
    """
    day = around or from_us(at).date()
    start, end = day - BEFORE, day + AHEAD
    absurd, count = poisoned(inputs, at, seed=seed)
    answers = []
    for given in (inputs, absurd):
        rows = computing(family, given, market=market, start=start, end=end, rules=rules)
        rows = rows.filter(pa.array(column_us(rows["available_at"], what="available_at") <= at))
        answers.append(_by_vintage(rows, names))
    honest, told = answers
    moved = []
    for key in sorted(honest.keys() | told.keys()):
        if honest.get(key) != told.get(key):
            feature, as_of, available = key
            place = {"feature_name": feature, "as_of": iso(as_of)[:10], "available_at": iso(available)}
            moved.append({**place, "honest": _shown(honest.get(key)), "poisoned": _shown(told.get(key))})
    by_feature: dict[str, int] = {}
    for (feature, *_), (value, _) in honest.items():
        by_feature[feature] = by_feature.get(feature, 0) + (value is not None)
    return Poisoned(iso(at), sum(by_feature.values()), tuple(moved), by_feature, count)


def _by_vintage(rows: pa.Table, names: Sequence[str] | None) -> dict[tuple[str, int, int], tuple[str | None, str]]:
    """(feature, as_of, available_at) to the value's own bits and its word."""
    values = [None if v is None else float(v).hex() for v in rows["value"].to_pylist()]
    times = (rows[n].cast(pa.int64()).to_pylist() for n in ("as_of", "available_at"))
    cells = zip(rows["feature_name"].to_pylist(), *times, values, rows["quality"].to_pylist(), strict=True)
    return {(f, a, k): (v, q) for f, a, k, v, q in cells if names is None or f in names}


def _shown(cell: tuple[str | None, str] | None) -> str:
    if cell is None:
        return "no such row"
    return f"{None if cell[0] is None else float.fromhex(cell[0])} ({cell[1]})"


def _revised(known: pa.Table, dice: np.random.Generator) -> pa.Table:
    """A third of the rows known, at most the newest ones and a few before them."""
    n = known.num_rows
    if n <= 3 * NEWEST:
        return known.take(pa.array(dice.permutation(n)[: -(-n // 3)]))
    order = np.argsort(column_us(known["as_of"], what="as_of", rounding="floor"), kind="stable")
    return known.take(pa.array(np.r_[order[-NEWEST:], dice.choice(order[:-NEWEST], OLDER, replace=False)]))


def _absurd(table: pa.Table, dice: np.random.Generator, keys: Sequence[str] = ()) -> pa.Table:
    """*table* with every number, flag, date and word of quality changed beyond belief; times, names and *keys* stay."""
    n = table.num_rows
    for i, field in enumerate(table.schema):
        if not n or field.name in (*TIMES, *FIXED, *NUMBERED, *keys):
            continue
        if pa.types.is_floating(field.type):
            column: pa.Array = pa.array(dice.choice([-1e9, -3.5, 1e-9, 7e6, 1e12], n) * dice.uniform(0.5, 2, n))
        elif pa.types.is_integer(field.type):
            column = pa.array(dice.integers(1, 10**9, n))
        elif pa.types.is_boolean(field.type):
            column = pa.array(dice.random(n) < 0.5)
        elif pa.types.is_timestamp(field.type):
            shift = pa.array(dice.choice(LATER_DAYS, n) * DAY_US)
            column = pc.add(table[field.name].cast(INSTANT).cast(pa.int64()), shift).cast(INSTANT)
        elif field.name == "quality":
            column = pa.array(["degraded"] * n)
        else:  # names and words
            continue
        table = table.set_column(i, field, column.cast(field.type))
    return table


def _stamped(table: pa.Table, at: int) -> pa.Table:
    """*table* as it would have become known at *at*, by the vendor's stamp too."""
    for name in ("available_at", "stamped_at"):
        if name in table.column_names:
            i = table.column_names.index(name)
            column = instants(np.full(table.num_rows, at))
            table = table.set_column(i, table.schema.field(i), column.cast(table.schema.field(i).type))
    return table


def _renamed(table: pa.Table) -> pa.Table:
    """*table* of instruments that never were."""
    for name in ("instrument", "instrument_id"):
        if name in table.column_names:
            i, column = table.column_names.index(name), table[name]
            alien = pc.add(column, ALIEN) if name == "instrument_id" else pc.binary_join_element_wise(column, "?", "")
            table = table.set_column(i, table.schema.field(i), alien)
    return table
