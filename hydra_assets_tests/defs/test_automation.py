"""Schedules and sensors: what is due, for every market, once; never what is under way; and a reason where there is nothing."""

import datetime as dt
import hashlib
import json
from contextlib import contextmanager
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

import hydra_assets
from hydra_assets.config.load import load_config, load_release_calendar
from hydra_assets.core.months import Month
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.defs import run_requests, schedules, sensors, vendor_sensor
from hydra_assets.defs.in_flight import InFlight, in_flight
from hydra_assets.defs.jobs import COT_TABLES, MARKET_FEEDS, MARKET_TABLES
from hydra_assets.defs.partitions import key_of, parts_of
from hydra_assets.defs.resources import FeedResource
from hydra_assets.defs.run_requests import without_in_flight
from hydra_assets.defs.schedules import after_cot_release, after_open_interest, after_settlement
from hydra_assets.defs.sensors import CotCursor, cot_release_sensor, due_reports, requests_for
from hydra_assets.defs.vendor_sensor import vendor_update_sensor
from hydra_assets.flow import due
from hydra_assets.flow.due import DueMonth, reports_due
from hydra_assets.flow.feeds.databento import DATABENTO
from hydra_assets.flow.feeds.databento_plan import SCHEMAS
from hydra_assets.flow.feeds.registry import FEEDS
from hydra_assets.flow.feeds.treasury import TREASURY
from hydra_assets.flow.feeds.usda import USDA
from hydra_assets.sources.cftc import CftcSource, CotArchive
from hydra_assets.sources.databento import DatabentoSource
from hydra_assets.sources.ledger import Budget, Ledger
from hydra_assets.sources.publications import Publications
from hydra_assets.sources.sample import databento as sample_databento
from hydra_assets.sources.sample.databento import SAMPLE_KEY
from hydra_assets_tests.conftest import at
from hydra_assets_tests.defs.test_assets import bent_resource
from hydra_assets_tests.sources.test_cftc_source import sends, vendor
from hydra_assets_tests.support import databento_vendor
from hydra_assets_tests.support.cftc_files import archive, bent
from hydra_assets_tests.support.dagster_runs import definitions, resources, run

CALENDAR = load_release_calendar()
MARKETS = ["CL", "GF", "HE", "KE", "LE", "NG", "ZC", "ZL", "ZM", "ZO", "ZR", "ZS", "ZW"]
STARTED = dg.DagsterRunStatus.STARTED
NEW_YORK, CHICAGO = ZoneInfo("America/New_York"), ZoneInfo("America/Chicago")


def day(text):
    return dt.date.fromisoformat(text)


def asked(requests):
    return sorted(parts_of(request.partition_key) for request in requests)


def at_the_time(monkeypatch, module, now):
    """*module*'s clock stands at *now*."""

    class Standing(dt.datetime):
        @classmethod
        def now(cls, tz=None):
            return at(now).astimezone(tz)

    class Clock:
        def __getattr__(self, name):
            return Standing if name == "datetime" else getattr(dt, name)

    monkeypatch.setattr(module, "dt", Clock())


# ---------------------------------------------------------------- the COT report


def tick(instance, cursor=None, cftc=None):
    chosen = {"cftc": cftc or resources()["cftc"]}
    with dg.build_sensor_context(instance=instance, cursor=cursor, resources=chosen, definitions=definitions()) as context:
        return cot_release_sensor(context)


def reason(told):
    return told.skip_message if isinstance(told, dg.SkipReason) else told.skip_reason.skip_message


def test_a_report_that_is_there_is_asked_for_once_for_every_market(instance):
    newest = CALENDAR.newest_due(dt.datetime.now(dt.UTC)).report_date
    first = tick(instance)
    assert asked(first.run_requests) == [(market, Month.of(newest)) for market in MARKETS]
    assert CotCursor.of(first.cursor).newest == newest.isoformat()
    assert len({request.run_key for request in first.run_requests}) == len(MARKETS)
    again = tick(instance, cursor=first.cursor)  # the cursor is all that a restart leaves
    assert isinstance(again, dg.SkipReason)
    assert "no later one is due" in again.skip_message


