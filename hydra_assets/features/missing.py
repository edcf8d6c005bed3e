"""Reasons why a feature has no value on a day: windows that are too thin, and smiles that cannot be read."""

import datetime as dt
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.core.calendar import Calendar
from hydra_assets.core.feature import Feature, Window
from hydra_assets.features.days import date_of, day_number, days_of, week_number, weekdays_between
from hydra_assets.features.windows import named

_SHORT = 0.9  # of a window's periods; fewer are worth a word where no requirement fails


def first_day(window: Window, as_of: dt.date) -> dt.date:
    """The earliest day that *window* of a value of *as_of* can reach."""
    if window.unit == "weeks":
        return as_of - dt.timedelta(weeks=1 - window.first)
    # 252 sessions a year at most; two weeks over for holidays.
    return as_of - dt.timedelta(days=14 - window.first * 366 // 248)


def thin_windows(feature: Feature, as_of: dt.date, known: Callable[[Window], pa.Table], calendar: Calendar) -> list[str]:
    """
    Name each declared window of *feature* that holds too little for a value, or where none does, each that is less than full.

    Args:
        feature: the feature without a value.
        as_of: the day that the row describes.
        known: rows of a window's input over its reach, as known at one instant.
        calendar: the market's.

    Returns:
        One sentence a window: the input, what it needs and what was known; empty where every window is full.
    """
    found, short = [], []
    for window in feature.windows:
        offsets = _offsets(window, as_of, _matching(known(window), window), calendar)
        source = " ".join([window.dataset, *(str(value) for _, value in window.where)])
        lacking = [offset for offset in window.required if offset not in offsets]
        held = sum(window.first <= offset <= window.last for offset in offsets)
        size = window.last - window.first + 1
        unit = window.unit.removesuffix("s") if window.at_least == 1 else window.unit
        if lacking:
            where = "the day itself" if lacking == [0] else ", ".join(f"{offset:+d} {window.unit}" for offset in lacking)
            found.append(f"{source}: no row known for {where}")
        elif held < window.at_least:
            found.append(f"{source}: {held} of the {window.at_least} {unit} needed in {size} were known")
        elif window.at_least and held < _SHORT * size:
            short.append(f"{source}: {held} of the {size} {window.unit} of its window were known")
    return found or short


def unread_smiles(smiles: pa.Table, as_of: dt.date) -> str:
    """Smiles of *as_of* by expiration, each with its days and its status; empty without one. *smiles*: `option_smiles` as known."""
    if not smiles.num_rows:
        return ""
    rows = smiles.filter(pa.array(days_of(smiles) == day_number(as_of))).sort_by("expiration").to_pylist()
    return ", ".join(f"{row['underlying']} in {round(row['tau'] * 365)} days {row['status']}" for row in rows)


def _matching(table: pa.Table, window: Window) -> pa.Table:
    if table.num_rows:  # one that was never written has no columns
        table = table.filter(named(table, window.where))
    if table.num_rows and "value" in table.column_names:
        table = table.filter(pc.is_valid(table["value"]))
    return table


def _offsets(window: Window, as_of: dt.date, rows: pa.Table, calendar: Calendar) -> set[int]:
    """Periods of *window* in which *rows* has one, counted from that of *as_of*."""
    if not rows.num_rows:
        return set()
    day, days = day_number(as_of), np.unique(days_of(rows))
    if window.unit == "weeks":
        return set((week_number(days) - week_number(day)).tolist())
    first, last = min(int(days[0]), day), max(int(days[-1]), day)
    weekdays = window.unit == "weekdays"
    axis = weekdays_between(first, last) if weekdays else calendar.session_numbers(date_of(first), date_of(last))
    return set((np.searchsorted(axis, days[np.isin(days, axis)]) - np.searchsorted(axis, day)).tolist())
