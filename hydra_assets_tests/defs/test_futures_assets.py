"""Futures assets and their checks in a real Dagster: bytes to store, a second time for nothing, and each check seen to fail."""

import base64
import datetime as dt
import shutil

import pyarrow as pa
import pyarrow.compute as pc
import pytest

import hydra_assets
from hydra_assets.checks.days import due_sessions
from hydra_assets.config.load import load_config
from hydra_assets.core.audit import early_rows
from hydra_assets.core.months import Month
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.defs import retries as retrying
from hydra_assets.defs.checks import scope_of
from hydra_assets.defs.partitions import key_of
from hydra_assets.defs.raw import UNATTENDED_TAGS
from hydra_assets.features import of_family
from hydra_assets.flow import publish as flow
from hydra_assets.flow.publish import evidence_of
from hydra_assets.sources.databento import DatabentoSource
from hydra_assets.sources.ledger import Budget, Ledger
from hydra_assets_tests.conftest import at
from hydra_assets_tests.support import laid_down
from hydra_assets_tests.support.dagster_runs import FUTURES, checks_of, materializations, run, verdicts

RAW = FUTURES[:3]


def futures(only=FUTURES, **more):
    return run(first="2025-11", last="2025-12", only=only, **more)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two months of every table of futures, made once: the home, and the run that made it."""
    base = tmp_path_factory.mktemp("futures")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYDRA_HOME", str(base))
        return base, futures()


def test_from_bytes_to_the_store_and_a_second_time_for_nothing(made, home):
    laid, first = made
    laid_down.copy(laid, home)
    assert first.success
    told = verdicts(first)
    assert set(told.values()) == {"passed"}
    assert set(told) == checks_of(FUTURES)
    for table in FUTURES:
        assert all(meta["new_rows"] > 0 for meta in materializations(first, table).values()), table
    with hydra_assets.open() as desk:
        before = {table: desk.lake.read(table, "HE").num_rows for table in FUTURES}
        facts = desk.store.vintages("HE").num_rows
        with Ledger(desk.home.ledger) as ledger:
            asked = len(ledger.requests())
            assert asked == 5  # two months of definitions and statistics, one quarter of bars
            assert ledger.spent() > 0  # what the embedded vendor would have charged
        assert all(desk.lake.read(table, "HE")["synthetic"].to_pylist() for table in RAW)
        assert not any("-" in symbol for symbol in desk.lake.read("futures_bars", "HE")["instrument"].to_pylist())
    again = futures()
    assert {meta["new_rows"] for table in FUTURES for meta in materializations(again, table).values()} == {0}
    with hydra_assets.open() as desk:
        assert {table: desk.lake.read(table, "HE").num_rows for table in FUTURES} == before
        assert desk.store.vintages("HE").num_rows == facts
        with Ledger(desk.home.ledger) as ledger:
            assert len(ledger.requests()) == asked


def test_nothing_of_a_day_is_served_before_its_evening(futures_home):
    with hydra_assets.open() as desk:
        noon, evening = at("2025-12-03 18:00"), at("2025-12-04 00:00:02")
        day = at("2025-12-03")
        early = desk.store.explain("HE", "fut_ret_1d", noon)
        assert early["served"]["as_of"] == at("2025-12-02")
        assert [row["as_of"] for row in early["withheld"]] == [day]
        assert desk.store.explain("HE", "fut_ret_1d", evening)["served"]["as_of"] == day
        # Open interest of the day is part of no answer before the next morning.
        assert desk.store.explain("HE", "fut_oi_chg_20", at("2025-12-04 12:00"))["served"]["as_of"] == day
        assert desk.store.explain("HE", "fut_oi_chg_20", at("2025-12-04 13:00"))["served"]["as_of"] == at("2025-12-04")


def test_every_month_shows_its_own_table_and_picture(made):
    metas = materializations(made[1], "futures_features")
    newest, other = (metas[str(key_of("HE", Month(2025, month)))] for month in (12, 11))
    assert len(newest["term_structure"].records) >= 10
    picture = newest["term_structure_picture"].split("base64,")[1].rstrip(")")
    assert base64.b64decode(picture).startswith(b"\x89PNG")
    assert other["term_structure"].records != newest["term_structure"].records
    assert other["term_structure_picture"] != newest["term_structure_picture"]


def test_gaps_are_told_by_day_and_reason(monkeypatch):
    real = DatabentoSource.conditions

    def conditions(self, dataset, first, last):
        told = real(self, dataset, first, last)
        return {d: type(c)("pending" if d == dt.date(2025, 12, 9) else c.status, c.last_modified) for d, c in told.items()}

    monkeypatch.setattr(DatabentoSource, "conditions", conditions)
    bars = ("futures_definitions", "futures_bars")
    result = futures(bars)
    meta = materializations(result, "futures_bars")[str(key_of("HE", Month(2025, 12)))]
    assert meta["gap"] is True
    days = {record.data["day"]: (record.data["state"], record.data["note"]) for record in meta["calendar"].records}
    assert days.pop("Tue 2025-12-09") == ("gap", "the vendor says pending")
    assert {state for state, _ in days.values()} == {"held"}
    assert (len(days), meta["coverage"]) == (21, "21 of 22")
    assert verdicts(result)["futures_bars", "coverage"] == "failed"
    monkeypatch.setattr(DatabentoSource, "conditions", real)
    result = futures(bars)
    assert materializations(result, "futures_bars")[str(key_of("HE", Month(2025, 12)))]["gap"] is False
    assert verdicts(result)["futures_bars", "coverage"] == "passed"


# ---------------------------------------------------------------- money and faults


def test_over_budget_the_step_fails_once_and_names_price_and_setting(monkeypatch):
    from hydra_assets.flow.feeds import databento as flow_databento

    monkeypatch.setattr(flow_databento, "Budget", lambda run, unattended: Budget(run, run_usd=0.000001))
    result = futures(raise_on_error=False)
    assert not result.success
    (failure,) = [e for e in result.all_events if e.is_step_failure]
    text = failure.event_specific_data.error.to_string()
    assert "BudgetError" in text
    assert "databento.run_budget_usd in config.yaml" in text
    with hydra_assets.open() as desk, Ledger(desk.home.ledger) as ledger:
        assert ledger.requests() == []
        assert desk.lake.folders() == []


@pytest.mark.parametrize(
    ("tags", "unattended"),
    [({}, False), ({"dagster/schedule_name": "x"}, True), ({"dagster/sensor_name": "x"}, True), ({"dagster/backfill": "x"}, False)],
)
def test_what_a_machine_asked_for_is_unattended(tags, unattended):
    keys = [str(key_of("HE", Month(2025, 12)))] * 2
    everywhere = {"dagster/asset_partition_range_start": keys[0], "dagster/asset_partition_range_end": keys[1], **tags}
    assert run(only=["futures_definitions"], tags=everywhere).success
    with hydra_assets.open() as desk, Ledger(desk.home.ledger) as ledger:
        assert {bool(row["unattended"]) for row in ledger.requests()} == {unattended}
    assert "dagster/backfill" not in UNATTENDED_TAGS


def test_a_transient_fault_is_tried_again_by_dagster_and_what_was_kept_is_not_asked_again(monkeypatch):
    from hydra_assets.errors import VendorUnavailableError

    real_wait = retrying.wait_before_retry
    monkeypatch.setattr(retrying, "wait_before_retry", lambda *a: None if real_wait(*a) is None else 0)
    real, tries = DatabentoSource.fetch_once, []

    def flaky(self, request, **more):
        tries.append(request.schema)
        if request.schema == "statistics" and tries.count("statistics") < 3:
            raise VendorUnavailableError("HTTP 503")
        return real(self, request, **more)

    monkeypatch.setattr(DatabentoSource, "fetch_once", flaky)
    assert futures(RAW).success
    assert (tries.count("definition"), tries.count("statistics")) == (2, 4)


# ---------------------------------------------------------------- each check can fail


def vandalise(table, change):
    """Write rows past the capture rules, as nobody should."""
    month = Month(2025, 12)
    with hydra_assets.open() as desk:
        rows = desk.lake.read(table, "HE", month.first, month.last)
        bad = pa.Table.from_pylist([change(row) for row in rows.slice(0, 1).drop_columns(_ns(rows)).to_pylist()])
        bad = _like(bad, rows)
        desk.lake.write(bad, table, "HE", month.first)


def _ns(rows):
    return [name for name in ("stamped_at",) if name in rows.column_names]


def _like(bad, rows):
    columns = {}
    for field in rows.schema:
        if field.name in bad.column_names:
            columns[field.name] = bad[field.name].cast(field.type)
        else:
            columns[field.name] = bad["available_at"].cast(field.type)
    return pa.table(columns, schema=rows.schema)


def later(row, **values):
    return row | {"available_at": at("2026-02-01")} | values


@pytest.mark.parametrize(
    ("table", "check", "change", "blocks"),
    [
        ("futures_bars", "ohlc_sane", lambda row: later(row, high=1.0), False),
        ("futures_bars", "outrights_only", lambda row: later(row, instrument="HEZ5-HEG6", instrument_id=999), True),
        ("futures_statistics", "outrights_only", lambda row: later(row, instrument_id=424242), True),
        ("futures_statistics", "within_limits", lambda row: later(row, stat="settlement", is_final=True, value=900.0), False),
        ("futures_statistics", "near_last_trade", lambda row: later(row, stat="settlement", is_final=True, value=900.0), False),
        ("futures_bars", "coverage", lambda row: later(row, as_of=at("2025-12-25"), available_at=at("2025-12-26")), False),
    ],
)
def test_a_check_sees_what_it_is_for(table, check, change, blocks, futures_home):
    vandalise(table, change)
    result = run(first="2025-12", last="2025-12", only=[table], raise_on_error=False)
    assert verdicts(result)[table, check] == "failed"
    assert result.success is not blocks


def test_staleness_and_coverage_see_missing_days(monkeypatch):
    real = DatabentoSource.conditions

    def conditions(self, dataset, first, last):
        told = real(self, dataset, first, last)
        return {d: type(c)("pending" if d >= dt.date(2025, 12, 23) else c.status, c.last_modified) for d, c in told.items()}

    monkeypatch.setattr(DatabentoSource, "conditions", conditions)
    told = verdicts(futures(RAW))
    assert told["futures_statistics", "staleness"] == told["futures_statistics", "coverage"] == "failed"
    assert told["futures_bars", "ohlc_sane"] == "passed"


def test_checks_know_the_first_day_of_each_root_of_options():
    scope = scope_of(load_config(), TABLES["option_definitions"], "ZC", [Month(2012, 6)], now=at("2012-08-01"), alone=False)
    assert (scope.option_roots["OZC"], scope.option_roots["OCD"]) == (None, dt.date(2012, 6, 4))
    kansas = scope_of(load_config(), TABLES["option_definitions"], "KE", [Month(2012, 6)], now=at("2012-08-01"), alone=False)
    assert (kansas.listed_from, kansas.is_listed) == (dt.date(2013, 7, 1), False)


def test_a_session_is_due_when_its_last_record_could_be_had():
    def due(table, now, grace=0):
        scope = scope_of(load_config(), TABLES[table], "HE", [Month(2025, 12)], now=at(now), alone=False)
        return due_sessions(scope.calendar, scope.months, scope.now, scope.complete_at, grace=grace)

    # Statistics of the 3rd are complete at noon of the 4th, and delivered a day later.
    assert due("futures_statistics", "2025-12-05 17:59")[-1] == dt.date(2025, 12, 2)
    assert due("futures_statistics", "2025-12-05 18:00")[-1] == dt.date(2025, 12, 3)
    assert due("futures_bars", "2025-12-05 00:00")[-1] == dt.date(2025, 12, 3)
    assert due("futures_statistics", "2025-12-05 18:00", grace=1)[-1] == dt.date(2025, 12, 2)
    assert due("futures_bars", "2025-12-01 12:00") == []


# ---------------------------------------------------------------- planted lookahead


def planted(monkeypatch, change):
    real = flow.compute

    def compute(family, inputs, **more):
        rows = real(family, inputs, **more)
        return change(rows) if family == "futures" else rows

    monkeypatch.setattr(flow, "compute", compute)
    return futures(["futures_features"], raise_on_error=False)


@pytest.fixture
def raw_home(futures_home, home):
    """The home of two months without their features and without a store."""
    shutil.rmtree(home / "sample" / "lake" / "data_type=futures_features")
    for path in home.glob("sample/store.sqlite*"):
        path.unlink()


def moved(rows, to):
    i = rows.column_names.index("available_at")
    return rows.set_column(i, rows.schema.field("available_at"), to.cast(rows.schema.field("available_at").type))


def test_a_feature_stamped_on_its_own_morning_is_refused(raw_home, monkeypatch):
    result = planted(monkeypatch, lambda rows: moved(rows, rows["as_of"]))
    (failure,) = [e for e in result.all_events if e.is_step_failure]
    text = failure.event_specific_data.error.to_string()
    assert "LookaheadError" in text
    assert "was first printed" in text
    with hydra_assets.open() as desk:
        assert desk.store.features("HE") == []


def test_an_instant_at_which_nothing_arrived_is_refused(raw_home, monkeypatch):
    an_hour = pa.scalar(dt.timedelta(hours=1), pa.duration("us"))
    result = planted(monkeypatch, lambda rows: moved(rows, pc.add(rows["available_at"], an_hour)))

    (failure,) = [e for e in result.all_events if e.is_step_failure]
    assert "no input inside its windows arrived at that instant" in failure.event_specific_data.error.to_string()


def test_the_audit_knows_each_windows_needs(futures_home):
    """One row at a time: on its own day's open interest, on too few sessions, on a day that is no session."""
    with hydra_assets.open() as desk:
        inputs = evidence_of(desk.lake, "futures", "HE", [Month(2025, 12)])
        features = of_family("futures")

        def told(name, as_of, available, value=1.0):
            row = pa.table({"feature_name": [name], "as_of": pa.array([as_of]), "available_at": pa.array([available]), "value": [value]})
            found = early_rows(row, inputs, features).to_pylist()
            return found[0]["reason"] if found else None

        (good,) = desk.store.get_feature_history("HE", "fut_rv_21", at("2025-12-10"), at("2025-12-10"))
        assert told("fut_rv_21", good["as_of"], good["available_at"]) is None
        assert "settlement of 2025-12-10 was first printed 2025-12-11T00" in told("fut_rv_21", at("2025-12-10"), at("2025-12-10 20:00"))
        assert "a value needs 204" in told("fut_rv_252", good["as_of"], good["available_at"])
        assert told("fut_rv_252", good["as_of"], good["available_at"], None) is None
        assert "no session" in told("fut_rv_21", at("2025-12-25"), at("2025-12-26"))
        assert "open_interest of 2025-12-10" in told("fut_oi_chg_20", at("2025-12-11"), at("2025-12-11 06:00"))
        assert "before its own day" in told("fut_oi_chg_20", at("2025-12-11"), at("2025-12-10 23:00"))
        (oi,) = desk.store.get_feature_history("HE", "fut_oi_chg_20", at("2025-12-11"), at("2025-12-11"))
        assert told("fut_oi_chg_20", oi["as_of"], oi["available_at"]) is None
        assert "futures_bars" in told("fut_rv_pk_21", at("2025-12-10"), at("2025-12-10 12:00"))  # a bar on its own morning
