"""Assets in a real Dagster: from the vendor's bytes to the store, and a second time without a new row."""

import datetime as dt
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest

import hydra_assets
from hydra_assets.core.months import Month, months_between
from hydra_assets.core.tables.features import COT_FEATURES
from hydra_assets.defs import retries as retrying
from hydra_assets.defs.io_managers import HiveParquetIOManager
from hydra_assets.defs.partitions import MARKET_MONTH, key_of, months_by_market, refuse_shortened_range
from hydra_assets.defs.raw import RAW
from hydra_assets.defs.resources import FeedResource, LakeResource
from hydra_assets.errors import InvalidTimeError, SchemaError, WorldError
from hydra_assets.features import of_family
from hydra_assets.flow import publish as flow
from hydra_assets.sources.cftc import CftcSource
from hydra_assets_tests.conftest import at
from hydra_assets_tests.sources.test_cftc_source import sends, vendor
from hydra_assets_tests.support.cftc_files import CALENDAR, bent
from hydra_assets_tests.support.dagster_runs import COT, checks_of, materializations, resources, run, verdicts

OCTOBER = str(key_of("HE", Month(2025, 10)))


class Bent(FeedResource):
    """A CFTC that lives at *url* and thinks that it is *now*."""

    url: str
    now: str

    @contextmanager
    def open(self, **_):
        yield CftcSource(Path(self.base) / "bent", CALENDAR, base_url=self.url, now=lambda: at(self.now), read_timeout_s=2.0)


def bent_resource(url, home, now="2026-06-01"):
    return Bent(feed="cftc", base=str(home), world="sample", url=url, now=now)


# ---------------------------------------------------------------- the path


def test_a_range_goes_from_bytes_to_the_store_and_every_check_passes():
    result = run(first="2025-01", last="2025-12")
    assert result.success
    assert set(verdicts(result).values()) == {"passed"}
    assert set(verdicts(result)) == checks_of(COT)
    partitions = list(materializations(result, "cot_features"))
    assert partitions == sorted(partitions)  # the UI calls the last one the latest
    with hydra_assets.open("sample") as desk:
        assert desk.lake.read("cot_disaggregated", "HE").num_rows == 52
        assert desk.lake.read("cot_features", "HE").num_rows == 52 * len(of_family("cot"))
        answer = desk.store.get_features_at("HE", at("2025-10-20 12:00"))
        assert answer["cot_mm_net"] == 140_103  # 23 September: the shutdown held back what followed
        assert desk.store.get_features_at("HE", at("2025-11-19 20:30"))["cot_mm_net"] == 144_954
        assert desk.store.publishes("HE").num_rows > 0
        assert {folder.key for folder in desk.lake.folders("cot_features")} >= {"data_type=cot_features/market=HE/year=2025/month=10"}


def test_materialising_twice_writes_nothing_the_second_time():
    first = materializations(run(), "cot_disaggregated")
    assert sorted(meta["new_rows"] for meta in first.values()) == [4, 5]
    with hydra_assets.open() as desk:
        files = sorted(path.name for path in desk.home.root.rglob("*.parquet"))
        high_water = [row["recorded_at"] for row in desk.store.vintages("HE").to_pylist()]
    result = run()
    for asset in ("cot_disaggregated", "cot_features"):
        assert {meta["new_rows"] for meta in materializations(result, asset).values()} == {0}
    assert {meta["published_facts"] for meta in materializations(result, "cot_features").values()} == {0}
    with hydra_assets.open() as desk:
        assert sorted(path.name for path in desk.home.root.rglob("*.parquet")) == files
        assert [row["recorded_at"] for row in desk.store.vintages("HE").to_pylist()] == high_water


