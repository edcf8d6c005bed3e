"""A settlement of 0 or less is one: what needs its logarithm is null, with its reason there, and nothing else stops."""

import datetime as dt
import math

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from hydra_assets.config.load import load_config
from hydra_assets.core.calendar import LIVESTOCK
from hydra_assets.core.months import Month
from hydra_assets.features.compute import compute
from hydra_assets.features.futures.continuous import build_continuous
from hydra_assets.features.labels import forward_returns
from hydra_assets.features.options.chain import build_chain
from hydra_assets.features.options.smiles import build_smiles
from hydra_assets.storage.lake import ParquetLake
from hydra_assets_tests.features.test_futures_features import J, K, M, interest, newest, settle, traded
from hydra_assets_tests.flow.test_option_raw import lay
from hydra_assets_tests.support.databento_vendor import patient_source, vendor
from hydra_assets_tests.support.futures_features_oracle import Known, answer
from hydra_assets_tests.support.futures_history import bar, ct, tables
from hydra_assets_tests.support.option_history import FUTURES, History

D = dt.date
CL = load_config().market("CL")
PLUNGE = D(2020, 4, 20)
DAYS = LIVESTOCK.session_days(D(2022, 12, 1), D(2023, 3, 31))
AT = 70
NEEDS_A_LOGARITHM = {
    *("fut_ret_1d", "fut_ret_5d", "fut_ewmac_16_64", "fut_carry_ann", "fut_carry_vol", "fut_carry_yoy", "fut_carry_deseas"),
    *("fut_curve_slope", "fut_curve_curv"),
}


def front_below_zero(price):
    """J is the first contract throughout, and settles at *price* on one day."""
    later = ("HEN3", dt.datetime(2023, 7, 17, 17, tzinfo=dt.UTC))
    year = ("HEJ4", dt.datetime(2024, 4, 12, 17, tzinfo=dt.UTC))
    rows, bars = [], []
    for i, day in enumerate(DAYS):
        for n, contract in enumerate((J, K, M, later, year)):
            rows += [settle(contract, day, price if (n, i) == (0, AT) else 90.0 + n + 0.1 * (i % 7)), interest(contract, day, 900 - n)]
            rows.append(traded(contract, day, 100.0))
        bars.append(bar(*J, day, 92.0, 89.0))
    return tables(rows, bars)


@pytest.mark.parametrize("price", [-37.63, 0.0])
def test_what_needs_the_logarithm_of_the_front_is_null_and_the_rest_goes_on(price):
    inputs, day = front_below_zero(price), DAYS[AT]
    got = newest(compute("futures", inputs, market="HE"))
    names = {name for name, as_of in got if as_of == day}
    null = {name for name in names if got[name, day] == (None, "missing")}
    before = {name for name, as_of in got if as_of == DAYS[AT - 1]}
    assert names == before, "a row of every feature is there"
    thin = {name for name in names if got[name, DAYS[AT - 1]] == (None, "missing")}
    assert null - thin == NEEDS_A_LOGARITHM - thin
    assert {"fut_ret_1d", "fut_ret_5d", "fut_carry_ann", "fut_carry_yoy", "fut_curve_slope", "fut_curve_curv"} <= null - thin
    assert got["fut_ret_21d", day][1] == got["fut_rv_21", day][1] == "partial"  # of 20 returns
    assert got["fut_ret_1d", DAYS[AT + 1]] == (None, "missing")
    assert got["fut_ret_1d", DAYS[AT + 2]] == (pytest.approx(math.log((90 + 0.1 * ((AT + 2) % 7)) / (90 + 0.1 * ((AT + 1) % 7)))), "normal")
    assert got["fut_carry_ann", DAYS[AT + 1]][1] == "normal"
    assert got["fut_oi_chg_20", day][1] == "normal"
    known = Known(inputs, ct(D(2023, 4, 6), "12:00"))
    for name in names:
        for there in (day, DAYS[AT + 1], DAYS[AT + 2]):
            want = answer(known, name, there)
            assert got[name, there][1] == want[1], (name, there)
            assert got[name, there][0] == (None if want[0] is None else pytest.approx(want[0], rel=1e-9, abs=1e-12)), (name, there)


