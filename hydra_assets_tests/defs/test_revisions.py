"""Revisions from the vendor's file to every answer: new vintages where the look-back reaches, and nothing before them changes."""

import datetime as dt
import hashlib
from functools import lru_cache
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest

import hydra_assets
from hydra_assets.config.load import load_release_calendar
from hydra_assets.core.instants import day_us
from hydra_assets.core.months import Month, months_between
from hydra_assets.core.releases import ReleaseCalendar
from hydra_assets.core.tables.cot import COT_DISAGGREGATED
from hydra_assets.core.tables.registry import FEATURE_TABLES
from hydra_assets.defs import revisions
from hydra_assets.defs.partitions import key_of, parts_of
from hydra_assets.defs.revisions import FIRST_TAG, LAST_TAG, ONE_TAG, REVISION_TAG, revision_of, revision_sensor
from hydra_assets.errors import StorageError
from hydra_assets.features.look_back import look_back
from hydra_assets.flow.derive import DERIVATIONS
from hydra_assets.flow.feeds import cot
from hydra_assets.flow.outdated import outdated_months, restamped_since_publish
from hydra_assets.flow.publish import compute_months, publish_month
from hydra_assets.sources.databento import DatabentoSource
from hydra_assets.sources.sample.records import Publisher
from hydra_assets.storage.capture import Look
from hydra_assets_tests.conftest import at
from hydra_assets_tests.defs.test_assets import bent_resource
from hydra_assets_tests.sources.test_cftc_source import sends, vendor
from hydra_assets_tests.support.cftc_files import archive, bent
from hydra_assets_tests.support.cot_history import revised
from hydra_assets_tests.support.cot_history import weeks as made_weeks
from hydra_assets_tests.support.dagster_runs import COT, FUTURES, definitions, materializations, resources, run

LOADED = months_between("2024-01", "2024-12")
weeks = lru_cache(made_weeks)


def day(text):
    return dt.date.fromisoformat(text)


# ---------------------------------------------------------------- which months are outdated


def load(lake, table, months, market="LE"):
    """Append the months of a COT table, as seen long after."""
    as_of = table["as_of"].cast(pa.int64()).to_numpy()
    for month in months:
        inside = (as_of >= day_us(month.first)) & (as_of <= day_us(month.last))
        look = Look("cftc", month.first, month.last, ("057642",), at("2026-06-01"))
        rows = table.filter(pa.array(inside))
        lake.append_new(rows, COT_DISAGGREGATED.name, market, month.first, key=COT_DISAGGREGATED.key, stamps="ours", look=look)


def publish(store, lake, months, market="LE", **more):
    for computed in compute_months(lake, "cot", market, months):
        publish_month(store, "cot", market, computed, **more)


@pytest.fixture
def history(lake, store):
    """Live cattle of 2024, published; without its June."""
    table = weeks(2023, 2024)
    load(lake, table, [month for month in LOADED if month != Month(2024, 6)])
    publish(store, lake, LOADED)
    return table


def test_what_was_just_published_is_not_outdated_and_other_markets_are_none_of_it(history, lake, store):
    assert outdated_months(store, lake, "cot", "LE") == []
    load(lake, history, LOADED, market="HE")
    assert outdated_months(store, lake, "cot", "LE") == outdated_months(store, lake, "cot", "HE") == []


def test_a_revised_row_makes_the_months_outdated_whose_look_back_reaches_it(history, lake, store):
    newer = revised(history, 52 + 38, available_at=at("2026-07-01"), mm_long=1)  # of September 2024
    moved = Month.of(history["as_of"][52 + 38].as_py())
    row = newer.slice(newer.num_rows - 1)
    look = Look("cftc", moved.first, moved.last, ("057642",), at("2026-07-01"))
    lake.append_new(row, COT_DISAGGREGATED.name, "LE", moved.first, key=COT_DISAGGREGATED.key, stamps="ours", look=look)
    outdated = outdated_months(store, lake, "cot", "LE")
    assert outdated == [month for month in LOADED if month >= moved]
    assert not restamped_since_publish(store, lake, "cot", "LE", outdated)  # revised, and no stamp put right
    publish(store, lake, outdated[:1])
    assert outdated_months(store, lake, "cot", "LE") == outdated[1:]
    publish(store, lake, outdated)
    assert outdated_months(store, lake, "cot", "LE") == []


