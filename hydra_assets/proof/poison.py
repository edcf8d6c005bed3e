"""
Poison: rows that become available after an instant get absurd values, and every answer at the instant must stay equal bit for bit.

The poisoned copy of the inputs also holds revisions of old rows, unknown instruments and duplicate keys, all available only after
the instant. A computation that looks ahead anywhere is moved by one of them. The number of revised rows is limited, newest first,
so the cost does not grow with the history.
"""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.core.calendar import Calendar
from hydra_assets.core.feature import Feature
from hydra_assets.core.instants import DAY_US, INSTANT, column_us, from_us, instants, iso
from hydra_assets.core.market import calendar_of
from hydra_assets.core.names import names_of
from hydra_assets.core.option_rules import OptionRules
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.features import of_family
from hydra_assets.features.compute import compute_isolated
from hydra_assets.features.family import Request

# One value a contract: an engine raises if two rows disagree, so poison leaves it alone.
FIXED = ("multiplier",)
TIMES = ("as_of", "available_at", "stamped_at")
NUMBERED = ("instrument_id", "underlying_id")
MINUTE_US = 60_000_000
# Range of compared answers around a day; later days are computed too, since an engine could carry their effect backwards.
BEFORE, AHEAD = dt.timedelta(31), dt.timedelta(14)
NEWEST, OLDER = 900, 100  # most rows of a table to revise: the newest ones, and a random sample of the others
ALIEN = 10**10  # added to an id; the vendor's ids have 32 bits
LATER_DAYS = (-40, 30, 400)  # few, since each shift makes another contract of every instrument


@dataclass(frozen=True)
class Poisoned:
    """
    Effect of poison on the answers at one instant.

    Attributes:
        at: the instant, ISO 8601.
        answers: number of non-null feature values known then, over the compared days.
        moved: ``feature_name, as_of, honest, poisoned`` of every answer that changed.
        by_feature: number of non-null answers by feature name.
        absurd: number of poisoned rows.
    """

    at: str
    answers: int
    moved: tuple[Mapping[str, object], ...]
    by_feature: Mapping[str, int]
    absurd: int


