"""The cash index to the cent of the exchange's own, every vintage, beside a second implementation; and what rests on it."""

import csv
import datetime as dt
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from hydra_assets.core.audit import early_rows
from hydra_assets.core.option_rules import OptionRules
from hydra_assets.core.tables.cash import CASH_HOGS, CASH_INDEX, MARKET_FORMULA, NEGOTIATED, NEGOTIATED_FORMULA
from hydra_assets.errors import SchemaError
from hydra_assets.features import compute, of_family
from hydra_assets.features.cash.index import build_cash_index
from hydra_assets.features.days import weekday_number
from hydra_assets_tests.conftest import at
from hydra_assets_tests.support.cash_history import PUBLISHED, day_rows, history, midnight, next_morning, real_rows, row, table
from hydra_assets_tests.support.cash_oracle import Hogs, answer, index_for

D = dt.date
SHARED = Path(__file__).parents[3] / "shared/data/usda/lean_hog_index_2019_02.csv"
NAMES = [feature.name for feature in of_family("cash")]


def index_of(rows, **more):
    """Day to the newest vintage's row."""
    return {found["as_of"].date(): found for found in build_cash_index(table(rows), **more).to_pylist()}


def sold_on(*days):
    """The same hogs on each of *days*: the index is 70.9."""
    hogs = (100, 70.0, 200.0), (900, 71.0, 210.0)
    return [made for day in days for made in day_rows(day, *hogs)]


# ---------------------------------------------------------------- the exchange's own numbers


def test_the_index_and_the_daily_average_are_the_exchanges_to_the_cent():
    found = index_of(real_rows())
    assert {day: (found[day]["index"], found[day]["daily"]) for day in PUBLISHED} == PUBLISHED
    assert len(PUBLISHED) == 11


@pytest.mark.skipif(not SHARED.exists(), reason="the exchange's file is not here")
def test_the_numbers_above_are_those_of_the_exchanges_file():
    lines = list(csv.DictReader(SHARED.read_text(encoding="utf-8").splitlines()))
    assert {D.fromisoformat(line["date"]): (float(line["index"]), float(line["daily"])) for line in lines}.items() <= PUBLISHED.items()


def test_monday_follows_friday_and_the_first_day_alone_has_no_index():
    found = index_of(real_rows())
    assert found[D(2019, 1, 31)]["index"] is None
    assert (found[D(2019, 1, 31)]["quality"], found[D(2019, 1, 31)]["daily"]) == ("missing", 57.33)
    friday, monday = (D(2019, 2, day) for day in (8, 11))
    alone = [line for line in real_rows() if line["as_of"].date() in (friday, monday)]
    assert index_of(alone)[monday]["index"] == PUBLISHED[monday][0]


def test_half_a_cent_rounds_up_as_in_whole_numbers():
    days = D(2024, 3, 5), D(2024, 3, 6)
    equal = [
        made for day, price in zip(days, (70.00, 70.01), strict=True) for made in day_rows(day, (100, price, 200.0), (100, price, 200.0))
    ]
    assert index_of(equal)[days[1]]["index"] == 70.01  # 70.005


def test_a_day_that_is_not_held_leaves_the_next_one_without_an_index():
    """A lost weekday is not stepped over: two days that are not consecutive make no index."""
    days = [D(2024, 3, day) for day in (4, 5, 7, 8)]
    rows = sold_on(*days)
    found = index_of(rows)
    assert [found[day]["index"] is None for day in days] == [True, False, True, False]
    assert found[D(2024, 3, 7)]["quality"] == "missing"


def test_a_federal_holiday_without_slaughter_is_stepped_over_and_said_to_be_inferred():
    rows = sold_on(D(2024, 7, 3), D(2024, 7, 5))
    found = index_of(rows)[D(2024, 7, 5)]
    assert (found["index"], found["quality"]) == (70.9, "partial")
    # Presidents' Day has slaughter: where its rows are known they count.
    rows = [
        made for day in (D(2024, 2, 16), D(2024, 2, 19), D(2024, 2, 20)) for made in day_rows(day, (100, 70.0, 200.0), (900, 71.0, 210.0))
    ]
    assert index_of(rows)[D(2024, 2, 20)]["quality"] == "normal"


