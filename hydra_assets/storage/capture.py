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
import pandas as pd
import pyarrow as pa

from hydra_assets.core.instants import DAY_US, column_us, day_us, from_us, instants, to_us
from hydra_assets.core.tables.table import Stamps
from hydra_assets.core.tolerance import same_numbers
from hydra_assets.errors import ConflictError, SchemaError
from hydra_assets.storage.folder import RETRACTED
from hydra_assets.storage.withdrawal import guard_withdrawal

CONFIRMED_WITHIN_US = 86_400_000_000  # a first sight so soon after the calendar's stamp confirms it
_TIMES = ("as_of", "available_at", "stamped_at")


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

    def would_hold(self, as_of_us: np.ndarray, available_us: np.ndarray) -> np.ndarray:
        """Whether the answer would have held rows of these ``as_of`` that were available at these instants."""
        low, high = (day_us(day) for day in (self.start, self.end))
        held = (available_us <= self.seen_us) & (low <= as_of_us) & (as_of_us < high + DAY_US)
        return held if self.until is None else held & (available_us < to_us(self.until, what="Look.until"))

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
    if not table.num_rows:
        return table, 0
    order = np.lexsort((held.recorded_at, column_us(held.table["available_at"], what="available_at"))) if held.table.num_rows else _NONE
    identity = [*key, "as_of", *(["stamped_at"] if stamps == "vendor" else [])]
    both = _Compared(held.table, order, table, identity, _value_columns(table, key), place)
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
    known, different = both.known & both.first, both.different & both.first
    if different.any():
        newest_at = column_us(held.table["available_at"], what="available_at")[order[both.newest[different]]]
        at[different], live[different] = np.maximum(seen, newest_at + 1), True
    ignored = int(different.sum()) if outdated else 0
    rows = np.flatnonzero((both.first & ~known) | (different & (not outdated)))
    return _stamped(table.take(pa.array(rows, pa.int64())), at[rows], live[rows], stamps), ignored


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
    order = np.argsort(held.recorded_at, kind="stable")
    both = _Compared(held.table, order, table, identity, values, place)
    # Of each vintage held the newest recording decides; a tombstone means that there is none.
    newest = both.newest_held()
    believed = newest[~held.retracted[order[newest]]]
    stands = both.known.copy()
    stands[both.known] = ~held.retracted[order[both.newest[both.known]]]
    added = any(name not in held.table.column_names for name in values)  # a column was added: every row is new
    rows = np.flatnonzero(both.first & (~stands | both.different | added))
    gone = np.sort(order[believed[~both.in_table(believed)]])
    guard_withdrawal(len(gone), len(believed), place, allow_retract=allow_retract)
    kept = table.take(pa.array(rows, pa.int64()))
    if not len(gone):
        return kept
    tombstones = held.table.take(pa.array(gone, pa.int64())).select([n for n in table.column_names if n in held.table.column_names])
    marked = [
        part.append_column(RETRACTED, pa.array([flag] * part.num_rows, pa.bool_())) for part, flag in ((kept, False), (tombstones, True))
    ]
    return pa.concat_tables(marked, promote_options="default")


def _value_columns(table: pa.Table, key: Sequence[str]) -> list[str]:
    # Our own word on a row is no news from the vendor: a calendar reviewed later must not look like a revision.
    return [name for name in table.column_names if name not in (*key, *_TIMES, "quality")]


_NONE = np.zeros(0, dtype=np.int64)


class _Compared:
    """
    What is held and what came, by identity.

    Args:
        held: rows of the folder; *order* is theirs from the oldest to the newest. table: what came.
        identity, values: the columns that tell rows apart, and those that a row says.
        place: for errors.
    Attributes:
        first: of the rows that came, the first of its identity; further ones say the same, or ConflictError is raised.
        newest: place in *order* of the newest row held of each row's identity, -1 for none; known: there is one.
        different: it says something else.
    """

    def __init__(
        self, held: pa.Table, order: np.ndarray, table: pa.Table, identity: Sequence[str], values: Sequence[str], place: str
    ) -> None:
        self._held, n = held.num_rows, table.num_rows
        columns = [*identity, *values]
        had = held.select([name for name in columns if name in held.column_names]).take(pa.array(order)) if held.num_rows else None
        came = table.select(columns)
        rows = came if had is None else pa.concat_tables([had, came], promote_options="default").select(columns)
        self._codes = _codes(rows, identity)
        mine = self._codes[self._held :]
        _, lead, group = np.unique(mine, return_index=True, return_inverse=True)
        lead = lead[group.reshape(-1)]
        self.first = lead == np.arange(n)
        again = np.flatnonzero(~self.first)
        told = [_Told(rows[name]) for name in values]
        if len(again):
            clash = again[~_same(told, again + self._held, lead[again] + self._held)]
            if len(clash):
                row = table.select(identity).slice(int(clash[0]), 1).to_pylist()[0]
                raise ConflictError(f"{place}: one batch says two things about {row}")
        newest = np.full(int(self._codes.max(initial=-1)) + 1, -1, dtype=np.int64)
        newest[self._codes[: self._held]] = np.arange(self._held)  # of equal ones the last stands
        self._newest = newest
        self.newest = newest[mine]
        self.known = self.newest >= 0
        self.different = np.zeros(n, dtype=bool)
        both = np.flatnonzero(self.known)
        self.different[both] = ~_same(told, both + self._held, self.newest[both])

    def newest_held(self) -> np.ndarray:
        """Places in *order* of the newest row of every identity held."""
        return self._newest[self._newest >= 0]

    def in_table(self, places: np.ndarray) -> np.ndarray:
        """Whether the identities of these places in *order* came, too."""
        return np.isin(self._codes[places], self._codes[self._held :])


def _codes(rows: pa.Table, columns: Sequence[str]) -> np.ndarray:
    """One integer per distinct combination of *columns*."""
    code = np.zeros(rows.num_rows, dtype=np.int64)
    for name in columns:
        encoded = rows[name].combine_chunks().dictionary_encode(null_encoding="encode")
        indices = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        code = pd.factorize(code * (len(encoded.dictionary) + 1) + indices)[0].astype(np.int64)
    return code


class _Told:
    """One column of what rows say, ready to be compared: numbers up to float noise, all else exactly, null with null."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        kind = column.type
        self._valid = column.is_valid().to_numpy()
        self._number = pa.types.is_floating(kind)
        if self._number:
            self._cells = column.cast(pa.float64()).to_numpy()
        elif pa.types.is_nested(kind):
            self._cells = np.empty(len(column), dtype=object)
            self._cells[:] = column.to_pylist()
        else:
            self._cells = column.combine_chunks().dictionary_encode(null_encoding="encode").indices.to_numpy(zero_copy_only=False)

    def same(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Whether rows *a* and *b* say the same."""
        x, y = self._cells[a], self._cells[b]
        equal = same_numbers(x, y) & (self._valid[a] == self._valid[b]) if self._number else x == y
        return np.asarray(equal, dtype=bool)


def _same(told: Sequence[_Told], a: np.ndarray, b: np.ndarray) -> np.ndarray:
    same = np.ones(len(a), dtype=bool)
    for column in told:
        same &= column.same(a, b)
    return same