def test_when_it_was_seen_stands_beside_when_it_was_scheduled(instance, home):
    newest = CALENDAR.newest_due(dt.datetime.now(dt.UTC)).report_date
    release = CALENDAR.release(newest).available_at
    first = tick(instance)
    tags = first.run_requests[0].tags
    assert tags["hydra/report"] == newest.isoformat()
    assert tags["hydra/scheduled_at"] == f"{release:%Y-%m-%dT%H:%M:%SZ}"
    with Publications(home / "sample" / "ledger.sqlite") as table:
        (seen,) = table.newest(5)
        assert (seen.report, seen.scheduled_at) == (newest, release)
        assert f"{seen.observed_at:%Y-%m-%dT%H:%M:%SZ}" == tags["hydra/observed_at"]
        assert CotCursor.of(first.cursor).archives[str(newest.year)]["sha256"] == seen.sha256
        tick(instance)  # a sensor that was reset sees it again, later: the first observation stays
        assert table.newest(5) == [seen]


def test_a_report_that_was_due_and_is_not_there_is_waited_for(instance, home):
    old = archive(2026, now=at("2026-03-01"))
    with vendor(sends(body=old)) as (url, _):
        told = tick(instance, cftc=bent_resource(url, home))
    assert "is not there yet" in reason(told)
    assert told.cursor is None


def test_a_corrected_report_is_asked_for_by_its_own_month_once(instance, home, monkeypatch):
    at_the_time(monkeypatch, sensors, "2026-01-06 12:00")
    with vendor(sends(body=bent(lambda *_: None))) as (url, _):
        first = tick(instance, cftc=bent_resource(url, home, now="2026-01-06 12:00"))
    assert asked(first.run_requests) == [(market, Month(2025, 12)) for market in MARKETS]

    with vendor(sends(body=bent(one_more_long("2025-11-18")))) as (url, requests):
        later = bent_resource(url, home, now="2026-01-06 19:00")
        assert isinstance(tick(instance, cursor=first.cursor, cftc=later), dg.SkipReason)
        assert requests == []  # between the looks the CFTC is left alone
        at_the_time(monkeypatch, sensors, "2026-01-06 18:01")
        told = tick(instance, cursor=first.cursor, cftc=later)
        assert asked(told.run_requests) == [(market, Month(2025, 11)) for market in MARKETS]
        assert told.run_requests[0].tags == {"hydra/corrected": "2025-11-18"}
        at_the_time(monkeypatch, sensors, "2026-01-07 00:02")
        again = tick(instance, cursor=told.cursor, cftc=later)
    assert "not corrected" in reason(again)
    assert not again.run_requests


def one_more_long(report):
    """A change to an archive: the hogs' *report* has one more long contract."""

    def change(header, rows):
        code, column = header.index("CFTC_Contract_Market_Code"), header.index("M_Money_Positions_Long_All")
        row = next(r for r in rows if r[code] == "054642" and r[2] == report)
        row[column] = str(int(row[column]) + 1)

    return change


def test_a_report_of_december_that_is_corrected_in_january_is_asked_for(instance, home, monkeypatch):
    years, archives = [], {2025: archive(2025), 2026: archive(2026, now=at("2026-01-10"))}

    def fetched(source, year):
        years.append(year)
        sha256 = hashlib.sha256(archives[year]).hexdigest()
        source.folder.mkdir(exist_ok=True, parents=True)
        (source.folder / f"{sha256}.zip").write_bytes(archives[year])
        return CotArchive(str(year), source.folder / f"{sha256}.zip", sha256, at("2026-01-10"), None, 52)

    def look(now, cursor=None):
        at_the_time(monkeypatch, sensors, now)
        return tick(instance, cursor=cursor, cftc=bent_resource("", home, now=now))

    monkeypatch.setattr(CftcSource, "fetch_once", fetched)
    december = look("2026-01-06 12:00")
    january = look("2026-01-10 12:00", december.cursor)
    assert asked(january.run_requests) == [(market, Month(2026, 1)) for market in MARKETS]
    assert years == [2025, 2026]  # what is due is in one of them
    archives[2025] = bent(one_more_long("2025-12-16"))
    told = look("2026-01-10 18:01", january.cursor)
    assert years[2:] == [2025, 2026]
    assert asked(told.run_requests) == [(market, Month(2025, 12)) for market in MARKETS]
    assert told.run_requests[0].tags == {"hydra/corrected": "2025-12-16"}
    # The same month once more is another request, which Dagster would not take under the same key.
    archives[2025] = bent(one_more_long("2025-12-09"))
    again = look("2026-01-11 00:02", told.cursor)
    assert again.run_requests[0].tags == {"hydra/corrected": "2025-12-09,2025-12-16"}
    assert not {r.run_key for r in again.run_requests} & {r.run_key for r in told.run_requests}
    # A new report in an archive that was looked at before corrects nothing.
    archives[2026] = archive(2026, now=at("2026-01-17"))
    newer = look("2026-01-17 12:00", again.cursor)
    assert newer.run_requests[0].tags["hydra/report"] == "2026-01-13"
    assert "hydra/corrected" not in newer.run_requests[0].tags
    # Without the file of before nothing can be compared, and nothing fails.
    for path in (home / "bent").rglob("*.zip"):
        path.unlink()
    archives[2025] = bent(one_more_long("2025-12-02"))
    assert "not corrected" in reason(look("2026-01-17 18:01", newer.cursor))


