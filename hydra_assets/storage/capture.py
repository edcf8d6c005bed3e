"""
The capture rules: what of a freshly fetched or computed month is new to the lake, and from when on it counts as known.

A row once captured is never altered. Which rows a re-download may add depends on who stamps the table: see `capture`.
"""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from hydra_assets.core.dataset import Stamps
from hydra_assets.core.instants import column_us, from_us, instants, to_us
from hydra_assets.core.same import same_number
from hydra_assets.errors import ConflictError, RetractionError, SchemaError
from hydra_assets.storage.folder import RETRACTED

_LOOK = b"hydra_look"
CONFIRMED_WITHIN_US = 86_400_000_000  # a first sight so soon after the calendar's stamp confirms it
_TIMES = ("as_of", "available_at", "stamped_at")
_DAY_US = 86_400_000_000
MAX_WITHDRAWN = 0.2


@dataclass(frozen=True)
class Look:
    """
    One complete look at a source: what it was asked, after clamping, and when.

    Attributes:
        source: who was asked, for example ``cftc``.
        start, end: the days of ``as_of`` that the answer covers, inclusive.
        symbols: what was asked for, for example contract codes.
        seen_at: aware instant at which the answer was seen.
        until: of a source that stamps its rows: the answer holds what was stamped before this instant; None: whatever there was.
        versions: of what parsed and stamped the answer, for example ``calendar`` and ``parser``; kept in the footers.
    """

    source: str
    start: dt.date
    end: dt.date
    symbols: Sequence[str] = field(default_factory=tuple)
    seen_at: dt.datetime = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    until: dt.datetime | None = None
    versions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        to_us(self.seen_at, what="Look.seen_at", rounding="ceil")
        for name in ("start", "end"):
            day = getattr(self, name)
            if isinstance(day, dt.datetime):
                object.__setattr__(self, name, from_us(to_us(day, what=f"Look.{name}", rounding="floor")).date())
        object.__setattr__(self, "symbols", (self.symbols,) if isinstance(self.symbols, str) else tuple(self.symbols))

    @property
    def seen_us(self) -> int:
        """``seen_at`` in microseconds UTC, rounded up."""
        return to_us(self.seen_at, what="Look.seen_at", rounding="ceil")

    def would_hold(self, as_of_us: int, available_us: int) -> bool:
        """Whether the answer would have held a row of this ``as_of`` that was available at this instant."""
        if self.seen_us < available_us or (self.until is not None and to_us(self.until, what="Look.until") <= available_us):
            return False
        return self.start <= from_us(as_of_us).date() <= self.end

    def attach(self, table: pa.Table) -> pa.Table:
        """*table* carrying this look as schema metadata, from the fetch to the lake's writer."""
        return table.replace_schema_metadata({**(table.schema.metadata or {}), _LOOK: self.to_json().encode()})

    @staticmethod
    def detach(table: pa.Table) -> "tuple[pa.Table, Look | None]":
        """The table without its look, and the look that it carried, if any."""
        metadata = dict(table.schema.metadata or {})
        raw = metadata.pop(_LOOK, None)
        return table.replace_schema_metadata(metadata or None), Look.from_dict(json.loads(raw)) if raw else None

    def to_json(self, **more: int) -> str:
        """One line of the look log."""
        fields = {**self.as_dict(), "start": self.start.isoformat(), "end": self.end.isoformat(), "seen_at": self.seen_us, **more}
        if self.versions:
            fields["versions"] = dict(self.versions)
        if self.until is not None:
            fields["until"] = to_us(self.until, what="Look.until")
        return json.dumps(fields)

    def as_dict(self) -> dict[str, Any]:
        """Fields for a table."""
        return {
            "source": self.source,
            "start": self.start,
            "end": self.end,
            "symbols": list(self.symbols),
            "seen_at": from_us(self.seen_us),
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "Look":
        """From the look log's JSON."""
        start, end = (dt.date.fromisoformat(raw[name]) for name in ("start", "end"))
        until = from_us(raw["until"]) if "until" in raw else None
        return cls(raw["source"], start, end, tuple(raw["symbols"]), from_us(raw["seen_at"]), until, raw.get("versions", {}))


@dataclass(frozen=True)
class Held:
    """What the folder holds: rows with all their columns, and each row's recording."""

    table: pa.Table
    recorded_at: np.ndarray
    retracted: np.ndarray


def capture(
    table: pa.Table, held: Held, *, key: Sequence[str], stamps: Stamps, look: Look, looks: Sequence[Look], place: str, allow_retract: bool
) -> tuple[pa.Table, int]:
    """
    The rows to append, and how many were ignored because an outdated look says something else than a newer one did.

    - ``ours`` (bars, quotes, COT): a row is compared with the newest vintage of its key. Equal: dropped. Different: a
      restatement. Unseen key: available as the row says.
    - ``vendor``: rows are told apart by key, as_of and ``stamped_at`` (nanoseconds). Unseen: available at its stamp. Another
      value than the newest recorded under the same stamp: a restatement.
    - ``derived``: the computation decides; a vintage with another value is recorded again, a vanished one withdrawn by a
      tombstone. More than a fifth of the month, or all because the input came empty, raises RetractionError.

    A restatement is available at max(the moment it was seen, the newest vintage + 1 us). An unseen row that was absent from an
    earlier complete look made after its stamp is available when it was seen. A look older than the newest one applied adds
    unseen keys only.
    """
    if stamps == "derived":
        return _derived(table, held, key=key, place=place, allow_retract=allow_retract), 0
    if stamps not in ("ours", "vendor"):
        raise SchemaError(f"{place}: stamps must be ours, vendor or derived, not {stamps!r}")
    if stamps == "vendor" and "stamped_at" not in table.column_names:
        raise SchemaError(f"{place}: a table that the vendor stamps needs the column 'stamped_at'")
    identity = [*key, "as_of", *(["stamped_at"] if stamps == "vendor" else [])]
    values = _value_columns(table, key)
    newest: dict[tuple[Any, ...], tuple[tuple[Any, ...], int]] = {}
    if held.table.num_rows:
        order = np.lexsort((held.recorded_at, column_us(held.table["available_at"], what="available_at")))
        had = held.table.take(pa.array(order))
        for k, v, at in zip(
            _tuples(had, identity), _tuples(had, values), column_us(had["available_at"], what="available_at").tolist(), strict=True
        ):
            newest[k] = (v, at)
    outdated = any(past.seen_us > look.seen_us and past.source == look.source for past in looks)
    past_looks = [past for past in looks if past.source == look.source and past.seen_us < look.seen_us]

    if not table.num_rows:
        return table, 0
    as_of = column_us(table["as_of"], what="as_of")
    if stamps == "vendor":
        available = column_us(table["stamped_at"], what="stamped_at", rounding="ceil")
    else:
        available = column_us(table["available_at"], what="available_at")
    rows, at, live, ignored = [], [], [], 0
    batch: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for i, (k, v) in enumerate(zip(_tuples(table, identity), _tuples(table, values), strict=True)):
        if k in batch:
            if _same(batch[k], v):
                continue
            raise ConflictError(f"{place}: one batch says two things about {dict(zip(identity, k, strict=True))}")
        batch[k] = v
        if k not in newest:
            absent = any(past.would_hold(int(as_of[i]), int(available[i])) for past in past_looks)
            rows.append(i)
            at.append(max(look.seen_us, int(available[i])) if absent else int(available[i]))
            live.append(absent or confirmed(look.seen_us, int(available[i])))
        elif _same(newest[k][0], v):
            continue
        elif outdated:
            ignored += 1
        else:
            rows.append(i)
            at.append(max(look.seen_us, newest[k][1] + 1))
            live.append(True)
    fresh = table.take(pa.array(rows, pa.int64()))
    return _stamped(fresh, np.array(at, dtype=np.int64), np.array(live, dtype=bool), stamps), ignored


def confirmed(seen_us: int | None, available_us: int) -> bool:
    """Whether a first sight came so soon after the stamp that the stamp is sure."""
    return seen_us is not None and 0 <= seen_us - available_us <= CONFIRMED_WITHIN_US


def _stamped(rows: pa.Table, at: np.ndarray, live: np.ndarray, stamps: Stamps) -> pa.Table:
    """*rows* with their final ``available_at``; a stamp that we saw live is sure, so ``partial`` for an unsure stamp ends."""
    column = rows.column_names.index("available_at")
    rows = rows.set_column(column, rows.schema.field(column), pa.chunked_array([instants(at)]))
    if stamps == "ours" and "quality" in rows.column_names and live.any():
        column = rows.column_names.index("quality")
        words = ["normal" if seen and word == "partial" else word for word, seen in zip(rows["quality"].to_pylist(), live, strict=True)]
        rows = rows.set_column(column, rows.schema.field(column), pa.chunked_array([pa.array(words, rows.schema.field(column).type)]))
    return rows


def _derived(table: pa.Table, held: Held, *, key: Sequence[str], place: str, allow_retract: bool) -> pa.Table:
    identity = [*key, "as_of", "available_at"]
    # A derived row is its value and its quality word: unlike a raw row's, that word is part of the computation's answer.
    values = [name for name in table.column_names if name not in identity]
    believed: dict[tuple[Any, ...], tuple[tuple[Any, ...], int]] = {}
    if held.table.num_rows:
        order = np.argsort(held.recorded_at, kind="stable")
        had = held.table.take(pa.array(order))
        present = [name for name in values if name in had.column_names]
        for k, v, i in zip(_tuples(had, identity), _tuples(had, present), order.tolist(), strict=True):
            if held.retracted[i]:
                believed.pop(k, None)
            else:
                believed[k] = (v, i)
        if present != values:  # a column was added: every row is new
            believed = {k: ((), i) for k, (_, i) in believed.items()}
    fresh: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    rows = []
    for i, (k, v) in enumerate(zip(_tuples(table, identity), _tuples(table, values), strict=True)):
        if k in fresh:
            if _same(fresh[k], v):
                continue
            raise ConflictError(f"{place}: one batch says two things about {dict(zip(identity, k, strict=True))}")
        fresh[k] = v
        if k not in believed or not _same(believed[k][0], v):
            rows.append(i)
    gone = [i for k, (_, i) in believed.items() if k not in fresh]
    guard_withdrawal(len(gone), len(believed), place, allow_retract=allow_retract)
    kept = table.take(pa.array(rows, pa.int64()))
    if not gone:
        return kept
    tombstones = held.table.take(pa.array(gone, pa.int64())).select([n for n in table.column_names if n in held.table.column_names])
    marked = [
        part.append_column(RETRACTED, pa.array([flag] * part.num_rows, pa.bool_())) for part, flag in ((kept, False), (tombstones, True))
    ]
    return pa.concat_tables(marked, promote_options="default")


def guard_withdrawal(gone: int, believed: int, place: str, *, allow_retract: bool) -> None:
    """RetractionError where a recomputation would withdraw more than a fifth of what is believed."""
    if gone > believed * MAX_WITHDRAWN and not allow_retract:
        raise RetractionError(
            f"{place}: {gone} of {believed} vintages would be withdrawn, more than a fifth; nothing was changed."
            " If the computation was mended, pass allow_retract=True; if an input came empty, fetch it first"
        )


def _value_columns(table: pa.Table, key: Sequence[str]) -> list[str]:
    # Our own word on a row is no news from the vendor: a calendar reviewed later must not look like a revision.
    return [name for name in table.column_names if name not in (*key, *_TIMES, "quality")]


def _tuples(table: pa.Table, columns: Sequence[str]) -> list[tuple[Any, ...]]:
    if not columns:
        return [()] * table.num_rows
    lists = []
    for name in columns:
        if name not in table.column_names:
            lists.append([None] * table.num_rows)
            continue
        column = table[name]
        # Instants as integers: exact at nanoseconds, and far faster than datetime objects.
        lists.append((column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column).to_pylist())
    return list(zip(*lists, strict=True))


def _same(a: Sequence[Any], b: Sequence[Any]) -> bool:
    return len(a) == len(b) and all(_equal(x, y) for x, y in zip(a, b, strict=True))


def _equal(a: Any, b: Any) -> bool:
    return same_number(a, b) if isinstance(a, float) and isinstance(b, float) else bool(a == b)
