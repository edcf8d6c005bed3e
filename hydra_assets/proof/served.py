"""Served vectors compared with values recomputed from the lake of today at the same instants."""

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

import numpy as np

from hydra_assets.core.instants import to_us
from hydra_assets.core.months import Month, months_between
from hydra_assets.core.names import names_of
from hydra_assets.core.option_rules import OptionRules
from hydra_assets.core.tolerance import noise_around_zero
from hydra_assets.features import of_family
from hydra_assets.features.compute import INPUTS
from hydra_assets.flow.publish import compute_months
from hydra_assets.proof.replay import fact_rows
from hydra_assets.storage.frame import training_frame
from hydra_assets.storage.lake import ParquetLake
from hydra_assets.storage.question import Question
from hydra_assets.storage.series import frontier_of
from hydra_assets.storage.served import ServedVector

Fault = Literal["mismatch", "missing", "extra"]
TOLERANCE = 1e-9  # relative
REACH = dt.timedelta(400)
_FIRST = 100


@dataclass(frozen=True)
class ServedRates:
    """
    Fault counts of one feature.

    Attributes:
        feature: its name.
        compared: number of vectors compared.
        values: number of these with a value on either side.
        mismatch: number of two different values.
        missing: number of values that the lake has and that were not served.
        extra: number of values that were served and that the lake lacks.
    """

    feature: str
    compared: int
    values: int
    mismatch: int
    missing: int
    extra: int

    def rate(self, fault: Fault) -> float:
        """Share of the vectors compared; 0 without any."""
        return float(getattr(self, fault)) / self.compared if self.compared else 0.0


@dataclass(frozen=True)
class ServedComparison:
    """
    Result of a comparison.

    Attributes:
        vectors: number of vectors compared.
        left_out: number of answers to ``recorded_by``, which today's lake cannot reproduce.
        features: rates of each feature.
        violations: the first faults: market, query_time, feature, fault, served, recomputed.
        unregistered: served names of no registered feature, which cannot be recomputed.
    """

    vectors: int
    left_out: int
    features: tuple[ServedRates, ...]
    violations: tuple[Mapping[str, object], ...]
    unregistered: tuple[str, ...]

    @property
    def verdict(self) -> Literal["passed", "failed", "unproven"]:
        """``unproven`` without a value to compare."""
        if any(rates.mismatch + rates.missing + rates.extra for rates in self.features):
            return "failed"
        return "passed" if any(rates.values for rates in self.features) else "unproven"


def served_versus_recomputed(
    vectors: Sequence[ServedVector],
    lake: ParquetLake,
    *,
    tolerance: float = TOLERANCE,
    reach: dt.timedelta = REACH,
    families: Sequence[str] | None = None,
    rules: OptionRules | None = None,
) -> ServedComparison:
    """
    Recompute served vectors from the lake.

    Every vector is answered again from today's rows as known at the vector's own time. A difference is a fault of the code or the
    store, or shows rows that reached the lake later under an earlier ``available_at``.

    Args:
        vectors: from `ServedLog.read`.
        lake: the tables to recompute from.
        tolerance: relative.
        reach: oldest ``as_of`` of a value, before the first query; older values count as missing.
        families: whose features are compared; default all.
        rules: option rules; default the shipped settings.
    """
    live = sorted((v for v in vectors if v.recorded_by is None), key=lambda v: (v.market, v.max_age or dt.timedelta.max))
    chosen = tuple(INPUTS if families is None else names_of(families, "families"))
    known = {feature.name for family in INPUTS for feature in of_family(family)}
    compared = {feature.name for family in chosen for feature in of_family(family)}
    counts: dict[str, Counter[str]] = {}
    violations: list[Mapping[str, object]] = []
    for market, of_market in groupby(live, key=lambda v: v.market):
        group = list(of_market)
        rows = _recomputed(lake, market, min(v.query_time for v in group) - reach, max(v.query_time for v in group), chosen, rules)
        names = sorted({name for v in group for name in v.values if name in compared} | set(rows))
        for max_age, same_age in groupby(group, key=lambda v: v.max_age):
            alike = list(same_age)
            times = np.array([to_us(v.query_time) for v in alike], dtype=np.int64)
            answers = training_frame(
                Question([market] * len(alike), times, tuple(names), max_age=max_age),
                {(market, name): frontier_of(rows.get(name, [])) for name in names},
            )
            for name in names:
                pairs = [(vector.values.get(name), again) for vector, again in zip(alike, answers[name].to_pylist(), strict=True)]
                noise = noise_around_zero(max((abs(number or 0.0) for pair in pairs for number in pair), default=0.0))
                for vector, (served, again) in zip(alike, pairs, strict=True):
                    fault = _fault(served, again, tolerance, noise)
                    count = counts.setdefault(name, Counter())
                    count["compared"] += 1
                    count["values"] += served is not None or again is not None
                    if fault is not None:
                        count[fault] += 1
                        violations.append(
                            {
                                "market": market,
                                "query_time": vector.query_time,
                                "feature": name,
                                "fault": fault,
                                "served": served,
                                "recomputed": again,
                            }
                        )
    return ServedComparison(
        vectors=len(live),
        left_out=len(vectors) - len(live),
        features=tuple(
            ServedRates(name, c["compared"], c["values"], c["mismatch"], c["missing"], c["extra"]) for name, c in sorted(counts.items())
        ),
        violations=tuple(violations[:_FIRST]),
        unregistered=tuple(sorted({name for v in live for name in v.values} - known)),
    )


def _recomputed(
    lake: ParquetLake, market: str, first: dt.datetime, last: dt.datetime, families: Sequence[str], rules: OptionRules | None
) -> dict[str, list[dict[str, Any]]]:
    """Vintages by feature, with ``as_of`` in the months from *first* to *last*, of *families* whose inputs the lake holds."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for family in families:
        held = {Month(folder.year, folder.month) for name in INPUTS[family] for folder in lake.folders(name, market)}
        months = [month for month in months_between(first.date(), last.date()) if month in held]
        if months:
            for computed in compute_months(lake, family, market, months, rules):
                for row in fact_rows(computed.rows):
                    rows.setdefault(row.pop("feature_name"), []).append(row)
    return rows


def _fault(served: float | None, again: float | None, tolerance: float, noise: float) -> Fault | None:
    if served is None or again is None:
        return None if served is again else "missing" if served is None else "extra"
    return None if abs(served - again) <= tolerance * max(abs(served), abs(again)) + noise else "mismatch"
