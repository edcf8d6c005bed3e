"""The promises of a FactTable, run on every implementation."""

import datetime as dt
import threading

import pytest

from hydra_assets.core.instants import now_us
from hydra_assets.errors import ConflictError, WorldError
from hydra_assets.storage.fact_columns import Facts
from hydra_assets.storage.fact_table import FactTable
from hydra_assets.storage.facts import Fact
from hydra_assets.storage.store import FeatureStore

SCOPE = ("HE", "2025-10", "a,b")


def fact(as_of=10, available_at=20, value=1.0, quality="normal", feature="a", market="HE"):
    return Fact(market, feature, as_of, available_at, value, quality)


def put(table: FactTable, *facts, withdraw=False):
    """One transaction; its stamp."""
    with table.transaction() as stamp:
        table.append(Facts.of(facts), stamp(), withdraw=withdraw)
        return stamp()


def plain(rows):
    return [(row["as_of"], row["available_at"], row["value"], row["quality"]) for row in rows]


def test_it_names_itself_its_place_and_its_world_once(fact_table):
    assert fact_table.identity
    assert fact_table.place
    assert fact_table.world("live") == "live"
    assert fact_table.world("sample") == "live"


def test_one_stamp_a_transaction_strictly_rising_and_not_before_the_clock(fact_table):
    assert fact_table.last_recorded() == 0
    stamps = [put(fact_table, fact(as_of=n, available_at=n)) for n in range(5)]
    assert stamps == sorted(set(stamps))
    assert abs(now_us() - stamps[-1]) < 60_000_000
    assert fact_table.last_recorded() == stamps[-1]


def test_a_transaction_that_fails_leaves_nothing(fact_table):
    first = put(fact_table, fact())

    def fail():
        with fact_table.transaction() as stamp:
            fact_table.append(Facts.of([fact(value=2.0), fact(feature="new")]), stamp())
            fact_table.add_publishes([(*SCOPE, stamp(), "folder", 1, 2)])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with fact_table.snapshot():
        assert plain(fact_table.vintages("HE", "a")) == [(10, 20, 1.0, "normal")]
        assert fact_table.series() == [("HE", "a")]
        assert fact_table.publishes() == []
        assert not fact_table.any_publish()
    assert fact_table.last_recorded() == first


def test_series_by_market(fact_table):
    put(fact_table, fact(feature="b"), fact(), fact(market="LE"))
    with fact_table.snapshot():
        assert fact_table.series() == [("HE", "a"), ("HE", "b"), ("LE", "a")]
        assert fact_table.series("LE") == [("LE", "a")]
        assert fact_table.series("GF") == []


def test_a_vintage_is_its_newest_recording_and_a_withdrawn_one_is_none(fact_table):
    put(fact_table, fact(), fact(as_of=5, available_at=6, value=None, quality="missing"))
    then = put(fact_table, fact(value=2.0))
    put(fact_table, fact(value=2.0), withdraw=True)
    with fact_table.snapshot():
        assert plain(fact_table.vintages("HE", "a")) == [(5, 6, None, "missing")]
        assert plain(fact_table.vintages("HE", "a", recorded_by=then)) == [(5, 6, None, "missing"), (10, 20, 2.0, "normal")]
        assert plain(fact_table.vintages("HE", "a", 6, 10, then)) == [(10, 20, 2.0, "normal")]
        assert plain(fact_table.vintages("HE", "a", None, 9, then)) == [(5, 6, None, "missing")]
        assert fact_table.vintages("HE", "unknown") == []
        found = fact_table.recordings({("HE", "a"): (5, 10), ("HE", "unknown"): (None, None)})
        assert list(found.standing()) == [fact(as_of=5, available_at=6, value=None, quality="missing")]
        assert (found.as_of.tolist(), found.retracted.tolist()) == ([5, 10, 10, 10], [False, False, False, True])
        assert found.recorded_at.tolist() == sorted(found.recorded_at.tolist())
        assert len(fact_table.recordings({("HE", "a"): (6, 9)})) == len(fact_table.recordings({})) == 0


def test_the_point_in_time_rule(fact_table):
    put(fact_table, fact(10, 20), fact(11, 30, 2.0), fact(10, 40, 3.0), fact(feature="b", value=9.0))
    then = put(fact_table, fact(11, 50, 4.0))
    put(fact_table, fact(11, 50, 4.0), withdraw=True)

    def known(cut, recorded_by=None, feature=None):
        with fact_table.snapshot():
            return {name: row["value"] for name, row in fact_table.known("HE", cut, recorded_by, feature).items()}

    assert known(19) == {}
    assert known(20) == {"a": 1.0, "b": 9.0}
    assert known(45) == {"a": 2.0, "b": 9.0}  # a late row of an older day never displaces a newer one
    assert known(50) == {"a": 2.0, "b": 9.0}  # the withdrawn vintage does not exist: the one before is taken
    assert known(50, then) == {"a": 4.0, "b": 9.0}
    assert known(50, feature="a") == {"a": 2.0}
    assert known(50, feature="unknown") == {}
    with fact_table.snapshot():
        assert fact_table.known("GF", 50, None) == {}


