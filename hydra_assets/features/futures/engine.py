"""
Feature vintages of a futures curve: each row rests on what was known at its own instant, with a further one where that changed.

The inputs' events are applied to a `Panel` in order. A row is due when the last of its needs is known; it is computed later,
together with many others, but always before anything that it uses changes.
"""

import datetime as dt
import itertools
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.core.arrays import Bools, Floats, Ints, read_only
from hydra_assets.core.calendar import Calendar
from hydra_assets.core.feature import Feature, Values
from hydra_assets.core.market import CONTRACT_MULTIPLIERS
from hydra_assets.core.sealed.seal import run_sealed
from hydra_assets.core.tolerance import same_numbers
from hydra_assets.errors import SchemaError
from hydra_assets.features.cash.index import CASH_HOGS
from hydra_assets.features.days import day_number
from hydra_assets.features.family import Inputs, Request
from hydra_assets.features.futures.events import BARS, DEFINITIONS, KINDS, STATISTICS, Events, panel_and_events
from hydra_assets.features.futures.panel import CASH, CHOOSING, EXPIRATION, HIGH, LIMIT_HIGH, MEMORY, PAIRED, SETTLEMENT, Panel
from hydra_assets.features.futures.readiness import Readiness
from hydra_assets.features.quality import DEGRADED, MISSING, NORMAL, STALE
from hydra_assets.features.rows import concat_sorted, feature_rows

MIN_OI = 50
_ROWS = {BARS: HIGH, DEFINITIONS: LIMIT_HIGH, CASH_HOGS: CASH}  # tables whose rows are of one kind
Update = tuple[int, int, int, float, float, int]  # kind, session, contract, value, low, quality
Change = tuple[Update, bool]  # and whether it is the first print of its cell


def compute_futures(inputs: Inputs, features: Sequence[Feature], request: Request) -> pa.Table:
    """
    All vintages of *features*.

    Args:
        inputs: ``futures_statistics``, ``futures_bars``, ``futures_definitions`` and ``cash_hogs`` as they lie in the lake, every
            vintage, in any order. Without bars the features that need them have no rows; without a cash price the basis is null.
        features: those wanted.
        request: market, calendar and bounds of the answer's ``as_of``.

    Returns:
        FEATURE_SCHEMA, ordered by as_of, feature and available_at.

    Raises:
        SchemaError: no statistics, a column is missing, or the multiplier is unknown.
    """
    if STATISTICS not in inputs:
        raise SchemaError(f"{request.market} futures: the input {STATISTICS!r} is missing; given are {sorted(inputs)}")
    return feature_vintages(inputs, features, request, multiplier=_multiplier(inputs, request.market))


def feature_vintages(inputs: Inputs, features: Sequence[Feature], request: Request, *, multiplier: float) -> pa.Table:
    """`compute_futures` with the *multiplier* given, in dollars per price unit and contract."""
    engine = run_engine(
        inputs,
        features,
        multiplier=multiplier,
        calendar=request.calendar,
        start=request.start,
        end=request.end,
        known_at=request.known_at,
        windowed=request.windowed,
        negotiated_formula=request.rules.negotiated_formula,
    )
    return concat_sorted(engine.feature_rows() if engine else [])


def run_engine(
    inputs: Inputs,
    features: Sequence[Feature],
    *,
    multiplier: float,
    calendar: Calendar,
    start: dt.date | None,
    end: dt.date | None,
    known_at: dt.datetime | None = None,
    windowed: bool = False,
    negotiated_formula: bool = False,
) -> "VintageEngine | None":
    """The engine after all events of *inputs*; None without any."""
    made = panel_and_events(inputs, multiplier=multiplier, calendar=calendar, known_at=known_at, negotiated_formula=negotiated_formula)
    if made is None:
        return None
    panel, events = made
    engine = VintageEngine(panel, features, start=start, end=end, windowed=windowed)
    engine.run(events)
    return engine


def _multiplier(inputs: Inputs, market: str) -> float:
    """Dollars per price unit, as the contracts' definitions agree on it."""
    table = inputs.get("futures_definitions")
    stated = set(pc.unique(table["multiplier"]).to_pylist()) if table is not None and table.num_rows else set()
    if len(stated) > 1:
        raise SchemaError(f"{market} futures_definitions: several multipliers {sorted(stated)}; give one market's rows")
    if stated:
        return float(stated.pop())
    if market not in CONTRACT_MULTIPLIERS:
        raise SchemaError(f"{market} futures: the contract's multiplier is not known; give the input 'futures_definitions'")
    return CONTRACT_MULTIPLIERS[market]


