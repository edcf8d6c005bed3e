"""Raw option tables by the real databento client: the last quote at the cut, known at the cut; open interest on the next morning."""

import dataclasses
import datetime as dt
import subprocess
import sys
import textwrap
from pathlib import Path
from zoneinfo import ZoneInfo

import databento_dbn as dbn
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from databento.common.dbnstore import DBNStore

import hydra_assets
from hydra_assets.config.load import load_config
from hydra_assets.core.calendar import GRAINS, LIVESTOCK, DatedTime
from hydra_assets.core.market import Market, OptionRoot
from hydra_assets.core.months import Month, months_between
from hydra_assets.core.option_rules import OptionRules
from hydra_assets.core.tables.registry import TABLES as ALL_TABLES
from hydra_assets.errors import BudgetError, VendorContentError, VendorRefusedError, VendorUnavailableError
from hydra_assets.flow.feed import keep
from hydra_assets.flow.feeds.databento import DATABENTO
from hydra_assets.flow.feeds.databento_plan import NO_ROOTS, complete_at, plan_of
from hydra_assets.sources.databento_join import unknown
from hydra_assets.sources.databento_options import OptionDefinitions, parse_option_definitions, parse_option_quotes
from hydra_assets.sources.databento_parse import parse_statistics
from hydra_assets.sources.ledger import Budget, Ledger
from hydra_assets.sources.sample.curve import chance, is_restated
from hydra_assets.storage.lake import ParquetLake
from hydra_assets_tests.conftest import SHARED, at
from hydra_assets_tests.defs.test_checks import check_alone, violations
from hydra_assets_tests.flow.test_databento import cut_records
from hydra_assets_tests.support.dagster_runs import materializations, run, verdicts
from hydra_assets_tests.support.databento_vendor import HE, NOW, answers, breaks_off, instead, request, vendor
from hydra_assets_tests.support.databento_vendor import patient_source as source
from hydra_assets_tests.support.option_history import History

D = dt.date
CHICAGO = ZoneInfo("America/Chicago")
CUT = dt.time(13)
TABLES = ("option_definitions", "option_quotes", "option_statistics")
NONE, NEVER = 2**64 - 1, lambda _: False
KEYS = {name: ALL_TABLES[name].key for name in TABLES}


def ns(when: dt.datetime) -> int:
    return round(when.timestamp()) * 10**9


def chicago(day: str, clock: str) -> int:
    return ns(dt.datetime.combine(D.fromisoformat(day), dt.time.fromisoformat(clock), CHICAGO))


def crafted(schema, *messages, mappings=(), start=0):
    """A real DBN answer, written by hand."""
    metadata = dbn.Metadata(
        dataset="GLBX.MDP3", start=start, end=2**62, stype_in=dbn.SType.PARENT, stype_out=dbn.SType.INSTRUMENT_ID,
        schema=dbn.Schema.from_str(schema), symbols=["HE.OPT"], not_found=[], partial=[], mappings=list(mappings), version=3,
    )  # fmt: skip
    return DBNStore.from_bytes(metadata.encode() + b"".join(bytes(message) for message in messages))


@dataclasses.dataclass
class Interval:
    start_date: dt.date
    end_date: dt.date
    symbol: str


@dataclasses.dataclass
class Mapped:
    raw_symbol: str
    intervals: list


def mapped(symbol, number):
    return Mapped(symbol, [Interval(D(2024, 1, 1), D(2027, 1, 1), str(number))])


def defined(number, *, day="2025-12-02", symbol="HEZ5 C8200", kind="C", **more):
    told = {
        "underlying": "HEZ5", "underlying_id": 71_011, "strike_price": 82 * 10**9, "expiration": ns(at("2025-12-12 18:00")),
        "min_price_increment": 25_000_000, "ts_recv": ns(at(day)),
    } | more  # fmt: skip
    return dbn.InstrumentDefMsg(
        publisher_id=1, instrument_id=number, ts_event=0, display_factor=10**7, raw_symbol=symbol, asset="HE", security_type="OOF",
        instrument_class=dbn.InstrumentClass.from_str(kind) if hasattr(dbn.InstrumentClass, "from_str") else dbn.InstrumentClass(kind),
        security_update_action=dbn.SecurityUpdateAction.ADD, **told,
    )  # fmt: skip


def quoted(number, stamp, bid=1.0, ask=1.1, *, bid_size=5, ask_size=6, ts_event=NONE):
    def price(value):
        return dbn.UNDEF_PRICE if value is None else round(value * 1e9)

    return dbn.BBOMsg(
        rtype=196, publisher_id=1, instrument_id=number, ts_event=ts_event, ts_recv=stamp, price=dbn.UNDEF_PRICE, size=0,
        side=dbn.Side.NONE, flags=0, levels=dbn.BidAskPair(price(bid), price(ask), bid_size, ask_size, 1, 1),
    )  # fmt: skip


def definitions_of(*messages):
    store = crafted("definition", *messages)
    return parse_option_definitions(store, HE, synthetic=True, degraded=NEVER, place="test")


def clock(time):
    return DatedTime(((dt.date.min, time),))


def quotes_of(definitions, *messages, cut=CUT, degraded=NEVER, mappings=()):
    store = crafted("bbo-1m", *messages, mappings=mappings)
    return parse_option_quotes(store, definitions, cut=clock(cut), zone=CHICAGO, synthetic=True, degraded=degraded)


