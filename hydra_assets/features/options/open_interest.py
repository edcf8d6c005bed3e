"""Open interest of puts over that of calls: of the session before, known on the morning when the last option's figure is out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.core.arrays import Ints
from hydra_assets.core.feature import Feature
from hydra_assets.core.instants import DAY_US, column_us
from hydra_assets.core.tables.features import FEATURE_SCHEMA
from hydra_assets.core.tables.options import OPTION_DEFINITIONS, OPTION_STATISTICS
from hydra_assets.features.days import day_range, days_of, next_sessions
from hydra_assets.features.family import Request
from hydra_assets.features.quality import MISSING, NORMAL, quality_codes
from hydra_assets.features.rows import changed_rows, feature_rows
from hydra_assets.features.vintages import known_from, require, stamped_at

Print = tuple[int, int, float, int, int]  # instant, option, open interest, quality, stamp
Listing = tuple[int, int, int, int, int]  # instant, option, right (1 a call, -1 a put), expiration, stamp
_OF_T, _OF_DAY, _BEFORE, _NOW = range(4)


def put_call_interest(statistics: pa.Table, definitions: pa.Table, feature: Feature, request: Request) -> pa.Table:
    """
    All vintages of the ratio on session t, of open interest at t-1.

    Its first row comes when the figure of t-1 is known of every option that had open interest on t-2 and lives beyond t-1; an
    option is identified by its id; the definitions of t or t-1, as known at the row's own instant, give its right.
    """
    require(statistics, ("instrument_id", "stat", "as_of", "available_at", "value", "quality"), "option_statistics")
    require(definitions, ("instrument_id", "right", "expiration", "as_of", "available_at"), "option_definitions")
    statistics = statistics if statistics.num_rows else OPTION_STATISTICS.schema.empty_table()
    prints = _by_day(statistics.filter(pc.equal(statistics["stat"], "open_interest")))
    listed = _listed(definitions if definitions.num_rows else OPTION_DEFINITIONS.schema.empty_table())
    if not prints:
        return FEATURE_SCHEMA.empty_table()
    days = np.array(sorted(prints), dtype=np.int64)
    low, high = day_range(request.start, request.end)
    after_each = next_sessions(days, request.calendar).tolist()
    out: list[tuple[int, int, float, int]] = []
    before = dict(zip(after_each, days.tolist(), strict=True))
    for day, after in zip(days.tolist(), after_each, strict=True):
        if low <= after <= high:
            out += _ratios(after, day, prints[day], prints.get(before.get(day, -1), []), listed, feature)
    if not out:
        return FEATURE_SCHEMA.empty_table()
    day_of, at, value, quality = (np.array(column) for column in zip(*out, strict=True))
    keep = changed_rows(day_of, value.astype(float), quality)
    return feature_rows(feature, day_of[keep] * DAY_US, at[keep], value[keep].astype(float), quality[keep])


def _ratios(
    t: int, day: int, now: list[Print], past: list[Print], listed: Mapping[int, list[Listing]], feature: Feature
) -> list[tuple[int, int, float, int]]:
    """The ratio of session *t* (open interest of *day*, the session before) at each instant since it was ready."""
    beyond = (day + 1) * DAY_US
    open_before: dict[int, float] = {}
    open_now: dict[int, tuple[float, int]] = {}
    defined: dict[tuple[int, int], tuple[int, int]] = {}  # (kind, option) to right and expiration, as known at the instant under way
    stamps: dict[tuple[int, int], int] = {}
    missing: set[int] = set()
    required: set[int] = set()
    rows: list[tuple[int, int, float, int]] = []
    ready = False
    tables = ((_OF_T, listed.get(t, [])), (_OF_DAY, listed.get(day, [])), (_BEFORE, past), (_NOW, now))
    events = sorted(((at, stamp, kind, option, a, b) for kind, table in tables for at, option, a, b, stamp in table), key=lambda e: e[:2])
    for i, (at, stamp, kind, option, a, b) in enumerate(events):
        if stamp >= stamps.get((kind, option), stamp):  # a print that came late never hides a later one
            stamps[kind, option] = stamp
            if kind == _NOW:
                open_now[option] = (a, int(b))
            elif kind == _BEFORE:
                open_before[option] = a
            else:
                defined[kind, option] = (int(a), int(b))
            _, end = defined.get((_OF_T, option), defined.get((_OF_DAY, option), (0, 0)))
            needed = end >= beyond and open_before.get(option, 0.0) > 0
            value, _ = open_now.get(option, (float("nan"), NORMAL))
            (required.add if needed else required.discard)(option)
            (missing.add if needed and value != value else missing.discard)(option)
        if i + 1 < len(events) and events[i + 1][0] == at:
            continue  # one instant, one row
        ready = ready or (bool(required) and not missing)
        if ready:
            known = max(at, t * DAY_US)  # a figure that is out before its day (Friday's, on Sunday) is known when the day begins
            if rows and rows[-1][1] == known:
                rows.pop()
            rows.append((t, known, *_ratio(open_now, missing, defined, feature)))
    return rows


def _ratio(
    open_now: Mapping[int, tuple[float, int]],
    missing: set[int],
    defined: Mapping[tuple[int, int], tuple[int, int]],
    feature: Feature,
) -> tuple[float, int]:
    if missing:  # a figure was taken back and not yet given again
        return float("nan"), MISSING
    sums, worst = {1: 0.0, -1: 0.0}, NORMAL
    for option, (value, quality) in open_now.items():
        right, _ = defined.get((_OF_T, option), defined.get((_OF_DAY, option), (0, 0)))
        if right and value == value:
            sums[right] += value
            worst = max(worst, quality)
    if sums[1] <= 0 or sums[-1] <= 0:
        return (0.0, worst) if sums[1] > 0 else (float("nan"), MISSING)
    return float(feature.function(sums[-1], sums[1])), worst


def _by_day(table: pa.Table) -> dict[int, list[Print]]:
    columns = [
        known_from(table),
        table["instrument_id"].to_numpy(),
        table["value"].cast(pa.float64()).to_numpy(zero_copy_only=False).astype(float),
        quality_codes(table["quality"]),
        stamped_at(table),
    ]
    return _grouped(table, columns)


def _listed(table: pa.Table) -> dict[int, list[Listing]]:
    """Day to every vintage of each option's right and expiration."""
    rights: Ints = np.where(table["right"].to_numpy(zero_copy_only=False) == "C", 1, -1)
    ends = column_us(table["expiration"], what="expiration")
    return _grouped(table, [known_from(table), table["instrument_id"].to_numpy(), rights, ends, stamped_at(table)])


def _grouped(table: pa.Table, columns: Sequence[np.ndarray]) -> dict[int, list[Any]]:
    answer: dict[int, list[Any]] = {}
    for day, *cells in zip(days_of(table).tolist(), *(column.tolist() for column in columns), strict=True):
        answer.setdefault(day, []).append(tuple(cells))
    return answer
