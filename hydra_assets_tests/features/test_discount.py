"""Options are discounted by the newest curve of the sessions before: which one, at which rate, and what that changes."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from hydra_assets.core.audit import early_rows
from hydra_assets.core.calendar import LIVESTOCK
from hydra_assets.core.option_rules import OptionRules
from hydra_assets.core.tables.rates import RATES, TENORS
from hydra_assets.features import compute
from hydra_assets.features.compute import of_family
from hydra_assets.features.options.chain import build_chain
from hydra_assets.options.american import american_price, european_vol, exercise_premium
from hydra_assets.options.black76 import price
from hydra_assets.options.discount import continuous_rate, discount_rates
from hydra_assets.sources.sample.treasury import year_file
from hydra_assets.sources.treasury_parse import parse_rates
from hydra_assets_tests.conftest import at
from hydra_assets_tests.support.futures_history import ct
from hydra_assets_tests.support.option_history import History, midnight

DAY = dt.date(2025, 11, 5)


@pytest.fixture(scope="module")
def raw():
    return History(dt.date(2025, 11, 3), 3).tables()


def curves(*rows):
    """Rows of ``rates``: day, per cent at every tenor, and when it was out; without that, 18:00 New York of the day."""
    cells = [
        {"as_of": midnight(day), "available_at": known or ct(day, "17:00"), "quality": "partial", "synthetic": True}
        | dict.fromkeys(TENORS, percent)
        for day, percent, known in rows
    ]
    return pa.Table.from_pylist(cells, schema=RATES.schema)


def percent(rate):
    return 100 * 2 * np.expm1(rate / 2)


def chain_of(raw, *rows, rules=None):
    """Instant, rate and quality of the rows of one option of DAY."""
    chain = build_chain({**raw, "rates": curves(*rows)}, rules=rules, start=DAY, end=DAY).to_pylist()
    first = min(row["instrument_id"] for row in chain)
    return [(row["available_at"], round(row["rate"], 9), row["quality"]) for row in chain if row["instrument_id"] == first]


def test_rates_of_known_yields():
    assert continuous_rate(0.0519).item() == pytest.approx(2 * np.log(1.02595), abs=1e-15)
    tenors, curve = np.array([0.25, 0.5, 1.0]), np.array([[0.05, np.nan, 0.04], [np.nan] * 3])
    got = discount_rates(curve, tenors, np.array([0, 0, 0, 0, 1, -1]), np.array([0.1, 0.25, 0.625, 3.0, 0.5, 0.5]))
    low, high = 2 * np.log(1.025), 2 * np.log(1.02)
    assert got[:4] == pytest.approx([low, low, (low + high) / 2, high], abs=1e-15)
    assert np.isnan(got[4:]).all()


def test_the_curve_of_the_session_before_discounts_and_that_of_the_day_itself_never(raw):
    before = LIVESTOCK.session_days(dt.date(2025, 10, 20), dt.date(2025, 11, 4))[-1]
    rows = [(before - dt.timedelta(1), percent(0.01), None), (before, percent(0.02), None), (DAY, percent(0.09), None)]
    assert {(rate, quality) for _, rate, quality in chain_of(raw, *rows)} == {(0.02, "normal")}


def test_a_curve_that_comes_late_gives_a_further_row_and_one_of_an_older_day_none(raw):
    evening, late = ct(DAY, "18:00"), ct(DAY, "21:00")
    sessions = [dt.date(2025, 11, 3), dt.date(2025, 11, 4)]
    got = chain_of(raw, (sessions[0], percent(0.01), None), (sessions[1], percent(0.02), late))
    assert [rate for when, rate, _ in got if when < late] == [0.01] * sum(when < late for when, *_ in got)
    assert got[-1][1] == 0.02
    assert next(when for when, rate, _ in got if rate == 0.02) == late > evening
    older = chain_of(raw, (sessions[1], percent(0.02), None), (sessions[0], percent(0.01), late))
    assert {rate for _, rate, _ in older} == {0.02}
    restated = chain_of(raw, (sessions[1], percent(0.02), None), (sessions[1], percent(0.03), late))
    assert next(rate for _, rate, _ in restated) == 0.02
    assert restated[-1][1] == 0.03


def test_without_a_curve_of_five_sessions_the_flat_rate_counts_and_is_partial(raw):
    sixth, fifth = LIVESTOCK.session_days(dt.date(2025, 10, 20), dt.date(2025, 11, 4))[-6:-4]
    rules = OptionRules(rate=0.031)
    assert {row[1:] for row in chain_of(raw, rules=rules)} == {(0.031, "partial")}
    assert {row[1:] for row in chain_of(raw, (sixth, percent(0.02), None), rules=rules)} == {(0.031, "partial")}
    assert {row[1:] for row in chain_of(raw, (fifth, percent(0.02), None), rules=rules)} == {(0.02, "normal")}
    bare = {name: table for name, table in raw.items() if name != "rates"}
    chain = build_chain(bare, rules=rules, start=DAY, end=DAY)  # a caller who gives no curves wants the flat rate
    assert {*chain["rate"].to_pylist()} == {0.031}
    assert {*chain["quality"].to_pylist()} == {"normal"}


def test_the_fallback_makes_every_feature_of_the_smiles_partial(raw):
    names = ["opt_atm_iv_30", "opt_rr25_30", "opt_gex_call"]
    whole, flat = (
        compute("options", {**raw, "rates": rates}, market="HE", start=DAY, end=DAY, names=names)
        for rates in (raw["rates"], RATES.schema.empty_table())
    )
    better = {row["feature_name"] for row in whole.to_pylist() if row["quality"] == "normal"}
    assert better
    assert {row["quality"] for row in flat.to_pylist() if row["feature_name"] in better} == {"partial"}


def test_a_curve_that_explains_a_row_is_inside_its_window(raw):
    late = at("2025-11-06 03:00")
    tables = {**raw, "rates": curves((dt.date(2025, 11, 4), percent(0.02), late))}
    wanted = [feature for feature in of_family("options") if feature.name == "opt_atm_iv_30"]
    got = compute("options", tables, market="HE", start=DAY, end=DAY, names=["opt_atm_iv_30"])
    assert late in got["available_at"].to_pylist()
    assert early_rows(got, tables, wanted).to_pylist() == []
    outside = {**tables, "rates": curves((DAY, percent(0.02), late))}
    assert "no input inside its windows arrived" in early_rows(got, outside, wanted)["reason"].to_pylist()[-1]


# ---------------------------------------------------------------- what it changes: half a year to go, F 85, volatility 25 %

F, TAU, VOL = 85.0, 0.5, 0.25


def rate_on(day):
    """Rate of the embedded curve of *day* at TAU; that of 2024-09-03 is the Treasury's own."""
    rates = parse_rates(year_file(day.year, at("2026-01-01")), year=day.year, place="x").table.to_pylist()
    (row,) = [row for row in rates if row["as_of"].date() == day]
    return discount_rates(
        np.array([[row[name] if row[name] is not None else np.nan for name in TENORS]]) / 100,
        np.array([months / 12 for _, months in TENORS.values()]),
        np.array([0]),
        np.array([TAU]),
    ).item()


