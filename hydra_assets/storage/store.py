"""The feature store: vintages in a `FactTable`, served by the point-in-time rule."""

import calendar
import dataclasses
import datetime as dt
import os
import re
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa

from hydra_assets.closing import Closing
from hydra_assets.core.instants import DAY_US, INSTANT, day_us, from_us, instants, iso, now_us, span_us, to_us, utc_day
from hydra_assets.core.label import is_label
from hydra_assets.core.names import names_of
from hydra_assets.core.tables.table import QUALITIES
from hydra_assets.errors import (
    InvalidNameError,
    InvalidTimeError,
    InvalidValueError,
    LabelError,
    LookaheadError,
    UnknownFeatureError,
    UnprovenWarning,
    WorldError,
)
from hydra_assets.storage import certificate as certificates
from hydra_assets.storage import frame
from hydra_assets.storage.fact_batch import facts_of
from hydra_assets.storage.fact_columns import Facts
from hydra_assets.storage.fact_table import FactTable
from hydra_assets.storage.facts import Fact, fact_of
from hydra_assets.storage.health import StoreHealth
from hydra_assets.storage.mirror import Mirror, series_in
from hydra_assets.storage.names import checked_name
from hydra_assets.storage.publishes import publish_rows, publishes_table, refuse_stale
from hydra_assets.storage.question import Question
from hydra_assets.storage.series import Frontier, Series
from hydra_assets.storage.served import ServedVector
from hydra_assets.storage.sqlite.fact_table import SqliteFactTable
from hydra_assets.storage.unclaimed import unclaimed_names
from hydra_assets.storage.uncomputed import absence_of
from hydra_assets.storage.withdrawal import guard_withdrawal

_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")
Audit = Callable[[pa.Table], "pa.Table | None"]
VINTAGES = pa.schema(
    [
        ("market", pa.string()),
        ("feature_name", pa.string()),
        ("as_of", INSTANT),
        ("available_at", INSTANT),
        ("recorded_at", INSTANT),
        ("value", pa.float64()),
        ("quality", pa.string()),
    ]
)