def test_a_gap_filled_and_an_older_month_loaded_later_make_them_outdated(history, lake, store):
    load(lake, history, [Month(2024, 6)])
    assert outdated_months(store, lake, "cot", "LE") == [month for month in LOADED if month >= Month(2024, 6)]
    publish(store, lake, LOADED)
    load(lake, history, [Month(2023, 11)])
    assert outdated_months(store, lake, "cot", "LE") == LOADED
    publish(store, lake, LOADED)
    # A month beyond every look-back changes nothing.
    reach = look_back("cot", COT_DISAGGREGATED.name)
    load(lake, weeks(2020, 2020), [Month.of(LOADED[0].first - reach - dt.timedelta(40))])
    assert outdated_months(store, lake, "cot", "LE") == []


def test_a_compaction_outdates_nothing(history, lake, store):
    for _ in range(2):
        load(lake, history, [Month(2024, 6)])
    publish(store, lake, LOADED)
    lake.compact()
    assert outdated_months(store, lake, "cot", "LE") == []


def test_months_of_the_lake_that_no_publish_tells_of_are_outdated(history, lake, store):
    """A store rebuilt from the lake alone."""
    look = Look("asset", day("2023-12-01"), day("2023-12-31"), (), at("2026-06-01"))
    month = next(compute_months(lake, "cot", "LE", [Month(2024, 12)])).rows
    lake.append_new(month, "cot_features", "LE", day("2024-12-01"), key=("feature_name",), stamps="derived", look=look)
    with hydra_assets.FeatureStore(lake.base_path.parent / "other.sqlite", world="sample") as fresh:
        assert outdated_months(fresh, lake, "cot", "LE") == [Month(2024, 12)]


# ---------------------------------------------------------------- the sensor


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def tick(instance):
    chosen = {name: resources()[name] for name in ("lake", "store")}
    return revision_sensor(dg.build_sensor_context(instance=instance, resources=chosen, definitions=definitions()))


@pytest.fixture
def outdated():
    """The home's own lake and store, with a June that came after the publish."""
    with hydra_assets.open() as desk:
        table = weeks(2024, 2024)
        load(desk.lake, table, [month for month in LOADED if month != Month(2024, 6)])
        publish(desk.store, desk.lake, LOADED)
        load(desk.lake, table, [Month(2024, 6)])


def test_a_store_that_is_missing_beside_its_lake_is_not_begun_anew_by_dagster(instance, outdated):
    with hydra_assets.open() as desk:
        look = Look("asset", day("2024-12-01"), day("2024-12-31"), (), at("2026-06-01"))
        month = next(compute_months(desk.lake, "cot", "LE", [Month(2024, 12)])).rows
        desk.lake.append_new(month, "cot_features", "LE", day("2024-12-01"), key=("feature_name",), stamps="derived", look=look)
    path = Path(resources()["store"].db_path)
    path.unlink()
    with pytest.raises(StorageError, match=r"is missing.*store rebuild"):
        tick(instance)
    assert not path.exists()


