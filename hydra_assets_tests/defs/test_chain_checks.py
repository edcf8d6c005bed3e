"""Checks of the chain and its smiles: each sees what it is for, by its setting, and lets an ordinary market pass."""

import datetime as dt

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import hydra_assets
from hydra_assets.config.home import resolve_home
from hydra_assets.core.months import Month
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.definitions import definitions_for
from hydra_assets.defs.chain_checks import CHAIN_CHECKS
from hydra_assets.features.options.chain import build_chain
from hydra_assets.features.options.smiles import build_smiles
from hydra_assets.storage.capture import Look
from hydra_assets_tests.support.option_history import History

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
            key = TABLES[name].key
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


def test_far_strikes_and_a_handful_near_the_money_may_be_bare():
    """Of thirty-one strikes twenty-two are far out; of one expiration but three options lie near."""
    wide = build_chain(History(FIRST, 1, strikes=31).tables())
    far = pc.greater(pc.abs(pc.ln(pc.divide(wide["strike"], wide["forward"]))), 0.1)
    december = pc.equal(wide["underlying"], "HEZ5")
    three = np.flatnonzero(pc.and_(december, pc.invert(far)).to_numpy())[3:]
    kept = np.setdiff1d(np.arange(wide.num_rows), three)
    bare = changed(wide, "mid", pc.if_else(pc.or_(far, december), None, wide["mid"])).take(pa.array(kept))
    assert bare["mid"].null_count > 0.67 * bare.num_rows
    assert told(bare)["missing_strikes"].passed


def test_what_was_mended_later_is_judged_as_it_stands(chain):
    day = pc.equal(chain["as_of"], chain["as_of"][0])
    bare = changed(chain, "mid", pc.if_else(day, None, chain["mid"]))
    again = chain.filter(day)
    later = changed(again, "available_at", pc.add(again["available_at"], pa.scalar(dt.timedelta(1), pa.duration("us"))))
    assert not told(bare)["missing_strikes"].passed
    assert told(pa.concat_tables([bare, later]))["missing_strikes"].passed


def dearer(chain: pa.Table, which) -> pa.Table:
    """The chain with the quotes of some options far too dear."""
    for name in ("bid", "ask"):
        chain = changed(chain, name, pc.if_else(which, pc.add(chain[name], 8.0), chain[name]))
    return chain


@pytest.mark.parametrize(("right", "beyond"), [("C", pc.greater), ("P", pc.less)])
def test_calls_that_get_dearer_with_the_strike_and_puts_that_get_cheaper_are_told(chain, right, beyond):
    dear = dearer(chain, pc.and_(pc.equal(chain["right"], right), beyond(chain["strike"], 85.0 if right == "P" else 90.0)))
    found = told(dear)["monotone"]
    assert not found.passed
    assert f"neighbours, the first {right}" in str(found.metadata["offences"].value)


def test_one_pair_a_day_may_contradict_itself(chain):
    """The dearest of all is the call of the highest strike: one neighbour a day, of two that the settings let pass."""
    top = pc.max(chain.filter(pc.equal(chain["underlying"], "HEZ5"))["strike"])
    one = pc.and_(pc.equal(chain["underlying"], "HEZ5"), pc.and_(pc.equal(chain["strike"], top), pc.equal(chain["right"], "C")))
    assert told(dearer(chain, one))["monotone"].passed


def test_a_month_that_parity_contradicts_is_told(chain):
    off = changed(chain, "parity_gap", pc.add(chain["parity_gap"], pa.scalar(0.7)))
    smiles = build_smiles(off)
    assert np.mean([status == "parity" for status in smiles["status"].to_pylist()]) > 0.5
    found = told(chain, smiles)["parity"]
    assert not found.passed
    assert found.metadata["offences"].value.records[0].data["month"] == "2025-11"


def test_parity_is_off_where_the_fit_says_so_and_its_own_error_too(chain):
    """A tiny error alone accuses nobody, for ticks are coarse; nor does the fit's word where the error is wide."""
    smiles = build_smiles(chain)
    smiles = smiles.filter(pc.equal(smiles["status"], "full"))
    assert smiles.num_rows > 20
    tiny = changed(smiles, "parity_error", pa.array(np.full(smiles.num_rows, 1e-9)))
    assert told(chain, tiny)["parity"].passed
    word = changed(smiles, "status", pa.array(["parity"] * smiles.num_rows))
    assert told(chain, changed(word, "parity_error", pa.array(np.full(smiles.num_rows, 1.0))))["parity"].passed
    assert not told(chain, changed(word, "parity_error", pa.array(np.full(smiles.num_rows, 1e-9))))["parity"].passed


def test_smiles_of_two_futures_whose_options_end_together_are_two(chain):
    smiles = build_smiles(chain)
    alone = told(chain, smiles)["parity"].metadata["rows"].value
    other = changed(smiles, "underlying", pc.binary_join_element_wise(smiles["underlying"], "?", ""))
    other = changed(other, "underlying_id", pc.add(smiles["underlying_id"], 10**6))
    assert told(chain, pa.concat_tables([smiles, other]))["parity"].metadata["rows"].value == 2 * alone
