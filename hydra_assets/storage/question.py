"""The question that a training frame answers: rows of market and instant, features, and the cuts on age, delivery and recording."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from hydra_assets.core.instants import column_us, instants_us, iso, span_us, to_us
from hydra_assets.core.names import names_of
from hydra_assets.errors import InvalidTimeError, SchemaError
from hydra_assets.lazy import lazy

pd = lazy("pandas")

_MICROSECOND = dt.timedelta(microseconds=1)


@dataclass(frozen=True, eq=False)
class Question:
    """
    One training frame, requested.

    Attributes:
        markets: one a row.
        times: int64 microseconds UTC, as long as *markets*.
        features: names in the order wanted; None: all of these markets, sorted.
        max_age: values older than this (time minus ``as_of``) are null.
        delay: time from ``available_at`` to the desk.
        recorded_by: inclusive cut on ``recorded_at``.
        with_meta: add ``<feature>__as_of``, ``__available_at`` and ``__quality``.
    """

    markets: Sequence[str]
    times: np.ndarray
    features: tuple[str, ...] | None = None
    max_age: dt.timedelta | None = None
    delay: dt.timedelta | None = None
    recorded_by: dt.datetime | None = None
    with_meta: bool = False

    def __post_init__(self) -> None:
        span_us(self.max_age, "max_age")
        span_us(self.delay, "delay")

    @classmethod
    def of(cls, markets: Any, times: Iterable[dt.datetime] | None, features: Sequence[str] | None = None, **cuts: Any) -> "Question":
        """
        A question from what a caller of `FeatureStore.get_training_frame` gives.

        Args:
            markets: symbols (outer); or a table with the columns ``market`` and ``time``.
            times: aware instants (inner); None beside a table.
            features: names in the order wanted.
            cuts: the other attributes, by name.

        Raises:
            SchemaError: a table without these columns, or beside *times*.
            InvalidTimeError: no times, or naive ones.
        """
        names = None if features is None else tuple(names_of(features, "features"))
        if isinstance(markets, pd.DataFrame):
            markets = pa.Table.from_pandas(markets, preserve_index=False)
        elif not isinstance(markets, pa.Table) and hasattr(markets, "columns") and hasattr(markets, "__arrow_c_stream__"):
            markets = pa.table(markets)  # polars, DuckDB
        if isinstance(markets, pa.Table):
            if times is not None or any(markets.column_names.count(name) != 1 for name in ("market", "time")):
                raise SchemaError(
                    f"a table of pairs needs the columns market and time, each once, and no times beside it; it has {markets.column_names}"
                )
            symbols = names_of(markets["market"], "column market")
            return cls(symbols, column_us(markets["time"], what="time", rounding="floor"), names, **cuts)
        if times is None:
            raise InvalidTimeError("times are missing: give markets and times, or one table with the columns market and time")
        symbols, instants = names_of(markets, "markets"), instants_us(times, what="times", rounding="floor")
        return cls([market for market in symbols for _ in instants], np.tile(instants, len(symbols)), names, **cuts)

    @classmethod
    def from_document(cls, query: Mapping[str, Any], recorded_by: str) -> "Question":
        """The question of a certificate, as of a recording (ISO 8601)."""
        pairs = query.get("pairs")
        if pairs is not None:
            markets, times = pairs["market"], pairs["time"]
        else:
            markets = [market for market in query["markets"] for _ in query["times"]]
            times = query["times"] * len(query["markets"])
        return cls(
            markets,
            np.array([to_us(dt.datetime.fromisoformat(time)) for time in times], dtype=np.int64),
            tuple(query["features"]),
            max_age=_span(query["max_age_us"]),
            delay=_span(query["delay_us"]),
            recorded_by=dt.datetime.fromisoformat(recorded_by),
            with_meta=query["with_meta"],
        )

    def as_document(self) -> dict[str, Any]:
        """The question in a certificate; markets and times apart where every market has the same times, as most frames do."""
        by = None if self.recorded_by is None else iso(to_us(self.recorded_by, what="recorded_by", rounding="floor"))
        return {
            **self._rows(),
            "features": list(self.features or ()),
            "max_age_us": span_us(self.max_age, "max_age"),
            "delay_us": span_us(self.delay, "delay"),
            "recorded_by": by,
            "with_meta": self.with_meta,
        }

    def _rows(self) -> dict[str, Any]:
        times = [iso(int(us)) for us in self.times]
        markets = list(dict.fromkeys(self.markets))
        each = len(times) // len(markets) if markets else 0
        if list(self.markets) == [market for market in markets for _ in range(each)] and times == times[:each] * len(markets):
            return {"markets": markets, "times": times[:each]}
        return {"pairs": {"market": list(self.markets), "time": times}}


def _span(us: int | None) -> dt.timedelta | None:
    return None if us is None else us * _MICROSECOND
