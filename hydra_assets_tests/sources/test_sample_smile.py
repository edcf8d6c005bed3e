"""The embedded vendor's options: a pure function of the date, in real DBN, thin, and with what makes real quotes hard."""

import datetime as dt
from zoneinfo import ZoneInfo

import databento_dbn as dbn
import numpy as np
import pytest

from hydra_assets.config.load import load_config
from hydra_assets.core.calendar import LIVESTOCK
from hydra_assets.options.american import european_vol
from hydra_assets.sources.sample.curve import Curve, is_restated
from hydra_assets.sources.sample.monthly import RESTATED_AFTER, clock_ns, midnight
from hydra_assets.sources.sample.option_records import OptionPublisher
from hydra_assets.sources.sample.records import Publisher
from hydra_assets.sources.sample.smile import Chain
from hydra_assets.sources.sample.treasury import rate_of

MARKETS = load_config().markets
NOW = dt.datetime(2026, 6, 1, 9, tzinfo=dt.UTC)
CHICAGO = ZoneInfo("America/Chicago")
D = dt.date
YEAR = (midnight(D(2025, 1, 1)), midnight(D(2026, 1, 1)))


def publisher(symbol="HE", *, cache=None, now=NOW):
    return OptionPublisher(Chain(Curve(MARKETS[symbol]), MARKETS[symbol].option_roots[0].root), cache, lambda: now)


@pytest.fixture(scope="module")
def hogs():
    return publisher()


@pytest.fixture(scope="module")
def quotes(hogs):
    return hogs.records("bbo-1m", *YEAR)


@pytest.mark.parametrize("schema", OptionPublisher.schemas)
def test_the_same_day_is_the_same_in_every_range_and_every_instance(schema, hogs):
    low, high = midnight(D(2025, 3, 10)), midnight(D(2025, 3, 12))
    short, long = publisher().records(schema, low, high), hogs.records(schema, midnight(D(2025, 1, 1)), midnight(D(2025, 6, 1)))
    assert len(short) > 200
    assert np.array_equal(short, long[(long["ts_recv"] >= low) & (long["ts_recv"] < high)])


def test_what_the_cache_holds_is_what_would_be_encoded_and_is_encoded_once(tmp_path, monkeypatch, hogs):
    asked = ("statistics", midnight(D(2025, 5, 1)), midnight(D(2025, 7, 1)))
    assert np.array_equal(publisher(cache=tmp_path).records(*asked), hogs.records(*asked))
    assert len(list(tmp_path.rglob("*.records.zst"))) == 2
    monkeypatch.setattr(OptionPublisher, "_encode", lambda *_: pytest.fail("encoded again"))
    assert np.array_equal(publisher(cache=tmp_path).records(*asked), hogs.records(*asked))


@pytest.mark.parametrize("symbol", sorted(MARKETS))
def test_every_market_lists_options_on_its_own_futures_under_ids_of_their_own(symbol):
    made, day = publisher(symbol), D(2025, 6, 4)
    asked = ("definition", midnight(day), midnight(day + dt.timedelta(1)))
    futures = Publisher(made.chain.curve, None, lambda: NOW).records(*asked)
    rows = made.records(*asked)
    options = rows[np.isin(rows["instrument_class"], [b"C", b"P"])]
    assert len(options) > 40
    assert set(rows["instrument_class"]) == {b"C", b"P", b"T"}
    assert len(np.unique(rows["instrument_id"])) == len(rows)
    assert not set(rows["instrument_id"]) & set(futures["instrument_id"])
    outright = {row["instrument_id"]: row for row in futures if row["instrument_class"] == b"F"}
    for row in options:
        future = outright[row["underlying_id"]]
        assert (row["underlying"], row["expiration"]) == (future["raw_symbol"], future["expiration"])
    assert made.chain.on(D(2025, 6, 4)).number.tolist() == options["instrument_id"].tolist()


