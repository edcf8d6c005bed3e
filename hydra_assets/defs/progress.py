"""The line of a run's log that says a month is kept, written by the IO manager and counted by a command's progress bar."""

import re

from hydra_assets.core.months import Month

_LINE = re.compile(r"\S+ (\d{4}-\d\d): [\d,]+ rows, [\d,]+ new")


def month_line(market: str, month: Month, *, rows: int, new: int) -> str:
    """
    The line on one month of one table.

    >>> month_line("HE", Month(2025, 10), rows=1_200, new=3)
    'HE 2025-10: 1,200 rows, 3 new'
    """
    return f"{market} {month}: {rows:,} rows, {new:,} new"


def month_in(line: str) -> str | None:
    """
    The month that a line of `month_line` is on; None for any other line.

    >>> month_in("HE 2025-10: 1,200 rows, 3 new")
    '2025-10'
    """
    found = _LINE.fullmatch(line)
    return None if found is None else found[1]
