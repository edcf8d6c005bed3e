"""Checks of raw option tables: options alone, and plausible quotes."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.checks.check import Scope, check, defined_by, from_days_before, only
from hydra_assets.checks.report import CheckReport
from hydra_assets.core.instants import DAY_US, column_us, from_us
from hydra_assets.core.tables.futures import FUTURES_DEFINITIONS
from hydra_assets.core.tables.options import OPTION_DEFINITIONS, OPTION_QUOTES

DEFINED_BEFORE = 7  # days: where a definition is lost, the option is what its id was shortly before


@check("well_defined", applies_to=only(OPTION_DEFINITIONS), severity="warns", beside=FUTURES_DEFINITIONS.name)
def well_defined(report: CheckReport, scope: Scope, rows: pa.Table, futures: pa.Table) -> str:
    """Every definition is of a call or a put with a strike, on a future, that has not expired; its id is no future's of that day."""
    report.count(rows.num_rows)
    if not rows.num_rows:
        return f"{report.rows} definitions"
    day, ids = column_us(rows["as_of"], what="as_of"), rows["instrument_id"].to_numpy()
    futures_day, futures_id = day[:0], ids[:0]
    if futures.num_rows:
        futures_day, futures_id = column_us(futures["as_of"], what="as_of"), futures["instrument_id"].to_numpy()
    known = _codes(futures_day, futures_id)
    compared = np.isin(day, futures_day)  # the futures of a month may not be held yet
    underlying = rows["underlying_id"].fill_null(0).to_numpy()
    strike = rows["strike"].to_numpy(zero_copy_only=False)
    negative = scope.below_zero | np.isin(_codes(day, underlying), _codes(futures_day, futures_id)[_negative_allowed(futures)])
    for wrong, fault in (
        (~pc.is_in(rows["right"], pa.array(["C", "P"])).to_numpy(), "neither C nor P"),
        ((underlying == 0) | pc.equal(rows["underlying"].fill_null(""), "").to_numpy(), "no underlying"),
        (~(strike > 0) & ~(negative & ~np.isnan(strike)), "no strike"),
        (column_us(rows["expiration"], what="expiration") < day, "expired"),
        (np.isin(_codes(day, ids), known), "its id is a future's"),
        (compared & ~np.isin(_codes(day, underlying), known), "its underlying is no future of that day"),
    ):
        for row in rows.select(["instrument", "as_of"]).filter(pa.array(wrong)).to_pylist():
            report.add_failure(scope.market, row["as_of"], instrument=row["instrument"], day=row["as_of"].date(), fault=fault)
    return f"{report.rows} definitions against the futures of their day"


@check(
    "options_only",
    applies_to=defined_by(OPTION_DEFINITIONS),
    severity="blocks",
    beside=OPTION_DEFINITIONS.name,
    span=from_days_before(DEFINED_BEFORE),
)
def options_only(report: CheckReport, scope: Scope, rows: pa.Table, definitions: pa.Table) -> str:
    """No combination, no future: every row's id was defined as this option; a quote's on its day, or shortly before and ``partial``."""
    if rows.num_rows:
        rows = rows.filter(pc.greater_equal(pc.cast(rows["as_of"], pa.date32()), pa.scalar(scope.months[0].first)))
    report.count(rows.num_rows)
    if rows.num_rows:
        by = ["instrument_id", "instrument"]
        if scope.table == OPTION_QUOTES:
            groups = _undefined_on_their_day(rows, definitions)
        else:
            groups = rows.group_by(by).aggregate([("as_of", "min")]).rename_columns({"as_of_min": "as_of"})
            if definitions.num_rows:
                groups = groups.join(definitions.select(by).group_by(by).aggregate([]), keys=by, join_type="left anti")
        for row in groups.sort_by("as_of").select([*by, "as_of"]).to_pylist():
            facts = {"instrument": row["instrument"], "instrument_id": row["instrument_id"], "day": row["as_of"].date()}
            report.add_failure(scope.market, row["as_of"], **facts, fault="defined as no call or put")
    return f"{report.rows} rows against the definitions"