def test_a_vendor_that_is_down_is_a_reason_and_no_failure(instance, home):
    with vendor(sends(503, b"")) as (url, requests):
        told = tick(instance, cftc=bent_resource(url, home))
    assert "HTTP 503" in told.skip_message
    assert len(requests) == 1


def test_nothing_is_asked_while_a_run_on_the_tables_is_in_flight(instance):
    job = definitions().resolve_job_def("cot_refresh")
    run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    told = tick(instance)
    assert isinstance(told, dg.SkipReason)
    assert run.run_id[:8] in told.skip_message
    instance.report_run_canceled(run)
    assert tick(instance).run_requests


def test_reports_held_back_are_asked_for_as_they_come_out():
    assert due_reports(CALENDAR, "2025-09-23", at("2025-11-19 20:29")) == []
    assert due_reports(CALENDAR, "2025-09-23", at("2025-11-19 20:30")) == [day("2025-09-30")]
    assert due_reports(CALENDAR, "2025-09-23", at("2025-11-26")) == [day("2025-09-30"), day("2025-10-07"), day("2025-10-14")]
    assert due_reports(CALENDAR, "", at("2025-11-26")) == [day("2025-10-14")]
    assert asked(requests_for([Month(2025, 12)], "x", {}))[0] == ("CL", Month(2025, 12))


def scheduled(text, schedule=after_cot_release, zone=NEW_YORK, instance=None, **chosen):
    when = dt.datetime.fromisoformat(text).replace(tzinfo=zone)
    wanted = {name: chosen.get(name) or resources()[name] for name in schedule.required_resource_keys}
    with dg.build_schedule_context(scheduled_execution_time=when, instance=instance, resources=wanted) as context:
        return schedule(context)


def test_the_schedule_asks_for_the_reports_own_month_and_skips_other_days_with_a_reason(instance):
    assert asked(scheduled("2025-08-29T15:45", instance=instance)) == [(market, Month(2025, 8)) for market in MARKETS]
    assert asked(scheduled("2025-11-19T15:45", instance=instance)) == [(market, Month(2025, 9)) for market in MARKETS]
    assert asked(scheduled("2026-01-05T15:45", instance=instance)) == [(market, Month(2025, 12)) for market in MARKETS]
    run(first="2025-08", last="2025-08")  # of HE alone
    assert asked(scheduled("2025-08-29T15:45", instance=instance)) == [(m, Month(2025, 8)) for m in MARKETS if m != "HE"]
    told = scheduled("2025-10-20T15:45", instance=instance)  # the shutdown: nothing came out
    assert "2025-10-20" in reason(told)
    instance.add_run(dg.DagsterRun("cot_refresh", status=STARTED, tags={"dagster/partition": str(key_of("GF", Month(2025, 8)))}))
    told = scheduled("2025-08-29T15:45", instance=instance)
    assert asked(told) == [(market, Month(2025, 8)) for market in MARKETS if market not in ("GF", "HE")]


@pytest.mark.parametrize(("first", "last"), [("2018-12-01", "2019-04-01"), ("2025-06-01", "2026-03-01")])
def test_every_report_over_two_shutdowns_is_due_on_one_of_the_schedules_days(lake, first, last):
    he, seen = load_config().market("HE"), []
    for n in range((day(last) - day(first)).days):
        when = day(first) + dt.timedelta(n)
        now = dt.datetime.combine(when, dt.time(15, 45), NEW_YORK).astimezone(dt.UTC)
        if when.weekday() < 5:
            seen += reports_due(CALENDAR, lake, he, now - dt.timedelta(hours=2), now)
    assert sorted(seen) == CALENDAR.report_dates(min(seen), max(seen))


