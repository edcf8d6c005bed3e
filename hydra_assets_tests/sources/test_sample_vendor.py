"""The embedded vendor: the CFTC's layout, real where it says so, the same whenever asked, and nothing before its release."""

import csv
import datetime as dt
import io
import itertools
import zipfile

import pytest
import requests

from hydra_assets.config.load import load_config
from hydra_assets.errors import NotPublishedError
from hydra_assets.sources.cftc import CftcSource
from hydra_assets.sources.cftc_parse import parse_cot
from hydra_assets.sources.sample.cot import cot_archive, synthetic_row
from hydra_assets_tests.conftest import at
from hydra_assets_tests.support.cftc_files import CALENDAR, CONTRACTS, HE, LE, MARKETS, NOW, archive, text_of
from hydra_assets_tests.support.rude_vendor import serving


@pytest.mark.slow
def test_the_real_client_reads_every_market_over_http(tmp_path):
    markets = load_config().markets
    contracts = [market.cftc_code for market in markets.values()]
    with serving(markets=markets, now=NOW) as vendor:
        source = CftcSource(tmp_path, CALENDAR, base_url=vendor.url, now=lambda: NOW)
        got = source.fetch(2025)
        parsed = parse_cot(got.read(), contracts, years=got.years, calendar=CALENDAR, place="2025")
        assert (parsed.table.num_rows, parsed.quarantined) == (13 * 52, [])
        assert sum(not s for s in parsed.table["synthetic"].to_pylist()) == 52
        old = source.fetch(2010)
        assert parse_cot(old.read(), [HE], years=old.years, calendar=CALENDAR, place="history").table.num_rows == 551
        with pytest.raises(NotPublishedError):
            source.fetch(2027)
        assert requests.get(f"{vendor.url}/elsewhere", timeout=5).status_code == 404


def test_the_layout_is_the_cftcs_with_one_more_column():
    header, *rows = csv.reader(io.StringIO(text_of(archive())))
    assert (len(header), header[-1]) == (192, "synthetic")
    assert {len(row) for row in rows} == {192}
    real = [row for row in rows if row[-1] == "0"]
    assert len(real) == 52
    assert {row[3].strip() for row in real} == {HE}
    synthetic = next(row for row in rows if row[-1] == "1")
    assert "SYNTHETIC" in synthetic[0]
    assert "" not in synthetic


def test_a_year_is_the_same_whenever_it_is_asked_for():
    assert archive(2023) == archive(2023)
    assert synthetic_row(LE, "Live Cattle", dt.date(2023, 5, 2)) == synthetic_row(LE, "Live Cattle", dt.date(2023, 5, 2))


def test_changes_are_the_differences_of_the_rows_and_years_join_without_a_jump():
    days = CALENDAR.report_dates(dt.date(2022, 11, 1), dt.date(2023, 3, 1))
    rows = [synthetic_row(LE, "Live Cattle", day) for day in days]
    totals = [int(row["Open_Interest_All"]) for row in rows]
    assert [int(row["Change_in_Open_Interest_All"]) for row in rows[1:]] == [b - a for a, b in itertools.pairwise(totals)]
    assert max(abs(b - a) / a for a, b in itertools.pairwise(totals)) < 0.1


def test_a_report_is_served_once_it_is_out_and_not_before():
    release = at("2025-11-19 20:30")

    def newest(now):
        made = cot_archive(range(2025, 2026), CONTRACTS, CALENDAR, now)
        table = parse_cot(made.body, [HE], years=range(2025, 2026), calendar=CALENDAR, place="2025").table
        return max(table["as_of"].to_pylist()).date().isoformat(), made.last_modified

    assert newest(release - dt.timedelta(microseconds=1)) == ("2025-09-23", at("2025-09-26 19:30"))
    assert newest(release) == ("2025-09-30", release)
    assert cot_archive(range(2027, 2028), CONTRACTS, CALENDAR, NOW) is None


def test_the_server_answers_conditional_requests_and_says_that_it_is_synthetic():
    with serving(markets=MARKETS, now=NOW) as vendor:
        url = f"{vendor.url}/files/dea/history/fut_disagg_txt_2024.zip"
        first = requests.get(url, timeout=10)
        assert "synthetic" in first.headers["X-Data"]
        with zipfile.ZipFile(io.BytesIO(first.content)) as opened:
            assert opened.namelist() == ["f_year.txt"]
        again = requests.get(url, headers={"If-Modified-Since": first.headers["Last-Modified"]}, timeout=10)
        assert (again.status_code, again.content) == (304, b"")
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=1)


def test_it_listens_on_loopback_alone():
    with serving(markets=MARKETS, now=None) as vendor:
        assert vendor.url.startswith("http://127.0.0.1:")
