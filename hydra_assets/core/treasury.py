"""Publication of the US Treasury's daily par yield curve: at which hour, and on which days there is none."""

import datetime as dt
from zoneinfo import ZoneInfo

from hydra_assets.core.calendar import DatedTime

FIRST_YEAR = 1990  # of the daily par yields that the Treasury serves
_ZONE = ZoneInfo("America/New_York")
# The file has no stamp. Unverified: bid prices of about 15:30 are published the same evening, by 18:00 New York.
PUBLISHED = DatedTime(((dt.date(FIRST_YEAR, 1, 2), dt.time(18)),))
_MONDAY = 0
_CLOSED = frozenset({dt.date(2012, 10, 30)})  # the bond market stayed shut after the hurricane, futures did not


def published_at(day: dt.date) -> dt.datetime:
    """
    UTC instant at which the curve of *day* is out, by rule.

    >>> published_at(dt.date(2025, 7, 1)).isoformat()
    '2025-07-01T22:00:00+00:00'
    """
    return dt.datetime.combine(day, PUBLISHED.on(day), _ZONE).astimezone(dt.UTC)


def has_no_curve(day: dt.date) -> bool:
    """
    Whether futures trade on *day* and the bond market does not: Columbus Day, Veterans Day, and one storm.

    A Veterans Day on a Sunday is kept on Monday, one on a Saturday not at all.
    """
    columbus = day.month == 10 and day.weekday() == _MONDAY and 8 <= day.day <= 14
    veterans = day.month == 11 and (day.day == 11 or (day.day == 12 and day.weekday() == _MONDAY))
    return columbus or veterans or day in _CLOSED
