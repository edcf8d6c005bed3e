"""Replay: stored values, or a seeded sample of them, recomputed from the raw rows that had arrived by then."""

import random
import struct
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.core.calendar import Calendar
from hydra_assets.core.instants import from_us, iso
from hydra_assets.core.names import names_of
from hydra_assets.core.option_rules import OptionRules
from hydra_assets.core.rows import rows_between
from hydra_assets.features import compute, of_family
from hydra_assets.flow.publish import look_back

Verdict = Literal["passed", "failed", "unproven"]
Row = dict[str, Any]
TOLERANCE = 1e-9  # relative
_IDENTITY = ("instrument", "instrument_id", "cftc_code", "stat", "feature_name", "value")
TRIED = 40  # most later arrivals to try, one by one, as explanation of a difference


@dataclass(frozen=True)
class Replay:
    """
    Result of a replay.

    Attributes:
        compared: number of rows recomputed.
        values: number of these with a value.
        exact: number of these values that are equal bit for bit.
        known: number of rows with a value to sample from.
        differing: ``feature_name, as_of, available_at, stored, recomputed, explained_by`` of every difference; only the first has
            an explanation.
        by_feature: values compared, equal bit for bit, and known, by feature name.
    """

    compared: int
    values: int
    exact: int
    known: int
    differing: tuple[Mapping[str, object], ...]
    by_feature: Mapping[str, tuple[int, int, int]]

    @property
    def verdict(self) -> Verdict:
        """``unproven`` without a value to compare."""
        return "failed" if self.differing else "passed" if self.values else "unproven"


def replay(
    rows: pa.Table,
    inputs: Mapping[str, pa.Table],
    *,
    family: str,
    market: str,
    sample: int | None,
    seed: int,
    names: Sequence[str] | None = None,
    rules: OptionRules | None = None,
    calendar: Calendar | None = None,
    step: Callable[[int], None] | None = None,
) -> Replay:
    """
    Recompute *rows* from *inputs* cut at each row's ``available_at``.

    Args:
        rows: stored vintages: ``feature_name, as_of, available_at, value, quality``.
        inputs: data type to every vintage in reach of the windows, of the family's evidence.
        family: whose features are computed.
        market: symbol of the market.
        sample: approximate number of rows; whole instants, values before nulls, which prove little, and at least one value of
            each feature if the sample is large enough. None for all rows.
        seed: of the sample.
        names: features to replay; default all of *rows*.
        rules: option rules; default the shipped settings.
        calendar: exchange calendar; default that of the shipped market.
        step: called after each instant with the number of rows compared.
    """
    wanted = None if names is None else set(names_of(names, "names"))
    requested = [row for row in _plain(rows) if wanted is None or row["feature_name"] in wanted]
    picked = requested if sample is None else _sample(requested, sample, seed)
    known = Counter(str(row["feature_name"]) for row in requested if row["value"] is not None)
    declared = {feature.name for feature in of_family(family)}

    def recomputed(as_of: int, at: int, of: set[str]) -> dict[object, tuple[float | None, object]]:
        # rows outside the windows are left out: a value that used one would come out different
        day, ours = from_us(as_of).date(), declared & of
        cut = {name: _cut(rows_between(table, day - look_back(family, name, ours), day), at) for name, table in inputs.items()}
        made = compute(family, cut, market=market, start=day, end=day, rules=rules, calendar=calendar, names=ours, known_at=from_us(at))
        return _newest(made)

    differing: list[Row] = []
    values, exact = Counter[str](), Counter[str]()
    for (as_of, available), group in _grouped(picked).items():
        answers = recomputed(as_of, available, {str(row["feature_name"]) for row in group})
        for row in group:
            value, quality = answers.get(row["feature_name"], (None, "absent"))
            if row["value"] is not None:
                values[row["feature_name"]] += 1
                exact[row["feature_name"]] += value is not None and struct.pack("d", value) == struct.pack("d", row["value"])
            if quality != row["quality"] or not _close(value, row["value"]):
                difference = {"stored": f"{row['value']} ({row['quality']})", "recomputed": f"{value} ({quality})", "explained_by": ""}
                if not differing:
                    difference["explained_by"] = _explained(row, inputs, family, recomputed)
                place = {"as_of": iso(as_of)[:10], "available_at": iso(available)}
                differing.append({"feature_name": row["feature_name"], **place, **difference})
        if step is not None:
            step(len(group))
    by_feature = {name: (values[name], exact[name], known[name]) for name in sorted({str(row["feature_name"]) for row in requested})}
    return Replay(len(picked), values.total(), exact.total(), known.total(), tuple(differing), by_feature)