def test_a_purchase_type_without_a_price_is_left_out_and_one_without_a_row_is_waited_for():
    days = D(2024, 3, 5), D(2024, 3, 6)
    rows = sold_on(*days)
    rows[2] |= {"avg_net_price": None}
    found = index_of(rows)[days[1]]
    assert (found["index"], found["negotiated"], found["daily"], found["quality"]) == (70.95, None, 71.0, "partial")
    assert days[1] not in index_of(rows[:2] + rows[3:])


def test_negotiated_formula_counts_where_the_settings_say_so():
    days = D(2024, 3, 5), D(2024, 3, 6)
    rows = [made for day in days for made in day_rows(day, (100, 70.0, 200.0), (100, 70.0, 200.0))]
    rows.append(row(days[1], NEGOTIATED_FORMULA, 400, 80.0, 200.0))
    assert index_of(rows)[days[1]]["index"] == 70.0
    assert index_of(rows, negotiated_formula=True)[days[1]]["index"] == 75.0
    inputs, rules = {"cash_hogs": table(rows)}, OptionRules(negotiated_formula=True)
    features = compute("cash", inputs, market="HE", names=["cash_index"], rules=rules)
    assert features["value"].to_pylist()[-1] == 75.0


# ---------------------------------------------------------------- vintages


def test_a_correction_is_a_vintage_of_its_day_and_of_the_next_from_when_it_was_seen():
    days = D(2017, 10, 3), D(2017, 10, 4)
    rows = [made for day in days for made in day_rows(day, (100, 57.0, 200.0), (900, 56.0, 210.0))]
    seen = at("2017-10-05 17:00")
    rows.append(row(days[0], MARKET_FORMULA, 900, 58.0, 210.0, seen=seen))
    vintages = [(line["as_of"].date(), line["available_at"], line["index"]) for line in build_cash_index(table(rows)).to_pylist()]
    assert vintages == [
        (days[0], next_morning(days[0]), None),
        (days[0], seen, None),
        (days[1], next_morning(days[1]), 56.1),
        (days[1], seen, 57.0),
    ]


def test_the_derived_table_is_of_its_own_shape_and_bounds():
    rows = table(real_rows())
    made = build_cash_index(rows, start=D(2019, 2, 7), end=D(2019, 2, 8))
    assert made.schema.equals(CASH_INDEX.schema)
    assert [day.date() for day in made["as_of"].to_pylist()] == [D(2019, 2, 7), D(2019, 2, 8)]
    assert build_cash_index(rows.slice(0, 0)).num_rows == 0
    with pytest.raises(SchemaError, match="avg_net_price"):
        build_cash_index(rows.drop_columns(["avg_net_price"]))


def instants_of(rows):
    return sorted({line["available_at"] for line in rows})


@pytest.mark.parametrize("seed", range(6))
def test_every_vintage_is_that_of_a_second_implementation(seed):
    rows = history(D(2023, 10, 23), D(2024, 1, 31), seed=seed)
    third = bool(seed % 2)
    features = compute("cash", {"cash_hogs": table(rows)}, market="HE", rules=OptionRules(negotiated_formula=third))
    standing = {}
    for line in features.to_pylist():
        standing.setdefault((line["feature_name"], line["as_of"].date()), []).append(line)
    days = sorted({line["as_of"].date() for line in rows})
    compared = 0
    for known_at in instants_of(rows)[::4]:
        hogs = Hogs(rows, known_at, third=third)
        for day in days:
            for name in NAMES:
                lines = [line for line in standing.get((name, day), ()) if line["available_at"] <= known_at]
                got = (lines[-1]["value"], lines[-1]["quality"]) if lines else None
                wanted = answer(hogs, name, day)
                assert (got is None) == (wanted is None), (name, day, known_at, got, wanted)
                if got is not None:
                    assert got[1] == wanted[1]
                    assert got[0] == pytest.approx(wanted[0], abs=1e-9)
                    compared += got[0] is not None
    assert compared > 1_000