@pytest.fixture(scope="module")
def known():
    """Options 1 and 2 on a winter's day, and option 1 on a summer's day."""
    made = definitions_of(
        defined(1), defined(2, symbol="HEZ5 P8200", kind="P"),
        defined(1, day="2025-07-08", symbol="HEQ5 C9000", underlying="HEQ5", expiration=ns(at("2025-08-14 17:00"))),
    )  # fmt: skip
    return OptionDefinitions(made.table)


# ---------------------------------------------------------------- definitions


def test_calls_and_puts_alone_are_taken_with_what_they_are_on():
    parsed = definitions_of(
        defined(1), defined(2, kind="P"), defined(3, kind="T", symbol="UD:1V: VT 1"), defined(4, kind="F", symbol="HEZ5")
    )
    assert (parsed.records, parsed.left_out, parsed.quarantined) == (4, 2, [])
    first, second = parsed.table.drop_columns(["stamped_at"]).to_pylist()
    assert first == {
        "instrument": "HEZ5 C8200", "instrument_id": 1, "underlying": "HEZ5", "underlying_id": 71_011, "right": "C", "strike": 82.0,
        "expiration": at("2025-12-12 18:00"), "as_of": at("2025-12-02"), "available_at": at("2025-12-02"), "tick": 0.025,
        "multiplier": 400.0, "quality": "normal", "synthetic": True,
    }  # fmt: skip
    assert second["right"] == "P"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"underlying": ""}, "no underlying"),
        ({"underlying_id": 0}, "no underlying"),
        ({"strike_price": dbn.UNDEF_PRICE}, "no strike"),
        ({"strike_price": 0}, "no strike"),
        ({"expiration": NONE}, "no expiration"),
        ({"min_price_increment": dbn.UNDEF_PRICE}, "no tick"),
    ],
)
def test_a_definition_that_can_be_joined_to_nothing_is_quarantined(change, why):
    parsed = definitions_of(defined(1), defined(2, **change))
    assert parsed.table["instrument_id"].to_pylist() == [1]
    assert parsed.quarantined == [f"HEZ5 C8200 (id 2): {why}"]


@pytest.mark.parametrize(("strike", "kept"), [(-10 * 10**9, True), (0, True), (dbn.UNDEF_PRICE, False)])
def test_a_strike_below_zero_is_kept_where_prices_can_lie_there(strike, kept):
    crude = load_config().market("CL")
    store = crafted("definition", defined(2, strike_price=strike, min_price_increment=10_000_000))
    parsed = parse_option_definitions(store, crude, synthetic=True, degraded=NEVER, place="test")
    assert parsed.table["strike"].to_pylist() == ([strike / 1e9] if kept else [])
    assert parsed.quarantined == ([] if kept else ["HEZ5 C8200 (id 2): no strike"])


def test_of_two_definitions_of_one_instant_the_later_stands():
    parsed = definitions_of(defined(1), defined(1, strike_price=84 * 10**9), defined(1, ts_recv=ns(at("2025-12-02 15:00"))))
    assert parsed.table["strike"].to_pylist() == [84.0, 82.0]
    assert parsed.repeated == 1


@pytest.mark.parametrize("tick", [250_000, 2_500_000_000])
def test_ticks_in_another_unit_are_refused(tick):
    with pytest.raises(VendorContentError, match=r"HEZ5 C8200 moves by .* HE is configured with ticks of 0.025 cents per lb"):
        definitions_of(defined(1, min_price_increment=tick))
    assert definitions_of(defined(1, min_price_increment=12_500_000)).table["tick"].to_pylist() == [0.0125]  # half a tick is usual


# ---------------------------------------------------------------- quotes


@pytest.mark.parametrize(("day", "utc"), [("2025-12-02", "19:00"), ("2025-07-08", "18:00")])
def test_the_last_quote_at_or_before_the_cut_stands_in_winter_and_summer(known, day, utc):
    parsed = quotes_of(
        known,
        quoted(1, chicago(day, "07:59"), 9.0, 9.1),
        quoted(1, chicago(day, "12:58"), 1.0, 1.1),
        quoted(1, chicago(day, "13:00"), 2.0, 2.1, ts_event=chicago(day, "09:15")),
        quoted(1, chicago(day, "13:01"), 3.0, 3.1),
    )
    (row,) = parsed.table.to_pylist()
    assert (row["bid"], row["ask"], row["bid_size"], row["ask_size"]) == (2.0, 2.1, 5, 6)
    assert row["available_at"] == row["quoted_at"] == at(f"{day} {utc}")  # its own time is no last trade's
    assert row["as_of"] == at(day)
    assert parsed.records == 4
    early = quotes_of(known, quoted(1, chicago(day, "13:00")), quoted(1, chicago(day, "12:00"), 4.0, 4.1), cut=dt.time(12, 30))
    assert (early.table["bid"].to_pylist(), early.table["available_at"].to_pylist()) == (
        [4.0],
        [at(f"{day} {utc}") - dt.timedelta(minutes=30)],
    )


def test_the_last_quote_is_the_latest_in_whatever_order_they_come(known):
    early, late = quoted(1, chicago("2025-12-02", "10:00"), 2.0, 2.1), quoted(1, chicago("2025-12-02", "12:58"), 1.0, 1.1)
    assert quotes_of(known, late, early).table.to_pylist() == quotes_of(known, early, late).table.to_pylist()
    assert quotes_of(known, late, early).table["bid"].to_pylist() == [1.0]


def test_a_quote_of_the_night_or_after_the_cut_alone_is_none(known):
    alone = [quoted(1, chicago("2025-12-02", clock)) for clock in ("02:00", "07:59", "13:01", "16:00", "20:00")]
    assert quotes_of(known, *alone).table.num_rows == 0
    assert quotes_of(known, quoted(1, chicago("2025-12-02", "08:00"))).table.num_rows == 1


