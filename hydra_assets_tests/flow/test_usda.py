"""The feed of the USDA: ranges of months, rows to the lake, late and corrected reports, and a market without a cash price."""

import dataclasses
import datetime as dt
import hashlib

import pytest

from hydra_assets.config.home import resolve_home
from hydra_assets.config.load import load_config
from hydra_assets.core.months import Month, months_between
from hydra_assets.core.option_rules import OptionRules
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.flow import absence
from hydra_assets.flow.derive import derived_months
from hydra_assets.flow.feed import Plan, fetch_all, keep
from hydra_assets.flow.feeds.usda import USDA, _ranges
from hydra_assets.sources.ledger import Ledger
from hydra_assets.sources.usda import UsdaAnswer
from hydra_assets_tests.conftest import at
from hydra_assets_tests.sources.test_cftc_source import sends, vendor
from hydra_assets_tests.sources.test_usda import ROW, body, source
from hydra_assets_tests.support.cash_history import PUBLISHED

D = dt.date
HOGS, CONFIG, RULES = TABLES["cash_hogs"], load_config(), OptionRules()
HE, ZC = CONFIG.market("HE"), CONFIG.market("ZC")
FEBRUARY = Month(2019, 2)


class Recorded:
    """A source whose answers are given."""

    max_attempts, report = 1, staticmethod(lambda line: None)
    settings = dataclasses.make_dataclass("Settings", [("max_range_days", int, 160)])()

    def __init__(self, folder, rows, seen):
        self.folder, self.rows, self.seen, self.asked = folder, rows, seen, []

    def fetch(self, report, first, last, *, once=False):
        self.asked.append((first, last))
        path = self.folder / "answer.json"
        path.write_bytes(body(*self.rows))
        answer = UsdaAnswer(report, first, last, path, "", at(self.seen), len(self.rows))
        return dataclasses.replace(answer, sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def day(slaughtered, dated, price, **more):
    dates = {"for_date_begin": f"{slaughtered:%m/%d/%Y}", "report_date": f"{dated:%m/%d/%Y}"}
    return [{**ROW, **dates, "purchase_type": kind, "avg_net_price": price, **more} for kind in KINDS]


KINDS = ("Prod. Sold Negotiated", "Prod. Sold Swine or Pork Market Formula")


def take(tmp_path, lake, rows, seen, months=(FEBRUARY,)):
    """The rows of one look on their way into the lake; the number of new ones."""
    _, fetched = fetch_all(USDA, Recorded(tmp_path, rows, seen), lake, HOGS, {HE: months}, CONFIG)
    return sum(keep(batch, lake) for batch in USDA.batches(fetched, lake)), fetched


def held(lake, known_at):
    return {row["as_of"].date(): row["avg_net_price"] for row in lake.read_known("cash_hogs", "HE", at(known_at)).to_pylist()}


# ---------------------------------------------------------------- from the embedded vendor to the index


def test_the_real_days_go_from_the_vendor_to_the_exchanges_index(home, lake):
    with USDA.open(home_of(home), CONFIG) as vendor_of_usda:
        _, fetched = fetch_all(USDA, vendor_of_usda, lake, HOGS, {HE: months_between("2019-01", "2019-02")}, CONFIG)
        for batch in USDA.batches(fetched, lake):
            keep(batch, lake)
    for batch in derived_months(lake, "cash_index", "HE", [FEBRUARY], RULES):
        batch.append(lake)
    index = {row["as_of"].date(): row for row in lake.read_known("cash_index", "HE", at("2019-03-15")).to_pylist()}
    real = {each: numbers for each, numbers in PUBLISHED.items() if each.year == 2019}
    assert {each: (index[each]["index"], index[each]["daily"]) for each in real} == real
    assert {index[each]["synthetic"] for each in real} == {False}
    assert index[D(2019, 2, 25)]["synthetic"] is True
    assert index[D(2019, 2, 8)]["available_at"] == at("2019-02-11 17:00")


def home_of(folder):
    from hydra_assets.config.home import Home

    made = Home("sample", folder / "sample")
    made.create()
    return made


# ---------------------------------------------------------------- requests


def test_neighbouring_months_share_a_request_and_a_gap_or_the_bound_splits_them():
    months = [*months_between("2019-01", "2019-08"), Month(2020, 1)]
    parts = list(_ranges(months, 160))
    assert [(str(part[0]), str(part[-1])) for part in parts] == [("2019-01", "2019-05"), ("2019-06", "2019-08"), ("2020-01", "2020-01")]
    assert all((part[-1].last + dt.timedelta(7) - part[0].first).days < 160 for part in parts)


def test_months_that_have_not_begun_are_not_asked_for(tmp_path, lake):
    plan = USDA.plan(None, lake, HOGS, HE, [Month(2025, 12), Month(2026, 1)], CONFIG, at("2025-12-31"))
    assert plan.months == [Month(2025, 12)]


# ---------------------------------------------------------------- vintages


def test_a_correction_is_available_when_it_was_seen_and_the_first_print_stays(tmp_path, lake):
    first = day(D(2019, 2, 5), D(2019, 2, 6), "51.89")
    assert take(tmp_path, lake, first, "2019-02-06 18:00")[0] == 2
    assert take(tmp_path, lake, first, "2019-02-07 18:00")[0] == 0
    assert take(tmp_path, lake, day(D(2019, 2, 5), D(2019, 2, 6), "52.00"), "2019-02-08 18:00")[0] == 2
    assert held(lake, "2019-02-08 17:59") == {D(2019, 2, 5): 51.89}
    assert held(lake, "2019-02-08 18:00") == {D(2019, 2, 5): 52.0}


def test_a_report_that_was_not_there_when_it_should_have_been_is_known_from_when_it_was_seen(tmp_path, lake):
    """A shutdown that no table knows of back-dates nothing."""
    assert take(tmp_path, lake, day(D(2019, 2, 5), D(2019, 2, 6), "51.89"), "2019-02-08 18:00")[0] == 2
    late = [*day(D(2019, 2, 5), D(2019, 2, 6), "51.89"), *day(D(2019, 2, 6), D(2019, 2, 7), "52.10")]
    assert take(tmp_path, lake, late, "2019-02-12 09:00")[0] == 2
    assert D(2019, 2, 6) not in held(lake, "2019-02-12 08:59")
    assert D(2019, 2, 6) in held(lake, "2019-02-12 09:00")


def test_a_stamp_of_the_rule_is_partial_until_a_look_has_seen_the_row_come_out(tmp_path, lake):
    take(tmp_path, lake, day(D(2019, 2, 5), D(2019, 2, 6), "51.89"), "2019-02-06 18:00")  # an hour after
    take(tmp_path, lake, [*day(D(2019, 2, 5), D(2019, 2, 6), "51.89"), *day(D(2019, 2, 8), D(2019, 2, 11), "52.54")], "2026-01-01")
    assert {row["quality"] for row in lake.read("cash_hogs", "HE", D(2019, 2, 5), D(2019, 2, 5)).to_pylist()} == {"normal"}
    stamped = day(D(2019, 2, 20), D(2019, 2, 21), "50.66", published_date="02/21/2019 10:05:00")
    take(tmp_path, lake, stamped, "2026-01-02")
    # Absent from the look of 1 January, so seen on the 2nd for the first time.
    assert {row["available_at"] for row in lake.read("cash_hogs", "HE", D(2019, 2, 20)).to_pylist()} == {at("2026-01-02")}


def test_bad_rows_are_counted_one_by_one_and_mostly_bad_answers_are_refused(tmp_path, lake):
    good = day(D(2019, 2, 5), D(2019, 2, 6), "51.89")
    added, fetched = take(tmp_path, lake, [*good, {**ROW, "head_count": "many"}], "2019-02-06 18:00")
    assert (added, fetched.records, len(fetched.quarantined), fetched.refusal) == (2, 3, 1, None)
    assert "head_count 'many' is no number" in fetched.facts["quarantined"][0]
    bad = [{**good[0], "avg_net_price": "x"}, {**good[1], "avg_net_price": "y"}, *day(D(2019, 2, 6), D(2019, 2, 7), "z")]
    added, fetched = take(tmp_path, lake, bad, "2019-02-07 18:00")
    assert added == 0
    assert "4 of 4 records are unusable" in fetched.refusal


# ---------------------------------------------------------------- coverage, and markets without a cash price


def test_days_are_held_a_gap_or_to_come_by_the_reports_own_instant(tmp_path, lake):
    take(tmp_path, lake, day(D(2019, 2, 1), D(2019, 2, 4), "53.26"), "2019-02-06 18:00")
    days = {each.day: each for each in USDA.coverage(Plan(HOGS, HE, [FEBRUARY]), lake, FEBRUARY, RULES, at("2019-02-06 18:00"))}
    assert [days[D(2019, 2, n)].state for n in (1, 4, 5, 6)] == ["held", "gap", "gap", "to come"]
    assert days[D(2019, 2, 4)].note == "the vendor's answer has no row of it"
    due = USDA.due(None, lake, HOGS, HE, [FEBRUARY], CONFIG, at("2019-02-06 18:00"))
    assert sorted(due.days) == [D(2019, 2, 4), D(2019, 2, 5)]
    assert due.waiting == {D(2019, 2, 6): "its last record can come until 2019-02-07 17:00Z"}


def test_the_embedded_vendor_has_every_session_also_one_on_an_observed_new_years_day(home, lake):
    place, config, december = resolve_home("sample"), load_config(), Month(2021, 12)
    place.create()
    with USDA.open(place, config) as vendor, Ledger(place.ledger) as ledger:
        (plan,), fetched = fetch_all(USDA, vendor, lake, HOGS, {HE: [december]}, config)
        for batch in USDA.batches(fetched, lake):
            keep(batch, lake, ledger)
    states = {each.state for each in USDA.coverage(plan, lake, december, RULES, at("2022-03-01"))}
    assert states == {"held"}


def test_a_market_without_a_cash_price_is_a_gap_that_is_told_and_asks_nothing(tmp_path, lake):
    with vendor(sends(503, b"")) as (url, asked):
        plans, fetched = fetch_all(USDA, source(tmp_path, url), lake, HOGS, {ZC: [FEBRUARY]}, CONFIG)
    assert asked == []
    assert (list(USDA.batches(fetched, lake)), fetched.refusal) == ([], None)
    assert fetched.facts["gaps"] == "no cash price of ZC: it is delivered, and no report of elevator bids is read here"
    assert plans[0].months == []
    assert USDA.due(None, lake, HOGS, ZC, [FEBRUARY], CONFIG, at("2019-03-01")).days == {}


@pytest.mark.parametrize("name", TABLES)
def test_a_computed_table_is_absent_where_all_of_its_inputs_are(name):
    cash_alone = {"cash_hogs", "cash_index", "cash_features"}
    assert bool(absence.absence(TABLES[name], ZC, CONFIG)) == (name in cash_alone)
    assert absence.absence(TABLES[name], HE, CONFIG) == ""


def test_every_market_says_why_it_has_no_cash_price():
    assert {symbol for symbol, market in CONFIG.markets.items() if market.cash.report} == {"HE"}
    assert all(market.cash.report or len(market.cash.reason) > 20 for market in CONFIG.markets.values())
