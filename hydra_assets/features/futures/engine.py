"""
From vintages of a futures curve to feature vintages: each row on what was known at its own instant, a further one where that changed.

The inputs' arrivals are played through a `Panel` in order. A row is due when the last of its needs is known; it is computed
later, together with many others, but always before anything that it uses changes.
"""

import datetime as dt
import itertools
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from hydra_assets.core.arrays import Ints
from hydra_assets.core.feature import Feature
from hydra_assets.core.instants import instants
from hydra_assets.core.tables.features import FEATURE_SCHEMA
from hydra_assets.core.tables.table import QUALITIES
from hydra_assets.features.futures.arrivals import BARS, KINDS, Arrivals, Inputs, lay_out
from hydra_assets.features.futures.panel import HIGH, LOW, MEMORY, OPEN_INTEREST, SETTLEMENT, VOLUME, Panel
from hydra_assets.features.futures.readiness import NEEDS, Need
from hydra_assets.features.quality import DEGRADED, MISSING, NORMAL, PARTIAL, STALE
from hydra_assets.features.rows import TOLERANCE

MIN_OI = 50


class _Rule:
    """One rule of `NEEDS` under way: which sessions have a row, and since when."""

    def __init__(self, need: Need, sessions: int) -> None:
        self.need = need
        self.ready = np.zeros(sessions, dtype=bool)
        self.order: list[tuple[int, int]] = []  # session, instant; as they became ready
        self.newest = -1


class _Track:
    """One feature under way: what it last said of each session."""

    def __init__(self, feature: Feature, rule: _Rule, sessions: int) -> None:
        self.feature, self.rule = feature, rule
        self.said, self.quality = np.full(sessions, np.nan), np.full(sessions, -1, dtype=np.int8)
        self.computed = 0  # of rule.order
        self.reach: dict[int, tuple[int, int]] = {}
        for window in feature.windows:
            where = dict(window.where)
            kind = HIGH if window.dataset == BARS else KINDS[str(where["stat"])]
            first, last = self.reach.get(kind, (window.first, window.last))
            self.reach[kind] = (min(first, window.first), max(last, window.last))

    def touched(self, kind: int, session: int, *, first_print: bool) -> tuple[int, int] | None:
        """The sessions whose rows may use the cell, both ends in; None for none."""
        if kind not in self.reach:
            return None
        first, last = self.reach[kind]
        low = session - last + (1 if first_print and kind in self.rule.need.whole else 0)
        return (low, session - first) if low <= self.rule.newest else None


