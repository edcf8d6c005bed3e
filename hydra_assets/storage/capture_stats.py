"""Counts of vintages of a table stamped by us: captured live, or filled in later."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from hydra_assets.core.instants import column_us
from hydra_assets.core.point_in_time import recordings_that_count
from hydra_assets.storage.capture import confirmed
from hydra_assets.storage.folder import SEEN, recording_columns
from hydra_assets.storage.keys import key_codes


@dataclass(frozen=True)
class CaptureStats:
    """
    Counts of the vintages that exist.

    Attributes:
        live: first seen within a day of their stamp, or restatements, which are known only because they were seen.
        backfilled: the rest, whose stamp rests on the calendar alone.
    """

    live: int
    backfilled: int


def capture_stats_of(held: pa.Table, key: Sequence[str]) -> CaptureStats:
    """Counts over rows with the hidden columns, at least one."""
    group = key_codes(held, key)
    available, seen = column_us(held["available_at"], what="available_at"), held[SEEN].to_pylist()
    order = recordings_that_count(group, available, *recording_columns(held)).tolist()
    restated = [bool(at) and group[order[at - 1]] == group[i] for at, i in enumerate(order)]
    live = sum(1 for again, i in zip(restated, order, strict=True) if again or confirmed(seen[i], int(available[i])))
    return CaptureStats(live, len(order) - live)
