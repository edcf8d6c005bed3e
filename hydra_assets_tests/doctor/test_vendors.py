"""`hydra-assets doctor --live` at the embedded vendor: nothing to say of a polite one, and each rude behaviour is on the page."""

import dataclasses
import datetime as dt
import io
import json
import shutil
import threading
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console
from typer.testing import CliRunner

from hydra_assets.cli import doctor as cli_doctor
from hydra_assets.cli import doctor_page, tables
from hydra_assets.cli.main import app
from hydra_assets.config.home import Home
from hydra_assets.config.load import load_config
from hydra_assets.core.market import OptionRoot
from hydra_assets.doctor import vendors
from hydra_assets.doctor.vendor_answers import SLOW_S, read_speed
from hydra_assets.doctor.vendors import Probe, examine_vendors
from hydra_assets.doctor.vendors_free import read_cftc
from hydra_assets.errors import ConfigError
from hydra_assets.flow.feeds.databento import DATABENTO
from hydra_assets.sources import quarantine
from hydra_assets.sources.ledger import Ledger
from hydra_assets.sources.sample.databento import SAMPLE_KEY
from hydra_assets_tests.support.rude_vendor import NOW, addresses, serving

D = dt.date


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Vendors for the whole module, each set of behaviours once; the polite months are encoded once for all of them."""
    cache = tmp_path_factory.mktemp("vendor")
    with ExitStack() as running:
        made = {}

        def start(*names, **sizes):
            asked = (names, tuple(sorted(sizes.items())))
            if asked not in made:
                made[asked] = running.enter_context(serving(*names, cache=cache, **sizes))
            return made[asked]

        yield start


def settings(url, **databento):
    """The shipped settings, with all vendors at *url* and quick to give up."""
    config = load_config()
    quick = {"read_timeout_s": 20.0, "deadline_s": 20.0, "max_attempts": 1, **databento}
    blocks = {name: {**block, **addresses(url)[name]} for name, block in config.vendors.items()}
    return dataclasses.replace(config, vendors={**blocks, "databento": {**blocks["databento"], **quick}})


@pytest.fixture
def look(tmp_path):
    """The page of a look at a vendor, from a live home of this test."""

    def look(vendor, *, spend=0.5, day=None, keep=False, key=SAMPLE_KEY, market=None, now=NOW, **databento):
        config = settings(vendor.url, **databento)
        ask = Probe(market or config.market("HE"), day, spend, keep)
        return examine_vendors(Home("live", tmp_path / "desk"), config, ask, key=key, now=now)

    return look


def found(page, text):
    """The readings whose message or remedy holds *text*."""
    return [reading for reading in page.readings if text in reading.message or text in reading.remedy]


def not_ok(page):
    return [(reading.name, reading.message, reading.remedy) for reading in page.readings if reading.verdict != "ok"]


# ---------------------------------------------------------------- a polite vendor


def test_a_polite_vendor_is_well_in_every_line_and_the_day_is_paid_once(start, look, tmp_path):
    vendor = start()
    page = look(vendor)
    assert not_ok(page) == []
    assert {reading.name for reading in page.readings} == {
        "archive", "LM_HG201", "par yields",
        "key", "range", "last week", "counts", "one day", "price scale", "final flags", "strikes", "money",
        *(table.name for table in DATABENTO.tables),
    }  # fmt: skip
    assert all(each.rows.num_rows > 5 for each in page.chosen.tables)
    home = Home("live", tmp_path / "desk")
    with Ledger(home.ledger) as ledger:
        (rows, spent) = (ledger.requests(), ledger.spent())
        assert all(ledger.captured(table.name, "HE") == {} for table in DATABENTO.tables)
    assert len(rows) == 6
    assert {row["state"] for row in rows} == {"kept"}
    assert spent == pytest.approx(page.chosen.usd) != 0
    assert not home.lake.exists()
    again = look(vendor)
    assert not_ok(again) == []
    assert [reading.message for reading in found(again, "in the archive")] == ["$0 in the ledger: all of the day was in the archive"]
    with Ledger(home.ledger) as ledger:
        assert len(ledger.requests()) == 6


def test_a_free_look_asks_for_nothing_that_costs_and_leaves_the_home_alone(start, look, tmp_path):
    page = look(start(), spend=0.0)
    assert not_ok(page) == []
    assert {reading.section for reading in page.readings} == {"The CFTC", "The USDA", "The US Treasury", "Databento, free of charge"}
    assert page.chosen.usd > 0
    assert all(each.payload is None for each in page.chosen.tables)
    assert not (tmp_path / "desk").exists()


def test_a_day_dearer_than_allowed_is_not_asked_for(start, look, tmp_path):
    page = look(start(), spend=0.0001)
    (refused,) = [reading for reading in page.readings if reading.verdict == "wrong"]
    assert "--spend allows $0.0001; nothing was requested" in refused.message
    with Ledger(Home("live", tmp_path / "desk").ledger) as ledger:
        assert ledger.requests() == []


def test_the_scratch_home_can_be_kept(start, look):
    page = look(start(), keep=True)
    try:
        assert (page.scratch / "lake" / "data_type=option_quotes").exists()
    finally:
        shutil.rmtree(page.scratch.parent)


def test_a_day_can_be_named_and_must_be_one(start, look):
    assert look(start(), spend=0.0, day=D(2025, 12, 3)).chosen.day == D(2025, 12, 3)
    with pytest.raises(ConfigError, match="2025-12-06 is no session of HE; the one before is 2025-12-05"):
        look(start(), day=D(2025, 12, 6))
    with pytest.raises(ConfigError, match="last record can come until"):
        look(start(), day=D(2026, 9, 30))


def test_a_market_without_options_has_three_tables(start, look):
    market = dataclasses.replace(load_config().market("HE"), option_roots=())
    page = look(start(), market=market)
    assert [each.table.name for each in page.chosen.tables] == ["futures_definitions", "futures_bars", "futures_statistics"]
    assert not_ok(page) == []
    assert found(page, "HE has no option_roots on that day, so option_definitions, option_quotes, option_statistics stay empty")


# ---------------------------------------------------------------- rude ones

REVEALED = {
    "counts": (None, "ok", "rounded outwards to ten minutes"),
    "friday": (D(2026, 9, 25), "ok", "the last Sun 13:0"),
    "undated": (D(2016, 3, 8), "look", "without a reference date"),
    "unflagged": (D(2014, 10, 8), "look", "the feed carries no final flag"),
    "never_final": (None, "ok", "a year or more away: their actual print stands, partial"),
    "undefined_quantity": (D(2026, 9, 23), "look", "no value, and no deletion"),
    "double_definitions": (D(2026, 9, 17), "ok", "1 repeated"),
}


@pytest.mark.parametrize("name", sorted(REVEALED))
@pytest.mark.slow
def test_a_rude_behaviour_is_on_the_page_and_nothing_else_is_wrong(name, start, look):
    day, verdict, text = REVEALED[name]
    page = look(start(name), day=day)
    shown = found(page, text)
    assert shown, [reading.message for reading in page.readings]
    assert {reading.verdict for reading in shown} == {verdict}
    assert [reading.message for reading in page.readings if reading.verdict == "wrong"] == []
    assert all(reading.remedy for reading in page.readings if reading.verdict != "ok")


def test_a_day_that_needs_a_live_licence_gives_way_to_an_earlier_one(start, look):
    page = look(start("live_licence"))
    assert [(name, "need a live licence" in message) for name, message, _ in not_ok(page)] == [("licence", True)]
    assert page.chosen.day < look(start(), spend=0.0).chosen.day
    assert all(each.rows is not None for each in page.chosen.tables)


FAULTS = {
    "too_large": ({"max_bytes": 1000}, {}, "HTTP 504", "the vendor gives large answers up so"),
    "drip": ({"bytes_per_s": 400}, {"deadline_s": 1.0}, "not whole within 1 s", "raise databento.deadline_s"),
    "slow_start": ({"first_byte_s": 1.5}, {"read_timeout_s": 0.7}, "no answer", "raise databento.read_timeout_s"),
    "breaks_off": ({}, {}, "the answer broke off", "ask again later"),
}


# Each drip is waited for, ask by ask.
@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n == "drip" else n for n in sorted(FAULTS)])
def test_an_answer_that_does_not_arrive_names_its_setting(name, start, look):
    sizes, limits, fault, remedy = FAULTS[name]
    vendor = start(name, **sizes)
    market = dataclasses.replace(load_config().market("HE"), option_roots=())
    look(start(), market=market, spend=0.0)  # the vendor works out its months; what is late afterwards is late on purpose
    page = look(vendor, market=market, **limits)
    wrong = [reading for reading in page.readings if reading.verdict == "wrong" and fault in reading.message]
    assert wrong, [reading.message for reading in page.readings]
    assert all(remedy in reading.remedy for reading in wrong)


def test_a_bad_record_costs_itself_and_what_hangs_on_it(start, look):
    page = look(start("no_expiration"), day=D(2026, 3, 2))
    assert {reading.verdict for reading in found(page, "1 no expiration")} == {"look"}
    assert {reading.verdict for reading in found(page, "no definition of it in the lake")} == {"look"}
    assert [reading.message for reading in page.readings if reading.verdict == "wrong"] == []


def test_a_refused_answer_is_wrong_and_says_of_what(start, look, monkeypatch):
    monkeypatch.setattr(quarantine, "MAX_QUARANTINED_SHARE", 0.01)
    page = look(start("no_expiration"), day=D(2026, 3, 2))
    (wrong,) = [reading for reading in page.readings if reading.verdict == "wrong"]
    assert wrong.name == "futures_statistics"
    assert "4 of 52 records of 2026-03-02 are unusable" in wrong.message
    assert "no definition of it in the lake" in wrong.message


def test_tables_without_their_definitions_are_not_asked_for(start, look, tmp_path):
    market = dataclasses.replace(load_config().market("HE"), tick=0.00025, contract_multiplier=40_000.0, option_roots=())
    page = look(start(), market=market)
    (fault,) = found(page, "HEV6 moves by 0.025")
    assert fault.verdict == "wrong"
    assert "markets.yaml" in fault.message
    assert [each.table.name for each in page.chosen.tables if each.skipped] == ["futures_bars", "futures_statistics"]
    with Ledger(Home("live", tmp_path / "desk").ledger) as ledger:
        assert not any(row["schema"] == "ohlcv-1d" for row in ledger.requests())


class Scaled:
    """The options of a publisher with their strikes in another unit."""

    def __init__(self, publisher, factor):
        self._publisher, self._factor = publisher, factor
        self.schemas, self.symbology = publisher.schemas, publisher.symbology

    def records(self, schema, low, high):
        rows = self._publisher.records(schema, low, high)
        if schema == "definition":
            rows = rows.copy()
            rows["strike_price"] *= self._factor
        return rows


@pytest.mark.parametrize(("factor", "text"), [(100, "strikes lie around"), (3, "of the underlying's settlement")])
def test_strikes_in_another_unit_are_wrong(factor, text, look):
    with serving() as vendor:
        publishers = next(side._publishers for side in vendor._sides if hasattr(side, "_publishers"))
        publishers["HE.OPT"] = Scaled(publishers["HE.OPT"], factor)
        page = look(vendor)
    wrong = [reading for reading in page.readings if reading.verdict == "wrong" and text in reading.message]
    assert len(wrong) == 1
    assert "unit" in wrong[0].message + wrong[0].remedy


@pytest.mark.parametrize("day", [D(2021, 3, 10), D(2021, 5, 28)], ids=["not found", "partial"])
def test_a_root_that_is_not_listed_in_all_of_a_request_is_noted(day, start, look):
    market = dataclasses.replace(load_config().market("HE"), option_roots=(OptionRoot("HE"), OptionRoot("HEW")))
    config = dataclasses.replace(load_config(), markets={"HE": market})
    with serving("unborn_roots", markets=config.markets) as vendor:
        page = look(vendor, market=market, day=day)
    assert {reading.verdict for reading in found(page, "HEW.OPT is not listed in the whole of")} == {"look"}
    assert [reading.message for reading in page.readings if reading.verdict == "wrong"] == []


def test_a_slow_answer_is_told_with_what_a_month_would_take(start, look):
    page = look(start())
    each = page.chosen.tables[-1]
    assert read_speed(each, each.payload).verdict == "ok"
    slow = read_speed(dataclasses.replace(each, seconds=SLOW_S + 1), each.payload)
    assert (slow.verdict, "a month of it may take 7 minutes" in slow.remedy) == ("look", True)


# ---------------------------------------------------------------- keys, ranges, the CFTC


def test_a_key_that_is_refused_is_the_end_of_it(start, look):
    page = look(start(), key="db-" + "x1" * 14)
    assert [reading.verdict for reading in page.readings] == ["ok", "ok", "ok", "wrong"]
    assert "check DATABENTO_API_KEY" in page.readings[-1].message


def test_without_a_key_one_line_says_what_works(start, look):
    page = look(start(), key="")
    free = [("archive", "ok"), ("LM_HG201", "ok"), ("par yields", "ok")]
    assert [(reading.name, reading.verdict) for reading in page.readings] == [*free, ("key", "look")]
    works = "Without it COT and the cash price work, and the whole sample world"
    assert page.readings[-1].message == f"DATABENTO_API_KEY is not set: nothing of Databento can be asked. {works}"


def test_a_vendor_without_readings_is_named(start, look, monkeypatch):
    other = SimpleNamespace(name="eia", title="the EIA")
    monkeypatch.setitem(vendors.FEEDS, other.name, other)
    page = look(start(), key="")
    assert [(reading.section, reading.verdict, reading.message) for reading in page.readings[3:4]] == [
        ("the EIA", "look", "the EIA is not looked at")
    ]


def test_a_range_that_has_stopped_and_a_degraded_week_are_looked_at(start, look):
    page = look(start(), spend=0.0, now=NOW + dt.timedelta(14))
    (late,) = [reading for reading in page.readings if reading.name == "range"]
    assert late.verdict == "look"
    assert "session(s) since 2026-10-01 are not in it" in late.message


def test_vendors_that_do_not_answer_are_wrong_and_the_one_of_the_cash_price_alone_is_to_look_at(look):
    with serving() as vendor:
        pass
    page = look(vendor)
    assert [reading.verdict for reading in page.readings] == ["wrong", "look", "wrong", "wrong"]
    assert all("no answer" in reading.message or "ConnectionError" in reading.message for reading in page.readings)


def test_before_the_first_report_of_a_year_no_archive_is_a_gap(look):
    now = dt.datetime(2027, 1, 3, 15, tzinfo=dt.UTC)
    for names in ((), ("html_january",)):
        with serving(*names, now=now) as vendor:
            page = look(vendor, key="", now=now)
        assert page.readings[0].verdict == "ok"
        assert "is not there yet; its first report is due at 2027-01-" in page.readings[0].message
    with serving("html_january", now=now) as vendor:
        page = look(vendor, key="", now=now + dt.timedelta(60))
    assert page.readings[0].verdict == "wrong"
    assert "<!DOCTYPE html>" in page.readings[0].message


@pytest.mark.parametrize(
    ("status", "headers", "words"),
    [
        (403, {}, "it may refuse the name 'hydra-assets': set cftc.user_agent"),
        (500, {}, "HTTP 500, and no archive"),
        (301, {"Location": "https://elsewhere.example/x.zip"}, "which is not the vendor's own address"),
        (301, {"Location": "/again.zip"}, "more than 3 redirects"),
    ],
)
def test_a_cftc_that_refuses_or_sends_elsewhere_is_wrong(status, headers, words):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        reading = read_cftc(f"http://127.0.0.1:{server.server_address[1]}", load_config(), NOW)
        server.shutdown()
    assert reading.verdict == "wrong"
    assert words in f"{reading.message} {reading.remedy}"


# ---------------------------------------------------------------- the command


def doctor(*words, **environment):
    return CliRunner().invoke(app, ["doctor", *words], env=environment)


@pytest.fixture
def standing_clock(monkeypatch):
    """The command's clock stands where the vendors' does: the USDA's newest rows are not older than they should be."""

    class Standing(dt.datetime):
        @classmethod
        def now(cls, tz=None):
            return NOW.astimezone(tz)

    monkeypatch.setattr(cli_doctor, "dt", SimpleNamespace(**{**vars(dt), "datetime": Standing}))