class Play:
    """
    All vintages of some features over one market's inputs.

    Args:
        start, end: inclusive days of ``as_of``; what comes before serves as history.
    """

    def __init__(self, panel: Panel, features: Sequence[Feature], *, start: dt.date | None, end: dt.date | None) -> None:
        self.panel = panel
        n = len(panel.days)
        self.first = 0 if start is None else int(np.searchsorted(panel.days, start.toordinal()))
        self.end = n - 1 if end is None else int(np.searchsorted(panel.days, end.toordinal(), side="right")) - 1
        self.rules = {name: _Rule(NEEDS[name], n) for name in dict.fromkeys(feature.needs for feature in features)}
        self.tracks = [_Track(feature, self.rules[feature.needs], n) for feature in features]
        self.counts = np.zeros((5, n), dtype=np.int64)
        self.rows: list[tuple[int, Ints, Ints, np.ndarray, np.ndarray]] = []  # track, sessions, instants, values, qualities
        self._memo: dict[tuple[str, int], tuple[bool, int]] = {}

    def run(self, arrivals: Arrivals) -> None:
        """Play all arrivals; `rows` holds the answer."""
        arrivals = arrivals.take(arrivals.session <= self.end)
        near = arrivals.session >= self.first - 1
        if not near.any():
            return
        # Before the first row that can be asked for, only the state matters, not its history.
        history = arrivals.at < arrivals.at[near].min()
        self._lay(arrivals.take(history))
        rest = arrivals.take(~history)
        columns = [getattr(rest, name).tolist() for name in ("kind", "session", "contract", "value", "low", "word")]
        edges = np.flatnonzero(np.r_[True, rest.at[1:] != rest.at[:-1], True]).tolist() if len(rest.at) else []
        at = rest.at.tolist()
        events = list(zip(*columns, strict=True))
        for a, b in itertools.pairwise(edges):
            self._step(at[a], events[a:b])
        for track in range(len(self.tracks)):
            self._catch_up(track)

    def _lay(self, past: Arrivals) -> None:
        panel = self.panel
        where = (past.kind, past.session, past.contract)
        panel.cells[where], panel.words[where] = past.value, past.word  # of a repeated cell the last, the newest, stays
        bars = past.kind == HIGH
        panel.cells[LOW, past.session[bars], past.contract[bars]] = past.low[bars]
        self.counts[:] = np.isfinite(panel.cells).sum(axis=2)

    def _step(self, now: int, events: Sequence[tuple[int, int, int, float, float, int]]) -> None:
        panel, cells, words = self.panel, self.panel.cells, self.panel.words
        changed = []
        for event in events:
            kind, session, contract, value, low, word = event
            old = cells[kind, session, contract]
            same = old == value or (old != old and value != value)
            if kind == HIGH and same:
                old_low = cells[LOW, session, contract]
                same = old_low == low or (old_low != old_low and low != low)
            if not same or words[kind, session, contract] != word:
                changed.append((event, bool(old != old)))
        if not changed:
            return
        late: dict[int, list[tuple[int, int]]] = {}
        for i, track in enumerate(self.tracks):
            for (kind, session, *_), first_print in changed:
                span = track.touched(kind, session, first_print=first_print)
                if span is not None:
                    late.setdefault(i, []).append(span)
        spans = {i: self._rows_in(i, parts) for i, parts in late.items()}
        spans = {i: rows for i, rows in spans.items() if len(rows)}
        for i in spans:
            self._catch_up(i)
        for (kind, session, contract, value, low, word), first_print in changed:
            panel.put(kind, session, contract, value, word)
            if kind == HIGH:
                panel.put(LOW, session, contract, low, word)
            self.counts[kind, session] += (1 if first_print else 0) - (1 if value != value else 0)
        self._memo.clear()
        self._look_for_ready(now, changed)
        for i, rows in spans.items():
            self._say(i, rows, np.full(len(rows), now))

    def _rows_in(self, i: int, spans: Sequence[tuple[int, int]]) -> Ints:
        hit = np.zeros(len(self.panel.days), dtype=bool)
        for low, high in spans:
            hit[max(low, 0) : max(high + 1, 0)] = True
        return np.flatnonzero(hit & self.tracks[i].rule.ready)

    def _look_for_ready(self, now: int, changed: Sequence[tuple[tuple[int, int, int, float, float, int], bool]]) -> None:
        last = min(self.end, len(self.panel.days) - 1)
        asked = {t for (kind, s, *_), _ in changed for t in (range(s, s + MEMORY + 2) if kind in (0, 1) else (s, s + 1))}
        for t in sorted(t for t in asked if self.first <= t <= last):
            settled = self.counts[SETTLEMENT, t]
            for name, rule in self.rules.items():
                if rule.ready[t]:
                    continue
                if name == "bar":
                    possible = self.counts[HIGH, t]
                elif name == "traded":
                    possible = self.counts[VOLUME, t - 1]
                elif name == "interest":
                    possible = self.counts[OPEN_INTEREST, t - 1]
                else:
                    possible = settled
                if possible and self._judge(name, t)[0]:
                    rule.ready[t] = True
                    rule.order.append((t, now))
                    rule.newest = max(rule.newest, t)

    def _judge(self, name: str, t: int) -> tuple[bool, int]:
        """Whether the needs of *t* are known, and the quality that they give."""
        held = self._memo.get((name, t))
        if held is not None:
            return held
        panel, need = self.panel, NEEDS[name]
        if need.chain is not None:
            panel.chain(t + need.chain)
        cells = need.cells(panel, t)
        known = cells is not None and all(panel.cells[cell] == panel.cells[cell] for cell in cells)
        quality = NORMAL
        if known and cells is not None and not need.silent:
            quality = max(int(panel.words[cell]) for cell in cells)
            for oi, age in need.legs(panel, t):
                if age > 1:
                    quality = max(quality, STALE)
                elif oi < MIN_OI and not need.only_stale:
                    quality = max(quality, DEGRADED)
        self._memo[name, t] = (known, quality)
        return known, quality

    def _catch_up(self, i: int) -> None:
        track = self.tracks[i]
        due = track.rule.order[track.computed :]
        track.computed = len(track.rule.order)
        if due:
            sessions, at = np.array(due, dtype=np.int64).T
            self._say(i, sessions, at)

    def _say(self, i: int, sessions: Ints, at: Ints) -> None:
        track, panel = self.tracks[i], self.panel
        panel.refresh(int(sessions.max()))
        with np.errstate(invalid="ignore", divide="ignore"):
            daily = track.feature.function(panel, sessions)
        judged = [self._judge(track.feature.needs, t) for t in sessions.tolist()]
        known = np.array([k for k, _ in judged])
        value = np.where(known & np.isfinite(daily.value), daily.value, np.nan)
        quality = np.maximum(np.array([q for _, q in judged]), np.where(daily.thin, PARTIAL, NORMAL))
        if track.rule.need.silent:
            quality[:] = NORMAL
        quality = np.where(np.isnan(value), MISSING, quality).astype(np.int8)
        old = track.said[sessions]
        moved = np.abs(value - old) > TOLERANCE * np.maximum(1, np.abs(old))
        new = (quality != track.quality[sessions]) | (np.isnan(value) != np.isnan(old)) | moved
        track.said[sessions], track.quality[sessions] = np.where(new, value, old), np.where(new, quality, track.quality[sessions])
        if new.any():
            self.rows.append((i, sessions[new], at[new], value[new], quality[new]))


