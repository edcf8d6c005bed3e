"""The store against the plainest possible oracle, under revisions, ties, late rows, retractions, microseconds and DST."""

import datetime as dt
import shutil
import tempfile
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hydra_assets.storage.store import FeatureStore
from hydra_assets_tests.storage.conftest import FACT_TABLES

CHICAGO = ZoneInfo("America/Chicago")
NOON = dt.datetime(2025, 11, 1, 12, tzinfo=dt.UTC)
# Around the night on which Chicago has one hour twice, with neighbours a microsecond apart.
INSTANTS = sorted(
    {NOON + dt.timedelta(hours=h, microseconds=us) for h in range(0, 36, 4) for us in (0, 1)}
    | {dt.datetime(2025, 11, 2, 1, 30, tzinfo=CHICAGO, fold=fold).astimezone(dt.UTC) for fold in (0, 1)}
)
ZONES = [dt.UTC, CHICAGO, ZoneInfo("Asia/Tokyo")]
VALUES = st.sampled_from([None, 0.0, -1.5, 2.0, 1e300])
SERIES = st.sampled_from([("HE", "a"), ("HE", "b"), ("LE", "a")])


def zoned(when):
    return st.sampled_from([when.astimezone(zone) for zone in ZONES])


instants = st.sampled_from(INSTANTS).flatmap(zoned)
# as_of <= available_at; in UTC, since datetimes of one zone compare by the wall clock
pairs = st.tuples(instants, instants).map(lambda pair: sorted(pair, key=lambda at: at.astimezone(dt.UTC)))


class Machine(RuleBasedStateMachine):
    """Writes, retracts and publishes; every answer is compared with a list of what was done."""

    table = staticmethod(FACT_TABLES["sqlite"])

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.store = FeatureStore.over(self.table(self.folder), world="sample")
        self.log = []  # (recorded_at, market, name, as_of, available_at, value, retracted)
        self.promises = []  # (recorded_by, market, query_time, answer)

    def teardown(self):
        self.store.close()
        shutil.rmtree(self.folder)

    # What the design says in words, over the whole log.
    def oracle(self, market, when, recorded_by=None):
        newest = {}
        for recorded_at, m, name, as_of, available_at, value, retracted in self.log:
            if m == market and (recorded_by is None or recorded_at <= recorded_by):
                newest[name, as_of, available_at] = (value, retracted)
        served = {}
        for (name, as_of, available_at), (value, retracted) in newest.items():
            if not retracted and available_at <= when and (name not in served or (as_of, available_at) > served[name][0]):
                served[name] = ((as_of, available_at), value)
        return {name: value for name, (_, value) in served.items()}

    def note(self, market, name, as_of, available_at, value, retracted):
        self.log.append(
            (dt.datetime.now(dt.UTC), market, name, as_of.astimezone(dt.UTC), available_at.astimezone(dt.UTC), value, retracted)
        )

    @initialize()
    def begin(self):
        assert self.store.get_features_at("HE", NOON) == {}

    @rule(series=SERIES, pair=pairs, value=VALUES)
    def write(self, series, pair, value):
        self.store.write_feature(*series, *pair, value)
        self.note(*series, *pair, value, False)

    @rule(series=SERIES, rows=st.dictionaries(pairs.map(tuple), VALUES, max_size=6))
    def write_batch(self, series, rows):
        same_vintage = {(a.astimezone(dt.UTC), b.astimezone(dt.UTC)): v for (a, b), v in rows.items()}
        market, name = series
        self.store.write_features(
            [{"market": market, "feature_name": name, "as_of": a, "available_at": b, "value": v} for (a, b), v in same_vintage.items()]
        )
        for (a, b), v in same_vintage.items():
            self.note(market, name, a, b, v, False)

    @precondition(lambda self: self.log)
    @rule(data=st.data())
    def retract(self, data):
        _, market, name, as_of, available_at, _, _ = data.draw(st.sampled_from(self.log))
        self.store.retract(market, name, as_of, available_at)
        self.note(market, name, as_of, available_at, None, True)

    @rule(market=st.sampled_from(["HE", "LE"]), when=instants)
    def promise(self, market, when):
        """An answer under a recorded_by must never change."""
        by = dt.datetime.now(dt.UTC)
        answer = self.store.get_features_at(market, when, recorded_by=by)
        assert answer == self.oracle(market, when.astimezone(dt.UTC))
        self.promises.append((by, market, when, answer))

    @invariant()
    def every_answer_is_the_oracles(self):
        for market in ("HE", "LE"):
            names = self.store.features(market)
            frame = self.store.get_training_frame([market], INSTANTS, names).to_pylist() if names else []
            for when, row in zip(INSTANTS, frame or [{}] * len(INSTANTS), strict=True):
                wanted = self.oracle(market, when)
                assert self.store.get_features_at(market, when) == wanted
                assert {name: row.get(name) for name in names} == {name: wanted.get(name) for name in names}

    @invariant()
    def kept_promises(self):
        for by, market, when, answer in self.promises[-5:]:
            assert self.store.get_features_at(market, when, recorded_by=by) == answer


Machine.TestCase.settings = settings(max_examples=15, stateful_step_count=12, suppress_health_check=list(HealthCheck))
TestStoreIsTheOracle = Machine.TestCase


class MemoryMachine(Machine):
    """The same over the facts in memory."""

    table = staticmethod(FACT_TABLES["memory"])


MemoryMachine.TestCase.settings = Machine.TestCase.settings
TestStoreInMemoryIsTheOracle = MemoryMachine.TestCase


@pytest.fixture(scope="module")
def scratch():
    folder = Path(tempfile.mkdtemp())
    yield folder
    shutil.rmtree(folder)


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(SERIES, pairs, VALUES), max_size=12), st.lists(st.tuples(SERIES, pairs, VALUES), max_size=12), instants)
def test_rows_that_become_available_later_never_change_an_answer(scratch, before, later, when):
    """Non-interference: whatever is added with available_at > t, the answer at t stays, to the bit."""
    path = scratch / "n.sqlite"
    for file in scratch.iterdir():
        file.unlink()
    with FeatureStore(path, world="sample") as store:
        for (market, name), (as_of, available_at), value in before:
            store.write_feature(market, name, as_of, available_at, value)
        markets = ["HE", "LE"]
        names = store.features() or None
        answers = [store.get_features_at(market, when) for market in markets]
        frame = store.get_training_frame(markets, [when], names, with_meta=True) if names else None
        for (market, name), (as_of, available_at), value in later:
            if available_at > when:
                store.write_feature(market, name, as_of, available_at, value)
        assert [store.get_features_at(market, when) for market in markets] == answers
        if frame is not None:
            assert store.get_training_frame(markets, [when], names, with_meta=True).equals(frame)