def test_the_sensor_asks_for_one_range_a_market_and_is_shipped_stopped(instance, outdated):
    (request,) = tick(instance).run_requests
    assert [parts_of(request.tags[tag]) for tag in (FIRST_TAG, LAST_TAG)] == [("LE", Month(2024, 6)), ("LE", Month(2024, 12))]
    assert request.asset_selection == [dg.AssetKey("cot_features")]
    assert request.run_key == tick(instance).run_requests[0].run_key  # the same state is the same key, which Dagster takes once
    assert revision_sensor.default_status is dg.DefaultSensorStatus.STOPPED
    with hydra_assets.open() as desk:
        load(desk.lake, weeks(2023, 2023), [Month(2023, 12)])
    assert tick(instance).run_requests[0].run_key != request.run_key
    with hydra_assets.open() as desk:
        publish(desk.store, desk.lake, LOADED)
    assert "rests on the newest inputs" in tick(instance).skip_message


def test_the_sensor_gives_up_after_three_attempts_on_the_same_inputs_and_says_so(instance, outdated):
    keys = []
    for _ in range(3):
        (request,) = tick(instance).run_requests
        keys.append(request.run_key)
        job = definitions().resolve_implicit_global_asset_job_def()
        instance.create_run_for_job(job, status=dg.DagsterRunStatus.FAILURE, tags=request.tags)
    assert len(set(keys)) == 3
    told = tick(instance)
    assert isinstance(told, dg.SkipReason)
    assert "given up after 3 attempts" in told.skip_message
    assert "LE 2024-06..2024-12" in told.skip_message
    with hydra_assets.open() as desk:  # other inputs are another matter
        load(desk.lake, weeks(2023, 2023), [Month(2023, 12)])
    assert tick(instance).run_requests


def test_the_sensor_waits_for_a_run_on_the_same_months_and_for_no_other(instance, outdated):
    job = definitions().resolve_implicit_global_asset_job_def()
    for market, first, last, assets, waits in (
        ("LE", "2024-10", "2024-10", COT, True),
        ("LE", "2024-01", "2024-12", ("cot_features",), True),
        ("LE", "2024-01", "2024-05", COT, False),
        ("HE", "2024-10", "2024-10", COT, False),
        ("LE", "2024-10", "2024-10", FUTURES, False),
    ):
        tags = {FIRST_TAG: str(key_of(market, Month.of(first))), LAST_TAG: str(key_of(market, Month.of(last)))}
        selection = frozenset(dg.AssetKey(name) for name in assets)
        active = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, tags=tags, asset_selection=selection)
        told = tick(instance)
        assert isinstance(told, dg.SkipReason) is waits, (market, first, assets)
        assert not waits or f"run {active.run_id[:8]}" in told.skip_message
        instance.report_run_canceled(active)
    for tags, waits in (
        ({}, True),  # it does not say which months, so it may be on them
        ({ONE_TAG: str(key_of("LE", Month(2024, 10)))}, True),
        ({ONE_TAG: str(key_of("LE", Month(2024, 5)))}, False),
    ):
        active = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, tags=tags)
        assert isinstance(tick(instance), dg.SkipReason) is waits, tags
        instance.report_run_canceled(active)
    assert tick(instance).run_requests


def test_months_that_are_no_partition_are_not_asked_for(monkeypatch):
    with hydra_assets.open() as desk:
        monkeypatch.setattr(revisions, "outdated_months", lambda *_: [Month(2010, 5), Month(2010, 6)])
        found = revision_of(desk.store, desk.lake, "HE")
        assert (found.first, found.last, found.months) == (Month(2010, 6), Month(2010, 6), 1)
        monkeypatch.setattr(revisions, "outdated_months", lambda *_: [Month(2009, 12)])
        assert revision_of(desk.store, desk.lake, "HE") is None


# ---------------------------------------------------------------- end to end


def moved(header, rows):
    """The report of 4 November 2025 of HE, restated."""
    code = header.index("CFTC_Contract_Market_Code")
    row = next(r for r in rows if r[code] == "054642" and r[2] == "2025-11-04")
    for name, step in (("M_Money_Positions_Long_All", 100), ("NonRept_Positions_Long_All", -100)):
        row[header.index(name)] = str(int(row[header.index(name)]) + step)