def test_one_partition_alone_by_its_key():
    result = dg.materialize([RAW["cot_disaggregated"]], partition_key=key_of("HE", Month(2025, 10)), resources=resources())
    ((key, meta),) = materializations(result, "cot_disaggregated").items()
    assert (key, meta["dagster/partition_row_count"], meta["new_rows"], meta["files"]) == (OCTOBER, 4, 4, "1")
    plotted = {name for name, value in meta.items() if isinstance(value, int | float) and not isinstance(value, bool)}
    assert {"files", "run_rows", "run_new_rows", "inputs"} & plotted == set()  # numbers that mean nothing over the months
    assert meta["world"] == "sample"
    assert meta["synthetic_rows"] == "0 of 4 rows are synthetic"
    assert meta["dagster/uri"].endswith("data_type=cot_disaggregated")
    assert len(meta["preview"].records) == 4


@pytest.mark.slow
def test_two_years_of_two_markets_once_per_market():
    for market in ("HE", "LE"):
        result = run(market, "2024-01", "2025-12")
        assert result.success
        assert len(materializations(result, "cot_disaggregated")) == 24
        assert len(materializations(result, "cot_features")) == 24
    with hydra_assets.open() as desk:
        assert desk.lake.read("cot_disaggregated", "LE").num_rows == 105
        synthetic = desk.lake.read("cot_disaggregated", "LE")["synthetic"].to_pylist()
        assert all(synthetic)


@pytest.mark.slow
def test_look_back_reaches_into_earlier_months_of_the_lake():
    run(first="2024-10", last="2025-09")
    run(first="2025-10", last="2025-10")
    with hydra_assets.open() as desk:
        (row,) = desk.store.get_feature_history("HE", "cot_mm_pct_52", at("2025-10-28"), at("2025-10-28"))
        assert row["value"] is not None
        inputs = {r["folder"] for r in desk.store.publishes("HE").to_pylist() if r["month"] == "2025-10"}
        assert "data_type=cot_disaggregated/market=HE/year=2024/month=10" in inputs


def test_nothing_is_pickled_and_the_store_is_no_second_truth():
    run()
    with hydra_assets.open() as desk:
        for path in desk.home.root.rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    assert file.read(2) != b"\x80\x04", path
        served = {(r["feature_name"], r["as_of"], r["available_at"]): r["value"] for r in desk.store.vintages("HE").to_pylist()}
        kept = {(r["feature_name"], r["as_of"], r["available_at"]): r["value"] for r in desk.lake.read("cot_features", "HE").to_pylist()}
        assert served == kept
        assert desk.lake.verify() == len(list(desk.lake.base_path.rglob("*.parquet")))


# ---------------------------------------------------------------- planted lookahead


def tuesday_stamped(family, inputs, **bounds):
    rows = flow_compute(family, inputs, **bounds)
    return rows.set_column(rows.column_names.index("available_at"), COT_FEATURES.schema.field("available_at"), rows["as_of"])


flow_compute = flow.compute


def test_publish_refuses_features_stamped_with_their_tuesday_and_nothing_is_written(monkeypatch):
    monkeypatch.setattr(flow, "compute", tuesday_stamped)
    result = run(raise_on_error=False)
    assert not result.success
    (failure,) = [e for e in result.all_events if e.is_step_failure]
    assert "LookaheadError" in failure.event_specific_data.error.to_string()
    assert "first printed" in failure.event_specific_data.error.to_string()
    with hydra_assets.open() as desk:
        assert desk.store.features("HE") == []
        assert desk.lake.read("cot_features", "HE").num_rows == 0
        assert desk.lake.read("cot_disaggregated", "HE").num_rows == 9  # the raw months stand


# ---------------------------------------------------------------- vendor faults through Dagster


def test_transient_faults_are_retried_by_dagster_to_the_count(home, monkeypatch):
    real_wait = retrying.wait_before_retry
    monkeypatch.setattr(retrying, "wait_before_retry", lambda *a: None if real_wait(*a) is None else 0)
    with vendor(sends(503, b"")) as (url, asked):
        result = run(raise_on_error=False, cftc=bent_resource(url, home))
    assert not result.success
    assert len(asked) == 5
    (failure,) = [e for e in result.all_events if e.is_step_failure]
    text = failure.event_specific_data.error.to_string()
    assert "HTTP 503" in text
    assert "given up after 5 attempt(s)" in text
    with hydra_assets.open() as desk:
        assert desk.lake.folders() == []


