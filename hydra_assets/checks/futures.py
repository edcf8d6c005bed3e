"""Checks of raw futures tables: outright contracts alone, and prices within bounds."""

from typing import Any

import pyarrow as pa

from hydra_assets.checks.check import Scope, check, defined_by, only
from hydra_assets.checks.report import CheckReport
from hydra_assets.checks.settlements import settlements
from hydra_assets.core.tables.futures import FUTURES_BARS, FUTURES_DEFINITIONS, FUTURES_LIMITS, FUTURES_STATISTICS

_OHLC = ("open", "high", "low", "close")


@check("outrights_only", applies_to=defined_by(FUTURES_DEFINITIONS), severity="blocks", beside=FUTURES_DEFINITIONS.name)
def outrights_only(report: CheckReport, scope: Scope, rows: pa.Table, definitions: pa.Table) -> str:
    """No spread, no option: every row's id is an outright future of that day by its definition, and its symbol names one contract."""
    report.count(rows.num_rows)
    # Against every (id, symbol) defined in these months; the parser looked up the definition of the day alone.
    defined = _columns(definitions, "instrument_id", "instrument", "instrument_class")
    outrights = {(number, symbol) for number, symbol, kind in defined if kind == "F"}
    groups = rows.group_by(["instrument_id", "instrument"]).aggregate([("as_of", "min")]) if rows.num_rows else rows
    for number, symbol, as_of in _columns(groups, "instrument_id", "instrument", "as_of_min"):
        if (number, symbol) not in outrights:
            fault = "defined as no outright future"
        elif not symbol.startswith(scope.market) or set(symbol) & set("-: "):
            fault = f"no contract of {scope.market}"
        else:
            continue
        report.add_failure(scope.market, as_of, instrument=symbol, instrument_id=number, fault=fault)
    return f"{report.rows} rows against the definitions"


@check("ohlc_sane", applies_to=only(FUTURES_BARS), beside=FUTURES_DEFINITIONS.name)
def ohlc_sane(report: CheckReport, scope: Scope, rows: pa.Table, definitions: pa.Table) -> str:
    """Low <= open, close <= high, something was traded, and no price is 0 or less unless the day's lower limit allows it."""
    # A bar that mixes two sessions keeps this order too, so partial ones are judged and counted.
    report.count(rows.num_rows)
    limits = _limits(definitions)
    for row in rows.select(["instrument_id", "instrument", "as_of", *_OHLC, "volume", "quality"]).to_pylist() if rows.num_rows else []:
        number, prices = row.pop("instrument_id"), [row[name] for name in _OHLC]
        report.counts["partial"] += row.pop("quality") == "partial"
        ordered = None not in prices and row["low"] <= min(row["open"], row["close"]) <= max(row["open"], row["close"]) <= row["high"]
        signed = ordered and (row["low"] > 0 or _may_be_negative(limits, number, row["as_of"]))
        if not signed or not row["volume"]:
            report.add_failure(scope.market, row["as_of"], **row)
    return f"{report.rows} bars"


@check("within_limits", applies_to=only(FUTURES_STATISTICS), beside=FUTURES_DEFINITIONS.name)
def within_limits(report: CheckReport, scope: Scope, rows: pa.Table, definitions: pa.Table) -> str:
    """No settlement lies outside the price limits that the exchange defined for its day."""
    limits = _limits(definitions)
    for row in settlements(rows):
        low, high = limits.get((row["instrument_id"], row["as_of"]), (None, None))
        known = low is not None and high is not None
        report.count(1, int(known))
        if known and not low <= row["value"] <= high:
            report.add_failure(scope.market, row["as_of"], **_settlement(row), low=low, high=high)
    return f"{report.rows} settlements against their day's limits, {report.values} with limits"


@check("at_limit", applies_to=only(FUTURES_LIMITS), severity="warns")
def settled_at_limit(report: CheckReport, scope: Scope, rows: pa.Table) -> str:
    """No settlement stands at its daily price limit; one that does is no price, and what rests on it is degraded."""
    newest = {(row["instrument"], row["expiration"], row["as_of"]): row for row in rows.to_pylist()}  # rows come in order of arrival
    for row in newest.values():
        report.count(1, int(row["at_limit"] != "unknown"))
        if row["at_limit"] in ("up", "down"):
            report.add_failure(scope.market, row["as_of"], **_settlement({**row, "value": row["settlement"]}), at_limit=row["at_limit"])
    return f"{report.rows} settlements, {report.values} with limits that can have been in force"


@check("near_last_trade", applies_to=only(FUTURES_STATISTICS), beside=FUTURES_BARS.name)
def near_last_trade(report: CheckReport, scope: Scope, rows: pa.Table, bars: pa.Table, *, settle_off_last: float) -> str:
    """
    No settlement is further from the day's last trade than `settle_off_last` allows.

    The last trade of a bar that is no whole session can be of the next one: there the settlement is held against the bar's range.
    """
    traded = {key[:2]: key[2:] for key in _columns(bars, "instrument_id", "as_of", "low", "high", "close", "quality")}
    for row in settlements(rows):
        low, high, close, quality = traded.get((row["instrument_id"], row["as_of"]), (None, None, None, ""))
        report.count(1, int(close is not None))
        if close is None:
            continue
        mixed = quality == "partial"
        report.counts["partial"] += mixed
        off = max(low - row["value"], row["value"] - high, 0.0) if mixed else abs(row["value"] - close)
        if off > settle_off_last * abs(close):
            report.add_failure(scope.market, row["as_of"], **_settlement(row), last=close)
    return f"{report.values} settlements beside the day's last trade, {settle_off_last:.0%} apart at most"


def _limits(definitions: pa.Table) -> dict[tuple[int, Any], tuple[float | None, float | None]]:
    """Lower and upper price limit by instrument id and day."""
    return {key[:2]: key[2:] for key in _columns(definitions, "instrument_id", "as_of", "low_limit", "high_limit")}


def _may_be_negative(limits: dict[tuple[int, Any], tuple[float | None, float | None]], number: int, day: Any) -> bool:
    low, _ = limits.get((number, day), (None, None))
    return low is not None and low <= 0


def _columns(table: pa.Table, *names: str) -> list[tuple[Any, ...]]:
    """Rows of some columns; none of an empty table, which may have no columns."""
    return list(zip(*(table[name].to_pylist() for name in names), strict=True)) if table.num_rows else []


def _settlement(row: dict[str, Any]) -> dict[str, Any]:
    return {"instrument": row["instrument"], "day": row["as_of"].date(), "settlement": row["value"]}