def test_a_stale_quote_keeps_its_own_time(known):
    (row,) = quotes_of(known, quoted(1, chicago("2025-12-02", "09:12"))).table.to_pylist()
    assert (row["quoted_at"], row["available_at"]) == (at("2025-12-02 15:12"), at("2025-12-02 19:00"))


@pytest.mark.parametrize(
    ("bid", "ask", "told"),
    [
        (None, 1.1, (None, 1.1)),
        (0.0, 1.1, (None, 1.1)),
        (1.0, None, (1.0, None)),
        (1.0, 0.0, (1.0, None)),
        (-0.5, 1.1, (None, 1.1)),
        (None, None, (None, None)),
        (1.2, 1.1, (1.2, 1.1)),  # crossed: as it was; who uses it judges
    ],
)
def test_a_side_without_an_order_is_null_and_a_crossed_book_is_kept(known, bid, ask, told):
    earlier = quoted(1, chicago("2025-12-02", "09:00"), 5.0, 5.1)
    (row,) = quotes_of(known, earlier, quoted(1, chicago("2025-12-02", "10:00"), bid, ask)).table.to_pylist()
    assert (row["bid"], row["ask"]) == told
    assert (row["bid_size"] is None, row["ask_size"] is None) == (told[0] is None, told[1] is None)


def test_what_nothing_defines_that_day_is_quarantined_and_a_combination_left_out(known):
    stamp = chicago("2025-12-02", "10:00")
    parsed = quotes_of(
        known, quoted(2, stamp), quoted(3, stamp), quoted(4, stamp), quoted(5, stamp),
        mappings=[mapped("HEZ5 C8400", 3), mapped("UD:1V: VT 7", 4)],
    )  # fmt: skip
    assert parsed.table["instrument"].to_pylist() == ["HEZ5 P8200"]
    assert parsed.left_out == 1
    assert parsed.quarantined == [
        "HEZ5 C8400 (id 3) on 2025-12-02: no definition of it in the lake",
        "an instrument without a symbol (id 5) on 2025-12-02: no definition of it in the lake",
    ]


@pytest.mark.parametrize(
    ("day", "definition", "kept"),
    [
        ("2025-12-03", "2025-12-02", "partial"),
        ("2025-12-09", "2025-12-02", "partial"),
        ("2025-12-10", "2025-12-02", None),  # too long ago
        ("2025-12-01", "2025-12-02", None),  # nothing is known ahead
        ("2025-12-12", "2025-12-11", "partial"),
        ("2025-12-15", "2025-12-11", None),  # expired on the 12th: the id may be another option's by now
    ],
)
def test_where_a_days_definition_is_lost_the_one_before_it_serves(day, definition, kept):
    known = OptionDefinitions(definitions_of(defined(1, day=definition)).table)
    parsed = quotes_of(known, quoted(1, chicago(day, "10:00")))
    assert parsed.table["quality"].to_pylist() == [kept] * bool(kept)
    assert len(parsed.quarantined) == (kept is None)


def test_the_definition_of_the_day_comes_before_an_earlier_one():
    known = OptionDefinitions(definitions_of(defined(1), defined(1, day="2025-12-03", symbol="HEZ5 C8300")).table)
    (row,) = quotes_of(known, quoted(1, chicago("2025-12-03", "10:00"))).table.to_pylist()
    assert (row["instrument"], row["quality"]) == ("HEZ5 C8300", "normal")


def test_a_late_figure_of_a_day_before_the_answer_is_no_lost_record_where_nothing_names_it(known):
    """A combination of the last day of the month before, whose figures come in the morning, has no symbol in this month's answer."""
    day = np.array([(D(2025, 12, 1) - D(1970, 1, 1)).days])
    late = crafted("statistics", start=ns(at("2025-12-02 13:00")))
    own = crafted("statistics", start=ns(at("2025-12-01 13:00")))
    named = crafted("statistics", mappings=[mapped("HEZ5 C8400", 5)], start=ns(at("2025-12-02 13:00")))
    assert unknown(late, known, np.array([5]), day) == (1, {})
    assert len(unknown(own, known, np.array([5]), day)[1]) == 1
    assert len(unknown(named, known, np.array([5]), day)[1]) == 1


def test_an_id_used_again_is_what_it_was_on_the_day(known):
    rows = quotes_of(known, quoted(1, chicago("2025-07-08", "10:00")), quoted(1, chicago("2025-12-02", "10:00"))).table
    assert rows["instrument"].to_pylist() == ["HEQ5 C9000", "HEZ5 C8200"]


def test_quality_is_the_vendors_word_on_the_day(known):
    asked = [quoted(1, chicago(day, "10:00")) for day in ("2025-07-08", "2025-12-02")]
    assert quotes_of(known, *asked, degraded=lambda d: d == D(2025, 7, 8)).table["quality"].to_pylist() == ["degraded", "normal"]