def write_settings(home, url, **more):
    home.mkdir(parents=True, exist_ok=True)
    (home / "config.yaml").write_text(json.dumps({**addresses(url), **more}))


def test_the_command_prints_lines_or_json_and_fails_where_something_is_wrong(start, home, standing_clock):
    write_settings(home, start().url)
    with_key = {"DATABENTO_API_KEY": SAMPLE_KEY}
    done = doctor("--live", "--day", "2026-09-24", "--spend", "0.5", **with_key)
    assert "price scale: tick 0.025 x 400 = $10 a tick, as configured" in done.stdout
    assert "0 wrong" in done.stdout
    assert SAMPLE_KEY not in done.stdout
    told = json.loads(doctor("--live", "--day", "2026-09-24", "--spend", "0.5", "--json", **with_key).stdout)
    assert (told["world"], told["market"], told["day"], told["wrong"]) == ("live", "HE", "2026-09-24", 0)
    (strikes,) = [reading for reading in told["readings"] if reading["name"] == "strikes"]
    assert 0.8 < strikes["facts"]["median_ratio"] < 1.25
    write_settings(home, start().url, markets={"HE": {"tick": 0.01}})
    wrong = doctor("--live", "--day", "2026-09-23", "--spend", "0.5", **with_key)
    assert (wrong.exit_code, "moves by 0.025" in wrong.stdout) == (1, True)


