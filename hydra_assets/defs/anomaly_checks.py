"""Checks of values that can be told and yet are hard to believe: jumps, and prices that stand still. Thresholds are settings."""

import datetime as dt
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import dagster as dg
import pyarrow as pa

from hydra_assets.config.load import load_config
from hydra_assets.core.months import Month
from hydra_assets.core.tables.cot import COT_GROUPS
from hydra_assets.defs.judging import Judgement, final_settlements, lake_check, month_text

_BEFORE = dt.timedelta(21)  # of the first month asked, so that its first session has sessions before it
_WEEKS_BEFORE = dt.timedelta(14)


def settlement_jumps() -> dg.AssetChecksDefinition:
    """No final settlement differs from the one before, of the same contract, by more than `settle_jump`."""

    def judge(judged: Judgement, rows: pa.Table, market: str, months: list[Month]) -> str:
        limit = load_config().checks.settle_jump
        for contract, series in _by_contract(rows):
            for before, day in pairwise(series):
                if Month.of(day["as_of"]) < months[0]:
                    continue
                judged.rows += 1
                judged.values += 1
                if before["value"] and abs(day["value"] / before["value"] - 1) > limit:
                    move = f"{before['value']:g} to {day['value']:g}"
                    judged.accuse(market, month_text(day["as_of"]), instrument=contract, day=day["as_of"].date(), settlement=move)
        return f"{judged.rows} final settlements beside the ones before, {limit:.0%} apart at most"

    return _of_statistics("jumps", str(settlement_jumps.__doc__), judge)


def settlements_that_stand_still() -> dg.AssetChecksDefinition:
    """No contract was settled at the same price for more than `unchanged_sessions` sessions on end while it was traded."""

    def judge(judged: Judgement, rows: pa.Table, market: str, months: list[Month]) -> str:
        limit, traded = load_config().checks.unchanged_sessions, _traded(rows)
        for contract, series in _by_contract(rows):
            same = 0
            for before, day in pairwise(series):
                still = day["value"] == before["value"] and (day["instrument_id"], day["as_of"]) in traded
                same = same + 1 if still else 0
                if Month.of(day["as_of"]) < months[0]:
                    continue
                judged.rows += 1
                judged.values += 1
                if same > limit:
                    facts = {"instrument": contract, "day": day["as_of"].date(), "settlement": day["value"], "sessions": same}
                    judged.accuse(market, month_text(day["as_of"]), **facts)
        return f"{judged.rows} final settlements, {limit} sessions without a change at most"

    return _of_statistics("standing_still", str(settlements_that_stand_still.__doc__), judge)


def cot_jumps() -> dg.AssetChecksDefinition:
    """From one report to the next, neither open interest nor any group's net position moves by more than `cot_jump` of open interest."""

    def judge(judged: Judgement, rows: pa.Table, market: str, months: list[Month]) -> str:
        limit = load_config().checks.cot_jump
        ordered = rows.sort_by([("as_of", "ascending"), ("available_at", "ascending")]).to_pylist() if rows.num_rows else []
        newest = {row["as_of"]: row for row in ordered}
        reports = list(newest.values())
        for before, report in pairwise(reports):
            if Month.of(report["as_of"]) < months[0] or not before["open_interest"]:
                continue
            judged.rows += 1
            judged.values += 1
            moved = {group: abs(_net(report, group) - _net(before, group)) for group in COT_GROUPS}
            moved["open_interest"] = abs((report["open_interest"] or 0) - before["open_interest"])
            for what, contracts in moved.items():
                if contracts > limit * before["open_interest"]:
                    facts = {"report": report["as_of"].date(), "what": what, "moved": contracts, "open_interest": before["open_interest"]}
                    judged.accuse(market, month_text(report["as_of"]), **facts)
        if len(reports) == 1:  # nothing before it to compare with, and nothing wrong with that
            judged.rows += 1
            judged.values += 1
        return f"{judged.rows} reports beside the ones before, {limit:.0%} of open interest at most"

    return lake_check("jumps", str(cot_jumps.__doc__), asset="cot_disaggregated", judge=judge, before=_WEEKS_BEFORE)


def _of_statistics(name: str, doc: str, judge: Any) -> dg.AssetChecksDefinition:
    return lake_check(name, doc, asset="futures_statistics", judge=judge, before=_BEFORE)


def _by_contract(rows: pa.Table) -> list[tuple[str, list[dict[str, Any]]]]:
    """Final settlements of each contract in the order of their days; a symbol that came back after ten years is another contract."""
    series: dict[tuple[str, dt.datetime], list[dict[str, Any]]] = {}
    for row in sorted(final_settlements(rows), key=lambda row: row["as_of"]):
        series.setdefault((row["instrument"], row["expiration"]), []).append(row)
    return [(name, found) for (name, _), found in series.items()]


def _traded(rows: pa.Table) -> set[tuple[int, dt.datetime]]:
    if not rows.num_rows:
        return set()
    volumes = rows.select(["instrument_id", "as_of", "stat", "value"]).to_pylist()
    return {(row["instrument_id"], row["as_of"]) for row in volumes if row["stat"] == "cleared_volume" and row["value"]}


def _net(report: Mapping[str, Any], group: str) -> int:
    return int((report[f"{group}_long"] or 0) - (report[f"{group}_short"] or 0))


ANOMALIES = [settlement_jumps(), settlements_that_stand_still(), cot_jumps()]
