"""The livestock calendar's days, for callers that are not handed a market's calendar yet."""

import datetime as dt

from hydra_assets.core.calendar import LIVESTOCK

is_session = LIVESTOCK.is_session
session_days = LIVESTOCK.session_days


def sessions(start: dt.date, end: dt.date, *, at: str = "18:30") -> list[dt.datetime]:
    """One aware instant a livestock session: *at* o'clock Chicago on its day."""
    return LIVESTOCK.instants(start, end, at=at)
