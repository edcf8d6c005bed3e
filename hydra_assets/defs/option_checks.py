"""Checks of the raw option tables: no session lost, nothing that is no option, books that can be believed."""

import datetime as dt

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.config.load import load_config
from hydra_assets.core.instants import DAY_US
from hydra_assets.core.months import Month
from hydra_assets.defs.futures_checks import coverage
from hydra_assets.defs.judging import BLOCKS, WARNS, Judgement, lake_check, month_text


def well_defined() -> dg.AssetChecksDefinition:
    """Every definition is of a call or a put with a strike, on a future, that has not expired; its id is no future's of that day."""

    def judge(judged: Judgement, rows: pa.Table, market: str, months: list[Month], futures: pa.Table) -> str:
        judged.rows += rows.num_rows
        judged.values += rows.num_rows
        if not rows.num_rows:
            return f"{judged.rows} definitions"
        day, ids = _us(rows["as_of"]), rows["instrument_id"].to_numpy()
        futures_day, futures_id = (_us(futures["as_of"]), futures["instrument_id"].to_numpy()) if futures.num_rows else (day[:0], ids[:0])
        known = _code(futures_day, futures_id)
        compared = np.isin(day, futures_day)  # the futures of a month may not be held yet
        underlying = rows["underlying_id"].fill_null(0).to_numpy()
        strike = rows["strike"].to_numpy(zero_copy_only=False)
        for wrong, fault in (
            (~pc.is_in(rows["right"], pa.array(["C", "P"])).to_numpy(), "neither C nor P"),
            ((underlying == 0) | pc.equal(rows["underlying"].fill_null(""), "").to_numpy(), "no underlying"),
            (~(strike > 0), "no strike"),
            (_us(rows["expiration"]) < day, "expired"),
            (np.isin(_code(day, ids), known), "its id is a future's"),
            (compared & ~np.isin(_code(day, underlying), known), "its underlying is no future of that day"),
        ):
            for row in rows.select(["instrument", "as_of"]).filter(pa.array(wrong)).to_pylist():
                judged.accuse(market, month_text(row["as_of"]), instrument=row["instrument"], day=row["as_of"].date(), fault=fault)
        return f"{judged.rows} definitions against the futures of their day"

    return lake_check(
        "well_defined",
        str(well_defined.__doc__),
        asset="option_definitions",
        weight=WARNS,
        judge=judge,
        beside="futures_definitions",
    )


def options_only(asset: str) -> dg.AssetChecksDefinition:
    """No combination, no future: every row's id was defined as this option; a quote's on its very day."""
    on = ("instrument_id", "instrument", "as_of") if asset == "option_quotes" else ("instrument_id", "instrument")

    def judge(judged: Judgement, rows: pa.Table, market: str, months: list[Month], definitions: pa.Table) -> str:
        judged.rows += rows.num_rows
        judged.values += rows.num_rows
        if not rows.num_rows:
            return f"{judged.rows} rows"
        groups = rows.group_by(list(on)).aggregate([("as_of", "min")])
        if definitions.num_rows:
            groups = groups.join(definitions.select(on).group_by(list(on)).aggregate([]), keys=list(on), join_type="left anti")
        for found in groups.sort_by("as_of_min").to_pylist():
            judged.accuse(
                market,
                month_text(found["as_of_min"]),
                instrument=found["instrument"],
                instrument_id=found["instrument_id"],
                day=found["as_of_min"].date(),
                fault="defined as no call or put",
            )
        return f"{judged.rows} rows against the definitions"

    return lake_check(
        "options_only",
        str(options_only.__doc__),
        asset=asset,
        weight=BLOCKS,
        judge=judge,
        beside="option_definitions",
    )


def quotes_sane() -> dg.AssetChecksDefinition:
    """Of each day's quotes few are crossed and not too many old, and none was made after the cut at which it is known."""

    def judge(judged: Judgement, rows: pa.Table, market: str, months: list[Month]) -> str:
        limits = load_config().checks
        judged.rows += rows.num_rows
        if not rows.num_rows:
            return f"{judged.rows} quotes"
        bid, ask = (rows[name].to_numpy(zero_copy_only=False) for name in ("bid", "ask"))
        age = _us(rows["available_at"]) - _us(rows["quoted_at"])
        both = ~np.isnan(bid) & ~np.isnan(ask)
        judged.values += int(both.sum())
        as_of = _us(rows["as_of"])
        for day in np.unique(as_of):
            of_day = as_of == day
            date = dt.datetime.fromtimestamp(int(day) / 1e6, dt.UTC).date()
            crossed = float(np.mean((bid > ask)[of_day & both])) if (of_day & both).any() else 0.0
            old = float(np.mean(age[of_day] > limits.old_quote_hours * 3600e6))
            for wrong, fault in (
                (crossed > limits.crossed_quotes_share, f"{crossed:.0%} of the two-sided quotes are crossed"),
                (old > limits.old_quotes_share, f"{old:.0%} of the quotes are older than {limits.old_quote_hours:g} hours at the cut"),
                (not (of_day & both).any(), "no quote has both sides"),
            ):
                if wrong:
                    judged.accuse(market, str(Month.of(date)), day=date, fault=fault)
        # A restated row is available when it was seen, but its quote is still no later than that day.
        for i in np.flatnonzero(age < 0):
            row = rows.slice(int(i), 1).to_pylist()[0]
            judged.accuse(market, month_text(row["as_of"]), instrument=row["instrument"], quoted_at=row["quoted_at"], fault="after the cut")
        return f"{judged.rows} quotes, {judged.values} with both sides"

    return lake_check("quotes_sane", str(quotes_sane.__doc__), asset="option_quotes", weight=WARNS, judge=judge)


def _code(as_of: np.ndarray, number: np.ndarray) -> np.ndarray:
    """A day and an instrument id as one integer."""
    code: np.ndarray = number.astype(np.int64) * 100_000 + as_of // DAY_US
    return code


def _us(column: pa.ChunkedArray) -> np.ndarray:
    counts: np.ndarray = column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy()
    return counts


OPTION_CHECKS = [
    *(coverage(asset) for asset in ("option_definitions", "option_quotes", "option_statistics")),
    well_defined(),
    *(options_only(asset) for asset in ("option_quotes", "option_statistics")),
    quotes_sane(),
]