def poisoned(inputs: Mapping[str, pa.Table], at: int, *, seed: int) -> tuple[dict[str, pa.Table], int]:
    """
    Poison every row of *inputs* that becomes available after *at*.

    Args:
        inputs: data type to every vintage.
        at: microseconds UTC; rows known then stay as they are, in their order.
        seed: of the random values.

    Returns:
        The poisoned inputs, and the number of poisoned rows.
    """
    rng = np.random.default_rng(seed)
    made, count = {}, 0
    for name, table in inputs.items():
        if not table.num_rows:
            made[name] = table
            continue
        available = column_us(table["available_at"], what="available_at", rounding="ceil")
        known, later = table.filter(pa.array(available <= at)), table.filter(pa.array(available > at))
        old, keys = _revised(known, rng), TABLES[name].key
        parts = [
            known,
            _corrupted(later, rng, keys),
            _corrupted(later.slice(0, later.num_rows // 2), rng, keys),  # duplicate keys
            _stamped(_corrupted(old, rng, keys), at + 1),  # revisions of old rows, an instant later
            _stamped(_corrupted(_with_unknown_instruments(old), rng), at + MINUTE_US),  # unknown instruments
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
    calendar: Calendar | None = None,
    features: Sequence[Feature] | None = None,
    computing: Callable[..., pa.Table] | None = None,
) -> Poisoned:
    """
    Compare the answers at one instant with and without poison.

    Args:
        inputs: data type to every vintage in reach of the windows, of the family's evidence.
        family: whose features are computed.
        market: symbol of the market.
        at: microseconds UTC.
        seed: of the random values.
        around: centre of the compared days, from BEFORE to AHEAD; default the day of *at*, which is too late for rows published
            or corrected much later.
        names: features to compare; default all.
        rules: option rules; default the shipped settings.
        calendar: the market's exchange calendar; default that of the shipped market.
        features: those of the family; default the registered ones.
        computing: a function to test in place of `features.compute`.
    """
    day = around or from_us(at).date()
    start, end = day - BEFORE, day + AHEAD
    corrupted, count = poisoned(inputs, at, seed=seed)
    if computing is None:
        declared = of_family(family) if features is None else features
        asked = None if names is None else set(names_of(names, "names"))
        wanted = [feature for feature in declared if asked is None or feature.name in asked]
        request = Request(market, calendar or calendar_of(market), rules or OptionRules(), start, end)
        broken: set[str] = set()
        tables = []
        for given in (inputs, corrupted):
            rows, faults = compute_isolated(family, wanted, given, request, windowed=False)
            tables.append(rows)
            broken |= faults.keys()  # also code of others that objects to absurd numbers: nothing of it is compared
        names = [feature.name for feature in wanted if feature.name not in broken]
    else:
        bounds = {"start": start, "end": end, "rules": rules, "calendar": calendar}
        tables = [computing(family, given, market=market, **bounds) for given in (inputs, corrupted)]
    answers = []
    for rows in tables:
        rows = rows.filter(pa.array(column_us(rows["available_at"], what="available_at") <= at))
        answers.append(_by_vintage(rows, names))
    honest, changed = answers
    moved = []
    for key in sorted(honest.keys() | changed.keys()):
        if honest.get(key) != changed.get(key):
            feature, as_of, available = key
            place = {"feature_name": feature, "as_of": iso(as_of)[:10], "available_at": iso(available)}
            moved.append({**place, "honest": _shown(honest.get(key)), "poisoned": _shown(changed.get(key))})
    by_feature: dict[str, int] = {}
    for (feature, *_), (value, _) in honest.items():
        by_feature[feature] = by_feature.get(feature, 0) + (value is not None)
    return Poisoned(iso(at), sum(by_feature.values()), tuple(moved), by_feature, count)


def poison_many(
    inputs: Mapping[str, pa.Table],
    *,
    instants: Sequence[tuple[int, dt.date]],
    step: Callable[[int], None] | None = None,
    **options: Any,
) -> list[Poisoned]:
    """
    `poison` at many instants.

    Args:
        inputs: as for `poison`.
        instants: microseconds UTC, and the day around which answers are compared.
        step: called after each instant with 1.
        options: of `poison`.
    """
    found = []
    for at, day in instants:
        found.append(poison(inputs, at=at, around=day, **options))
        if step is not None:
            step(1)
    return found


def _by_vintage(rows: pa.Table, names: Sequence[str] | None) -> dict[tuple[str, int, int], tuple[str | None, str]]:
    """Exact value and quality by (feature, as_of, available_at)."""
    wanted = None if names is None else set(names_of(names, "names"))
    values = [None if v is None else float(v).hex() for v in rows["value"].to_pylist()]
    times = (rows[n].cast(pa.int64()).to_pylist() for n in ("as_of", "available_at"))
    cells = zip(rows["feature_name"].to_pylist(), *times, values, rows["quality"].to_pylist(), strict=True)
    return {(f, a, k): (v, q) for f, a, k, v, q in cells if wanted is None or f in wanted}


def _shown(cell: tuple[str | None, str] | None) -> str:
    if cell is None:
        return "no such row"
    return f"{None if cell[0] is None else float.fromhex(cell[0])} ({cell[1]})"


def _revised(known: pa.Table, rng: np.random.Generator) -> pa.Table:
    """Rows to revise: a random third, or of a long table the NEWEST rows and OLDER random others."""
    n = known.num_rows
    if n <= 3 * NEWEST:
        return known.take(pa.array(rng.permutation(n)[: -(-n // 3)]))
    order = np.argsort(column_us(known["as_of"], what="as_of", rounding="floor"), kind="stable")
    return known.take(pa.array(np.r_[order[-NEWEST:], rng.choice(order[:-NEWEST], OLDER, replace=False)]))


def _corrupted(table: pa.Table, rng: np.random.Generator, keys: Sequence[str] = ()) -> pa.Table:
    """*table* with absurd numbers, flags, dates and qualities; times, names and *keys* stay."""
    n = table.num_rows
    for i, field in enumerate(table.schema):
        if not n or field.name in (*TIMES, *FIXED, *NUMBERED, *keys):
            continue
        if pa.types.is_floating(field.type):
            column: pa.Array = pa.array(rng.choice([-1e9, -3.5, 1e-9, 7e6, 1e12], n) * rng.uniform(0.5, 2, n))
        elif pa.types.is_integer(field.type):
            column = pa.array(rng.integers(1, 10**9, n))
        elif pa.types.is_boolean(field.type):
            column = pa.array(rng.random(n) < 0.5)
        elif pa.types.is_timestamp(field.type):
            shift = pa.array(rng.choice(LATER_DAYS, n) * DAY_US)
            column = pc.add(table[field.name].cast(INSTANT).cast(pa.int64()), shift).cast(INSTANT)
        elif field.name == "quality":
            column = pa.array(["degraded"] * n)
        else:  # names
            continue
        table = table.set_column(i, field, column.cast(field.type))
    return table


def _stamped(table: pa.Table, at: int) -> pa.Table:
    """*table* with *at* as ``available_at`` and ``stamped_at``."""
    for name in ("available_at", "stamped_at"):
        if name in table.column_names:
            i = table.column_names.index(name)
            column = instants(np.full(table.num_rows, at))
            table = table.set_column(i, table.schema.field(i), column.cast(table.schema.field(i).type))
    return table


def _with_unknown_instruments(table: pa.Table) -> pa.Table:
    """*table* with symbols and ids of no existing instrument."""
    for name in ("instrument", "instrument_id"):
        if name in table.column_names:
            i, column = table.column_names.index(name), table[name]
            alien = pc.add(column, ALIEN) if name == "instrument_id" else pc.binary_join_element_wise(column, "?", "")
            table = table.set_column(i, table.schema.field(i), alien)
    return table
