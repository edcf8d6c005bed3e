"""Checks of the chain and its smiles: each sees what it is for, by its setting, and lets an ordinary market pass."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from hydra_assets.checks.chain import missing_strikes, monotone, parity, strike_scale
from hydra_assets.checks.report import CheckReport
from hydra_assets.core.months import Month
from hydra_assets.features.options.chain import build_chain
from hydra_assets.features.options.smiles import build_smiles
from hydra_assets_tests.support.check_scopes import judged, scope
from hydra_assets_tests.support.option_history import History

FIRST, MONTHS = dt.date(2025, 11, 3), [Month(2025, 11)]


@pytest.fixture(scope="module")
def chain():
    return build_chain(History(FIRST, 8).tables())


def reports(chain: pa.Table, smiles: pa.Table | None = None) -> dict[str, CheckReport]:
    """Reports of the three checks on these tables."""
    smiles = build_smiles(chain) if smiles is None else smiles
    of_chain = {check.name: judged(check, scope("option_chain", MONTHS), chain) for check in (missing_strikes, monotone)}
    return {**of_chain, "parity": judged(parity, scope("option_smiles", MONTHS), smiles)}


def changed(table: pa.Table, name: str, column) -> pa.Table:
    return table.set_column(table.column_names.index(name), table.schema.field(name), column)


def test_an_ordinary_market_passes(chain):
    found = reports(chain)
    assert {name: report.verdict for name, report in found.items()} == dict.fromkeys(("missing_strikes", "monotone", "parity"), "passed")
    assert found["monotone"].values > 400


def test_strikes_without_quotes_near_the_money_are_reports(chain):
    day = chain["as_of"][0].as_py()
    lost = pc.and_(pc.equal(chain["as_of"], day), pc.equal(chain["underlying"], "HEZ5"))
    bare = changed(chain, "mid", pc.if_else(lost, None, chain["mid"]))
    found = reports(bare)["missing_strikes"]
    assert found.verdict == "failed"
    assert missing_strikes.severity == "by_setting"
    assert "without a usable quote" in str(found.failures)
    assert day.date() in [failure["day"] for failure in found.failures]


def test_far_strikes_and_a_handful_near_the_money_may_be_bare():
    """Twenty-two of thirty-one strikes are far out; one expiration has only three options near the money."""
    wide = build_chain(History(FIRST, 1, strikes=31).tables())
    far = pc.greater(pc.abs(pc.ln(pc.divide(wide["strike"], wide["forward"]))), 0.1)
    december = pc.equal(wide["underlying"], "HEZ5")
    three = np.flatnonzero(pc.and_(december, pc.invert(far)).to_numpy())[3:]
    kept = np.setdiff1d(np.arange(wide.num_rows), three)
    bare = changed(wide, "mid", pc.if_else(pc.or_(far, december), None, wide["mid"])).take(pa.array(kept))
    assert bare["mid"].null_count > 0.67 * bare.num_rows
    assert reports(bare)["missing_strikes"].verdict == "passed"


def test_what_was_mended_later_is_judged_as_it_stands(chain):
    day = pc.equal(chain["as_of"], chain["as_of"][0])
    bare = changed(chain, "mid", pc.if_else(day, None, chain["mid"]))
    again = chain.filter(day)
    later = changed(again, "available_at", pc.add(again["available_at"], pa.scalar(dt.timedelta(1), pa.duration("us"))))
    assert reports(bare)["missing_strikes"].verdict == "failed"
    assert reports(pa.concat_tables([bare, later]))["missing_strikes"].verdict == "passed"


def test_strikes_in_another_unit_than_settlements_are_seen_by_the_middle_of_a_day(chain):
    november = scope("option_chain", MONTHS)
    ordinary = judged(strike_scale, november, chain)
    assert (ordinary.verdict, ordinary.values) == ("passed", 8)
    day = chain["as_of"][0].as_py()
    dollars = pc.if_else(pc.equal(chain["as_of"], day), pc.divide(chain["strike"], 100.0), chain["strike"])
    (failure,) = judged(strike_scale, november, changed(chain, "strike", dollars)).failures
    assert (failure["day"], failure["fault"]) == (day.date(), "strikes in another unit than settlements?")
    every_third = pa.array(np.arange(chain.num_rows) % 3 == 0)
    few = changed(chain, "strike", pc.if_else(every_third, 9000.0, chain["strike"]))
    assert judged(strike_scale, november, few).verdict == "passed"
    negative = changed(chain, "forward", pa.array(np.full(chain.num_rows, -37.63)))
    assert judged(strike_scale, november, negative).verdict == "unproven"
    assert judged(missing_strikes, november, negative).verdict == "unproven"


def dearer(chain: pa.Table, which) -> pa.Table:
    """The chain with the quotes of some options far too dear."""
    for name in ("bid", "ask"):
        chain = changed(chain, name, pc.if_else(which, pc.add(chain[name], 8.0), chain[name]))
    return chain


@pytest.mark.parametrize(("right", "beyond"), [("C", pc.greater), ("P", pc.less)])
def test_calls_that_get_dearer_with_the_strike_and_puts_that_get_cheaper_are_reports(chain, right, beyond):
    dear = dearer(chain, pc.and_(pc.equal(chain["right"], right), beyond(chain["strike"], 85.0 if right == "P" else 90.0)))
    found = reports(dear)["monotone"]
    assert found.verdict == "failed"
    assert f"neighbours, the first {right}" in str(found.failures)


def test_one_pair_a_day_may_contradict_itself(chain):
    """The dearest of all is the call of the highest strike: one neighbour a day, of two that the settings let pass."""
    top = pc.max(chain.filter(pc.equal(chain["underlying"], "HEZ5"))["strike"])
    one = pc.and_(pc.equal(chain["underlying"], "HEZ5"), pc.and_(pc.equal(chain["strike"], top), pc.equal(chain["right"], "C")))
    assert reports(dearer(chain, one))["monotone"].verdict == "passed"


def test_a_month_that_parity_contradicts_is_reports(chain):
    off = changed(chain, "parity_gap", pc.add(chain["parity_gap"], pa.scalar(0.7)))
    smiles = build_smiles(off)
    assert np.mean([status == "parity" for status in smiles["status"].to_pylist()]) > 0.5
    found = reports(chain, smiles)["parity"]
    assert found.verdict == "failed"
    assert found.failures[0]["month"] == "2025-11"


def test_parity_is_off_where_the_fit_says_so_and_its_own_error_too(chain):
    """A tiny error alone accuses nobody, for ticks are coarse; nor does the fit's word where the error is wide."""
    smiles = build_smiles(chain)
    smiles = smiles.filter(pc.equal(smiles["status"], "full"))
    assert smiles.num_rows > 20
    tiny = changed(smiles, "parity_error", pa.array(np.full(smiles.num_rows, 1e-9)))
    assert reports(chain, tiny)["parity"].verdict == "passed"
    word = changed(smiles, "status", pa.array(["parity"] * smiles.num_rows))
    assert reports(chain, changed(word, "parity_error", pa.array(np.full(smiles.num_rows, 1.0))))["parity"].verdict == "passed"
    assert reports(chain, changed(word, "parity_error", pa.array(np.full(smiles.num_rows, 1e-9))))["parity"].verdict == "failed"


def test_smiles_of_two_futures_whose_options_end_together_are_two(chain):
    smiles = build_smiles(chain)
    alone = reports(chain, smiles)["parity"].rows
    other = changed(smiles, "underlying", pc.binary_join_element_wise(smiles["underlying"], "?", ""))
    other = changed(other, "underlying_id", pc.add(smiles["underlying_id"], 10**6))
    assert reports(chain, pa.concat_tables([smiles, other]))["parity"].rows == 2 * alone