class FeatureStore(Closing):
    """
    Feature values with the instants at which each was true, known and written.

    Args:
        db_path: the SQLite file; made when it does not exist.
        world: ``sample`` or ``live``; None adopts the file's, or ``sample`` for a new one.
        settings: the text of the settings in force, of which certificates keep the hash; None: those that are shipped.
        busy_timeout_s: longest wait for another process that holds the file; None: 60.

    Raises:
        WorldError: the file belongs to the other world.
        StorageError: the disk does not let the file be opened.
        LockTimeoutError: another process held it for too long.
    """

    def __init__(
        self,
        db_path: str | os.PathLike[str],
        *,
        world: str | None = None,
        settings: Callable[[], str] | None = None,
        busy_timeout_s: float | None = None,
    ) -> None:
        self._open(SqliteFactTable(db_path, busy_timeout_s=busy_timeout_s), world, settings)

    @classmethod
    def over(cls, table: FactTable, *, world: str | None = None, settings: Callable[[], str] | None = None) -> Self:
        """
        A store over any `FactTable`; it is closed with the store.

        Args:
            table: what keeps the facts.
            world: as for a file.
            settings: as for a file.
        """
        store = cls.__new__(cls)
        store._open(table, world, settings)
        return store

    def _open(self, table: FactTable, world: str | None, settings: Callable[[], str] | None) -> None:
        self._table, self._settings, self._mirror = table, settings, Mirror(table)
        try:
            if world is not None:
                checked_name(world, "world")
            self.world = table.world(world or "sample")
            if world not in (None, self.world):
                raise WorldError(
                    f"store {table.place} belongs to the world {self.world!r} and was opened as {world!r}; each world has a home of its own"
                )
        except BaseException:
            table.close()
            raise

    # ---------------------------------------------------------------- writing

    def write_feature(
        self, market: str, feature_name: str, as_of: dt.datetime, available_at: dt.datetime, value: float | None, quality: str = "normal"
    ) -> int:
        """Record one value; 1, or 0 where the newest recording of its vintage says the same already."""
        return self._record(Facts.of([fact_of(market, feature_name, as_of, available_at, value, quality)]))

    def write_features(self, rows: Any) -> int:
        """
        Record many values, all or nothing, under one ``recorded_at``.

        Args:
            rows: Arrow table, DataFrame or iterable of mappings with ``market, feature_name, as_of, available_at, value`` and
                perhaps ``quality``.

        Returns:
            How many were new; a row equal to the newest recording of its vintage is none.

        Raises:
            ConflictError: one batch has two values for one vintage.
            InvalidTimeError: nothing was written.
            InvalidValueError: nothing was written.
            InvalidNameError: nothing was written.
        """
        return self._record(facts_of(rows))

    def retract(self, market: str, feature_name: str, as_of: dt.datetime, available_at: dt.datetime) -> int:
        """Withdraw a vintage by a further fact; 1, or 0 where it does not exist (any more)."""
        withdrawn = Facts.of([fact_of(market, feature_name, as_of, available_at, None)])
        with self._table.transaction() as stamp:
            if (withdrawn.places_in(self._standing(withdrawn)) < 0).all():
                return 0
            self._table.append(withdrawn, stamp(), withdraw=True)
            return 1

    def publish(
        self,
        market: str,
        month: str,
        rows: Any,
        *,
        features: Sequence[str],
        inputs: Mapping[str, dt.datetime],
        audit: Audit,
        allow_retract: bool = False,
    ) -> int:
        """
        Make the store hold exactly *rows* within the named features and month: new vintages written, changed ones recorded,
        vanished ones retracted, in one transaction.

        Args:
            month: ``YYYY-MM`` of ``as_of``.
            rows: as `features.compute` gives them.
            features: the names that this publish speaks for.
            inputs: folder of the lake to the newest recording in it, of every folder read.
            audit: called inside the transaction; it raises, or returns the rows that look ahead.

        Returns:
            How many facts were recorded.

        Raises:
            LookaheadError: nothing was written.
            StaleInputsError: an earlier publish that spoke for one of these features used newer inputs.
            RetractionError: more than a fifth of the vintages would vanish.
        """
        checked_name(market, "market")
        first, after = _month_bounds(month)
        wanted = sorted(set(names_of(features, "features")))
        table = rows if isinstance(rows, pa.Table) else None
        fresh = facts_of(rows, market=market)
        inside = np.array([name[0] == market and name[1] in wanted for name in fresh.names], dtype=np.bool_)[fresh.series]
        for fact in fresh.where(~inside | (fresh.as_of < first) | (fresh.as_of >= after)):
            raise InvalidValueError(
                f"publish of {market} {month}: the row {fact.market} {fact.feature_name} as_of {iso(fact.as_of)} lies outside its scope"
            )
        if not isinstance(inputs, Mapping) or not all(isinstance(folder, str) for folder in inputs):
            raise InvalidValueError(f"publish of {market} {month}: inputs must map folders of the lake to instants, not {inputs!r}")
        if not callable(audit):
            raise InvalidValueError(f"publish of {market} {month}: audit must be a function of the rows, not {audit!r}")
        used = {folder: to_us(at, what=f"inputs[{folder}]", rounding="floor") for folder, at in inputs.items()}
        scope = ",".join(wanted)
        with self._table.transaction() as stamp:
            refuse_stale(self._table, market, month, scope, used)
            lookahead = audit(table if table is not None else _as_table(fresh))
            if lookahead is not None and lookahead.num_rows:
                raise LookaheadError(
                    f"{market} {month}: {lookahead.num_rows} row(s) claim to be known before their inputs, the first"
                    f" {lookahead.slice(0, 1).to_pylist()[0]}; nothing was written",
                    table=market,
                    rows=lookahead.num_rows,
                )
            current = self._table.recordings({(market, name): (first, after - 1) for name in wanted}).standing()
            places = fresh.places_in(current)
            changed = fresh.where(~fresh.alike(current, places))
            gone = np.ones(len(current), dtype=np.bool_)
            gone[places[places >= 0]] = False
            withdrawn = current.where(gone)
            guard_withdrawal(len(withdrawn), len(current), f"store {market} {month}", allow_retract=allow_retract)
            at, new_rows = stamp(), len(changed) + len(withdrawn)
            self._table.append(changed, at)
            self._table.append(withdrawn, at, withdraw=True)
            self._table.add_publishes(publish_rows(market, month, scope, at, used, new_rows))
            return new_rows

    def restore(self, recordings: Iterable[tuple[Fact, bool, int]], publishes: Iterable[Sequence[Any]] = ()) -> int:
        """
        Fill an empty store with recordings that were made elsewhere, each under its own ``recorded_at``; how many.

        Args:
            recordings: fact, whether it withdraws its vintage, microseconds UTC.
            publishes: rows as `publishes` gives them, in integers.

        Raises:
            ConflictError: the store is not empty.
        """
        return self._table.restore(recordings, publishes)

    # ---------------------------------------------------------------- reading

    def get_features_at(
        self,
        market: str,
        query_time: dt.datetime,
        *,
        recorded_by: dt.datetime | None = None,
        max_age: dt.timedelta | None = None,
        log: bool = False,
    ) -> dict[str, float | None]:
        """
        Every feature of *market* that was known at *query_time*.

        Args:
            query_time: inclusive cut on ``available_at``.
            recorded_by: inclusive cut on ``recorded_at``: what this store would have answered then.
            max_age: older than this (query time minus ``as_of``) is None.
            log: keep the answer in the log of `served`, to be held against the lake later.

        Returns:
            Name to value; None is a known null or too old. A feature of which nothing was known yet is absent.
        """
        checked_name(market, "market")
        cut, age = to_us(query_time, what="query_time", rounding="floor"), span_us(max_age, "max_age")
        by = self._recorded_by(recorded_by)
        oldest = None if age is None else cut - age
        with self._table.snapshot():
            known = self._table.known(market, cut, by)
        answer = {name: row["value"] if oldest is None or row["as_of"] >= oldest else None for name, row in known.items()}
        if log:
            self._table.served.append(market, cut, answer, recorded_by=by, max_age=max_age)
        return answer

    def served(self, market: str | None = None, start: dt.datetime | None = None, end: dt.datetime | None = None) -> list[ServedVector]:
        """
        The answers that were requested with ``log=True``, in the order in which they were handed out.

        Args:
            market: one market's; None: all.
            start: inclusive bound of ``served_at``.
            end: inclusive bound of ``served_at``.

        Raises:
            CorruptionError: a row was changed, or one before the last is gone.
        """
        if market is not None:
            checked_name(market, "market")
        for name, bound in (("start", start), ("end", end)):
            if bound is not None:
                to_us(bound, what=name, rounding="floor")
        return self._table.served.read(market, start, end)

    def get_feature_history(self, market: str, feature_name: str, start: dt.datetime, end: dt.datetime) -> list[dict[str, Any]]:
        """All vintages with ``as_of`` from *start* to *end*, both inclusive: newest recording of each, withdrawn ones left out."""
        checked_name(market, "market"), checked_name(feature_name, "feature_name")
        first, last = to_us(start, what="start", rounding="ceil"), to_us(end, what="end", rounding="floor")
        with self._table.snapshot():
            return [_instants(row) for row in self._table.vintages(market, feature_name, first, last)]

    def get_training_frame(
        self,
        markets: Any,
        times: Iterable[dt.datetime] | None = None,
        features: Sequence[str] | None = None,
        *,
        max_age: dt.timedelta | None = None,
        recorded_by: dt.datetime | None = None,
        delay: dt.timedelta | None = None,
        with_meta: bool = False,
        certificate: str | os.PathLike[str] | None = None,
    ) -> pa.Table:
        """
        The point-in-time join: for each market and time, what was known then.

        Args:
            markets: symbols (outer); or a table with columns ``market`` and ``time`` in place of *markets* and *times*.
            times: aware instants (inner), in any order.
            features: names in the order wanted; default all of these markets, sorted.
            max_age: values older than this (time minus ``as_of``) are null, and ``stale`` in the metadata.
            recorded_by: inclusive cut on ``recorded_at``.
            delay: what delivery to the desk adds to every ``available_at``.
            with_meta: add ``<feature>__as_of``, ``__available_at`` and ``__quality``.
            certificate: a file to write beside the frame: JSON by which `hydra-assets verify` makes the frame again later and says
                whether it is the same, bit for bit.

        Returns:
            Columns ``market, time`` and the features (float64, null where nothing is known); one row per market and time.

        Raises:
            UnknownFeatureError: a feature that this store has never held for any of the markets.
            LabelError: a label was asked for.
        """
        cuts = {"max_age": max_age, "delay": delay, "recorded_by": recorded_by, "with_meta": with_meta}
        return self.answer(Question.of(markets, times, features, **cuts), certificate=certificate)

    def answer(self, question: Question, *, certificate: str | os.PathLike[str] | None = None, mirrored: bool = True) -> pa.Table:
        """
        The training frame of *question*; see `get_training_frame`.

        Args:
            certificate: see there.
            mirrored: out of the mirror; else out of the facts themselves, every one of them read.
        """
        markets = sorted({checked_name(market, "market") for market in set(question.markets)})
        held = self.features(*markets)
        names = held if question.features is None else list(question.features)
        unclaimed = unclaimed_names(names) if self.has_publishes() else []
        if unclaimed and question.features is None:
            message = (
                f"the frame takes in {', '.join(unclaimed)}: no registered feature claims it, so nothing proves it; name the features"
                " wanted, withdraw the series, or install what computes it"
            )
            warnings.warn(message, UnprovenWarning, stacklevel=3)
        labels = [name for name in names if is_label(name)]
        if labels:
            raise LabelError(
                f"{labels} are labels, known only after the fact; a training frame serves features."
                " Join them yourself, with the instants at which they become known: hydra_assets.labels"
            )
        unknown = [name for name in names if name not in held]
        if unknown:
            why = [absence_of(self, market, name) for market in markets[:1] or ("",) for name in unknown]
            raise UnknownFeatureError(f"unknown feature(s) {unknown} for {markets}: {'; '.join(why)}")
        by = self._recorded_by(question.recorded_by)
        with self._table.snapshot():
            frontiers = {
                (market, name): found for market in markets for name, found in self._frontiers(market, names, by, mirrored).items()
            }
            newest = self._table.last_recorded()
        question = dataclasses.replace(question, features=tuple(names))
        table = frame.training_frame(question, frontiers)
        if certificate is not None:
            settings = None if self._settings is None else self._settings()
            document = certificates.certificate_of(
                table, question, world=self.world, recorded_at=newest, settings=settings, unclaimed=unclaimed
            )
            certificates.write_certificate(certificate, document)
        return table

    def explain(self, market: str, feature_name: str, query_time: dt.datetime) -> dict[str, Any]:
        """
        Why the answer at *query_time* is what it is.

        Returns:
            ``served``: the row, or None; ``withheld``: rows that describe this time or earlier and become available only later.

        Raises:
            UnknownFeatureError: nothing of it was ever held.
        """
        checked_name(market, "market")
        if not isinstance(feature_name, str):
            raise InvalidNameError(f"feature_name must be one name, not {feature_name!r}")
        cut = to_us(query_time, what="query_time", rounding="floor")
        with self._table.snapshot():
            if (market, feature_name) not in self._table.series(market):
                raise UnknownFeatureError(absence_of(self, market, feature_name))
            served = self._table.known(market, cut, None, feature_name).get(feature_name)
            rows = self._table.vintages(market, feature_name, None, cut)
        withheld = [_instants(row) for row in rows if row["available_at"] > cut]
        return {
            "market": market,
            "feature_name": feature_name,
            "query_time": from_us(cut),
            "served": None if served is None else _instants(served),
            "withheld": sorted(withheld, key=lambda row: (row["available_at"], row["as_of"])),
        }

    def newest_recorded(self) -> dt.datetime:
        """The newest recording of any fact; 1970 where there is none yet."""
        return from_us(self._table.last_recorded())

    def markets(self) -> list[str]:
        """The markets of which a series was ever held; sorted."""
        with self._table.snapshot():
            return sorted({market for market, _ in self._table.series()})

    def has_publishes(self) -> bool:
        """Whether features were ever published here; a bare store only has what its user wrote."""
        with self._table.snapshot():
            return self._table.any_publish()

    def features(self, *markets: str) -> list[str]:
        """The names ever held, for *markets* or for all; sorted."""
        wanted = {checked_name(market, "market") for each in markets for market in names_of(each, "markets")}
        with self._table.snapshot():
            return sorted({name for market, name in self._table.series() if not markets or market in wanted})

    def vintages(
        self, market: str, features: Sequence[str] | None = None, start: dt.date | None = None, end: dt.date | None = None
    ) -> pa.Table:
        """Every vintage that stands today, for checks and audits; *start* and *end* are inclusive UTC days of ``as_of``."""
        checked_name(market, "market")
        wanted = None if features is None else set(names_of(features, "features"))
        first = None if start is None else day_us(utc_day(start, "start"))
        last = None if end is None else day_us(utc_day(end, "end")) + DAY_US - 1
        with self._table.snapshot():
            found = [
                (name, self._table.vintages(market, name, first, last))
                for _, name in self._table.series(market)
                if wanted is None or name in wanted
            ]
        names = [name for name, rows in found for _ in rows]
        columns = {"market": [market] * len(names), "feature_name": names}
        columns |= {name: [row[name] for _, rows in found for row in rows] for name in VINTAGES.names if name not in columns}
        return pa.table(
            {
                name: pa.array(columns[name], pa.int64()).cast(INSTANT) if kind == INSTANT else pa.array(columns[name], kind)
                for name, kind in zip(VINTAGES.names, VINTAGES.types, strict=True)
            }
        )

    def series(self, market: str) -> Mapping[str, Series]:
        """Every series of *market* in columns: the vintages of `vintages`, from the mirror."""
        with self._table.snapshot():
            return self._mirror.series(checked_name(market, "market"))

    def publishes(self, market: str | None = None) -> pa.Table:
        """Every publish: market, month, features, when, which folder as recorded when, how many facts."""
        with self._table.snapshot():
            return publishes_table(self._table.publishes(None if market is None else checked_name(market, "market")))

    def last_inputs(self, market: str, features: Collection[str]) -> dict[str, dict[str, dt.datetime]]:
        """Month to the inputs of its newest publish that spoke for any of *features*: folder to the newest recording it used."""
        checked_name(market, "market")
        with self._table.snapshot():
            found = self._table.last_inputs(market, names_of(features, "features"))
        return {month: {folder: from_us(at) for folder, at in used.items()} for month, used in found.items()}

    def check(self) -> int:
        """Verify every row's checksum and the structure of the table; the number of rows, or CorruptionError."""
        with self._table.snapshot():
            return self._table.check()

    def repair(self) -> int:
        """Mend rows that an older version wrote as -0.0, which SQLite keeps as 0.0; how many. Other damage is left to a rebuild."""
        return self._table.repair()

    def health(self) -> StoreHealth:
        """Facts and problems, without reading rows; see `storage.health`."""
        return self._table.health(self.world)

    @property
    def db_path(self) -> Path:
        """The file, or the address, of the facts."""
        return Path(self._table.place)

    @property
    def served_path(self) -> Path | None:
        """The file of the answers that were requested with ``log=True``; it need not exist. None where no file keeps them."""
        return self._table.served.path

    def close(self) -> None:
        """Close what keeps the facts; calling it twice is allowed."""
        self._table.close()

    def __repr__(self) -> str:
        return f"FeatureStore({self._table.place!r}, world={self.world!r})"

    # ---------------------------------------------------------------- inside

    def _record(self, batch: Facts) -> int:
        if not len(batch):
            return 0
        with self._table.transaction() as stamp:
            held = self._standing(batch)
            places = batch.places_in(held)
            changed = batch.where(~batch.equal(held, places))
            if len(changed):
                self._table.append(changed, stamp())
            return len(changed)

    def _standing(self, batch: Facts) -> Facts:
        """Vintages that stand of the series of *batch*, from the first to the last ``as_of`` that it has of each."""
        return self._table.recordings({batch.names[series]: (first, last) for series, first, last in batch.spans()}).standing()

    def _frontiers(self, market: str, names: Sequence[str], by: int | None, mirrored: bool) -> Mapping[str, Frontier]:
        """The part of each feature that a reader at *by* is ever served; None: today's."""
        held = self._mirror.series(market) if mirrored else series_in(self._table, market, names)
        return {name: held[name].frontier(by) for name in names if name in held}

    def _recorded_by(self, recorded_by: dt.datetime | None) -> int | None:
        if recorded_by is None:
            return None
        by = to_us(recorded_by, what="recorded_by", rounding="floor")
        last = self._table.last_recorded()  # later than the clock where that was set back
        if by > max(now_us(), last):
            raise InvalidTimeError(f"recorded_by {recorded_by.isoformat()} lies in the future; what will be recorded is not known")
        if by > last:  # a writer may hold an older stamp and not have committed
            self._table.wait_for_writers()
        return by


def _instants(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: from_us(value) if name in ("as_of", "available_at", "recorded_at") else value for name, value in row.items()}


def _month_bounds(month: str) -> tuple[int, int]:
    if not isinstance(month, str) or not _MONTH.fullmatch(month):
        raise InvalidTimeError(f"month {month!r} is not YYYY-MM")
    year, number = int(month[:4]), int(month[5:])
    if year < 1:
        raise InvalidTimeError(f"month {month!r} lies outside the years 1 to 9999")
    last = dt.date(year, number, calendar.monthrange(year, number)[1])
    return day_us(dt.date(year, number, 1)), day_us(last) + DAY_US


def _as_table(batch: Facts) -> pa.Table:
    return pa.table(
        {
            "feature_name": pa.array([batch.names[series][1] for series in batch.series.tolist()], pa.string()),
            "as_of": instants(batch.as_of),
            "available_at": instants(batch.available_at),
            "value": pa.array(batch.value, from_pandas=True),
            "quality": pa.array(QUALITIES, pa.string()).take(pa.array(batch.quality)),
        }
    )