def test_a_terminal_gets_tables_and_a_pipe_gets_lines(start, look, monkeypatch):
    page, home = look(start("counts"), day=D(2026, 9, 24)), Home("live", Path("nowhere"))
    shown = {}
    for terminal in (True, False):
        out = io.StringIO()
        for module in (doctor_page, tables):
            monkeypatch.setattr(module, "console", Console(file=out, force_terminal=terminal, width=160, color_system=None))
        doctor_page.show_page(page, home, "HE")
        shown[terminal] = out.getvalue()
    assert "│" in shown[True]
    assert "│" not in shown[False]
    for text in shown.values():
        assert "rounded outwards to ten minutes" in text
        assert "Price of HE 2026-09-24" in text
        assert "0 wrong, 0 to look at" in text
    assert len(shown[False].splitlines()) < 47  # what is well about one table shares a line


def test_without_a_key_the_command_ends_well(start, home, standing_clock):
    write_settings(home, start().url)
    done = doctor("--live", DATABENTO_API_KEY="")
    assert done.exit_code == 0
    assert "DATABENTO_API_KEY is not set" in done.stdout


@pytest.mark.parametrize("words", [["--spend", "1"], ["--day", "2025-01-02"], ["--market", "HE"], ["--keep"]])
def test_options_of_a_live_look_need_it(words):
    done = doctor(*words)
    assert isinstance(done.exception, ConfigError)
    assert f"{words[0]} is an option of doctor --live" in str(done.exception)


@pytest.mark.slow
def test_the_whole_look_at_a_vendor_with_every_behaviour(home):
    home.mkdir(parents=True, exist_ok=True)
    (home / "config.yaml").write_text("sample: {rude: all, first_byte_s: 0.2, bytes_per_s: 400000}\n")
    done = doctor("--live", "--world", "sample", "--spend", "5", "--json")
    told = json.loads(done.stdout)
    assert (done.exit_code, told["wrong"]) == (0, 0), [each for each in told["readings"] if each["verdict"] == "wrong"]
    text = done.stdout
    # By the clock on the wall: in the last 24 hours, which need a live licence, there is no session at a week's end.
    for part in ("rounded outwards", "may be charged", "a year or more away"):
        assert part in text