def test_databentos_own_files_go_the_same_way():
    folder = SHARED / "data" / "dbn"
    if not folder.exists():
        pytest.skip("Databento's own sample files are not beside this checkout (../shared/data/dbn)")
    es = Market("ES", "E-mini S&P 500", "CME", "America/Chicago", 50.0, 0.25, "index points", "13874A", "GLBX.MDP3")
    definition, bbo = (DBNStore.from_file(folder / f"test_data.{schema}.dbn.zst") for schema in ("definition", "bbo-1m"))
    future = parse_option_definitions(definition, es, synthetic=False, degraded=NEVER, place="test_data")
    assert (future.table.num_rows, future.left_out) == (0, future.records)  # a future is no option
    nothing = OptionDefinitions(future.table)
    night = parse_option_quotes(bbo, nothing, cut=clock(CUT), zone=CHICAGO, synthetic=False, degraded=NEVER)
    assert (night.table.num_rows, night.quarantined) == (0, [])  # minutes after midnight UTC: the evening in Chicago
    assert night.records == len(bbo.to_ndarray()) > 0
    there = parse_option_quotes(bbo, nothing, cut=clock(CUT), zone=ZoneInfo("Asia/Tokyo"), synthetic=False, degraded=NEVER)
    assert there.quarantined == ["ESH1 (id 5482) on 2020-12-28: no definition of it in the lake"]
    minutes = parse_option_quotes(
        bbo, OptionDefinitions(definitions_of(defined(5482, day="2020-12-28", symbol="X")).table),
        cut=clock(dt.time(9, 1)), zone=ZoneInfo("Asia/Tokyo"), synthetic=False, degraded=NEVER,
    ).table.to_pylist()  # fmt: skip
    raw = bbo.to_df()
    last = raw[raw.index <= pd.Timestamp("2020-12-28T00:01Z")].iloc[-1]
    assert [(row["bid"], row["ask"], row["quoted_at"]) for row in minutes] == [(last["bid_px_00"], last["ask_px_00"], last.name)]


# ---------------------------------------------------------------- from the vendor to the lake


def lay(asking, lake, data_type, months, *, market=HE, today=None):
    """Plan, fetch, append; the plan, and how many rows were new."""
    plan = plan_of(asking, lake, data_type, market, months, today or asking._now().date())
    fetched, new = DATABENTO.fetch(asking, [plan]), 0
    for batch in DATABENTO.batches(fetched, lake):
        new += keep(batch, lake, asking.ledger)
    assert fetched.quarantined == []
    return plan, new


@pytest.fixture(scope="module")
def laid(tmp_path_factory):
    """July and November to December of 2025 in a lake, and the answer to the quotes of the latter."""
    folder = tmp_path_factory.mktemp("laid")
    lake = ParquetLake(folder / "lake", world="sample")
    now = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
    with vendor(now=now) as running, source(running.url, folder, now=now) as asking:
        for months in (months_between("2025-07", "2025-07"), months_between("2025-11", "2025-12")):
            for table in TABLES:
                lay(asking, lake, table, months)
        stores = {
            schema: asking.fetch(request(schema, "2025-11-01", "2025-12-31", "HE.OPT")).store() for schema in ("bbo-1m", "definition")
        }
    return lake, stores


def test_the_lake_holds_what_pandas_finds_in_the_same_answer(laid):
    """The last row a day at or before 13:00 in Chicago, by another way: group, sort, take the last."""
    lake, stores = laid
    frame = stores["bbo-1m"].to_df(map_symbols=True)
    local = frame.index.tz_convert("America/Chicago")
    frame = frame[(local.time <= CUT) & ~frame["symbol"].str.startswith("UD:")]
    last = frame.groupby([frame.index.date, "instrument_id"]).tail(1).reset_index()
    last[["bid", "ask"]] = last[["bid_px_00", "ask_px_00"]].where(lambda prices: prices > 0)
    wanted = {
        (row.instrument_id, row.ts_recv.date()): (row.symbol, *(None if np.isnan(p) else p for p in (row.bid, row.ask)), row.ts_recv)
        for row in last.itertuples()
    }
    held = {
        (row["instrument_id"], row["as_of"].date()): (row["instrument"], row["bid"], row["ask"], row["quoted_at"])
        for row in lake.read("option_quotes", "HE", D(2025, 11, 1), D(2025, 12, 30)).to_pylist()
    }
    assert len(held) > 4_000
    assert held == {key: (*value[:3], value[3].to_pydatetime()) for key, value in wanted.items()}


def test_everything_is_known_at_the_cut_and_nothing_before(laid):
    lake, _ = laid
    for day, cut in ((D(2025, 7, 9), at("2025-07-09 18:00")), (D(2025, 12, 3), at("2025-12-03 19:00"))):
        seen = [
            lake.read_known("option_quotes", "HE", t, key=KEYS["option_quotes"], start=day, end=day)
            for t in (cut - dt.timedelta(seconds=1), cut)
        ]
        assert seen[0].num_rows == 0
        assert seen[1].num_rows > 80
        assert pc.max(seen[1]["quoted_at"]).as_py() <= cut


def test_open_interest_of_a_day_is_out_on_the_morning_of_the_next(laid):
    lake, _ = laid
    day, key = D(2025, 12, 5), KEYS["option_statistics"]  # a Friday

    def known(t):
        rows = lake.read_known("option_statistics", "HE", t, key=key, start=day, end=day)
        return set(rows["stat"].to_pylist()), rows

    assert known(at("2025-12-05 19:00"))[0] == set()
    assert known(at("2025-12-05 20:00"))[0] == {"settlement"}
    assert known(at("2025-12-08 12:30"))[0] == {"settlement"}
    stats, rows = known(at("2025-12-08 13:30"))
    assert stats == {"settlement", "open_interest", "cleared_volume"}
    assert set(rows.filter(pc.equal(rows["stat"], "settlement"))["is_final"].to_pylist()) == {True}
    assert pc.max(rows["value"]).as_py() > 500
    preliminary = known(at("2025-12-05 20:00"))[1]
    assert set(preliminary["is_final"].to_pylist()) == {False}