# ---------------------------------------------------------------- the exchange's data


class Bento(FeedResource):
    """A Databento that lives at *url*."""

    url: str

    @contextmanager
    def open(self, *, run, unattended):
        assert unattended
        with Ledger(hydra_assets.open().home.ledger) as ledger:
            yield DatabentoSource(SAMPLE_KEY, self.url, hydra_assets.open().home.archives, ledger, budget=Budget(run))


def bento(url, home):
    return Bento(feed="databento", base=str(home), world="sample", api_key="", url=url)


@pytest.fixture
def bento_vendor():
    with databento_vendor.vendor(at("2026-01-02 22:00")) as running:
        yield running


def of_he_and_le(monkeypatch, *, every_feed=False):
    """Two markets, of which only Databento's days are looked at; *every_feed*: those of every feed."""
    config = load_config()
    markets = {name: config.markets[name] for name in ("HE", "LE")}
    for module in (schedules, vendor_sensor):
        monkeypatch.setattr(module, "load_config", lambda: type(config)(**{**vars(config), "markets": markets}))
        monkeypatch.setattr(module, "MARKET_FEEDS", MARKET_FEEDS if every_feed else (DATABENTO.name,))


def test_on_the_second_of_january_december_is_asked_for_too_and_a_holiday_says_so(instance, home, bento_vendor, monkeypatch):
    of_he_and_le(monkeypatch)
    chosen = {"databento": bento(bento_vendor.url, home), "instance": instance, "zone": CHICAGO}
    told = scheduled("2026-01-02T12:15", after_open_interest, **chosen)
    assert asked(told) == [("HE", Month(2025, 12)), ("LE", Month(2025, 12))]  # the second's own bar ends in the evening
    assert "HE 2025-12" in told[0].tags["hydra/due"]
    bento_vendor.now = at("2026-01-03 02:00")
    told = scheduled("2026-01-02T19:30", after_settlement, **chosen)
    assert asked(told) == [(market, month) for market in ("HE", "LE") for month in (Month(2025, 12), Month(2026, 1))]
    # All that could be had is held: what is left waits, and a holiday says that it is one.
    with Ledger(hydra_assets.open().home.ledger) as ledger:
        captured_all(ledger, monkeypatch)
    bento_vendor.now = at("2025-12-26 02:00")
    quiet = scheduled("2025-12-25T19:30", after_settlement, **chosen)
    assert "2025-12-25 is no session" in reason(quiet)
    bento_vendor.now = at("2025-12-24 18:15")
    assert "the vendor has data until" in reason(scheduled("2025-12-24T12:15", after_open_interest, **chosen))


def captured_all(ledger, monkeypatch):
    """Every day of December is in the ledger, and its months are not empty."""
    days = [day("2025-12-01") + dt.timedelta(n) for n in range(31)]
    for table in SCHEMAS:
        for market in ("HE", "LE"):
            ledger.capture(table, market, [(d, day("2026-12-01")) for d in days], at("2026-01-01"))
    monkeypatch.setattr("hydra_assets.storage.lake.ParquetLake.files", lambda *_: ["a file"])


def look(instance, databento, cursor=None):
    chosen = {**{name: resources()[name] for name in vendor_update_sensor.required_resource_keys}, "databento": databento}
    with dg.build_sensor_context(instance=instance, cursor=cursor, resources=chosen, definitions=definitions()) as context:
        return vendor_update_sensor(context)


@pytest.mark.parametrize(
    ("url", "why"),
    [("http://127.0.0.1:9", "ConnectionError"), (None, "DATABENTO_API_KEY")],
    ids=["down", "no-key"],
)
def test_a_vendor_that_is_down_or_wants_a_key_is_a_reason_for_schedule_and_sensor(instance, home, monkeypatch, url, why):
    of_he_and_le(monkeypatch)
    monkeypatch.setattr(type(DATABENTO), "months_held", lambda *_: {Month(2025, 12)})
    databento = bento(url, home) if url else FeedResource(feed="databento", base=str(home), world="live")
    for told in (
        scheduled("2026-01-02T12:15", after_open_interest, CHICAGO, instance, databento=databento),
        look(instance, databento),
    ):
        assert "Databento gave no answer" in reason(told)
        assert why in reason(told)