def test_a_label_without_a_logarithm_is_null_and_says_of_which_contract():
    inputs = front_below_zero(-37.63)
    times = [ct(DAYS[AT + i], "18:30") for i in (-1, 0, 1)]
    rows = forward_returns(inputs, market="HE", times=times, horizons=[1]).to_pylist()
    assert [row["label_fwd_1d"] is None for row in rows] == [True, True, False]
    assert [row["label_fwd_1d__contract"] for row in rows] == ["HEJ3"] * 3
    assert rows[0]["label_fwd_1d__known_at"] == ct(DAYS[AT], "18:00")


def test_the_ratio_of_a_roll_is_unknown_where_a_price_is_not_above_zero_and_the_difference_is_not():
    rows = []
    for i, day in enumerate(DAYS[:20]):
        rows += [interest(J, day, 900 if i < 8 else 10), interest(M, day, 500)]
        rows += [settle(J, day, -37.63 if i == 8 else 90.0), settle(M, day, 100.0)]
    table = build_continuous(tables(rows))
    (roll,) = [row for row in table.to_pylist() if row["as_of"].date() == DAYS[9]]
    assert (roll["contract"], roll["roll_difference"], roll["roll_ratio"]) == ("HEM3", 137.63, None)
    assert build_continuous(tables(rows)).filter(pc.equal(table["contract"], "HEJ3")).num_rows > 5


def test_options_on_a_future_below_zero_have_their_rows_and_no_volatility():
    made = History(D(2025, 11, 3), 2)
    day, (number, _) = made.days[0], FUTURES["HEZ5"]
    for row in made.rows["futures_statistics"]:
        if (row["instrument_id"], row["as_of"].date()) == (number, day):
            row["value"] = -37.63
    chain = build_chain(made.tables())
    smiles = build_smiles(chain)
    on = pc.and_(pc.equal(chain["underlying_id"], number), pc.equal(pc.cast(chain["as_of"], pa.date32()), pa.scalar(day)))
    hit, rest = chain.filter(on), chain.filter(pc.invert(on))
    assert hit.num_rows > 10
    assert set(hit["forward"].to_pylist()) == {-37.63}
    assert set(hit["vol_status"].to_pylist()) == {"nonpositive_forward"}
    assert set(hit["quality"].to_pylist()) == {"missing"}
    assert set(hit["vol"].to_pylist()) == {None}
    assert not any(hit["liquid"].to_pylist())
    assert "nonpositive_forward" not in rest["vol_status"].to_pylist()
    of = [row for row in smiles.to_pylist() if row["underlying_id"] == number and row["as_of"].date() == day]
    assert {(row["status"], row["quality"], row["forward"], row["theta"]) for row in of} == {
        ("nonpositive_forward", "missing", -37.63, None)
    }
    assert {row["status"] for row in smiles.to_pylist() if row["as_of"].date() != day} == {"full"}
    features = compute("options", made.tables(), market="HE")
    assert pc.sum(pc.cast(features["value"].is_valid(), pa.int64())).as_py() > 20