def test_options_settle_after_their_futures_and_lie_on_them(laid, tmp_path):
    lake, stores = laid
    defined = lake.read("option_definitions", "HE", D(2025, 12, 3), D(2025, 12, 3))
    assert set(defined["right"].to_pylist()) == {"C", "P"}
    with vendor(now=dt.datetime(2026, 3, 1, tzinfo=dt.UTC)) as running, source(running.url, tmp_path) as asking:
        futures = asking.fetch(request("definition", "2025-12-03", "2025-12-04")).store().to_df()
    expiries = {(row.instrument_id, row.raw_symbol): row.expiration for row in futures[futures.instrument_class == "F"].itertuples()}
    for row in defined.drop_columns(["stamped_at"]).to_pylist():
        assert expiries[row["underlying_id"], row["underlying"]] == row["expiration"]
    assert (stores["definition"].to_df()["instrument_class"] == "T").any()  # there were combinations
    assert not [name for table in TABLES for name in pc.unique(lake.read(table, "HE")["instrument"]).to_pylist() if ":" in name]


def first_chance(share, word):
    """The first session from 2024 on, Monday to Thursday, on which it happens."""
    days = LIVESTOCK.session_days(D(2024, 1, 2), D(2025, 10, 31))
    return next(day for day in days if chance(share, word, "HE", day) and day.weekday() < 4)


def test_a_corrected_settlement_is_a_later_final_and_a_deleted_number_a_row_without_value(tmp_path, lake):
    corrected, retracted = first_chance(1 / 80, "corrected options"), first_chance(1 / 160, "retracted options")
    with vendor() as running, source(running.url, tmp_path) as asking:
        for table in ("option_definitions", "option_statistics"):
            lay(asking, lake, table, sorted({Month.of(corrected), Month.of(retracted)}))
    rows = lake.read("option_statistics", "HE", corrected, corrected)
    finals = {}
    for row in rows.filter(pc.fill_null(rows["is_final"], False)).drop_columns(["stamped_at"]).to_pylist():
        finals.setdefault(row["instrument_id"], []).append((row["available_at"], row["value"]))
    (prints,) = [sorted(told) for told in finals.values() if len(told) > 1]
    (first, wrong), (second, right) = prints
    assert wrong == pytest.approx(right + 3 * 0.025)
    known = [
        lake.read_known("option_statistics", "HE", t, key=KEYS["option_statistics"], start=corrected, end=corrected)
        for t in (second - dt.timedelta(seconds=1), second)
    ]
    number = next(number for number, told in finals.items() if len(told) > 1)
    values = [
        row["value"] for table in known for row in table.select(["instrument_id", "stat", "value"]).to_pylist()
        if (row["instrument_id"], row["stat"]) == (number, "settlement")
    ]  # fmt: skip
    assert values == [wrong, right]
    assert first < second
    told = lake.read("option_statistics", "HE", retracted, retracted).sort_by("stamped_at").drop_columns(["stamped_at"]).to_pylist()
    (gone,) = [row for row in told if row["value"] is None]
    prints = [row["value"] for row in told if (row["instrument_id"], row["stat"]) == (gone["instrument_id"], "open_interest")]
    assert prints[1] is None
    assert prints[0] == 10 * prints[2]


def test_a_quote_restated_on_a_mended_day_is_known_when_it_was_seen(tmp_path, lake):
    bad = next(d for d in (D(2025, 1, 6) + dt.timedelta(n) for n in range(300)) if is_restated(d) and d.weekday() < 5)
    month, first_look = [Month.of(bad)], dt.datetime.combine(bad + dt.timedelta(5), dt.time(15), dt.UTC)
    key = KEYS["option_quotes"]
    with vendor(now=first_look) as running, source(running.url, tmp_path, now=first_look) as asking:
        for table in ("option_definitions", "option_quotes"):
            lay(asking, lake, table, month)
        before = lake.read_known("option_quotes", "HE", first_look, key=key, start=bad, end=bad)
        assert set(before["quality"].to_pylist()) == {"degraded"}
        running.now = later = first_look + dt.timedelta(30)
        asking._now = lambda: later
        for table in ("option_definitions", "option_quotes"):
            plan, _ = lay(asking, lake, table, month)
        assert bad in {day for asked_for in plan.ranges for day in asked_for.days}
    again = lake.read_known("option_quotes", "HE", later - dt.timedelta(seconds=1), key=key, start=bad, end=bad)
    after = lake.read_known("option_quotes", "HE", later, key=key, start=bad, end=bad)
    assert again.sort_by("instrument").equals(before.sort_by("instrument"))
    mended = after.filter(pc.equal(after["available_at"], pa.scalar(later, after.schema.field("available_at").type)))
    assert mended.num_rows > 5  # later quotes of the morning's options
    assert pc.max(mended["quoted_at"]).as_py() <= dt.datetime.combine(bad, CUT, CHICAGO)


# ---------------------------------------------------------------- which days, at what price


