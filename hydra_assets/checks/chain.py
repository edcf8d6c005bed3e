"""Checks of the option chain and its smiles: units of strikes, strikes without a quote, prices with arbitrage, parity."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from hydra_assets.checks.check import Scope, check, only
from hydra_assets.checks.report import CheckReport
from hydra_assets.core.tables.options import OPTION_CHAIN, OPTION_SMILES
from hydra_assets.core.tables.table import Table
from hydra_assets.lazy import lazy

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = lazy("pandas")

NEAR = 0.1  # |ln(K/F)|
MIN_OPTIONS = 4  # options near the money; an expiration with fewer is not judged


def _newest(rows: pa.Table, table: Table) -> "pd.DataFrame":
    """The newest vintage of each row of *table*."""
    frame: pd.DataFrame = rows.to_pandas()
    return frame.sort_values("available_at", kind="stable").drop_duplicates([*table.key, "as_of"], keep="last")


@check("missing_strikes", applies_to=only(OPTION_CHAIN))
def missing_strikes(report: CheckReport, scope: Scope, rows: pa.Table, *, missing_strikes_share: float) -> str:
    """Near the money no more than `missing_strikes_share` of an expiration's options are without a usable quote."""
    if rows.num_rows:
        chain = _newest(rows, OPTION_CHAIN)
        chain = chain[(chain["strike"] > 0) & (chain["forward"] > 0)]  # of a negative price no strike is near in this sense
        near = chain[np.abs(np.log(chain["strike"] / chain["forward"])) <= NEAR]
        groups = near.groupby(["as_of", "expiration"])["mid"].agg(["size", "count"]).reset_index()
        groups = groups[groups["size"] >= MIN_OPTIONS]
        report.count(int(groups["size"].sum()), int(groups["count"].sum()))
        bare: list[Any] = list(groups[1 - groups["count"] / groups["size"] > missing_strikes_share].itertuples())
        for row in bare:
            fault = f"{row.size - row.count} of {row.size} without a usable quote"
            report.add_failure(scope.market, row.as_of, day=row.as_of.date(), expiration=row.expiration.date(), fault=fault)
    return f"{report.rows} options near the money, {missing_strikes_share:.0%} without a quote allowed"


@check("strike_scale", applies_to=only(OPTION_CHAIN))
def strike_scale(report: CheckReport, scope: Scope, rows: pa.Table, *, strike_scale_factor: float) -> str:
    """In the middle of a day's options the strike is within `strike_scale_factor` of its underlying's settlement: one unit of prices."""
    if rows.num_rows:
        chain = _newest(rows, OPTION_CHAIN)
        chain = chain[(chain["strike"] > 0) & (chain["forward"] > 0)]
        middles = (chain["strike"] / chain["forward"]).groupby(chain["as_of"]).median()
        report.count(len(middles))
        off: list[Any] = list(middles[(middles > strike_scale_factor) | (middles < 1 / strike_scale_factor)].items())
        for when, ratio in off:
            fault = "strikes in another unit than settlements?"
            report.add_failure(scope.market, when, day=when.date(), ratio=f"{ratio:.3g}", fault=fault)
    return f"{report.rows} days of strikes beside settlements, a factor of {strike_scale_factor:g} at most"


@check("monotone", applies_to=only(OPTION_CHAIN))
def monotone(report: CheckReport, scope: Scope, rows: pa.Table, *, arbitrage_pairs: float) -> str:
    """Calls get cheaper and puts dearer as the strike rises; no more than `arbitrage_pairs` neighbours a day say otherwise."""
    if rows.num_rows:
        chain = _newest(rows, OPTION_CHAIN).dropna(subset=["bid", "ask"])
        wrong = []
        for right, ascending in (("C", True), ("P", False)):
            order = ["as_of", "expiration", "underlying", "strike"]
            side = chain[chain["right"] == right].sort_values(order, ascending=[True, True, True, ascending])
            after = side.shift(-1)  # lookahead-ok: the next strike of the same day, not the next day
            same = (side[order[:3]] == after[order[:3]]).all(axis=1)
            report.count(int(same.sum()))
            wrong.append(side[same & (after["bid"] > side["ask"])])
        days: list[Any] = list(pd.concat(wrong).groupby("as_of"))
        for day, found in days:
            if len(found) > arbitrage_pairs:
                first = found.iloc[0]
                fault = f"{len(found)} neighbours, the first {first['right']} {first['strike']:g} of {first['expiration']:%Y-%m-%d}"
                report.add_failure(scope.market, day, day=day.date(), fault=fault)
    return f"{report.rows} neighbouring strikes"


@check("parity", applies_to=only(OPTION_SMILES))
def parity(report: CheckReport, scope: Scope, rows: pa.Table, *, parity_share: float) -> str:
    """In no more than `parity_share` of a month's smiles do put-call parity and the settlement disagree beyond their errors."""
    if rows.num_rows:
        smiles = _newest(rows, OPTION_SMILES)
        judged = smiles[smiles["parity_forward"].notna()]
        report.count(len(smiles), len(judged))
        off = (judged["parity_forward"] - judged["forward"]).abs() > 4 * judged["parity_error"]
        wrong = off & (judged["status"] == "parity")
        for month, share in wrong.groupby(judged["as_of"].dt.strftime("%Y-%m")).mean().items():
            if share > parity_share:
                report.add_failure(scope.market, month, fault=f"{share:.0%} of the month's smiles")
    return f"{report.values} smiles with parity looked at, {parity_share:.0%} off allowed"
