"""Rows of ``cash_hogs`` for tests: the real days of February 2019, single days by hand, and a synthetic history with corrections."""

import csv
import datetime as dt
import random
from importlib.resources import files

import pyarrow as pa

from hydra_assets.core.tables.cash import CASH_HOGS, MARKET_FORMULA, NEGOTIATED, NEGOTIATED_FORMULA

UTC = dt.UTC
# The exchange's own numbers: index and daily average (2018-10-24, and ten days of February 2019).
PUBLISHED = {
    dt.date(2018, 10, 24): (65.03, 64.86),
    dt.date(2019, 2, 7): (56.53, 56.40),
    dt.date(2019, 2, 8): (56.14, 55.98),
    dt.date(2019, 2, 11): (55.91, 55.78),
    dt.date(2019, 2, 12): (55.55, 55.32),
    dt.date(2019, 2, 13): (55.24, 55.16),
    dt.date(2019, 2, 14): (55.02, 54.89),
    dt.date(2019, 2, 15): (54.74, 54.64),
    dt.date(2019, 2, 18): (54.43, 54.08),
    dt.date(2019, 2, 19): (54.13, 54.19),
    dt.date(2019, 2, 20): (54.06, 53.93),
}


def midnight(day):
    return dt.datetime.combine(day, dt.time(), UTC)


def next_morning(day):
    return midnight(day + dt.timedelta(1)) + dt.timedelta(hours=16)


def row(day, kind, head, price, weight, *, seen=None, quality="normal"):
    blank = dict.fromkeys(CASH_HOGS.schema.names)
    return blank | {
        "purchase_type": kind,
        "as_of": midnight(day),
        "available_at": seen or next_morning(day),
        "report_date": midnight(day + dt.timedelta(1)),
        "head_count": head,
        "avg_net_price": price,
        "avg_carcass_weight": weight,
        "quality": quality,
        "synthetic": False,
    }


def day_rows(day, negotiated, formula, **more):
    """Both counted purchase types of *day*; each (head, net price, carcass weight)."""
    return [row(day, NEGOTIATED, *negotiated, **more), row(day, MARKET_FORMULA, *formula, **more)]


def table(rows):
    return pa.Table.from_pylist(rows, schema=CASH_HOGS.schema)


def real_rows():
    """The days that the exchange's numbers above rest on."""
    text = (files("hydra_assets.sources.sample") / "lean_hogs_cash_2019_02.csv").read_text(encoding="utf-8")
    made = []
    for line in csv.DictReader(text.splitlines()):
        price, weight = (float(line[name]) if line[name] else None for name in ("avg_net_price", "avg_carcass_weight"))
        made.append(
            row(dt.date.fromisoformat(line["for_date_begin"]), line["purchase_type"], int(float(line["head_count"])), price, weight)
        )
    october = dt.date(2018, 10, 23), dt.date(2018, 10, 24)
    made += day_rows(october[0], (10276, 61.27, 202.74), (136535, 65.47, 211.51))
    made += day_rows(october[1], (10712, 61.47, 201.28), (134514, 65.12, 211.96))
    return made


def history(first, last, *, seed=1, corrections=0.1, holes=0.05, nulls=0.05):
    """Weekdays from *first* to *last*: some corrected days later, some late, some lost, some without a price."""
    rng, made, day = random.Random(seed), [], first
    while day <= last:
        if day.weekday() < 5 and rng.random() > holes:
            for kind, head, price, weight in USUAL:
                if rng.random() >= holes / 5:
                    made += vintages(rng, day, kind, (head, price, weight), corrections, nulls)
        day += dt.timedelta(1)
    rng.shuffle(made)
    return made


USUAL = ((NEGOTIATED, 8_000, 78.0, 203.0), (MARKET_FORMULA, 130_000, 80.0, 212.0), (NEGOTIATED_FORMULA, 1_000, 79.0, 210.0))


def vintages(rng, day, kind, usual, corrections, nulls):
    """The first print of a row, and a corrected one where there is one."""
    head, price, weight = usual
    unpriced = nulls if kind != NEGOTIATED_FORMULA else 0.8

    def paid():
        return None if rng.random() < unpriced else round(price * rng.uniform(0.95, 1.05), 2)

    seen = next_morning(day) + dt.timedelta(days=rng.choice((0, 0, 0, 0, 0, 0, 0, 0, 2, 9)))
    hogs, pounds = int(head * rng.uniform(0.8, 1.2)), round(weight * rng.uniform(0.99, 1.01), 2)
    made = [row(day, kind, hogs, paid(), pounds, seen=seen, quality=rng.choice(("normal", "normal", "partial")))]
    if rng.random() < corrections:
        later = dt.timedelta(days=rng.choice((1, 3, 8)), microseconds=rng.randrange(10**6))
        made.append(row(day, kind, hogs, paid(), pounds, seen=seen + later))
    return made