def _undefined_on_their_day(quotes: pa.Table, definitions: pa.Table) -> pa.Table:
    """Quotes whose option is not defined on their day, or, ``normal`` ones apart, in the `DEFINED_BEFORE` days before it."""
    if not definitions.num_rows:
        return quotes
    names = np.concatenate([table["instrument"].to_numpy(zero_copy_only=False).astype(str) for table in (quotes, definitions)])
    code = np.unique(names, return_inverse=True)[1] * 2**32 + np.concatenate([t["instrument_id"].to_numpy() for t in (quotes, definitions)])
    option = np.unique(code, return_inverse=True)[1]
    key = _codes(np.concatenate([column_us(table["as_of"], what="as_of") for table in (quotes, definitions)]), option)
    wanted, known = key[: quotes.num_rows], np.sort(key[quotes.num_rows :])
    before = np.searchsorted(known, wanted, side="right") - 1
    age = np.where(before >= 0, wanted - known[np.maximum(before, 0)], DEFINED_BEFORE + 1)
    normal = pc.equal(quotes["quality"], "normal").to_numpy()
    return quotes.filter(pa.array(age > np.where(normal, 0, DEFINED_BEFORE)))


@check("quotes_sane", applies_to=only(OPTION_QUOTES), severity="warns")
def quotes_sane(
    report: CheckReport, scope: Scope, rows: pa.Table, *, crossed_quotes_share: float, old_quote_hours: float, old_quotes_share: float
) -> str:
    """Few quotes of a day are crossed, not too many are old, and none was made after the cut at which it is known."""
    if rows.num_rows:
        bid, ask = (rows[name].to_numpy(zero_copy_only=False) for name in ("bid", "ask"))
        as_of = column_us(rows["as_of"], what="as_of")
        age = column_us(rows["available_at"], what="available_at") - column_us(rows["quoted_at"], what="quoted_at")
        two_sided = ~np.isnan(bid) & ~np.isnan(ask)
        report.count(rows.num_rows, int(two_sided.sum()))
        for us in np.unique(as_of):
            of_day, day = as_of == us, from_us(us).date()
            both = of_day & two_sided
            crossed = float(np.mean((bid > ask)[both])) if both.any() else 0.0
            old = float(np.mean(age[of_day] > old_quote_hours * 3600e6))
            for wrong, fault in (
                (crossed > crossed_quotes_share, f"{crossed:.0%} of the two-sided quotes are crossed"),
                (old > old_quotes_share, f"{old:.0%} of the quotes are older than {old_quote_hours:g} hours at the cut"),
                (not both.any(), "no quote has both sides"),
            ):
                if wrong:
                    report.add_failure(scope.market, day, day=day, fault=fault)
        # A restated row is available when it was seen, but its quote is still no later than that day.
        for row in rows.filter(pa.array(age < 0)).select(["instrument", "as_of", "quoted_at"]).to_pylist():
            report.add_failure(scope.market, row.pop("as_of"), **row, fault="after the cut")
    return f"{report.rows} quotes, {report.values} with both sides"


def _negative_allowed(futures: pa.Table) -> np.ndarray:
    """Definitions of futures whose lower limit is 0 or less, so that a price can be negative."""
    if not futures.num_rows:
        return np.zeros(0, dtype=bool)
    allowed: np.ndarray = pc.fill_null(pc.less_equal(futures["low_limit"], 0), False).to_numpy(zero_copy_only=False)
    return allowed


def _codes(as_of: np.ndarray, number: np.ndarray) -> np.ndarray:
    """A day and an instrument id as one integer."""
    codes: np.ndarray = number.astype(np.int64) * 100_000 + as_of // DAY_US
    return codes
