"""Checks of the COT table alone: positions add up, and every report that is out is held."""

import datetime as dt
from collections.abc import Iterable

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.config.load import load_release_calendar
from hydra_assets.core.months import Month
from hydra_assets.core.tables.cot import COT_GROUPS
from hydra_assets.defs.judging import BLOCKS, Judgement, lake_check, month_text


def cot_identity() -> dg.AssetChecksDefinition:
    """Longs + spreads = shorts + spreads = open interest, in every row of the lake."""
    spreads = [f"{group}_spread" for group in ("swap", "mm", "other")]

    def total(rows: pa.Table, names: Iterable[str]) -> pa.ChunkedArray:
        columns = [rows[name] for name in names]
        sums = columns[0]
        for column in columns[1:]:
            sums = pc.add(sums, column)
        return sums

    def judge(judged: Judgement, rows: pa.Table, market: str, _: list[Month]) -> str:
        judged.rows += rows.num_rows
        judged.values += rows.num_rows - rows["open_interest"].null_count if rows.num_rows else 0
        if rows.num_rows:
            for side in ("long", "short"):
                sums = total(rows, [*(f"{group}_{side}" for group in COT_GROUPS), *spreads])
                wrong = pc.invert(pc.fill_null(pc.equal(sums, rows["open_interest"]), False))
                for as_of, made, stated in zip(
                    *(column.filter(wrong).to_pylist() for column in (rows["as_of"], sums, rows["open_interest"])), strict=True
                ):
                    judged.accuse(market, month_text(as_of), as_of=as_of, side=side, sum=made, open_interest=stated)
        return f"{judged.rows} reports"

    return lake_check(
        "cot_identity",
        str(cot_identity.__doc__),
        asset="cot_disaggregated",
        weight=BLOCKS,
        judge=judge,
    )


def cot_coverage() -> dg.AssetChecksDefinition:
    """Every report that the release calendar says is out is held, and none that it does not know."""

    def judge(judged: Judgement, rows: pa.Table, market: str, months: list[Month]) -> str:
        calendar, now = load_release_calendar(), dt.datetime.now(dt.UTC)
        held = {as_of.date() for as_of in rows["as_of"].to_pylist()} if rows.num_rows else set()
        for month in months:
            due = {day for day in calendar.report_dates(month.first, month.last) if calendar.release(day).available_at <= now}
            judged.rows += len(due)
            judged.values += len(due)
            here = {day for day in held if Month.of(day) == month}
            for day in sorted(due - here):
                judged.accuse(market, str(month), report=day, fault="missing", due=calendar.release(day).available_at)
            for day in sorted(here - set(calendar.report_dates(month.first, month.last))):
                judged.accuse(market, str(month), report=day, fault="no report date of the calendar", due="")
        return f"{judged.rows} reports due by the release calendar"

    return lake_check(
        "coverage",
        str(cot_coverage.__doc__),
        asset="cot_disaggregated",
        judge=judge,
    )