def test_watermarks_and_recordings_since_one(fact_table):
    first = put(fact_table, fact(), fact(feature="b"))
    second = put(fact_table, fact(value=2.0), fact(11, 30, 5.0))
    with fact_table.snapshot():
        assert fact_table.watermarks("HE") == {"a": second, "b": first}
        assert fact_table.watermarks("GF") == {}
        found = fact_table.since("HE", "a", first)
        assert list(found.standing()) == [fact(value=2.0), fact(11, 30, 5.0)]
        assert found.recorded_at.tolist() == [second, second]
        assert len(fact_table.since("HE", "a", second)) == 0
        assert fact_table.since("HE", "a", first - 1) is None  # nothing was recorded then: another state of the table
    put(fact_table, fact(11, 30), withdraw=True)
    with fact_table.snapshot():
        assert fact_table.since("HE", "a", second).retracted.tolist() == [True]


def test_recordings_of_several_series_lie_in_the_order_of_their_names(fact_table):
    put(fact_table, fact(feature="b"))
    put(fact_table, fact(30, 40, None, "missing"), fact(), fact(feature="b", value=3.0), fact(market="LE"))
    with fact_table.snapshot():
        found = fact_table.recordings({("HE", name): (None, None) for name in ("b", "a")})
        assert found.names == [("HE", "a"), ("HE", "b")]
        assert found.series.tolist() == [0, 0, 1, 1]
        assert list(found.standing()) == [fact(), fact(30, 40, None, "missing"), fact(feature="b", value=3.0)]


def test_two_recordings_of_one_vintage_under_one_stamp_are_refused(fact_table):
    with pytest.raises(ConflictError), fact_table.transaction() as stamp:
        fact_table.append(Facts.of([fact(), fact(value=2.0)]), stamp())


def test_publishes(fact_table):
    with fact_table.transaction() as stamp:
        first = stamp()
        fact_table.add_publishes([(*SCOPE, first, "x", 7, 3), (*SCOPE, first, "y", 8, 3)])
    with fact_table.transaction() as stamp:
        second = stamp()
        fact_table.add_publishes([(*SCOPE, second, "x", 9, 0), ("HE", "2025-11", "c", second, "", 0, 0)])
    with fact_table.snapshot():
        assert fact_table.newest_input(*SCOPE, "x") == 9
        assert fact_table.newest_input(*SCOPE, "z") is None
        assert fact_table.newest_input(*SCOPE[:2], f"d,{SCOPE[2].split(',')[0]}", "x") == 9
        assert fact_table.newest_input(*SCOPE[:2], "d,e", "x") is None
        assert fact_table.last_inputs("HE", ["b"]) == {"2025-10": {"x": 9}}
        assert fact_table.last_inputs("HE", ["c", "d"]) == {"2025-11": {}}
        assert [row[3:5] for row in fact_table.publishes("HE")] == [(first, "x"), (first, "y"), (second, ""), (second, "x")]
        assert fact_table.publishes("LE") == []
        assert fact_table.any_publish()


def test_restore_fills_an_empty_table_once(fact_table):
    assert (
        fact_table.restore([(fact(), False, 100), (fact(value=2.0), False, 200), (fact(5, 6), True, 150)], [(*SCOPE, 300, "x", 7, 3)]) == 3
    )
    assert fact_table.last_recorded() == 300
    with fact_table.snapshot():
        assert plain(fact_table.vintages("HE", "a", recorded_by=150)) == [(10, 20, 1.0, "normal")]
        assert fact_table.watermarks("HE") == {"a": 200}
        assert fact_table.check() == 3
    with pytest.raises(ConflictError, match="holds facts already"):
        fact_table.restore([], [])


def test_health_counts_without_reading_rows(fact_table):
    fact_table.world("sample")
    put(fact_table, fact(), fact(feature="b"))
    with fact_table.transaction() as stamp:
        fact_table.add_publishes([(*SCOPE, stamp(), "", 0, 0)])
    health = fact_table.health("sample")
    assert (health.world, health.series, health.published, health.problems) == ("sample", 2, {("HE", "2025-10")}, ())


def test_threads_write_one_after_the_other(fact_table):
    def write(first):
        for n in range(first, first + 20):
            put(fact_table, fact(as_of=n, available_at=n))

    threads = [threading.Thread(target=write, args=(100 * k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with fact_table.snapshot():
        rows = fact_table.vintages("HE", "a")
    assert len({row["recorded_at"] for row in rows}) == len(rows) == 80
    fact_table.wait_for_writers()


def test_the_log_of_answers(fact_table):
    assert fact_table.served.read() == []
    for n in range(3):
        fact_table.served.append("HE" if n else "LE", n, {"a": float(n), "b": None}, recorded_by=None, max_age=dt.timedelta(days=n))
    read = fact_table.served.read()
    assert [vector.market for vector in read] == ["LE", "HE", "HE"]
    assert [vector.served_at for vector in read] == sorted({vector.served_at for vector in read})
    assert [vector.values for vector in fact_table.served.read("HE")] == [{"a": 1.0, "b": None}, {"a": 2.0, "b": None}]
    assert fact_table.served.read(start=read[1].served_at, end=read[1].served_at) == read[1:2]


def test_a_store_over_it_closes_it_where_the_world_is_another(fact_table):
    FeatureStore.over(fact_table, world="live")
    with pytest.raises(WorldError, match="belongs to the world 'live'"):
        FeatureStore.over(fact_table, world="sample")
