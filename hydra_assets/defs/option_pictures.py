"""Smiles with their quotes, densities and the term structure of volatility: what a trader looks at beside the options' tables."""

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.core.months import Month
from hydra_assets.core.tables.features import OPTION_FEATURES
from hydra_assets.core.tables.options import OPTION_CHAIN, OPTION_SMILES
from hydra_assets.defs.pictures import Facts, by_date, picture_of, positioning, synthetic_note, table_of, term_structure
from hydra_assets.features.options.smiles import svi_of
from hydra_assets.options.density import density
from hydra_assets.storage.lake import ParquetLake

SHOWN = 3  # expirations in one picture
_COLOURS = ("#1f77b4", "#d62728", "#2ca02c")


def _newest_smiles(lake: ParquetLake, market: str, month: Month) -> tuple[pa.Table, pa.Table]:
    """Smiles and chain of the newest day of the month that has a fit, as known now."""
    now = dt.datetime.now(dt.UTC)
    smiles = lake.read_known(OPTION_SMILES.name, market, now, key=OPTION_SMILES.key, start=month.first, end=month.last)
    if not smiles.num_rows:
        return smiles, smiles
    fitted = smiles.filter(pc.not_equal(smiles["model"], "none"))
    if not fitted.num_rows:
        return fitted, fitted
    day = pc.max(fitted["as_of"])
    chain = lake.read_known(OPTION_CHAIN.name, market, now, key=OPTION_CHAIN.key, start=day.as_py().date(), end=day.as_py().date())
    return fitted.filter(pc.equal(fitted["as_of"], day)).sort_by("tau"), chain


def smiles(lake: ParquetLake, market: str, month: Month) -> Facts:
    """The fitted smiles of the newest day with the quotes that they rest on, and the densities that they imply."""
    fits, chain = _newest_smiles(lake, market, month)
    if not fits.num_rows:
        return {}
    rows = fits.to_pylist()
    table = [
        dg.TableRecord(
            {
                "expiration": f"{row['expiration']:%Y-%m-%d}",
                "future": row["underlying"],
                "forward": round(row["forward"], 4),
                "ATM vol %": round(100 * (row["theta"] / row["tau"]) ** 0.5, 2),
                "strikes": row["n_liquid"],
                "status": row["status"],
                "rho": None if row["rho"] is None else round(row["rho"], 3),
                "beyond the strikes %": round(100 * (row["tail_lo"] + row["tail_hi"]), 1),
                "parity forward": None if row["parity_forward"] is None else round(row["parity_forward"], 3),
            }
        )
        for row in rows
    ]
    kinds = dict.fromkeys(table[0].data, "float")
    kinds |= {"expiration": "string", "future": "string", "status": "string", "strikes": "int"}
    whole = fits.filter(pc.is_in(fits["status"], pa.array(["full"]))).slice(0, SHOWN)
    shown = whole if whole.num_rows else fits.slice(0, SHOWN)
    svi, tau = svi_of(shown), shown["tau"].to_numpy()
    day = rows[0]["as_of"]
    note = synthetic_note(chain.to_pylist())
    k = np.linspace(-0.35, 0.35, 141)

    def draw_smiles(axes: Any) -> None:
        for i, row in enumerate(shown.to_pylist()):
            quotes = chain.filter(pc.and_(pc.equal(chain["expiration"], row["expiration"]), pc.is_valid(chain["vol"])))
            liquid = quotes["liquid"].to_numpy(zero_copy_only=False).astype(bool)
            x = np.log(quotes["strike"].to_numpy() / row["forward"])
            y, error = (100 * quotes[name].to_numpy(zero_copy_only=False) for name in ("vol", "vol_error"))
            colour = _COLOURS[i]
            axes.errorbar(x[liquid], y[liquid], yerr=2 * error[liquid], fmt="o", ms=3, lw=0.8, color=colour)
            axes.plot(x[~liquid], y[~liquid], "x", ms=3, alpha=0.4, color=colour)
            curve = 100 * np.sqrt(svi.total_variance(k)[i] / tau[i])
            axes.plot(k, curve, color=colour, lw=1, label=f"{row['underlying']}, {round(tau[i] * 365)} days")
        axes.set_title(f"{market} smiles of {day:%Y-%m-%d}{note}", fontsize=9)
        axes.set_xlabel("ln(K/F)", fontsize=7)
        axes.set_ylabel("volatility, % a year", fontsize=7)
        axes.set_xlim(k[0], k[-1])
        top = 100 * np.sqrt(svi.total_variance(k) / tau[:, None])
        axes.set_ylim(max(0.0, 0.8 * top.min()), 1.1 * top.max())
        axes.legend(fontsize=6)

    def draw_densities(axes: Any) -> None:
        values = density(svi, k)
        for i, row in enumerate(shown.to_pylist()):
            axes.plot(row["forward"] * np.exp(k), values[i], color=_COLOURS[i], lw=1)
            axes.axvspan(row["strike_lo"], row["strike_hi"], ymax=0.03 * (i + 1), color=_COLOURS[i], alpha=0.3, lw=0)
        axes.set_title("densities under Q; bars: quoted strikes", fontsize=9)
        axes.set_xlabel("price at expiry", fontsize=7)
        axes.set_yticks([])

    return {"smiles": table_of(table, kinds), "smiles_picture": picture_of(draw_smiles, draw_densities)}


def volatility(lake: ParquetLake, market: str, month: Month) -> Facts:
    """Volatility at constant maturities and its slope, day by day, as known now."""
    names = ("opt_atm_iv_30", "opt_atm_iv_60", "opt_atm_iv_90", "opt_rr25_30")
    known = lake.read_known(
        OPTION_FEATURES.name, market, dt.datetime.now(dt.UTC), key=OPTION_FEATURES.key, start=month.first, end=month.last
    )
    if not known.num_rows:
        return {}
    by_day: dict[dt.datetime, dict[str, float | None]] = {}
    for row in known.filter(pc.is_in(known["feature_name"], pa.array(names))).sort_by("as_of").to_pylist():
        by_day.setdefault(row["as_of"], {})[row["feature_name"]] = row["value"]

    def percent(value: float | None) -> float | None:
        return None if value is None else round(100 * value, 2)

    newest = [
        dg.TableRecord({"day": f"{day:%Y-%m-%d}", **{name: percent(values.get(name)) for name in names}})
        for day, values in list(by_day.items())[-6:]
    ]

    def draw(axes: Any) -> None:
        days = list(by_day)
        for name, label in zip(names[:3], ("30 days", "60 days", "90 days"), strict=True):
            axes.plot(days, [np.nan if (v := by_day[day].get(name)) is None else 100 * v for day in days], marker=".", label=label)
        axes.set_title(f"{market}: volatility at the forward{_world(lake)}", fontsize=10)
        axes.set_ylabel("% a year", fontsize=8)
        by_date(axes)
        axes.legend(fontsize=7)

    kinds = {"day": "string", **dict.fromkeys(names, "float")}
    return {"volatility": table_of(newest, kinds), "volatility_picture": picture_of(draw)}


def _world(lake: ParquetLake) -> str:
    return " (synthetic)" if lake.world == "sample" else ""


PICTURES: Mapping[str, Callable[[ParquetLake, str, Month], Facts]] = {
    "cot_features": positioning,
    "futures_features": term_structure,
    "option_smiles": smiles,
    "option_features": volatility,
}
