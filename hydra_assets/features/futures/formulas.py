"""
Features of the futures curve.

Every function takes the `Panel` as known at one instant and the sessions *t* to answer for (positions on its axis, int64 of
shape (k,)), and gives `Values`; a window with fewer observations than a full one is ``partial``. Windows are sessions, so that a
gap shows; returns are taken within one contract, that of the later day. Vol and returns are decimals.

A settlement can be 0 or negative (crude oil on 2020-04-20). Such a day has no return, neither into it nor out of it, and no value of a
feature that needs the price's logarithm; it stays in the price differences, the choice of contracts, and every other feature.
"""

from collections.abc import Callable

import numpy as np

from hydra_assets.core.arrays import Bools, Floats, Ints
from hydra_assets.core.feature import Feature, Values, Window
from hydra_assets.core.report_dates import COLD_STORAGE, COT, HOGS_AND_PIGS, WASDE, next_release
from hydra_assets.core.tables.cash import MARKET_FORMULA, NEGOTIATED
from hydra_assets.features.cash.index import CASH_HOGS, STEPS_BACK
from hydra_assets.features.days import date_of
from hydra_assets.features.futures.cash_events import OLDEST
from hydra_assets.features.futures.panel import CASH, MEMORY, OPEN_INTEREST, SETTLEMENT, YEAR_S, Panel, positive
from hydra_assets.features.futures.readiness import (
    BAR,
    FIRST_THREE,
    FIRST_THREE_AT_ANY_LIMIT,
    FIRST_TWO,
    FRONT,
    FRONT_ALWAYS_NORMAL,
    FRONT_AND_YEAR_LATER,
    FRONT_ANY_INTEREST,
    FRONT_AT_ANY_LIMIT,
    INTEREST,
    SLOPE,
    TRADED,
    Readiness,
)
from hydra_assets.features.limits import UNKNOWN, is_locked
from hydra_assets.features.quality import DEGRADED, NORMAL, PARTIAL

DAYS_PER_YEAR = 252
EWM_SESSIONS = 252  # sessions that an exponential weighting sees
VOL_SPAN, VOL_MIN = 35, 29


Function = Callable[[Panel, Ints], Values]


# ---------------------------------------------------------------- building blocks


def _window(series: Floats, t: Ints, length: int, *, last: int = 0) -> Floats:
    """(k, length): the sessions that end *last* sessions from each t, oldest first."""
    return np.asarray(series[t[:, None] + np.arange(last - length + 1, last + 1)])


def _count(values: Floats) -> Ints:
    return np.asarray(np.isfinite(values).sum(axis=1))


def _enough(value: Floats, n: Ints, minimum: int, full: int) -> Values:
    return Values(np.where(n >= minimum, value, np.nan), _thin(n < full))


def _thin(fewer: Bools) -> Ints:
    return np.where(fewer, PARTIAL, NORMAL)


def _censored(panel: Panel, t: Ints, length: int, *, last: int = 0) -> Ints:
    """``degraded`` where a return of the window rests on a settlement at its price limit."""
    sessions = t[:, None] + np.arange(last - length + 1, last + 1)
    return np.where(panel.censored[sessions].any(axis=1), DEGRADED, NORMAL)


def _worst(found: Values, quality: Ints) -> Values:
    return Values(found.value, np.maximum(found.quality, quality))


def _weights(span: int) -> Floats:
    """Exponential weights over `EWM_SESSIONS` sessions, oldest first."""
    return np.asarray((1 - 2 / (span + 1)) ** np.arange(EWM_SESSIONS - 1, -1, -1, dtype=float))


def _ewma(values: Floats, span: int) -> Floats:
    weights = np.where(np.isfinite(values), _weights(span), 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.sum(weights * np.nan_to_num(values), axis=1) / weights.sum(axis=1))


def daily_vol(panel: Panel, t: Ints) -> tuple[Floats, Ints]:
    """
    Exponentially weighted standard deviation of the front return, span 35, demeaned and bias-corrected, over 252 sessions.

    Returns:
        The deviation a day, NaN below 29 returns in the last 35; and how many of those 35 there are.
    """
    r = _window(panel.returns, t, EWM_SESSIONS)
    weights = np.where(np.isfinite(r), _weights(VOL_SPAN), 0.0)
    r = np.nan_to_num(r)
    total, squares = weights.sum(axis=1), (weights**2).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.sum(weights * r, axis=1) / total
        variance = np.sum(weights * (r - mean[:, None]) ** 2, axis=1) / total * (total**2 / (total**2 - squares))
    n = _count(_window(panel.returns, t, VOL_SPAN))
    return np.where(n >= VOL_MIN, np.sqrt(variance), np.nan), n


