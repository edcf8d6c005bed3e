"""Checks of the chain and its smiles: each sees what it is for, by its setting, and lets an ordinary market pass."""

import datetime as dt

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import hydra_assets
from hydra_assets.config.home import resolve_home
from hydra_assets.core.dataset import DATASETS
from hydra_assets.core.months import Month
from hydra_assets.definitions import definitions_for
from hydra_assets.defs.chain_checks import CHAIN_CHECKS
from hydra_assets.features.chain import build_chain
from hydra_assets.features.smiles import build_smiles
from hydra_assets.storage.capture import Look
from hydra_assets_tests.option_history import History

FIRST, MONTH = dt.date(2025, 11, 3), Month(2025, 11)


@pytest.fixture(scope="module")
def chain():
    return build_chain(History(FIRST, 8).tables())


def told(chain: pa.Table, smiles: pa.Table | None = None) -> dict[str, dg.AssetCheckEvaluation]:
    """What the three checks say of a lake that holds these tables."""
    smiles = build_smiles(chain) if smiles is None else smiles
    with hydra_assets.open() as desk:
        for name, table in (("option_chain", chain), ("option_smiles", smiles)):
            look = Look("test", MONTH.first, MONTH.last, ("HE",), dt.datetime.now(dt.UTC))
            key = DATASETS[name].key
            desk.lake.append_new(table, name, "HE", MONTH.first, key=key, stamps="derived", look=look, allow_retract=True)
    resources = definitions_for(resolve_home()).resources
    result = dg.materialize(
        [dg.AssetSpec("option_chain"), dg.AssetSpec("option_smiles"), *CHAIN_CHECKS],  # type: ignore[list-item]
        selection=dg.AssetSelection.checks(*CHAIN_CHECKS),
        resources={name: resources[name] for name in ("lake", "findings")},
    )
    return {e.check_name: e for e in result.get_asset_check_evaluations()}


def changed(table: pa.Table, name: str, column) -> pa.Table:
    return table.set_column(table.column_names.index(name), table.schema.field(name), column)


def test_an_ordinary_market_passes(chain):
    found = told(chain)
    assert {name: e.passed for name, e in found.items()} == {"missing_strikes": True, "monotone": True, "parity": True}
    assert found["monotone"].metadata["values"].value > 400


def test_strikes_without_quotes_near_the_money_are_told(chain):
    day = chain["as_of"][0].as_py()
    lost = pc.and_(pc.equal(chain["as_of"], day), pc.equal(chain["underlying"], "HEZ5"))
    bare = changed(chain, "mid", pc.if_else(lost, None, chain["mid"]))
    found = told(bare)["missing_strikes"]
    assert not found.passed
    assert found.severity is dg.AssetCheckSeverity.WARN
    assert "without a usable quote" in str(found.metadata["offences"].value)
    assert str(day.date()) in str(found.metadata["offences"].value)


def test_calls_that_get_dearer_with_the_strike_are_told(chain):
    high = pc.and_(pc.equal(chain["right"], "C"), pc.greater(chain["strike"], 90.0))
    dear = changed(chain, "bid", pc.if_else(high, pc.add(chain["bid"], 8.0), chain["bid"]))
    dear = changed(dear, "ask", pc.if_else(high, pc.add(chain["ask"], 8.0), chain["ask"]))
    found = told(dear)["monotone"]
    assert not found.passed
    assert "neighbours" in str(found.metadata["offences"].value)


def test_a_month_that_parity_contradicts_is_told(chain):
    off = changed(chain, "parity_gap", pc.add(chain["parity_gap"], pa.scalar(0.7)))
    smiles = build_smiles(off)
    assert np.mean([status == "parity" for status in smiles["status"].to_pylist()]) > 0.5
    found = told(chain, smiles)["parity"]
    assert not found.passed
    assert found.metadata["offences"].value.records[0].data["month"] == "2025-11"
