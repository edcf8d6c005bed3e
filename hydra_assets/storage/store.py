"""The feature store: vintages in SQLite, served by the point-in-time rule."""

import contextlib
import datetime as dt
import os
import re
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa

from hydra_assets.core.instants import INSTANT, from_us, iso, now_us, to_us
from hydra_assets.core.label import is_label
from hydra_assets.errors import (
    ConflictError,
    CorruptionError,
    InvalidTimeError,
    InvalidValueError,
    LabelError,
    LookaheadError,
    UnknownFeatureError,
    WorldError,
)
from hydra_assets.storage import certificate as certificates
from hydra_assets.storage import facts, frame
from hydra_assets.storage.capture import guard_withdrawal
from hydra_assets.storage.facts import Fact
from hydra_assets.storage.health import StoreHealth
from hydra_assets.storage.migrations import configure, migrate
from hydra_assets.storage.mirror import Frontier, Mirror, frontier_of
from hydra_assets.storage.names import checked_name
from hydra_assets.storage.publishes import PublishLog
from hydra_assets.storage.recordings import Recordings
from hydra_assets.storage.served import ServedLog
from hydra_assets.storage.sqlite.health import store_health

BUSY_TIMEOUT_S = 60
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


class FeatureStore:
    """
    Feature values with the instants at which each was true, known and written.

    Args:
        db_path: the SQLite file; made when it does not exist.
        world: ``sample`` or ``live``; None adopts the file's, or ``sample`` for a new one.
        settings: the text of the settings in force, of which certificates keep the hash; None: those that are shipped.
    Raises:
        WorldError: the file belongs to the other world.
    """

    def __init__(self, db_path: str | os.PathLike[str], *, world: str | None = None, settings: Callable[[], str] | None = None) -> None:
        self._settings = settings
        self._answers: ServedLog | None = None  # opened when the first answer is logged
        self.db_path = Path(db_path).expanduser().absolute()
        self.db_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._db = self._connected()
        self._rows, self._log = Recordings(self._db, self.db_path), PublishLog(self._db)
        try:
            migrate(self._db)
            self.world = self._adopt_world(world)
            identity = self._db.execute("SELECT value FROM about WHERE key = 'identity'").fetchone()[0]
            self._mirror = Mirror(self.db_path, identity)
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise CorruptionError(f"{self.db_path}: {error}") from error
        except BaseException:
            self._db.close()
            raise

    # ---------------------------------------------------------------- writing

    def write_feature(
        self, market: str, feature_name: str, as_of: dt.datetime, available_at: dt.datetime, value: float | None, quality: str = "normal"
    ) -> int:
        """Record one value; 1, or 0 where the newest recording of its vintage says the same already."""
        return self._record([facts.checked(market, feature_name, as_of, available_at, value, quality)])

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
            InvalidTimeError, InvalidValueError, InvalidNameError: nothing was written.
        """
        return self._record(facts.facts_of(rows))

    def retract(self, market: str, feature_name: str, as_of: dt.datetime, available_at: dt.datetime) -> int:
        """Withdraw a vintage by a further fact; 1, or 0 where it does not exist (any more)."""
        gone = facts.checked(market, feature_name, as_of, available_at, None)
        with self._writing() as stamp:
            series = self._rows.series_id(gone.market, gone.feature_name)
            held = None if series is None else self._rows.newest(series, gone.as_of, gone.available_at)
            if series is None or held is None:
                return 0
            self._rows.insert([(series, gone, 1)], stamp())
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
            StaleInputsError: an earlier publish of this scope used newer inputs.
            RetractionError: more than a fifth of the vintages would vanish.
        """
        checked_name(market, "market")
        first, after = _month_bounds(month)
        wanted = sorted(set(features))
        table = rows if isinstance(rows, pa.Table) else None
        fresh = facts.facts_of(rows, market=market)
        for fact in fresh:
            if fact.market != market or fact.feature_name not in wanted or not first <= fact.as_of < after:
                raise InvalidValueError(
                    f"publish of {market} {month}: the row {fact.market} {fact.feature_name} as_of {iso(fact.as_of)} lies outside its scope"
                )
        used = {folder: to_us(at, what=f"inputs[{folder}]", rounding="floor") for folder, at in inputs.items()}
        scope = ",".join(wanted)
        with self._writing() as stamp:
            self._log.refuse_stale(market, month, scope, used)
            lookahead = audit(table if table is not None else _as_table(fresh))
            if lookahead is not None and lookahead.num_rows:
                raise LookaheadError(
                    f"{market} {month}: {lookahead.num_rows} row(s) claim to be known before their inputs, the first"
                    f" {lookahead.slice(0, 1).to_pylist()[0]}; nothing was written",
                    table=market,
                    rows=lookahead.num_rows,
                )
            believed = {fact.vintage: (series, fact) for name in wanted for series, fact in self._rows.believed(market, name, first, after)}
            changed = [fact for fact in fresh if fact.vintage not in believed or not facts.same(believed[fact.vintage][1], fact)]
            kept = {fact.vintage for fact in fresh}
            gone = [pair for vintage, pair in believed.items() if vintage not in kept]
            guard_withdrawal(len(gone), len(believed), f"store {market} {month}", allow_retract=allow_retract)
            at = stamp()
            writes = [(self._rows.series_of(fact), fact, 0) for fact in changed] + [(series, fact, 1) for series, fact in gone]
            self._rows.insert(writes, at)
            self._log.add((market, month, scope, at, folder, recorded, len(writes)) for folder, recorded in (used or {"": 0}).items())
            return len(writes)

    def restore(self, recordings: Iterable[tuple[Fact, bool, int]], publishes: Iterable[Sequence[Any]] = ()) -> int:
        """
        Fill an empty store with recordings that were made elsewhere, each under its own ``recorded_at``; how many.

        Args:
            recordings: fact, whether it withdraws its vintage, microseconds UTC. publishes: rows as `publishes` gives them, in integers.
        Raises:
            ConflictError: the store is not empty.
        """
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                if self._db.execute("SELECT 1 FROM facts LIMIT 1").fetchone():
                    raise ConflictError(f"{self.db_path}: holds facts already; only an empty store can be restored")
                by_stamp: dict[int, list[tuple[int, Fact, int]]] = {}
                for fact, gone, at in recordings:
                    by_stamp.setdefault(at, []).append((self._rows.series_of(fact), fact, int(gone)))
                for at in sorted(by_stamp):
                    self._rows.insert(by_stamp[at], at)
                self._log.add(publishes)
                newest = self._db.execute(
                    "SELECT max(recorded_at) FROM (SELECT recorded_at FROM facts UNION SELECT recorded_at FROM publishes)"
                )
                self._db.execute("UPDATE about SET value = ? WHERE key = 'last_recorded_at'", (str(newest.fetchone()[0] or 0),))
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
        return sum(map(len, by_stamp.values()))

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
            log: keep the answer in the `ServedLog` at `served_path`, to be held against the lake later.
        Returns:
            Name to value; None is a known null or too old. A feature of which nothing was known yet is absent.
        """
        cut = to_us(query_time, what="query_time", rounding="floor")
        by = self._recorded_by(recorded_by)
        oldest = None if max_age is None else cut - max_age // dt.timedelta(microseconds=1)
        answer: dict[str, float | None] = {}
        with self._reading():
            for name, series in self._rows.of_market(market):
                row = self._rows.served(series, cut, by, f"{market} {name}")
                if row is not None:
                    answer[name] = row["value"] if oldest is None or row["as_of"] >= oldest else None
        if log:
            with self._lock:
                self._answers = self._answers or ServedLog(self.served_path)
                self._answers.append(market, cut, answer, recorded_by=by, max_age=max_age)
        return answer

    def get_feature_history(self, market: str, feature_name: str, start: dt.datetime, end: dt.datetime) -> list[dict[str, Any]]:
        """All vintages with ``as_of`` from *start* to *end*, both inclusive: newest recording of each, withdrawn ones left out."""
        first, last = to_us(start, what="start", rounding="ceil"), to_us(end, what="end", rounding="floor")
        with self._reading():
            series = self._rows.series_id(market, feature_name)
            rows = [] if series is None else self._rows.vintages(series, first, last, None, f"{market} {feature_name}")
        return [_instants(row) for row in rows]

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
        asked = frame.asked(markets, times)
        known = self.features(*sorted(set(asked.markets)))
        names = known if features is None else list(features)
        foretold = [name for name in names if is_label(name)]
        if foretold:
            raise LabelError(
                f"{foretold} are labels, known only after the fact; a training frame serves features."
                " Join them yourself, with the instants at which they become known: hydra_assets.labels"
            )
        strangers = [name for name in names if name not in known]
        if strangers:
            raise UnknownFeatureError(f"unknown feature(s) {strangers} for {sorted(set(asked.markets))}; known are {known}")
        by = self._recorded_by(recorded_by)
        with self._reading():
            frontiers = {
                (market, name): frontier
                for market in sorted(set(asked.markets))
                for name, frontier in self._frontiers(market, names, by).items()
            }
            newest = self._last_recorded()
        table = frame.joined(asked, names, frontiers, max_age=max_age, delay=delay, with_meta=with_meta)
        if certificate is not None:
            document = certificates.certificate_of(
                table,
                asked=asked,
                features=names,
                max_age=max_age,
                delay=delay,
                recorded_by=recorded_by,
                with_meta=with_meta,
                world=self.world,
                recorded_at=newest,
                settings=None if self._settings is None else self._settings(),
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
        cut = to_us(query_time, what="query_time", rounding="floor")
        with self._reading():
            series = self._rows.series_id(market, feature_name)
            if series is None:
                raise UnknownFeatureError(f"{market} has no feature {feature_name!r}; it has {self.features(market)}")
            place = f"{market} {feature_name}"
            served = self._rows.served(series, cut, None, place)
            rows = self._rows.vintages(series, None, cut, None, place)
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
        with self._reading():
            return from_us(self._last_recorded())

    def features(self, *markets: str) -> list[str]:
        """The names ever held, for *markets* or for all; sorted."""
        with self._reading():
            rows = self._db.execute("SELECT DISTINCT market, feature_name FROM series").fetchall()
        return sorted({name for market, name in rows if not markets or market in markets})

    def vintages(
        self, market: str, features: Sequence[str] | None = None, start: dt.date | None = None, end: dt.date | None = None
    ) -> pa.Table:
        """Every vintage believed today, for checks and audits; *start* and *end* are inclusive UTC days of ``as_of``."""
        first = None if start is None else _day_us(start)
        last = None if end is None else _day_us(end) + 86_400_000_000 - 1
        out: list[dict[str, Any]] = []
        with self._reading():
            for name, series in self._rows.of_market(market):
                if features is None or name in features:
                    for row in self._rows.vintages(series, first, last, None, f"{market} {name}"):
                        out.append({"market": market, "feature_name": name, **row})
        columns = {n: [row[n] for row in out] for n in VINTAGES.names}
        return pa.table(
            {
                n: pa.array(columns[n], pa.int64()).cast(INSTANT) if t == INSTANT else pa.array(columns[n], t)
                for n, t in zip(VINTAGES.names, VINTAGES.types, strict=True)
            }
        )

    def publishes(self, market: str | None = None) -> pa.Table:
        """Every publish: market, month, features, when, which folder as recorded when, how many facts."""
        with self._reading():
            return self._log.table(market)

    def last_inputs(self, market: str, features: Collection[str]) -> dict[str, dict[str, dt.datetime]]:
        """Month to the inputs of its newest publish that spoke for any of *features*: folder to the newest recording it used."""
        with self._reading():
            found = self._log.last(market, features)
        return {month: {folder: from_us(at) for folder, at in used.items()} for month, used in found.items()}

    def check(self) -> int:
        """Verify every row's checksum and SQLite's own structure; the number of rows, or CorruptionError."""
        with self._reading():
            verdict = self._db.execute("PRAGMA integrity_check").fetchone()[0]
            if verdict != "ok":
                raise CorruptionError(f"{self.db_path}: {verdict}")
            return self._rows.verified()

    def health(self) -> StoreHealth:
        """Facts and problems, without reading rows; see `storage.health`."""
        return store_health(self.db_path, self.world)

    @property
    def served_path(self) -> Path:
        """Where answers are kept that were asked for with ``log=True``; it need not exist."""
        return self.db_path.with_suffix(".served.sqlite")

    def close(self) -> None:
        """Close the files; calling it twice is allowed."""
        if self._answers is not None:
            self._answers.close()
        self._db.close()

    def __enter__(self) -> "FeatureStore":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"FeatureStore({str(self.db_path)!r}, world={self.world!r})"

    # ---------------------------------------------------------------- inside

    def _connected(self) -> sqlite3.Connection:
        """Connected to the file that lies there now: a rebuilt store may take its place while this one waits for it."""
        while True:
            before = _inode(self.db_path)
            connection = sqlite3.connect(self.db_path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
            try:
                configure(connection)
            except sqlite3.DatabaseError as error:
                connection.close()
                raise CorruptionError(f"{self.db_path}: {error}") from error
            if before in (None, _inode(self.db_path)):
                return connection
            connection.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Callable[[], int]]:
        """The writers' lock, one transaction, and its one stamp (taken on first use, under the lock)."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            taken: list[int] = []

            def stamp() -> int:
                if not taken:
                    taken.append(max(now_us(), self._last_recorded() + 1))
                    self._db.execute("UPDATE about SET value = ? WHERE key = 'last_recorded_at'", (str(taken[0]),))
                return taken[0]

            try:
                yield stamp
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """One snapshot for all reads of an answer."""
        with self._lock:
            if self._db.in_transaction:  # already inside one
                yield
                return
            try:
                self._db.execute("BEGIN")
                yield
            except sqlite3.DatabaseError as error:
                raise CorruptionError(f"{self.db_path}: {error}") from error
            finally:
                if self._db.in_transaction:
                    self._db.execute("COMMIT")

    def _last_recorded(self) -> int:
        return int(self._db.execute("SELECT value FROM about WHERE key = 'last_recorded_at'").fetchone()[0])

    def _record(self, batch: Sequence[Fact]) -> int:
        if not batch:
            return 0
        with self._writing() as stamp:
            writes = []
            for fact in batch:
                series = self._rows.series_of(fact)
                held = self._rows.newest(series, fact.as_of, fact.available_at)
                believed = (
                    None
                    if held is None
                    else Fact(fact.market, fact.feature_name, fact.as_of, fact.available_at, held["value"], held["quality"])
                )
                if believed is None or believed.value != fact.value or believed.quality != fact.quality:
                    writes.append((series, fact, 0))
            if writes:
                self._rows.insert(writes, stamp())
            return len(writes)

    def _frontiers(self, market: str, names: Sequence[str], by: int | None) -> Mapping[str, Frontier]:
        """What of each feature is ever served: from the mirror, or, as of an earlier recording, from the rows themselves."""
        if by is not None:
            return {name: frontier_of(self._rows.of_series(market, name, by)) for name in names}
        marks = dict(
            self._db.execute(
                "SELECT feature_name, newest.recorded_at FROM series JOIN newest USING (series_id) WHERE market = ?", (market,)
            ).fetchall()
        )
        return self._mirror.frontiers(market, marks, lambda name, since: self._rows.since(market, name, since))

    def _recorded_by(self, recorded_by: dt.datetime | None) -> int | None:
        if recorded_by is None:
            return None
        by = to_us(recorded_by, what="recorded_by", rounding="floor")
        with self._lock:
            last = self._last_recorded()  # later than the clock where that was set back
            if by > max(now_us(), last):
                raise InvalidTimeError(f"recorded_by {recorded_by.isoformat()} lies in the future; what will be recorded is not known")
            if by > last:  # a writer may hold an older stamp and not have committed: pass through its lock
                self._db.execute("BEGIN IMMEDIATE")
                self._db.execute("ROLLBACK")
        return by

    def _adopt_world(self, world: str | None) -> str:
        with self._writing():
            if world is not None:
                checked_name(world, "world")
            row = self._db.execute("SELECT value FROM about WHERE key = 'world'").fetchone()
            if row is None:
                self._db.execute("INSERT INTO about VALUES ('world', ?)", (world or "sample",))
                return world or "sample"
        held = str(row[0])
        if world is not None and held != world:
            raise WorldError(
                f"store {self.db_path} belongs to the world {held!r} and was opened as {world!r}; each world has a home of its own"
            )
        return held


