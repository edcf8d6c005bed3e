"""Checks of the option chain and its smiles: strikes without a quote, prices that no market would leave standing, parity."""

from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa

from hydra_assets.config.load import load_config
from hydra_assets.core.months import Month
from hydra_assets.core.tables.options import OPTION_CHAIN, OPTION_SMILES
from hydra_assets.core.tables.table import Table
from hydra_assets.defs.judging import Judgement, lake_check, month_text

NEAR = 0.1  # |ln(K/F)|
LEAST = 4  # options near the money without which an expiration says nothing


def _newest(rows: pa.Table, dataset: Table) -> pd.DataFrame:
    """The newest vintage of each row of *dataset*."""
    frame: pd.DataFrame = rows.to_pandas()
    return frame.sort_values("available_at", kind="stable").drop_duplicates([*dataset.key, "as_of"], keep="last")


def missing_strikes() -> dg.AssetChecksDefinition:
    """Near the money no more than `missing_strikes_share` of an expiration's options are without a usable quote."""

    def judge(judged: Judgement, rows: pa.Table, market: str, months: list[Month]) -> str:
        limit = load_config().checks.missing_strikes_share
        if rows.num_rows:
            chain = _newest(rows, OPTION_CHAIN)
            near = chain[np.abs(np.log(chain["strike"] / chain["forward"])) <= NEAR]
            groups = near.groupby(["as_of", "expiration"])["mid"].agg(["size", "count"]).reset_index()
            groups = groups[groups["size"] >= LEAST]
            judged.rows += int(groups["size"].sum())
            judged.values += int(groups["count"].sum())
            bare: list[Any] = list(groups[1 - groups["count"] / groups["size"] > limit].itertuples())
            for row in bare:
                told = f"{row.size - row.count} of {row.size} without a usable quote"
                judged.accuse(market, month_text(row.as_of), day=row.as_of.date(), expiration=row.expiration.date(), fault=told)
        return f"{judged.rows} options near the money, {limit:.0%} without a quote allowed"

    return lake_check("missing_strikes", str(missing_strikes.__doc__), asset="option_chain", judge=judge)


def monotone() -> dg.AssetChecksDefinition:
    """Calls get cheaper and puts dearer as the strike rises; no more than `arbitrage_pairs` neighbours a day say otherwise."""

    def judge(judged: Judgement, rows: pa.Table, market: str, months: list[Month]) -> str:
        limit = load_config().checks.arbitrage_pairs
        if rows.num_rows:
            chain = _newest(rows, OPTION_CHAIN).dropna(subset=["bid", "ask"])
            wrong = []
            for right, ascending in (("C", True), ("P", False)):
                order = ["as_of", "expiration", "underlying", "strike"]
                side = chain[chain["right"] == right].sort_values(order, ascending=[True, True, True, ascending])
                after = side.shift(-1)  # lookahead-ok: the next strike of the same day, not the next day
                same = (side[order[:3]] == after[order[:3]]).all(axis=1)
                judged.rows += int(same.sum())
                judged.values += int(same.sum())
                wrong.append(side[same & (after["bid"] > side["ask"])])
            days: list[Any] = list(pd.concat(wrong).groupby("as_of"))
            for day, found in days:
                if len(found) > limit:
                    first = found.iloc[0]
                    told = f"{len(found)} neighbours, the first {first['right']} {first['strike']:g} of {first['expiration']:%Y-%m-%d}"
                    judged.accuse(market, month_text(day), day=day.date(), fault=told)
        return f"{judged.rows} neighbouring strikes"

    return lake_check("monotone", str(monotone.__doc__), asset="option_chain", judge=judge)


def parity() -> dg.AssetChecksDefinition:
    """In no more than `parity_share` of a month's smiles do put-call parity and the settlement disagree beyond their errors."""

    def judge(judged: Judgement, rows: pa.Table, market: str, months: list[Month]) -> str:
        limit = load_config().checks.parity_share
        if rows.num_rows:
            smiles = _newest(rows, OPTION_SMILES)
            looked = smiles[smiles["parity_forward"].notna()]
            judged.rows += len(smiles)
            judged.values += len(looked)
            off = (looked["parity_forward"] - looked["forward"]).abs() > 4 * looked["parity_error"]
            wrong = off & (looked["status"] == "parity")
            for month, share in wrong.groupby(looked["as_of"].map(month_text)).mean().items():
                if share > limit:
                    judged.accuse(market, str(month), fault=f"{share:.0%} of the month's smiles")
        return f"{judged.values} smiles with parity looked at, {limit:.0%} off allowed"

    return lake_check("parity", str(parity.__doc__), asset="option_smiles", judge=judge)


CHAIN_CHECKS = [missing_strikes(), monotone(), parity()]