def play(
    inputs: Inputs,
    features: Sequence[Feature],
    *,
    multiplier: float,
    start: dt.date | None,
    end: dt.date | None,
) -> Play | None:
    """The played-out inputs; None where there is not a row to play."""
    made = lay_out(inputs, multiplier=multiplier)
    if made is None:
        return None
    panel, arrivals = made
    played = Play(panel, features, start=start, end=end)
    played.run(arrivals)
    return played


def compute_daily(
    inputs: Inputs,
    features: Sequence[Feature],
    *,
    multiplier: float,
    start: dt.date | None,
    end: dt.date | None,
) -> pa.Table:
    """
    All vintages of *features*.

    Args:
        inputs: ``futures_statistics`` and ``futures_bars`` as they lie in the lake, every vintage, in any order.
        multiplier: dollars per price unit and contract.
        start, end: inclusive days of the answer's ``as_of``.
    Returns:
        FEATURE_SCHEMA, ordered by as_of, feature and available_at.
    """
    played = play(inputs, features, multiplier=multiplier, start=start, end=end)
    if played is None or not played.rows:
        return FEATURE_SCHEMA.empty_table()
    track = np.concatenate([np.full(len(rows[1]), rows[0]) for rows in played.rows])
    sessions, at, value, quality = (np.concatenate([rows[i] for rows in played.rows]) for i in range(1, 5))
    names = pa.array([feature.name for feature in features])
    units = pa.array([feature.unit for feature in features])
    table = pa.table(
        {
            "feature_name": names.take(pa.array(track)),
            "as_of": instants(played.panel.as_of[sessions]),
            "available_at": instants(at),
            "value": pa.array(value, mask=np.isnan(value)),
            "unit": units.take(pa.array(track)),
            "quality": pa.array(QUALITIES).take(pa.array(quality)),
        }
    )
    return table.sort_by([("as_of", "ascending"), ("feature_name", "ascending"), ("available_at", "ascending")]).cast(FEATURE_SCHEMA)
