"""Replay: a seeded sample of served values, recomputed from the raw rows that had arrived by then."""

import datetime as dt
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.core.instants import day_us, from_us, iso
from hydra_assets.core.option_rules import OptionRules
from hydra_assets.features import compute, of_family
from hydra_assets.flow.features import look_back

Verdict = Literal["passed", "failed", "unproven"]
TOLERANCE = 1e-9  # relative


@dataclass(frozen=True)
class Replay:
    """
    What a replay found.

    Attributes:
        compared: rows recomputed; *values* of them with a value.
        differing: ``feature_name, as_of, available_at, stored, recomputed`` of every difference.
    """

    compared: int
    values: int
    differing: tuple[Mapping[str, object], ...]

    @property
    def verdict(self) -> Verdict:
        """``unproven`` where there was nothing but nulls to look at."""
        return "failed" if self.differing else "passed" if self.values else "unproven"


def replay(
    rows: pa.Table,
    inputs: Mapping[str, pa.Table],
    *,
    family: str,
    market: str,
    sample: int,
    seed: int,
    names: Sequence[str] | None = None,
    rules: OptionRules | None = None,
) -> Replay:
    """
    Recompute a sample of *rows* from *inputs* cut at each row's ``available_at``.

    Args:
        rows: stored vintages: ``feature_name, as_of, available_at, value, quality``.
        inputs: data type to every raw vintage that the windows may touch.
        rules: how options are read. sample: at most so many rows; values are drawn before nulls, which prove little.
        names: features to look at; default all of *rows*.
    """
    picked = _sample([row for row in _plain(rows) if names is None or row["feature_name"] in names], sample, seed)
    declared = {feature.name for feature in of_family(family)}
    differing = []
    for (as_of, available), group in _grouped(picked).items():
        day = from_us(as_of).date()
        asked = declared & {str(row["feature_name"]) for row in group}
        # What lies outside their windows cannot matter, and is not handed over: if it did, the numbers would differ.
        reach = {name: look_back(family, name, asked) for name in inputs}
        known = {name: _cut(_within(table, day - reach[name], day), available) for name, table in inputs.items()}
        answers = _newest(compute(family, known, market=market, start=day, end=day, rules=rules, names=asked))
        for row in group:
            value, quality, _ = answers.get((row["feature_name"], as_of), (None, "absent", 0))
            if quality != row["quality"] or not _close(value, row["value"]):
                differing.append(
                    {
                        "feature_name": row["feature_name"],
                        "as_of": iso(as_of)[:10],
                        "available_at": iso(available),
                        "stored": f"{row['value']} ({row['quality']})",
                        "recomputed": f"{value} ({quality})",
                    }
                )
    return Replay(len(picked), sum(row["value"] is not None for row in picked), tuple(differing))


def _sample(rows: list[dict[str, object]], size: int, seed: int) -> list[dict[str, object]]:
    dice = random.Random(seed)  # noqa: S311  a reproducible sample, not a secret
    values = [row for row in rows if row["value"] is not None]
    nulls = [row for row in rows if row["value"] is None]
    chosen = dice.sample(values, min(size, len(values)))
    return chosen + dice.sample(nulls, min(size - len(chosen), len(nulls)))


def _plain(rows: pa.Table) -> list[dict[str, object]]:
    names = ("feature_name", "as_of", "available_at", "value", "quality")
    columns = [(rows[n].cast(pa.int64()) if n in ("as_of", "available_at") else rows[n]).to_pylist() for n in names]
    return [dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True)]


def _grouped(rows: list[dict[str, object]]) -> dict[tuple[int, int], list[dict[str, object]]]:
    groups: dict[tuple[int, int], list[dict[str, object]]] = {}
    for row in rows:
        groups.setdefault((int(str(row["as_of"])), int(str(row["available_at"]))), []).append(row)
    return groups


def _within(table: pa.Table, first: dt.date, last: dt.date) -> pa.Table:
    if not table.num_rows:
        return table
    as_of = table["as_of"].cast(pa.int64())
    return table.filter(pc.and_(pc.greater_equal(as_of, day_us(first)), pc.less_equal(as_of, day_us(last))))


def _cut(table: pa.Table, available_us: int) -> pa.Table:
    if not table.num_rows:
        return table
    return table.filter(pc.less_equal(table["available_at"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()), available_us))


def _newest(answer: pa.Table) -> dict[tuple[object, object], tuple[float | None, object, int]]:
    newest: dict[tuple[object, object], tuple[float | None, object, int]] = {}
    for row in _plain(answer):
        key, at = (row["feature_name"], row["as_of"]), int(str(row["available_at"]))
        if key not in newest or at >= newest[key][2]:
            value = row["value"]
            newest[key] = (value if value is None else float(str(value)), row["quality"], at)
    return newest


def _close(a: float | None, b: object) -> bool:
    if a is None or b is None:
        return a is None and b is None
    other = float(str(b))
    return abs(a - other) <= TOLERANCE * max(1.0, abs(other))
