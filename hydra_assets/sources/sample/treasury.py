"""
The Treasury's yearly files as the embedded vendor serves them.

A few rows are the Treasury's own (public domain); every other one is synthetic: a level and a slope that follow the years roughly.
From December 2024 on the synthetic curve is flat, at the yield whose continuous rate is 4.5 % a year. The column ``synthetic``
(1 or 0) marks each row. A day is in the file once it is out.
"""

import datetime as dt
import re

import numpy as np

from hydra_assets.core.calendar import LIVESTOCK
from hydra_assets.core.tables.rates import TENORS
from hydra_assets.core.treasury import has_no_curve, published_at
from hydra_assets.sources.sample.side import Reply, Request, Served, Side
from hydra_assets.sources.treasury import PATH
from hydra_assets.sources.treasury_parse import SYNTHETIC

_YEAR = re.compile(re.escape(PATH).replace(r"\{year\}", r"(\d{4})") + r"\?type=daily_treasury_yield_curve&field_tdr_date_value=(\d{4})&.*")
# First day of the tenors that were added later.
_SINCE = {"par_2m": dt.date(2018, 10, 16), "par_4m": dt.date(2022, 10, 19), "par_1m5": dt.date(2025, 2, 18)}
_SHORT, _ALL = ("par_1m", "par_2m", "par_3m", "par_4m", "par_6m", "par_1y", "par_2y"), tuple(TENORS)
_REAL: tuple[tuple[dt.date, tuple[str, ...], tuple[float, ...]], ...] = (
    (dt.date(2024, 9, 3), _SHORT, (5.38, 5.31, 5.19, 5.10, 4.80, 4.35, 3.88)),
    (dt.date(2026, 1, 2), _ALL, (3.72, 3.71, 3.66, 3.65, 3.62, 3.58, 3.47, 3.47, 3.55, 3.74, 3.95, 4.19, 4.81, 4.86)),
    (dt.date(2026, 1, 5), _ALL, (3.71, 3.68, 3.64, 3.64, 3.61, 3.57, 3.47, 3.46, 3.53, 3.71, 3.92, 4.17, 4.79, 4.85)),
    (dt.date(2026, 10, 1), _ALL, (4.06, 4.10, 4.13, 4.17, 4.26, 4.27, 4.44, 4.78, 4.91, 5.01, 5.12, 5.24, 5.64, 5.61)),
    (dt.date(2026, 10, 2), _ALL, (4.04, 4.09, 4.11, 4.19, 4.26, 4.27, 4.46, 4.83, 4.96, 5.06, 5.17, 5.28, 5.67, 5.63)),
)
REAL = {day: dict(zip(columns, yields, strict=True)) for day, columns, yields in _REAL}
# Day, yield of the shortest tenor in per cent, and how much more the ten-year one has; straight lines in between.
_FLAT = 4.551  # 2 ln(1 + y / 2) is 0.045
_PATH = (
    (dt.date(2010, 1, 4), 0.10, 3.0),
    (dt.date(2015, 11, 2), 0.05, 2.1),
    (dt.date(2015, 12, 17), 0.25, 2.0),
    (dt.date(2018, 12, 20), 2.40, 0.5),
    (dt.date(2019, 7, 31), 2.15, -0.2),
    (dt.date(2020, 2, 28), 1.50, -0.3),
    (dt.date(2020, 3, 17), 0.05, 0.8),
    (dt.date(2022, 3, 17), 0.30, 1.9),
    (dt.date(2023, 7, 27), 5.40, -1.4),
    (dt.date(2024, 9, 18), 5.30, -1.5),
    (dt.date(2024, 12, 2), _FLAT, 0.0),
)
_TEN_YEARS = 10.0


def synthetic_yield(day: dt.date, years: float | np.ndarray) -> np.ndarray:
    """Par yield of *day* at tenors of *years*, per cent, before it is rounded to two decimals."""
    at = [point.toordinal() for point, *_ in _PATH]
    level = np.interp(day.toordinal(), at, [level for _, level, _ in _PATH])
    slope = np.interp(day.toordinal(), at, [slope for *_, slope in _PATH])
    return np.asarray(np.maximum(level + slope * np.minimum(np.asarray(years) / _TEN_YEARS, 1.0), 0.01))


def rate_of(day: dt.date, years: np.ndarray) -> np.ndarray:
    """Continuous rate of the synthetic curve of *day*, decimals a year."""
    return np.asarray(2 * np.log1p(synthetic_yield(day, years) / 200))


_PAGE = b"<!DOCTYPE html>\n<html><title>Page not found</title></html>\n"


class FakeTreasury(Side):
    """Answers requests to ``/resource-center/...``."""

    prefix = "/resource-center/"

    def __init__(self, served: Served) -> None:
        self._now = served.now

    def answer(self, request: Request) -> Reply:
        """The file of a year that has begun; a page, with status 200 as the real one, for what is no file."""
        match = _YEAR.fullmatch(request.target)
        if match is None or match[1] != match[2]:
            return Reply(200, {"Content-Type": "text/html; charset=utf-8"}, _PAGE)
        return Reply(200, {"Content-Type": "text/csv", "X-Data": "synthetic, but for a few days"}, year_file(int(match[1]), self._now()))


def year_file(year: int, now: dt.datetime) -> bytes:
    """The file of *year* as it stood at *now*, newest day first."""
    last = dt.date(year, 12, 31)
    tenors = [column for column in TENORS if _SINCE.get(column, last) <= last]
    days = {day for day in LIVESTOCK.session_days(dt.date(year, 1, 1), last) if not has_no_curve(day)}
    days |= {day for day in REAL if day.year == year}
    lines = [",".join(["Date", *(f'"{TENORS[column][0]}"' for column in tenors), SYNTHETIC])]
    for day in sorted((day for day in days if published_at(day) <= now), reverse=True):
        there = [column for column in TENORS if _SINCE.get(column, day) <= day]
        cells = REAL.get(day) or {column: synthetic_yield(day, TENORS[column][1] / 12).item() for column in there}
        written = [f"{cells[column]:.2f}" if column in cells else "" for column in tenors]
        lines.append(",".join([f"{day:%m/%d/%Y}", *written, "0" if day in REAL else "1"]))
    return ("\r\n".join(lines) + "\r\n").encode()
