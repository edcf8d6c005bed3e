"""Definitions and bars as the vendor really sends them: sentinels, doubles, blanks, other units, days that are no session."""

import datetime as dt

import databento_dbn as dbn
import pytest

from hydra_assets.config.load import load_config
from hydra_assets.core.calendar import GRAINS, LIVESTOCK
from hydra_assets.errors import VendorContentError
from hydra_assets.sources.databento_join import Definitions
from hydra_assets.sources.databento_options import parse_option_definitions
from hydra_assets.sources.databento_parse import parse_bars, parse_definitions
from hydra_assets_tests.support.dbn_records import answer, future, never, ns, option

HE = load_config().market("HE")
DAY = "2025-12-01"


def futures(*messages):
    return parse_definitions(answer("definition", *messages), HE, synthetic=True, degraded=never, place="test")


def options(*messages, **more):
    return parse_option_definitions(answer("definition", *messages), HE, synthetic=True, degraded=never, place="test", **more)


def test_a_contract_without_an_expiration_is_quarantined():
    parsed = futures(future(101, "HEZ5", "2025-12-12 18:00", on=DAY), future(102, "HEG6", None, on=DAY))
    assert parsed.table["instrument"].to_pylist() == ["HEZ5"]
    assert parsed.quarantined == ["HEG6 (id 102): no expiration"]


def test_of_two_definitions_of_one_instant_the_later_in_the_answer_stands():
    limits = [future(101, "HEZ5", "2025-12-12 18:00", on=DAY, high_limit_price=high * 10**9) for high in (90, 95)]
    parsed = futures(*limits, future(101, "HEZ5", "2025-12-12 18:00", on=f"{DAY} 15:00", high_limit_price=97 * 10**9))
    assert parsed.table["high_limit"].to_pylist() == [95.0, 97.0]
    assert parsed.repeated == 1


def test_a_contract_spelt_with_two_digits_of_its_year_is_an_outright():
    assert Definitions.wanted("HEZ25")
    assert Definitions.wanted("HEZ5")
    assert not Definitions.wanted("HEZ25-HEG26")
    assert futures(future(101, "HEZ25", "2025-12-12 18:00", on=DAY)).table["instrument"].to_pylist() == ["HEZ25"]


def test_a_blank_underlying_is_the_one_future_that_expires_in_the_options_month():
    known = futures(
        future(101, "HEZ5", "2025-12-12 18:00", on=DAY),
        future(102, "HEG6", "2026-02-13 18:00", on=DAY),
        future(103, "HEG7", "2026-02-26 18:00", on=DAY),
    ).table
    parsed = options(
        option(1, "HEZ5 C8200", "2025-12-12 18:00", on=DAY),
        option(2, "HEZ5 C8300", "2025-12-12 18:00", on=DAY, underlying=("", 0)),
        option(3, "HEX5 C8300", "2025-11-28 18:00", on=DAY, underlying=("", 0)),  # none in November
        option(4, "HEG6 C8300", "2026-02-13 18:00", on=DAY, underlying=("", 0)),  # two in February
        option(5, "HEG6 C8400", "2026-02-13 18:00", on=DAY, underlying=("HEG6", 0)),
        option(6, "HEG6 C8500", "2026-02-13 18:00", on=DAY, underlying=("", 103)),
        option(7, "HEZ5 C8400", "2025-12-12 18:00", on="2025-12-20", underlying=("", 0)),  # nothing defined in the week before
        futures=known,
    )
    rows = [(row["instrument_id"], row["underlying"], row["underlying_id"], row["quality"]) for row in _plain(parsed.table)]
    assert rows == [
        (1, "HEZ5", 101, "normal"),
        (2, "HEZ5", 101, "partial"),
        (5, "HEG6", 102, "partial"),
        (6, "HEG7", 103, "partial"),
    ]
    assert parsed.quarantined == [f"{name}: no underlying" for name in ("HEX5 C8300 (id 3)", "HEG6 C8300 (id 4)", "HEZ5 C8400 (id 7)")]


@pytest.mark.parametrize(("of", "refused"), [(20, False), (19, True)])
def test_a_tick_of_another_unit_is_quarantined_and_above_one_in_twenty_refuses_the_answer(of, refused):
    messages = [option(i, f"HEZ5 C{8000 + i}", "2025-12-12 18:00", on=DAY) for i in range(1, of)]
    messages.append(option(of, "HEZ5 C9900", "2025-12-12 18:00", on=DAY, min_price_increment=250_000))
    if refused:
        with pytest.raises(VendorContentError, match=r"HEZ5 C9900 moves by 0.00025; HE is configured with ticks of 0.025"):
            options(*messages)
        return
    assert options(*messages).quarantined == [f"HEZ5 C9900 (id {of}): a tick of another unit than HE's 0.025"]


def test_strikes_far_from_the_settlement_are_in_another_unit():
    message = option(1, "HEZ5 C8200", "2025-12-12 18:00", on=DAY, strike=82.0)
    for settlement in (None, 80.0, 30.0, 200.0):
        assert options(message, settlement=settlement).table.num_rows == 1
    for settlement in (0.8, 8_000.0):
        with pytest.raises(VendorContentError, match="the strikes lie around 82, HE settles around"):
            options(message, settlement=settlement)


@pytest.mark.parametrize(
    ("calendar", "day", "quality"),
    [
        (LIVESTOCK, "2014-10-24", "partial"),
        (LIVESTOCK, "2014-10-27", "normal"),
        (GRAINS, "2013-04-05", "partial"),
        (GRAINS, "2013-04-08", "normal"),
        (GRAINS, "2011-06-26", "partial"),  # a Sunday
        (GRAINS, "2014-06-22", "partial"),  # a Sunday after the change
    ],
)
def test_a_bar_that_is_no_whole_session_is_partial(calendar, day, quality):
    known = Definitions(futures(future(101, "HEZ6", "2026-12-14 18:00", on=day)).table)
    price = dict.fromkeys(("open", "high", "low", "close"), 80 * 10**9)
    bar = dbn.OHLCVMsg(rtype=35, publisher_id=1, instrument_id=101, ts_event=ns(day), volume=7, **price)
    for bad, told in ((False, quality), (True, "degraded")):
        rows = parse_bars(answer("ohlcv-1d", bar), known, synthetic=True, degraded=lambda _, bad=bad: bad, calendar=calendar).table
        assert (rows["quality"].to_pylist(), rows["as_of"].to_pylist()[0].date()) == ([told], dt.date.fromisoformat(day))


def _plain(table):
    return table.drop_columns(["stamped_at"]).to_pylist()
