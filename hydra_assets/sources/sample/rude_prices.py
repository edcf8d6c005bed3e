"""Bars and quotes on the clocks of the real exchange: pure functions from polite records to rude ones."""

import datetime as dt

import numpy as np

from hydra_assets.sources.sample.curve import chance
from hydra_assets.sources.sample.monthly import fixed_price, midnight
from hydra_assets.sources.sample.rude_product import Product
from hydra_assets.sources.sample.rude_seeds import date_of, number_of
from hydra_assets.sources.sample.rude_statistics import grain_delay, in_order

LIVESTOCK_HOURS, GRAIN_HOURS = dt.date(2014, 10, 27), dt.date(2013, 4, 8)  # from then on a UTC day is a session
EVENING = 0.08  # of the next session's volume trades before midnight UTC
SUNDAYS = 1 / 8  # with a bar of grains: 106 of 823
_POLITE_CUT = dt.time(13)


def long_hours(rows: np.ndarray, product: Product) -> np.ndarray:
    """Bars that end with the evening of the next session; some Sundays' bars of grains, and every Sunday's of energy."""
    received, sundays = product.received(rows), []
    owner, rows = product.owners(rows, received), rows.copy()
    until = number_of(GRAIN_HOURS if product.is_grain else LIVESTOCK_HOURS)
    for i in np.flatnonzero((owner >= 0) & (product.is_energy | (received < until))).tolist():
        contract, day = product.curve.contracts[owner[i]], date_of(received[i])
        following = product.curve.calendar.next_session(day)
        if following > contract.last_day:
            continue
        history, k = product.curve.at(contract, following)
        opened, volume = fixed_price(float(history.open[k])), int(history.volume[k])
        evening = rows[i : i + 1].copy()
        for name in ("open", "high", "low", "close"):
            evening[name] = opened
        evening["volume"] = max(1, round(volume * EVENING))
        sunday = following - dt.timedelta(1)
        if sunday.weekday() == 6:  # the evening of the next session is Sunday's
            if product.is_energy or (product.is_grain and chance(SUNDAYS, "sunday bar", product.curve.market.symbol, sunday)):
                evening["ts_event"] = midnight(sunday)
                sundays.append(evening)
            continue
        rows["high"][i], rows["low"][i] = max(rows["high"][i], opened), min(rows["low"][i], opened)
        rows["close"][i] = opened
        rows["volume"][i] += evening["volume"][0]
    joined = np.concatenate([rows, *sundays])
    return np.asarray(joined[np.argsort(joined["ts_event"], kind="stable")])


def grain_clock(rows: np.ndarray, product: Product) -> np.ndarray:
    """Grains' quotes a quarter of an hour later, or an hour where they settled on 14:00."""
    if not product.is_grain:
        return rows
    rows = rows.copy()
    delay = grain_delay(rows["ts_recv"], _POLITE_CUT).astype(np.uint64)
    traded = rows["ts_event"] < rows["ts_recv"] + delay
    rows["ts_recv"] += delay
    rows["ts_event"][traded] += delay[traded]
    return in_order(rows)
