"""Identities of the COT report."""

import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.checks.check import Scope, check, only
from hydra_assets.checks.report import CheckReport
from hydra_assets.core.tables.cot import COT_DISAGGREGATED, COT_GROUPS

_SPREADS = tuple(f"{group}_spread" for group in ("swap", "mm", "other"))


@check("cot_identity", applies_to=only(COT_DISAGGREGATED), severity="blocks")
def cot_identity(report: CheckReport, scope: Scope, rows: pa.Table) -> str:
    """Longs + spreads = shorts + spreads = open interest, in every row of the lake."""
    report.count(rows.num_rows, rows.num_rows - rows["open_interest"].null_count if rows.num_rows else 0)
    for side in ("long", "short") if rows.num_rows else ():
        first, *others = (rows[name] for name in (*(f"{group}_{side}" for group in COT_GROUPS), *_SPREADS))
        total = first
        for column in others:
            total = pc.add(total, column)
        wrong = pc.invert(pc.fill_null(pc.equal(total, rows["open_interest"]), False))
        found = (column.filter(wrong).to_pylist() for column in (rows["as_of"], total, rows["open_interest"]))
        for as_of, made, stated in zip(*found, strict=True):
            report.add_failure(scope.market, as_of, as_of=as_of, side=side, sum=made, open_interest=stated)
    return f"{report.rows} reports"