def test_a_cash_report_that_is_out_and_not_held_is_asked_for_by_schedule_and_sensor(instance, home, bento_vendor, monkeypatch):
    """Nothing names the feed: its tables are of the exchange's sessions."""
    of_he_and_le(monkeypatch, every_feed=True)
    with Ledger(hydra_assets.open().home.ledger) as ledger:
        captured_all(ledger, monkeypatch)
    bento_vendor.now, databento = at("2025-12-26 12:00"), bento(bento_vendor.url, home)
    chosen = {"databento": databento, "instance": instance, "zone": CHICAGO}
    told = scheduled("2025-12-23T12:15", after_open_interest, **chosen)
    assert asked(told) == [("HE", Month(2025, 12)), ("LE", Month(2025, 12))]  # cattle for its rates alone
    assert told[0].tags["hydra/due"] == "HE 2025-12: 16 day(s) from 2025-12-01"  # the 22nd's report came out at 11:00
    at_the_time(monkeypatch, vendor_sensor, "2025-12-23 19:00")
    monkeypatch.setattr(type(USDA), "months_held", lambda *_: {Month(2025, 12)})
    assert asked(look(instance, databento).run_requests) == [("HE", Month(2025, 12))]


def test_cash_prices_are_due_for_hogs_alone_and_rates_for_every_market(home):
    lake, markets, december = hydra_assets.open().lake, [load_config().market(name) for name in ("HE", "LE", "ZC")], Month(2025, 12)
    opener = run_requests.source_opener(SimpleNamespace(**resources()), run="test")
    found = due.find_due(opener, [USDA.name, TREASURY.name], lake, markets, lambda *_: [december], load_config(), at("2025-12-23 19:00"))
    assert {work.market: set(work.days) for work in found.months} == {"HE": {"cash_hogs", "rates"}, "LE": {"rates"}, "ZC": {"rates"}}


def test_a_vendor_that_gives_no_answer_costs_its_own_days_alone(instance, home, bento_vendor, monkeypatch):
    of_he_and_le(monkeypatch)

    class Mute(type(DATABENTO)):
        name, title = "mute", "The mute vendor"

    monkeypatch.setattr(due, "FEEDS", {**FEEDS, "mute": Mute()})
    working = bento(bento_vendor.url, home)
    months = [Month(2025, 12)]
    sources = {"mute": FeedResource(feed="databento", base=str(home), world="live"), "databento": working}
    markets = [load_config().market("HE")]
    opener = run_requests.source_opener(SimpleNamespace(**sources), run="test")
    lake = hydra_assets.open().lake
    found = due.find_due(opener, ["mute", "databento"], lake, markets, lambda *_: months, load_config(), at("2026-01-02 22:00"))
    assert [(month.market, month.month) for month in found.months] == [("HE", Month(2025, 12))]
    (message,) = found.unanswered
    assert message.startswith("The mute vendor gave no answer: ")
    assert "DATABENTO_API_KEY" in message


def test_the_vendor_sensor_waits_flags_and_fetches_again_and_never_asks_twice(instance, home, bento_vendor, monkeypatch):
    of_he_and_le(monkeypatch)
    at_the_time(monkeypatch, vendor_sensor, "2025-12-26 12:00")
    bento_vendor.now, databento = at("2025-12-26 12:00"), bento(bento_vendor.url, home)
    nothing = look(instance, databento)
    assert "no market is held yet" in reason(nothing)
    with Ledger(hydra_assets.open().home.ledger) as ledger:
        captured_all(ledger, monkeypatch)
        pending = look(instance, databento)
        assert not pending.run_requests
        # The vendor changes a day that is held: its month is asked for, once.
        changed = {day("2025-12-10"): ("degraded", day("2026-12-02"))}
        told_of = sample_databento.condition
        monkeypatch.setattr(sample_databento, "condition", lambda d, *rest: changed.get(d) or told_of(d, *rest))
        first = look(instance, databento, pending.cursor)
        assert asked(first.run_requests) == [("HE", Month(2025, 12)), ("LE", Month(2025, 12))]
        again = look(instance, databento, first.cursor)
        assert not again.run_requests
        assert "has been asked for 1 time(s)" in reason(again)
        # A day later it is still due: the run must have failed. Three times, no more.
        cursor, keys = again.cursor, {request.run_key for request in first.run_requests}
        for n, date in enumerate(("2025-12-27", "2025-12-28", "2025-12-29")):
            at_the_time(monkeypatch, vendor_sensor, f"{date} 12:00")
            later = look(instance, databento, cursor)
            assert len(later.run_requests or []) == (2 if n < 2 else 0)
            keys |= {request.run_key for request in later.run_requests or []}
            cursor = later.cursor
        assert len(keys) == 6
        # Fetched again: it is held, flagged, and forgotten by the cursor.
        for table in SCHEMAS:
            for market in ("HE", "LE"):
                ledger.capture(table, market, [(day("2025-12-10"), day("2026-12-02"))], at("2025-12-29"))
        done = look(instance, databento, cursor)
    assert "degraded, kept until the vendor mends them: 2025-12-10" in reason(done)
    assert json.loads(done.cursor) == {}


