"""The embedded vendor's futures: a pure function of the date, in real DBN, with what makes real data hard."""

import datetime as dt
from email.message import Message
from pathlib import Path

import numpy as np
import pytest

import hydra_assets
from hydra_assets.config.load import load_config, load_release_calendar
from hydra_assets.core.calendar import LIVESTOCK
from hydra_assets.sources.sample import monthly
from hydra_assets.sources.sample.curve import Curve, is_degraded, is_restated
from hydra_assets.sources.sample.databento import FakeDatabento, Refused
from hydra_assets.sources.sample.monthly import midnight
from hydra_assets.sources.sample.records import Publisher, condition
from hydra_assets.sources.sample.side import Request, Served

MARKETS = load_config().markets
NOW = dt.datetime(2026, 6, 1, 9, tzinfo=dt.UTC)
D = dt.date
SCHEMAS = Publisher.schemas


def publisher(symbol="HE", *, cache=None, now=NOW):
    return Publisher(Curve(MARKETS[symbol]), cache, lambda: now)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_the_same_day_is_the_same_in_every_range_and_every_instance(schema):
    low, high = midnight(D(2025, 3, 10)), midnight(D(2025, 3, 12))
    short = publisher().records(schema, low, high)
    long = publisher().records(schema, midnight(D(2024, 11, 1)), midnight(D(2025, 6, 1)))
    at = long["ts_recv" if "ts_recv" in long.dtype.names else "ts_event"]
    assert len(short) > 20
    assert np.array_equal(short, long[(at >= low) & (at < high)])


@pytest.mark.parametrize("schema", SCHEMAS)
def test_what_the_cache_holds_is_what_would_be_encoded_and_is_encoded_once(schema, tmp_path, monkeypatch):
    asked = (schema, midnight(D(2024, 5, 1)), midnight(D(2024, 8, 1)))
    plain = publisher().records(*asked)
    assert np.array_equal(publisher(cache=tmp_path).records(*asked), plain)
    kept = list(tmp_path.rglob("*.records.zst"))
    assert len(kept) == 3
    monkeypatch.setattr(Publisher, "_encode", lambda *_: pytest.fail("encoded again"))
    assert np.array_equal(publisher(cache=tmp_path).records(*asked), plain)


def test_a_month_that_can_still_change_is_not_cached(tmp_path):
    publisher(cache=tmp_path).records("ohlcv-1d", midnight(D(2026, 5, 1)), midnight(D(2026, 6, 1)))
    assert not list(tmp_path.rglob("*.records.zst"))


@pytest.mark.parametrize("symbol", sorted(MARKETS))
def test_every_market_has_a_curve_that_trades_on_sessions_alone(symbol):
    made = publisher(symbol)
    for schema in SCHEMAS:
        rows = made.records(schema, midnight(D(2024, 1, 1)), midnight(D(2025, 1, 1)))
        assert len(rows) > 1000, schema
    bars = made.records("ohlcv-1d", midnight(D(2024, 1, 1)), midnight(D(2025, 1, 1)))
    days = {D(1970, 1, 1) + dt.timedelta(int(day)) for day in np.unique(bars["ts_event"] // (86_400 * 10**9))}
    assert days == set(MARKETS[symbol].calendar.session_days(D(2024, 1, 1), D(2024, 12, 31)))
    outright = bars[bars["close"] > 0]
    assert (outright["low"] <= outright["close"]).all()
    assert (outright["high"] >= outright["close"]).all()


def test_the_hogs_have_a_season_and_their_open_interest_moves_on():
    curve = Curve(MARKETS["HE"])
    spread = []
    for year in range(2012, 2026):
        day = LIVESTOCK.session_days(D(year, 1, 10), D(year, 1, 20))[0]
        listed = {c.symbol[:3]: c for c in curve.listed_on(day) if c.month.year == year}
        june, december = (float(history.settle[i]) for history, i in (curve.at(listed[s], day) for s in ("HEM", "HEZ")))
        spread.append(june / december)
    assert np.mean(spread) > 1.1
    contract = next(c for c in curve.contracts if c.symbol == "HEM5" and c.last_day.year == 2025)
    interest = curve.history(contract).open_interest
    peak = int(np.argmax(interest))
    assert 15 < len(interest) - peak < 60
    assert interest[-1] < 0.05 * interest[peak]


def test_conditions_pending_at_the_end_and_degraded_days_mended_later():
    end = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
    assert condition(D(2026, 6, 1), NOW, end)[0] == "pending"
    bad = next(day for day in LIVESTOCK.session_days(D(2025, 1, 6), D(2026, 5, 1)) if is_restated(day))
    early, late = (dt.datetime.combine(bad + dt.timedelta(n), dt.time(12), dt.UTC) for n in (3, 30))
    assert condition(bad, early, early) == ("degraded", bad + dt.timedelta(1))
    assert condition(bad, late, late) == ("available", bad + monthly.RESTATED_AFTER)
    kept = next(day for day in LIVESTOCK.session_days(D(2025, 1, 6), D(2026, 5, 1)) if is_degraded(day) and not is_restated(day))
    assert condition(kept, NOW, end) == ("degraded", kept + dt.timedelta(1))
    asked = ("ohlcv-1d", midnight(bad), midnight(bad + dt.timedelta(1)))
    first, mended = (publisher(now=now).records(*asked)["volume"].sum() for now in (early, late))
    assert first < mended


def test_it_refuses_as_databento_does():
    desk = FakeDatabento(Served(MARKETS, load_release_calendar(), now=lambda: NOW))
    assert desk.range_end == dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
    asked = {
        "dataset": "GLBX.MDP3",
        "schema": "ohlcv-1d",
        "symbols": "HE.FUT",
        "stype_in": "parent",
        "start": "2026-05-28",
        "end": "2026-06-02",
    }
    for change, status in (
        ({}, 422),  # it ends after the data do
        ({"end": "2026-05-27"}, 422),
        ({"end": "2026-05-29", "schema": "mbo"}, 422),
        ({"end": "2026-05-29", "dataset": "OPRA"}, 403),
        ({"end": "2026-05-29", "symbols": "XX.FUT"}, 422),
        ({"end": "2026-05-29", "stype_in": "raw_symbol"}, 422),
    ):
        with pytest.raises(Refused) as refused:
            desk._get_range({**asked, **change})
        assert refused.value.status == status
    assert desk.answer(Request("GET", "/v0/metadata.list_schemas", Message())).status == 401
    both = desk._get_range({**asked, "end": "2026-05-29", "symbols": "HE.FUT,XX.FUT"})
    assert both.status == 206


def test_what_the_package_ships_as_data_is_small():
    package = Path(hydra_assets.__file__).parent
    data = {path.name: path.stat().st_size for path in package.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert "lean_hogs_2025.csv" in data
    assert sum(data.values()) < 200_000