def test_quotes_are_complete_after_the_cut_and_statistics_on_the_next_noon(tmp_path, lake):
    assert complete_at("option_quotes", D(2025, 12, 9)) == at("2025-12-09 19:05")
    assert complete_at("option_quotes", D(2025, 7, 9)) == at("2025-07-09 18:05")
    assert complete_at("option_quotes", D(2025, 7, 9), rules=OptionRules(cut="12:30")) == at("2025-07-09 17:35")
    assert complete_at("option_statistics", D(2025, 12, 5)) == at("2025-12-08 18:00")
    assert complete_at("option_quotes", D(2025, 12, 9), calendar=GRAINS) == at("2025-12-09 19:20")  # the grains' own cut, 13:15
    assert complete_at("option_quotes", D(2012, 12, 10), calendar=GRAINS) == at("2012-12-10 20:05")  # 14:00 in those years
    with vendor() as running, source(running.url, tmp_path) as asking:
        december = [Month(2025, 12)]
        plans = {table: lay(asking, lake, table, december)[0] for table in TABLES}
        assert [asked_for.days[-1] for asked_for in plans["option_quotes"].ranges] == [D(2025, 12, 9)]
        assert [asked_for.days[-1] for asked_for in plans["option_statistics"].ranges] == [D(2025, 12, 8)]
        asked = plans["option_quotes"].request(plans["option_quotes"].ranges[0])
        assert (asked.symbols, asked.schema) == ("HE.OPT", "bbo-1m")
        assert (asked.start, asked.end) == (at("2025-12-01 14:00"), at("2025-12-09 19:10"))
        assert running.paid() == 3
        assert {table: lay(asking, lake, table, december)[1] for table in TABLES} == dict.fromkeys(TABLES, 0)
        assert running.paid() == 3
    days = {as_of.date() for as_of in lake.read("option_quotes", "HE")["as_of"].to_pylist()}
    assert (min(days), max(days)) == (D(2025, 12, 1), D(2025, 12, 9))


def test_ranges_are_asked_for_by_the_month(tmp_path, lake):
    with vendor() as running, source(running.url, tmp_path) as asking:
        months = months_between("2023-11", "2024-02")
        futures = plan_of(asking, lake, "futures_statistics", HE, months, NOW.date())
        assert len(futures.ranges) == 4
        for table in TABLES:
            plan, new = lay(asking, lake, table, months)
            assert [(asked_for.days[0], asked_for.days[-1]) for asked_for in plan.ranges] == [
                (D(2023, 11, 1), D(2023, 11, 30)),
                (D(2023, 12, 1), D(2023, 12, 29)),
                (D(2024, 1, 2), D(2024, 1, 31)),
                (D(2024, 2, 1), D(2024, 2, 29)),
            ]
            assert new > 5_000
            held = {as_of.date() for as_of in pc.unique(lake.read(table, "HE")["as_of"]).to_pylist()}
            assert held == {day for asked_for in plan.ranges for day in asked_for.days}


def test_a_market_without_options_asks_for_nothing_and_says_so(tmp_path, lake):
    bare = dataclasses.replace(HE, option_roots=())
    with vendor() as running, source(running.url, tmp_path) as asking:
        plan, new = lay(asking, lake, "option_quotes", [Month(2025, 10)], market=bare)
        assert running.asked == []
    assert (plan.ranges, new) == ([], 0)
    assert set(plan.gaps.values()) == {NO_ROOTS}
    assert len(plan.gaps) == 23


def test_every_root_is_asked_for_and_one_that_is_not_listed_is_a_gap_of_its_own(tmp_path, lake):
    two = dataclasses.replace(HE, option_roots=(OptionRoot("HE"), OptionRoot("HEX")))
    with vendor() as running, source(running.url, tmp_path) as asking:
        plan = plan_of(asking, lake, "option_definitions", two, [Month(2025, 10)], NOW.date())
        assert plan.request(plan.ranges[0]).symbols == "HE.OPT,HEX.OPT"
        payload = asking.fetch_once(plan.request(plan.ranges[0]))
        assert any("HEX.OPT is not listed" in note for note in payload.warnings)
        assert running.paid() == 1
        none = dataclasses.replace(HE, option_roots=(OptionRoot("HEX"),))
        plan = plan_of(asking, lake, "option_definitions", none, [Month(2025, 10)], NOW.date())
        with pytest.raises(VendorRefusedError, match="could be resolved"):
            asking.fetch_once(plan.request(plan.ranges[0]))
    assert lake.folders() == []


def test_a_root_is_asked_for_from_its_first_day_on(tmp_path, lake):
    later = dataclasses.replace(HE, option_roots=(OptionRoot("HE"), OptionRoot("HEX", dt.date(2025, 10, 10))))
    with vendor(markets={"HE": later}) as running, source(running.url, tmp_path) as asking:
        plan = plan_of(asking, lake, "option_definitions", later, [Month(2025, 9), Month(2025, 10)], NOW.date())
        assert [plan.request(wanted).symbols for wanted in plan.ranges] == ["HE.OPT", "HE.OPT,HEX.OPT"]
        payload = asking.fetch_once(plan.request(plan.ranges[1]))
        assert any("HEX.OPT is not listed in the whole" in note for note in payload.warnings)
        alone = dataclasses.replace(HE, option_roots=(OptionRoot("HE", dt.date(2025, 10, 10)),))
        plan = plan_of(asking, lake, "option_definitions", alone, [Month(2025, 10)], NOW.date())
        assert [wanted.days[0] for wanted in plan.ranges] == [dt.date(2025, 10, 10)]
        assert plan.gaps[dt.date(2025, 10, 9)] == "options of HE are listed from 2025-10-10 on"


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (answers(503, b"{}"), VendorUnavailableError),
        (answers(402, b"{}"), VendorRefusedError),
        (breaks_off, VendorUnavailableError),
        (instead(cut_records), VendorContentError),
    ],
)
def test_faults_are_those_of_the_futures(fault, kind, tmp_path):
    with vendor() as running, source(running.url, tmp_path) as asking:
        running.fault = fault
        with pytest.raises(kind):
            asking.fetch_once(request("bbo-1m", "2025-10-01", "2025-10-03", "HE.OPT"))
        running.fault = None
        assert asking.fetch_once(request("bbo-1m", "2025-10-01", "2025-10-03", "HE.OPT")).usd > 0


