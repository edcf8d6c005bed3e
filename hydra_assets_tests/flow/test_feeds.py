"""Feeds: each raw table has one, coverage day by day, and what is refused before it counts as captured."""

import contextlib
import dataclasses
import datetime as dt
import importlib
import pkgutil

import pytest

from hydra_assets.config.home import resolve_home
from hydra_assets.config.load import load_config, vendor_blocks
from hydra_assets.core.months import Month
from hydra_assets.core.option_rules import OptionRules
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.errors import ConfigError, VendorUnavailableError
from hydra_assets.flow import feeds
from hydra_assets.flow.batch import Batch, Captured
from hydra_assets.flow.feed import Feed, Plan, keep
from hydra_assets.flow.feeds.cot import COT
from hydra_assets.flow.feeds.databento import DATABENTO
from hydra_assets.flow.feeds.databento_plan import SCHEMAS, DatabentoPlan
from hydra_assets.flow.feeds.registry import FEEDS, check_feeds
from hydra_assets.flow.feeds.sample import served
from hydra_assets.sources.databento_request import Condition
from hydra_assets.sources.quarantine import is_refused
from hydra_assets.storage.capture import Look
from hydra_assets_tests.conftest import at
from hydra_assets_tests.support.cot_history import weeks

HE, RULES = load_config().market("HE"), OptionRules()
REPORTS = TABLES["cot_disaggregated"]
BLOCKS = vendor_blocks()


def test_every_raw_table_has_a_feed_and_a_forgotten_one_is_named():
    assert {table.name for feed in FEEDS.values() for table in feed.tables} == {t.name for t in TABLES.values() if t.group == "raw"}
    cash = dataclasses.replace(REPORTS, name="cash_index", source="nobody")
    with pytest.raises(ConfigError, match="table cash_index has the source 'nobody', and no feed"):
        check_feeds({**TABLES, "cash_index": cash}, FEEDS, BLOCKS)
    with pytest.raises(ConfigError, match="feed cftc fills no table"):
        check_feeds({"futures_bars": TABLES["futures_bars"]}, FEEDS, BLOCKS)


def test_every_feed_has_its_settings_and_a_forgotten_block_is_named():
    with pytest.raises(ConfigError, match=r"feed cftc: CftcSettings and its block in config/default.yaml differ in base_url, .*user_agent"):
        check_feeds(TABLES, FEEDS, {"databento": BLOCKS["databento"]})
    with pytest.raises(ConfigError, match="differ in max_retries"):
        check_feeds(TABLES, FEEDS, {**BLOCKS, "cftc": {**BLOCKS["cftc"], "max_retries": 1}})
    with pytest.raises(ConfigError, match="nobody: settings of no feed"):
        check_feeds(TABLES, FEEDS, {**BLOCKS, "nobody": {}})


def test_a_feed_without_a_side_of_the_embedded_vendor_cannot_be_made():
    @dataclasses.dataclass
    class Mute(type(COT)):
        sample = Feed.sample

    with pytest.raises(TypeError, match="abstract method"):
        Mute()


def test_every_feed_answers_in_the_sample_world(tmp_path):
    """Each by its own side, under paths that are no other's."""
    sides = [feed.sample(served(load_config(), cache=tmp_path)) for feed in FEEDS.values()]
    assert len({side.prefix for side in sides}) == len(FEEDS)
    assert not [(a.prefix, b.prefix) for a in sides for b in sides if a is not b and a.prefix.startswith(b.prefix)]


@pytest.mark.parametrize("feed", FEEDS.values(), ids=list(FEEDS))
def test_what_broke_off_is_whole_for_a_vendor_that_is_started_again(feed, lake):
    """Each try of a run starts the embedded vendor anew: what breaks off once must not break off at each of them."""
    place, config = resolve_home("sample"), load_config()
    place.create()
    config = dataclasses.replace(config, sample=dataclasses.replace(config.sample, rude=("breaks_off",)))

    def fetch():
        with feed.open(place, config) as source:
            plans = [feed.plan(source, lake, table, HE, [Month(2025, 9)], config, at("2026-01-05")) for table in feed.tables[:1]]
            feed.fetch(source, plans, once=True)

    with contextlib.suppress(VendorUnavailableError):
        fetch()
    fetch()


def test_every_feed_of_a_module_is_registered():
    modules = [importlib.import_module(f"{feeds.__name__}.{found.name}") for found in pkgutil.iter_modules(feeds.__path__)]
    assert {each.name for module in modules for each in vars(module).values() if isinstance(each, Feed)} == set(FEEDS)


def test_databento_has_a_schema_for_each_of_its_tables():
    assert set(SCHEMAS) == {table.name for table in DATABENTO.tables}


def test_a_session_is_held_degraded_a_gap_or_to_come(lake):
    first, second, third, fourth = (dt.date(2025, 11, day) for day in (3, 4, 5, 6))
    plan = DatabentoPlan(
        TABLES["futures_bars"],
        HE,
        [Month(2025, 11)],
        RULES,
        synthetic=True,
        gaps={third: "the vendor says pending"},
        conditions={second: Condition("degraded", second)},
        days=frozenset({first, second, third}),
    )
    days = DATABENTO.coverage(plan, lake, Month(2025, 11), RULES, at("2025-11-06"))[:4]
    assert [(day.day, day.state) for day in days] == [(first, "held"), (second, "degraded"), (third, "gap"), (fourth, "to come")]
    assert days[2].note == "the vendor says pending"


def test_a_report_is_held_a_gap_or_to_come_and_says_when_its_release_moved(lake):
    look = Look("cftc", dt.date(2025, 9, 1), dt.date(2025, 9, 2), ("054642",), at("2025-10-01"))
    table = weeks(2025, 2025)
    first = table.filter([as_of == at("2025-09-02") for as_of in table["as_of"].to_pylist()])
    keep(Batch(REPORTS, "HE", Month(2025, 9), first, look), lake)
    days = COT.coverage(Plan(REPORTS, HE, [Month(2025, 9)]), lake, Month(2025, 9), RULES, at("2025-10-01"))
    assert [day.state for day in days] == ["held", "gap", "gap", "gap", "to come"]
    assert days[0].note == "released 2025-09-05 19:30Z"
    assert days[-1].note == "released 2025-11-19 20:30Z, moved from 2025-10-03"


def test_due_by_default_is_what_is_out_and_not_in_the_lake(lake):
    due = COT.due(None, lake, REPORTS, HE, [Month(2025, 9)], load_config(), at("2025-10-01"))
    assert sorted(due.days) == [dt.date(2025, 9, day) for day in (2, 9, 16, 23)]
    assert due.waiting == {dt.date(2025, 9, 30): "its last record can come until 2025-11-19 20:30Z"}


def test_captured_days_need_a_ledger_and_nothing_is_written_without_one(lake):
    day = dt.date(2025, 9, 2)
    rows = weeks(2025, 2025).slice(0, 0)
    batch = Batch(REPORTS, "HE", Month(2025, 9), rows, captured=Captured({day: day}, at("2025-10-01")))
    with pytest.raises(ConfigError, match="no ledger"):
        keep(batch, lake)
    assert lake.folders() == []


@pytest.mark.parametrize(("usable", "bad", "refused"), [(1, 1, False), (100, 50, False), (100, 51, True), (2, 2, True)])
def test_more_than_a_half_of_quarantined_records_is_refused_but_never_a_single_one(usable, bad, refused):
    assert is_refused(bad, usable) == refused