def hashes(desk):
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in desk.lake.files("cot_disaggregated", "HE")}


@pytest.mark.slow
def test_a_row_revised_years_later_reaches_what_looks_back_to_it_and_nothing_before(home, instance):
    asked = {"first": "2025-01", "last": "2025-12"}
    seen = at("2029-03-01 10:00")
    with vendor(sends(body=archive(2025))) as (url, _):
        first = run(**asked, cftc=bent_resource(url, home, now="2026-01-05 21:00"))
    facts = materializations(first, "cot_disaggregated")
    # The report of 30 December came out half an hour before the look; the others are the calendar's word.
    assert [(m["captured_live"], m["backfilled"], m["restamped_rows"]) for _, m in sorted(facts.items())][-3:] == [
        (0, 4, 0),
        (0, 4, 0),
        (1, 4, 0),
    ]
    with hydra_assets.open() as desk:
        raw_files, vintages = hashes(desk), desk.store.vintages("HE")
        times = [at("2025-11-20") + dt.timedelta(days=7 * n) for n in range(170)]
        times = [t for t in times if t < seen] + [seen - dt.timedelta(microseconds=1)]
        before = desk.store.get_training_frame("HE", times, with_meta=True)
    with vendor(sends(body=bent(moved))) as (url, _):
        again = run(**asked, only=["cot_disaggregated"], cftc=bent_resource(url, home, now="2029-03-01 10:00"))
    facts = materializations(again, "cot_disaggregated")
    assert [(m["new_rows"], m["captured_live"]) for _, m in sorted(facts.items())][-3:] == [(0, 0), (1, 1), (0, 1)]
    (request,) = tick(instance).run_requests
    assert run(only=["cot_features"], tags=request.tags).success
    assert "rests on the newest inputs" in tick(instance).skip_message
    with hydra_assets.open() as desk:
        assert {path: hashed for path, hashed in hashes(desk).items() if path in raw_files} == raw_files
        assert desk.store.get_training_frame("HE", times, with_meta=True).equals(before)
        new = [r for r in desk.store.vintages("HE").to_pylist() if r["available_at"] == seen]
        assert len(new) + vintages.num_rows == desk.store.vintages("HE").num_rows
        assert min(r["as_of"] for r in new) == at("2025-11-04")
        assert len({r["as_of"] for r in new}) > 1  # changes over weeks look back to it
        (was, now) = desk.store.get_feature_history("HE", "cot_mm_net", at("2025-11-04"), at("2025-11-04"))
        assert (now["value"] - was["value"], now["available_at"]) == (100, seen)


def test_a_corrected_calendar_moves_stamps_and_the_features_that_rest_on_them(home, monkeypatch):
    """All reports of November out two weeks later than believed: far more than a fifth of the month is withdrawn, rightly."""
    asked = {"first": "2025-11", "last": "2025-12"}
    with vendor(sends(body=archive(2025))) as (url, _):
        run(**asked, cftc=bent_resource(url, home))
        believed = dt.datetime.now(dt.UTC)
        shipped = load_release_calendar()
        november = shipped.report_dates(day("2025-11-01"), day("2025-11-30"))
        moved_to = dict.fromkeys(november, "2026-02-02T15:30:00-05:00")
        stamps = {d: out.isoformat() for d, (out, _, _) in shipped._exceptions.items()} | moved_to
        late = [{"report_date": str(d), "available_at_et": out, "status": "actual", "source": "test"} for d, out in stamps.items()]
        corrected = ReleaseCalendar(late, reviewed_until=shipped.reviewed_until, closures=shipped._closures)
        monkeypatch.setattr(cot, "load_release_calendar", lambda: corrected)
        raw_run = run(**asked, only=["cot_disaggregated"], cftc=bent_resource(url, home))
        assert materializations(raw_run, "cot_disaggregated")[str(key_of("HE", Month(2025, 11)))]["restamped_rows"] == 8
        with hydra_assets.open() as desk:
            assert Month(2025, 11) in outdated_months(desk.store, desk.lake, "cot", "HE")
            assert restamped_since_publish(desk.store, desk.lake, "cot", "HE", [Month(2025, 11)]) == {Month(2025, 11)}
        assert run(**asked, only=["cot_features"]).success
    with hydra_assets.open() as desk:
        assert not restamped_since_publish(desk.store, desk.lake, "cot", "HE", [Month(2025, 11)])
        assert {r["as_of"] for r in desk.store.explain("HE", "cot_mm_net", at("2026-01-20"))["withheld"]} == {at(str(d)) for d in november}
        was = desk.store.get_features_at("HE", at("2025-12-16"), recorded_by=believed)
        assert was["cot_mm_net"] is not None
        assert "cot_mm_net" not in desk.store.get_features_at("HE", at("2025-12-16"))
        notes = desk.lake.writes("cot_disaggregated", "HE", day("2025-11-01"), day("2025-11-30"))
        assert shipped.version in notes[-1].reason
        assert notes[-1].versions["calendar"] == corrected.version


