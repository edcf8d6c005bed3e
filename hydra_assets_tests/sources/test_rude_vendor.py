"""The rude vendor through the real clients: a behaviour shows itself where it is on; where it is off, the vendor is polite to the byte."""

import base64
import dataclasses
import datetime as dt
import hashlib
import io
import time
import warnings
import zipfile
from contextlib import ExitStack

import numpy as np
import pytest
import requests
from databento import DBNStore
from databento.common.error import BentoClientError, BentoError, BentoServerError
from databento_dbn import UNDEF_PRICE, UNDEF_STAT_QUANTITY, UNDEF_TIMESTAMP

from hydra_assets.config.load import load_config
from hydra_assets.core.calendar import LIVESTOCK
from hydra_assets.core.market import OptionRoot
from hydra_assets.errors import ConfigError, NotPublishedError
from hydra_assets.flow.feeds.databento import DATABENTO
from hydra_assets.flow.feeds.sample import served
from hydra_assets.sources.cftc import CftcSource
from hydra_assets.sources.sample.curve import curve_of
from hydra_assets.sources.sample.databento import SAMPLE_KEY
from hydra_assets.sources.sample.monthly import clock_ns, midnight
from hydra_assets.sources.sample.rude import POLITE, Rudeness, behaviours
from hydra_assets.sources.sample.rude_cot import OATS
from hydra_assets.sources.sample.rude_publisher import TRANSFORMATIONS
from hydra_assets.sources.sample.server import SampleVendor
from hydra_assets.sources.sample.side import Served
from hydra_assets_tests.support.cftc_files import CALENDAR
from hydra_assets_tests.support.rude_vendor import NOW, real_client, serving

MARKETS = load_config().markets
D = dt.date
HOUR = 3600 * 10**9
SETTLEMENT, VOLUME, INTEREST = 3, 6, 9
# A month in which the behaviour shows itself, of the schema and parent in which it does.
SHOWN = {
    "corrected_expiration": ("definition", "HE.FUT", "2025-10-01", "2025-11-01"),
    "sundays": ("definition", "HE.FUT", "2025-10-01", "2025-11-01"),
    "two_digit_years": ("definition", "HE.FUT", "2025-10-01", "2025-11-01"),
    "double_definitions": ("definition", "HE.FUT", "2025-10-01", "2025-12-01"),
    "no_expiration": ("definition", "HE.FUT", "2025-03-01", "2025-04-01"),
    "long_hours": ("ohlcv-1d", "HE.FUT", "2013-05-01", "2013-06-01"),
    "grain_clock": ("statistics", "ZC.FUT", "2025-10-01", "2025-11-01"),
    "friday": ("statistics", "HE.FUT", "2025-10-01", "2025-11-01"),
    "undated": ("statistics", "HE.FUT", "2017-10-01", "2017-11-01"),
    "unflagged": ("statistics", "HE.FUT", "2014-10-01", "2014-11-01"),
    "never_final": ("statistics", "HE.FUT", "2025-10-01", "2025-11-01"),
    "early_final": ("statistics", "HE.FUT", "2025-01-01", "2025-06-01"),
    "after_expiry": ("statistics", "HE.FUT", "2025-01-01", "2025-04-01"),
    "undefined_quantity": ("statistics", "HE.FUT", "2025-10-01", "2025-12-01"),
    "reused_ids": ("definition", "HE.OPT", "2025-10-14", "2025-10-17"),
}


@pytest.fixture(scope="module")
def start_vendor():
    """Vendors for the whole module, each set of behaviours once: chains are slow to work out, but not to serve again."""
    with ExitStack() as running:
        made = {}

        def start(*names):
            if names not in made:
                made[names] = running.enter_context(serving(*names))
            return made[names]

        yield start


@pytest.fixture(scope="module")
def records(start_vendor):
    """The records of a request to a vendor with the behaviours named, by the real client."""

    def ask(*names, schema="statistics", symbols="HE.FUT", start="2025-10-01", end="2025-11-01"):
        return stream(start_vendor(*names), schema, symbols, start, end).to_ndarray(schema=schema)

    return ask


def stream(vendor, schema, symbols, start, end):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of degraded days
        return real_client(vendor.url).timeseries.get_range(
            dataset="GLBX.MDP3", schema=schema, symbols=symbols, stype_in="parent", start=start, end=end
        )


def raw(vendor, name, **asked):
    """The bytes of an answer, as they come over the wire."""
    key = base64.b64encode(f"{SAMPLE_KEY}:".encode()).decode()
    return requests.post(f"{vendor.url}/v0/{name}", data=asked, headers={"Authorization": f"Basic {key}"}, timeout=60)


def request(**change):
    asked = {"dataset": "GLBX.MDP3", "schema": "statistics", "symbols": "HE.FUT", "stype_in": "parent"}
    return {**asked, "start": "2025-10-01", "end": "2025-10-08", **change}