def test_values_are_american_without_arbitrage_and_give_their_smile_back(hogs):
    chain = hogs.chain.on(D(2025, 6, 4))
    years = np.array([(c.expiration - dt.datetime(2025, 6, 4, 13, tzinfo=CHICAGO)).total_seconds() for c in chain.contracts]) / (
        365 * 86_400
    )
    for k, tau in enumerate(years):
        call, put = ((chain.series == k) & (chain.right == side) for side in (1, -1))
        strike, future = chain.strike[call], chain.forward[call][0]
        c, p = chain.value[call], chain.value[put]
        assert (chain.value[call] >= np.maximum(future - strike, 0)).all()
        assert (np.diff(c) < 0).all()
        assert (np.diff(p) > 0).all()
        rate = rate_of(D(2025, 6, 4), tau)
        discount = np.exp(-rate * tau)
        assert (c - p <= future - strike * discount + 1e-6).all()  # what parity leaves of it when both can be exercised
        assert (c - p >= future * discount - strike - 1e-6).all()
        out = np.where(strike >= future, c, p)
        right = np.where(strike >= future, 1, -1)
        vol = european_vol(out, forward=future, strike=strike, tau=tau, rate=rate, right=right).vol
        assert ((vol > 0.08) & (vol < 0.9)).all()
        assert np.abs(np.diff(vol)).max() < 0.05  # one smooth smile of both rights


def test_strikes_are_listed_around_the_money_and_stay(hogs):
    contract = next(c for c in hogs.chain.curve.contracts if c.symbol == "HEM5" and c.last_day.year == 2025)
    series = hogs.chain.series(contract)
    assert not (series.listed[:-1] & ~series.listed[1:]).any()
    assert series.listed[-1].sum() > series.listed[0].sum()  # the price moved
    first = series.strikes[series.listed[0]]
    assert first[0] < series.forward[0] < first[-1]
    days = LIVESTOCK.session_days(D(2025, 1, 1), D(2025, 12, 31))
    counts = [len(hogs.chain.on(day).number) for day in days]
    assert min(counts) > 100
    assert max(counts) < 180
    assert {len(hogs.chain.with_options(day)) for day in days} == {5}


def test_few_strikes_are_liquid_and_on_some_days_too_few(hogs):
    """Open interest of at least 50 and a market no wider than a fifth, by each strike's out-of-the-money side."""
    tick, found = hogs.chain.listing.tick, []
    for day in LIVESTOCK.session_days(D(2025, 1, 1), D(2025, 12, 31)):
        chain = hogs.chain.on(day)
        out = chain.right * (chain.strike - chain.forward) >= 0
        tight = (chain.spread * tick <= 0.2 * chain.value) | (chain.spread <= 2)
        good = out & tight & (chain.interest >= 50) & (chain.value > chain.spread * tick / 2)
        found.append([int((good & (chain.series == k)).sum()) for k in range(5)])
    median = np.median(found, axis=0)
    assert 7 <= median[0] <= 12
    assert 8 <= median[1] <= 13
    assert median[4] < median[1] / 2
    assert 0.1 < np.mean(np.array(found)[:, 0] < 8) < 0.6
    assert max(int(hogs.chain.on(day).interest.max()) for day in LIVESTOCK.session_days(D(2025, 3, 1), D(2025, 6, 1))) < 3_000


def test_quotes_have_the_flaws_of_real_ones(quotes, hogs):
    listed = hogs.records("definition", *YEAR)
    outright = quotes[quotes["instrument_id"] < 2_900_000_000]
    bid, ask = outright["bid_px_00"], outright["ask_px_00"]
    no_bid, no_ask = (bid == dbn.UNDEF_PRICE) | (bid == 0), (ask == dbn.UNDEF_PRICE) | (ask == 0)
    for share, least, most in (
        (np.mean(no_bid & ~no_ask), 0.01, 0.10),
        (np.mean(no_ask & ~no_bid), 0.01, 0.05),
        (np.mean(no_ask & no_bid), 0.001, 0.02),
        (np.mean(ask == 0), 0.001, 0.02),
        (np.mean(bid == 0), 0.001, 0.10),
        (np.mean(~no_bid & ~no_ask & (bid > ask)), 0.001, 0.02),
        (len(outright) / len(listed), 2.5, 6.0),
    ):
        assert least < share < most
    day = outright["ts_recv"] // (86_400 * 10**9)
    quoted = len(np.unique(np.stack([outright["instrument_id"].astype(np.int64), day.astype(np.int64)]), axis=1).T)
    assert 0.75 < quoted / len(listed) < 0.95  # the others were silent
    assert (outright["ts_recv"] % (60 * 10**9) == 0).all()  # ends of minutes
    traded = outright["ts_event"] != dbn.UNDEF_TIMESTAMP
    assert 0.01 < traded.mean() < 0.6
    assert ((outright["price"] != dbn.UNDEF_PRICE) == traded).all()