def _inode(path: Path) -> int | None:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_ino
    return None


def _instants(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: from_us(value) if name in ("as_of", "available_at", "recorded_at") else value for name, value in row.items()}


def _month_bounds(month: str) -> tuple[int, int]:
    if not isinstance(month, str) or not _MONTH.fullmatch(month):
        raise InvalidTimeError(f"month {month!r} is not YYYY-MM")
    year, number = int(month[:4]), int(month[5:])
    following = (year + 1, 1) if number == 12 else (year, number + 1)
    return _day_us(dt.date(year, number, 1)), _day_us(dt.date(*following, 1))


def _day_us(day: dt.date) -> int:
    if isinstance(day, dt.datetime):
        day = from_us(to_us(day, what="day", rounding="floor")).date()
    return (day - dt.date(1970, 1, 1)).days * 86_400_000_000


def _as_table(batch: Sequence[Fact]) -> pa.Table:
    return pa.table(
        {
            "feature_name": pa.array([f.feature_name for f in batch], pa.string()),
            "as_of": pa.array([f.as_of for f in batch], pa.int64()).cast(INSTANT),
            "available_at": pa.array([f.available_at for f in batch], pa.int64()).cast(INSTANT),
            "value": pa.array([f.value for f in batch], pa.float64()),
            "quality": pa.array([f.quality for f in batch], pa.string()),
        }
    )