def day(number) -> D:
    return D(1970, 1, 1) + dt.timedelta(int(number) // (24 * HOUR))


def counted(rows):
    return rows[np.isin(rows["stat_type"], (VOLUME, INTEREST))]


def settled(rows):
    return rows[rows["stat_type"] == SETTLEMENT]


# ---------------------------------------------------------------- all of them


def test_every_behaviour_is_a_switch_that_says_what_it_does():
    assert Rudeness.none() == POLITE
    assert POLITE.on == ()
    assert Rudeness.all().on == tuple(behaviours())
    assert Rudeness.of(["friday", "counts"]).on == ("counts", "friday")
    assert all(len(message) > 20 for message in behaviours().values())
    with pytest.raises(ConfigError, match=r"'fridays'.*did you mean friday"):
        Rudeness.of(["fridays"])
    switched = {name for changes in TRANSFORMATIONS.values() for name, _ in changes} | {"reused_ids"}
    assert switched == set(SHOWN)


@pytest.mark.parametrize("name", sorted(SHOWN))
def test_a_behaviour_of_records_touches_them_where_it_is_on_and_not_otherwise(name, records, start_vendor):
    schema, symbols, start, end = SHOWN[name]
    asked = {"schema": schema, "symbols": symbols, "start": start, "end": end}
    polite, rude = records(**asked), records(name, **asked)
    assert polite.tobytes() != rude.tobytes()
    at = rude["ts_recv" if "ts_recv" in rude.dtype.names else "ts_event"].astype(np.int64)
    assert (np.diff(at) >= 0).all()
    assert midnight(D.fromisoformat(start)) <= at.min() <= at.max() < midnight(D.fromisoformat(end))
    others = {"definition", "ohlcv-1d", "statistics"} - {part for part, changes in TRANSFORMATIONS.items() if name in dict(changes)}
    for other in sorted(others):
        asked = request(schema=other, start="2013-05-01", end="2013-05-08", symbols="HE.FUT")
        assert (
            raw(start_vendor(name), "timeseries.get_range", **asked).content == raw(start_vendor(), "timeseries.get_range", **asked).content
        )


@pytest.mark.parametrize("name", sorted(set(SHOWN) - {"reused_ids"}))
def test_a_day_is_the_same_in_every_range(name, records):
    schema, symbols, start, end = SHOWN[name]
    whole = records(name, schema=schema, symbols=symbols, start=start, end=end)
    at = whole["ts_recv" if "ts_recv" in whole.dtype.names else "ts_event"].astype(np.int64)
    first = D.fromisoformat(start)
    for days in (8, 17):
        low, high = first + dt.timedelta(days), first + dt.timedelta(days + 4)
        part = records(name, schema=schema, symbols=symbols, start=str(low), end=str(high))
        assert part.tobytes() == whole[(at >= midnight(low)) & (at < midnight(high))].tobytes()


def test_without_a_behaviour_every_answer_is_the_polite_one(start_vendor):
    polite, none = start_vendor(), start_vendor("live_prices", "slow_jobs")
    for name in ("timeseries.get_range", "metadata.get_record_count", "metadata.get_billable_size"):
        for schema in ("definition", "ohlcv-1d", "statistics"):
            answers = [raw(vendor, name, **request(schema=schema)) for vendor in (polite, none)]
            assert answers[0].content == answers[1].content
            assert answers[0].headers["Content-Type"] == answers[1].headers["Content-Type"]


def test_all_of_them_at_once_can_be_asked_for(records):
    every = sorted(set(behaviours()) - {"breaks_off"})  # with it each first answer is half of one
    rows = records(*every, start="2014-12-15", end="2015-01-10")
    assert len(settled(rows)) > 100
    assert (counted(rows)["ts_ref"] == UNDEF_TIMESTAMP).all()
    assert {0, 4} < set(settled(rows)["stat_flags"].tolist())
    for schema, parent in (("definition", "HE.FUT"), ("ohlcv-1d", "HE.FUT"), ("statistics", "ZC.FUT")):
        assert len(records(*every, schema=schema, symbols=parent, start="2010-06-06", end="2010-07-01")) > 20


# ---------------------------------------------------------------- statistics


def test_open_interest_comes_on_sunday_of_friday_and_twice_of_other_days(records):
    polite, rude = counted(records()), counted(records("friday"))
    assert len(rude) > 1.7 * len(polite)
    repeats = differing = 0
    for ref in sorted(set(rude["ts_ref"].tolist())):
        of_day = rude[rude["ts_ref"] == ref]
        hours = sorted({(int(at) - int(ref)) // HOUR for at in of_day["ts_recv"]})
        if day(ref).weekday() == 4:
            assert set(hours) <= {65, 66}, "Sunday 18:00Z, or the minutes before for a retraction"
        else:
            assert set(hours) <= {25, 26, 37, 38}
            for number in set(of_day["instrument_id"].tolist()):
                values = of_day[(of_day["instrument_id"] == number) & (of_day["stat_type"] == INTEREST)]["quantity"]
                repeats += 1
                differing += len(set(values[-2:].tolist())) > 1
    assert repeats > 150
    assert 0 <= differing < repeats / 20
    polite_settled, rude_settled = settled(records()), settled(records("friday"))
    assert polite_settled.tobytes() == rude_settled.tobytes()


def test_a_repeated_figure_is_corrected_now_and_then(records):
    rows = counted(records("friday", start="2024-01-01", end="2026-01-01"))
    values = {}
    for row in rows[rows["update_action"] == 1]:
        values.setdefault((row["instrument_id"], row["stat_type"], row["ts_ref"]), []).append(int(row["quantity"]))
    pairs = [found[-2:] for (_, _, ref), found in values.items() if len(found) > 1 and day(ref).weekday() != 4]
    corrected = [first - second for first, second in pairs if first != second]
    assert set(corrected) == {3}
    assert 0.002 < len(corrected) / len(pairs) < 0.01


def test_undated_figures_until_2017_and_on_replays_of_a_weekend(records):
    old = records("undated", start="2017-10-01", end="2017-11-01")
    assert (counted(old)["ts_ref"] == UNDEF_TIMESTAMP).all()
    settlements = settled(old)
    undated = settlements[settlements["ts_ref"] == UNDEF_TIMESTAMP]
    assert {day(at).weekday() for at in undated["ts_recv"]} <= {6}
    year = records("undated", start="2025-01-01", end="2026-01-01")
    without = year[(year["ts_ref"] == UNDEF_TIMESTAMP) & np.isin(year["stat_type"], (SETTLEMENT, VOLUME, INTEREST))]
    assert {day(at).weekday() for at in without["ts_recv"]} == {6}
    assert set(without["stat_type"].tolist()) == {SETTLEMENT, VOLUME, INTEREST}
    named = ["instrument_id", "stat_type", "price", "quantity"]
    longer = records("undated", start="2024-12-20", end="2026-01-01")
    replayed, known = ({tuple(row) for row in rows[named].tolist()} for rows in (without, longer[longer["ts_ref"] != UNDEF_TIMESTAMP]))
    assert replayed <= known


def test_undated_figures_of_options(records):
    rows = records("undated", symbols="HE.OPT", start="2016-03-01", end="2016-03-08")
    assert len(counted(rows)) > 300
    assert (counted(rows)["ts_ref"] == UNDEF_TIMESTAMP).all()


def test_no_settlement_is_final_before_2015(records):
    rows = settled(records("unflagged", start="2014-12-01", end="2015-01-15"))
    old = rows["ts_ref"] < midnight(D(2015, 1, 1))
    assert set(rows["stat_flags"][old].tolist()) == {0, 4}
    assert set(rows["stat_flags"][~old].tolist()) == {2, 3}
    prices = {}
    for row in settled(records("unflagged", start="2012-01-01", end="2014-12-31")):
        prices.setdefault((row["instrument_id"], row["ts_ref"]), set()).add(int(row["price"]))
    changed = sum(len(found) > 1 for found in prices.values()) / len(prices)
    assert 0.0002 < changed < 0.007


def test_far_contracts_are_never_final(records):
    last = {
        contract.instrument_id: contract.last_day for contract in curve_of(MARKETS["HE"]).contracts if contract.last_day > D(2025, 10, 1)
    }
    final = {}
    for row in settled(records("never_final")):
        if row["instrument_id"] in last:
            key = int(row["instrument_id"]), day(row["ts_ref"])
            final[key] = final.get(key, False) or bool(row["stat_flags"] & 1)
    far = [is_final for (number, ref), is_final in final.items() if (last[number] - ref).days >= 365 and ref < D(2025, 10, 31)]
    near = [
        is_final for (number, ref), is_final in final.items() if (last[number] - ref).days < 365 and D(2025, 10, 1) <= ref < D(2025, 10, 31)
    ]
    assert all(near)
    assert 0.3 < 1 - np.mean(far) < 0.7


def test_one_settlement_comes_before_its_session_and_one_after_the_expiration(records):
    early = [row for row in settled(records("early_final", start="2025-01-01", end="2026-01-01")) if row["ts_recv"] < row["ts_ref"]]
    assert [int(row["stat_flags"]) for row in early] == [3]
    last = {
        contract.instrument_id: contract.last_day for contract in curve_of(MARKETS["HE"]).contracts if contract.last_day > D(2025, 1, 1)
    }
    rows = settled(records("after_expiry", start="2025-01-01", end="2026-01-01"))
    late = [row for row in rows if row["instrument_id"] in last and day(row["ts_ref"]) > last[row["instrument_id"]]]
    assert len(late) == 1
    assert day(late[0]["ts_ref"]) == LIVESTOCK.next_session(last[late[0]["instrument_id"]])


def test_some_quantities_are_undefined(records):
    rows = counted(records("undefined_quantity", start="2025-01-01", end="2026-01-01"))
    without = (rows["quantity"] == UNDEF_STAT_QUANTITY) & (rows["update_action"] == 1)
    assert 0.001 < without.mean() < 0.008
    assert not (counted(records(start="2025-01-01", end="2026-01-01"))["quantity"] == UNDEF_STAT_QUANTITY).any()


def test_grains_are_quoted_and_settled_a_quarter_of_an_hour_later(records):
    for at, clock, polite_clock in (("2025-10-01", "13:15", "13:08"), ("2012-10-01", "14:00", "13:08")):
        end = str(D.fromisoformat(at) + dt.timedelta(1))
        for names, begins in ((("grain_clock",), clock), ((), polite_clock)):
            rows = settled(records(*names, symbols="ZC.FUT", start=at, end=end))
            first = rows[rows["stat_flags"] == 2]["ts_recv"].astype(np.int64).min()
            assert 0 <= first - clock_ns(LIVESTOCK, D.fromisoformat(at), begins) < 60 * 10**9
    asked = {"schema": "bbo-1m", "symbols": "OZC.OPT", "start": "2025-10-01", "end": "2025-10-02"}
    polite, rude = records(**asked), records("grain_clock", **asked)
    assert len(polite) == len(rude)
    assert (rude["ts_recv"] - polite["ts_recv"] == 15 * 60 * 10**9).all()
    hogs = {"symbols": "HE.FUT", "start": "2025-10-01", "end": "2025-10-02"}
    assert records(**hogs).tobytes() == records("grain_clock", **hogs).tobytes()


def test_the_id_of_an_expired_option_is_listed_again_while_its_last_figures_arrive(records):
    contract = next(contract for contract in curve_of(MARKETS["HE"]).contracts if contract.last_day == D(2025, 10, 14))
    asked = {"schema": "definition", "symbols": "HE.OPT", "start": "2025-10-14", "end": "2025-10-17"}
    symbols = {}
    for row in records("reused_ids", **asked):
        symbols.setdefault(int(row["instrument_id"]), {})[day(row["ts_recv"])] = row["raw_symbol"].decode()
    reused = {number: names for number, names in symbols.items() if len(set(names.values())) > 1}
    assert len(reused) == 1
    ((number, names),) = reused.items()
    assert names[D(2025, 10, 14)].startswith(contract.symbol)
    assert not names[D(2025, 10, 15)].startswith(contract.symbol)
    late = records("reused_ids", symbols="HE.OPT", start="2025-10-15", end="2025-10-16")
    of_the_expired = late[
        (late["instrument_id"] == number) & (late["ts_ref"] == midnight(D(2025, 10, 14))) & (late["stat_type"] == INTEREST)
    ]
    assert len(of_the_expired) == 1


# ---------------------------------------------------------------- definitions and bars


def expirations(rows):
    found = {}
    for row in rows[rows["instrument_class"] == b"F"]:
        found.setdefault(row["raw_symbol"].decode(), []).append((day(row["ts_recv"]), int(row["expiration"])))
    return found


def test_expirations_are_corrected_in_mid_life(records):
    asked = {"schema": "definition", "start": "2025-10-01", "end": "2025-11-01"}
    right = {symbol: rows[-1][1] for symbol, rows in expirations(records(**asked)).items()}
    wrong = {}
    for symbol, rows in expirations(records("corrected_expiration", **asked)).items():
        wrong[symbol] = {at - right[symbol] for _, at in rows if at != right[symbol]}
        assert all(at == right[symbol] for received, at in rows if received >= D(2025, 10, 15))
    assert sorted(difference // 10**9 for found in wrong.values() for difference in found) == [74 * 60, 86_400]
    before = expirations(records("corrected_expiration", schema="definition", start="2021-11-01", end="2021-11-12"))
    moved = {rows[0][1] - rows[-1][1] for rows in before.values()}
    assert moved == {HOUR}


def test_definitions_come_on_sundays_too_and_from_the_6th_of_june_2010_on(records, start_vendor):
    rows = records("sundays", schema="definition", start="2010-06-06", end="2010-06-21")
    assert {day(at).weekday() for at in rows["ts_recv"]} == {0, 1, 2, 3, 4, 6}
    assert day(rows["ts_recv"].min()) == D(2010, 6, 6)
    assert real_client(start_vendor("sundays").url).metadata.get_dataset_range("GLBX.MDP3")["start"].startswith("2010-06-06")
    year = records("sundays", schema="definition", start="2025-01-01", end="2026-01-01")
    sundays = {day(at) for at in year["ts_recv"] if day(at).weekday() == 6}
    assert len(sundays) == 52


def test_symbols_are_spelt_with_two_digits_of_the_year_from_a_day_on(records, start_vendor):
    before, after = (
        records("two_digit_years", schema="definition", start=start, end=end)
        for start, end in (("2024-05-28", "2024-06-01"), ("2024-06-03", "2024-06-08"))
    )
    spelt = [{row["raw_symbol"].decode() for row in rows if row["instrument_class"] == b"F"} for rows in (before, after)]
    assert {len(symbol) for symbol in spelt[0]} == {4}
    assert {len(symbol) for symbol in spelt[1]} == {4, 5}
    assert all(symbol[-2] == "2" for symbol in spelt[1] if len(symbol) == 5)
    assert {symbol[:3] + symbol[-1] for symbol in spelt[1]} == {row["raw_symbol"].decode() for row in after[:0]} | {
        row["raw_symbol"].decode()
        for row in records(schema="definition", start="2024-06-03", end="2024-06-08")
        if row["instrument_class"] == b"F"
    }
    mapped = set(stream(start_vendor("two_digit_years"), "ohlcv-1d", "HE.FUT", "2024-06-03", "2024-06-08").metadata.mappings)
    assert spelt[1] <= mapped
    options = records("two_digit_years", schema="definition", symbols="HE.OPT", start="2024-06-03", end="2024-06-04")
    assert any(len(row["underlying"]) == 5 and row["raw_symbol"].startswith(row["underlying"] + b" ") for row in options)


def test_two_definitions_of_one_instant_and_one_without_an_expiration(records):
    asked = {"schema": "definition", "start": "2025-01-01", "end": "2026-01-01"}
    rows, polite = records("double_definitions", **asked), records(**asked)
    extra = len(rows) - len(polite)
    assert 3 < extra < 60
    keys = list(zip(rows["instrument_id"].tolist(), rows["ts_recv"].tolist(), strict=True))
    first = [keys.index(key) for key in sorted({key for key in keys if keys.count(key) > 1})] if extra < 60 else []
    assert len(first) == extra
    assert (rows["low_limit_price"][first] == UNDEF_PRICE).all()
    without = records("no_expiration", **asked)
    (place,) = np.flatnonzero(without["expiration"] == UNDEF_TIMESTAMP)
    assert (without["instrument_class"][place], day(without["ts_recv"][place])) == (b"F", D(2025, 3, 3))


def test_bars_hold_the_evening_of_the_next_session_until_the_hours_changed(records):
    asked = {"schema": "ohlcv-1d", "start": "2014-10-20", "end": "2014-11-01"}
    polite, rude = records(**asked), records("long_hours", **asked)
    changed = {day(rude["ts_event"][i]) for i in range(len(rude)) if rude[i] != polite[i]}
    assert changed
    assert max(changed) < D(2014, 10, 27)
    assert not {at for at in changed if at.weekday() == 4}, "after a Friday comes Sunday evening, not Friday's own"
    assert (rude["high"] >= np.maximum(rude["close"], rude["open"])).all()
    sundays = records("long_hours", schema="ohlcv-1d", symbols="ZC.FUT", start="2011-01-01", end="2013-01-01")
    found = {day(at) for at in sundays["ts_event"] if day(at).weekday() == 6}
    assert 5 < len(found) < 30


def test_no_bar_of_energy_is_a_session_in_any_year(records):
    asked = {"schema": "ohlcv-1d", "symbols": "CL.FUT", "start": "2025-10-06", "end": "2025-10-20"}
    polite, rude = records(**asked), records("long_hours", **asked)
    own = rude[[day(at).weekday() != 6 for at in rude["ts_event"]]]
    changed = {day(at) for at in own["ts_event"][own["volume"] != polite["volume"]]}
    assert {at.weekday() for at in changed} == {0, 1, 2, 3}, "a Friday ends with its session"
    assert {day(at) for at in rude["ts_event"] if day(at).weekday() == 6} == {D(2025, 10, 12), D(2025, 10, 19)}


# ---------------------------------------------------------------- requests


def test_counts_are_rounded_outwards(start_vendor):
    polite, rude = (real_client(vendor.url).metadata for vendor in (start_vendor(), start_vendor("counts")))
    odd = request(schema="statistics", start="2025-10-01T12:00", end="2025-10-01T18:05")
    assert rude.get_record_count(**odd) > polite.get_record_count(**odd)
    even = request(schema="statistics", start="2025-10-01T12:00", end="2025-10-01T18:10")
    assert rude.get_record_count(**even) == polite.get_record_count(**even)
    part = request(schema="definition", start="2025-10-01T12:00", end="2025-10-01T23:00")
    assert (polite.get_record_count(**part), rude.get_record_count(**part) > 0) == (0, True)
    assert rude.get_billable_size(**odd) == polite.get_billable_size(**odd)


def test_a_large_stream_is_a_gateway_timeout():
    with serving("too_large", max_days=10, max_bytes=30_000) as vendor:
        for change in ({"end": "2025-10-20"}, {"end": "2025-10-10"}):
            with pytest.raises(BentoServerError) as refused:
                real_client(vendor.url).timeseries.get_range(**request(**change))
            assert refused.value.http_status == 504
        assert real_client(vendor.url).metadata.get_record_count(**request(end="2025-12-01")) > 1000
        assert len(list(real_client(vendor.url).timeseries.get_range(**request(end="2025-10-02")))) > 20


def test_the_first_byte_is_late_and_the_others_drip():
    with serving("slow_start", "drip", first_byte_s=0.3, bytes_per_s=10_000) as vendor:
        begun = time.monotonic()
        body = raw(vendor, "timeseries.get_range", **request()).content
        took = time.monotonic() - begun
        assert took > 0.3 + 0.8 * (len(body) / 10_000 - 0.05)
        begun = time.monotonic()
        raw(vendor, "metadata.get_record_count", **request())
        assert time.monotonic() - begun < 0.3
    with serving() as polite:
        assert raw(polite, "timeseries.get_range", **request()).content == body


def test_a_stream_ends_prematurely_once():
    with serving("breaks_off") as vendor:
        with pytest.raises(BentoError, match="prematurely"):
            real_client(vendor.url).timeseries.get_range(**request())
        assert len(list(real_client(vendor.url).timeseries.get_range(**request()))) > 200
        with pytest.raises(BentoError):
            real_client(vendor.url).timeseries.get_range(**request(end="2025-10-07"))


def test_what_broke_off_once_is_whole_at_a_vendor_that_was_started_again(tmp_path):
    for expected in ("prematurely", None):
        rude = Rudeness.of(["breaks_off"])
        with SampleVendor([DATABENTO.sample(Served(MARKETS, CALENDAR, None, lambda: NOW, rude))], rude=rude, cache=tmp_path) as vendor:
            if expected:
                with pytest.raises(BentoError, match=expected):
                    real_client(vendor.url).timeseries.get_range(**request())
            else:
                assert len(list(real_client(vendor.url).timeseries.get_range(**request()))) > 200


def test_old_days_are_generated_anew_and_their_condition_stays(start_vendor):
    polite, rude = (
        {row["date"]: row for row in real_client(vendor.url).metadata.get_dataset_condition("GLBX.MDP3", "2024-12-01", "2025-02-01")}
        for vendor in (start_vendor(), start_vendor("regenerated"))
    )
    assert {at: row["condition"] for at, row in polite.items()} == {at: row["condition"] for at, row in rude.items()}
    raised = {at for at in polite if polite[at] != rude[at]}
    assert raised == {at for at in polite if at < "2025-01-01"}
    assert {rude[at]["last_modified_date"][:7] for at in raised} <= {"2026-08", "2026-09"}


def test_the_last_day_needs_a_live_licence():
    now = dt.datetime(2025, 11, 26, 9, 30, tzinfo=dt.UTC)
    with serving("live_licence", now=now) as vendor:
        made = real_client(vendor.url)
        end = made.metadata.get_dataset_range("GLBX.MDP3")["end"]
        assert end.startswith("2025-11-26T00")
        with pytest.raises(BentoClientError) as refused:
            made.timeseries.get_range(**request(start="2025-11-20", end="2025-11-26"))
        assert refused.value.http_status == 403
        assert refused.value.json_body["detail"]["case"] == "license_not_found_unauthorized"
        assert "after 2025-11-25T09:30:00.000000000Z" in str(refused.value)
        assert made.metadata.get_cost(**request(start="2025-11-20", end="2025-11-26")) > 0
        assert len(list(made.timeseries.get_range(**request(start="2025-11-20", end="2025-11-25T09:30")))) > 100


def test_an_empty_range_is_refused_everywhere(start_vendor):
    assert real_client(start_vendor().url).metadata.get_dataset_condition("GLBX.MDP3", "2010-06-07", "2010-06-05") == []
    made = real_client(start_vendor("empty_ranges").url)
    with pytest.raises(BentoClientError) as refused:
        made.metadata.get_dataset_condition("GLBX.MDP3", "2010-06-07", "2010-06-05")
    assert refused.value.http_status == 422
    for start, end in (("2025-10-02", "2025-10-01"), ("2025-10-02", "2025-10-02")):
        for ask in (made.timeseries.get_range, made.metadata.get_cost, made.metadata.get_record_count):
            with pytest.raises(BentoClientError) as refused:
                ask(**request(start=start, end=end))
            assert refused.value.http_status == 422


def test_a_root_that_did_not_exist_is_not_found():
    weekly = {"HE": dataclasses.replace(MARKETS["HE"], option_roots=(OptionRoot("HE"), OptionRoot("HE1")))}
    asked = {"schema": "definition", "symbols": "HE.OPT,HE1.OPT"}
    with serving("unborn_roots", markets=weekly) as vendor:
        before = raw(vendor, "timeseries.get_range", **request(**asked, start="2020-10-01", end="2020-10-02"))
        assert before.status_code == 206
        assert stream(vendor, "definition", "HE.OPT,HE1.OPT", "2020-10-01", "2020-10-02").metadata.not_found == ["HE1.OPT"]
        across = stream(vendor, "definition", "HE.OPT,HE1.OPT", "2021-05-28", "2021-06-03").metadata
        assert (across.not_found, across.partial) == ([], ["HE1.OPT"])
        after = stream(vendor, "definition", "HE.OPT,HE1.OPT", "2021-06-02", "2021-06-03")
        assert (after.metadata.not_found, after.metadata.partial) == ([], [])
        assert any(symbol.startswith("HE1") for symbol in after.metadata.mappings)
        numbers = after.to_ndarray(schema="definition")["instrument_id"]
        assert len(set(numbers.tolist())) == len(numbers)
    with serving(markets=weekly) as polite:
        assert stream(polite, "definition", "HE.OPT,HE1.OPT", "2021-06-02", "2021-06-03").metadata.not_found == ["HE1.OPT"]


def test_daily_bars_cost_as_the_ledgers_say(start_vendor):
    polite, rude = (real_client(vendor.url).metadata for vendor in (start_vendor(), start_vendor("live_prices")))
    bars, definitions = request(schema="ohlcv-1d"), request(schema="definition")
    assert rude.get_cost(**bars) / polite.get_cost(**bars) == pytest.approx(177 / 12)
    assert rude.get_cost(**definitions) < polite.get_cost(**definitions)


# ---------------------------------------------------------------- batch


def job(made, **change):
    return made.batch.submit_job(**{**request(end="2025-10-04"), "split_duration": "day", **change})


def test_a_batch_job_is_the_stream_in_files_with_their_hashes(tmp_path):
    with serving() as vendor:
        made = real_client(vendor.url)
        submitted = job(made)
        assert submitted["state"] == "queued"
        (listed,) = made.batch.list_jobs()
        assert (listed["id"], listed["state"], listed["record_count"]) == (
            submitted["id"],
            "done",
            made.metadata.get_record_count(**request(end="2025-10-04")),
        )
        assert made.batch.get_job_details(submitted["id"])["progress"] == 100
        files = made.batch.list_files(submitted["id"])
        parts = [file["filename"] for file in files if file["filename"].endswith(".dbn.zst")]
        assert parts == [f"glbx-mdp3-2025100{n}.statistics.dbn.zst" for n in (1, 2, 3)]
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a wrong hash is only a warning of the client
            paths = [made.batch.download(submitted["id"], tmp_path, name)[0] for name in parts]
        joined = np.concatenate([databento_file(path) for path in paths])
        assert (
            joined.tobytes() == stream(vendor, "statistics", "HE.FUT", "2025-10-01", "2025-10-04").to_ndarray(schema="statistics").tobytes()
        )
        assert len(made.batch.download(submitted["id"], tmp_path / "zip")) == len(files)
        with pytest.raises(BentoClientError) as refused:
            made.batch.list_files("GLBX-20250101-0000000000")
        assert refused.value.http_status == 404


def databento_file(path):
    return DBNStore.from_file(path).to_ndarray(schema="statistics")


@pytest.mark.parametrize(("duration", "files"), [("none", 1), ("month", 1), ("week", 2), ("year", 1), ("day", 5)])
def test_a_job_is_split_as_asked(duration, files):
    with serving() as vendor:
        made = real_client(vendor.url)
        number = job(made, end="2025-10-08", split_duration=duration)["id"]
        assert sum(file["filename"].endswith(".dbn.zst") for file in made.batch.list_files(number)) == files


def test_a_rude_job_makes_one_wait_and_its_download_breaks_off_once(tmp_path):
    with serving("slow_jobs", "breaks_off", busy_polls=2) as vendor:
        made = real_client(vendor.url)
        number = job(made, split_duration="none")["id"]
        with pytest.raises(BentoClientError):
            made.batch.list_files(number)
        states = [made.batch.list_jobs()[0]["state"] for _ in range(4)]
        assert states == ["queued", "processing", "done", "done"]
        (name,) = [file["filename"] for file in made.batch.list_files(number) if file["filename"].endswith(".zst")]
        (file,) = [file for file in made.batch.list_files(number) if file["filename"] == name]
        address, key = file["urls"]["https"], (SAMPLE_KEY, "")
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            requests.get(address, auth=key, timeout=10)
        whole = requests.get(address, auth=key, timeout=10)
        assert f"sha256:{hashlib.sha256(whole.content).hexdigest()}" == file["hash"]
        rest = requests.get(address, headers={"Range": "bytes=100-"}, auth=key, timeout=10)
        assert (rest.status_code, rest.content) == (206, whole.content[100:])
        assert rest.headers["Content-Range"] == f"bytes 100-{file['size'] - 1}/{file['size']}"
    with serving("breaks_off") as vendor:  # the client takes up what broke off, from where it did
        made = real_client(vendor.url)
        number = job(made, split_duration="none")["id"]
        (path,) = made.batch.download(number, tmp_path, "glbx-mdp3-20251001-20251003.statistics.dbn.zst")
        assert len(databento_file(path)) > 100


def test_jobs_outlive_the_vendor_that_took_them(tmp_path):
    with serving(cache=tmp_path) as vendor:
        number = job(real_client(vendor.url))["id"]
        hashes = [file["hash"] for file in real_client(vendor.url).batch.list_files(number) if "dbn" in file["filename"]]
    with serving("slow_jobs", cache=tmp_path, busy_polls=5) as again:
        made = real_client(again.url)
        assert [each["state"] for each in made.batch.list_jobs()] == ["done"]
        assert [file["hash"] for file in made.batch.list_files(number) if "dbn" in file["filename"]] == hashes


def test_a_figure_without_a_date_has_the_id_of_the_session_that_it_describes(records):
    """The morning after an expiration: what is said of the session before is said under the ids of that session."""
    asked = {"symbols": "HE.OPT", "start": "2014-10-15", "end": "2014-10-16"}
    dated, undated = counted(records("reused_ids", **asked)), counted(records("reused_ids", "undated", **asked))
    assert (undated["ts_ref"] == UNDEF_TIMESTAMP).all()
    assert not (dated["ts_ref"] == UNDEF_TIMESTAMP).any()
    assert dated["instrument_id"].tolist() == undated["instrument_id"].tolist()


# ---------------------------------------------------------------- the CFTC


def cftc(vendor, folder, now=NOW):
    return CftcSource(folder, CALENDAR, base_url=vendor.url, max_attempts=1, now=lambda: now)


def cot_text(vendor, year):
    body = requests.get(f"{vendor.url}/files/dea/history/fut_disagg_txt_{year}.zip", timeout=60).content
    with zipfile.ZipFile(io.BytesIO(body)) as opened:
        return opened.read(opened.namelist()[0])


def test_a_market_is_absent_for_months(start_vendor):
    now = dt.datetime(2025, 8, 1, tzinfo=dt.UTC)
    with serving("absent_market", now=now) as vendor:
        text = cot_text(vendor, 2025).decode()
    assert OATS not in text
    assert MARKETS["ZR"].cftc_code in text
    whole, polite = cot_text(start_vendor("absent_market"), 2025).decode(), cot_text(start_vendor(), 2025).decode()
    assert polite.count(f",{OATS},SYN") - whole.count(f",{OATS},SYN") > 30
    assert whole.count(f",{OATS},SYN") > 10
    assert cot_text(start_vendor("absent_market"), 2024) == cot_text(start_vendor(), 2024)


def test_a_bad_byte_and_rows_with_options_in_them(start_vendor, tmp_path):
    with pytest.raises(UnicodeDecodeError):
        cot_text(start_vendor("bad_byte"), 2024).decode()
    text = cot_text(start_vendor("combined_rows"), 2024).decode().splitlines()
    assert sum("Combined" in line for line in text[1:]) == len(text[1:]) / 2
    assert sorted(line for line in text if ",Combined," not in line) == sorted(cot_text(start_vendor(), 2024).decode().splitlines())


def test_an_archive_that_is_not_there_is_a_page_with_status_200(start_vendor, tmp_path):
    url = "/files/dea/history/fut_disagg_txt_2027.zip"
    answer = requests.get(start_vendor("html_january").url + url, timeout=5)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert requests.get(start_vendor().url + url, timeout=5).status_code == 404
    with pytest.raises(NotPublishedError):
        cftc(start_vendor(), tmp_path).fetch_once(2027)


@pytest.mark.slow
def test_the_member_of_the_history_is_spelt_otherwise(start_vendor):
    names = []
    for vendor in (start_vendor(), start_vendor("member_case")):
        body = requests.get(f"{vendor.url}/files/dea/history/fut_disagg_txt_hist_2006_2016.zip", timeout=120).content
        with zipfile.ZipFile(io.BytesIO(body)) as opened:
            names += opened.namelist()
    assert names == ["F_Disagg06_16.txt", "F_DisAgg06_16.txt"]


# ---------------------------------------------------------------- settings and the fixture


def test_the_sample_world_is_rude_by_a_setting(home):
    assert served(load_config()).rude == POLITE
    home.mkdir(parents=True, exist_ok=True)
    (home / "config.yaml").write_text("sample: {rude: all, first_byte_s: 0.2}\n")
    assert served(load_config()).rude == dataclasses.replace(Rudeness.all(), first_byte_s=0.2)
    (home / "config.yaml").write_text("sample: {rude: [friday, counts]}\n")
    assert served(load_config()).rude.on == ("counts", "friday")
    (home / "config.yaml").write_text("sample: {rude: [sunday]}\n")
    with pytest.raises(ConfigError, match="did you mean sundays"):
        served(load_config())


def test_the_fixture_starts_vendors_with_chosen_behaviours(rude_vendor):
    polite, rude = rude_vendor(), rude_vendor("counts")
    odd = request(start="2025-10-01T12:00", end="2025-10-01T18:05")
    counts = [real_client(vendor.url).metadata.get_record_count(**odd) for vendor in (polite, rude)]
    assert counts[0] < counts[1]
