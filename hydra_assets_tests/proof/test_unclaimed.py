"""Series that no registered feature claims are named wherever a verdict is given; excuses of months that differ from the lake."""

import json
import warnings
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from hydra_assets.cli.main import app
from hydra_assets.config.load import load_config
from hydra_assets.core.months import months_between
from hydra_assets.core.option_rules import OptionRules
from hydra_assets.desk import open as open_desk
from hydra_assets.doctor.home import examine_home
from hydra_assets.features import of_family
from hydra_assets.flow.publish import compute_months, publish_month
from hydra_assets.proof.prove import prove
from hydra_assets_tests.conftest import at
from hydra_assets_tests.proof.test_poison import fill
from hydra_assets_tests.support.cot_history import revised, weeks

NAMES = ("cot_mm_net", "cot_chg_1w")
REPORTS = weeks(2023, 2024)


@pytest.fixture
def desk(home):
    """A home with a month of COT features, and a series written by hand."""
    with open_desk() as opened:
        fill(opened.lake, "LE", {"cot_disaggregated": REPORTS})
        for month in compute_months(opened.lake, "cot", "LE", months_between("2024-10", "2024-10")):
            publish_month(opened.store, "cot", "LE", month)
        opened.store.write_feature("LE", "by_hand", at("2024-10-08"), at("2024-10-08"), 1.0)
        yield opened


def run(*words):
    return CliRunner().invoke(app, list(words))


def test_every_command_names_it(desk, tmp_path):
    proved = json.loads(run("prove", "LE", "--sample", "5", "--json").stdout)
    assert {row["feature"]: row["verdict"] for row in proved["features"]}["by_hand"] == "unproven"
    assert json.loads(run("store", "check", "--json").stdout)["unproven"] == ["LE by_hand"]
    assert any("by_hand" in str(finding) for finding in examine_home(desk.home))


def test_a_default_frame_warns_and_its_certificate_keeps_it(desk, tmp_path):
    times = [at("2024-11-01 15:00")]
    with pytest.warns(UserWarning, match="by_hand: no registered feature claims it"):
        frame = desk.store.get_training_frame(["LE"], times, certificate=str(tmp_path / "c.json"))
    assert "by_hand" in frame.column_names
    assert json.loads((tmp_path / "c.json").read_text())["unproven"] == ["by_hand"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        desk.store.get_training_frame(["LE"], times, ["by_hand"])  # asked for by name


def test_a_bare_store_is_its_users_own(store):
    store.write_feature("LE", "by_hand", at("2024-10-08"), at("2024-10-08"), 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "by_hand" in store.get_training_frame(["LE"], [at("2024-11-01 15:00")]).column_names


def proofs(desk, rules=None):
    features = [feature for feature in of_family("cot") if feature.name in NAMES]
    calendar = load_config().calendar_of("LE")
    found = prove(desk.lake, desk.store, "LE", features, rules=rules or OptionRules(), calendar=calendar, full=True)
    return {proof.feature: proof for proof in found}


def spoilt(desk):
    """One stored value is another than what the lake gives."""
    (row,) = desk.store.vintages("LE", ["cot_mm_net"]).slice(0, 1).to_pylist()
    desk.store.write_feature("LE", "cot_mm_net", row["as_of"], row["available_at"], row["value"] + 1.0)


def test_a_value_that_differs_fails_unless_the_month_was_made_under_other_settings(desk):
    assert {proof.verdict for proof in proofs(desk).values()} == {"proven"}
    spoilt(desk)
    assert proofs(desk)["cot_mm_net"].verdict == "failed"
    other = proofs(desk, replace(OptionRules(), min_oi=51))
    assert other["cot_mm_net"].verdict == "unproven"
    assert "made under other settings" in other["cot_mm_net"].first


def test_a_month_whose_inputs_are_newer_than_its_publish_is_named_and_not_accused(desk):
    later = revised(REPORTS, 92, available_at=at("2024-12-20 15:00"), mm_long=999_999)
    fill(desk.lake, "LE", {"cot_disaggregated": later.slice(REPORTS.num_rows)})
    found = proofs(desk)["cot_mm_net"]
    assert found.verdict == "unproven"
    assert found.outdated == ("2024-10",)
    assert "inputs of 2024-10 are newer than its publish" in found.first