@pytest.mark.slow
def test_a_day_that_databento_mends_is_a_new_vintage_seen_when_it_was_seen(monkeypatch, instance):
    """Its condition and last_modified_date change, and one final settlement is another under the same stamp."""
    mended, asked = day("2025-12-10"), {"first": "2025-12", "last": "2025-12", "only": FUTURES}
    run(**asked)
    with hydra_assets.open() as desk:
        before = desk.store.vintages("HE")
        times = [at("2025-12-01") + dt.timedelta(hours=7 * n) for n in range(120)]
        frame = desk.store.get_training_frame("HE", times, with_meta=True)
    began = dt.datetime.now(dt.UTC)
    real_conditions, real_records = DatabentoSource.conditions, Publisher.records

    def conditions(self, *words):
        told = real_conditions(self, *words)
        changed = began.date() + dt.timedelta(1)
        return {d: type(c)("degraded", changed) if d == mended else c for d, c in told.items()}

    def records(self, schema, low, high):
        found = real_records(self, schema, low, high)
        if schema == "statistics":
            found = found.copy()
            evening = (found["stat_type"] == 3) & (found["ts_ref"] == day_us(mended) * 1000)
            found["price"][evening] += 10**9
        return found

    monkeypatch.setattr(DatabentoSource, "conditions", conditions)
    monkeypatch.setattr(Publisher, "records", records)
    again = run(**{**asked, "only": FUTURES[:3]})
    assert materializations(again, "futures_statistics")[str(key_of("HE", Month(2025, 12)))]["new_rows"] > 0
    (request,) = tick(instance).run_requests
    between = [dg.AssetKey(name) for name in ("futures_continuous", "cash_index", "futures_limits")]
    assert request.asset_selection == [dg.AssetKey("futures_features"), *between]
    assert run(only=["futures_features"], tags=request.tags).success
    assert "rests on the newest inputs" in tick(instance).skip_message
    with hydra_assets.open() as desk:
        after = desk.store.vintages("HE")
        new = [r for r in after.to_pylist() if r["available_at"] >= began]
        assert after.num_rows == before.num_rows + len(new)
        assert {r["as_of"].date() for r in new} > {mended}
        assert min(r["as_of"].date() for r in new) == mended
        assert desk.store.get_training_frame("HE", times, with_meta=True).equals(frame)


def test_every_family_is_looked_at():
    with hydra_assets.open() as desk:
        assert revision_of(desk.store, desk.lake, "HE") is None
    asked = {key.path[-1] for key in revision_sensor.asset_selection.resolve(definitions().assets)}
    assert asked == {table.name for table in FEATURE_TABLES.values()} | set(DERIVATIONS)
    assert revisions.MAX_ATTEMPTS == 3
    assert REVISION_TAG == "hydra/revision"
