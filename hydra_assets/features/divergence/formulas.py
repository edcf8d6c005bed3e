"""Options beside positioning, and how many strikes the 30-day smile rests on; computed from feature tables and fitted smiles."""

import datetime as dt
import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.core.arrays import Floats, Ints
from hydra_assets.core.feature import Feature, Window
from hydra_assets.core.instants import DAY_US, EPOCH, column_us
from hydra_assets.core.rows import rows_between
from hydra_assets.core.sessions import session_days
from hydra_assets.core.tables.features import FEATURE_SCHEMA
from hydra_assets.core.tables.options import OPTION_SMILES
from hydra_assets.errors import SchemaError
from hydra_assets.features.quality import MISSING, NORMAL, PARTIAL, quality_codes
from hydra_assets.features.rows import feature_rows, in_order, moved
from hydra_assets.features.vintages import Arrivals, Known, days_of, expand, require, unique_pairs

SESSIONS = 756  # 156 weeks
AT_LEAST = 504
REPORT_REACH = 35  # sessions: an older COT report says nothing of today
SKEW, POSITIONING, LEVEL = "opt_rr25_30", "cot_mm_z_156", "opt_atm_iv_30"
HORIZON = 30 / 365


def z_of_last(values: Floats) -> Floats:
    """
    z-score of the last of each row among the row's finite values, the last one included; NaN with fewer than 504, or all equal.

    >>> z_of_last(np.array([[1.0] * 252 + [3.0] * 252])).round(3).tolist()
    [0.999]
    """
    finite = np.isfinite(values)
    n = finite.sum(axis=1)
    held = np.where(finite, values, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = held.sum(axis=1) / n
        squares = (np.where(finite, values - mean[:, None], 0.0) ** 2).sum(axis=1)
        z = (values[:, -1] - mean) / np.sqrt(squares / (n - 1))
    spread = np.where(finite, values, -np.inf).max(axis=1) > np.where(finite, values, np.inf).min(axis=1)
    return np.asarray(np.where((n >= AT_LEAST) & spread, z, np.nan))


def compute_divergence(
    inputs: Mapping[str, pa.Table], features: Sequence[Feature], *, start: dt.date | None, end: dt.date | None
) -> pa.Table:
    """
    All vintages of *features*.

    Args:
        inputs: ``option_features``, ``cot_features`` and ``option_smiles`` as they lie in the lake, every vintage.
        start, end: inclusive days of the answer's ``as_of``.
    """
    absent = [name for name in ("option_features", "cot_features", "option_smiles") if name not in inputs]
    if absent:
        raise SchemaError(f"divergence: the inputs {absent} are missing; given are {sorted(inputs)}")
    for name in ("option_features", "cot_features"):
        require(inputs[name], FEATURE_SCHEMA.names, name)
    parts = [feature.function(inputs, feature, start, end) for feature in features]
    return in_order([part for part in parts if part.num_rows])


def _named(table: pa.Table, name: str) -> pa.Table:
    if not table.num_rows:
        return FEATURE_SCHEMA.empty_table()
    return table.filter(pc.equal(table["feature_name"], name)).combine_chunks()


def _cells(table: pa.Table) -> tuple[Ints, Ints, Floats, Ints]:
    """Day, instant, value and quality word of each row, in order of arrival."""
    at = column_us(table["available_at"], what="available_at", rounding="ceil")
    order = np.argsort(at, kind="stable")
    value = table["value"].to_numpy(zero_copy_only=False).astype(float)
    return days_of(table)[order], at[order], value[order], quality_codes(table["quality"]).astype(np.int64)[order]


def _divergence(inputs: Mapping[str, pa.Table], feature: Feature, start: dt.date | None, end: dt.date | None) -> pa.Table:
    skew, reports = _cells(_named(inputs["option_features"], SKEW)), _cells(_named(inputs["cot_features"], POSITIONING))
    if not len(skew[0]) or not len(reports[0]):
        return FEATURE_SCHEMA.empty_table()
    first, last = (EPOCH.date() + dt.timedelta(int(day)) for day in (skew[0].min(), skew[0].max()))
    sessions = np.array([(day - EPOCH.date()).days for day in session_days(first, last)], dtype=np.int64)
    n = len(sessions)
    low = 0 if start is None else int(np.searchsorted(sessions, (start - EPOCH.date()).days))
    high = n if end is None else int(np.searchsorted(sessions, (end - EPOCH.date()).days, side="right"))

    # What is known at the instant under way, by session (with a window's length of nothing in front) and by report.
    known, word = np.full(SESSIONS + n, np.nan), np.full(n, -1, dtype=np.int64)
    report: dict[int, tuple[float, int]] = {}
    events = sorted(
        [(at, 0, day, value, w) for day, at, value, w in zip(*(c.tolist() for c in skew), strict=True)]
        + [(at, 1, day, value, w) for day, at, value, w in zip(*(c.tolist() for c in reports), strict=True)]
    )
    out: list[tuple[Ints, Ints, Floats, Ints]] = []
    for at, group in itertools.groupby(events, key=lambda event: event[0]):
        touched: set[int] = set()
        for _, kind, day, value, w in group:
            if kind == 0:
                i = int(np.searchsorted(sessions, day))
                if i < n and sessions[i] == day:
                    known[SESSIONS + i], word[i] = value, w
                    touched.update(range(i, min(i + SESSIONS, n)))
            else:
                report[day] = (value, w)
                i = int(np.searchsorted(sessions, day))
                touched.update(range(i, min(i + REPORT_REACH + 1, n)))
        asked = np.array(sorted(t for t in touched if low <= t < high and word[t] >= 0), dtype=np.int64)
        if len(asked):
            out.append(_answers(asked, at, sessions, known, word, report))
    if not out:
        return FEATURE_SCHEMA.empty_table()
    t, at_us, values, words = (np.concatenate([part[i] for part in out]) for i in range(4))
    order = np.lexsort((at_us, t))
    t, at_us, values, words = t[order], at_us[order], values[order], words[order]
    keep = moved(t, values, words)
    return feature_rows(feature, sessions[t[keep]] * DAY_US, at_us[keep], values[keep], words[keep])


def _answers(
    asked: Ints, at: int, sessions: Ints, known: Floats, word: Ints, report: Mapping[int, tuple[float, int]]
) -> tuple[Ints, Ints, Floats, Ints]:
    """Rows of the sessions *asked* at one instant; a session without a report in reach has none yet."""
    days = np.array(sorted(report), dtype=np.int64)
    place = np.searchsorted(days, sessions[asked], side="right") - 1
    oldest = sessions[np.maximum(asked - REPORT_REACH, 0)]
    near = (place >= 0) & (days[np.maximum(place, 0)] >= oldest) if len(days) else np.zeros(len(asked), dtype=bool)
    asked, place = asked[near], place[near]
    windows = known[asked[:, None] + np.arange(1, SESSIONS + 1)]
    positioning = np.array([report[int(days[p])][0] for p in place], dtype=float)
    words = np.array([report[int(days[p])][1] for p in place], dtype=np.int64)
    value = z_of_last(windows) - positioning
    thin = np.isfinite(windows).sum(axis=1) < SESSIONS
    words = np.maximum(np.maximum(words, word[asked]), np.where(thin, PARTIAL, NORMAL))
    return asked, np.full(len(asked), at), value, np.where(np.isnan(value), MISSING, words)


def _liquid(inputs: Mapping[str, pa.Table], feature: Feature, start: dt.date | None, end: dt.date | None) -> pa.Table:
    level = rows_between(_named(inputs["option_features"], LEVEL), start, end)
    smiles = inputs["option_smiles"]
    require(smiles, OPTION_SMILES.schema.names, "option_smiles")
    smiles = rows_between(smiles, start, end)
    if not level.num_rows or not smiles.num_rows:
        return FEATURE_SCHEMA.empty_table()
    days = np.unique(days_of(level))
    ready: dict[int, int] = {}
    for day, at in zip(days_of(level).tolist(), column_us(level["available_at"], what="available_at").tolist(), strict=True):
        ready[day] = min(at, ready.get(day, at))
    smile_day = days_of(smiles)
    on = np.flatnonzero(np.isin(smile_day, days))
    key = np.stack([smile_day[on], column_us(smiles["expiration"], what="expiration")[on], smiles["underlying_id"].to_numpy()[on]])
    slices, cell = np.unique(key, axis=1, return_inverse=True)
    day_of = np.searchsorted(days, slices[0])
    begin = np.searchsorted(day_of, np.arange(len(days) + 1))
    first = np.array([ready[int(day)] for day in days], dtype=np.int64)
    every = np.arange(len(days))
    known = Known({"smile": Arrivals.of(smiles, cell.reshape(-1).astype(np.int64), on), "ready": Arrivals(every, first, every)})
    owner, rank = known.events("smile", np.arange(len(day_of)))
    states = (np.r_[day_of[owner], every].astype(np.int64), np.r_[rank, np.searchsorted(known.instants, first)].astype(np.int64))
    day, rank = unique_pairs(*states)
    live = known.instants[rank] >= first[day]
    day, rank = day[live], rank[live]
    state, place = expand(begin[day], np.diff(begin)[day])
    row = known.newest("smile", place, rank[state])
    state, row = state[row >= 0], row[row >= 0]
    tau = smiles["tau"].to_numpy()[row]
    order = np.lexsort((tau, np.abs(tau - HORIZON), state))
    nearest = order[np.r_[True, state[order][1:] != state[order][:-1]]]
    count = smiles["n_liquid"].to_numpy()[row[nearest]].astype(float)
    word = np.full(len(nearest), NORMAL, dtype=np.int64)
    day, rank = day[state[nearest]], rank[state[nearest]]
    keep = moved(day, count, word)
    return feature_rows(feature, days[day[keep]] * DAY_US, known.instants[rank[keep]], count[keep], word[keep])


FEATURES: tuple[Feature, ...] = (
    Feature(
        "div_opt_cot",
        "divergence",
        "z",
        _divergence,
        (
            Window("option_features", 1 - SESSIONS, unit="sessions", required=(), at_least=AT_LEAST, where=(("feature_name", SKEW),)),
            Window("cot_features", -REPORT_REACH, unit="sessions", required=(), where=(("feature_name", POSITIONING),)),
        ),
        "z of opt_rr25_30 in 756 sessions (min 504) - cot_mm_z_156 of the newest report; never (implied mean - F)/F",
        "-",
        "the later of both; further rows as reports come out",
    ),
    Feature(
        "diag_opt_n_liquid",
        "divergence",
        "count",
        _liquid,
        (
            Window("option_features", 0, unit="sessions", required=(), at_least=0, where=(("feature_name", LEVEL),)),
            Window("option_smiles", 0, unit="sessions"),
        ),
        "liquid strikes of the slice nearest 30 days; the fit's other diagnostics stand in option_smiles",
        "-",
        "as the options' features of the day",
    ),
)
