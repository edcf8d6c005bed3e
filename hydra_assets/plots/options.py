"""Plots of options: smiles with their quotes, densities, and the term structure of volatility."""

import datetime as dt
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.features.options.smiles import svi_of
from hydra_assets.options.density import density
from hydra_assets.plots.plot import Plot, date_axis, figure_of, synthetic_note

SHOWN = 3  # expirations in one figure
_COLOURS = ("#1f77b4", "#d62728", "#2ca02c")
_VOLATILITIES = ("opt_atm_iv_30", "opt_atm_iv_60", "opt_atm_iv_90", "opt_rr25_30")


def newest_fits(known: pa.Table) -> pa.Table:
    """Fitted smiles of the newest day that has one, by time to expiry; of `option_smiles` as known at one instant."""
    fitted = known.filter(pc.not_equal(known["model"], "none")) if known.num_rows else known
    if not fitted.num_rows:
        return fitted
    return fitted.filter(pc.equal(fitted["as_of"], pc.max(fitted["as_of"]))).sort_by("tau")


def smiles(market: str, fits: pa.Table, chain: pa.Table) -> Plot | None:
    """
    Fitted smiles of a day with the quotes that they rest on, and the densities that they imply.

    Args:
        market: symbol.
        fits: rows of `option_smiles` of one day, as `newest_fits` gives them.
        chain: rows of `option_chain` of that day, as known at one instant.

    Returns:
        The plot; None without a fit.
    """
    if not fits.num_rows:
        return None
    rows = fits.to_pylist()
    table = [
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
        for row in rows
    ]
    kinds = dict.fromkeys(table[0], "float")
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
            used, left_out = ("quotes fitted, two standard errors", "quotes left out: too wide, old or thin") if i == 0 else (None, None)
            axes.errorbar(x[liquid], y[liquid], yerr=2 * error[liquid], fmt="o", ms=5, lw=1, color=colour, label=used)
            axes.plot(x[~liquid], y[~liquid], "x", ms=5, alpha=0.4, color=colour, label=left_out)
            curve = 100 * np.sqrt(svi.total_variance(k)[i] / tau[i])
            axes.plot(k, curve, color=colour, lw=1.5, label=f"{row['underlying']}, {round(tau[i] * 365)} days")
        axes.set_title(f"{market} smiles of {day:%Y-%m-%d}{note}")
        axes.set_xlabel("ln(strike / forward)")
        axes.set_ylabel("volatility, % a year")
        axes.set_xlim(k[0], k[-1])
        top = 100 * np.sqrt(svi.total_variance(k) / tau[:, None])
        axes.set_ylim(max(0.0, 0.8 * top.min()), 1.1 * top.max())
        axes.legend()

    def draw_densities(axes: Any) -> None:
        values = density(svi, k)
        for i, row in enumerate(shown.to_pylist()):
            axes.plot(row["forward"] * np.exp(k), values[i], color=_COLOURS[i], lw=1.5)
            axes.axvspan(row["strike_lo"], row["strike_hi"], ymax=0.03 * (i + 1), color=_COLOURS[i], alpha=0.3, lw=0)
        axes.set_title("risk-neutral densities; bars at the foot: quoted strikes")
        axes.set_xlabel("price at expiration")
        axes.set_ylabel("probability per unit of ln(price)")

    return Plot("smiles", table, kinds, figure_of(draw_smiles, draw_densities))


def volatility(market: str, known: pa.Table, *, note: str = "") -> Plot | None:
    """
    Volatility at constant maturities and its slope, day by day.

    Args:
        market: symbol.
        known: rows of `option_features` as known at one instant.
        note: end of the title.

    Returns:
        The plot; None without a row.
    """
    if not known.num_rows:
        return None
    by_day: dict[dt.datetime, dict[str, float | None]] = {}
    for row in known.filter(pc.is_in(known["feature_name"], pa.array(_VOLATILITIES))).sort_by("as_of").to_pylist():
        by_day.setdefault(row["as_of"], {})[row["feature_name"]] = row["value"]

    def percent(value: float | None) -> float | None:
        return None if value is None else round(100 * value, 2)

    newest = [
        {"day": f"{day:%Y-%m-%d}", **{name: percent(values.get(name)) for name in _VOLATILITIES}}
        for day, values in list(by_day.items())[-6:]
    ]

    def draw(axes: Any) -> None:
        days = list(by_day)
        for name, label in zip(_VOLATILITIES[:3], ("30 days", "60 days", "90 days"), strict=True):
            axes.plot(days, [np.nan if (v := by_day[day].get(name)) is None else 100 * v for day in days], marker=".", label=label)
        axes.set_title(f"{market}: volatility at the forward{note}")
        axes.set_ylabel("volatility, % a year")
        date_axis(axes)
        axes.legend()

    kinds = {"day": "string", **dict.fromkeys(_VOLATILITIES, "float")}
    return Plot("volatility", newest, kinds, figure_of(draw))
