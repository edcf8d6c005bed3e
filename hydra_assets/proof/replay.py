"""
Replay: what stands in the store at instants that are drawn, against what the raw rows that had arrived by then give.

Both ways: a stored row must be what is recomputed, and what is recomputed must be stored. The instants are those of the whole
family, stored or recomputed from all rows, so that a feature without a row is looked at on the days of its siblings.
"""

import datetime as dt
import random
import struct
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.core.calendar import Calendar
from hydra_assets.core.feature import Feature
from hydra_assets.core.instants import from_us, iso
from hydra_assets.core.market import calendar_of
from hydra_assets.core.names import names_of
from hydra_assets.core.option_rules import OptionRules
from hydra_assets.core.rows import rows_between
from hydra_assets.core.tolerance import noise_around_zero
from hydra_assets.features import of_family
from hydra_assets.features.compute import compute_isolated, is_shipped
from hydra_assets.features.family import Request
from hydra_assets.features.look_back import look_back

Verdict = Literal["passed", "failed", "unproven"]
Row = dict[str, Any]
Instant = tuple[int, int]  # as_of, available_at
TOLERANCE = 1e-9  # relative
OTHERS = 10  # of a sample, one further instant at which only siblings have a row for so many rows
GAPS = 3  # most nulls and absent rows between values that a sample adds for each feature
_IDENTITY = ("instrument", "instrument_id", "cftc_code", "stat", "feature_name", "value")
TRIED = 40  # most later arrivals to try, one by one, as explanation of a difference


@dataclass(frozen=True)
class Replay:
    """
    Result of a replay.

    Attributes:
        compared: number of stored rows recomputed.
        values: number of these with a value.
        exact: number of these values that are equal bit for bit.
        known: number of rows with a value to sample from.
        differing: ``feature_name, as_of, available_at, stored, recomputed, explained_by`` of every difference; only the first has
            an explanation.
        by_feature: values compared, equal bit for bit, and known, by feature name.
        instants: number of instants looked at.
        faults: features of third parties that could not be computed, and why.
    """

    compared: int
    values: int
    exact: int
    known: int
    differing: tuple[Mapping[str, object], ...]
    by_feature: Mapping[str, tuple[int, int, int]]
    instants: int = 0
    faults: Mapping[str, str] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """``unproven`` without a value to compare."""
        return "failed" if self.differing or self.faults else "passed" if self.values else "unproven"


