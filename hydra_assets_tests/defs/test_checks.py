"""The asset checks: each sees what is planted for it, and a finding stays open until its own month is in order."""

import datetime as dt

import dagster as dg
import pyarrow as pa
import pytest

import hydra_assets
from hydra_assets.config.home import base_folder
from hydra_assets.core.tables.features import COT_FEATURES
from hydra_assets.storage.sqlite.findings import Findings
from hydra_assets_tests.conftest import at
from hydra_assets_tests.support.dagster_runs import definitions, run, verdicts

OCTOBER = dt.date(2025, 10, 1)


def check_alone(asset, name):
    """One check without its asset, over all that is held: as a person runs it from the UI."""
    built = definitions()
    checks = [c for c in built.asset_checks if {(k.asset_key.path[-1], k.name) for k in c.check_keys} == {(asset, name)}]
    job = dg.Definitions(assets=built.assets, asset_checks=checks, resources=built.resources, executor=dg.in_process_executor)
    selected = dg.define_asset_job("alone", selection=dg.AssetSelection.checks(dg.AssetCheckKey(dg.AssetKey(asset), name)))
    merged = dg.Definitions.merge(job, dg.Definitions(jobs=[selected]))
    result = merged.resolve_job_def("alone").execute_in_process(raise_on_error=False)
    assert result.success or result.get_asset_check_evaluations()
    return next(iter(result.get_asset_check_evaluations()), None)


def violations(evaluation):
    return [record.data for record in evaluation.metadata["violations"].records]


def force_in(as_of="2025-10-21", available_at="2025-10-21", value=5.0, name="cot_mm_net"):
    """Past publish, as a hand with a SQLite client would."""
    with hydra_assets.open() as desk:
        desk.store.write_feature("HE", name, at(as_of), at(available_at), value)


@pytest.fixture
def made(cot_home):
    """COT of three months."""


# ---------------------------------------------------------------- lookahead and replay


def test_a_tuesday_stamp_forced_into_the_store_is_caught_and_stays_a_finding_until_mended(made):
    force_in()
    told = check_alone("cot_features", "no_lookahead")
    assert (told.passed, told.metadata["verdict"].value, told.severity) == (False, "failed", dg.AssetCheckSeverity.ERROR)
    (row,) = violations(told)
    assert (row["market"], row["month"], row["place"], row["as_of"]) == ("HE", "2025-10", "store", "2025-10-21")
    assert "first printed 2025-12-02" in row["reason"]
    # Another market in order does not hide it; the open finding says where it is.
    other = run("LE", "2025-10", "2025-10")
    assert verdicts(other)["cot_features", "no_lookahead"] == "passed"
    assert verdicts(other)["cot_features", "open_findings"] == "failed"
    still = check_alone("cot_features", "open_findings")
    assert violations(still)[0]["check"] == "no_lookahead"
    # Published again, the vintage that never existed is withdrawn, and the finding closes.
    mended = run(first="2025-10", last="2025-10")
    assert verdicts(mended)["cot_features", "no_lookahead"] == "passed"
    assert check_alone("cot_features", "open_findings").passed


def test_the_blocking_check_fails_the_run_when_the_lake_holds_an_early_row(made):
    early = pa.table(
        {
            "feature_name": ["cot_mm_net"],
            "as_of": pa.array([at("2025-10-21")], COT_FEATURES.schema.field("as_of").type),
            "available_at": pa.array([at("2025-10-22")], COT_FEATURES.schema.field("available_at").type),
            "value": [1.0],
            "unit": ["contracts"],
            "quality": ["normal"],
        }
    )
    with hydra_assets.open() as desk:
        desk.lake.write(early, "cot_features", "HE", OCTOBER)
    told = check_alone("cot_features", "no_lookahead")
    assert [row["place"] for row in violations(told)] == ["lake"]
    # The next materialisation withdraws it by a tombstone.
    assert verdicts(run(first="2025-10", last="2025-10"))["cot_features", "no_lookahead"] == "passed"


def test_replay_catches_a_value_that_the_raw_rows_do_not_give(made):
    force_in(as_of="2025-10-21", available_at="2025-12-02 20:30", value=1.0)  # the right instant, another value
    base_folder().joinpath("config.yaml").write_text("checks: {replay_sample: 1000}\n", encoding="utf-8")  # all of them
    assert check_alone("cot_features", "no_lookahead").passed
    told = check_alone("cot_features", "replay")
    assert told.metadata["verdict"].value == "failed"
    assert violations(told)[0]["stored"] == "1.0 (normal)"


def test_what_proves_a_table_stops_what_is_downstream_and_what_only_tells_does_not():
    blocking = {}
    for check in definitions().asset_checks:
        for spec in check.check_specs:
            blocking.setdefault(spec.name, set()).add(spec.blocking)
    assert {*map(tuple, (blocking[name] for name in ("keys_unique", "no_lookahead", "replay", "poison")))} == {(True,)}
    assert {*map(tuple, (blocking[name] for name in ("open_findings", "served")))} == {(False,)}
    assert blocking["staleness"] == blocking["coverage"] == {False}  # by the shipped settings a warning


# ---------------------------------------------------------------- findings


def test_findings_open_renew_and_close_by_market_and_month(tmp_path):
    with Findings(tmp_path / "f.sqlite") as findings:
        findings.judge("a", "c", [("HE", "2025-10"), ("HE", "2025-11")], {("HE", "2025-10"): "bad"})
        findings.judge("a", "c", [("GF", "2025-10")], {})
        findings.judge("a", "d", [("HE", "2025-10")], {("HE", "2025-10"): "also"})
        assert [(f.check, f.market, f.month, f.finding) for f in findings.open_of("a")] == [
            ("c", "HE", "2025-10", "bad"),
            ("d", "HE", "2025-10", "also"),
        ]
        findings.judge("a", "c", [("HE", "2025-10")], {("HE", "2025-10"): "worse"})
        assert findings.open_of("a")[0].finding == "worse"
        findings.judge("a", "c", [("HE", "2025-10")], {})
        assert [f.check for f in findings.open_of("a")] == ["d"]
        assert findings.open_of("b") == []