def test_over_budget_nothing_is_asked(tmp_path, lake):
    with vendor() as running, source(running.url, tmp_path, budget=Budget("x", run_usd=1e-9)) as asking:
        with pytest.raises(BudgetError, match="nothing was requested"):
            lay(asking, lake, "option_quotes", [Month(2025, 10)])
        assert running.paid() == 0


# ---------------------------------------------------------------- killed, and resumed

KILLED = """
import sys
from pathlib import Path
from hydra_assets.core.months import months_between
from hydra_assets.flow.feed import keep
from hydra_assets.flow.feeds.databento import DATABENTO
from hydra_assets.flow.feeds.databento_plan import plan_of
from hydra_assets.storage.lake import ParquetLake
from hydra_assets_tests.support.databento_vendor import HE, NOW, kill_before_capture
from hydra_assets_tests.support.databento_vendor import patient_source as source
from hydra_assets_tests.support.option_history import History
from hydra_assets_tests.defs.test_checks import check_alone, violations
url, folder, after = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
lake, months = ParquetLake(folder / "lake", world="sample"), months_between("2024-12", "2025-01")
with source(url, folder) as asking:
    kill_before_capture(asking.ledger, after)
    for table in ("option_definitions", "option_quotes", "option_statistics"):
        got = DATABENTO.fetch(asking, [plan_of(asking, lake, table, HE, months, NOW.date())])
        for batch in DATABENTO.batches(got, lake):
            keep(batch, lake, asking.ledger)
"""


@pytest.mark.slow
def test_a_killed_backfill_goes_on_where_it_was_and_pays_nothing_twice(tmp_path):
    with vendor() as running:

        def go(folder, kill_after):
            command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(KILLED), running.url, str(folder), str(kill_after)]
            return subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)

        whole, killed = tmp_path / "whole", tmp_path / "killed"
        assert go(whole, 0).returncode == 0
        paid = running.paid()
        for after in (1, 2):
            assert go(killed, after).returncode == -9
        done = go(killed, 0)
        assert done.returncode == 0, done.stderr
        assert paid > 3  # three tables, a request a month
        assert running.paid() == 2 * paid
    with Ledger(whole / "ledger.sqlite") as a, Ledger(killed / "ledger.sqlite") as b:
        assert b.spent() == pytest.approx(a.spent())
        assert {row["state"] for row in b.requests()} == {"kept"}
    order = [(name, "ascending") for name in ("as_of", "available_at", "instrument_id")]
    for table in TABLES:
        one, two = (ParquetLake(folder / "lake").read(table, "HE") for folder in (whole, killed))
        by = [*order, ("stat", "ascending")] if "stat" in one.column_names else order
        assert one.sort_by(by).equals(two.sort_by(by))
        assert one.num_rows > 4_000


# ---------------------------------------------------------------- through Dagster


ASSETS = ("futures_definitions", *TABLES)


def test_assets_from_bytes_to_the_lake_a_second_time_for_nothing_and_each_check_can_fail():
    first = run(first="2025-12", last="2025-12", only=ASSETS)
    told = verdicts(first)
    assert set(told.values()) == {"passed"}
    assert {check for table, check in told if table == "option_quotes"} == {
        "coverage", "keys_unique", "open_findings", "options_only", "quotes_sane", "staleness",
    }  # fmt: skip
    (meta,) = materializations(first, "option_quotes").values()
    assert meta["new_rows"] > 2_000
    assert meta["synthetic_rows"].startswith(f"{meta['new_rows']} of {meta['new_rows']}")
    again = run(first="2025-12", last="2025-12", only=ASSETS)
    assert {meta["new_rows"] for table in TABLES for meta in materializations(again, table).values()} == {0}
    with hydra_assets.open() as desk:
        for table, _, change in SPOILED:
            _spoil(desk.lake, table, change)
    result = run(first="2025-12", last="2025-12", only=ASSETS, raise_on_error=False)
    told = verdicts(result)
    assert {told[table, check] for table, check, _ in SPOILED} == {"failed"}
    failed = {event.step_key for event in result.get_step_failure_events()}
    assert {key for key in failed if "options_only" in key} == failed != set()  # the others warn


SPOILED = (
    ("option_definitions", "well_defined", lambda row: row | {"underlying_id": 5}),
    ("option_quotes", "coverage", lambda row: row | {"as_of": at("2025-12-25"), "available_at": at("2025-12-25")}),
    ("option_quotes", "quotes_sane", lambda row: row | {"quoted_at": row["available_at"] + dt.timedelta(1)}),
    ("option_quotes", "options_only", lambda row: row | {"instrument_id": 424242}),
    ("option_statistics", "options_only", lambda row: row | {"instrument": "UD:1V: VT 1"}),
)


def _spoil(lake, table, change):
    """Write a row past the capture rules, as nobody should."""
    rows = lake.read(table, "HE", D(2025, 12, 1), D(2025, 12, 31))
    names = [name for name in rows.column_names if name != "stamped_at"]
    bad = change(rows.slice(0, 1).select(names).to_pylist()[0])
    if bad["as_of"] == rows["as_of"][0].as_py():
        bad["available_at"] = bad["available_at"] + dt.timedelta(seconds=1)
    columns = {
        field.name: pa.array([bad["available_at"] if field.name == "stamped_at" else bad[field.name]]).cast(field.type)
        for field in rows.schema
    }
    lake.write(pa.table(columns, schema=rows.schema), table, "HE", D(2025, 12, 1))