def replay(
    rows: pa.Table,
    inputs: Mapping[str, pa.Table],
    *,
    family: str,
    market: str,
    sample: int | None,
    seed: int,
    names: Collection[str] | None = None,
    rules: OptionRules | None = None,
    calendar: Calendar | None = None,
    features: Sequence[Feature] | None = None,
    step: Callable[[int], None] | None = None,
) -> Replay:
    """
    Compare what stands in *rows* at drawn instants with what *inputs*, cut at the instant, give.

    Args:
        rows: stored vintages of the family: ``feature_name, as_of, available_at, value, quality``.
        inputs: data type to every vintage in reach of the windows, of the family's evidence.
        family: whose features are computed.
        market: symbol of the market.
        sample: approximate number of rows; whole instants, and for each feature at least one value and some nulls or absent rows
            between values, if the sample is large enough. None for all instants.
        seed: of the sample.
        names: features to replay; default all of *rows*.
        rules: option rules; default the shipped settings.
        calendar: the market's exchange calendar; default that of the shipped market.
        features: those of the family; default the registered ones.
        step: called after each instant with the number of rows compared.
    """
    stored = fact_rows(rows)
    wanted = {str(row["feature_name"]) for row in stored} if names is None else set(names_of(names, "names"))
    declared = {feature.name: feature for feature in (of_family(family) if features is None else features)}
    again = _Recomputation(inputs, family, market, rules or OptionRules(), calendar or calendar_of(market), declared)
    days = sorted({int(row["as_of"]) for row in stored})
    board = _Board(stored, wanted)
    drawn = _drawn(stored, _unserved(inputs, days), wanted, sample, seed)

    def instants() -> Iterator[Instant]:
        """Those drawn; then, of a full replay, those that all rows give beside them: what code keeps in memory of that comes too late."""
        yield from drawn
        if days and sample is None:
            every = {(row["as_of"], row["available_at"]) for row in fact_rows(again.everything(days, wanted))}
            yield from _by_arrival(every - set(drawn))

    known = Counter(str(row["feature_name"]) for row in stored if row["value"] is not None and row["feature_name"] in wanted)
    differing: dict[tuple[str, int, int | None], Row] = {}
    values, exact, compared, looked_at = Counter[str](), Counter[str](), 0, 0
    for as_of, at in instants():
        answers = again.standing(as_of, at, wanted)
        count = 0
        for name in sorted(wanted - again.faults.keys()):
            row, (value, quality) = board.standing(name, as_of, at), answers.get(name, (None, "absent"))
            if row is not None and row["available_at"] == at:
                count += 1
                if row["value"] is not None:
                    values[name] += 1
                    exact[name] += value is not None and struct.pack("d", value) == struct.pack("d", row["value"])
            held, held_quality = _answer(row)
            if quality != held_quality or not _close(value, held, board.noise[name]):
                explanation = "" if differing or row is None else _explained(row, again, board.noise[name])
                place = {"feature_name": name, "as_of": iso(as_of)[:10], "available_at": iso(at)}
                texts = {"stored": f"{held} ({held_quality})", "recomputed": f"{value} ({quality})", "explained_by": explanation}
                differing.setdefault((name, as_of, None if row is None else row["available_at"]), {**place, **texts})
        compared, looked_at = compared + count, looked_at + 1
        if step is not None:
            step(count)
    if days:
        again.look_outside(days, wanted)
    differences = tuple(row for row in differing.values() if row["feature_name"] not in again.faults)
    by_feature = {name: (values[name], exact[name], known[name]) for name in sorted(wanted & {str(row["feature_name"]) for row in stored})}
    return Replay(compared, values.total(), exact.total(), known.total(), differences, by_feature, looked_at, dict(again.faults))


def _by_arrival(instants: Collection[Instant]) -> list[Instant]:
    """In ascending order of arrival, so that what code keeps from one to the next was known before."""
    return sorted(instants, key=lambda instant: (instant[1], instant[0]))


class _Board:
    """Stored rows by feature and day, in order of arrival."""

    def __init__(self, stored: Sequence[Row], wanted: Collection[str]) -> None:
        self._rows: dict[tuple[str, int], list[Row]] = {}
        largest = dict.fromkeys(wanted, 0.0)
        for row in sorted(stored, key=lambda row: int(row["available_at"])):
            name = str(row["feature_name"])
            if name in largest:
                self._rows.setdefault((name, row["as_of"]), []).append(row)
                largest[name] = max(largest[name], abs(row["value"] or 0.0))
        self.noise = {name: noise_around_zero(most) for name, most in largest.items()}

    def standing(self, name: str, as_of: int, at: int) -> Row | None:
        """The newest row of the day that was known at the instant."""
        return next((row for row in reversed(self._rows.get((name, as_of), ())) if row["available_at"] <= at), None)


