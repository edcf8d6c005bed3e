"""Features shipped, beside those of others: nothing that a third party declares accuses them."""

import datetime as dt
from dataclasses import replace

import pytest

from hydra_assets.core.audit import early_rows
from hydra_assets.core.feature import Window
from hydra_assets.core.months import months_between
from hydra_assets.features import of_family
from hydra_assets.features.compute import plugin_faults
from hydra_assets.flow.publish import evidence_of
from hydra_assets.proof.poison import poison
from hydra_assets.proof.replay import replay
from hydra_assets_tests.conftest import at
from hydra_assets_tests.proof.test_poison import fill, front_price, longs, published
from hydra_assets_tests.support.cot_history import weeks
from hydra_assets_tests.support.entry_points import registered
from hydra_assets_tests.support.futures_history import history

D = dt.date
SETTLED = (("stat", "settlement"),)
ODD = {
    "cot": {
        "far": Window("cot_disaggregated", -2000),
        "of the past alone": Window("cot_disaggregated", -90, -70, required=()),
        "hardly any": Window("cot_disaggregated", -60, at_least=61),
    },
    "futures": {
        "far": Window("futures_statistics", -519, unit="sessions", where=SETTLED),
        "of the past alone": Window("futures_statistics", -40, -30, unit="sessions", required=(), where=SETTLED),
        "weekdays": Window("futures_statistics", -3, unit="weekdays", where=SETTLED),
    },
}
CASES = [(family, name) for family, windows in ODD.items() for name in windows]
FUNCTIONS = {"cot": longs, "futures": front_price}
MONTHS = {"cot": months_between("2024-08", "2024-09"), "futures": months_between("2025-09", "2025-09")}
MARKETS = {"cot": "LE", "futures": "HE"}


@pytest.fixture(scope="module")
def inputs():
    return {"cot": {"cot_disaggregated": weeks(2022, 2024)}, "futures": history(D(2025, 6, 2), D(2025, 9, 30))}


@pytest.mark.parametrize(("family", "name"), CASES)
def test_an_odd_window_of_a_third_party_accuses_no_feature_shipped(lake, store, inputs, family, name):
    """Every value shipped is the same, and proven, however far the window makes the family read."""
    market, months = MARKETS[family], MONTHS[family]
    fill(lake, market, inputs[family])
    shipped = [feature.name for feature in of_family(family)]
    odd = replace(of_family(family)[0], name="odd", function=FUNCTIONS[family], windows=(ODD[family][name],))
    with registered(odd):  # where its rows wait for what no window of it holds, it is left out
        assert not plugin_faults()
        published(lake, store, family, market, months)
        assert ("odd" in store.features(market)) is (name != "of the past alone")
        rows, given = store.vintages(market, shipped), evidence_of(lake, family, market, months)
        result = replay(rows, given, family=family, market=market, sample=200, seed=1, names=shipped, features=of_family(family))
        assert (result.verdict, result.differing, dict(result.faults)) == ("passed", (), {})
        assert early_rows(rows, given, of_family(family)).num_rows == 0
        noon = int(at(f"{months[-1]}-20 12:00").timestamp() * 1e6)
        assert not poison(given, family=family, market=market, at=noon, seed=1, names=shipped).moved