def test_what_comes_later_changes_no_row_before_it():
    rows = history(D(2023, 10, 23), D(2023, 12, 15), seed=9)
    whole = compute("cash", {"cash_hogs": table(rows)}, market="HE").to_pylist()
    for cut in instants_of(rows)[::7]:
        past = compute("cash", {"cash_hogs": table([line for line in rows if line["available_at"] <= cut])}, market="HE").to_pylist()
        assert past == [line for line in whole if line["available_at"] <= cut]


def test_the_audit_finds_every_row_in_order_and_one_that_came_too_early():
    rows = table(history(D(2023, 10, 23), D(2024, 1, 31), seed=3))
    features = compute("cash", {"cash_hogs": rows}, market="HE")
    declared = of_family("cash")
    assert early_rows(features, {"cash_hogs": rows}, declared).num_rows == 0
    place = features.column_names.index("available_at")
    early = features.set_column(place, "available_at", pc.subtract(features["available_at"], pa.scalar(dt.timedelta(hours=1))))
    assert early_rows(early, {"cash_hogs": rows}, declared).num_rows == features.num_rows
    # A value whose other day was not out: the rows of two weekdays are needed.
    both = sold_on(D(2024, 3, 7), D(2024, 3, 8))
    made = compute("cash", {"cash_hogs": table(both)}, market="HE", names=["cash_index"])
    one = made.filter(pc.is_valid(made["value"]))
    assert one.num_rows == 1
    assert "only 1 weekdays of cash_hogs" in early_rows(one, {"cash_hogs": table(both[2:])}, declared)["reason"].to_pylist()[0]


def test_a_market_without_a_cash_price_has_no_rows_and_no_error():
    empty = CASH_HOGS.schema.empty_table()
    assert compute("cash", {"cash_hogs": empty}, market="ZC").num_rows == 0
    assert compute("cash", {"cash_hogs": pa.table({})}, market="ZC").num_rows == 0
    with pytest.raises(SchemaError, match="the input 'cash_hogs' is missing"):
        compute("cash", {}, market="HE")


def test_weekdays_are_counted_one_by_one_from_friday_to_monday():
    days = np.array([(day - D(1970, 1, 1)).days for day in (D(2024, 3, 7), D(2024, 3, 8), D(2024, 3, 9), D(2024, 3, 11), D(1969, 12, 31))])
    thursday, friday, saturday, monday, old = weekday_number(days).tolist()
    assert (friday - thursday, saturday - friday, monday - friday) == (1, 0, 1)
    assert weekday_number(0) - old == 1


# ---------------------------------------------------------------- the basis


def futures_inputs(first, last):
    from hydra_assets_tests.support import futures_history

    return futures_history.history(first, last)


@pytest.mark.parametrize("seed", range(3))
def test_the_basis_is_that_of_a_second_implementation(seed):
    from hydra_assets_tests.support.futures_features_oracle import F1, WORDS, Known, f_legs

    first, last = D(2023, 11, 1), D(2023, 12, 29)
    rows, futures = history(D(2023, 10, 23), last, seed=seed), futures_inputs(first, last)
    inputs = {**futures, "cash_hogs": table(rows)}
    made = compute("futures", inputs, market="HE", names=["fut_basis_cash"]).to_pylist()
    arrivals = sorted({line["available_at"] for line in made} | set(instants_of(rows)[::9]))
    compared = with_value = 0
    plain = {name: futures[name].to_pylist() for name in ("futures_statistics", "futures_bars")}
    for known_at in arrivals[20::2]:
        if known_at < midnight(first + dt.timedelta(12)):
            continue
        known, hogs = Known(plain, known_at), Hogs(rows, known_at)
        day = known_at.date()
        for back in range(7):
            session = day - dt.timedelta(back)
            if session not in known.place:
                continue
            lines = [line for line in made if line["as_of"].date() == session and line["available_at"] <= known_at]
            got = (lines[-1]["value"], lines[-1]["quality"]) if lines else None
            t = known.place[session]
            needs = F1(known, t)
            price = None if None in needs else known.value.get((needs[0][0], needs[0][1], session))
            counts = index_for(hogs, session)
            if price is None:
                assert got is None
            elif counts is None:
                assert got == (None, "missing")
            else:
                oi, age, of_row = f_legs(1)(known, t)[0][1]
                words = [price[1], counts[1], of_row, "stale" if age > 1 else "degraded" if oi < 50 else "normal"]
                assert got[0] == pytest.approx(np.log(counts[0] / price[0]), rel=1e-12)
                assert got[1] == max(words, key=WORDS.index)
                with_value += 1
            compared += 1
    assert with_value > 40
    assert early_rows(compute("futures", inputs, market="HE", names=["fut_basis_cash"]), inputs, of_family("futures")).num_rows == 0


