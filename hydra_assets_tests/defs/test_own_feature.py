"""A third party's feature that fails a proof is served as unknown, through the real run; its neighbour in the same file is not touched."""

import importlib
import sys
from dataclasses import replace

import pytest

import hydra_assets
from hydra_assets.core.feature import Window
from hydra_assets.features import of_family
from hydra_assets.report.page import view_of
from hydra_assets.report.reasons import Reasons
from hydra_assets.storage.rebuild import rebuild_store
from hydra_assets_tests.conftest import at
from hydra_assets_tests.support.dagster_runs import run, verdicts
from hydra_assets_tests.support.entry_points import registered

FILE = """
from hydra_assets.core.feature import Answer

CALLS = []

def remembers(cot):
    CALLS.append(1)
    return Answer(float(len(CALLS)))

def innocent(cot):
    return Answer(float(cot["open_interest"][-1]))

def mended(cot):
    return Answer(float(cot["open_interest"][-1]) / 2)
"""
NOW = at("2025-12-31")
SUSPENDED = "suspended: its code failed a proof (cot_features: replay, poison or no_lookahead); mend it and publish the month again"


@pytest.fixture
def theirs(tmp_path, monkeypatch):
    """Features of one file by function and name."""
    (tmp_path / "their_features.py").write_text(FILE)
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("their_features")
    yield lambda function, name=None, **more: replace(
        of_family("cot")[0], name=name or function, function=getattr(module, function), **more
    )
    del sys.modules["their_features"]


def served(name, when=NOW):
    """Answer, its quality in a frame, and the innocent neighbour's quality."""
    with hydra_assets.open() as desk:
        answers = desk.store.get_features_at("HE", when)
        frame = desk.store.get_training_frame(["HE"], [when], [name, "innocent"], with_meta=True).to_pylist()[0]
    assert frame[name] == answers[name]
    assert frame["innocent"] == answers["innocent"]
    assert answers["innocent"] is not None
    return answers[name], frame[f"{name}__quality"], frame["innocent__quality"]


def test_a_feature_that_fails_its_replay_is_unknown_in_store_and_lake_until_it_is_mended(cot_home, theirs):
    with registered(theirs("remembers"), theirs("innocent")):
        result = run(raise_on_error=False)
        assert not result.success  # the proof blocks
        assert verdicts(result)["cot_features", "replay"] == "failed"
        (evaluation,) = [e for e in result.get_asset_check_evaluations() if e.check_name == "replay"]
        assert "suspended, null in store and lake until proven: remembers" in evaluation.metadata["looked_at"].value
        assert served("remembers") == (None, "degraded", "normal")
        assert served("remembers", at("2025-10-05"))[:2] == (None, "degraded")  # and no older value in its place
        with hydra_assets.open() as desk:
            reasons = Reasons(view_of(desk, "HE", NOW)).of("remembers", at("2025-10-28").date(), "degraded")
            assert reasons == [SUSPENDED]
            path, lake = desk.store.db_path, desk.lake
        rebuild_store(lake, path)  # a store that is made anew from the lake
        assert served("remembers") == (None, "degraded", "normal")
    with registered(theirs("mended", "remembers"), theirs("innocent")):
        assert verdicts(run())["cot_features", "replay"] == "passed"
        value, *qualities = served("remembers")
        assert value is not None
        assert qualities == ["normal", "normal"]


def test_values_on_too_thin_windows_are_suspended_at_publish_and_refuse_nobody_else(cot_home, theirs):
    window = Window("cot_disaggregated", -200, at_least=190)  # the function gives a value of one week
    with registered(theirs("mended", "thin", windows=(window,)), theirs("innocent")):
        result = run(raise_on_error=False)
        assert verdicts(result)["cot_features", "replay"] == "failed"
        assert verdicts(result)["cot_features", "no_lookahead"] == "passed"
        assert served("thin") == (None, "degraded", "normal")