def _years_before(panel: Panel, month: int, years: int, series: Floats) -> list[Floats]:
    """The finite values of *series* in the same calendar month of each of the *years* before, oldest first."""
    found = []
    for back in range(years, 0, -1):
        a, b = np.searchsorted(panel.month, [month - 12 * back, month - 12 * back + 1])
        part = series[a:b]
        found.append(part[np.isfinite(part)])
    return found


def _by_month(panel: Panel, t: Ints, answer: Callable[[int], tuple[float, int]]) -> tuple[Floats, Ints]:
    """*answer* for each t's calendar month: a number, and the count of years in it."""
    months, where = np.unique(panel.month[t], return_inverse=True)
    answers = [answer(int(month)) for month in months]
    return np.array([a for a, _ in answers])[where], np.array([n for _, n in answers])[where]


# ---------------------------------------------------------------- formulas


def return_sum(length: int, minimum: int) -> Function:
    """Sum of the last *length* one-day log returns of the front contract; a missing one adds nothing."""

    def summed(panel: Panel, t: Ints) -> Values:
        r = _window(panel.returns, t, length)
        return _worst(_enough(np.nansum(r, axis=1), _count(r), minimum, length), _censored(panel, t, length))

    return summed


def momentum(panel: Panel, t: Ints) -> Values:
    """Sum of returns from t-252 to t-21, both included. Source: Miffre & Rallis (2007), 12-1 momentum."""
    r = _window(panel.returns, t, 232, last=-21)
    return _worst(_enough(np.nansum(r, axis=1), _count(r), 200, 232), _censored(panel, t, 232, last=-21))


def ewmac(panel: Panel, t: Ints) -> Values:
    """EWMA16 - EWMA64 of the back-adjusted front price, in daily standard deviations of price. Source: Carver (2015), EWMAC."""
    moves = _window(panel.moves, t, EWM_SESSIONS)
    after = np.cumsum(np.nan_to_num(moves[:, :0:-1]), axis=1)[:, ::-1]  # what later days moved, for all but the last
    level = -np.concatenate([after, np.zeros((len(t), 1))], axis=1)  # the price relative to today's: a constant cancels
    vol, n_vol = daily_vol(panel, t)
    n = _count(_window(panel.moves, t, 64))
    value = (_ewma(level, 16) - _ewma(level, 64)) / (vol * positive(panel.price(t, 0)))
    return _worst(Values(np.where(n >= 52, value, np.nan), _thin((n < 64) | (n_vol < VOL_SPAN))), _censored(panel, t, 64))


def realised_vol(length: int, minimum: int) -> Function:
    """Annualised root of the mean squared return (zero mean) over *length* sessions."""

    def vol(panel: Panel, t: Ints) -> Values:
        r = _window(panel.returns, t, length)
        n = _count(r)
        found = _enough(np.sqrt(DAYS_PER_YEAR / np.maximum(n, 1) * np.nansum(r**2, axis=1)), n, minimum, length)
        return _worst(found, _censored(panel, t, length))

    return vol


def range_vol(panel: Panel, t: Ints) -> Values:
    """Annualised range volatility of the front contract over 21 sessions. Source: Parkinson (1980)."""
    squares = _window(panel.range2, t, 21)
    n = _count(squares)
    found = _enough(np.sqrt(DAYS_PER_YEAR / np.maximum(n, 1) * np.nansum(squares, axis=1)), n, 17, 21)
    mixed = (_window(panel.bar_quality.astype(float), t, 21) == PARTIAL).any(axis=1)  # a bar that is no whole session
    return Values(found.value, np.maximum(found.quality, _thin(mixed)))


def ewma_vol(panel: Panel, t: Ints) -> Values:
    """`daily_vol`, annualised."""
    vol, n = daily_vol(panel, t)
    return _worst(Values(vol * np.sqrt(DAYS_PER_YEAR), _thin(n < VOL_SPAN)), _censored(panel, t, VOL_SPAN))


