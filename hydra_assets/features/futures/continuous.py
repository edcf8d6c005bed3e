"""The continuous series: the first contract of each session, its settlement, and the price differences at rolls."""

import datetime as dt
from collections.abc import Mapping
from typing import Literal

import numpy as np
import pyarrow as pa

from hydra_assets.core.arrays import Ints
from hydra_assets.core.calendar import DEFAULT_CALENDAR, Calendar
from hydra_assets.core.feature import Feature, Values, Window
from hydra_assets.core.instants import instants
from hydra_assets.core.tables.futures import FUTURES_CONTINUOUS
from hydra_assets.core.tables.table import QUALITIES
from hydra_assets.errors import InvalidValueError
from hydra_assets.features.columns import nullable
from hydra_assets.features.futures.engine import run_engine
from hydra_assets.features.futures.panel import MEMORY, SETTLEMENT, Panel, positive
from hydra_assets.features.futures.readiness import FRONT

Method = Literal["difference", "ratio", "none"]
METHODS = ("difference", "ratio", "none")


def _front(panel: Panel, t: Ints) -> Values:
    return Values(panel.legs[t, 0].astype(float))


def _settlement(panel: Panel, t: Ints) -> Values:
    return Values(panel.price(t, 0))


def _rolled(panel: Panel, t: Ints) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    Whether the front contract changed since the newest of five sessions that has a row, and both settlements where both have one.

    A session whose own front has not settled has no row: the roll into it is carried on to the next session that has one.
    """
    new, old = panel.legs[t, 0], panel.legs[t - 1, 0]
    found, several = np.zeros(len(t), dtype=bool), np.zeros(len(t), dtype=bool)
    for back in range(1, MEMORY + 1):
        front = panel.legs[t - back, 0]
        newest = ~found & np.isfinite(panel.at(SETTLEMENT, t - back, front))
        old, found, several = np.where(newest, front, old), found | newest, several | (front != new)
    after, before = np.full(len(t), np.nan), np.full(len(t), np.nan)
    for back in range(1, MEMORY + 1):
        a, b = panel.at(SETTLEMENT, t - back, new), panel.at(SETTLEMENT, t - back, old)
        fits = np.isnan(after) & np.isfinite(a) & np.isfinite(b)
        after, before = np.where(fits, a, after), np.where(fits, b, before)
    return np.where(found, new != old, several), after, before


def _difference(panel: Panel, t: Ints) -> Values:
    rolled, after, before = _rolled(panel, t)
    return Values(np.where(rolled, after - before, 0.0))


def _ratio(panel: Panel, t: Ints) -> Values:
    rolled, after, before = _rolled(panel, t)
    return Values(np.where(rolled, positive(after) / positive(before), 1.0))


def _expiration(panel: Panel, t: Ints) -> Values:
    front = panel.legs[t, 0]
    return Values(np.where(front >= 0, panel.expiry_us[t, front], np.nan))


# The front of five sessions before rests on the five before that one.
_WINDOWS = (
    Window("futures_statistics", -2 * MEMORY, unit="sessions", where=(("stat", "settlement"),)),
    Window("futures_statistics", -2 * MEMORY, -1, unit="sessions", required=(), at_least=0, where=(("stat", "open_interest"),)),
)
COLUMNS = tuple(
    Feature(name, "futures", "", function, _WINDOWS, "", "", "", needs=FRONT)
    for name, function in (
        ("contract", _front),
        ("settlement", _settlement),
        ("roll_difference", _difference),
        ("roll_ratio", _ratio),
        ("expiration", _expiration),
    )
)


def build_continuous(
    inputs: Mapping[str, pa.Table],
    *,
    calendar: Calendar = DEFAULT_CALENDAR,
    start: dt.date | None = None,
    end: dt.date | None = None,
    known_at: dt.datetime | None = None,
) -> pa.Table:
    """
    All vintages of the continuous series: a row when the front contract's final settlement is known, a further one when it changes.

    Args:
        inputs: ``futures_statistics`` as it lies in the lake, every vintage.
        calendar: the market's.
        start: earliest ``as_of`` day of the answer.
        end: latest ``as_of`` day of the answer.
        known_at: as in `compute`.

    Returns:
        FUTURES_CONTINUOUS. ``roll_difference`` and ``roll_ratio`` compare the new contract with the old one on the newest of
        the five sessions before at which both have settled; null where there is none, the ratio also where one of both settled at 0
        or less.
    """
    engine = run_engine(inputs, COLUMNS, multiplier=1.0, calendar=calendar, start=start, end=end, known_at=known_at)
    columns = [state.vintages() for state in engine.states] if engine else []
    if engine is None or not any(columns):
        return FUTURES_CONTINUOUS.schema.empty_table()
    # Each column changes at instants of its own; a row of the table holds all as they stood then.
    changes: dict[tuple[int, int], dict[int, tuple[float, int]]] = {}
    for column, vintages in enumerate(columns):
        for t, at, value, quality in zip(*(part.tolist() for part in vintages or ()), strict=True):
            changes.setdefault((t, at), {})[column] = (value, quality)
    rows: list[tuple[int, int, list[float], int]] = []
    current: dict[int, dict[int, tuple[float, int]]] = {}
    for t, at in sorted(changes):
        cells = current.setdefault(t, {})
        cells.update(changes[t, at])
        # A roll that cannot be measured leaves the settlement as good as it is.
        rows.append((t, at, [cells[column][0] for column in range(len(COLUMNS))], cells[1][1]))
    contracts = [engine.panel.contracts[int(v[0])] if v[0] == v[0] else None for _, _, v, _ in rows]

    def number(i: int) -> pa.Array:
        return nullable(np.array([values[i] for _, _, values, _ in rows]))

    table = pa.table(
        {
            "as_of": instants(engine.panel.as_of[[t for t, *_ in rows]]),
            "available_at": instants(np.array([at for _, at, *_ in rows])),
            "contract": pa.array([c and c[0] for c in contracts], pa.string()),
            "expiration": pa.array([int(v[4]) if v[4] == v[4] else None for _, _, v, _ in rows], pa.int64()).cast(
                pa.timestamp("us", tz="UTC")
            ),
            "settlement": number(1),
            "roll_difference": number(2),
            "roll_ratio": number(3),
            "quality": pa.array([QUALITIES[quality] for *_, quality in rows]),
        }
    )
    return FUTURES_CONTINUOUS.conform(table)


def adjusted(known: pa.Table, method: Method = "difference") -> pa.Table:
    """
    The series with a column ``price``, anchored at its newest day, from rows as known at one instant.

    Args:
        known: FUTURES_CONTINUOUS, one row a day.
        method: ``difference`` adds the price differences of later rolls, ``ratio`` multiplies by their ratios, ``none`` leaves
            the settlements with their jumps.

    Returns:
        ``as_of, contract, expiration, settlement, price, quality`` in order of as_of. Before a roll that could not be measured
        the price is null: how far apart the two contracts were is not known.

    Raises:
        InvalidValueError: no such method.
    """
    if method not in METHODS:
        raise InvalidValueError(f"method={method!r}; choose one of {', '.join(METHODS)}")
    known = known.sort_by("as_of")
    settlement = known["settlement"].to_numpy(zero_copy_only=False).astype(float)
    if method == "none" or not known.num_rows:
        price = settlement
    else:
        column = known["roll_difference" if method == "difference" else "roll_ratio"].to_numpy(zero_copy_only=False).astype(float)
        neutral = 0.0 if method == "difference" else 1.0
        # Every row is moved by the rolls behind it: the series is adjusted as known at one instant.
        later = np.r_[column[1:], neutral][::-1]  # lookahead-ok: rolls known at the reader's own instant
        added = np.cumsum(later)[::-1] if method == "difference" else np.zeros(0)  # lookahead-ok: as above
        price = settlement + added if method == "difference" else settlement * np.cumprod(later)[::-1]  # lookahead-ok: as above
    kept = known.select(["as_of", "contract", "expiration", "settlement", "quality"])
    return kept.add_column(4, "price", nullable(price))
