"""Stamps of ours put right: later or earlier, never against what was seen, and what was believed stays readable."""

import datetime as dt

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from hydra_assets.config.load import load_config, load_release_calendar
from hydra_assets.core.months import Month
from hydra_assets.core.releases import ReleaseCalendar
from hydra_assets.core.tables.cot import COT_DISAGGREGATED
from hydra_assets.errors import InvalidTimeError, InvalidValueError, SchemaError
from hydra_assets.flow.feeds.cot import restamp_cot, versions_of
from hydra_assets.storage.capture import Look
from hydra_assets_tests.conftest import at, rows
from hydra_assets_tests.storage.test_capture import FEB, KEY, RELEASE, add, cot, known, stat, vintages
from hydra_assets_tests.support.cot_history import weeks

LATER, EARLIER = "2026-02-18 20:30", "2026-02-12 20:30"


def restamp(lake, stamp, quality="normal", reason="the calendar was corrected", **more):
    right = rows(cftc_code=["054642"], as_of=["2026-02-10"], available_at=[stamp]).append_column("quality", pa.array([quality]))
    return lake.restamp(right, "cot", "HE", FEB, key=KEY, reason=reason, versions={"calendar": "2"}, **more)


def test_a_stamp_that_was_too_early_moves_and_an_earlier_recorded_by_sees_what_was_believed(lake):
    add(lake, cot(1), "2026-06-01")
    believed = dt.datetime.now(dt.UTC)
    assert restamp(lake, LATER) == 2
    assert known(lake, RELEASE) == []
    assert known(lake, LATER) == [1]
    assert lake.read_known("cot", "HE", at(RELEASE), key=KEY, recorded_by=believed)["value"].to_pylist() == [1]
    assert vintages(lake) == [(1, "02-18 20:30")]
    assert lake.read("cot", "HE").num_rows == 1
    first, second = lake.writes("cot", "HE")
    assert first.reason is None
    assert (second.reason, second.versions) == ("the calendar was corrected", {"calendar": "2"})
    assert restamp(lake, LATER) == 0  # and a second time for nothing


def test_a_stamp_that_was_too_late_comes_forward_where_nobody_had_looked(lake):
    add(lake, cot(1), "2026-06-01")
    assert restamp(lake, EARLIER) == 2
    assert vintages(lake) == [(1, "02-12 20:30")]
    assert add(lake, cot(1), "2026-06-02") == 0  # the same row again is still nothing new
    assert add(lake, cot(2), "2026-06-03") == 1
    assert vintages(lake) == [(1, "02-12 20:30"), (2, "06-03 00:00")]


def test_a_restatement_after_a_stamp_came_forward_is_counted_from_what_exists(lake):
    """Not from the tombstone, whose stamp is later."""
    add(lake, cot(1, available_at=LATER), "2026-02-14")
    restamp(lake, RELEASE)
    add(lake, cot(2), "2026-02-15")
    assert vintages(lake) == [(1, "02-13 20:30"), (2, "02-15 00:00")]


def test_a_row_that_was_seen_to_come_late_is_not_back_dated(lake):
    add(lake, cot(1).slice(0, 0), "2026-02-20")  # absent after its release
    add(lake, cot(1), "2026-03-02 10:00")
    for stamp in (RELEASE, EARLIER, "2026-04-01"):
        assert restamp(lake, stamp) == 0
    assert vintages(lake) == [(1, "03-02 10:00")]


def test_nor_is_it_after_a_compaction(lake):
    add(lake, cot(1).slice(0, 0), "2026-02-20")
    add(lake, cot(1), "2026-03-02 10:00")
    add(lake, cot(1, as_of="2026-02-17", available_at="2026-02-20 20:30"), "2026-03-02 10:00")
    lake.compact()
    assert restamp(lake, RELEASE) == 0
    assert len(lake.files("cot", "HE")) == 1
    assert len(lake.writes("cot", "HE")) == 2


def test_a_stamp_comes_no_earlier_than_a_look_in_which_the_row_was_absent(lake):
    add(lake, cot(1).slice(0, 0), "2026-02-13 12:00")  # before the stamp that was believed: no late row then
    add(lake, cot(1), "2026-02-16 10:00")
    assert vintages(lake) == [(1, "02-13 20:30")]
    restamp(lake, EARLIER)  # but by this one it was absent after its release
    assert vintages(lake) == [(1, "02-16 10:00")]


def test_a_restated_row_keeps_its_order(lake):
    add(lake, cot(1), "2026-02-14")
    add(lake, cot(2), "2026-02-15")
    add(lake, cot(3), "2026-02-15")  # a microsecond after the other
    assert restamp(lake, LATER) == 2
    assert known(lake, "2026-02-14 23:59:59.999998") == []
    assert known(lake, "2026-02-14 23:59:59.999999") == [1]
    assert known(lake, "2026-02-15") == [2]
    assert known(lake, "2026-03-01") == [3]


