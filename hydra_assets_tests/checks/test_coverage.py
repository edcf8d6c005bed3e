"""Coverage: what is missing, what may be, and what is told without being a fault."""

import dataclasses
import datetime as dt

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from hydra_assets.checks.coverage import coverage
from hydra_assets.checks.freshness import staleness
from hydra_assets.config.load import load_config
from hydra_assets.core.calendar import GRAINS
from hydra_assets.core.known_holes import KnownHole
from hydra_assets.core.months import Month
from hydra_assets.core.tables.registry import TABLES
from hydra_assets_tests.conftest import at
from hydra_assets_tests.support.check_scopes import judged, scope
from hydra_assets_tests.support.futures_history import bar, history, statistic, tables

EXPIRES = at("2025-12-12 18:00")
DECEMBER = [Month(2025, 12)]


def on_days(name: str, *days: str, quality: str = "normal") -> pa.Table:
    """A row of a table on each day, of what coverage reads of it."""
    return pa.table({"as_of": [at(day) for day in days], "quality": [quality] * len(days)})


def faults(report) -> list[tuple[dt.date, str]]:
    return [(failure["day"], failure["fault"]) for failure in report.failures]


# ---------------------------------------------------------------- days without a session


@pytest.mark.parametrize("check", [coverage, staleness])
def test_a_market_that_the_vendor_does_not_have_is_unproven_and_says_why(check):
    """Not failed: a table that covers some markets alone would be red for all the others."""
    absent = dataclasses.replace(scope("futures_bars", DECEMBER), absence="no series configured for HE")
    report = judged(check, absent, TABLES["futures_bars"].schema.empty_table())
    assert (report.failures, report.values) == ([], 0)
    assert check is not coverage or "no series configured for HE" in report.looked_at


@pytest.mark.parametrize(
    ("table", "day", "accused"),
    [
        ("futures_definitions", "2025-11-23", False),  # a Sunday
        ("futures_definitions", "2025-11-27", False),  # Thanksgiving
        ("option_definitions", "2025-11-23", False),
        ("futures_bars", "2025-11-23", False),  # its trades belong to Monday
        ("futures_bars", "2025-11-22", True),
        ("futures_bars", "2025-11-27", True),
        ("option_quotes", "2025-11-23", True),
    ],
)
def test_which_tables_may_have_rows_on_which_days_without_a_session(table, day, accused):
    early = scope(table, [Month(2025, 11)], now=at("2025-11-01"))  # nothing is due yet
    report = judged(coverage, early, on_days(table, day))
    assert faults(report) == ([(at(day).date(), "a row on a day that is no session")] if accused else [])


def test_the_evening_of_a_holiday_has_a_bar_where_bars_are_partial():
    grains = scope("futures_bars", [Month(2011, 7)], market="ZC", calendar=GRAINS, now=at("2011-07-01"))
    assert judged(coverage, grains, on_days("futures_bars", "2011-07-04", quality="partial")).failures == []
    assert judged(coverage, grains, on_days("futures_bars", "2011-07-04")).failures  # nothing says that it is no session
    assert judged(coverage, grains, on_days("futures_bars", "2011-07-02", quality="partial")).failures  # Saturday: no eve of a session


# ---------------------------------------------------------------- settlements


@pytest.fixture(scope="module")
def statistics():
    return history(dt.date(2025, 12, 1), dt.date(2025, 12, 31))["futures_statistics"]


def with_flags(rows: pa.Table, flag, which) -> pa.Table:
    """The rows with another ``is_final`` where *which* holds."""
    changed = pc.if_else(which, pa.scalar(flag, pa.bool_()), rows["is_final"])
    return rows.set_column(rows.column_names.index("is_final"), rows.schema.field("is_final"), changed)


def test_a_settlement_that_never_became_final_counts_and_is_told(statistics):
    december = scope("futures_statistics", DECEMBER)
    final = judged(coverage, december, statistics)
    assert (final.verdict, final.counts["inferred"], final.counts["unflagged"]) == ("passed", 0, 0)
    settled = pc.equal(statistics["stat"], "settlement")
    far = pc.and_(settled, pc.equal(statistics["instrument"], statistics["instrument"][-1]))
    of_one = pc.and_(far, pc.less(statistics["as_of"], at("2025-12-04")))
    inferred = judged(coverage, december, with_flags(statistics, False, of_one))
    assert (inferred.verdict, inferred.counts["inferred"], inferred.counts["unflagged"]) == ("passed", 3, 0)
    assert "3 with a settlement that never became final" in inferred.looked_at
    unflagged = judged(coverage, december, with_flags(statistics, None, settled))
    assert (unflagged.verdict, unflagged.counts["inferred"], unflagged.counts["unflagged"]) == ("passed", 0, 22)
    assert "22 settled without a word on being final" in unflagged.looked_at


def test_settlements_of_zero_or_less_are_no_fault_and_are_counted():
    days = [dt.date(2025, 12, day) for day in (1, 2, 3)]
    rows = [
        statistic("HEZ5", EXPIRES, stat, day, at(f"{day} 20:00"), value if stat == "settlement" else 5.0)
        for day, value in zip(days, (80.0, -37.63, 0.0), strict=True)
        for stat in ("settlement", "cleared_volume", "open_interest")
    ]
    report = judged(coverage, scope("futures_statistics", DECEMBER, now=at("2025-12-05")), tables(rows)["futures_statistics"])
    assert (report.verdict, report.counts["nonpositive"]) == ("passed", 2)
    assert "2 settlements of 0 or less, without a logarithm" in report.looked_at