class _Recomputation:
    """Answers from inputs cut at an instant; each feature of a third party is computed by itself, with its own reach."""

    def __init__(
        self,
        inputs: Mapping[str, pa.Table],
        family: str,
        market: str,
        rules: OptionRules,
        calendar: Calendar,
        declared: Mapping[str, Feature],
    ) -> None:
        self.inputs, self.family, self.market = inputs, family, market
        self._rules, self._calendar, self._declared = rules, calendar, declared
        self.faults: dict[str, str] = {}

    def look_back(self, name: str, features: Sequence[Feature]) -> dt.timedelta:
        """Reach of the features into an input."""
        return look_back(self.family, name, features=features)

    def _groups(self, names: Collection[str]) -> list[list[Feature]]:
        features = [self._declared[name] for name in sorted(names) if name in self._declared and name not in self.faults]
        ours = [feature for feature in features if is_shipped(feature)]
        return [group for group in (ours, *([feature] for feature in features if not is_shipped(feature))) if group]

    def _compute(
        self, group: Sequence[Feature], cut: Mapping[str, pa.Table], first: int, last: int, at: int | None, windowed: bool = True
    ) -> pa.Table:
        start, end = from_us(first).date(), from_us(last).date()
        request = Request(self.market, self._calendar, self._rules, start, end, None if at is None else from_us(at))
        rows, faults = compute_isolated(self.family, group, cut, request, windowed=windowed)
        self.faults.update((name, str(error)) for name, error in faults.items())
        return rows

    def look_outside(self, days: Sequence[int], names: Collection[str]) -> None:
        """Name third parties' features of which a value changes with cells outside of its declared windows, which no publish gives them."""
        for feature in (group[0] for group in self._groups(names) if not is_shipped(group[0])):
            both = [self._compute([feature], self.inputs, days[0], days[-1], None, windowed) for windowed in (True, False)]
            inside, outside = ({(row["as_of"], row["available_at"]): row for row in fact_rows(rows)} for rows in both)
            noise = noise_around_zero(max((abs(row["value"] or 0.0) for row in inside.values()), default=0.0))
            for place in sorted(inside.keys() | outside.keys()) if feature.name not in self.faults else ():
                a, b = (_answer(rows.get(place)) for rows in (inside, outside))
                if a[1] != b[1] or not _close(a[0], b[0], noise):
                    self.faults[feature.name] = (
                        f"{feature.name} of {iso(place[0])[:10]} reads outside of its declared windows: {a[0]} ({a[1]}) inside of them,"
                        f" {b[0]} ({b[1]}) with what lies outside; declare what it reads"
                    )
                    break

    def everything(self, days: Sequence[int], names: Collection[str]) -> pa.Table:
        """All vintages of the days, from all rows."""
        return pa.concat_tables(
            [self._compute(group, self.inputs, days[0], days[-1], None) for group in self._groups(names)] or [_NOTHING.empty_table()]
        )

    def standing(self, as_of: int, at: int, names: Collection[str]) -> dict[object, tuple[float | None, object]]:
        """Value and quality of each feature's newest row of the day, from what was known at the instant and lies in its windows."""
        day, answers = from_us(as_of).date(), []
        for group in self._groups(names):
            # rows outside the windows are left out: a value that used one would come out different
            near = {name: rows_between(table, day - self.look_back(name, group), day) for name, table in self.inputs.items()}
            rows = self._compute(group, {name: _cut(table, at) for name, table in near.items()}, as_of, as_of, at)
            answers += [row for row in fact_rows(rows) if row["available_at"] <= at]
        newest: dict[object, tuple[float | None, object]] = {}
        for row in sorted(answers, key=lambda row: int(row["available_at"])):
            newest[row["feature_name"]] = (row["value"], row["quality"])
        return newest


def _answer(row: Row | None) -> tuple[float | None, object]:
    return (None, "absent") if row is None else (row["value"], row["quality"])


_NOTHING = pa.schema(
    [
        ("feature_name", pa.string()),
        ("as_of", pa.int64()),
        ("available_at", pa.int64()),
        ("value", pa.float64()),
        ("quality", pa.string()),
    ]
)