def test_a_refusal_is_never_retried(home):
    with vendor(sends(403, b"")) as (url, asked):
        assert not run(raise_on_error=False, cftc=bent_resource(url, home)).success
    assert len(asked) == 1


def test_a_broken_file_materialises_nothing(home, monkeypatch):
    real_wait = retrying.wait_before_retry
    monkeypatch.setattr(retrying, "wait_before_retry", lambda *a: None if real_wait(*a) is None else 0)

    def without_column(header, rows):
        header[header.index("Open_Interest_All")] = "OI"

    with vendor(sends(body=bent(without_column))) as (url, _):
        result = run(raise_on_error=False, cftc=bent_resource(url, home))
    (failure,) = [e for e in result.all_events if e.is_step_failure]
    assert "Open_Interest_All" in failure.event_specific_data.error.to_string()
    with hydra_assets.open() as desk:
        assert desk.lake.folders() == []


def test_a_year_not_yet_published_is_a_gap_and_no_failure(home):
    with vendor(sends(404, b"")) as (url, _):
        result = run(first="2025-01", last="2025-01", cftc=bent_resource(url, home, now="2025-01-02"))
    assert result.success
    ((_, meta),) = materializations(result, "cot_disaggregated").items()
    assert meta["gap"] is True
    assert "not published it yet" in meta["reason"]
    told = verdicts(result)
    assert told["cot_features", "replay"] == told["cot_features", "no_lookahead"] == told["cot_disaggregated", "cot_identity"] == "unproven"
    assert told["cot_disaggregated", "coverage"] == "failed"  # by today's clock the month's reports are long out


def test_one_quarantined_row_is_told_and_many_are_refused(home):
    def one(header, rows):
        i, code = header.index("Open_Interest_All"), header.index("CFTC_Contract_Market_Code")
        next(row for row in rows if row[code] == "054642")[i] = "."

    with vendor(sends(body=bent(one))) as (url, _):
        result = run(first="2025-11", last="2025-12", cftc=bent_resource(url, home))
    meta = materializations(result, "cot_disaggregated")[str(key_of("HE", Month(2025, 12)))]
    assert "Open_Interest_All is '.'" in str(meta["quarantined"])
    assert verdicts(result)["cot_disaggregated", "coverage"] == "failed"

    def many(header, rows):
        for row in rows:
            row[header.index("Open_Interest_All")] = "."

    with vendor(sends(body=bent(many))) as (url, _):
        result = run(
            "LE", raise_on_error=False, cftc=Bent(feed="cftc", base=str(home / "other"), world="sample", url=url, now="2026-06-01")
        )
    (failure,) = [e for e in result.all_events if e.is_step_failure]
    assert "are unusable" in failure.event_specific_data.error.to_string()


def test_a_revision_in_the_vendors_file_is_a_new_vintage_seen_when_it_was_seen(home):
    def moved(header, rows):
        code = header.index("CFTC_Contract_Market_Code")
        row = next(r for r in rows if r[code] == "054642" and r[2] == "2025-12-30")
        for name, step in (("M_Money_Positions_Long_All", 100), ("NonRept_Positions_Long_All", -100)):
            row[header.index(name)] = str(int(row[header.index(name)]) + step)

    run(first="2025-12", last="2025-12")
    with vendor(sends(body=bent(moved))) as (url, _):
        run(first="2025-12", last="2025-12", cftc=bent_resource(url, home, now="2026-12-24 10:00"))
    with hydra_assets.open() as desk:
        history = desk.store.get_feature_history("HE", "cot_mm_net", at("2025-12-30"), at("2025-12-30"))
        assert [(r["value"], r["available_at"]) for r in history] == [(76307, at("2026-01-05 20:30")), (76407, at("2026-12-24 10:00"))]
        assert desk.store.get_features_at("HE", at("2026-12-24 09:59"))["cot_mm_net"] == 76307


# ---------------------------------------------------------------- partitions and the IO manager


