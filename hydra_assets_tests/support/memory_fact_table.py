"""A FactTable in memory: the second implementation, by which the behaviour suite shows that a third only adds a fixture."""

import contextlib
import threading
import uuid

import numpy as np

from hydra_assets.core.instants import now_us
from hydra_assets.errors import ConflictError
from hydra_assets.storage.fact_columns import Facts
from hydra_assets.storage.facts import Fact
from hydra_assets.storage.health import StoreHealth
from hydra_assets.storage.recordings import Recordings
from hydra_assets.storage.served import answer_row, seal, vectors_of


def recordings_of(recordings):
    """Columns of facts, each with whether it withdraws its vintage and its ``recorded_at``, in any order."""
    rows = sorted(recordings, key=lambda each: (*each[0].vintage, each[2]))
    facts = Facts.of(fact for fact, *_ in rows)
    at, withdraws = np.array([at for *_, at in rows], np.int64), np.array([withdraws for _, withdraws, _ in rows], np.bool_)
    return Recordings(facts.names, facts.series, facts.as_of, facts.available_at, at, facts.value, facts.quality, withdraws)


class MemoryServedLog:
    path = None

    def __init__(self):
        self._rows = []

    def append(self, market, query_time, values, *, recorded_by, max_age):
        number, served_at, *_, before = self._rows[-1] if self._rows else (0, 0, "")
        row = answer_row((number, served_at), now_us(), market, query_time, values, recorded_by, max_age)
        self._rows.append((*row, seal(row, before)))

    def read(self, market=None, start=None, end=None):
        return vectors_of(iter(self._rows), "memory", market, start, end)


class MemoryFactTable:
    place, cache = "memory", None

    def __init__(self):
        self.identity = uuid.uuid4().hex
        self.served = MemoryServedLog()
        self._lock = threading.RLock()
        self._world, self._last = None, 0
        self._facts = []  # (fact, withdraws, recorded_at), in the order of recording
        self._publishes = []

    def world(self, default):
        self._world = self._world or default
        return self._world

    @contextlib.contextmanager
    def transaction(self):
        taken = []

        def stamp():
            if not taken:
                self._last = max(now_us(), self._last + 1)
                taken.append(self._last)
            return taken[0]

        with self._lock:
            before = self._last, list(self._facts), list(self._publishes)
            try:
                yield stamp
            except BaseException:
                self._last, self._facts, self._publishes = before
                raise

    @contextlib.contextmanager
    def snapshot(self):
        with self._lock:
            yield

    def wait_for_writers(self):
        with self._lock:
            pass

    # ---------------------------------------------------------------- facts

    def series(self, market=None):
        return sorted({(fact.market, fact.feature_name) for fact, *_ in self._facts if market in (None, fact.market)})

    def append(self, facts, recorded_at, *, withdraw=False):
        known = {(fact.vintage, at) for fact, _, at in self._facts}
        for fact in facts:
            if (fact.vintage, recorded_at) in known:
                raise ConflictError(f"memory: {fact.vintage} recorded twice at {recorded_at}")
            known.add((fact.vintage, recorded_at))
            self._facts.append((fact, withdraw, recorded_at))

    def recordings(self, spans):
        def inside(fact):
            first, last = spans.get(fact.vintage[:2], (1, 0))
            return (first is None or first <= fact.as_of) and (last is None or fact.as_of <= last)

        return recordings_of(each for each in self._facts if inside(each[0]))

    def known(self, market, cut, recorded_by, feature=None):
        found = {}
        for _, name in self.series(market):
            rows = [row for row in self.vintages(market, name, recorded_by=recorded_by) if row["available_at"] <= cut]
            if rows and feature in (None, name):
                found[name] = rows[-1]
        return found

    def vintages(self, market, feature, first=None, last=None, recorded_by=None):
        newest = {}
        for fact, withdraws, at in self._facts:
            if (fact.market, fact.feature_name) == (market, feature) and (recorded_by is None or at <= recorded_by):
                newest[fact.vintage] = (fact, withdraws, at)
        rows = [row(fact, at) for fact, withdraws, at in newest.values() if not withdraws]
        inside = [r for r in rows if (first is None or r["as_of"] >= first) and (last is None or r["as_of"] <= last)]
        return sorted(inside, key=lambda r: (r["as_of"], r["available_at"]))

    def since(self, market, feature, watermark):
        mine = [each for each in self._facts if each[0].vintage[:2] == (market, feature) and each[2] >= watermark]
        if all(at != watermark for *_, at in mine):
            return None
        return recordings_of(each for each in mine if each[2] > watermark)

    def watermarks(self, market):
        return {fact.feature_name: at for fact, _, at in self._facts if fact.market == market}

    def last_recorded(self):
        return self._last

    def restore(self, recordings, publishes):
        if self._facts:
            raise ConflictError("memory: holds facts already; only an empty store can be restored")
        self._facts = sorted(recordings, key=lambda each: each[2])
        self._publishes = list(publishes)
        self._last = max([at for *_, at in self._facts] + [each[3] for each in self._publishes], default=0)
        return len(self._facts)

    # ---------------------------------------------------------------- publishes

    def add_publishes(self, rows):
        self._publishes += [tuple(each) for each in rows]

    def newest_input(self, market, month, features, folder):
        names = set(features.split(","))
        scopes = [each for each in self._publishes if (*each[:2], each[4]) == (market, month, folder)]
        return max((each[5] for each in scopes if not names.isdisjoint(each[2].split(","))), default=None)

    def any_publish(self):
        return bool(self._publishes)

    def last_inputs(self, market, features):
        newest = {}
        for symbol, month, scope, at, *_ in self._publishes:
            if symbol == market and not set(features).isdisjoint(scope.split(",")):
                newest[month] = max(newest.get(month, (at, scope)), (at, scope))
        return {
            month: {each[4]: each[5] for each in self._publishes if each[:4] == (market, month, scope, at) and each[4]}
            for month, (at, scope) in newest.items()
        }

    def publishes(self, market=None):
        return sorted((each for each in self._publishes if market in (None, each[0])), key=lambda each: (each[3], each[4]))

    # ---------------------------------------------------------------- upkeep

    def check(self):
        return len(self._facts)

    def repair(self):
        return 0

    def health(self, world):
        published = frozenset((each[0], each[1]) for each in self._publishes)
        return StoreHealth(self._world, 1, len(self.series()), published)

    def close(self):
        pass


def row(fact: Fact, at: int):
    return {
        "as_of": fact.as_of,
        "available_at": fact.available_at,
        "recorded_at": at,
        "value": fact.value,
        "quality": fact.quality,
    }
