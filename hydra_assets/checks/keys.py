"""Uniqueness of keys in the lake."""

import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.checks.check import Scope, check, every_table
from hydra_assets.checks.report import CheckReport


@check("keys_unique", applies_to=every_table, severity="blocks", reads="recordings")
def keys_unique(report: CheckReport, scope: Scope, rows: pa.Table) -> str:
    """No key has duplicate vintages: in one recording of a derived table (which may record it again), in all of a raw one."""
    table = scope.table
    # Vendor-stamped prints can share an available_at if both were captured late, so stamped_at is part of the key.
    names = [*table.key, "as_of", *(["stamped_at"] if table.stamps == "vendor" else []), "available_at"]
    report.count(rows.num_rows)
    if rows.num_rows:
        once = rows.filter(pc.invert(rows["restamped"]))  # restamped rows are legitimate duplicates
        by = [*names, *(["recording"] if table.stamps == "derived" else [])]
        counted = once.group_by(by).aggregate([([], "count_all")])
        for row in counted.filter(pc.greater(counted["count_all"], 1)).select([*names, "count_all"]).to_pylist():
            report.add_failure(scope.market, row["as_of"], rows=row.pop("count_all"), **row)
    return f"{report.rows} rows by {', '.join(names)}"
