"""Each statistic on its session: undated figures, eras without flags, prints too early or too late, ids given out anew."""

import datetime as dt

import databento_dbn as dbn
import pytest

from hydra_assets.config.load import load_config
from hydra_assets.sources.databento_join import Definitions
from hydra_assets.sources.databento_options import OptionDefinitions, parse_option_definitions
from hydra_assets.sources.databento_parse import parse_definitions
from hydra_assets.sources.databento_records import Parsed
from hydra_assets.sources.databento_statistics import parse_statistics
from hydra_assets_tests.support.dbn_records import answer, future, never, ns, option, statistic

HE = load_config().market("HE")


def defined(*messages) -> Definitions:
    return Definitions(parse_definitions(answer("definition", *messages), HE, synthetic=True, degraded=never, place="test").table)


def contract(*days: str) -> Definitions:
    """Contract 101, which expires in December 2026, defined on *days*."""
    return defined(*(future(101, "HEZ6", "2026-12-14 18:00", on=day) for day in days))


def parsed(definitions: Definitions, *messages, degraded=never) -> Parsed:
    return parse_statistics(answer("statistics", *messages), definitions, synthetic=True, degraded=degraded)


def told(parsed: Parsed, *columns: str) -> list[tuple]:
    rows = parsed.table.drop_columns(["stamped_at"]).to_pylist()
    return [tuple(f"{row[name]:%m-%d}" if name == "as_of" else row[name] for name in columns) for row in rows]


@pytest.mark.parametrize(
    ("received", "session"),
    [
        ("2013-05-15 11:45", "05-14"),  # the morning after
        ("2013-05-15 02:00", "05-14"),  # the evening of the session in Chicago, already the following UTC date
        ("2013-05-19 18:00", "05-17"),  # Friday's, on Sunday
        ("2013-05-20 11:45", "05-17"),  # Friday's, on Monday
        ("2013-05-28 11:45", "05-24"),  # over Memorial Day
    ],
)
def test_an_undated_figure_is_of_the_session_before_its_receipt_and_partial(received, session):
    known = contract("2013-05-14", "2013-05-17", "2013-05-24")
    once = parsed(known, statistic(101, "open_interest", 310, of=None, on=received))
    assert told(once, "as_of", "value", "quality") == [(session, 310.0, "partial")]
    assert (once.quarantined, once.refused) == ([], set())
    bad = parsed(known, statistic(101, "open_interest", 310, of=None, on=received), degraded=lambda day: f"{day:%m-%d}" == session)
    assert told(bad, "quality") == [("degraded",)]


def test_a_replay_of_a_week_end_is_counted_and_no_second_figure():
    """Open interest of Thursday and a settlement again on Saturday, undated: Friday's figure comes on Sunday."""
    replayed = parsed(
        contract("2025-10-09", "2025-10-10"),
        statistic(101, "open_interest", 300, of="2025-10-09", on="2025-10-10 11:45"),
        statistic(101, "volume", 40, of="2025-10-09", on="2025-10-10 11:45"),
        statistic(101, "settlement", 81, of="2025-10-10", on="2025-10-10 23:00", flags=3),
        statistic(101, "open_interest", 300, of=None, on="2025-10-11 15:00"),
        statistic(101, "volume", 41, of=None, on="2025-10-11 15:00"),  # news: it is placed
        statistic(101, "settlement", 81, of=None, on="2025-10-11 15:00", flags=3),
        statistic(101, "open_interest", 320, of="2025-10-10", on="2025-10-12 18:00"),
    )
    assert told(replayed, "as_of", "stat", "value", "quality") == [
        ("10-09", "open_interest", 300.0, "normal"),
        ("10-09", "cleared_volume", 40.0, "normal"),
        ("10-10", "settlement", 81.0, "normal"),
        ("10-10", "cleared_volume", 41.0, "partial"),
        ("10-10", "open_interest", 320.0, "normal"),
    ]
    assert (replayed.repeated, replayed.quarantined) == (2, [])


def test_an_unchanged_figure_of_the_era_without_dates_is_a_figure():
    days = ("2013-05-14", "2013-05-15", "2013-05-16")
    rows = parsed(contract(*days), *(statistic(101, "open_interest", 310, of=None, on=f"{day} 11:45") for day in days))
    assert told(rows, "as_of", "value") == [("05-13", 310.0), ("05-14", 310.0), ("05-15", 310.0)]


def settlements(*prints: tuple[str, str, int]):
    return [statistic(101, "settlement", 80 + i, of=day, on=f"{day} {clock}", flags=flags) for i, (day, clock, flags) in enumerate(prints)]


ERAS = {
    "no flags before 2015": (
        [("2013-05-14", "18:08", 0), ("2013-05-14", "23:00", 4), ("2013-05-15", "18:08", 4)],
        [None, None, None],
    ),
    "flags begin with the first final": (
        [("2014-12-30", "19:08", 0), ("2014-12-30", "23:00", 3), ("2014-12-31", "19:08", 2), ("2014-12-31", "23:00", 3)],
        [None, True, False, True],
    ),
    "an answer too short to tell": ([("2025-10-01", "18:08", 2), ("2025-10-02", "18:08", 2)], [False, False]),
    "three sessions without a final one": (
        [(f"2015-02-{day:02d}", "19:08", 2) for day in (2, 3, 4, 5, 6)],
        [False, False, False, None, None],
    ),
}


