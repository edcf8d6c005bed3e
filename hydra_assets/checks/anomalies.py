"""Anomalies: values that are possible and yet implausible, such as jumps and prices without a change."""

import datetime as dt
from collections.abc import Mapping
from itertools import pairwise
from statistics import median
from typing import Any

import pyarrow as pa

from hydra_assets.checks.check import Scope, check, from_days_before, only
from hydra_assets.checks.report import CheckReport
from hydra_assets.checks.settlements import settlements, settlements_by_contract, traded_days
from hydra_assets.core.months import Month
from hydra_assets.core.tables.cot import COT_DISAGGREGATED, COT_GROUPS
from hydra_assets.core.tables.futures import FUTURES_STATISTICS


@check("jumps", applies_to=only(FUTURES_STATISTICS), span=from_days_before(21))
def settlement_jumps(report: CheckReport, scope: Scope, rows: pa.Table, *, settle_jump: float) -> str:
    """No settlement differs from the one before, of the same contract, by more than `settle_jump` of it, whatever its sign."""
    for contract, series in settlements_by_contract(rows):
        for before, row in pairwise(series):
            if Month.of(row["as_of"]) < scope.months[0]:
                continue
            report.count(1)
            if abs(row["value"] - before["value"]) > settle_jump * abs(before["value"]):
                move = f"{before['value']:g} to {row['value']:g}"
                report.add_failure(scope.market, row["as_of"], instrument=contract, day=row["as_of"].date(), settlement=move)
    return f"{report.rows} settlements beside the ones before, {settle_jump:.0%} apart at most"


@check("price_scale", applies_to=only(FUTURES_STATISTICS), span=from_days_before(21))
def price_scale(report: CheckReport, scope: Scope, rows: pa.Table, *, price_scale_factor: float) -> str:
    """
    A session's middle settlement is within `price_scale_factor` of that of the session before: the unit of prices has not changed.

    The median over all contracts is not moved by one of them that jumps, or that is negative.
    """
    by_day: dict[dt.datetime, list[float]] = {}
    for row in settlements(rows):
        by_day.setdefault(row["as_of"], []).append(row["value"])
    middles = [(day, median(by_day[day])) for day in sorted(by_day)]
    for (_, before), (day, middle) in pairwise(middles):
        if Month.of(day) < scope.months[0]:
            continue
        positive = before > 0 and middle > 0
        report.count(1, int(positive))
        if positive and max(middle / before, before / middle) > price_scale_factor:
            report.add_failure(scope.market, day, day=day.date(), settlement=f"{before:g} to {middle:g}", fault="another unit of prices?")
    return f"{report.rows} sessions beside the ones before, a factor of {price_scale_factor:g} at most"


@check("standing_still", applies_to=only(FUTURES_STATISTICS), span=from_days_before(21))
def unchanged_settlements(report: CheckReport, scope: Scope, rows: pa.Table, *, unchanged_sessions: float) -> str:
    """No contract was settled at the same price for more than `unchanged_sessions` sessions on end while it was traded."""
    traded = traded_days(rows)
    for contract, series in settlements_by_contract(rows):
        unchanged = 0
        for before, row in pairwise(series):
            still = row["value"] == before["value"] and (row["instrument_id"], row["as_of"]) in traded
            unchanged = unchanged + 1 if still else 0
            if Month.of(row["as_of"]) < scope.months[0]:
                continue
            report.count(1)
            if unchanged > unchanged_sessions:
                facts = {"instrument": contract, "day": row["as_of"].date(), "settlement": row["value"], "sessions": unchanged}
                report.add_failure(scope.market, row["as_of"], **facts)
    return f"{report.rows} settlements, {unchanged_sessions} sessions without a change at most"


@check("jumps", applies_to=only(COT_DISAGGREGATED), span=from_days_before(14))
def cot_jumps(report: CheckReport, scope: Scope, rows: pa.Table, *, cot_jump: float) -> str:
    """From one report to the next, neither open interest nor any group's net position moves by more than `cot_jump` of open interest."""
    ordered = rows.sort_by([("as_of", "ascending"), ("available_at", "ascending")]).to_pylist() if rows.num_rows else []
    reports = list({row["as_of"]: row for row in ordered}.values())  # the newest print of each
    for before, row in pairwise(reports):
        if Month.of(row["as_of"]) < scope.months[0] or not before["open_interest"]:
            continue
        report.count(1)
        moves = {group: abs(_net(row, group) - _net(before, group)) for group in COT_GROUPS}
        moves["open_interest"] = abs((row["open_interest"] or 0) - before["open_interest"])
        for what, contracts in moves.items():
            if contracts > cot_jump * before["open_interest"]:
                facts = {"report": row["as_of"].date(), "what": what, "moved": contracts, "open_interest": before["open_interest"]}
                report.add_failure(scope.market, row["as_of"], **facts)
    if len(reports) == 1:  # nothing before it to compare with, and nothing wrong with that
        report.count(1)
    return f"{report.rows} reports beside the ones before, {cot_jump:.0%} of open interest at most"


def _net(row: Mapping[str, Any], group: str) -> int:
    return int((row[f"{group}_long"] or 0) - (row[f"{group}_short"] or 0))
