"""
Correction of our own stamps: the vintage is withdrawn by a tombstone and appended under the right stamp.

An earlier ``recorded_by`` still sees the wrong one. No table brings forward a stamp that a live sight gave.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from hydra_assets.core.instants import INSTANT, column_us, instants, iso
from hydra_assets.core.point_in_time import recordings_that_count
from hydra_assets.errors import InvalidTimeError, SchemaError
from hydra_assets.storage.capture import Look, confirmed, flagged
from hydra_assets.storage.folder import RECORDED, RETRACTED, SEEN, recording_columns
from hydra_assets.storage.keys import key_codes


def restamped(held: pa.Table, right: pa.Table, *, key: Sequence[str], looks: Sequence[Look], place: str) -> pa.Table:
    """
    The rows to append, tombstones among them.

    Only the first vintage of a row has a stamp of the calendar's; later ones are restatements, which were seen. It stays where it
    is when it was stamped with the moment of its own sight; it comes no earlier than a look in which it was absent; it stays
    before its first restatement; and where no sight of it is known, it can only come later.

    Args:
        held: the folder's rows with the hidden columns.
        right: *key*, ``as_of``, ``available_at`` and perhaps ``quality`` as they should be; rows it does not name stay.
        looks: logged in the folder.

    Raises:
        SchemaError: the vendor stamps the table.
        InvalidTimeError: a stamp before its ``as_of``.
    """
    if "stamped_at" in held.column_names:
        raise SchemaError(f"{place}: the vendor stamps this table; only stamps of ours can be put right")
    if not held.num_rows:
        return held
    names = [*(name for name in key if name != "as_of"), "as_of"]
    wanted = {tuple(row[name] for name in names): row for row in right.to_pylist()}
    available, as_of = column_us(held["available_at"], what="available_at"), column_us(held["as_of"], what="as_of")
    group = key_codes(held, names)
    order = recordings_that_count(group, available, *recording_columns(held))
    seen, rows = held[SEEN].to_pylist(), held.select(names).to_pylist()
    qualities = held["quality"].to_pylist() if "quality" in held.column_names else None
    moved: list[tuple[int, int, str | None]] = []
    for at, i in enumerate(order.tolist()):
        if at and group[order[at - 1]] == group[i]:
            continue  # a restatement
        answer = wanted.get(tuple(rows[i].values()))
        if answer is None or seen[i] == available[i]:
            continue
        stamp = int(column_us(pa.array([answer["available_at"]], INSTANT), what="available_at", rounding="ceil")[0])
        if seen[i] is None:
            stamp = max(stamp, int(available[i]))
        elif any(past.seen_us < seen[i] and past.would_hold(as_of[i : i + 1], np.array([stamp]))[0] for past in looks):
            stamp = max(stamp, seen[i])
        if at + 1 < len(order) and group[order[at + 1]] == group[i]:
            stamp = min(stamp, int(available[order[at + 1]]) - 1)
        if stamp < as_of[i]:
            raise InvalidTimeError(f"{place}: {rows[i]} would be available at {iso(stamp)}, before its as_of")
        quality = qualities[i] if qualities else None
        if qualities and answer.get("quality"):
            quality = "normal" if answer["quality"] == "partial" and confirmed(seen[i], stamp) else answer["quality"]
        if stamp != available[i] or (qualities and quality != qualities[i]):
            moved.append((i, stamp, quality))
    return _written(held, available, moved)


def _written(held: pa.Table, available: np.ndarray, moved: Sequence[tuple[int, int, str | None]]) -> pa.Table:
    columns = [name for name in held.column_names if name not in (RECORDED, RETRACTED, "_written_day")]
    gone = held.take(pa.array([i for i, stamp, _ in moved if stamp != available[i]], pa.int64())).select(columns)
    fresh = held.take(pa.array([i for i, _, _ in moved], pa.int64())).select(columns)
    at = fresh.column_names.index("available_at")
    stamps = pa.chunked_array([instants(np.array([stamp for _, stamp, _ in moved], dtype=np.int64))])
    fresh = fresh.set_column(at, fresh.schema.field(at), stamps)
    if "quality" in columns:
        at = fresh.column_names.index("quality")
        fresh = fresh.set_column(at, fresh.schema.field(at), pa.array([quality for *_, quality in moved], fresh.schema.field(at).type))
    return pa.concat_tables([flagged(gone, withdraws=True), flagged(fresh, withdraws=False)])
