"""Hand-made inputs of the divergence family: two years and a bit of skews, a report a week, two smiles a day; with revisions."""

import datetime as dt
import math

import pyarrow as pa

from hydra_assets.core.calendar import LIVESTOCK
from hydra_assets.core.tables.features import FEATURE_SCHEMA
from hydra_assets.core.tables.options import OPTION_SMILES
from hydra_assets_tests.support.futures_history import ct
from hydra_assets_tests.support.option_history import midnight

LAST = dt.date(2025, 11, 28)


def feature_row(name: str, day: dt.date, at: dt.datetime, value: float | None, quality="normal") -> dict:
    return {"feature_name": name, "as_of": midnight(day), "available_at": at, "value": value, "unit": "-", "quality": quality}


def smile(day: dt.date, at: dt.datetime, number: int, days_left: int, strikes: int) -> dict:
    row = {field.name: None for field in OPTION_SMILES.schema}
    return row | {
        **{"expiration": midnight(day + dt.timedelta(days_left)), "underlying": f"HE{number}", "underlying_id": number},
        **{"as_of": midnight(day), "available_at": at, "tau": days_left / 365, "model": "ssvi", "status": "full", "quality": "normal"},
        **{"n_liquid": strikes, "n_below": strikes // 2},
    }


def history(sessions: int = 560) -> dict[str, pa.Table]:
    """Inputs of `compute("divergence", …)` whose last *sessions* days end with `LAST`."""
    days = LIVESTOCK.session_days(LAST - dt.timedelta(2 * sessions), LAST)[-sessions:]
    options, smiles = [], []
    for i, day in enumerate(days):
        evening, morning = ct(day, "18:00", 10), ct(LIVESTOCK.next_session(day), "07:30")
        skew = 0.02 * math.sin(i / 9) + 0.00003 * i
        options.append(feature_row("opt_rr25_30", day, evening, skew))
        options.append(feature_row("opt_atm_iv_30", day, evening, 0.3))
        smiles += [smile(day, ct(day, "18:00", 5), 1, 20 + i % 7, 9 + i % 5), smile(day, ct(day, "18:00", 10), 2, 50, 12)]
        if i % 11 == 0:  # a settlement is corrected next morning
            options.append(feature_row("opt_rr25_30", day, morning, skew + 0.001, "degraded"))
            smiles.append(smile(day, morning, 1, 20 + i % 7, 8))
    reports = []
    for day in LIVESTOCK.session_days(days[0], LAST):
        if day.weekday() == 1:
            at = ct(day + dt.timedelta(3), "14:30")
            reports.append(feature_row("cot_mm_z_156", day, at, math.cos(day.toordinal() / 40)))
            if day.day < 8:
                reports.append(feature_row("cot_mm_z_156", day, at + dt.timedelta(10), math.cos(day.toordinal() / 40) + 0.5))
    return {
        "option_features": pa.Table.from_pylist(options, schema=FEATURE_SCHEMA),
        "cot_features": pa.Table.from_pylist(reports, schema=FEATURE_SCHEMA),
        "option_smiles": pa.Table.from_pylist(smiles, schema=OPTION_SMILES.schema),
    }