class _RuleState:
    """One `Readiness` under way: the sessions that have a row, and since when."""

    def __init__(self, rule: Readiness, sessions: int) -> None:
        self.rule = rule
        self.ready = np.zeros(sessions, dtype=bool)
        self.order: list[tuple[int, int]] = []  # session, instant; as they became ready
        self.newest = -1
        self.cache: dict[int, tuple[bool, int]] = {}  # session to its readiness and quality at the instant under way


class _FeatureState:
    """One feature under way: what it last emitted of each session."""

    def __init__(self, feature: Feature, rule: _RuleState, sessions: int) -> None:
        self.feature, self.rule = feature, rule
        self.last_value, self.last_quality = np.full(sessions, np.nan), np.full(sessions, -1, dtype=np.int8)
        self.computed = 0  # of rule.order
        self.rows: list[tuple[Ints, Ints, Floats, Ints]] = []  # as emitted; see `vintages`
        self.windows: list[tuple[int, int, int]] = []  # kind, first and last offset
        self.reach: dict[int, tuple[int, int]] = {}
        for window in feature.windows:
            kind = _ROWS[window.dataset] if window.dataset in _ROWS else KINDS[str(dict(window.where)["stat"])]
            # A session's cell of the cash index holds what counts on it, from days before.
            first, last = (0, 0) if kind == CASH else (window.first, window.last)
            self.windows.append((kind, first, last))
            low, high = self.reach.get(kind, (first, last))
            self.reach[kind] = (min(low, first), max(high, last))

    def vintages(self) -> tuple[Ints, Ints, Floats, Ints] | None:
        """Sessions, instants, values and qualities of the rows, of one session and instant the last; None without any."""
        if not self.rows:
            return None
        sessions, at, value, quality = (np.concatenate(column) for column in zip(*self.rows, strict=True))
        order = np.lexsort((at, sessions))  # stable: of equal instants the later row stays behind
        last = np.r_[(np.diff(sessions[order]) != 0) | (np.diff(at[order]) != 0), True]
        kept = order[last]
        return sessions[kept], at[kept], value[kept], quality[kept]

    def touched(self, kind: int, session: int, *, first_print: bool) -> tuple[int, int] | None:
        """The sessions whose rows may use a print of the session, both ends in; None for none."""
        if kind not in self.reach:
            return None
        first, last = self.reach[kind]
        low = session - last + (1 if first_print and kind in self.rule.rule.exclusive_kinds else 0)
        return (low, session - first) if low <= self.rule.newest else None