def test_the_vendor_sensor_asks_again_at_once_for_other_work_a_few_at_a_time_and_for_nothing_in_flight(
    instance, home, bento_vendor, monkeypatch
):
    of_he_and_le(monkeypatch)
    at_the_time(monkeypatch, vendor_sensor, "2025-12-26 12:00")
    bento_vendor.now, databento = at("2025-12-26 12:00"), bento(bento_vendor.url, home)
    changed, told_of = {day("2025-12-10"): ("degraded", day("2026-12-02"))}, sample_databento.condition
    monkeypatch.setattr(sample_databento, "condition", lambda d, *rest: changed.get(d) or told_of(d, *rest))
    december = Month(2025, 12)
    with Ledger(hydra_assets.open().home.ledger) as ledger:
        captured_all(ledger, monkeypatch)
        busy = dg.DagsterRun("market_refresh", status=STARTED, tags={"dagster/partition": str(key_of("HE", december))})
        instance.add_run(busy)
        first = look(instance, databento)
        assert asked(first.run_requests) == [("LE", december)]
        instance.report_run_canceled(busy)
        second = look(instance, databento, first.cursor)
        assert asked(second.run_requests) == [("HE", december)]
        # Another day of the same month, on the same day: other work, and its first attempt.
        changed[day("2025-12-11")] = ("degraded", day("2026-12-02"))
        monkeypatch.setattr(vendor_sensor, "AT_ONCE", 1)
        third = look(instance, databento, second.cursor)
        fourth = look(instance, databento, third.cursor)
        assert [asked(told.run_requests) for told in (third, fourth)] == [[("HE", december)], [("LE", december)]]
        assert all("-1-" in told.run_requests[0].run_key for told in (first, second, third, fourth))
        assert not look(instance, databento, fourth.cursor).run_requests
        # A new month is asked for although nothing of it is held.
        at_the_time(monkeypatch, vendor_sensor, "2026-01-06 12:00")
        bento_vendor.now = at("2026-01-06 12:00")
        monkeypatch.setattr(vendor_sensor, "AT_ONCE", 12)
        assert ("HE", Month(2026, 1)) in asked(look(instance, databento, fourth.cursor).run_requests)


def test_work_under_way_is_left_alone_and_asked_for_after_it(instance, home, bento_vendor, monkeypatch):
    of_he_and_le(monkeypatch)
    chosen = {"databento": bento(bento_vendor.url, home), "instance": instance, "zone": CHICAGO}
    job = definitions().resolve_job_def("market_refresh")
    december = str(key_of("HE", Month(2025, 12)))
    busy = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, tags={"dagster/partition": december})
    assert asked(scheduled("2026-01-02T12:15", after_open_interest, **chosen)) == [("LE", Month(2025, 12))]
    instance.report_run_canceled(busy)
    assert len(scheduled("2026-01-02T12:15", after_open_interest, **chosen)) == 2


def test_what_is_under_way_is_seen_whichever_entrance_started_it(instance):
    built = definitions()
    whole = built.resolve_implicit_global_asset_job_def()
    ends = {"dagster/asset_partition_range_start": str(key_of("HE", Month(2025, 11)))}
    ends["dagster/asset_partition_range_end"] = str(key_of("LE", Month(2026, 1)))
    instance.create_run_for_job(whole, status=dg.DagsterRunStatus.STARTED, tags=ends, asset_selection={dg.AssetKey("futures_bars")})
    market, cot = in_flight(instance, "market_refresh", MARKET_TABLES), in_flight(instance, "cot_refresh", COT_TABLES)
    assert set(market.places) == {(m, n) for m in ("HE", "KE", "LE") for n in (Month(2025, 11), Month(2025, 12), Month(2026, 1))}
    assert (cot.places, cot.everywhere) == ({}, None)
    other = instance.create_run_for_job(built.resolve_job_def("cot_refresh"), status=dg.DagsterRunStatus.STARTING)
    assert in_flight(instance, "market_refresh", MARKET_TABLES).everywhere is None
    assert other.run_id[:8] in in_flight(instance, "cot_refresh", COT_TABLES).on("ZC", Month(2020, 1))