@pytest.mark.parametrize(
    ("day", "rate", "premium", "vol_error", "parity_error"),
    [
        # The premium of the call at the money, in cents; and by how much the flat 4.5 % was off: its volatility, in points, and the
        # forward by parity ten cents below the money, in cents.
        (dt.date(2015, 6, 3), 0.00160, 0.00056, 0.4424, 0.2194),
        (dt.date(2024, 9, 3), 0.04743, 0.02684, -0.0235, -0.0122),
    ],
)
def test_what_the_flat_rate_did_in_2015_and_2024(day, rate, premium, vol_error, parity_error):
    true, call = rate_on(day), {"strike": F, "tau": TAU, "right": 1}
    assert true == pytest.approx(rate, abs=1e-5)
    assert exercise_premium(F, vol=VOL, rate=true, **call).item() == pytest.approx(premium, abs=1e-5)
    assert exercise_premium(F, vol=VOL, rate=0.045, **call).item() == pytest.approx(0.02522, abs=1e-5)
    quote = american_price(F, vol=VOL, rate=true, **call)
    flat, honest = (european_vol(quote, forward=F, rate=r, **call).vol.item() for r in (0.045, true))
    assert honest == pytest.approx(VOL, abs=1e-6)
    assert 100 * (flat - honest) == pytest.approx(vol_error, abs=1e-4)
    c, p = (european(F - 10, right, true) for right in (1, -1))
    flat_forward, forward = (F - 10 + (c - p) * np.exp(r * TAU) for r in (0.045, true))
    assert forward == pytest.approx(F, abs=1e-9)
    assert flat_forward - F == pytest.approx(parity_error, abs=1e-4)


def european(strike, right, rate):
    return price(F, strike=strike, tau=TAU, rate=rate, vol=VOL, right=right).item()