def cash_basis(panel: Panel, t: Ints) -> Values:
    """Log of the newest cash index over the front contract; ``stale`` where that index is older than the weekday before."""
    index = panel.cells[CASH, t, 0]
    quality = np.where(np.isfinite(index), panel.qualities[CASH, t, 0], NORMAL).astype(np.int64)
    return Values(np.log(positive(index)) - np.log(positive(panel.price(t, 0))), quality)


def carry(panel: Panel, t: Ints) -> Values:
    """Log price difference of first to second contract a year of time between their expirations; positive in backwardation."""
    return Values(panel.carry[t])


def carry_vol(panel: Panel, t: Ints) -> Values:
    """EWMA, span 90, of carry over annualised volatility. Source: Carver (2015)."""
    every = np.unique(t[:, None] + np.arange(-EWM_SESSIONS + 1, 1))
    scaled = np.full(len(panel.days), np.nan)
    known = every[np.isfinite(panel.carry[every])]
    scaled[known] = panel.carry[known] / (daily_vol(panel, known)[0] * np.sqrt(DAYS_PER_YEAR)) if len(known) else np.nan
    n = _count(_window(scaled, t, 90))
    return _enough(_ewma(_window(scaled, t, EWM_SESSIONS), 90), n, 73, 90)


def carry_year(panel: Panel, t: Ints) -> Values:
    """Log difference of the front contract to the same delivery month a year later: carry without the season."""
    later = panel.at(SETTLEMENT, t, panel.year_leg[t])
    return Values(np.log(positive(panel.price(t, 0))) - np.log(positive(later)))


def carry_deseasoned(panel: Panel, t: Ints) -> Values:
    """Carry minus the median of all daily carries in the same calendar month of the five years before."""

    def usual(month: int) -> tuple[float, int]:
        years = [part for part in _years_before(panel, month, 5, panel.carry) if len(part) >= 10]
        return (float(np.median(np.concatenate(years))) if len(years) >= 3 else float("nan")), len(years)

    median, n = _by_month(panel, t, usual)
    return Values(panel.carry[t] - median, _thin(n < 5))