def test_the_partition_of_the_ui_is_the_folder_on_disk():
    keys = MARKET_MONTH.get_partition_keys()
    now = dt.datetime.now(dt.UTC)
    assert str(key_of("HE", Month(2010, 6))) in keys
    assert str(key_of("HE", Month.of(now.date()))) in keys
    assert months_by_market([key_of("LE", Month(2025, 2)), str(key_of("HE", Month(2025, 2))), key_of("HE", Month(2025, 1))]) == {
        "HE": [Month(2025, 1), Month(2025, 2)],
        "LE": [Month(2025, 2)],
    }
    with pytest.raises(InvalidTimeError, match="selects no partition"):
        months_by_market([])


def test_a_range_that_dagster_would_shorten_to_its_first_month_is_refused():
    """The tags of a backfill from a job's page."""
    keys = [str(key_of("HE", Month(2025, month))) for month in (10, 11)]
    ends = dict(zip(("dagster/asset_partition_range_start", "dagster/asset_partition_range_end"), keys, strict=True))
    told = run(tags={**ends, "dagster/partition/market": "HE", "dagster/partition/month": "2025-10"}, raise_on_error=False)
    assert not told.success
    (failed,) = told.get_step_failure_events()
    assert "runs its first month alone" in failed.event_specific_data.error.to_string()
    with hydra_assets.open() as desk:
        assert desk.lake.folders() == []
    # One month from a job's page is tagged alike, and is right.
    one = dict.fromkeys(ends, keys[0])
    refuse_shortened_range({**one, "dagster/partition/market": "HE", "dagster/partition/month": "2025-10"})
    refuse_shortened_range({"dagster/partition": keys[0], "dagster/partition/market": "HE", "dagster/partition/month": "2025-10"})


def test_months_in_order():
    assert [str(month) for month in months_between("2024-11", "2025-02")] == ["2024-11", "2024-12", "2025-01", "2025-02"]
    with pytest.raises(InvalidTimeError, match="YYYY-MM"):
        Month.of("2025-13")


def test_load_input_serves_one_key_and_ranges():
    run(first="2025-09", last="2025-11")
    seen = []

    def reader(context: dg.AssetExecutionContext, cot_disaggregated: pa.Table) -> None:
        seen.append(cot_disaggregated)

    asset = dg.asset(
        name="reader",
        partitions_def=MARKET_MONTH,
        ins={"cot_disaggregated": dg.AssetIn(input_manager_key="lake_io")},
        backfill_policy=dg.BackfillPolicy.single_run(),
    )(reader)
    chosen = {"assets": [asset, RAW["cot_disaggregated"]], "selection": [asset], "resources": resources(io_manager=dg.mem_io_manager)}
    dg.materialize(**chosen, partition_key=key_of("HE", Month(2025, 10)))
    dg.materialize(
        **chosen,
        tags={"dagster/asset_partition_range_start": str(key_of("HE", Month(2025, 9))), "dagster/asset_partition_range_end": OCTOBER},
    )
    assert [table.num_rows for table in seen] == [4, 9]
    assert "cftc_code" in seen[0].column_names


def test_the_io_manager_refuses_what_is_no_table_of_the_lake(home):
    io = HiveParquetIOManager(lake=LakeResource(base_path=str(home / "x"), world="sample"))

    @dg.asset(partitions_def=MARKET_MONTH, io_manager_key="lake_io")
    def stranger() -> pa.Table:
        return pa.table({"x": [1]})

    @dg.asset(name="cot_features", partitions_def=MARKET_MONTH, io_manager_key="lake_io")
    def wrong_shape() -> pa.Table:
        return pa.table({"x": [1]})

    for asset, words in ((stranger, "'stranger' is no table"), (wrong_shape, "missing columns")):
        with pytest.raises(SchemaError, match=words):
            dg.materialize([asset], partition_key=key_of("HE", Month(2025, 10)), resources={"lake_io": io})


def test_the_other_worlds_lake_is_refused(home):
    run()
    with pytest.raises(WorldError, match=r"'sample'.*'live'"):
        LakeResource(base_path=str(home / "sample" / "lake"), world="live").open()
