"""Open interest of puts over that of calls: of the session before, known on the morning when the last option's figure is out."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.core.dataset import FEATURE_SCHEMA, OPTION_DEFINITIONS, OPTION_STATISTICS
from hydra_assets.core.feature import Feature
from hydra_assets.core.instants import DAY_US, EPOCH, column_us
from hydra_assets.features.arrivals import word_codes
from hydra_assets.features.chain import next_sessions
from hydra_assets.features.panel import Ints
from hydra_assets.features.quality import MISSING, NORMAL
from hydra_assets.features.rows import feature_rows, moved
from hydra_assets.features.vintages import days_of, require

Print = tuple[int, int, float, int, int]  # instant, option, open interest, word, stamp


def put_call_interest(
    statistics: pa.Table, definitions: pa.Table, feature: Feature, *, start: dt.date | None, end: dt.date | None
) -> pa.Table:
    """
    All vintages of the ratio on session t, of open interest at t-1.

    Its first row comes when the figure of t-1 is known of every option that had open interest on t-2 and lives beyond t-1; an
    option is told apart by its id, and which right it is the definitions of t or t-1 say.
    """
    require(statistics, ("instrument_id", "stat", "as_of", "available_at", "value", "quality"), "option_statistics")
    require(definitions, ("instrument_id", "right", "expiration", "as_of"), "option_definitions")
    statistics = statistics if statistics.num_rows else OPTION_STATISTICS.schema.empty_table()
    prints = _by_day(statistics.filter(pc.equal(statistics["stat"], "open_interest")))
    listed = _listed(definitions if definitions.num_rows else OPTION_DEFINITIONS.schema.empty_table())
    if not prints:
        return FEATURE_SCHEMA.empty_table()
    days = np.array(sorted(prints), dtype=np.int64)
    low = -(2**62) if start is None else (start - EPOCH.date()).days
    high = 2**62 if end is None else (end - EPOCH.date()).days
    out: list[tuple[int, int, float, int]] = []
    before = dict(zip(next_sessions(days).tolist(), days.tolist(), strict=True))
    for day, after in zip(days.tolist(), next_sessions(days).tolist(), strict=True):
        if low <= after <= high:
            out += _play(after, day, prints[day], prints.get(before.get(day, -1), []), listed, feature)
    if not out:
        return FEATURE_SCHEMA.empty_table()
    day_of, at, value, word = (np.array(column) for column in zip(*out, strict=True))
    keep = moved(day_of, value.astype(float), word)
    return feature_rows(feature, day_of[keep] * DAY_US, at[keep], value[keep].astype(float), word[keep])


def _play(
    t: int, day: int, now: list[Print], past: list[Print], listed: dict[tuple[int, int], tuple[int, int]], feature: Feature
) -> list[tuple[int, int, float, int]]:
    """The ratio of session *t* (open interest of *day*, the session before) at each instant since it was ready."""
    beyond = (day + 1) * DAY_US
    open_now: dict[int, tuple[float, int]] = {}
    stamps: dict[tuple[bool, int], int] = {}
    required: set[int] = set()
    missing: set[int] = set()
    rows: list[tuple[int, int, float, int]] = []
    ready = False
    events = sorted([(*p, False) for p in past] + [(*p, True) for p in now], key=lambda e: (e[0], e[4]))
    for i, (at, option, value, word, stamp, is_now) in enumerate(events):
        if stamp >= stamps.get((is_now, option), stamp):  # a print that came late never hides a later one
            stamps[is_now, option] = stamp
            right, end = listed.get((option, t), listed.get((option, day), (0, 0)))
            if is_now:
                open_now[option] = (value, word)
                missing.discard(option) if value == value else (missing.add(option) if option in required else None)
            elif right and value > 0 and end >= beyond:
                required.add(option)
                if option not in open_now or open_now[option][0] != open_now[option][0]:
                    missing.add(option)
            else:
                required.discard(option)
                missing.discard(option)
        if i + 1 < len(events) and events[i + 1][0] == at:
            continue  # one instant, one row
        ready = ready or (bool(required) and not missing and bool(open_now))
        if ready:
            rows.append((t, at, *_ratio(t, day, open_now, missing, listed, feature)))
    return rows


def _ratio(
    t: int,
    day: int,
    open_now: dict[int, tuple[float, int]],
    missing: set[int],
    listed: dict[tuple[int, int], tuple[int, int]],
    feature: Feature,
) -> tuple[float, int]:
    if missing:  # a figure was taken back and not yet given again
        return float("nan"), MISSING
    sums, worst = {1: 0.0, -1: 0.0}, NORMAL
    for option, (value, word) in open_now.items():
        right, _ = listed.get((option, t), listed.get((option, day), (0, 0)))
        if right and value == value:
            sums[right] += value
            worst = max(worst, word)
    if sums[1] <= 0 or sums[-1] <= 0:
        return (0.0, worst) if sums[1] > 0 else (float("nan"), MISSING)
    return float(feature.function(sums[-1], sums[1])), worst


def _by_day(table: pa.Table) -> dict[int, list[Print]]:
    columns = [
        column_us(table["available_at"], what="available_at", rounding="ceil"),
        table["instrument_id"].to_numpy(),
        table["value"].cast(pa.float64()).to_numpy(zero_copy_only=False).astype(float),
        word_codes(table["quality"]),
        column_us(table["stamped_at" if "stamped_at" in table.column_names else "available_at"], what="stamped_at", rounding="floor"),
    ]
    answer: dict[int, list[Print]] = {}
    for day, *cells in zip(days_of(table).tolist(), *(column.tolist() for column in columns), strict=True):
        answer.setdefault(day, []).append(tuple(cells))
    return answer


def _listed(table: pa.Table) -> dict[tuple[int, int], tuple[int, int]]:
    """(id, day) to the option's right and its expiration."""
    rights: Ints = np.where(table["right"].to_numpy(zero_copy_only=False) == "C", 1, -1)
    ends = column_us(table["expiration"], what="expiration").tolist()
    keys = zip(table["instrument_id"].to_numpy().tolist(), days_of(table).tolist(), strict=True)
    return dict(zip(keys, zip(rights.tolist(), ends, strict=True), strict=True))
