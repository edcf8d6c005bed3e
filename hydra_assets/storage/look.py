"""A look at a source: the request and its instant, logged in the folder that it looked at."""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hydra_assets.core.instants import DAY_US, day_us, from_us, to_us, utc_day
from hydra_assets.core.names import names_of
from hydra_assets.errors import InvalidNameError


@dataclass(frozen=True)
class Look:
    """
    One complete look at a source: the request, after clamping, and its instant.

    Attributes:
        source: for example ``cftc``.
        start: first day of ``as_of`` that the answer covers.
        end: last day, inclusive.
        symbols: those requested, for example contract codes.
        seen_at: aware instant at which the answer was seen.
        until: of a source that stamps its rows: the answer holds rows stamped before this instant; None: all there were.
        versions: of the code and tables that parsed and stamped the answer, for example ``calendar``; kept in the footers.
        unpublished: days on which the source published for others, and nothing for *symbols*.
    """

    source: str
    start: dt.date
    end: dt.date
    symbols: Sequence[str] = field(default_factory=tuple)
    seen_at: dt.datetime = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    until: dt.datetime | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    unpublished: Sequence[dt.date] = ()

    def __post_init__(self) -> None:
        to_us(self.seen_at, what="Look.seen_at", rounding="ceil")
        for name in ("start", "end"):
            day = getattr(self, name)
            object.__setattr__(self, name, utc_day(day, f"Look.{name}"))
        object.__setattr__(self, "symbols", tuple(names_of(self.symbols, "Look.symbols")))
        days = [self.unpublished] if isinstance(self.unpublished, str | dt.date) else self.unpublished
        object.__setattr__(self, "unpublished", tuple(utc_day(day, "Look.unpublished") for day in days))
        if not isinstance(self.source, str):
            raise InvalidNameError(f"Look.source {self.source!r} is not a name")

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
        if self.unpublished:
            fields["unpublished"] = [day.isoformat() for day in self.unpublished]
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
        """Parse the look log's JSON."""
        start, end = (dt.date.fromisoformat(raw[name]) for name in ("start", "end"))
        until = from_us(raw["until"]) if "until" in raw else None
        unpublished = tuple(dt.date.fromisoformat(day) for day in raw.get("unpublished", ()))
        return cls(raw["source"], start, end, tuple(raw["symbols"]), from_us(raw["seen_at"]), until, raw.get("versions", {}), unpublished)
