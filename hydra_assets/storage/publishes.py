"""Publishes: the inputs that each month of features was last computed from, so that older inputs never take the place of newer ones."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from hydra_assets.core.instants import INSTANT, iso
from hydra_assets.errors import StaleInputsError
from hydra_assets.storage.fact_table import FactTable

PUBLISHES = pa.schema(
    [
        ("market", pa.string()),
        ("month", pa.string()),
        ("features", pa.string()),
        ("recorded_at", INSTANT),
        ("folder", pa.string()),
        ("input_recorded_at", INSTANT),
        ("new_rows", pa.int64()),
    ]
)
"""One row for each folder of the lake that a publish used, and one without a folder where it used none."""


def refuse_stale(facts: FactTable, market: str, month: str, scope: str, used: Mapping[str, int]) -> None:
    """
    Refuse a publish from inputs older than those of an earlier publish that spoke for one of its features.

    Args:
        facts: inside a transaction.
        used: folder to the newest recording in it, microseconds UTC.

    Raises:
        StaleInputsError: naming the folder.
    """
    for folder, recorded in used.items():
        newest = facts.newest_input(market, month, scope, folder)
        if newest is not None and recorded < newest:
            raise StaleInputsError(
                f"{market} {month}: computed from {folder} as recorded at {iso(recorded)}, but already published from it as recorded at"
                f" {iso(newest)}; compute again from the lake as it is"
            )


def publish_rows(market: str, month: str, scope: str, at: int, used: Mapping[str, int], new_rows: int) -> list[tuple[Any, ...]]:
    """Rows of one publish, in the order of PUBLISHES."""
    return [(market, month, scope, at, folder, recorded, new_rows) for folder, recorded in (used or {"": 0}).items()]


def publishes_table(rows: Iterable[Sequence[Any]]) -> pa.Table:
    """Rows in the order of PUBLISHES as a table."""
    columns = list(zip(*rows, strict=True)) or [()] * len(PUBLISHES)
    return pa.table(
        [
            pa.array(column, pa.int64()).cast(INSTANT) if kind == INSTANT else pa.array(column, kind)
            for column, kind in zip(columns, PUBLISHES.types, strict=True)
        ],
        schema=PUBLISHES,
    )
