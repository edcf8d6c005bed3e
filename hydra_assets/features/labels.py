"""
Labels: what a model is to foretell. Kept apart from features, since a label is known only after the fact.

Each comes with the instant at which it becomes known: a training set made at ``t`` may hold only labels known by ``t`` (purge the
others), and leave out those whose span meets the test's (embargo).
"""

import datetime as dt
import numbers
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

from hydra_assets.core.calendar import Calendar
from hydra_assets.core.instants import INSTANT, from_us, instants_us
from hydra_assets.core.label import PREFIX
from hydra_assets.core.market import calendar_of
from hydra_assets.errors import InvalidValueError
from hydra_assets.features.family import Inputs
from hydra_assets.features.futures.events import Events, apply, panel_and_events
from hydra_assets.features.futures.panel import SETTLEMENT, Panel

LONGEST_HORIZON = 2_520  # sessions; no contract of these markets lives longer
_TAILS = {"": pa.float64(), "__contract": pa.string(), "__known_at": INSTANT}


def session_counts(horizons: object) -> list[int]:
    """
    Horizons as whole numbers of sessions: one, or several in a list, range, array or pandas column.

    Raises:
        InvalidValueError: none of these, or one is below 1.
    """
    if hasattr(horizons, "to_pylist"):  # of Arrow
        horizons = horizons.to_pylist()
    elif isinstance(horizons, np.ndarray):
        horizons = np.atleast_1d(horizons)
    given = horizons if isinstance(horizons, Iterable) and not isinstance(horizons, str) else [horizons]
    counts = []
    for horizon in given:
        if not isinstance(horizon, numbers.Integral) or isinstance(horizon, bool) or int(horizon) < 1:
            raise InvalidValueError(f"horizons: {horizon!r} is no number of sessions ahead, 1 or more")
        if int(horizon) > LONGEST_HORIZON:
            raise InvalidValueError(f"horizons: {horizon} sessions are longer than {LONGEST_HORIZON}, some ten years")
        counts.append(int(horizon))
    return counts


def forward_returns(
    inputs: Inputs, *, market: str, times: Sequence[dt.datetime], horizons: Sequence[int], calendar: Calendar | None = None
) -> pa.Table:
    """
    Log returns over the next sessions, within one contract.

    At a time t the base is the newest session s whose front contract had settled by then. The contract is the front one of s,
    as known at t, or, where that has its last trade before s + h, the next by expiration that has settled on s and lives so
    long. The return runs from its first final settlement of s to that of s + h.

    Args:
        inputs: ``futures_statistics`` as it lies in the lake, every vintage.
        times: aware instants.
        market: symbol of the inputs' market.
        horizons: sessions ahead, each 1 or more.
        calendar: the market's; default that of the shipped market.

    Returns:
        ``market, time``, and for each h ``label_fwd_<h>d`` (log return, null where not known or no such settlement),
        ``label_fwd_<h>d__contract`` and ``label_fwd_<h>d__known_at``: the instant from which the label is known. A label that is
        null with a contract beside it has no logarithm: one of its settlements is 0 or less.

    Raises:
        InvalidValueError: a horizon below 1.
        InvalidTimeError: a naive time.
    """
    horizons = session_counts(horizons)
    requested = instants_us(times, what="times", rounding="floor").tolist()
    answers: dict[tuple[int, int], tuple[float | None, str, dt.datetime]] = {}
    made = panel_and_events(inputs, multiplier=1.0, calendar=calendar or calendar_of(market))
    if made is not None:
        panel, events = made
        firsts = _first_finals(events)
        at = 0
        for t in sorted(set(requested)):
            while at < len(events.at) and events.at[at] <= t:
                apply(panel, events, at)
                at += 1
            base, lives = _settled_contracts(panel)
            for h in horizons:
                contract = next((c for c in lives if panel.last[base, c] >= base + h), None)
                if contract is None:
                    continue
                begin, end = firsts.get((base, contract)), firsts.get((base + h, contract))
                if begin is not None and end is not None:
                    known = from_us(max(begin[1], end[1]))
                    grown = float(np.log(end[0] / begin[0])) if min(begin[0], end[0]) > 0 else None
                    answers[t, h] = (grown, panel.contracts[contract][0], known)
    columns: dict[str, list[object]] = {"market": [market] * len(requested), "time": [from_us(t) for t in requested]}
    for h in horizons:
        found = [answers.get((t, h), (None, None, None)) for t in requested]
        for i, tail in enumerate(_TAILS):
            columns[f"{PREFIX}fwd_{h}d{tail}"] = [answer[i] for answer in found]
    types = {"market": pa.string(), "time": INSTANT}
    for h in horizons:
        types |= {f"{PREFIX}fwd_{h}d{tail}": kind for tail, kind in _TAILS.items()}
    return pa.table({name: pa.array(values, types[name]) for name, values in columns.items()})


def _first_finals(events: Events) -> dict[tuple[int, int], tuple[float, int]]:
    """(session, contract) to the first final settlement and when it came; events are in order of time."""
    firsts: dict[tuple[int, int], tuple[float, int]] = {}
    rows = np.flatnonzero((events.kind == SETTLEMENT) & np.isfinite(events.value))
    columns = (getattr(events, name)[rows].tolist() for name in ("session", "contract", "value", "at"))
    for session, contract, value, at in zip(*columns, strict=True):
        firsts.setdefault((session, contract), (value, at))
    return firsts


def _settled_contracts(panel: Panel) -> tuple[int, list[int]]:
    """The newest session whose front contract has settled, and the contracts from it on that have settled too; -1 and none."""
    settled = np.isfinite(panel.cells[SETTLEMENT])
    for session in np.flatnonzero(settled.any(axis=1))[::-1].tolist():
        panel.chain(session)
        front = int(panel.legs[session, 0])
        if front >= 0 and settled[session, front]:
            return session, [c for c in np.flatnonzero(settled[session]).tolist() if c >= front]
    return -1, []