def test_a_row_of_unknown_sight_can_only_come_later(lake):
    lake.write(cot(1), "cot", "HE", FEB)
    assert restamp(lake, EARLIER) == 0
    assert restamp(lake, LATER) == 2


def test_the_word_on_the_stamp_is_put_right_too(lake):
    add(lake, cot(1, quality="partial"), "2026-06-01")
    assert restamp(lake, RELEASE, quality="normal") == 1  # the same vintage, recorded again: no tombstone
    assert lake.read_known("cot", "HE", at(RELEASE), key=KEY)["quality"].to_pylist() == ["normal"]
    assert restamp(lake, RELEASE, quality="partial") == 1
    assert vintages(lake) == [(1, "02-13 20:30")]


def test_a_stamp_that_was_seen_to_be_right_stays_sure(lake):
    add(lake, cot(1, quality="partial"), "2026-02-13 20:35")
    assert restamp(lake, RELEASE, quality="partial") == 0
    assert lake.read("cot", "HE")["quality"].to_pylist() == ["normal"]


def test_what_cannot_be_put_right_is_refused(lake):
    add(lake, cot(1), "2026-06-01")
    with pytest.raises(InvalidValueError, match="needs a reason"):
        restamp(lake, LATER, reason=" ")
    with pytest.raises(InvalidTimeError, match="before its as_of"):
        restamp(lake, "2026-02-09")
    assert lake.restamp(rows(as_of=["2026-02-10"]), "nothing", "HE", FEB, key=[], reason="x", versions={}) == 0
    vendors = stat(1.0, 1_770_681_600_000_000_000)
    add_stat = rows(instrument=["HEJ6"], as_of=["2026-02-10"], available_at=["2026-02-12"])
    lake.write(vendors, "stats", "HE", FEB)
    with pytest.raises(SchemaError, match="the vendor stamps this table"):
        lake.restamp(add_stat, "stats", "HE", FEB, key=["instrument"], reason="x", versions={})


def test_the_calendars_version_is_that_of_its_tables():
    shipped = load_release_calendar()
    assert shipped.version == load_release_calendar().version
    row = {"report_date": "2026-02-10", "available_at_et": "2026-02-18T15:30:00-05:00", "status": "actual", "source": "x"}
    one = ReleaseCalendar([row], reviewed_until=dt.date(2026, 1, 1))
    others = [
        ReleaseCalendar([], reviewed_until=dt.date(2026, 1, 1)),
        ReleaseCalendar([row], reviewed_until=dt.date(2026, 1, 2)),
        ReleaseCalendar([row], reviewed_until=dt.date(2026, 1, 1), closures=[dt.date(2026, 1, 9)]),
        ReleaseCalendar([{**row, "available_at_et": "2026-02-19T15:30:00-05:00"}], reviewed_until=dt.date(2026, 1, 1)),
    ]
    assert len({calendar.version for calendar in (shipped, one, *others)}) == 6


@pytest.mark.parametrize("other", ["calendar", "parser", "both unknown", None])
def test_a_report_is_stamped_anew_where_another_calendar_or_parser_stamped_it(lake, other):
    """A day late by whoever wrote it; where the versions are today's own, nobody looks."""
    calendar, market = load_release_calendar(), load_config().market("LE")
    month, table, now = Month(2024, 3), weeks(2024, 2024), versions_of(calendar)
    report = table.filter(pc.equal(table["as_of"], pa.scalar(at("2024-03-12"))))
    right = report["available_at"][0].as_py()
    i = report.column_names.index("available_at")
    late = report.set_column(i, report.schema.field(i), pa.array([right + dt.timedelta(days=1)], report.schema.field(i).type))
    versions = {"both unknown": {}, None: now}.get(other, {**now, str(other): "another"})
    look = Look("cftc", month.first, month.last, (market.cftc_code,), at("2026-06-01"), versions=versions)
    lake.append_new(late, COT_DISAGGREGATED.name, "LE", month.first, key=COT_DISAGGREGATED.key, stamps="ours", look=look)
    assert restamp_cot(lake, market, month, calendar) == (2 if other else 0)
    (row,) = lake.read_vintages(COT_DISAGGREGATED.name, "LE", month.first, month.last, key=COT_DISAGGREGATED.key).to_pylist()
    assert row["available_at"] - right == dt.timedelta(days=0 if other else 1)
    assert restamp_cot(lake, market, month, calendar) == 0


def test_sightings_tell_live_from_filled_in(lake):
    add(lake, cot(1), "2026-02-14")  # within a day of its release
    add(lake, cot(1, as_of="2026-02-03", available_at="2026-02-06 20:30"), "2026-02-14")
    seen = lake.capture_stats("cot", "HE", key=KEY)
    assert (seen.live, seen.backfilled) == (1, 1)
    add(lake, cot(2), "2026-02-21")  # a restatement is known because it was seen
    lake.compact()
    seen = lake.capture_stats("cot", "HE", key=KEY)
    assert (seen.live, seen.backfilled) == (2, 1)
