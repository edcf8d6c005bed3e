"""The log of served values, compared with the lake later: each kind of fault is found and named apart from the others."""

import datetime as dt
import shutil
import sqlite3
import threading
from dataclasses import replace

import pyarrow.compute as pc
import pytest

from hydra_assets.core.instants import to_us
from hydra_assets.core.months import Month, months_between
from hydra_assets.core.tables.cot import COT_DISAGGREGATED
from hydra_assets.errors import CorruptionError
from hydra_assets.features import of_family
from hydra_assets.flow.publish import compute_months, publish_month
from hydra_assets.proof.served import ServedComparison, ServedRates, served_versus_recomputed
from hydra_assets.storage.lake import Look, ParquetLake
from hydra_assets.storage.sqlite.served import SqliteServedLog
from hydra_assets.storage.store import FeatureStore
from hydra_assets_tests.conftest import at
from hydra_assets_tests.support.cot_history import weeks
from hydra_assets_tests.support.entry_points import registered

DAY = dt.timedelta(1)
MONTHS = months_between("2024-06", "2024-12")
TIMES = [at("2024-08-05 14:00") + 9 * i * DAY for i in range(12)]
NAMES = sorted(feature.name for feature in of_family("cot"))
SEEN = at("2025-06-01")


def append(lake, table, month, seen=SEEN):
    as_of = pc.strftime(table["as_of"], format="%Y-%m")
    rows = table.filter(pc.equal(as_of, str(month)))
    look = Look("cftc", month.first, month.last, ("057642",), seen)
    lake.append_new(rows, "cot_disaggregated", "LE", month.first, key=COT_DISAGGREGATED.key, stamps="ours", look=look)


def publish(lake, store):
    for computed in compute_months(lake, "cot", "LE", MONTHS):
        publish_month(store, "cot", "LE", computed, allow_retract=True)


@pytest.fixture(scope="module")
def history():
    return weeks(2023, 2024)


@pytest.fixture(scope="module")
def made(tmp_path_factory, history):
    """A lake with two years of synthetic reports, and the store published from it; made once, copied for each test."""
    folder = tmp_path_factory.mktemp("made")
    lake = ParquetLake(folder / "lake", world="sample")
    for month in months_between("2023-01", "2024-12"):
        append(lake, history, month)
    with FeatureStore(folder / "store.sqlite", world="sample") as store:
        publish(lake, store)
    return folder


@pytest.fixture
def stocked(made, tmp_path):
    shutil.copytree(made, tmp_path / "copy")
    with FeatureStore(tmp_path / "copy" / "store.sqlite") as store:
        yield ParquetLake(tmp_path / "copy" / "lake"), store


def serve(store, times=TIMES, **options):
    for time in times:
        store.get_features_at("LE", time, log=True, **options)


def compared(store, lake, **options):
    with SqliteServedLog(store.served_path) as log:
        return served_versus_recomputed(log.read(), lake, **options)


def rates(found):
    return {r.feature: (r.mismatch, r.missing, r.extra) for r in found.features if r.mismatch or r.missing or r.extra}


# ---------------------------------------------------------------- the log


def test_nothing_is_kept_unless_asked_for(stocked):
    _, store = stocked
    store.get_features_at("LE", TIMES[0])
    assert not store.served_path.exists()


def test_an_answer_is_kept_as_it_was_given(stocked):
    _, store = stocked
    given = store.get_features_at("LE", TIMES[3], log=True, max_age=30 * DAY)
    then = store.newest_recorded()
    old = store.get_features_at("LE", TIMES[2], log=True, recorded_by=then)
    with SqliteServedLog(store.served_path) as log:
        first, second = log.read()
        assert log.read("HE") == []
        assert log.read("LE", start=second.served_at) == [second]
        assert log.read(end=first.served_at) == [first]
    assert (first.market, first.query_time, first.values) == ("LE", TIMES[3], given)
    assert (first.max_age, first.recorded_by) == (30 * DAY, None)
    assert (second.values, second.recorded_by, second.max_age) == (old, then, None)
    assert first.served_at < second.served_at


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE served SET answer = replace(answer, '1', '2') WHERE served_id = 2",
        "UPDATE served SET query_time = query_time - 1 WHERE served_id = 2",
        "DELETE FROM served WHERE served_id = 2",
        "DELETE FROM served WHERE served_id = 1",
        "DELETE FROM served WHERE served_id = (SELECT max(served_id) FROM served)",
        "DELETE FROM served",
        "DELETE FROM table_seals",
        "INSERT OR REPLACE INTO served SELECT 2, served_at, market, query_time, NULL, NULL, '{}', seal FROM served WHERE served_id = 2",
    ],
)
def test_a_log_that_was_changed_is_refused(stocked, change):
    _, store = stocked
    serve(store, TIMES[:3])
    with sqlite3.connect(store.served_path) as plain:
        plain.execute(change)
    with SqliteServedLog(store.served_path) as log, pytest.raises(CorruptionError, match=r"not as (it was )?written"):
        log.read()


