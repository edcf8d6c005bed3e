"""The USDA's reports: the embedded vendor's real and synthetic days, every fault of a server, and each bad row by itself."""

import datetime as dt
import json

import pytest

from hydra_assets.config.load import load_config, load_release_calendar
from hydra_assets.core.hog_reports import published_at, report_date_of
from hydra_assets.core.tables.cash import PURCHASE_TYPES
from hydra_assets.errors import CorruptionError, VendorContentError, VendorRefusedError, VendorUnavailableError
from hydra_assets.flow.feeds.sample import served
from hydra_assets.sources import http
from hydra_assets.sources.sample.server import SampleVendor
from hydra_assets.sources.sample.side import Served
from hydra_assets.sources.sample.usda import FakeUsda
from hydra_assets.sources.usda import UsdaSettings, UsdaSource, results_of
from hydra_assets.sources.usda_parse import parse_hogs
from hydra_assets_tests.conftest import at
from hydra_assets_tests.sources.test_cftc_source import drips, sends, vendor

D = dt.date
OPEN = load_release_calendar().is_business_day
ROW = {
    "for_date_begin": "02/01/2019",
    "report_date": "02/04/2019",
    "purchase_type": "Prod. Sold Negotiated",
    "head_count": "12,771",
    "avg_net_price": "53.26",
    "avg_carcass_weight": "205.41",
}


def body(*rows, **more):
    return json.dumps({"results": list(rows), "message": None, **more}).encode()


def parsed(*rows):
    return parse_hogs(rows, OPEN, "USDA")


def source(tmp_path, url, now="2026-06-01", **more):
    limits = {"connect_timeout_s": 2.0, "read_timeout_s": 2.0, "deadline_s": 5.0, "max_answer_mb": 1.0, "max_range_days": 160}
    settings = UsdaSettings(**{**limits, "base_url": url, "max_attempts": 3, "user_agent": "test", **more})
    return UsdaSource(tmp_path / "archives", settings, now=lambda: at(now))


@pytest.fixture(autouse=True)
def no_waits(monkeypatch):
    monkeypatch.setattr(http, "FIRST_WAIT_S", 0.0)


# ---------------------------------------------------------------- when a report is out


@pytest.mark.parametrize(
    ("day", "dated", "out"),
    [
        (D(2019, 1, 31), D(2019, 2, 1), "2019-02-01 17:00"),
        (D(2019, 2, 1), D(2019, 2, 4), "2019-02-04 17:00"),  # Friday's report on Monday
        (D(2019, 2, 15), D(2019, 2, 18), "2019-02-19 17:00"),  # dated on Presidents' Day, out on the next federal business day
        (D(2019, 2, 18), D(2019, 2, 19), "2019-02-19 17:00"),
        (D(2019, 7, 3), D(2019, 7, 4), "2019-07-05 16:00"),  # summer time
        (D(2013, 10, 3), D(2013, 10, 4), "2013-10-31 16:00"),  # the data mart was dark
    ],
)
def test_a_report_is_out_in_the_morning_of_the_next_federal_business_day(day, dated, out):
    assert report_date_of(day) == dated
    assert published_at(dated, OPEN) == at(out)


# ---------------------------------------------------------------- rows


def test_a_row_is_read_with_its_commas_nulls_and_missing_keys():
    (row,) = parsed({**ROW, "base_price": "null", "lowest_net_price": None, "avg_lean_percent": ""}).table.to_pylist()
    assert (row["head_count"], row["avg_net_price"], row["avg_carcass_weight"]) == (12771, 53.26, 205.41)
    assert {row[name] for name in ("base_price", "lowest_net_price", "highest_net_price", "avg_lean_percent")} == {None}
    assert (row["as_of"], row["report_date"]) == (at("2019-02-01"), at("2019-02-04"))
    assert (row["available_at"], row["quality"], row["synthetic"]) == (at("2019-02-04 17:00"), "partial", False)
    (dashed,) = parsed({**ROW, "for_date_begin": "02-01-2019", "report_date": "2019-02-04"}).table.to_pylist()
    assert dashed == row


@pytest.mark.parametrize(
    ("stamp", "known", "quality"),
    [
        ("02/04/2019 10:07:31", "2019-02-04 16:07:31", "normal"),
        ("02-04-2019 10:07 AM", "2019-02-04 16:07", "normal"),
        ("02/06/2019 09:00:00", "2019-02-06 15:00", "normal"),  # published late, or again
        ("02/04/2019", "2019-02-04 17:00", "partial"),  # no time of day
        ("02/01/2019 10:00:00", "2019-02-04 17:00", "partial"),  # before the report's own date
        ("soon", "2019-02-04 17:00", "partial"),
    ],
)
def test_the_vendors_stamp_counts_where_there_is_one_and_else_the_rule(stamp, known, quality):
    (row,) = parsed({**ROW, "published_date": stamp}).table.to_pylist()
    assert (row["available_at"], row["quality"]) == (at(known), quality)