class VintageEngine:
    """
    All vintages of some features over one market's inputs.

    Args:
        panel: an empty one.
        features: those to compute.
        start: earliest ``as_of`` day; what comes before serves as history.
        end: latest ``as_of`` day.
        windowed: compute each value by itself, from the cells of its windows alone.

    Attributes:
        states: one a feature, with its rows after `run`.
    """

    def __init__(
        self, panel: Panel, features: Sequence[Feature], *, start: dt.date | None, end: dt.date | None, windowed: bool = False
    ) -> None:
        self.panel, self._given, self._windowed = panel, panel.given(), windowed
        n = len(panel.days)
        self.first = 0 if start is None else int(np.searchsorted(panel.days, day_number(start)))
        self.end = n - 1 if end is None else int(np.searchsorted(panel.days, day_number(end), side="right")) - 1
        self.rules = {rule: _RuleState(rule, n) for rule in dict.fromkeys(feature.needs for feature in features)}
        self.states = [_FeatureState(feature, self.rules[feature.needs], n) for feature in features]
        self.counts = np.zeros(panel.cells.shape[:2], dtype=np.int64)  # known cells by kind and session

    def run(self, events: Events) -> None:
        """Apply all events."""
        events = events.take(events.session <= self.end)
        near = events.session >= self.first - 1
        if not near.any():
            return
        # Before the first row that can be asked for, only the state matters, not its history.
        history = events.at < events.at[near].min()
        self._load_history(events.take(history))
        rest = events.take(~history)
        columns = [getattr(rest, name).tolist() for name in ("kind", "session", "contract", "value", "low", "quality")]
        edges = np.flatnonzero(np.r_[True, rest.at[1:] != rest.at[:-1], True]).tolist() if len(rest.at) else []
        at = rest.at.tolist()
        updates = list(zip(*columns, strict=True))
        for a, b in itertools.pairwise(edges):
            self._step(at[a], updates[a:b])
        for state in self.states:
            self._flush(state)

    def feature_rows(self) -> list[pa.Table]:
        """FEATURE_SCHEMA of each feature that has rows."""
        parts = []
        for state in self.states:
            if (rows := state.vintages()) is not None:
                sessions, at, value, quality = rows
                parts.append(feature_rows(state.feature, self.panel.as_of[sessions], at, value, quality))
        return parts

    def _load_history(self, past: Events) -> None:
        panel = self.panel
        stated = past.kind == EXPIRATION
        for session, contract, at in zip(*(column[stated].tolist() for column in (past.session, past.contract, past.value)), strict=True):
            panel.state_expiration(session, contract, int(at))
        past = past.take(~stated)
        where = (past.kind, past.session, past.contract)
        panel.cells[where], panel.qualities[where] = past.value, past.quality  # of a repeated cell the last, the newest, stays
        for kind, other in PAIRED.items():
            both = past.kind == kind
            panel.cells[other, past.session[both], past.contract[both]] = past.low[both]
        self.counts[:] = np.isfinite(panel.cells).sum(axis=2)

    def _step(self, now: int, updates: Sequence[Update]) -> None:
        changes = self._changes(updates)
        if not changes:
            return
        late = []
        for state in self.states:
            # Another expiration moves the rows that the print which states it may move.
            spans = [
                state.touched(int(low) if kind == EXPIRATION else kind, s, first_print=first) for (kind, s, _, _, low, _), first in changes
            ]
            rows = self._ready_rows(state, [span for span in spans if span is not None])
            if len(rows):
                late.append((state, rows))
                self._flush(state)
        for update, first_print in changes:
            self._apply(update, first_print)
        for rule in self.rules.values():
            rule.cache.clear()
        self._mark_ready(now, changes)
        for state, rows in late:
            self._emit(state, rows, np.full(len(rows), now))

    def _changes(self, updates: Sequence[Update]) -> list[Change]:
        """The updates that differ from the cells."""
        cells, changes = self.panel.cells, []
        for update in updates:
            kind, session, contract, value, low, quality = update
            if kind == EXPIRATION:
                if not self.panel.states(session, contract, int(value)):
                    changes.append((update, False))
                continue
            old = cells[kind, session, contract]
            same = _same(old, value) and (kind not in PAIRED or _same(cells[PAIRED[kind], session, contract], low))
            if not same or self.panel.qualities[kind, session, contract] != quality:
                changes.append((update, bool(old != old)))
        return changes

    def _apply(self, update: Update, first_print: bool) -> None:
        kind, session, contract, value, low, quality = update
        if kind == EXPIRATION:
            self.panel.state_expiration(session, contract, int(value))
            return
        self.panel.put(kind, session, contract, value, quality)
        if kind in PAIRED:
            self.panel.put(PAIRED[kind], session, contract, low, quality)
        self.counts[kind, session] += (1 if first_print else 0) - (1 if value != value else 0)

    def _ready_rows(self, state: _FeatureState, spans: Sequence[tuple[int, int]]) -> Ints:
        hit = np.zeros(len(self.panel.days), dtype=bool)
        for low, high in spans:
            hit[max(low, 0) : max(high + 1, 0)] = True
        return np.flatnonzero(hit & state.rule.ready) if spans else np.zeros(0, dtype=np.int64)

    def _mark_ready(self, now: int, changes: Sequence[Change]) -> None:
        last = min(self.end, len(self.panel.days) - 1)
        near = {t for (kind, s, *_), _ in changes for t in (range(s, s + MEMORY + 2) if kind in (*CHOOSING, EXPIRATION) else (s, s + 1))}
        for t in sorted(t for t in near if self.first <= t <= last):
            for state in self.rules.values():
                possible = not state.ready[t] and self.counts[state.rule.kind, t + state.rule.offset]
                if possible and self._readiness(state, t)[0]:
                    state.ready[t] = True
                    state.order.append((t, now))
                    state.newest = max(state.newest, t)

    def _readiness(self, state: _RuleState, t: int) -> tuple[bool, int]:
        """Whether the needs of *t* are known, and the quality that they give."""
        if t in state.cache:
            return state.cache[t]
        panel, rule = self.panel, state.rule
        if rule.chain is not None:
            panel.chain(t + rule.chain)
        cells = rule.cells(panel, t)
        known = cells is not None and all(panel.cells[cell] == panel.cells[cell] for cell in cells)
        quality = NORMAL
        if known and cells is not None and not rule.always_normal:
            quality = max(int(panel.qualities[cell]) for cell in cells)
            for oi, age, of_row in rule.legs(panel, t):
                quality = max(quality, of_row)
                if age > 1:
                    quality = max(quality, STALE)
                elif oi < MIN_OI and not rule.ignore_thin:
                    quality = max(quality, DEGRADED)
        state.cache[t] = (known, quality)
        return known, quality

    def _flush(self, state: _FeatureState) -> None:
        """Compute the rows that became ready and have not been computed."""
        due = state.rule.order[state.computed :]
        state.computed = len(state.rule.order)
        if due:
            sessions, at = np.array(due, dtype=np.int64).T
            self._emit(state, sessions, at)

    def _emit(self, state: _FeatureState, sessions: Ints, at: Ints) -> None:
        """Compute rows, and keep those that differ from the last ones of their sessions."""
        panel, rule = self.panel, state.rule
        panel.refresh(int(sessions.max()))
        values = self._one_by_one(state, sessions) if self._windowed else _answers(state.feature, self._given, sessions)
        readiness = [self._readiness(rule, t) for t in sessions.tolist()]
        known = np.array([k for k, _ in readiness])
        value = np.where(known & np.isfinite(values.value), values.value, np.nan)
        quality = np.maximum(np.array([q for _, q in readiness]), values.quality)
        if LIMIT_HIGH in state.reach and not rule.rule.ignores_locks:
            quality = np.maximum(quality, np.where(self._rest_on_locks(rule.rule, sessions), DEGRADED, NORMAL))
        if rule.rule.always_normal:
            quality = np.full(len(sessions), NORMAL)
        quality = np.where(np.isnan(value), MISSING, quality).astype(np.int8)
        new = (quality != state.last_quality[sessions]) | ~same_numbers(value, state.last_value[sessions])
        state.last_value[sessions[new]], state.last_quality[sessions[new]] = value[new], quality[new]
        if new.any():
            # A figure complete before its day (Friday's open interest, out on Sunday, enters Monday's row) is known when the day begins.
            state.rows.append((sessions[new], np.maximum(at, panel.as_of[sessions])[new], value[new], quality[new]))

    def _rest_on_locks(self, rule: Readiness, sessions: Ints) -> Bools:
        """Whether a settlement that a row needs stands at its price limit."""
        panel = self.panel
        needed = (rule.cells(panel, t) or () for t in sessions.tolist())
        return np.array([any(kind == SETTLEMENT and panel.locked[t, c] for kind, t, c in cells) for cells in needed], dtype=bool)

    def _one_by_one(self, state: _FeatureState, sessions: Ints) -> Values:
        """The answers, each from a panel that holds the cells of its own windows alone."""
        one = [_answers(state.feature, self.panel.within(int(t), state.windows), np.array([t])) for t in sessions]
        quality = np.concatenate([np.broadcast_to(np.asarray(each.quality), 1) for each in one])
        return Values(np.concatenate([each.value for each in one]), quality)


def _answers(feature: Feature, panel: Panel, sessions: Ints) -> Values:
    """Result of the feature's function, checked for its shape."""
    with np.errstate(invalid="ignore", divide="ignore"):
        values: Values = run_sealed(feature, panel, read_only(sessions))
    if np.shape(values.value) != sessions.shape:
        raise SchemaError(f"{feature.name}: {np.shape(values.value)} values for {len(sessions)} sessions; give one a session")
    return values


def _same(old: float, new: float) -> bool:
    return bool(old == new or (old != old and new != new))
