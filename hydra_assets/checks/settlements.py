"""Final settlements of `futures_statistics`, as several checks need them."""

import datetime as dt
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


def final_settlements(rows: pa.Table) -> list[dict[str, Any]]:
    """Final settlements that hold a value, the newest print of each."""
    if not rows.num_rows:
        return []
    final = pc.and_(pc.equal(rows["stat"], "settlement"), pc.fill_null(rows["is_final"], False))
    ordered = rows.filter(final).sort_by([("stamped_at", "ascending"), ("available_at", "ascending")])
    newest = {}
    for row in ordered.select(["instrument", "instrument_id", "expiration", "as_of", "value"]).to_pylist():
        newest[row["instrument_id"], row["as_of"]] = row
    return [row for row in newest.values() if row["value"] is not None]


def settlements_by_contract(rows: pa.Table) -> list[tuple[str, list[dict[str, Any]]]]:
    """Final settlements of each contract in the order of their days; a symbol that comes back after ten years is another contract."""
    series: dict[tuple[str, dt.datetime], list[dict[str, Any]]] = {}
    for row in sorted(final_settlements(rows), key=lambda row: row["as_of"]):
        series.setdefault((row["instrument"], row["expiration"]), []).append(row)
    return [(name, found) for (name, _), found in series.items()]


def traded_days(rows: pa.Table) -> set[tuple[int, dt.datetime]]:
    """Instrument ids and days with a cleared volume above 0."""
    volumes = rows.select(["instrument_id", "as_of", "stat", "value"]).to_pylist() if rows.num_rows else []
    return {(row["instrument_id"], row["as_of"]) for row in volumes if row["stat"] == "cleared_volume" and row["value"]}
