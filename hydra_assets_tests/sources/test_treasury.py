"""The Treasury's yearly files: fetched with every fault of a server, kept by hash, read by column name, bad rows apart."""

import datetime as dt
import time

import pytest

from hydra_assets.config.load import load_config
from hydra_assets.core.treasury import has_no_curve, published_at
from hydra_assets.errors import (
    CorruptionError,
    NotPublishedError,
    VendorContentError,
    VendorRefusedError,
    VendorUnavailableError,
)
from hydra_assets.flow.feeds.sample import served
from hydra_assets.sources.sample.server import SampleVendor
from hydra_assets.sources.sample.treasury import REAL, FakeTreasury, year_file
from hydra_assets.sources.treasury import TreasurySource
from hydra_assets.sources.treasury_parse import parse_rates
from hydra_assets_tests.conftest import at
from hydra_assets_tests.sources.test_cftc_source import drips, sends, vendor

NOW = at("2026-10-03 12:00")
# The Treasury's own lines.
HEADER = 'Date,"1 Mo","1.5 Month","2 Mo","3 Mo","4 Mo","6 Mo","1 Yr","2 Yr","3 Yr","5 Yr","7 Yr","10 Yr","20 Yr","30 Yr"'
NEWEST = "10/02/2026,4.04,4.09,4.11,4.19,4.26,4.27,4.46,4.83,4.96,5.06,5.17,5.28,5.67,5.63"
BEFORE = "10/01/2026,4.06,4.10,4.13,4.17,4.26,4.27,4.44,4.78,4.91,5.01,5.12,5.24,5.64,5.61"
GOOD = "\r\n".join([HEADER, NEWEST, BEFORE, ""]).encode()


def server(body=GOOD, **answer):
    return vendor(sends(body=body, **answer))


def source(tmp_path, url, **settings):
    return TreasurySource(tmp_path, base_url=url, **{"now": lambda: NOW, **settings})


def test_a_year_is_one_request_for_the_treasurys_own_address_and_its_bytes_are_kept(tmp_path):
    with server() as (url, asked):
        vendor = source(tmp_path, url)
        assert vendor.fetch_once(2026).read() == GOOD
        vendor.fetch_once(2026)
    path = "/resource-center/data-chart-center/interest-rates/daily-treasury-rates.csv/2026/all"
    assert asked == [f"{path}?type=daily_treasury_yield_curve&field_tdr_date_value=2026&page&_format=csv"] * 2
    assert len(list((tmp_path / "treasury").glob("*.csv"))) == 1
    assert len((tmp_path / "treasury" / "ledger.jsonl").read_text().splitlines()) == 2


def test_a_closed_year_is_read_from_disk_and_an_altered_copy_is_refused(tmp_path):
    with server() as (url, asked):
        vendor = source(tmp_path, url)
        vendor.fetch_once(2025)
        assert vendor.fetch_once(2025).read() == GOOD
        assert len(asked) == 1
        vendor.held(2025).path.write_bytes(b"Date,\n")
        with pytest.raises(CorruptionError, match="delete it to fetch it again"):
            vendor.fetch_once(2025)


def test_a_year_is_closed_sixty_days_after_it_ends_and_an_altered_copy_is_replaced_by_the_next_look(tmp_path):
    with server() as (url, asked):
        source(tmp_path, url, now=lambda: at("2026-03-01 12:00")).fetch_once(2025)
        later = source(tmp_path, url, now=lambda: at("2026-03-02 12:00"))
        later.held(2025).path.write_bytes(b"Date,\n")
        assert later.fetch_once(2025).read() == GOOD
        assert len(asked) == 2
        later.fetch_once(2025)
        assert len(asked) == 2


def test_a_byte_order_mark_is_no_page_and_no_year_before_the_first_is_asked_for(tmp_path):
    with server(body=b"\xef\xbb\xbf" + GOOD) as (url, asked):
        assert source(tmp_path, url).fetch_once(2026).read().endswith(GOOD)
        with pytest.raises(VendorRefusedError, match="begins in 1990"):
            source(tmp_path, url).fetch_once(1989)
        assert len(asked) == 1


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        ({"status": 503}, VendorUnavailableError, "HTTP 503"),
        ({"status": 429, "Retry_After": "7"}, VendorUnavailableError, "HTTP 429"),
        ({"status": 403}, VendorRefusedError, "set treasury.user_agent"),
        ({"status": 302, "Location": "https://elsewhere.example/"}, VendorRefusedError, "set treasury.base_url"),
        ({"status": 404}, NotPublishedError, "not published it yet"),
        ({"body": b"<!DOCTYPE html><html>"}, VendorContentError, "no table of yields but 21 bytes that begin '<!DOCTYPE html>"),
        ({"length": len(GOOD) + 100}, VendorUnavailableError, "broke off after"),
        ({"body": GOOD * 20_000}, VendorContentError, "treasury.max_file_mb"),
    ],
)
def test_every_fault_has_its_error_and_nothing_is_kept(tmp_path, answer, error, message):
    with server(**answer) as (url, _), pytest.raises(error, match=message):
        source(tmp_path, url, max_file_mb=1).fetch_once(2026)
    assert not (tmp_path / "treasury").exists()


def test_a_past_year_that_is_absent_is_refused_and_a_slow_answer_ends(tmp_path):
    with server(status=404) as (url, _), pytest.raises(VendorRefusedError, match="HTTP 404"):
        source(tmp_path, url).fetch_once(2025)
    with server(body=GOOD * 2000) as (url, _), pytest.raises(VendorUnavailableError, match="not finished after 0 s"):
        source(tmp_path, url, deadline_s=0.0).fetch_once(2026)
    with pytest.raises(VendorUnavailableError, match="ConnectionError"):
        source(tmp_path, "http://127.0.0.1:9").fetch_once(2026)