def test_a_session_is_settled_by_what_stands():
    """Final, taken back, preliminary alone, and a preliminary print that came after the final one."""
    days = [dt.date(2025, 12, day) for day in range(1, 5)]

    def prints(day, *values):
        return [
            statistic("HEZ5", EXPIRES, "settlement", day, at(f"{day} {18 + hour}:00"), value, is_final=final)
            for hour, (value, final) in enumerate(values)
        ]

    rows = [
        *prints(days[0], (80.0, False), (81.0, True)),
        *prints(days[1], (80.0, False), (81.0, True), (None, True)),
        *prints(days[2], (80.0, False)),
        *prints(days[3], (81.0, True), (80.0, False)),
        *(statistic("HEZ5", EXPIRES, stat, day, at(f"{day} 20:00"), 5.0) for day in days for stat in ("cleared_volume", "open_interest")),
    ]
    report = judged(coverage, scope("futures_statistics", DECEMBER, now=at("2025-12-07")), tables(rows)["futures_statistics"])
    assert faults(report) == [(days[1], "no settlement of this session")]
    assert report.counts["inferred"] == 1


# ---------------------------------------------------------------- known holes


def test_a_known_hole_is_listed_with_its_reason_and_is_no_fault():
    hole = KnownHole("databento", dt.date(2025, 12, 2), dt.date(2025, 12, 3), "an outage", "the vendor")
    early = {"now": at("2025-12-06")}
    rows = tables([], [bar("HEZ5", EXPIRES, dt.date(2025, 12, day), 81.0, 80.0) for day in (1, 2)])["futures_bars"]
    news = judged(coverage, scope("futures_bars", DECEMBER, **early), rows)
    assert [day.day for day, _ in faults(news)] == [3, 4]
    told = judged(coverage, scope("futures_bars", DECEMBER, known_holes=[hole], **early), rows)
    assert [day.day for day, _ in faults(told)] == [4]
    assert [(known["day"].day, known["reason"], known["source"]) for known in told.known_holes] == [(3, "an outage", "the vendor")]
    assert (told.rows, told.values) == (4, 3)


def test_nothing_but_known_holes_is_unproven():
    hole = KnownHole("databento", dt.date(2025, 12, 1), dt.date(2025, 12, 31), "an outage", "the vendor")
    report = judged(coverage, scope("futures_statistics", DECEMBER, known_holes=[hole]), pa.table({}))
    assert (report.verdict, len(report.known_holes)) == ("unproven", 3 * report.rows)


def test_a_hole_of_one_statistic_excuses_that_one_alone():
    hole = KnownHole("databento", dt.date(2025, 12, 1), dt.date(2025, 12, 1), "not published", "the vendor", stats=("cleared_volume",))
    report = judged(coverage, scope("futures_statistics", DECEMBER, known_holes=[hole], now=at("2025-12-04")), pa.table({}))
    assert faults(report) == [(dt.date(2025, 12, 1), f"no {stat} of this session") for stat in ("settlement", "open_interest")]


def test_holes_concern_the_tables_markets_and_datasets_that_they_name():
    shipped = load_config().known_holes

    def days(table, market, dataset="GLBX.MDP3"):
        return sum((hole.last - hole.first).days + 1 for hole in shipped if hole.concerns(TABLES[table], market, dataset))

    assert (days("futures_bars", "HE"), days("futures_bars", "ZC"), days("futures_statistics", "ZC")) == (7, 1, 2)
    assert days("futures_bars", "HE", None) == 7  # a market that is configured no more
    assert days("futures_bars", "HE", "IFUS.IMPACT") == days("cot_disaggregated", "HE") == days("futures_features", "HE") == 0


# ---------------------------------------------------------------- options that are listed later


def test_sessions_before_the_first_option_root_are_told_and_are_no_fault():
    june = [Month(2021, 6)]
    roots = {"HE": dt.date(2021, 6, 21), "HE1": dt.date(2021, 6, 28)}
    later = scope("option_definitions", june, option_roots=roots)
    report = judged(coverage, later, pa.table({}))
    assert report.failures[0]["day"] == dt.date(2021, 6, 21)
    assert (report.counts["before_listing"], report.rows - report.values) == (14, 14)
    assert report.looked_at.endswith(
        "; 14 before the market had options; HE has options from 2021-06-21 on; HE1 has options from 2021-06-28 on"
    )
    futures = judged(coverage, scope("futures_bars", june, option_roots=roots), pa.table({}))
    assert len(futures.failures) == 22
    unborn = judged(coverage, scope("option_definitions", [Month(2021, 5)], option_roots=roots), pa.table({}))
    assert (unborn.verdict, unborn.looked_at) == ("unproven", "0 sessions of the calendar; options of HE are listed from 2021-06-21 on")
    first = judged(coverage, scope("option_definitions", june, option_roots=roots | {"HE": None}), pa.table({}))
    assert (first.counts["before_listing"], len(first.failures)) == (0, 22)