def test_writers_side_by_side_lose_nothing(stocked):
    _, store = stocked

    def write():
        with FeatureStore(store.db_path) as own:
            serve(own, TIMES)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with SqliteServedLog(store.served_path) as log:
        vectors = log.read()
    assert len(vectors) == 4 * len(TIMES)
    assert len({vector.served_at for vector in vectors}) == len(vectors)


def test_instants_of_handing_out_increase_though_the_clock_stands_still_or_is_set_back(stocked, monkeypatch):
    _, store = stocked
    clock = iter([to_us(at("2025-07-01")), to_us(at("2025-07-01")), to_us(at("2020-01-01"))])
    monkeypatch.setattr("hydra_assets.storage.sqlite.served.now_us", lambda: next(clock))
    serve(store, TIMES[:3])
    with SqliteServedLog(store.served_path) as log:
        assert [to_us(vector.served_at) - to_us(at("2025-07-01")) for vector in log.read()] == [0, 1, 2]


# ---------------------------------------------------------------- held against the lake


def test_what_was_served_rightly_is_recomputed_to_the_number(stocked):
    lake, store = stocked
    serve(store)
    serve(store, TIMES[:4], max_age=10 * DAY)
    found = compared(store, lake)
    assert (found.verdict, found.vectors, found.left_out, found.unregistered) == ("passed", len(TIMES) + 4, 0, ())
    assert [r.feature for r in found.features] == NAMES
    assert rates(found) == {}
    by_name = {r.feature: r for r in found.features}
    with SqliteServedLog(store.served_path) as log:
        numbers = sum(vector.values["cot_mm_net"] is not None for vector in log.read())
    assert (by_name["cot_mm_net"].compared, by_name["cot_mm_net"].values) == (len(TIMES) + 4, numbers)
    assert numbers == len(TIMES) + 3  # of those with a max_age one was too old
    assert by_name["cot_mm_z_156"].values == 0  # two years are too short for it: null on both sides


def test_a_wrong_number_a_lost_one_and_one_too_many_are_told_apart(stocked):
    lake, store = stocked
    (row, *_) = store.get_feature_history("LE", "cot_mm_net", at("2024-09-03"), at("2024-09-03"))
    store.write_feature("LE", "cot_mm_net", row["as_of"], row["available_at"], row["value"] + 1)
    wrong = [t for t in TIMES if store.explain("LE", "cot_mm_net", t)["served"]["as_of"] == row["as_of"]]
    assert len(wrong) == 1
    for vintage in store.get_feature_history("LE", "cot_sentiment", at("2024-01-01"), at("2024-12-31")):
        store.retract("LE", "cot_sentiment", vintage["as_of"], vintage["available_at"])
    store.write_feature("LE", "cot_mm_z_156", TIMES[5] - 3 * DAY, TIMES[5] - 2 * DAY, 0.5)
    serve(store)
    found = compared(store, lake)
    assert found.verdict == "failed"
    extra = len(TIMES) - 5 if store.explain("LE", "cot_mm_z_156", TIMES[-1])["served"]["value"] == 0.5 else 1
    assert rates(found) == {"cot_mm_net": (1, 0, 0), "cot_sentiment": (0, len(TIMES), 0), "cot_mm_z_156": (0, 0, extra)}
    of = {r.feature: r for r in found.features}
    assert of["cot_mm_net"].rate("mismatch") == 1 / len(TIMES)
    assert of["cot_sentiment"].rate("missing") == 1.0
    (violation,) = [o for o in found.violations if o["feature"] == "cot_mm_net"]
    assert violation == {
        "market": "LE", "query_time": wrong[0], "feature": "cot_mm_net", "fault": "mismatch",
        "served": row["value"] + 1, "recomputed": row["value"],
    }  # fmt: skip