def _explained(
    row: Row,
    inputs: Mapping[str, pa.Table],
    family: str,
    recomputed: Callable[[int, int, set[str]], dict[object, tuple[float | None, object]]],
) -> str:
    """The first input row, unknown at the row's instant, that yields its value when added."""
    as_of, available = int(row["as_of"]), int(row["available_at"])
    day, ours = from_us(as_of).date(), {str(row["feature_name"])}
    later: dict[int, list[tuple[str, Row]]] = {}
    for name, table in inputs.items():
        near = rows_between(table, day - look_back(family, name, ours), day)
        if near.num_rows:
            at = near["available_at"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_pylist()
            for i in (i for i, when in enumerate(at) if when > available):
                later.setdefault(at[i], []).append((name, {"row": i, "table": near}))
    for at in sorted(later)[:TRIED]:
        value, quality = recomputed(as_of, at, ours).get(row["feature_name"], (None, "absent"))
        if quality == row["quality"] and _close(value, row["value"]):
            name, place = later[at][0]
            cells = place["table"].slice(place["row"], 1).to_pylist()[0]
            identity = {k: str(v) for k, v in cells.items() if k in _IDENTITY}
            return f"{name} as_of {cells['as_of']:%Y-%m-%d} available {iso(at)} {identity}"
    return "no single later row: the value follows from none of the next arrivals"


def _sample(rows: list[Row], size: int, seed: int) -> list[Row]:
    """Random instants, all their rows each, until *size* rows; instants with values first."""
    rng = random.Random(seed)  # noqa: S311  a reproducible sample, not a secret
    chosen: list[Row] = []
    for wanted in ([row for row in rows if row["value"] is not None], [row for row in rows if row["value"] is None]):
        groups = list(_grouped(wanted).values())
        rng.shuffle(groups)
        for group in groups:
            if len(chosen) >= size:
                break
            chosen += group[: size - len(chosen)]
    seen = {row["feature_name"] for row in chosen if row["value"] is not None}
    rare: dict[object, list[Row]] = {}
    for row in rows:
        if row["value"] is not None and row["feature_name"] not in seen:
            rare.setdefault(row["feature_name"], []).append(row)
    # every feature with values is sampled at least once if the sample is large enough
    if len(seen | set(rare)) <= size // 2:
        chosen += [rng.choice(rare[name]) for name in sorted(rare, key=str)]
    return chosen


def _plain(rows: pa.Table) -> list[Row]:
    names = ("feature_name", "as_of", "available_at", "value", "quality")
    columns = [(rows[n].cast(pa.int64()) if n in ("as_of", "available_at") else rows[n]).to_pylist() for n in names]
    return [dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True)]


def _grouped(rows: list[Row]) -> dict[tuple[int, int], list[Row]]:
    groups: dict[tuple[int, int], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["as_of"], row["available_at"]), []).append(row)
    return groups


def _cut(table: pa.Table, available_us: int) -> pa.Table:
    if not table.num_rows:
        return table
    return table.filter(pc.less_equal(table["available_at"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()), available_us))


def _newest(answer: pa.Table) -> dict[object, tuple[float | None, object]]:
    """Value and quality of each feature's newest vintage; *answer* covers one day."""
    newest: dict[object, tuple[float | None, object]] = {}
    for row in sorted(_plain(answer), key=lambda row: int(row["available_at"])):
        newest[row["feature_name"]] = (row["value"], row["quality"])
    return newest


def _close(a: float | None, b: float | None) -> bool:
    if a is None or b is None:
        return a is None and b is None
    return abs(a - b) <= TOLERANCE * max(1.0, abs(b))