def test_the_basis_is_null_without_a_cash_price_and_other_features_do_not_wait_for_it():
    futures = futures_inputs(D(2023, 11, 1), D(2023, 12, 1))
    without = compute("futures", futures, market="HE")
    basis = without.filter(pc.equal(without["feature_name"], "fut_basis_cash"))
    assert set(basis["quality"].to_pylist()) == {"missing"}
    assert basis["value"].null_count == basis.num_rows > 0
    empty = compute("futures", {**futures, "cash_hogs": pa.table({})}, market="HE")
    assert empty.equals(without)
    beside = compute("futures", {**futures, "cash_hogs": table(history(D(2023, 10, 23), D(2023, 12, 1)))}, market="HE")
    names = [feature.name for feature in of_family("futures") if feature.name != "fut_basis_cash"]
    others = [found.filter(pc.is_in(found["feature_name"], pa.array(names))) for found in (without, beside)]
    assert others[0].equals(others[1])
    assert early_rows(without, futures, of_family("futures")).num_rows == 0, "an audit without the optional input still stands"


def test_an_index_of_the_day_itself_never_enters_its_basis_and_an_old_one_neither():
    days = [D(2023, 11, day) for day in (20, 21)]
    rows = sold_on(*days)
    inputs = {**futures_inputs(D(2023, 11, 1), D(2023, 12, 1)), "cash_hogs": table(rows)}
    found = {}
    for line in compute("futures", inputs, market="HE", names=["fut_basis_cash"], start=D(2023, 11, 20)).to_pylist():
        found[line["as_of"].date()] = line
    # 22 November rests on the 21st; Thanksgiving is no session; the 24th on the 21st, three weekdays old; later days on nothing.
    assert [(day.day, line["quality"]) for day, line in found.items() if line["value"] is not None] == [(22, "normal"), (24, "stale")]
    assert found[D(2023, 11, 27)]["quality"] == "missing"


def test_the_purchase_types_are_those_of_the_report():
    assert (NEGOTIATED, MARKET_FORMULA) == ("Prod. Sold Negotiated", "Prod. Sold Swine or Pork Market Formula")


# ---------------------------------------------------------------- dates known ahead


def test_days_to_a_report_are_counted_to_the_release_public_when_the_session_began():
    futures = futures_inputs(D(2025, 9, 15), D(2025, 11, 20))
    names = [feature.name for feature in of_family("futures") if feature.name.startswith("cal_days_to_")]
    assert len(names) == 4
    made = compute("futures", futures, market="HE", names=names)
    assert early_rows(made, futures, of_family("futures")).num_rows == 0
    newest = {(line["feature_name"], line["as_of"].date()): line for line in made.to_pylist()}
    wasde = {day: line["value"] for (name, day), line in newest.items() if name == "cal_days_to_wasde"}
    # By hand: 9 October was on the calendar until its hour had passed; then 10 November; 14 November became known too late for its day.
    assert {day: wasde[day] for day in (D(2025, 10, 1), D(2025, 10, 9), D(2025, 10, 10), D(2025, 11, 10), D(2025, 11, 17))} == {
        D(2025, 10, 1): 8.0,
        D(2025, 10, 9): 0.0,
        D(2025, 10, 10): 31.0,
        D(2025, 11, 10): 0.0,
        D(2025, 11, 17): 22.0,
    }
    cot = {day: line for (name, day), line in newest.items() if name == "cal_days_to_cot"}
    assert [cot[D(2025, 10, day)]["value"] for day in (6, 9, 10)] == [4.0, 1.0, 0.0]
    assert {line["quality"] for line in cot.values()} == {"partial"}
    assert {line["quality"] for (name, _), line in newest.items() if name == "cal_days_to_cold"} == {"missing"}
    assert all(line["available_at"].date() >= line["as_of"].date() for line in newest.values())