def test_any_one_fault_fails_and_without_a_number_nothing_is_proven():
    good = ServedRates("f", compared=1, values=1, mismatch=0, missing=0, extra=0)

    def verdict(**changed):
        return ServedComparison(vectors=1, left_out=0, features=(replace(good, **changed),), violations=(), unregistered=()).verdict

    assert verdict() == "passed"
    assert {verdict(**{fault: 1}) for fault in ("mismatch", "missing", "extra")} == {"failed"}
    assert verdict(values=0) == "unproven"


def test_numbers_of_a_tiny_series_are_compared_at_their_own_scale(stocked):
    """Numbers below the noise around zero of others: a series ten times as large is a mismatch, a last bit is none."""
    lake, store = stocked
    honest = next(feature for feature in of_family("cot") if feature.name == "cot_mm_net_oi")

    def tiny(cot):
        answer = honest.function(cot)
        return replace(answer, value=answer.value * 1e-17)

    feature = replace(honest, name="tiny", function=tiny)
    with registered(feature):
        publish(lake, store)
        serve(store)
        assert compared(store, lake, families=["cot"]).verdict == "passed"
    with SqliteServedLog(store.served_path) as log:
        vectors = log.read()
    for factor, fault in ((1 + 1e-15, None), (10.0, len(TIMES))):
        changed = [
            replace(v, values={"tiny": v.values["tiny"] * factor, **{n: x for n, x in v.values.items() if n != "tiny"}}) for v in vectors
        ]
        with registered(feature):
            found = served_versus_recomputed(changed, lake)
        assert rates(found).get("tiny") == (None if fault is None else (fault, 0, 0))


def test_a_vector_served_before_its_rows_were_published_is_missing_them(lake, store, history):
    serve(store, TIMES[:2])
    for month in months_between("2024-01", "2024-12"):
        append(lake, history, month)
    found = compared(store, lake)
    assert found.verdict == "failed"
    assert {r.feature: r.missing for r in found.features if r.missing}["cot_mm_net"] == 2


def test_a_leak_in_what_was_served_is_a_mismatch(stocked):
    """A value stamped with its Tuesday is served days before the lake has the report."""
    lake, store = stocked
    history = store.get_feature_history("LE", "cot_mm_net", at("2024-06-01"), at("2024-12-31"))
    for row in history:
        store.write_feature("LE", "cot_mm_net", row["as_of"], row["as_of"], row["value"])
    tuesdays = [row["as_of"] + dt.timedelta(hours=20) for row in history][8:16]
    serve(store, tuesdays)
    assert rates(compared(store, lake)) == {"cot_mm_net": (8, 0, 0)}


def test_rows_that_came_later_do_not_touch_what_was_known(stocked, history):
    lake, store = stocked
    serve(store)
    changed = history.set_column(
        history.column_names.index("mm_long"),
        history.schema.field("mm_long"),
        pc.add(history["mm_long"], 5),
    )
    append(lake, changed, Month(2024, 9), seen=SEEN + DAY)
    assert lake.read("cot_disaggregated", "LE", dt.date(2024, 9, 1), dt.date(2024, 9, 30)).num_rows > 4
    assert compared(store, lake).verdict == "passed"


def test_old_answers_and_names_of_ones_own_are_left_out_and_counted(stocked):
    lake, store = stocked
    then = store.newest_recorded()
    store.write_feature("LE", "mine", TIMES[0] - 5 * DAY, TIMES[0] - 4 * DAY, 1.0)
    serve(store, TIMES[:2])
    serve(store, TIMES[:3], recorded_by=then)
    found = compared(store, lake)
    assert (found.verdict, found.vectors, found.left_out, found.unregistered) == ("passed", 2, 3, ("mine",))


def test_nothing_to_compare_is_unproven(tmp_path, store):
    lake = ParquetLake(tmp_path / "empty", world="sample")
    assert served_versus_recomputed([], lake).verdict == "unproven"
    serve(store, TIMES[:1])
    assert compared(store, lake).verdict == "unproven"


def test_a_value_older_than_the_reach_counts_as_not_there(stocked):
    lake, store = stocked
    serve(store, [at("2025-12-01")])
    assert compared(store, lake, reach=dt.timedelta(500)).verdict == "passed"
    found = compared(store, lake, reach=dt.timedelta(100))
    assert {r.feature: r.extra for r in found.features}["cot_mm_net"] == 1