def test_quotes_that_are_old_or_crossed_are_told(home):
    home.mkdir(parents=True)
    (home / "config.yaml").write_text("checks:\n  crossed_quotes_share: 0.0\n  old_quotes_share: 0.0\n", encoding="utf-8")
    result = run(first="2025-12", last="2025-12", only=ASSETS)
    assert verdicts(result)["option_quotes", "quotes_sane"] == "failed"
    (seen,) = [e for e in result.get_asset_check_evaluations() if e.check_name == "quotes_sane"]
    faults = " ".join(record.data["fault"] for record in seen.metadata["violations"].records)
    assert "are crossed" in faults
    assert "are older than 2 hours at the cut" in faults
    assert result.success


def lay_rows(**tables):
    """Rows of December, straight into the home's lake."""
    with hydra_assets.open() as desk:
        for name, rows in tables.items():
            desk.lake.write(pa.Table.from_pylist(rows, schema=ALL_TABLES[name].schema), name, "HE", D(2025, 12, 1))


def test_every_fault_of_a_definition_is_told_by_its_own_words():
    good = History(D(2025, 12, 1), 1).rows["option_definitions"][0]
    future = {**good, "instrument": "HEZ5", "instrument_id": good["underlying_id"], "instrument_class": "F"}
    unheld = {day: at("2025-12-02") for day in ("as_of", "available_at", "stamped_at")}
    faults = (
        ("neither C nor P", {"right": "F"}),
        ("no underlying", {"underlying": ""}),
        ("no underlying", {"underlying_id": 0} | unheld),
        ("no strike", {"strike": 0.0}),
        ("expired", {"expiration": at("2025-11-28")}),
        ("its id is a future's", {"instrument_id": future["instrument_id"]}),
        ("its underlying is no future of that day", {"underlying_id": 77}),
        ("", {}),
        ("", unheld),
    )
    lay_rows(
        futures_definitions=[{name: future.get(name) for name in ALL_TABLES["futures_definitions"].schema.names}],
        option_definitions=[good | {"instrument": str(i), "instrument_id": 900 + i} | change for i, (_, change) in enumerate(faults)],
    )
    told = {(row["instrument"], row["fault"]) for row in violations(check_alone("option_definitions", "well_defined"))}
    assert told == {(str(i), fault) for i, (fault, _) in enumerate(faults) if fault}


def test_a_quote_is_of_an_option_of_its_day_or_partial_and_a_number_of_one_of_that_name():
    history = History(D(2025, 12, 1), 1).rows
    (defined, *_), (quote, *_), (said, *_) = (history[name] for name in TABLES)
    late = {"as_of": at("2025-12-02"), "available_at": at("2025-12-02 19:00")}
    shortly_after, long_after = ({"as_of": at(day), "available_at": at(f"{day} 19:00")} for day in ("2025-12-08", "2025-12-09"))
    renamed = {"instrument": "UD:1V: VT 1", "stamped_at": late["available_at"]}
    lay_rows(
        option_definitions=[defined],
        option_quotes=[quote, quote | late, quote | long_after | {"quality": "partial"}, quote | shortly_after | {"quality": "partial"}],
        option_statistics=[said, said | late | {"stamped_at": late["available_at"]}, said | late | renamed],
    )
    found = violations(check_alone("option_quotes", "options_only"))
    assert [(row["instrument"], row["day"]) for row in found] == [(quote["instrument"], day) for day in ("2025-12-02", "2025-12-09")]
    (alone,) = violations(check_alone("option_statistics", "options_only"))
    assert alone["instrument"] == "UD:1V: VT 1"


def test_a_days_books_are_judged_by_that_day_and_without_two_sides_they_are_told():
    (quote, *_) = History(D(2025, 12, 1), 1).rows["option_quotes"]
    calm, empty, wild = ({"as_of": at(day), "available_at": at(f"{day} 19:00")} for day in ("2025-12-01", "2025-12-02", "2025-12-03"))
    books = [(calm, {})] * 9 + [(empty, {"bid": None})] + [(wild, {"bid": 2.0, "ask": 1.0})]
    lay_rows(
        option_quotes=[
            quote | {"instrument_id": 900 + i, "quoted_at": day["available_at"] - dt.timedelta(minutes=1)} | day | book
            for i, (day, book) in enumerate(books)
        ]
    )
    told = violations(check_alone("option_quotes", "quotes_sane"))
    assert [(row["day"], row["fault"]) for row in told] == [
        ("2025-12-02", "no quote has both sides"),
        ("2025-12-03", "100% of the two-sided quotes are crossed"),
    ]


def test_a_market_without_options_is_unproven_not_passed(home):
    home.mkdir(parents=True)
    (home / "config.yaml").write_text("markets:\n  HE:\n    option_roots: []\n", encoding="utf-8")
    result = run(first="2025-12", last="2025-12", only=TABLES)
    told = verdicts(result)
    assert told["option_quotes", "coverage"] == told["option_quotes", "staleness"] == "unproven"
    (meta,) = materializations(result, "option_quotes").values()
    assert {record.data["note"] for record in meta["calendar"].records} == {NO_ROOTS}


def test_statistics_of_an_unknown_option_are_quarantined(known):
    message = dbn.StatMsg(
        publisher_id=1, instrument_id=77, ts_event=1, ts_recv=ns(at("2025-12-02 20:00")), ts_ref=ns(at("2025-12-02")), price=10**9,
        quantity=dbn.UNDEF_STAT_QUANTITY, stat_type=dbn.StatType.SETTLEMENT_PRICE, update_action=dbn.StatUpdateAction.NEW, stat_flags=3,
    )  # fmt: skip
    parsed = parse_statistics(crafted("statistics", message), known, synthetic=True, degraded=NEVER)
    assert parsed.table.schema.names == ALL_TABLES["option_statistics"].schema.names
    assert len(parsed.quarantined) == 1
    assert np.sum(parsed.table.num_rows) == 0