def test_a_file_that_broke_off_is_asked_for_again_at_once(tmp_path):
    answers = [sends(body=GOOD, length=100_000), sends(body=GOOD)]
    with vendor(lambda handler: answers.pop(0)(handler)) as (url, _):
        assert source(tmp_path, url).fetch_once(2026).read() == GOOD
    with vendor(sends(body=GOOD, length=100_000)) as (url, asked), pytest.raises(VendorUnavailableError, match="broke off after"):
        source(tmp_path / "other", url).fetch_once(2026)
    assert len(asked) == 2


def test_a_body_that_drips_ends_at_the_deadline(tmp_path):
    begun = time.monotonic()
    with vendor(drips) as (url, _), pytest.raises(VendorUnavailableError, match="not finished after 1 s"):
        source(tmp_path, url, deadline_s=1.0).fetch_once(2026)
    assert time.monotonic() - begun < 5
    assert not (tmp_path / "treasury").exists()


def test_columns_are_found_by_name_and_tenors_that_are_absent_or_empty_are_null():
    old = b'\xef\xbb\xbf"Date","10 Yr","1 Mo","3 Mo","40 Yr"\n01/04/2010,3.85,0.05,,9\n01/05/2010,N/A,0.03,0.07,9\n'
    got = parse_rates(old, year=2010, place="x")
    rows = got.table.to_pylist()
    assert [(row["par_1m"], row["par_3m"], row["par_10y"], row["par_2m"]) for row in rows] == [
        (0.05, None, 3.85, None),
        (0.03, 0.07, None, None),
    ]
    assert got.unknown_columns == ("40 Yr",)
    assert got.quarantined == ()


def test_a_row_is_known_at_six_in_new_york_by_rule_and_is_partial():
    first, second = parse_rates(GOOD, year=2026, place="x").table.to_pylist()
    assert (first["as_of"], first["available_at"], first["par_1m5"]) == (at("2026-10-01"), at("2026-10-01 22:00"), 4.10)
    assert second["available_at"] == at("2026-10-02 22:00")
    assert published_at(dt.date(2026, 1, 2)) == at("2026-01-02 23:00")
    assert {first["quality"], second["quality"]} == {"partial"}
    assert not first["synthetic"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("2026-10-01,4", "is no date MM/DD/YYYY"),
        ("10/01/2025,4", "a day of 2025 in the file of 2026"),
        ("10/03/2026,4", "a day of the weekend"),
        ("10/01/2026,four", "'four' is no number"),
        ("10/01/2026,nan", "lies outside -5 to 30"),
        ("10/01/2026,404", "lies outside -5 to 30"),
        ("10/01/2026,", "not one yield"),
        ("10/01/2026", "1 cells under a header of 2"),
        ("10/02/2026,4.5", "another curve of this day stands above"),
    ],
)
def test_a_bad_row_costs_itself_alone(line, reason):
    body = f'Date,"1 Mo"\n10/02/2026,4.04\n{line}\n09/30/2026,4.05\n'.encode()
    got = parse_rates(body, year=2026, place="x")
    assert [row["par_1m"] for row in got.table.to_pylist()] == [4.05, 4.04]
    (bad,) = got.quarantined
    assert reason in str(bad)
    assert "line 3" in str(bad)


@pytest.mark.parametrize("body", [b"", b"Date\n", b'"1 Mo"\n', b'Date,"1 Mo","1 Mo"\n', b'Date,"1 Mo"\n"unfinished', b"\xff\xfe"])
def test_a_file_without_a_date_or_tenor_is_refused(body):
    with pytest.raises(VendorContentError, match="x: "):
        parse_rates(body, year=2026, place="x")


def test_the_bond_market_has_two_holidays_of_its_own():
    closed = [dt.date(2024, 10, 14), dt.date(2024, 11, 11), dt.date(2018, 11, 12), dt.date(2012, 10, 30)]
    assert all(has_no_curve(day) for day in closed)
    assert not any(has_no_curve(day) for day in (dt.date(2024, 10, 7), dt.date(2023, 11, 10), dt.date(2018, 11, 13), dt.date(2024, 7, 5)))


def test_the_embedded_treasury_serves_real_days_and_marks_the_others(tmp_path):
    facts = served(load_config())
    with SampleVendor([FakeTreasury(facts)]) as vendor:
        got = parse_rates(TreasurySource(tmp_path, base_url=vendor.url).fetch_once(2026).read(), year=2026, place="x")
        with pytest.raises(VendorContentError, match="no table of yields"):
            TreasurySource(tmp_path, base_url=f"{vendor.url}/resource-center").fetch_once(2026)
    rows = {row["as_of"].date(): row for row in got.table.to_pylist()}
    assert {day for day, row in rows.items() if not row["synthetic"]} == {day for day in REAL if day.year == 2026}
    assert rows[dt.date(2026, 10, 2)]["par_30y"] == 5.63
    assert got.quarantined == ()
    early = parse_rates(year_file(2025, at("2025-03-04 22:59")), year=2025, place="x").table
    assert early["as_of"].to_pylist()[-1] == at("2025-03-03")  # of the 4th nothing is out before six in New York
    assert set(early["par_1m5"].slice(0, 30).to_pylist()) == {None}  # a tenor of later in the year