def _explained(row: Row, again: _Recomputation, noise: float) -> str:
    """The first input row, unknown at the row's instant, that yields its value when added."""
    as_of, available, ours = int(row["as_of"]), int(row["available_at"]), {str(row["feature_name"])}
    day = from_us(as_of).date()
    (group,) = again._groups(ours) or [[]]
    later: dict[int, list[tuple[str, Row]]] = {}
    for name, table in again.inputs.items():
        near = rows_between(table, day - again.look_back(name, group), day)
        if near.num_rows:
            at = near["available_at"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_pylist()
            for i in (i for i, when in enumerate(at) if when > available):
                later.setdefault(at[i], []).append((name, {"row": i, "table": near}))
    for at in sorted(later)[:TRIED]:
        value, quality = again.standing(as_of, at, ours).get(row["feature_name"], (None, "absent"))
        if quality == row["quality"] and _close(value, row["value"], noise):
            name, place = later[at][0]
            cells = place["table"].slice(place["row"], 1).to_pylist()[0]
            identity = {k: str(v) for k, v in cells.items() if k in _IDENTITY}
            return f"{name} as_of {cells['as_of']:%Y-%m-%d} available {iso(at)} {identity}"
    return "no single later row: the value follows from none of the next arrivals"


# ---------------------------------------------------------------- which instants


def _unserved(inputs: Mapping[str, pa.Table], days: Sequence[int]) -> set[Instant]:
    """Days inside of the range that have inputs and no row of the family at all, each at its last input's arrival."""
    last: dict[int, int] = {}
    served = set(days)
    for table in inputs.values() if days else ():
        if table.num_rows:
            near = rows_between(table, from_us(days[0]).date(), from_us(days[-1]).date())
            times = ("as_of", "available_at")
            as_of, at = (near[name].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy() for name in times)
            for day in set(np.unique(as_of).tolist()) - served:
                last[day] = max(last.get(day, 0), int(at[as_of == day].max()))
    return set(last.items())


def _drawn(stored: Sequence[Row], should: Collection[Instant], wanted: Collection[str], sample: int | None, seed: int) -> list[Instant]:
    """The instants to look at, by arrival."""
    every = sorted({*((int(row["as_of"]), int(row["available_at"])) for row in stored), *should})
    if sample is None:
        return _by_arrival(every)
    rng = random.Random(seed)  # noqa: S311  a reproducible sample, not a secret
    mine = [row for row in stored if row["feature_name"] in wanted]
    rows = Counter((int(row["as_of"]), int(row["available_at"])) for row in mine)
    chosen: set[Instant] = set()
    left = sample
    for instant in rng.sample(sorted(rows), len(rows)):
        if left <= 0:
            break
        chosen.add(instant)
        left -= rows[instant]
    others = [instant for instant in every if instant not in rows]
    chosen.update(rng.sample(others, min(len(others), -(-sample // OTHERS))))
    valued: dict[str, list[Instant]] = {}
    for row in mine:
        if row["value"] is not None:
            valued.setdefault(str(row["feature_name"]), []).append((int(row["as_of"]), int(row["available_at"])))
    if 2 * len(valued) <= sample:
        for name in sorted(valued):
            if chosen.isdisjoint(valued[name]):
                chosen.add(rng.choice(valued[name]))
            gaps = _between(valued[name], every)
            chosen.update(rng.sample(gaps, min(GAPS, len(gaps))))
    return _by_arrival(chosen)


def _between(valued: Sequence[Instant], every: Sequence[Instant]) -> list[Instant]:
    """The first instant of each day without a value between the first and the last day that has one."""
    with_value = {day for day, _ in valued}
    first: dict[int, Instant] = {}
    for instant in every:
        first.setdefault(instant[0], instant)
    return [first[day] for day in sorted(first) if day not in with_value and min(with_value) < day < max(with_value)]


def fact_rows(rows: pa.Table) -> list[Row]:
    """Rows of facts as mappings; instants in microseconds UTC."""
    names = ("feature_name", "as_of", "available_at", "value", "quality")
    columns = [(rows[n].cast(pa.int64()) if n in ("as_of", "available_at") else rows[n]).to_pylist() for n in names]
    return [dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True)]


def _cut(table: pa.Table, available_us: int) -> pa.Table:
    if not table.num_rows:
        return table
    return table.filter(pc.less_equal(table["available_at"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()), available_us))


def _close(a: float | None, b: float | None, noise: float) -> bool:
    if a is None or b is None:
        return a is None and b is None
    return abs(a - b) <= TOLERANCE * max(abs(a), abs(b)) + noise
