"""A feature of one's own, from its first mistake on: named in errors, not computed yet, and no burden to its neighbour."""

import textwrap
from dataclasses import replace

import pytest

from hydra_assets.errors import FeatureError, UnknownFeatureError
from hydra_assets.features import compute, of_family
from hydra_assets.features.compute import FAMILIES
from hydra_assets.proof.lint.code import read_code
from hydra_assets.proof.lint.neighbours import lines_of_others
from hydra_assets_tests.conftest import at
from hydra_assets_tests.support.cot_history import weeks
from hydra_assets_tests.support.entry_points import registered

FILE = """
from hydra_assets.core.feature import Answer

def shared(rows):
    return rows

def peek(rows):
    return shared(rows).shift(-1)

def culprit(cot):
    return Answer(peek(cot))

def innocent(cot):
    return Answer(float(shared(cot)["open_interest"][-1]))
"""


def test_a_registered_feature_that_is_not_computed_is_said_so_with_its_command(store):
    store.write_feature("HE", "cot_mm_net", at("2025-10-07"), at("2025-10-10 19:30"), 1.0)
    own = replace(of_family("cot")[0], name="own_swap_net")
    says = r"own_swap_net of HE is registered, not computed yet: .*hydra-assets backfill HE 2025-01..2025-12 --select cot_features"
    with registered(own):
        with pytest.raises(UnknownFeatureError, match=says):
            store.explain("HE", "own_swap_net", at("2025-11-01"))
        with pytest.raises(UnknownFeatureError, match=says):
            store.get_training_frame(["HE"], [at("2025-11-01")], ["own_swap_net"])
        with pytest.raises(UnknownFeatureError, match=r"has no feature 'own_swap'; did you mean own_swap_net\?"):
            store.explain("HE", "own_swap", at("2025-11-01"))
    with pytest.raises(UnknownFeatureError, match="has no feature 'own_swap_net'"):
        store.explain("HE", "own_swap_net", at("2025-11-01"))


def test_an_error_in_a_feature_of_the_package_names_it(monkeypatch):
    def broken(cot):
        return 1 / 0

    shipped = FAMILIES["cot"].features
    family = replace(FAMILIES["cot"], features=(*shipped[:2], replace(shipped[2], function=broken), *shipped[3:]))
    monkeypatch.setitem(FAMILIES, "cot", family)
    with registered(), pytest.raises(FeatureError, match=f"{shipped[2].name} could not be computed for LE: ZeroDivisionError") as told:
        compute("cot", {"cot_disaggregated": weeks(2024, 2024)}, market="LE")
    assert told.value.feature == shipped[2].name


def test_a_neighbour_in_the_same_file_is_not_blamed(tmp_path, monkeypatch):
    (tmp_path / "of_mine.py").write_text(FILE)
    monkeypatch.syspath_prepend(str(tmp_path))
    import of_mine

    culprit, innocent = (replace(of_family("cot")[0], name=name, function=getattr(of_mine, name)) for name in ("culprit", "innocent"))
    with registered(culprit, innocent):
        assert [finding.line for finding in read_code(culprit).findings] == [8]
        assert read_code(innocent).findings == ()
    with registered(innocent):  # no other feature answers for the line
        assert [finding.line for finding in read_code(innocent).findings] == [8]


@pytest.mark.parametrize("body", ["return peek(cot)", "return globals()['pe' + 'ek'](cot)", "return (lambda f=peek: f(cot))()"])
def test_code_that_the_feature_uses_too_is_its_own(body):
    source = FILE + textwrap.dedent(f"""
    def mine(cot):
        {body}
    """)
    assert 8 not in lines_of_others(source.encode(), {"mine"}, {"culprit", "innocent"})
    assert lines_of_others(FILE.encode(), {"innocent"}, {"culprit"}) == {7, 8, 10, 11}