@pytest.mark.parametrize("strike", [-10.0, 0.0])
def test_an_option_with_a_strike_below_zero_has_its_rows_and_disturbs_no_other(strike):
    whole, without = History(D(2025, 11, 3), 2), History(D(2025, 11, 3), 2)
    rows = sorted(whole.rows["option_definitions"], key=lambda row: row["strike"])
    number = next(row["instrument_id"] for row in rows if row["underlying"] == "HEZ5" and row["right"] == "P")
    for row in rows:
        row["strike"] = strike if row["instrument_id"] == number else row["strike"]
    for name in ("option_definitions", "option_quotes", "option_statistics"):
        without.rows[name] = [row for row in without.rows[name] if row["instrument_id"] != number]
    chain, rest = build_chain(whole.tables()), build_chain(without.tables())
    mine = pc.equal(chain["instrument_id"], number)
    assert set(chain.filter(mine)["vol"].to_pylist()) == {None}
    assert set(chain.filter(mine)["vol_status"].to_pylist()) <= {"invalid", "no_quote"}
    columns = [name for name in rest.column_names if name != "parity_gap"]  # its partner has none
    assert chain.filter(pc.invert(mine)).select(columns).equals(rest.select(columns))
    smiles, others = build_smiles(chain), build_smiles(rest)
    assert smiles["status"].to_pylist() == others["status"].to_pylist()
    assert smiles["theta"].to_pylist() == pytest.approx(others["theta"].to_pylist())
    features = [newest(compute("options", made.tables(), market="HE")) for made in (whole, without)]
    assert {name for name, (value, _) in features[0].items() if value is not None} == {
        name for name, (value, _) in features[1].items() if value is not None
    }


# ---------------------------------------------------------------- the day itself, in the sample world


@pytest.fixture(scope="module")
def crude(tmp_path_factory):
    """April 2020 of crude oil, from the embedded vendor through the parsers into a lake."""
    folder = tmp_path_factory.mktemp("crude")
    lake, now = ParquetLake(folder / "lake", world="sample"), dt.datetime(2020, 7, 1, 12, tzinfo=dt.UTC)
    with vendor(now=now, markets={"CL": CL}) as running, patient_source(running.url, folder, now=now) as asking:
        for table in (
            "futures_definitions",
            "futures_bars",
            "futures_statistics",
            "option_definitions",
            "option_quotes",
            "option_statistics",
        ):
            lay(asking, lake, table, [Month(2020, 4)], market=CL)
    return lake


def of_crude(lake, *names):
    return {name: lake.read_vintages(name, "CL") for name in names}


def test_crude_settles_below_zero_and_every_futures_feature_has_its_row(crude):
    inputs = of_crude(crude, "futures_statistics", "futures_bars", "futures_definitions")
    rows = [row for row in inputs["futures_statistics"].to_pylist() if row["as_of"].date() == PLUNGE and row["stat"] == "settlement"]
    values = {row["instrument"]: row["value"] for row in rows if row["is_final"]}
    assert values["CLK0"] == -37.63
    assert all(value > 0 for symbol, value in values.items() if symbol != "CLK0")
    (low,) = [row["low"] for row in inputs["futures_bars"].to_pylist() if (row["instrument"], row["as_of"].date()) == ("CLK0", PLUNGE)]
    assert low == -40.32
    assert set(inputs["futures_bars"]["quality"].to_pylist()) <= {"partial", "degraded"}, "a UTC date holds no session of energy"
    got = newest(compute("futures", inputs, market="CL"))
    for day in (PLUNGE, D(2020, 4, 21)):  # the contract that settled there is no longer the first of the curve
        for name in ("fut_ret_1d", "fut_carry_ann", "fut_curve_slope", "fut_curve_curv"):
            assert got[name, day][0] is not None, (name, day)
    assert {quality for (name, _), (_, quality) in got.items() if name == "fut_rv_pk_21"} <= {"partial", "degraded", "stale", "missing"}


def test_the_chain_of_crude_goes_on_beside_the_contract_below_zero(crude):
    inputs = of_crude(crude, "futures_statistics", "option_definitions", "option_quotes", "option_statistics")
    chain = build_chain(inputs, calendar=CL.calendar, start=PLUNGE, end=PLUNGE)
    status = {}
    for row in chain.to_pylist():
        status.setdefault(row["underlying"], set()).add(row["vol_status"])
    assert status.pop("CLK0") == {"nonpositive_forward"}
    assert len(status) >= 3
    assert all("ok" in found and "nonpositive_forward" not in found for found in status.values())
    smiles = {row["underlying"]: row["status"] for row in build_smiles(chain).to_pylist()}
    assert smiles.pop("CLK0") == "nonpositive_forward"
    assert "full" in smiles.values()