BAD = {
    "purchase_type": ({"purchase_type": "Prod. Bought"}, "none of the report's"),
    "date": ({"for_date_begin": "02/31/2019"}, "is no date"),
    "no date": ({"for_date_begin": None}, "is no date"),
    "weekend": ({"for_date_begin": "02/02/2019"}, "is no weekday"),
    "before itself": ({"report_date": "02/01/2019"}, "does not follow"),
    "long after": ({"report_date": "03/01/2019"}, "does not follow"),
    "price": ({"avg_net_price": "53,26x"}, "is no number"),
    "infinite": ({"avg_net_price": "inf"}, "is no number"),
    "negative": ({"avg_net_price": "-1.0"}, "is -1.0"),
    "weight": ({"avg_carcass_weight": "0"}, "is 0.0"),
    "lost point": ({"avg_net_price": "5326"}, "is 5326.0, outside 5 to 400"),
    "lost digits": ({"avg_carcass_weight": "2.05"}, "outside 50 to 600"),
    "lean": ({"avg_lean_percent": "555"}, "outside 1 to 100"),
    "below the lowest": ({"lowest_net_price": "54.00", "highest_net_price": "60.00"}, "not between the lowest, 54.0, and the highest"),
    "above the highest": ({"highest_net_price": "50.00"}, "not between"),
    "all hogs": ({"head_count": "12,771,000"}, "head_count"),
    "head": ({"head_count": "1.5"}, "head_count"),
    "no hogs": ({"head_count": "-3"}, "head_count"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_costs_itself_alone(name):
    change, reason = BAD[name]
    answer = parsed({**ROW, **change}, {**ROW, "purchase_type": PURCHASE_TYPES[1]}, "no row")
    assert answer.table["purchase_type"].to_pylist() == [PURCHASE_TYPES[1]]
    assert len(answer.quarantined) == 2
    assert reason in answer.quarantined[0]
    assert answer.quarantined[0].startswith("USDA row 1: ")


def test_rows_of_one_key_agree_or_are_set_aside_unless_their_stamps_say_which_is_newer():
    same = parsed(ROW, ROW)
    assert (same.table.num_rows, same.duplicates, same.quarantined) == (1, 1, [])
    other = parsed(ROW, {**ROW, "avg_net_price": "54.00"}, {**ROW, "purchase_type": PURCHASE_TYPES[1]})
    assert other.table["purchase_type"].to_pylist() == [PURCHASE_TYPES[1]]
    assert "contradicts another row" in other.quarantined[0]
    first, second = ({**ROW, "avg_net_price": price, "published_date": stamp} for price, stamp in (("53.26", EARLY), ("54.00", LATE)))
    for given in ((first, second), (second, first)):
        newest = parsed(*given)
        assert (newest.table["avg_net_price"].to_pylist(), newest.quarantined) == ([54.0], [])


EARLY, LATE = "02/04/2019 10:00:00", "02/05/2019 10:00:00"


# ---------------------------------------------------------------- the embedded vendor


def test_the_embedded_vendor_serves_the_real_days_of_february_2019_and_marks_the_others(tmp_path):
    with SampleVendor([FakeUsda(served(load_config()))]) as running:
        answer = source(tmp_path, running.url).fetch("LM_HG201", D(2019, 1, 28), D(2019, 2, 25))
    table = parsed(*results_of(answer.read(), "USDA")).table
    real = {row["as_of"].date() for row in table.to_pylist() if not row["synthetic"]}
    assert (min(real), max(real), len(real)) == (D(2019, 1, 31), D(2019, 2, 20), 15)
    made = {row["as_of"].date() for row in table.to_pylist() if row["synthetic"]}
    assert made == {D(2019, 1, day) for day in (25, 28, 29, 30)} | {D(2019, 2, day) for day in (21, 22)}
    assert table.num_rows == 8 * 21


def test_the_embedded_vendor_serves_nothing_before_it_is_out_and_the_same_again(tmp_path):
    def rows(now):
        facts = served(load_config())
        side = FakeUsda(Served(facts.markets, facts.releases, now=lambda: at(now)))
        with SampleVendor([side]) as running:
            answer = source(tmp_path / now[:13], running.url).fetch("LM_HG201", D(2025, 11, 1), D(2025, 12, 1))
        return results_of(answer.read(), "USDA")

    before, after = rows("2025-11-12 16:59"), rows("2025-11-12 17:00")
    assert {row["for_date_begin"] for row in after} - {row["for_date_begin"] for row in before} == {"11/10/2025", "11/11/2025"}
    assert after[: len(before)] == before
    assert {row["synthetic"] for row in after} == {"1"}
    assert all(row["published_date"] for row in after)
    days = {row["for_date_begin"] for row in rows("2026-01-01")}
    assert "11/27/2025" not in days  # Thanksgiving


# ---------------------------------------------------------------- requests


def test_one_request_asks_for_the_dates_and_is_kept_by_its_hash_with_a_line_in_the_ledger(tmp_path):
    with vendor(sends(body=body(ROW))) as (url, asked):
        usda = source(tmp_path, url)
        answer = usda.fetch("LM_HG201", D(2019, 2, 1), D(2019, 2, 28))
        again = usda.fetch("LM_HG201", D(2019, 2, 4), D(2019, 2, 20))
    assert asked == ["/services/v1.1/reports/2511/Barrows%2FGilts?q=report_date=02/01/2019:02/28/2019"]
    assert again == answer, "months later nothing is corrected any more: the archive answers"
    assert answer.path.name == f"{answer.sha256}.json"
    (line,) = (tmp_path / "archives/usda/ledger.jsonl").read_text().splitlines()
    assert json.loads(line) | {"rows": 1, "first": "2019-02-01", "last": "2019-02-28"} == json.loads(line)
    answer.path.write_bytes(b"{}")
    with pytest.raises(CorruptionError, match="delete it"):
        answer.read()


def test_recent_dates_are_asked_for_again_and_half_a_line_of_the_ledger_is_no_answer(tmp_path):
    with vendor(sends(body=body(ROW))) as (url, asked):
        usda = source(tmp_path, url, now="2019-04-20")
        usda.fetch("LM_HG201", D(2019, 2, 1), D(2019, 2, 28))
        usda.fetch("LM_HG201", D(2019, 2, 1), D(2019, 2, 28))
        assert len(asked) == 2
        with (tmp_path / "archives/usda/ledger.jsonl").open("a") as ledger:
            ledger.write('{"report": "LM_HG201", "fir\n{"report": LM_HG201}\n{"report": "LM_HG201", "fir')
        assert usda.held("LM_HG201", D(2019, 2, 1), D(2019, 2, 28)) is None


def test_transient_faults_are_tried_again_and_others_are_not(tmp_path):
    answers = [sends(503, b""), sends(200, body(ROW), length=10_000), sends(body=body(ROW))]
    with vendor(lambda handler: answers.pop(0)(handler)) as (url, asked):
        assert source(tmp_path, url).fetch("LM_HG201", D(2019, 2, 1), D(2019, 2, 28)).rows == 1
    assert len(asked) == 3
    for status, kind, requests in ((503, VendorUnavailableError, 3), (403, VendorRefusedError, 1), (302, VendorRefusedError, 1)):
        with vendor(sends(status, b"", Location="http://elsewhere/")) as (url, asked), pytest.raises(kind, match=f"HTTP {status}"):
            source(tmp_path, url).fetch("LM_HG201", D(2019, 3, 1), D(2019, 3, 28))
        assert len(asked) == requests
    with vendor(sends(503, b"")) as (url, asked), pytest.raises(VendorUnavailableError):
        source(tmp_path, url).fetch("LM_HG201", D(2019, 3, 1), D(2019, 3, 28), once=True)
    assert len(asked) == 1


def test_an_answer_that_broke_off_is_asked_for_again_at_once_also_where_a_step_tries_once(tmp_path):
    answers = [sends(200, body(ROW), length=10_000), sends(body=body(ROW))]
    with vendor(lambda handler: answers.pop(0)(handler)) as (url, _):
        assert source(tmp_path, url).fetch("LM_HG201", D(2019, 2, 1), D(2019, 2, 28), once=True).rows == 1
    with vendor(sends(200, body(ROW), length=10_000)) as (url, asked), pytest.raises(VendorUnavailableError, match="broke off"):
        source(tmp_path, url).fetch("LM_HG201", D(2019, 3, 1), D(2019, 3, 28), once=True)
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"<html>maintenance</html>", "is not JSON"),
        (b"[]", "no list of results"),
        (b'{"message": "Invalid filter"}', "it says 'Invalid filter'"),
        (body(ROW, stats={"totalRows:": 3, "returnedRows:": 1}), "1 of 3 rows"),
        (b'{"results": [' + b'"x",' * 300_000 + b'"x"]}', "more than the 1,048,576 bytes"),
    ],
)
def test_what_is_no_whole_answer_is_refused_and_not_kept(tmp_path, answer, reason):
    with vendor(sends(body=answer)) as (url, _), pytest.raises(VendorContentError, match=reason):
        source(tmp_path, url).fetch("LM_HG201", D(2019, 2, 1), D(2019, 2, 28))
    assert not list((tmp_path / "archives").rglob("*.json*"))


def test_a_body_that_drips_ends_at_the_deadline(tmp_path):
    with vendor(drips) as (url, _), pytest.raises(VendorUnavailableError, match="not whole within 1 s"):
        source(tmp_path, url, deadline_s=1.0).fetch("LM_HG201", D(2019, 2, 1), D(2019, 2, 28), once=True)


def test_a_range_is_bounded_and_a_report_must_be_known(tmp_path):
    with pytest.raises(VendorRefusedError, match="max_range_days, which is 160"):
        source(tmp_path, "http://127.0.0.1:9").fetch("LM_HG201", D(2019, 1, 1), D(2019, 12, 31))
    with pytest.raises(VendorRefusedError, match="no such report is known"):
        source(tmp_path, "http://127.0.0.1:9").fetch("LM_CT150", D(2019, 1, 1), D(2019, 1, 31))
