"""
The capture rules: which rows of a fetched or computed month are new to the lake, and the instant from which each counts as known.

A row once captured is never altered. Which rows a re-download may add depends on who stamps the table: see `capture`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from hydra_assets.core.instants import DAY_US, column_us, instants
from hydra_assets.core.tables.table import Stamps
from hydra_assets.errors import SchemaError
from hydra_assets.storage.diff import Diff
from hydra_assets.storage.folder import RETRACTED
from hydra_assets.storage.look import Look
from hydra_assets.storage.withdrawal import guard_withdrawal

__all__ = ["Existing", "Look", "capture"]

CONFIRMED_WITHIN_US = DAY_US  # a first sight so soon after the calendar's stamp confirms it
_TIMES = ("as_of", "available_at", "stamped_at")


@dataclass(frozen=True)
class Existing:
    """A folder's rows with all their columns, and each row's recording."""

    table: pa.Table
    recorded_at: np.ndarray
    retracted: np.ndarray


def capture(
    table: pa.Table,
    existing: Existing,
    *,
    key: Sequence[str],
    stamps: Stamps,
    look: Look,
    looks: Sequence[Look],
    place: str,
    allow_retract: bool,
    scheduled: bool,
) -> tuple[pa.Table, int]:
    """
    The rows to append, and the number of those ignored because an outdated look contradicts a newer one.

    - ``ours`` (bars, quotes, COT): a row is compared with the newest vintage of its key. Equal: dropped. Different: a
      restatement. Unseen key: available as the row says.
    - ``vendor``: rows are identified by key, as_of and ``stamped_at`` (nanoseconds). Unseen: available at its stamp. Another
      value than the newest recorded under the same stamp: a restatement.
    - ``derived``: the computation decides; a vintage with another value is recorded again, a vanished one withdrawn by a
      tombstone. More than a fifth of the month, or all because the input came empty, raises RetractionError.

    A restatement is available at max(the moment it was seen, the newest vintage + 1 us). An unseen row that was absent from an
    earlier complete look made after its stamp is available when it was seen. A look older than the newest one applied adds
    unseen keys only. Where stamps are *scheduled*, ``partial`` says that a row's stamp is a guess, and ends where the row was seen live;
    elsewhere it says something of the row itself (a bar that is no whole session) and stays.
    """
    if stamps == "derived":
        return _derived(table, existing, key=key, place=place, allow_retract=allow_retract), 0
    if stamps not in ("ours", "vendor"):
        raise SchemaError(f"{place}: stamps must be ours, vendor or derived, not {stamps!r}")
    if stamps == "vendor" and "stamped_at" not in table.column_names:
        raise SchemaError(f"{place}: a table that the vendor stamps needs the column 'stamped_at'")
    if not table.num_rows:
        return table, 0
    order = np.zeros(0, dtype=np.int64)
    if existing.table.num_rows:
        order = np.lexsort((existing.recorded_at, column_us(existing.table["available_at"], what="available_at")))
    identity = [*key, "as_of", *(["stamped_at"] if stamps == "vendor" else [])]
    diff = Diff(existing.table, order, table, identity, _value_columns(table, key), place)
    outdated = any(past.seen_us > look.seen_us and past.source == look.source for past in looks)
    past_looks = [past for past in looks if past.source == look.source and past.seen_us < look.seen_us]

    as_of = column_us(table["as_of"], what="as_of")
    if stamps == "vendor":
        available = column_us(table["stamped_at"], what="stamped_at", rounding="ceil")
    else:
        available = column_us(table["available_at"], what="available_at")
    seen = look.seen_us
    absent = np.zeros(table.num_rows, dtype=bool)
    for past in past_looks:
        absent |= past.would_hold(as_of, available)
    at = np.where(absent, np.maximum(seen, available), available)
    live = absent | ((seen >= available) & (seen - available <= CONFIRMED_WITHIN_US))
    known, different = diff.known & diff.first, diff.different & diff.first
    if different.any():
        newest_at = column_us(existing.table["available_at"], what="available_at")[order[diff.newest[different]]]
        at[different], live[different] = np.maximum(seen, newest_at + 1), True
    ignored = int(different.sum()) if outdated else 0
    rows = np.flatnonzero((diff.first & ~known) | (different & (not outdated)))
    return _stamped(table.take(pa.array(rows, pa.int64())), at[rows], live[rows] & scheduled), ignored


def confirmed(seen_us: int | None, available_us: int) -> bool:
    """Whether a first sight came so soon after the stamp that the stamp is sure."""
    return seen_us is not None and 0 <= seen_us - available_us <= CONFIRMED_WITHIN_US


def _stamped(rows: pa.Table, at: np.ndarray, sure: np.ndarray) -> pa.Table:
    """*rows* with their final ``available_at``; ``partial`` ends where the stamp is *sure*."""
    column = rows.column_names.index("available_at")
    rows = rows.set_column(column, rows.schema.field(column), pa.chunked_array([instants(at)]))
    if "quality" in rows.column_names and sure.any():
        column = rows.column_names.index("quality")
        found = zip(rows["quality"].to_pylist(), sure, strict=True)
        qualities = ["normal" if seen and quality == "partial" else quality for quality, seen in found]
        rows = rows.set_column(column, rows.schema.field(column), pa.chunked_array([pa.array(qualities, rows.schema.field(column).type)]))
    return rows


def _derived(table: pa.Table, existing: Existing, *, key: Sequence[str], place: str, allow_retract: bool) -> pa.Table:
    identity = [*key, "as_of", "available_at"]
    # Unlike a raw row's, the quality of a derived row is part of the computation's answer.
    values = [name for name in table.column_names if name not in identity]
    order = np.argsort(existing.recorded_at, kind="stable")
    diff = Diff(existing.table, order, table, identity, values, place)
    # The newest recording of each vintage decides; a tombstone means that there is none.
    newest = diff.newest_existing()
    current = newest[~existing.retracted[order[newest]]]
    stands = diff.known.copy()
    stands[diff.known] = ~existing.retracted[order[diff.newest[diff.known]]]
    added = any(name not in existing.table.column_names for name in values)  # a column was added: every row is new
    rows = np.flatnonzero(diff.first & (~stands | diff.different | added))
    withdrawn = np.sort(order[current[~diff.among_new(current)]])
    guard_withdrawal(len(withdrawn), len(current), place, allow_retract=allow_retract)
    kept = table.take(pa.array(rows, pa.int64()))
    if not len(withdrawn):
        return kept
    columns = [name for name in table.column_names if name in existing.table.column_names]
    tombstones = existing.table.take(pa.array(withdrawn, pa.int64())).select(columns)
    return pa.concat_tables([flagged(kept, withdraws=False), flagged(tombstones, withdraws=True)], promote_options="default")


def flagged(rows: pa.Table, *, withdraws: bool) -> pa.Table:
    """*rows* with the hidden column that tells tombstones from others."""
    return rows.append_column(RETRACTED, pa.array([withdraws] * rows.num_rows, pa.bool_()))


def _value_columns(table: pa.Table, key: Sequence[str]) -> list[str]:
    # `quality` is ours, not the vendor's: a change of it is no revision.
    return [name for name in table.column_names if name not in (*key, *_TIMES, "quality")]
