"""Checks of the raw futures tables: no session lost, no spread let in, prices that can be believed, nothing stale."""

import datetime as dt
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.config.load import load_config
from hydra_assets.core.months import Month
from hydra_assets.core.sessions import session_days
from hydra_assets.defs.freshness import due_sessions
from hydra_assets.defs.judging import BLOCKS, Judgement, final_settlements, lake_check, month_text
from hydra_assets.flow.feeds.databento import NO_ROOTS

_WANTED = {
    "futures_definitions": ("",),
    "futures_bars": ("",),
    "futures_statistics": ("settlement", "open_interest", "cleared_volume"),
    "option_definitions": ("",),
    "option_quotes": ("",),
    "option_statistics": ("settlement", "open_interest"),
}


def coverage(asset: str) -> dg.AssetChecksDefinition:
    """Every session of the CME's livestock calendar whose records can be had is held, and no row lies on another day."""

    def judge(judged: Judgement, rows: pa.Table, market: str, months: list[Month]) -> str:
        if asset.startswith("option_") and not load_config().market(market).option_roots:
            return f"{judged.rows} sessions of the calendar; {NO_ROOTS} for {market}"
        held: dict[str, set[dt.date]] = {}
        for stat in _WANTED[asset]:
            part = rows.filter(pc.equal(rows["stat"], stat)) if stat and rows.num_rows else rows
            held[stat] = {as_of.date() for as_of in pc.unique(part["as_of"]).to_pylist()} if part.num_rows else set()
        for day in due_sessions(asset, months, dt.datetime.now(dt.UTC)):
            judged.rows += 1
            judged.values += 1
            for stat, days in held.items():
                if day not in days:
                    judged.accuse(market, str(Month.of(day)), day=day, fault=f"no {stat or 'row'} of this session")
        sessions = {day for month in months for day in session_days(month.first, month.last)}
        for day in sorted(set().union(*held.values()) - sessions):
            judged.accuse(market, str(Month.of(day)), day=day, fault="a row on a day that is no session")
        return f"{judged.rows} sessions of the calendar"

    return lake_check("coverage", str(coverage.__doc__), asset=asset, judge=judge)


def outrights_only(asset: str) -> dg.AssetChecksDefinition:
    """No spread, no option: every row's id is an outright future of that day by its definition, and its symbol names one contract."""

    def judge(judged: Judgement, rows: pa.Table, market: str, months: list[Month], definitions: pa.Table) -> str:
        judged.rows += rows.num_rows
        judged.values += rows.num_rows
        if not rows.num_rows:
            return f"{judged.rows} rows"
        # Not by the parser's way, which looked up the definition of the day: every (id, symbol) ever defined in these months.
        outright = [row for row in _columns(definitions, "instrument_id", "instrument", "instrument_class") if row[2] == "F"]
        known = {(number, symbol) for number, symbol, _ in outright}
        groups = rows.group_by(["instrument_id", "instrument"]).aggregate([("as_of", "min")])
        for number, symbol, as_of in zip(*(groups[name].to_pylist() for name in ("instrument_id", "instrument", "as_of_min")), strict=True):
            if (number, symbol) not in known:
                judged.accuse(market, month_text(as_of), instrument=symbol, instrument_id=number, fault="defined as no outright future")
            elif not symbol.startswith(market) or set(symbol) & set("-: "):
                judged.accuse(market, month_text(as_of), instrument=symbol, instrument_id=number, fault=f"no contract of {market}")
        return f"{judged.rows} rows against the definitions"

    return lake_check(
        "outrights_only",
        str(outrights_only.__doc__),
        asset=asset,
        weight=BLOCKS,
        judge=judge,
        beside="futures_definitions",
    )


def ohlc_sane() -> dg.AssetChecksDefinition:
    """0 < low <= open, close <= high, and something was traded."""

    def judge(judged: Judgement, rows: pa.Table, market: str, months: list[Month]) -> str:
        judged.rows += rows.num_rows
        judged.values += rows.num_rows
        for row in rows.select(["instrument", "as_of", "open", "high", "low", "close", "volume"]).to_pylist() if rows.num_rows else []:
            prices = [row[name] for name in ("open", "high", "low", "close")]
            sane = None not in prices and 0 < row["low"] <= min(row["open"], row["close"]) <= max(row["open"], row["close"]) <= row["high"]
            if not sane or not row["volume"]:
                judged.accuse(market, month_text(row["as_of"]), **row)
        return f"{judged.rows} bars"

    return lake_check("ohlc_sane", str(ohlc_sane.__doc__), asset="futures_bars", judge=judge)


def within_limits() -> dg.AssetChecksDefinition:
    """No final settlement lies outside the price limits that the exchange defined for its day."""

    def judge(judged: Judgement, rows: pa.Table, market: str, months: list[Month], definitions: pa.Table) -> str:
        limits = {key[:2]: key[2:] for key in _columns(definitions, "instrument_id", "as_of", "low_limit", "high_limit")}
        for row in final_settlements(rows):
            low, high = limits.get((row["instrument_id"], row["as_of"]), (None, None))
            judged.rows += 1
            if low is None or high is None:
                continue
            judged.values += 1
            if not low <= row["value"] <= high:
                judged.accuse(market, month_text(row["as_of"]), **_told(row), low=low, high=high)
        return f"{judged.rows} final settlements against their day's limits, {judged.values} with limits"

    return lake_check(
        "within_limits",
        str(within_limits.__doc__),
        asset="futures_statistics",
        judge=judge,
        beside="futures_definitions",
    )


def near_last_trade() -> dg.AssetChecksDefinition:
    """No final settlement is further from the day's last trade than `settle_off_last` allows."""

    def judge(judged: Judgement, rows: pa.Table, market: str, months: list[Month], bars: pa.Table) -> str:
        share = load_config().checks.settle_off_last
        last = {key[:2]: key[2] for key in _columns(bars, "instrument_id", "as_of", "close")}
        for row in final_settlements(rows):
            close = last.get((row["instrument_id"], row["as_of"]))
            judged.rows += 1
            if not close:
                continue
            judged.values += 1
            if abs(row["value"] / close - 1) > share:
                judged.accuse(market, month_text(row["as_of"]), **_told(row), last=close)
        return f"{judged.values} final settlements beside the day's last trade, {share:.0%} apart at most"

    return lake_check(
        "near_last_trade",
        str(near_last_trade.__doc__),
        asset="futures_statistics",
        judge=judge,
        beside="futures_bars",
    )


def _columns(table: pa.Table, *names: str) -> list[tuple[Any, ...]]:
    """Rows of some columns; none of a table that holds nothing yet."""
    return list(zip(*(table[name].to_pylist() for name in names), strict=True)) if table.num_rows else []


def _told(row: dict[str, Any]) -> dict[str, Any]:
    return {"instrument": row["instrument"], "day": row["as_of"].date(), "settlement": row["value"]}


FUTURES_CHECKS = [
    *(coverage(asset) for asset in _WANTED if asset.startswith("futures_")),
    *(outrights_only(asset) for asset in ("futures_bars", "futures_statistics")),
    ohlc_sane(),
    within_limits(),
    near_last_trade(),
]
