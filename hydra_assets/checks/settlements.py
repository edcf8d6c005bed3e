"""Settlements of the statistics tables, as several checks need them: which print of a contract's session stands."""

import datetime as dt
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def standing_prints(rows: pa.Table) -> pa.Table:
    """
    The print that stands for each contract's session: the newest final one; where none is final, the newest of the others.

    A deletion is a final print without a value. A print that is not final stands from noon of the next session on; one of a feed
    without flags (``is_final`` null) at its own time.
    """
    if not rows.num_rows:
        return rows
    settled = rows.filter(pc.equal(rows["stat"], "settlement"))
    settled = settled.append_column("_final", pc.fill_null(settled["is_final"], False))
    settled = settled.sort_by([(name, "ascending") for name in ("_final", "stamped_at", "available_at")])
    settled = settled.append_column("_row", pa.array(range(settled.num_rows), pa.int64()))
    newest = settled.group_by(["instrument_id", "as_of"]).aggregate([("_row", "max")])["_row_max"]
    return settled.take(np.sort(newest.to_numpy())).drop_columns(["_final", "_row"])


def settlements(rows: pa.Table) -> list[dict[str, Any]]:
    """Settlements that stand and hold a value."""
    standing = standing_prints(rows)
    if not standing.num_rows:
        return []
    names = ["instrument", "instrument_id", "expiration", "as_of", "value"]
    held: list[dict[str, Any]] = standing.filter(pc.is_valid(standing["value"])).select(names).to_pylist()
    return held


@dataclass(frozen=True)
class SettledDays:
    """
    Days with a settlement that stands.

    Attributes:
        all: every one of them.
        inferred: those on which a contract has no final print, and an actual one stands in for it.
        unflagged: those on which a contract's print carries no word on being final.
    """

    all: set[dt.date]
    inferred: set[dt.date]
    unflagged: set[dt.date]

    @classmethod
    def of(cls, rows: pa.Table) -> "SettledDays":
        """Settled days of a table of statistics."""
        standing = standing_prints(rows)
        if not standing.num_rows:
            return cls(set(), set(), set())
        standing = standing.filter(pc.is_valid(standing["value"]))
        final = standing["is_final"]

        def days(which: pa.ChunkedArray) -> set[dt.date]:
            return {as_of.date() for as_of in pc.unique(standing["as_of"].filter(which)).to_pylist()}

        return cls(days(pc.is_valid(standing["value"])), days(pc.fill_null(pc.invert(final), False)), days(pc.is_null(final)))


def settlements_by_contract(rows: pa.Table) -> list[tuple[str, list[dict[str, Any]]]]:
    """
    Settlements of each contract in the order of their days.

    A contract is its month's letter and its delivery: a symbol that comes back after ten years is another one, a corrected day of
    expiration or a year written with two digits is not.
    """
    series: dict[tuple[str, int, int], list[dict[str, Any]]] = {}
    for row in sorted(settlements(rows), key=lambda row: row["as_of"]):
        expiration = row["expiration"]
        series.setdefault((row["instrument"].rstrip("0123456789"), expiration.year, expiration.month), []).append(row)
    return [(found[-1]["instrument"], found) for found in series.values()]


def traded_days(rows: pa.Table) -> set[tuple[int, dt.datetime]]:
    """Instrument ids and days with a cleared volume above 0."""
    volumes = rows.select(["instrument_id", "as_of", "stat", "value"]).to_pylist() if rows.num_rows else []
    return {(row["instrument_id"], row["as_of"]) for row in volumes if row["stat"] == "cleared_volume" and row["value"]}