@pytest.mark.parametrize("era", ERAS)
def test_is_final_is_null_in_an_era_without_flags_as_the_prints_before_tell(era):
    prints, wanted = ERAS[era]
    days = sorted({day for day, _, _ in prints})
    messages = settlements(*prints)
    assert told(parsed(contract(*days), *messages), "is_final") == [(final,) for final in wanted]
    for cut in range(1, len(messages)):  # never decided by what comes later
        assert told(parsed(contract(*days), *messages[:cut]), "is_final") == [(final,) for final in wanted[:cut]]


def test_of_preliminary_prints_only_actual_ones_are_kept_where_there_are_flags():
    clocks = ("18:01", "18:02", "18:03", "18:04", "18:05", "23:00")
    rows = parsed(
        contract("2025-10-01"),
        *settlements(*(("2025-10-01", clock, flags) for clock, flags in zip(clocks, (0, 4, 2, 6, 10, 5), strict=True))),
    )
    assert told(rows, "value", "is_final") == [(82.0, False), (83.0, False), (85.0, True)]
    assert (rows.provisional, rows.quarantined) == (3, [])


def test_a_settlement_before_its_session_or_after_the_expiration_is_quarantined_by_itself():
    known = defined(*(future(102, "HEV5", "2025-10-14 17:00", on=f"2025-10-{day}") for day in (13, 14, 15)))
    rows = parsed(
        known,
        statistic(102, "settlement", 80, of="2025-10-14", on="2025-10-13 23:30", flags=3),
        statistic(102, "settlement", 81, of="2025-10-14", on="2025-10-14 23:00", flags=3),
        statistic(102, "open_interest", 5, of="2025-10-14", on="2025-10-15 11:45"),
        statistic(102, "settlement", 81, of="2025-10-15", on="2025-10-15 23:00", flags=3),
    )
    assert told(rows, "stat", "value") == [("settlement", 81.0), ("open_interest", 5.0)]
    assert rows.quarantined == [
        f"settlement of id 102 for 2025-10-14 at {ns('2025-10-13 23:30')}: received before the day it describes",
        f"settlement of id 102 for 2025-10-15 at {ns('2025-10-15 23:00')}: describes a day after the expiration",
    ]


@pytest.mark.parametrize("version", [1, 2])
def test_an_undefined_quantity_of_an_older_format_is_no_open_interest(version):
    message = dbn.StatMsgV1(
        publisher_id=1, instrument_id=101, ts_event=1, ts_recv=ns("2025-10-02 11:45"), ts_ref=ns("2025-10-01"), price=dbn.UNDEF_PRICE,
        quantity=2**31 - 1, stat_type=dbn.StatType.OPEN_INTEREST, update_action=dbn.StatUpdateAction.NEW, stat_flags=255,
    )  # fmt: skip
    rows = parse_statistics(answer("statistics", message, version=version), contract("2025-10-01"), synthetic=True, degraded=never)
    assert (rows.table.num_rows, len(rows.quarantined), rows.lost) == (0, 1, {})


def test_a_record_without_a_value_never_refuses_a_day():
    rows = parsed(contract("2025-10-01"), *(statistic(101, "volume", None, of="2025-10-01", on=f"2025-10-02 1{i}:00") for i in range(5)))
    assert (len(rows.quarantined), rows.refused) == (5, set())


def test_late_figures_of_an_expired_option_are_its_own_though_its_id_is_listed_again():
    calls = (
        option(7, "HEV5 C8000", "2025-10-14 17:00", on="2025-10-14"),
        option(7, "HEX5 C9000", "2025-11-14 18:00", on="2025-10-15"),
    )
    table = parse_option_definitions(answer("definition", *calls), HE, synthetic=True, degraded=never, place="test").table
    rows = parsed(
        OptionDefinitions(table),
        statistic(7, "open_interest", 5, of="2025-10-14", on="2025-10-15 11:45"),
        statistic(7, "open_interest", 6, of="2025-10-15", on="2025-10-16 11:45"),
        statistic(7, "open_interest", 4, of="2025-10-13", on="2025-10-15 11:46"),  # nothing at hand says which of the two
    )
    assert told(rows, "instrument", "value") == [("HEV5 C8000", 5.0), ("HEX5 C9000", 6.0)]
    assert len(rows.quarantined) == 1


def test_a_definition_that_came_a_day_late_serves_where_the_id_is_one_contract():
    rows = parsed(contract("2025-10-02"), statistic(101, "open_interest", 5, of="2025-10-01", on="2025-10-02 11:45"))
    assert told(rows, "as_of", "instrument", "value") == [("10-01", "HEZ6", 5.0)]


@pytest.mark.parametrize(("bad", "good", "refused"), [(1, 1, False), (2, 2, False), (2, 1, True), (60, 100, False), (101, 100, True)])
def test_a_day_is_refused_where_most_of_what_could_be_rows_is_bad_and_no_other_day_with_it(bad, good, refused):
    row = parsed(contract("2025-10-01"), statistic(101, "volume", 1, of="2025-10-01", on="2025-10-02 11:45")).table
    first, second = dt.date(2025, 10, 1), dt.date(2025, 10, 2)
    whole = Parsed(row.take([0] * good), records=10_000, left_out=9_000, lost={first: ["x"] * bad, second: ["y"]})
    assert whole.refused == ({first} if refused else set())
    if refused:
        assert whole.refusal(whole.refused) == f"{bad} of {bad + good} records of 2025-10-01 are unusable, more than 50%; first: x"
