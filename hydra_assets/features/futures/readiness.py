"""Rules by which a futures feature gets a row: the inputs that must be known, and the quality that they give."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hydra_assets.features.futures.panel import HIGH, OPEN_INTEREST, SETTLEMENT, VOLUME, Panel

Cell = tuple[int, int, int]  # kind, session, contract
Cells = Callable[[Panel, int], list[Cell] | None]
Leg = tuple[float, int, int]  # open interest, its age in sessions, the quality of its row
Legs = Callable[[Panel, int], list[Leg]]


@dataclass(frozen=True)
class Readiness:
    """
    One such rule, for a row of session t.

    Attributes:
        cells: the cells needed for a session; None where a contract that is needed does not exist.
        legs: open interest of the legs that quality looks at.
        kind: kind of which some cell must be known on session t + *offset* before the rule is looked at.
        offset: see *kind*.
        exclusive_kinds: kinds of which, on the last session of the window, nothing is used but what is needed: the first print of
            another contract there changes no row.
        ignore_thin: little open interest does not lower the quality; old open interest does.
        always_normal: the row's quality is ``normal`` throughout.
        ignores_locks: a settlement at its price limit that the row needs does not lower the quality.
        chain: offset of the session on which the contracts are chosen; None where none is.
    """

    cells: Cells
    legs: Legs
    kind: int = SETTLEMENT
    offset: int = 0
    exclusive_kinds: frozenset[int] = frozenset({SETTLEMENT})
    ignore_thin: bool = False
    always_normal: bool = False
    ignores_locks: bool = False
    chain: int | None = 0


def _settled(*which: int) -> Cells:
    def cells(panel: Panel, t: int) -> list[Cell] | None:
        legs = [int(panel.legs[t, leg]) for leg in which]
        return None if min(legs) < 0 else [(SETTLEMENT, t, leg) for leg in legs]

    return cells


def _legs(*which: int) -> Legs:
    return lambda panel, t: [(float(panel.legs_oi[t, leg]), int(panel.legs_age[t, leg]), int(panel.legs_quality[t, leg])) for leg in which]


def _year_cells(panel: Panel, t: int) -> list[Cell] | None:
    front, later = int(panel.legs[t, 0]), int(panel.year_leg[t])
    return None if front < 0 or later < 0 else [(SETTLEMENT, t, front), (SETTLEMENT, t, later)]


def _slope_cells(panel: Panel, t: int) -> list[Cell] | None:
    if panel.legs[t, 0] < 0:
        return None
    legs = panel.slope[t]
    return [(SETTLEMENT, t, int(leg)) for leg in legs[legs >= 0]] or None


def _year_legs(panel: Panel, t: int) -> list[Leg]:
    return [*_legs(0)(panel, t), (float(panel.year_oi[t]), int(panel.year_age[t]), int(panel.year_quality[t]))]


def _slope_legs(panel: Panel, t: int) -> list[Leg]:
    used = panel.slope[t] >= 0
    columns = (panel.slope_oi, panel.slope_age, panel.slope_quality)
    return [(float(oi), int(age), int(quality)) for oi, age, quality in zip(*(column[t][used] for column in columns), strict=True)]


def _bar_cells(panel: Panel, t: int) -> list[Cell] | None:
    front = int(panel.legs[t, 0])
    return None if front < 0 else [(HIGH, t, front)]


def _traded_cells(panel: Panel, t: int) -> list[Cell] | None:
    front = int(panel.legs[t - 1, 0])
    return None if front < 0 else [(VOLUME, t - 1, front), (SETTLEMENT, t - 1, front)]


def _interest_cells(panel: Panel, t: int) -> list[Cell] | None:
    contracts = np.flatnonzero((panel.cells[OPEN_INTEREST, t - 2] > 0) & (panel.last[t] > t - 1))
    return [(OPEN_INTEREST, t - 1, int(c)) for c in contracts] or None


FRONT = Readiness(_settled(0), _legs(0))
FRONT_ANY_INTEREST = Readiness(_settled(0), _legs())
FRONT_AT_ANY_LIMIT = Readiness(_settled(0), _legs(0), ignores_locks=True)
FRONT_ALWAYS_NORMAL = Readiness(_settled(0), _legs(), always_normal=True)
FIRST_TWO = Readiness(_settled(0, 1), _legs(0, 1))
FIRST_THREE = Readiness(_settled(0, 1, 2), _legs(0, 1, 2))
FIRST_THREE_AT_ANY_LIMIT = Readiness(_settled(0, 1, 2), _legs(0, 1, 2), ignores_locks=True)
FRONT_AND_YEAR_LATER = Readiness(_year_cells, _year_legs)
SLOPE = Readiness(_slope_cells, _slope_legs, ignore_thin=True)
BAR = Readiness(_bar_cells, _legs(0), kind=HIGH, exclusive_kinds=frozenset({HIGH}))
TRADED = Readiness(
    _traded_cells,
    lambda panel, t: _legs(0)(panel, t - 1),
    kind=VOLUME,
    offset=-1,
    exclusive_kinds=frozenset({SETTLEMENT, VOLUME}),
    chain=-1,
)
INTEREST = Readiness(_interest_cells, _legs(), kind=OPEN_INTEREST, offset=-1, exclusive_kinds=frozenset(), chain=None)