def curve_slope(panel: Panel, t: Ints) -> Values:
    """Slope of log settlement on time to expiration, least squares weighted by open interest, the first six legs with any."""
    legs = panel.slope[t]
    used = legs >= 0
    weight = np.where(used, panel.slope_oi[t], 0.0)
    logs = np.where(used, np.log(positive(panel.cells[SETTLEMENT, t[:, None], legs])), 0.0)
    tau = np.where(used, (panel.expiry_us[t[:, None], legs] - panel.expiry_us[t[:, None], legs[:, :1]]) / 1e6 / YEAR_S, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        total = weight.sum(axis=1)
        mean_tau, mean_log = (weight * tau).sum(axis=1) / total, (weight * logs).sum(axis=1) / total
        off = tau - mean_tau[:, None]
        slope = (weight * off * (logs - mean_log[:, None])).sum(axis=1) / (weight * off**2).sum(axis=1)
    return _enough(slope, used.sum(axis=1), 4, 6)


def curve_curvature(panel: Panel, t: Ints) -> Values:
    """Twice the distance of the second log price below the line from first to third: ln F1 - 2 ln F2 + ln F3 at equal spacing."""
    s1, s2, s3 = (np.log(positive(panel.price(t, leg))) for leg in range(3))
    near, far, whole = panel.years(t, 0, 1), panel.years(t, 1, 2), panel.years(t, 0, 2)
    return Values(2 * ((far * s1 + near * s3) / whole - s2))


def basis_momentum(panel: Panel, t: Ints) -> Values:
    """Compound simple return of the first contract minus that of the second, 252 sessions. Source: Boons & Prado (2019)."""
    first, second = (_window(panel.simple[leg], t, 252) for leg in range(2))
    both = np.isfinite(first) & np.isfinite(second)
    grown = [np.prod(np.where(both, 1 + r, 1.0), axis=1) for r in (first, second)]
    return _enough(grown[0] - grown[1], both.sum(axis=1), 204, 252)


def seasonal_return(panel: Panel, t: Ints) -> Values:
    """Mean front return of this calendar month in the ten years before, shrunk by n/(n+5)."""

    def usual(month: int) -> tuple[float, int]:
        years = [part.sum() for part in _years_before(panel, month, 10, panel.returns) if len(part) >= 15]
        n = len(years)
        return (float(np.mean(years)) * n / (n + 5) if n >= 5 else float("nan")), n

    value, n = _by_month(panel, t, usual)
    return Values(value, _thin(n < 10))


def season(wave: Callable[[Floats], Floats]) -> Function:
    """*wave* of the front contract's delivery month as a fraction of the year."""

    def of_month(panel: Panel, t: Ints) -> Values:
        front = panel.legs[t, 0]
        return Values(np.where(front >= 0, wave(2 * np.pi * (panel.delivery_month(t, front) % 12 + 1) / 12), np.nan))

    return of_month


def illiquidity(panel: Panel, t: Ints) -> Values:
    """Mean absolute return per billion dollars traded, 21 sessions to the one before. Source: Amihud (2002)."""
    days = _window(panel.illiquidity, t, 21, last=-1)
    n = _count(days)
    return _enough(np.nansum(days, axis=1) / np.maximum(n, 1), n, 17, 21)


def open_interest_change(panel: Panel, t: Ints) -> Values:
    """Log change of the open interest of all contracts over 20 sessions to the one before. Source: Hong & Yogo (2012)."""
    # Added one by one: a contract that is listed later must not change the last bit of an earlier sum.
    totals = [np.cumsum(np.nan_to_num(panel.cells[OPEN_INTEREST, t - back]), axis=1)[:, -1] for back in (1, 21)]
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.log(totals[0] / totals[1])
    inferred = (np.isfinite(panel.cells[OPEN_INTEREST, t - 21]) & (panel.qualities[OPEN_INTEREST, t - 21] == PARTIAL)).any(axis=1)
    return Values(np.where((totals[0] > 0) & (totals[1] > 0), change, np.nan), _thin(inferred))


def limit_lock(panel: Panel, t: Ints) -> Values:
    """Share of the first three contracts that settled at a price limit, up or down; of those whose limits are known."""
    codes = np.stack([panel.at_limit(t, panel.legs[t, leg]) for leg in range(3)], axis=1)
    known = codes != UNKNOWN
    return _enough(is_locked(codes).sum(axis=1) / np.maximum(known.sum(axis=1), 1), known.sum(axis=1), 1, 3)


def limit_room(panel: Panel, t: Ints) -> Values:
    """Distance of the front settlement to the nearer limit of its day, in daily standard deviations; 0 at the limit."""
    price, front = positive(panel.price(t, 0)), panel.legs[t, 0]
    low, high = panel.limits(t, front)
    vol, n = daily_vol(panel, t)
    inside = panel.at_limit(t, front) != UNKNOWN
    room = np.maximum(np.minimum(high - price, price - low), 0.0) / (vol * price)
    return Values(np.where(inside, room, np.nan), _thin(n < VOL_SPAN))


def days_to(report: str) -> Function:
    """Calendar days from each session to the next release of *report*, 0 on its day; ``partial`` where its publisher does not give it."""

    def days(panel: Panel, t: Ints) -> Values:
        found = [(date_of(day), next_release(report, date_of(day))) for day in panel.days[t]]
        value = [float("nan") if release is None else float((release.day - day).days) for day, release in found]
        return Values(np.array(value), _thin(np.array([release is not None and not release.verified for _, release in found], dtype=bool)))

    return days


# ---------------------------------------------------------------- the table

_SETTLED = (("stat", "settlement"),)
_INTEREST = (("stat", "open_interest"),)
_TRADED = (("stat", "cleared_volume"),)
_EVENING = "evening: the final settlement of the contracts that it needs, about 18:00 Chicago"
_EVENING_OR_REPORT = "evening and report: the final settlement of F1; a further row where the index comes later"
_MORNING_AHEAD = "morning: with the open interest of the day before; the date itself was public earlier"
_MORNING = "morning: volume and open interest of the day before, published on the next business day"
_BAR_END = "end of bar: the start of the daily bar plus one day"


def _row(
    name: str,
    function: Function,
    unit: str,
    formula: str,
    *,
    needs: Readiness = FRONT,
    back: int = 0,
    at_least: int = 1,
    other: tuple[Window, ...] = (),
    source: str = "CME settlements",
    availability: str = _EVENING,
) -> Feature:
    """
    One feature of the table.

    Args:
        name: as stored.
        function: its formula.
        unit: unit of its values.
        formula: for the catalogue.
        needs: when it has a row.
        back: how many sessions of settlements a value can touch; the choice of the contract of the earliest of them reaches
            `MEMORY` sessions further back.
        at_least: settlements that a value needs.
        other: its windows, where they are not these.
        source: for the catalogue.
        availability: for the catalogue.
    """
    statistics = "futures_statistics"
    settled = Window(statistics, -back - MEMORY, unit="sessions", at_least=at_least, where=_SETTLED)
    chosen = Window(statistics, -back - MEMORY, -1, unit="sessions", required=(), at_least=0, where=_INTEREST)
    limits = Window("futures_definitions", -back - 1, unit="sessions", required=(), at_least=0)
    return Feature(name, "futures", unit, function, other or (settled, chosen, limits), formula, source, availability, needs=needs)


_YEARS = 254  # more sessions than any year has
_MORNING_WINDOWS = (
    Window("futures_statistics", -26, -1, unit="sessions", required=(-1,), at_least=17, where=_SETTLED),
    Window("futures_statistics", -21, -1, unit="sessions", required=(-1,), at_least=17, where=_TRADED),
    Window("futures_statistics", -26, -2, unit="sessions", required=(), at_least=0, where=_INTEREST),
    Window("futures_definitions", -1, -1, unit="sessions", required=(), at_least=0),
)
_BAR_WINDOWS = (
    Window("futures_bars", -20, unit="sessions", at_least=17),
    Window("futures_statistics", -25, -1, unit="sessions", required=(), at_least=0, where=_INTEREST),
    Window("futures_statistics", -25, -1, unit="sessions", required=(), at_least=0, where=_SETTLED),
)

FEATURES = (
    _row("fut_ret_1d", return_sum(1, 1), "log", "ln(S_t / S_{t-1}), one contract", at_least=2),
    _row("fut_ret_5d", return_sum(5, 5), "log", "sum of the last 5 fut_ret_1d", back=4, at_least=6),
    _row("fut_ret_21d", return_sum(21, 17), "log", "sum of the last 21, min 17", back=20, at_least=17),
    _row("fut_mom_252_21", momentum, "log", "sum over t-252..t-21, min 200", back=252, at_least=200, source="Miffre & Rallis 2007"),
    _row("fut_ewmac_16_64", ewmac, "z", "(EWMA16 - EWMA64 of the back-adjusted price) / (sd F)", back=251, at_least=52, source="Carver"),
    _row("fut_rv_21", realised_vol(21, 17), "vol ann", "sqrt(252/n sum r^2), 21 sessions", back=20, at_least=17),
    _row("fut_rv_63", realised_vol(63, 51), "vol ann", "the same, 63 sessions", back=62, at_least=51),
    _row("fut_rv_252", realised_vol(252, 204), "vol ann", "the same, 252 sessions", back=251, at_least=204),
    _row(
        "fut_rv_pk_21",
        range_vol,
        "vol ann",
        "sqrt(252/n sum ln(H/L)^2 / (4 ln 2)), 21 sessions",
        needs=BAR,
        other=_BAR_WINDOWS,
        source="Parkinson 1980",
        availability=_BAR_END,
    ),
    _row("fut_rv_ewma", ewma_vol, "vol ann", "sd, span 35, x sqrt(252)", back=251, at_least=29, source="Carver"),
    _row(
        "fut_basis_cash",
        cash_basis,
        "log",
        "ln(CME Lean Hog Index / F1), the newest index of a weekday before t that was known, at most 3 weekdays old",
        other=(
            Window("futures_statistics", -MEMORY, unit="sessions", where=_SETTLED),
            Window("futures_statistics", -MEMORY, -1, unit="sessions", required=(), at_least=0, where=_INTEREST),
            *(
                Window(CASH_HOGS, -OLDEST - STEPS_BACK, -1, unit="weekdays", required=(), at_least=2, where=(("purchase_type", kind),))
                for kind in (NEGOTIATED, MARKET_FORMULA)
            ),
        ),
        source="HE settles to the index in cash; USDA LM_HG201",
        availability=_EVENING_OR_REPORT,
    ),
    _row("fut_carry_ann", carry, "1/yr", "(ln F1 - ln F2) / (tau2 - tau1)", needs=FIRST_TWO, source="Koijen et al. 2018"),
    _row(
        "fut_carry_vol",
        carry_vol,
        "ratio",
        "EWMA90 of fut_carry_ann / fut_rv_ewma",
        needs=FIRST_TWO,
        back=502,
        at_least=73,
        source="Carver",
    ),
    _row("fut_carry_yoy", carry_year, "1/yr", "ln F_i - ln F_{i+12m}, the same delivery month", needs=FRONT_AND_YEAR_LATER),
    _row(
        "fut_carry_deseas",
        carry_deseasoned,
        "1/yr",
        "fut_carry_ann - median of the same calendar month in 5 years, min 3",
        needs=FIRST_TWO,
        back=5 * _YEARS + 25,
        at_least=31,
    ),
    _row("fut_curve_slope", curve_slope, "1/yr", "slope of ln F_i on tau_i, weighted by open interest, 6 contracts, min 4", needs=SLOPE),
    _row("fut_curve_curv", curve_curvature, "log", "ln F1 - 2 ln F2 + ln F3, scaled for unequal spacing", needs=FIRST_THREE),
    _row(
        "fut_basis_mom",
        basis_momentum,
        "ratio",
        "prod(1 + R1) - prod(1 + R2), 252 sessions",
        needs=FIRST_TWO,
        back=251,
        at_least=204,
        source="Boons & Prado 2019",
    ),
    _row(
        "fut_seas_month",
        seasonal_return,
        "log",
        "mean F1 return of this calendar month in 10 years, min 5, x n/(n+5)",
        needs=FRONT_ANY_INTEREST,
        back=10 * _YEARS + 25,
        at_least=76,
    ),
    _row("fut_seas_sin", season(np.sin), "-", "sin(2 pi delivery month of F1 / 12)", needs=FRONT_ALWAYS_NORMAL),
    _row("fut_seas_cos", season(np.cos), "-", "cos(2 pi delivery month of F1 / 12)", needs=FRONT_ALWAYS_NORMAL),
    _row(
        "fut_limit_lock",
        limit_lock,
        "0..1",
        "share of the first three contracts that settled at a daily price limit, of those with known limits",
        needs=FIRST_THREE_AT_ANY_LIMIT,
        source="exchange definitions",
    ),
    _row(
        "fut_limit_room",
        limit_room,
        "sd",
        "min(high limit - F, F - low limit) / (sd F), F1 and its limits of the day",
        needs=FRONT_AT_ANY_LIMIT,
        back=251,
        at_least=29,
        source="exchange definitions",
    ),
    _row(
        "fut_amihud_21",
        illiquidity,
        "1/$bn",
        "mean |r| / (volume x multiplier x F) x 1e9, 21 sessions to t-1",
        needs=TRADED,
        other=_MORNING_WINDOWS,
        source="Amihud 2002",
        availability=_MORNING,
    ),
    _row(
        "fut_oi_chg_20",
        open_interest_change,
        "log",
        "ln(OI_{t-1} / OI_{t-21}), all contracts",
        needs=INTEREST,
        other=(Window("futures_statistics", -21, -1, unit="sessions", required=(-1,), at_least=2, where=_INTEREST),),
        source="Hong & Yogo 2012",
        availability=_MORNING,
    ),
    *(
        _row(
            f"cal_days_to_{report}",
            days_to(report),
            "days",
            f"calendar days from t to the next {title}, by what was public when t began; 0 on its day, null where none was",
            needs=INTEREST,
            other=(Window("futures_statistics", -2, -1, unit="sessions", required=(-1,), where=_INTEREST),),
            source=source,
            availability=_MORNING_AHEAD,
        )
        for report, title, source in (
            (HOGS_AND_PIGS, "USDA Hogs and Pigs", "core/report_dates.py: found dates, each with its page"),
            (COLD_STORAGE, "USDA Cold Storage", "core/report_dates.py: two dates found, no calendar"),
            (WASDE, "WASDE", "core/report_dates.py: 2020 and 2025, each with its page"),
            (COT, "Commitments of Traders", "the CFTC's rule, without shutdowns"),
        )
    ),
)