@pytest.mark.parametrize("date", [D(2025, 1, 22), D(2025, 7, 23)])
def test_records_lie_in_the_session_some_at_the_cut_and_some_after(date, quotes):
    of_day = quotes[(quotes["ts_recv"] >= midnight(date)) & (quotes["ts_recv"] < midnight(date + dt.timedelta(1)))]
    at = of_day["ts_recv"].astype(np.int64)
    assert clock_ns(LIVESTOCK, date, "08:30") < at.min()
    assert at.max() <= clock_ns(LIVESTOCK, date, "13:05")
    assert (at == clock_ns(LIVESTOCK, date, "13:00")).sum() > 3
    assert (at > clock_ns(LIVESTOCK, date, "13:00")).sum() > 10


def test_on_the_last_day_nothing_is_quoted_after_noon(quotes, hogs):
    contract = next(c for c in hogs.chain.curve.contracts if c.last_day.year == 2025)
    numbers = hogs.chain.series(contract).numbers.ravel()
    of_day = quotes[np.isin(quotes["instrument_id"], numbers) & (quotes["ts_recv"] >= midnight(contract.last_day))]
    assert len(of_day) > 10
    assert of_day["ts_recv"].max() <= clock_ns(LIVESTOCK, contract.last_day, "12:00")


def test_a_degraded_day_lacks_quotes_until_it_is_mended():
    bad = next(day for day in LIVESTOCK.session_days(D(2025, 1, 6), D(2026, 4, 1)) if is_restated(day))
    early, late = (dt.datetime.combine(bad + dt.timedelta(n), dt.time(12), dt.UTC) for n in (3, RESTATED_AFTER.days + 10))
    asked = ("bbo-1m", midnight(bad), midnight(bad + dt.timedelta(1)))
    first, mended = (publisher(now=now).records(*asked) for now in (early, late))
    assert len(first) < len(mended) * 0.97
    assert set(map(bytes, first)) < set(map(bytes, mended))


def test_statistics_come_in_their_order(hogs):
    """Preliminary after the close, final in the evening after the futures', open interest on the morning of the next session."""
    day, after = D(2025, 12, 5), D(2025, 12, 8)  # over a weekend
    rows = hogs.records("statistics", midnight(day), midnight(after + dt.timedelta(1)))
    rows = rows[rows["ts_ref"] == midnight(day)]
    at, kind, flags = rows["ts_recv"].astype(np.int64), rows["stat_type"], rows["stat_flags"]
    soon, final = at[(kind == 3) & (flags == 2)], at[(kind == 3) & (flags == 3)]
    assert clock_ns(LIVESTOCK, day, "13:00") < soon.min()
    assert soon.max() < clock_ns(LIVESTOCK, day, "14:00")
    assert clock_ns(LIVESTOCK, day, "18:00") + 20 * 10**9 <= final.min()
    assert np.quantile(final, 0.95) < clock_ns(LIVESTOCK, day, "18:01")
    assert len(soon) == len(hogs.chain.on(day).number)
    for stat in (6, 9):
        assert clock_ns(LIVESTOCK, after, "06:40") < at[kind == stat].min()
        assert at[kind == stat].max() < clock_ns(LIVESTOCK, after, "07:00")
