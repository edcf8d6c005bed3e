"""The cash index that counts on each session: the newest one of the weekdays before it, as it became known."""

from collections.abc import Sequence

import numpy as np

from hydra_assets.core.arrays import Floats, Ints
from hydra_assets.features.cash.index import CashDay
from hydra_assets.features.days import weekday_number
from hydra_assets.features.quality import NORMAL, STALE

_NONE = float("nan"), NORMAL
OLDEST = 3  # weekdays before the session; an older index does not count


def cash_updates(days: Sequence[CashDay], sessions: Ints) -> tuple[Ints, Ints, Floats, Ints]:
    """
    Changes of the index that counts on a session.

    Args:
        days: every vintage of the index by day.
        sessions: days since 1970-01-01, ascending.

    Returns:
        Instant, position of the session, the index (NaN where none counts any more) and its quality, which is ``stale`` where the index is
        not that of the weekday before.
    """
    places: dict[int, list[int]] = {}
    own = weekday_number(sessions).tolist()
    for place, weekday in enumerate(own):
        for back in range(1, OLDEST + 1):
            places.setdefault(weekday - back, []).append(place)
    known: dict[int, tuple[float, int]] = {}
    standing: dict[int, tuple[float, int]] = {}
    found: list[tuple[int, int, float, int]] = []
    for day in sorted(days, key=lambda day: (day.at, day.day)):
        weekday = int(weekday_number(day.day))
        if day.index is None:
            known.pop(weekday, None)
        else:
            known[weekday] = (day.index, day.quality)
        for place in places.get(weekday, ()):
            counts = _newest(known, own[place])
            if counts != standing.get(place):
                standing[place] = counts
                found.append((day.at, place, *counts))
    at, session, value, quality = zip(*found, strict=True) if found else ((), (), (), ())
    return np.array(at, np.int64), np.array(session, np.int64), np.array(value, float), np.array(quality, np.int64)


def _newest(known: dict[int, tuple[float, int]], weekday: int) -> tuple[float, int]:
    for back in range(1, OLDEST + 1):
        if weekday - back in known:
            index, quality = known[weekday - back]
            return index, quality if back == 1 else max(quality, STALE)
    return _NONE