@pytest.mark.parametrize("status", ["QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING"])
def test_a_run_is_under_way_from_the_queue_to_its_end(instance, status):
    place = {"dagster/partition": str(key_of("HE", Month(2025, 12)))}
    where = RemoteJobOrigin(RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("here"), "__repository__"), "market_refresh")
    run = dg.DagsterRun("market_refresh", status=dg.DagsterRunStatus[status], tags=place, remote_job_origin=where)
    instance.add_run(run)
    assert in_flight(instance, "market_refresh", MARKET_TABLES).on("HE", Month(2025, 12)) == f"run {run.run_id[:8]}"
    instance.delete_run(run.run_id)
    instance.add_run(dg.DagsterRun("market_refresh", status=dg.DagsterRunStatus.FAILURE, tags=place))
    assert in_flight(instance, "market_refresh", MARKET_TABLES).on("HE", Month(2025, 12)) is None


def test_a_backfill_is_under_way_before_any_of_its_runs(instance):
    place = str(key_of("HE", Month(2025, 12)))
    backfill = PartitionBackfill.from_asset_partitions(
        "abc", definitions().resolve_asset_graph(), [place], [dg.AssetKey("futures_bars")], 0.0, {}, instance, False, None, None, None
    )
    instance.add_backfill(backfill)
    assert in_flight(instance, "market_refresh", MARKET_TABLES).places == {("HE", Month(2025, 12)): "backfill abc"}
    assert in_flight(instance, "cot_refresh", COT_TABLES).places == {}
    instance.update_backfill(backfill.with_status(BulkActionStatus.COMPLETED_SUCCESS))
    assert in_flight(instance, "market_refresh", MARKET_TABLES).places == {}


def test_work_before_the_first_partition_is_not_asked_for():
    works = [DueMonth("HE", month, {"futures_bars": {month.first: month.first}}) for month in (Month(2010, 5), Month(2010, 6))]
    assert without_in_flight(works, InFlight()) == (works[1:], [])


# ---------------------------------------------------------------- of all


def test_the_jobs_hold_every_table_of_the_graph_and_the_checks():
    jobs = {name: definitions().resolve_job_def(name) for name in ("cot_refresh", "market_refresh")}
    cot, market = ({key.path[-1] for key in job.asset_layer.selected_asset_keys} for job in jobs.values())
    assert cot | market == set(TABLES)
    assert "cot_disaggregated" not in market
    assert {"cot_disaggregated", "cot_features"} <= cot
    assert "futures_features_replay" in {node.name for node in jobs["market_refresh"].nodes}


def test_work_is_marked_by_its_days_and_the_vendors_dates():
    def work(**days):
        return DueMonth("HE", Month(2025, 12), {"futures_bars": {day(k[1:].replace("_", "-")): day(v) for k, v in days.items()}})

    assert work(d2025_12_01="2025-12-02").fingerprint == work(d2025_12_01="2025-12-02").fingerprint
    assert work(d2025_12_01="2025-12-02").fingerprint != work(d2025_12_01="2025-12-03").fingerprint
    assert work(d2025_12_01="2025-12-02").fingerprint != work(d2025_12_01="2025-12-02", d2025_12_02="2025-12-03").fingerprint


def test_all_are_shipped_stopped_and_explained():
    built = definitions()
    assert {sensor.name for sensor in built.sensors} >= {"cot_release_sensor", "vendor_update_sensor", "alert_on_failure"}
    assert all(sensor.default_status is dg.DefaultSensorStatus.STOPPED and sensor.description for sensor in built.sensors)
    assert all(s.default_status is dg.DefaultScheduleStatus.STOPPED and s.description for s in built.schedules)
    told = {s.name: (s.cron_schedule, s.execution_timezone) for s in built.schedules}
    assert told["after_settlement"] == ("30 19 * * 1-5", "America/Chicago")
    assert told["after_open_interest"] == ("15 12 * * 1-5", "America/Chicago")
    assert told["after_cot_release"] == ("45 15 * * 1-5", "America/New_York")
