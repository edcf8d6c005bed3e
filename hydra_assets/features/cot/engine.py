"""From weekly vintages to feature vintages: each row on what was known at its own instant, a further row where that changed it."""

import datetime as dt
import itertools
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from hydra_assets.core.feature import Feature
from hydra_assets.core.instants import DAY_US, column_us, day_us, instants
from hydra_assets.core.tables.features import FEATURE_SCHEMA
from hydra_assets.core.tables.table import QUALITIES
from hydra_assets.errors import SchemaError
from hydra_assets.features.rows import TOLERANCE


def iso_week(as_of_us: np.ndarray) -> np.ndarray:
    """Number of the ISO week (Monday to Sunday) of each instant; consecutive weeks are consecutive integers."""
    return np.asarray((as_of_us // DAY_US + 3) // 7)  # 1970-01-01 was a Thursday


def compute_weekly(table: pa.Table, features: Sequence[Feature], *, dataset: str, start: dt.date | None, end: dt.date | None) -> pa.Table:
    """
    All vintages of *features* over one weekly input.

    Args:
        table: every vintage of *dataset*, in any order.
        start, end: inclusive days of the answer's ``as_of``.
    Returns:
        FEATURE_SCHEMA, ordered by as_of, feature and available_at.
    """
    if not table.num_rows:
        return FEATURE_SCHEMA.empty_table()
    for name in ("as_of", "available_at", "quality"):
        if name not in table.column_names:
            raise SchemaError(f"{dataset}: the column {name!r} is missing; it has {table.column_names}")
    if "cftc_code" in table.column_names and len(set(table["cftc_code"].to_pylist())) > 1:
        raise SchemaError(f"{dataset}: rows of several contract codes {sorted(set(table['cftc_code'].to_pylist()))}; give one market's")
    as_of, available = column_us(table["as_of"], what="as_of"), column_us(table["available_at"], what="available_at")
    weeks = iso_week(as_of)
    first, span = int(weeks.min()), int(weeks.max() - weeks.min()) + 1
    numeric = [f.name for f in table.schema if pa.types.is_integer(f.type) or pa.types.is_floating(f.type)]
    raw = {name: table[name].cast(pa.float64()).to_numpy(zero_copy_only=False) for name in numeric}
    raw = {name: np.where(np.isfinite(column), column, np.nan) for name, column in raw.items()}
    words = table["quality"].to_pylist()
    reach = max((-window.first for f in features for window in f.windows), default=0)

    # State: what is known of each week at the instant under way; `reach` empty weeks in front so that no window starts outside.
    known = {name: np.full(reach + span, np.nan) for name in numeric}
    report = np.full(reach + span, -1, dtype=np.int64)
    word: dict[int, str] = {}
    low = -(2**62) if start is None else day_us(start)
    high = 2**62 if end is None else day_us(end) + DAY_US - 1

    out: dict[str, list[object]] = defaultdict(list)
    last: dict[tuple[str, int], tuple[float, str]] = {}
    order = np.lexsort((as_of, available))
    edges = np.flatnonzero(np.r_[True, available[order][1:] != available[order][:-1], True])
    for a, b in itertools.pairwise(edges):
        instant = int(available[order[a]])
        changed = set()
        for i in order[a:b]:
            slot = reach + int(weeks[i]) - first
            if as_of[i] < report[slot]:
                continue  # a late row with an older as_of never displaces a newer one
            report[slot], word[slot] = as_of[i], words[i]
            for name in numeric:
                known[name][slot] = raw[name][i]
            changed.add(slot)
        for feature in features:
            (window,) = (w for w in feature.windows if w.dataset == dataset)
            touched = {s - offset for s in changed for offset in range(window.first, window.last + 1)} if window.first else changed
            for slot in sorted(s for s in touched if reach <= s < reach + span and report[s] >= 0):
                if not low <= report[slot] <= high:
                    continue
                answer = feature.function({n: c[slot + window.first : slot + window.last + 1] for n, c in known.items()})
                value = answer.value if np.isfinite(answer.value) else float("nan")
                quality = _quality(value, answer.n < answer.full, word[slot])
                before = last.get((feature.name, int(report[slot])))
                if before is not None and before[1] == quality and _equal(before[0], value):
                    continue
                last[feature.name, int(report[slot])] = (value, quality)
                for column, cell in zip(
                    FEATURE_SCHEMA.names, (feature.name, int(report[slot]), instant, value, feature.unit, quality), strict=True
                ):
                    out[column].append(cell)
    if not out:
        return FEATURE_SCHEMA.empty_table()
    values = np.array(out["value"], dtype=float)
    answer_table = pa.table(
        {
            "feature_name": pa.array(out["feature_name"], pa.string()),
            "as_of": instants(np.array(out["as_of"])),
            "available_at": instants(np.array(out["available_at"])),
            "value": pa.array(values, mask=np.isnan(values)),
            "unit": pa.array(out["unit"], pa.string()),
            "quality": pa.array(out["quality"], pa.string()),
        }
    )
    return answer_table.sort_by([("as_of", "ascending"), ("feature_name", "ascending"), ("available_at", "ascending")]).cast(FEATURE_SCHEMA)


def _quality(value: float, thin: bool, word: str) -> str:
    """The worst word that applies; ``missing`` says that the value is null, and nothing else does."""
    if np.isnan(value):
        return "missing"
    words = ("partial" if thin else "normal", word if word in QUALITIES[:-1] else "degraded")
    return max(words, key=QUALITIES.index)


def _equal(a: float, b: float) -> bool:
    if np.isnan(a) or np.isnan(b):
        return bool(np.isnan(a) and np.isnan(b))
    return abs(a - b) <= TOLERANCE * max(1.0, abs(a))
