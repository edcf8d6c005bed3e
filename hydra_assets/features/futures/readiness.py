"""What must be known before a futures feature has a row, and what of it makes the row's quality."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from hydra_assets.features.futures.panel import HIGH, OPEN_INTEREST, SETTLEMENT, VOLUME, Panel

Cell = tuple[int, int, int]  # kind, session, contract


@dataclass(frozen=True)
class Need:
    """
    What must be known before there is a row, and what of it makes the row's quality.

    Attributes:
        cells: the cells needed for a session; None where a contract that is needed does not exist.
        legs: open interest and its age of the legs that quality looks at.
        whole: kinds of which, on the last session of the window, nothing is used but what is needed: the first print of
            another contract there changes no row.
        only_stale: thin legs are no fault, old open interest is.
        silent: the row's quality never says anything but ``normal``.
        chain: on which session, counted from the row's own, the contracts are chosen; None where none is.
    """

    cells: Callable[[Panel, int], list[Cell] | None]
    legs: Callable[[Panel, int], list[tuple[float, int]]]
    whole: frozenset[int] = frozenset({SETTLEMENT})
    only_stale: bool = False
    silent: bool = False
    chain: int | None = 0


def _settled(*which: int) -> Callable[[Panel, int], list[Cell] | None]:
    def cells(panel: Panel, t: int) -> list[Cell] | None:
        legs = [int(panel.legs[t, leg]) for leg in which]
        return None if min(legs) < 0 else [(SETTLEMENT, t, leg) for leg in legs]

    return cells


def _legs(*which: int) -> Callable[[Panel, int], list[tuple[float, int]]]:
    return lambda panel, t: [(float(panel.legs_oi[t, leg]), int(panel.legs_age[t, leg])) for leg in which]


def _year_cells(panel: Panel, t: int) -> list[Cell] | None:
    front, later = int(panel.legs[t, 0]), int(panel.year_leg[t])
    return None if front < 0 or later < 0 else [(SETTLEMENT, t, front), (SETTLEMENT, t, later)]


def _slope_cells(panel: Panel, t: int) -> list[Cell] | None:
    if panel.legs[t, 0] < 0:
        return None
    legs = panel.slope[t]
    return [(SETTLEMENT, t, int(leg)) for leg in legs[legs >= 0]] or None


def _slope_legs(panel: Panel, t: int) -> list[tuple[float, int]]:
    used = panel.slope[t] >= 0
    return [(float(oi), int(age)) for oi, age in zip(panel.slope_oi[t][used], panel.slope_age[t][used], strict=True)]


def _bar_cells(panel: Panel, t: int) -> list[Cell] | None:
    front = int(panel.legs[t, 0])
    return None if front < 0 else [(HIGH, t, front)]


def _traded_cells(panel: Panel, t: int) -> list[Cell] | None:
    front = int(panel.legs[t - 1, 0])
    return None if front < 0 else [(VOLUME, t - 1, front), (SETTLEMENT, t - 1, front)]


def _interest_cells(panel: Panel, t: int) -> list[Cell] | None:
    contracts = np.flatnonzero((panel.cells[OPEN_INTEREST, t - 2] > 0) & (panel.last > t - 1))
    return [(OPEN_INTEREST, t - 1, int(c)) for c in contracts] or None


NEEDS: Mapping[str, Need] = {
    "F1": Need(_settled(0), _legs(0)),
    "F1 plain": Need(_settled(0), _legs()),
    "F1 always": Need(_settled(0), _legs(), silent=True),
    "F1 F2": Need(_settled(0, 1), _legs(0, 1)),
    "F1 F2 F3": Need(_settled(0, 1, 2), _legs(0, 1, 2)),
    "F1 Fy": Need(_year_cells, lambda p, t: [*_legs(0)(p, t), (float(p.year_oi[t]), int(p.year_age[t]))]),
    "slope": Need(_slope_cells, _slope_legs, only_stale=True),
    "bar": Need(_bar_cells, _legs(0), whole=frozenset({HIGH})),
    "traded": Need(_traded_cells, lambda p, t: _legs(0)(p, t - 1), whole=frozenset({SETTLEMENT, VOLUME}), chain=-1),
    "interest": Need(_interest_cells, _legs(), whole=frozenset(), chain=None),
}
