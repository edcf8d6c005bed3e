"""The real databento client against real DBN: whole or nothing, paid once, never beyond a budget, and no key in any message."""

import dataclasses
import datetime as dt
import ssl
import subprocess
import sys
import textwrap
import threading
import time
import traceback
from pathlib import Path

import databento
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import zstandard
from databento.common.dbnstore import DBNStore

from hydra_assets.config.home import Home
from hydra_assets.config.load import load_config
from hydra_assets.core.market import Market
from hydra_assets.core.months import Month
from hydra_assets.errors import (
    BudgetError,
    ConfigError,
    CorruptionError,
    ShortAnswerError,
    VendorContentError,
    VendorRefusedError,
    VendorUnavailableError,
)
from hydra_assets.flow.feed import keep
from hydra_assets.flow.feeds import databento as feeds_databento
from hydra_assets.flow.feeds.databento import DATABENTO, DatabentoSettings, parse
from hydra_assets.flow.feeds.databento_plan import complete_at, plan_of
from hydra_assets.sources.databento import DatabentoSource
from hydra_assets.sources.databento_client import Limits, client
from hydra_assets.sources.databento_parse import Definitions, parse_bars, parse_definitions, parse_statistics
from hydra_assets.sources.http import wait_before_retry
from hydra_assets.sources.ledger import Budget, Ledger
from hydra_assets.sources.sample.databento import SAMPLE_KEY
from hydra_assets.storage.lake import ParquetLake
from hydra_assets_tests.conftest import SHARED, at
from hydra_assets_tests.support.databento_vendor import HE, NOW, answers, breaks_off, drips, hangs, instead, request, source, vendor
from hydra_assets_tests.support.rude_vendor import serving

D = dt.date
ES = Market("ES", "E-mini S&P 500", "CME", "America/Chicago", 50.0, 0.25, "index points", "13874A", "GLBX.MDP3")


def never(_):
    return False


# ---------------------------------------------------------------- the client


def test_an_answer_is_quoted_fetched_kept_by_hash_and_never_paid_twice(tmp_path):
    with vendor() as running, source(running.url, tmp_path) as asking:
        first = asking.fetch(request())
        assert running.asked == [
            "metadata.get_cost",
            "metadata.get_record_count",
            "metadata.get_billable_size",
            "timeseries.get_range",
        ]
        assert first.path.name == f"{first.sha256}.dbn.zst"
        assert first.usd > 0
        again, part = asking.fetch(request()), asking.fetch(request(end="2025-10-03"))
        assert (again.sha256, again.usd, part.sha256, part.usd) == (first.sha256, 0.0, first.sha256, 0.0)
        assert running.paid() == 1
        assert asking.ledger.spent() == first.usd
        assert [row["state"] for row in asking.ledger.requests()] == ["kept"]
        first.path.write_bytes(b"x")
        with pytest.raises(CorruptionError, match="not what was downloaded"):
            again.store()


def test_the_quote_and_the_answer_are_asked_with_the_same_words(tmp_path):
    seen = {}
    with vendor() as running, source(running.url, tmp_path) as asking:
        real = running.desk.answer

        def listen(asked):
            seen[asked.target] = asked.body
            return real(asked)

        running.desk.answer = listen
        asking.fetch(request())
    words = (b"dataset", b"schema", b"symbols", b"stype_in", b"start", b"end")
    asked = {target: {part for part in body.split(b"&") if part.split(b"=")[0] in words} for target, body in seen.items()}
    assert asked["/v0/metadata.get_cost"] == asked["/v0/metadata.get_record_count"] == asked["/v0/timeseries.get_range"]
    assert len(asked["/v0/timeseries.get_range"]) == 6


def test_the_unmodified_client_over_tls(tmp_path, monkeypatch):
    """Nothing of the client is patched: as it comes, over https, it gets the same answer."""
    certificate, key = _certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with serving(markets={"HE": HE}, tls=context, now=NOW) as running:
        assert running.url.startswith("https://")
        plain = databento.Historical(SAMPLE_KEY, gateway=running.url)
        store = plain.timeseries.get_range(**request("ohlcv-1d").arguments())
        assert plain.metadata.get_record_count(**request("ohlcv-1d").arguments()) == len(store.to_ndarray())
        with source(running.url, tmp_path) as asking:
            assert np.array_equal(asking.fetch(request("ohlcv-1d")).store().to_ndarray(), store.to_ndarray())


def _certificate(folder: Path) -> tuple[Path, Path]:
    """Self-signed, for 127.0.0.1."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(dt.datetime(2020, 1, 1))  # noqa: DTZ001  the builder takes naive UTC
        .not_valid_after(dt.datetime(2040, 1, 1))  # noqa: DTZ001
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    paths[1].write_bytes(private)
    return paths


def test_the_transport_that_is_ours_is_still_the_clients():
    """An upgrade of the client that renames what is overridden must be seen."""
    from databento.common.http import BentoHttpAPI

    for name in ("_get", "_post", "_stream"):
        assert hasattr(BentoHttpAPI, name)
        assert getattr(type(client(SAMPLE_KEY, "http://127.0.0.1:1", Limits()).timeseries), name) is not getattr(BentoHttpAPI, name)


def test_plain_http_is_for_loopback_and_a_key_is_needed():
    with pytest.raises(ConfigError, match="plain http"):
        client(SAMPLE_KEY, "http://hist.databento.com", Limits())
    with pytest.raises(ConfigError, match="DATABENTO_API_KEY"):
        client("", "https://hist.databento.com", Limits())


# ---------------------------------------------------------------- faults


def cut_records(body: bytes) -> bytes:
    """Whole records, and fewer of them, in a well-formed frame: what reads as fewer rows without an error."""
    raw = zstandard.ZstdDecompressor().decompressobj().decompress(body)
    return zstandard.ZstdCompressor().compress(raw[: -80 * 5])


def cut_in_a_record(body: bytes) -> bytes:
    raw = zstandard.ZstdDecompressor().decompressobj().decompress(body)
    return zstandard.ZstdCompressor().compress(raw[:-17])


FAULTS = {
    "401": (answers(401, b'{"detail": {"message": "no"}}'), VendorRefusedError, "key was refused"),
    "402": (answers(402, b"{}"), VendorRefusedError, "no means"),
    "403": (answers(403, b"{}"), VendorRefusedError, "no licence"),
    "422": (answers(422, b'{"detail": {"message": "bad symbol"}}'), VendorRefusedError, "bad symbol"),
    "408": (answers(408, b"{}"), VendorUnavailableError, "HTTP 408"),
    "429": (answers(429, b"{}", Retry_After="7"), VendorUnavailableError, "HTTP 429"),
    "500": (answers(500, b"oops"), VendorUnavailableError, "HTTP 500"),
    "503": (answers(503, b"{}"), VendorUnavailableError, "HTTP 503"),
    "504": (answers(504, b"{}"), VendorUnavailableError, "HTTP 504"),
    "silence": (hangs(), VendorUnavailableError, "ReadTimeout|no answer"),
    "drip": (drips(), VendorUnavailableError, "not whole within 3 s"),
    "broken off": (breaks_off, VendorUnavailableError, "broke off"),
    "half a frame": (instead(lambda body: body[: len(body) // 2]), VendorContentError, "."),
    "cut in a record": (instead(cut_in_a_record), VendorContentError, "."),
    "cut between records": (instead(cut_records), VendorContentError, "records came"),
    "html": (answers(200, b"<html>busy</html>"), VendorContentError, "<html>busy"),
    "empty": (answers(200, b""), VendorContentError, "an empty answer"),
    "redirect": (answers(302, b"", Location="https://elsewhere.example/x"), VendorRefusedError, "redirected to elsewhere.example"),
    "odd warning": (answers(200, b"x", X_Warning="{not json"), VendorContentError, "X-Warning"),
    "endless": (instead(lambda body: body + b"\0" * (6 << 20)), VendorContentError, "more than the"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_has_its_class_serves_nothing_and_shows_no_key(name, tmp_path):
    fault, kind, says = FAULTS[name]
    with vendor() as running, source(running.url, tmp_path) as asking:
        running.fault = fault
        begun = time.monotonic()
        with pytest.raises(kind, match=says) as caught:
            asking.fetch_once(request())
        assert time.monotonic() - begun < 3 + 5  # the deadline, and a little
        assert running.paid() == 1  # one attempt, whatever the class
        assert SAMPLE_KEY not in "".join(traceback.format_exception(caught.value))
        free = kind is VendorRefusedError or "HTTP" in str(caught.value) or name == "silence"
        assert [row["state"] for row in asking.ledger.requests()] == ["refused" if free else "failed"]
        assert SAMPLE_KEY not in str(asking.ledger.requests())
        assert asking.ledger.covering(request().arguments(), seen_since=dt.date.min) is None  # bytes that came are kept, and not served
        assert not list((tmp_path / "databento").glob(".fetch-*"))
        running.fault = None
        assert asking.fetch_once(request()).usd > 0  # and nothing stands in the way of the next


def test_an_answer_shorter_than_announced_is_kept_and_accepted_when_it_comes_twice(tmp_path, monkeypatch):
    real = DatabentoSource.quote
    monkeypatch.setattr(
        DatabentoSource, "quote", lambda self, wanted: dataclasses.replace(real(self, wanted), records=real(self, wanted).records * 2)
    )
    with vendor() as running, source(running.url, tmp_path) as asking:
        with pytest.raises(ShortAnswerError, match="the bytes are kept"):
            asking.fetch_once(request())
        payload = asking.fetch_once(request())
        assert any("accepted" in note for note in payload.warnings)
        assert payload.store().to_df().shape[0] > 0
        assert running.paid() == 2
        assert asking.fetch_once(request()).usd == 0


def test_a_count_a_thousandth_too_high_is_no_fault(tmp_path, monkeypatch):
    """metadata.get_record_count: "may not be accurate ..., potentially over-reporting"."""
    real, announced = DatabentoSource.quote, []

    def too_many(self, wanted):
        quote = real(self, wanted)
        announced.append((quote.records, int(quote.records * 1.0009)))
        return dataclasses.replace(quote, records=announced[-1][1])

    monkeypatch.setattr(DatabentoSource, "quote", too_many)
    wide = dataclasses.replace(request(), start=at("2025-08-01"))
    with vendor() as running, source(running.url, tmp_path) as asking:
        assert asking.fetch_once(wide).usd > 0
        ((came, told),) = announced
        assert came < told
        assert running.paid() == 1


def test_what_is_final_is_not_asked_again_and_retry_after_is_honoured(tmp_path):
    with vendor() as running, source(running.url, tmp_path) as asking:
        for status in (401, 402, 422):
            running.fault, before = answers(status, b"{}"), running.paid()
            with pytest.raises(VendorRefusedError):
                asking.fetch(request())
            assert running.paid() == before + 1
        running.fault = answers(429, b"{}", Retry_After="100")
        with pytest.raises(VendorUnavailableError) as busy:
            asking.fetch_once(request())
        assert wait_before_retry(busy.value, 1, 5) == 100


def test_a_symbol_that_is_not_resolved_is_noted_and_the_others_are_kept(tmp_path):
    with vendor() as running, source(running.url, tmp_path) as asking:
        two = dataclasses.replace(request(), symbols="HE.FUT,XX.FUT")
        payload = asking.fetch_once(two)
        assert any("XX.FUT is not listed" in note for note in payload.warnings)
        assert asking.fetch_once(two).usd == 0


def test_a_vendor_that_is_not_there(tmp_path):
    with source("http://127.0.0.1:9", tmp_path) as asking, pytest.raises(VendorUnavailableError, match="no answer"):
        asking.quote(request())


# ---------------------------------------------------------------- money


def test_over_a_budget_nothing_is_requested_and_the_price_is_named(tmp_path):
    budgets = {
        "run_budget_usd": Budget("a", run_usd=0.0001),
        "day_budget_usd": Budget("b", day_usd=0.0001),
        "unattended_day_budget_usd": Budget("c", run_usd=9, day_usd=9, unattended_day_usd=0.0, unattended=True),
    }
    with vendor() as running:
        for setting, budget in budgets.items():
            with source(running.url, tmp_path, budget=budget) as asking:
                price = asking.quote(request()).usd
                with pytest.raises(BudgetError, match=rf"costs \${price:.4f}.*databento.{setting} in config.yaml\); nothing was requested"):
                    asking.fetch(request())
                assert asking.ledger.requests() == []
        assert running.paid() == 0


def test_spending_counts_together_over_runs_retries_and_processes(tmp_path):
    with vendor() as running, source(running.url, tmp_path) as asking:
        price = asking.quote(request()).usd
        with source(running.url, tmp_path, budget=Budget("one", run_usd=1.5 * price)) as first:
            first.fetch(request())
        with (
            source(running.url, tmp_path, budget=Budget("one", run_usd=1.5 * price)) as again,
            pytest.raises(BudgetError, match="this run"),
        ):
            again.fetch(request(start="2025-10-08", end="2025-10-15"))
        with source(running.url, tmp_path, budget=Budget("two", run_usd=1.5 * price, day_usd=9)) as other:
            other.fetch(request(start="2025-10-08", end="2025-10-15"))
        attended = Budget("three", day_usd=9, unattended_day_usd=0.0, unattended=False)
        with source(running.url, tmp_path, budget=attended) as person:
            person.fetch(request(start="2025-10-15", end="2025-10-16"))


def test_two_that_ask_at_once_cannot_both_have_the_last_dollar(tmp_path):
    won, lost = [], []

    def ask(i):
        with Ledger(tmp_path / "l.sqlite") as ledger:
            try:
                ledger.reserve(request().arguments(), usd=0.6, records=1, size=1, budget=Budget(str(i), day_usd=1.0), now=NOW)
                won.append(i)
            except BudgetError:
                lost.append(i)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 5)


# ---------------------------------------------------------------- rows


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """A winter's month of every schema."""
    folder = tmp_path_factory.mktemp("stores")
    with vendor(now=dt.datetime(2026, 3, 1, tzinfo=dt.UTC)) as running, source(running.url, folder) as asking:
        asked = {schema: request(schema, "2025-12-01", "2026-01-10") for schema in ("definition", "ohlcv-1d", "statistics")}
        return {schema: asking.fetch(one).store() for schema, one in asked.items()}


@pytest.fixture(scope="module")
def definitions(stores):
    parsed = parse_definitions(stores["definition"], HE, synthetic=True, degraded=never, place="test")
    assert parsed.left_out > 100  # spreads
    assert set(parsed.table["instrument_class"].to_pylist()) == {"F"}
    assert not [symbol for symbol in parsed.table["instrument"].to_pylist() if "-" in symbol]
    return Definitions(parsed.table)


def test_a_bar_is_known_a_day_after_its_start_and_no_spread_is_one(stores, definitions):
    parsed = parse_bars(stores["ohlcv-1d"], definitions, synthetic=True, degraded=lambda d: d == D(2025, 12, 3))
    raw = stores["ohlcv-1d"].to_ndarray()
    assert (raw["close"] < 0).any()  # there were spreads with negative prices
    assert parsed.left_out > 50
    assert parsed.quarantined == []
    for row in parsed.table.to_pylist():
        assert row["available_at"] == row["as_of"] + dt.timedelta(1)
        assert row["close"] > 0
        assert row["quality"] == ("degraded" if row["as_of"].date() == D(2025, 12, 3) else "normal")
        assert row["expiration"].date() > row["as_of"].date() - dt.timedelta(1)


def test_statistics_are_stamped_by_the_vendor_and_dated_by_their_reference(stores, definitions):
    parsed = parse_statistics(stores["statistics"], definitions, synthetic=True, degraded=never)
    rows = parsed.table.drop_columns(["stamped_at"]).to_pylist()
    assert {row["stat"] for row in rows} == {"settlement", "cleared_volume", "open_interest"}
    winter = [r for r in rows if r["stat"] == "settlement" and r["is_final"] and r["as_of"].date() == D(2025, 12, 3)]
    assert len(winter) >= 10
    for row in winter:  # 18:00 in Chicago is the next UTC day: a window of one UTC date would lose them
        assert row["available_at"] >= at("2025-12-04 00:00")
    for row in rows:
        assert row["as_of"] < row["available_at"]
        if row["stat"] == "open_interest":
            assert row["available_at"].date() > row["as_of"].date()
            assert row["is_final"] is None
    late = parsed.table["available_at"].cast(pa.int64()).to_numpy() * 1000 - parsed.table["stamped_at"].cast(pa.int64()).to_numpy()
    assert late.min() >= 0  # rounded up to the microsecond, never down
    assert 0 < late.max() < 1000
    preliminary = [r for r in rows if r["stat"] == "settlement" and r["is_final"] is False]
    assert len(preliminary) > 100


def test_a_deletion_is_a_row_without_a_value_and_a_correction_a_later_final(tmp_path):
    """Somewhere in two years both happen."""
    with vendor(now=dt.datetime(2026, 3, 1, tzinfo=dt.UTC)) as running, source(running.url, tmp_path) as asking:
        asked = [request(schema, "2024-01-02", "2025-12-31") for schema in ("definition", "statistics")]
        first, second = (asking.fetch(one).store() for one in asked)
    known = Definitions(parse_definitions(first, HE, synthetic=True, degraded=never, place="test").table)
    rows = parse_statistics(second, known, synthetic=True, degraded=never).table.drop_columns(["stamped_at"]).to_pylist()
    gone = [r for r in rows if r["value"] is None]
    assert gone
    assert all(r["stat"] == "open_interest" for r in gone)
    finals = {}
    for r in rows:
        if r["stat"] == "settlement" and r["is_final"]:
            finals.setdefault((r["instrument"], r["expiration"], r["as_of"]), []).append((r["available_at"], r["value"]))
    corrected = [prints for prints in finals.values() if len(prints) > 1]
    assert corrected
    assert all(sorted(prints)[0][1] != sorted(prints)[1][1] for prints in corrected)


def test_an_id_is_what_was_defined_on_the_day_or_within_the_week_before(definitions):
    number, last = int(definitions._id[0]), int(definitions._day[definitions._id == definitions._id[0]].max())
    days = np.array([last, last + 1, last + 7, last + 8, last - 1000])
    found = definitions.find(np.full(5, number), days)
    assert [row >= 0 for row in found] == [True, True, True, False, False]
    assert (definitions.find(np.array([999_999_999]), np.array([last])) == -1).all()


def crafted(*messages):
    """A real DBN answer of statistics, written by hand."""
    import databento_dbn as dbn

    metadata = dbn.Metadata(
        dataset="GLBX.MDP3", start=0, end=2**62, stype_in=dbn.SType.PARENT, stype_out=dbn.SType.INSTRUMENT_ID,
        schema=dbn.Schema.STATISTICS, symbols=["HE.FUT"], not_found=[], partial=[], mappings=[], version=3,
    )  # fmt: skip
    return DBNStore.from_bytes(metadata.encode() + b"".join(bytes(message) for message in messages))


def test_traps_of_the_statistics(definitions):
    """Sentinels that the decoder leaves, flags that are none, deletions, two messages of one instant."""
    import databento_dbn as dbn

    number = int(definitions._id[0])
    ref = int((at("2025-12-02") - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)).total_seconds() * 1e9)

    def said(kind, minute, *, price=dbn.UNDEF_PRICE, quantity=dbn.UNDEF_STAT_QUANTITY, flags=255, of=ref, action=dbn.StatUpdateAction.NEW):
        stamp = ref + (20 * 60 + minute) * 60 * 10**9 + 1
        return dbn.StatMsg(
            publisher_id=1, instrument_id=number, ts_event=stamp, ts_recv=stamp, ts_ref=of, price=price, quantity=quantity,
            stat_type=kind, update_action=action, stat_flags=flags,
        )  # fmt: skip

    kinds, delete = dbn.StatType, dbn.StatUpdateAction.DELETE
    settled = kinds.SETTLEMENT_PRICE
    parsed = parse_statistics(
        crafted(
            said(settled, 0, price=80 * 10**9, flags=2),  # preliminary, actual
            said(settled, 1, price=81 * 10**9, flags=3),  # final, actual
            said(settled, 2, price=82 * 10**9, flags=5),  # final, theoretical
            said(settled, 3, price=83 * 10**9, flags=255),  # flags & 1, and no flags at all
            said(settled, 4, price=84 * 10**9, flags=0x81),  # the null bit
            said(settled, 5, action=delete, flags=255),
            said(kinds.OPEN_INTEREST, 6, quantity=310),
            said(kinds.OPEN_INTEREST, 7),  # 2**63 - 1 is no number
            said(kinds.OPEN_INTEREST, 8, quantity=311, of=2**64 - 1),  # no trading date: of the session before
            said(kinds.CLEARED_VOLUME, 9, quantity=5),
            said(kinds.CLEARED_VOLUME, 9, quantity=6),  # the same instant: the later message stands
            said(kinds.LOWEST_OFFER, 10, price=1, of=2**64 - 1),
        ),
        definitions,
        synthetic=True,
        degraded=never,
    )
    told = [(r["stat"], r["value"], r["is_final"]) for r in parsed.table.drop_columns(["stamped_at"]).to_pylist()]
    assert told == [
        ("settlement", 80.0, False),
        ("settlement", 81.0, True),
        ("settlement", 82.0, True),
        ("settlement", 83.0, None),
        ("settlement", 84.0, None),
        ("settlement", None, True),
        ("open_interest", 310.0, None),
        ("open_interest", 311.0, None),
        ("cleared_volume", 6.0, None),
    ]
    undated = parsed.table.filter(pc.equal(parsed.table["value"], 311.0)).drop_columns(["stamped_at"]).to_pylist()[0]
    assert (undated["as_of"], undated["quality"]) == (at("2025-12-01"), "partial")
    assert parsed.repeated == 1
    assert ["no value, and no deletion" in q for q in parsed.quarantined] == [True]
    assert parsed.lost == {}


def test_a_record_that_nothing_defines_is_told_and_a_spread_is_not(stores, definitions):
    nothing = Definitions(parse_definitions(stores["definition"], HE, synthetic=True, degraded=never, place="t").table.slice(0, 0))
    parsed = parse_bars(stores["ohlcv-1d"], nothing, synthetic=True, degraded=never)
    assert parsed.table.num_rows == 0
    assert len(parsed.quarantined) > 100
    assert "no definition of it in the lake" in parsed.quarantined[0]
    assert parsed.left_out == parse_bars(stores["ohlcv-1d"], definitions, synthetic=True, degraded=never).left_out


def test_prices_in_another_unit_are_refused_before_anything_is_kept(stores):
    dollars = Market("HE", "Lean Hogs", "CME", "America/Chicago", 40_000.0, 0.00025, "dollars per lb", "054642", "GLBX.MDP3")
    with pytest.raises(VendorContentError, match=r"HE\w\d moves by 0.025 x multiplier 40000 = \$1000; HE is configured with ticks of \$10"):
        parse_definitions(stores["definition"], dollars, synthetic=True, degraded=never, place="test")


def test_a_symbol_and_an_id_that_came_back_after_ten_years_are_two_contracts(tmp_path):
    with vendor(now=dt.datetime(2026, 3, 1, tzinfo=dt.UTC)) as running, source(running.url, tmp_path) as asking:
        days = [("2015-11-02", "2015-11-05"), ("2025-11-03", "2025-11-05")]
        parts = [
            parse_definitions(asking.fetch(request("definition", *d)).store(), HE, synthetic=True, degraded=never, place="t") for d in days
        ]
    rows = [row for part in parts for row in part.table.to_pylist() if row["instrument"] == "HEZ5"]
    assert {(row["instrument_id"], row["expiration"].year) for row in rows} == {
        (rows[0]["instrument_id"], 2015),
        (rows[0]["instrument_id"], 2025),
    }


def test_a_real_file_of_databento_goes_the_same_way():
    folder = SHARED / "data" / "dbn"
    if not folder.exists():
        pytest.skip("Databento's own sample files are not beside this checkout (../shared/data/dbn)")
    stores = {s: DBNStore.from_file(folder / f"test_data.{s}.dbn.zst") for s in ("definition", "ohlcv-1d", "statistics")}
    defined = parse_definitions(stores["definition"], ES, synthetic=False, degraded=never, place="test_data.definition")
    (row,) = defined.table.to_pylist()
    assert (row["instrument"], row["instrument_id"], row["tick"], row["expiration"]) == ("ESH1", 5482, 0.25, at("2021-03-19 13:30"))
    assert (row["low_limit"], row["high_limit"], row["as_of"], row["available_at"]) == (3435.5, 3953.5, at("2020-12-28"), at("2020-12-28"))
    (bar,) = parse_bars(stores["ohlcv-1d"], Definitions(defined.table), synthetic=False, degraded=never).table.to_pylist()
    assert (bar["instrument"], bar["open"], bar["close"], bar["volume"]) == ("ESH1", 3702.75, 3735.0, 718174)
    assert bar["available_at"] == at("2020-12-29")
    told = parse_statistics(stores["statistics"], Definitions(defined.table), synthetic=False, degraded=never)
    assert (told.records, told.table.num_rows, told.quarantined) == (4, 0, [])  # highs, lows: flags 255, no reference date


# ---------------------------------------------------------------- which days


def lay(asking, lake, data_type, months, today=None):
    """Plan, fetch, append; the plan, and how many rows were new."""
    plan = plan_of(asking, lake, data_type, HE, months, today or NOW.date())
    fetched, new = DATABENTO.fetch(asking, [plan]), 0
    for batch in DATABENTO.batches(fetched, lake):
        assert batch.captured is None or batch.month in months
        new += keep(batch, lake, asking.ledger)
    return plan, new


def test_a_day_stays_open_until_its_last_record_can_have_come(tmp_path, lake):
    """At 15:00Z of 10 December the vendor has data to midnight: the open interest of the 9th is still to come, its bar is there."""
    december = [Month(2025, 12)]
    with vendor() as running, source(running.url, tmp_path) as asking:
        definitions, _ = lay(asking, lake, "futures_definitions", december)
        bars, _ = lay(asking, lake, "futures_bars", december)
        statistics, _ = lay(asking, lake, "futures_statistics", december)
        assert [asked_for.days[-1] for asked_for in bars.ranges] == [D(2025, 12, 9)]
        assert [asked_for.days[-1] for asked_for in statistics.ranges] == [D(2025, 12, 8)]
        assert set(statistics.gaps) == {D(2025, 12, 9), D(2025, 12, 10)}
        assert (
            "its last record can come until 2025-12-10 18:00Z; the vendor has data until 2025-12-10 00:00Z"
            in statistics.gaps[D(2025, 12, 9)]
        )
        assert complete_at("futures_statistics", D(2025, 12, 5)) == at("2025-12-08 18:00")  # over the weekend
        held = lake.read("futures_statistics", "HE")
        assert max(row["as_of"].date() for row in held.to_pylist()) == D(2025, 12, 8)
        paid = running.paid()
        running.now = NOW + dt.timedelta(1)
        with source(running.url, tmp_path) as asking:  # an open one keeps the free answers that it had
            later, new = lay(asking, lake, "futures_statistics", december, D(2025, 12, 11))
            assert [asked_for.days for asked_for in later.ranges] == [(D(2025, 12, 9),)]
            assert new > 20
            assert running.paid() == paid + 1
            assert definitions.gaps


def test_of_a_refused_answer_no_row_is_kept_and_no_day_captured(tmp_path, lake):
    """Bars without definitions; once these are there, the answer from the archive is taken, and nothing is paid again."""
    month = [Month(2025, 10)]
    with vendor() as running, source(running.url, tmp_path) as asking:
        for _ in range(2):  # asking again does not turn it green
            fetched = DATABENTO.fetch(asking, [plan_of(asking, lake, "futures_bars", HE, month, NOW.date())])
            assert list(DATABENTO.batches(fetched, lake)) == []
            assert "254 of 254 records" in fetched.refusal
            assert not lake.files("futures_bars", "HE")
            assert asking.ledger.captured("futures_bars", "HE") == {}
        paid = running.paid()
        assert paid == 1
        lay(asking, lake, "futures_definitions", month)
        plan, new = lay(asking, lake, "futures_bars", month)
        assert (len(plan.ranges), running.paid()) == (1, paid + 1)  # one more: the definitions
        assert new > 100


def test_a_day_that_is_mostly_junk_costs_itself_and_a_bad_record_nothing_else(tmp_path, lake):
    """Definitions of one day are lost, of another day one: the days between them stand, and the lost day comes once they are there."""
    october, junk, thin = [Month(2025, 10)], D(2025, 10, 15), D(2025, 10, 23)
    with vendor() as running, source(running.url, tmp_path) as asking:
        lay(asking, lake, "futures_definitions", october)
        plan = plan_of(asking, lake, "futures_bars", HE, october, NOW.date())
        (payload,) = DATABENTO.fetch(asking, [plan]).answers[0][1]
        whole = parse(plan, plan.ranges[0], payload, lake)
        of = pc.cast(whole.table["as_of"], pa.date32())
        count = {day: pc.sum(pc.equal(of, pa.scalar(day))).as_py() for day in (junk, thin)}
        lost = {junk: ["lost"] * (count[junk] + 1), thin: ["lost"] * 2}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(feeds_databento, "parse", lambda *words: dataclasses.replace(whole, lost=lost))
            fetched = DATABENTO.fetch(asking, [plan])
            batches = list(DATABENTO.batches(fetched, lake))
            new = sum(keep(batch, lake, asking.ledger) for batch in batches)
        assert new == whole.table.num_rows - count[junk]
        captured = asking.ledger.captured("futures_bars", "HE")
        assert set(plan.ranges[0].days) - set(captured) == {junk}
        assert set(plan.gaps) == {junk}
        assert "of 2025-10-15 are unusable, more than 50%" in plan.gaps[junk]
        assert "2025-10-15" in fetched.refusal
        looks = [(batch.look.start, batch.look.end) for batch in batches]
        assert looks == [(D(2025, 10, 1), D(2025, 10, 14)), (D(2025, 10, 16), D(2025, 10, 31))]
        paid = running.paid()
        again, rest = lay(asking, lake, "futures_bars", october)  # from the archive
        assert ([part.days for part in again.ranges], rest, running.paid()) == ([(junk,)], count[junk], paid)
        late = lake.read("futures_bars", "HE", junk, junk)
        assert late["available_at"].to_pylist() == [at("2025-10-16")] * count[junk]  # no look had said that it was absent


def test_pending_days_are_gaps_and_degraded_days_set_the_quality(tmp_path, lake, monkeypatch):
    words = {D(2025, 11, 6): "pending", D(2025, 11, 12): "degraded", D(2025, 11, 18): "missing"}
    with vendor() as running, source(running.url, tmp_path) as asking:
        real = type(asking).conditions

        def conditions(self, dataset, first, last):
            told = real(self, dataset, first, last)
            return {d: type(c)(words.get(d, "available"), c.last_modified) for d, c in told.items()}

        monkeypatch.setattr(type(asking), "conditions", conditions)
        lay(asking, lake, "futures_definitions", [Month(2025, 11)])
        plan, _ = lay(asking, lake, "futures_bars", [Month(2025, 11)])
        assert plan.gaps == {D(2025, 11, 6): "the vendor says pending", D(2025, 11, 18): "the vendor says missing"}
        assert [(asked_for.days[0], asked_for.days[-1]) for asked_for in plan.ranges] == [
            (D(2025, 11, 3), D(2025, 11, 5)),
            (D(2025, 11, 7), D(2025, 11, 17)),
            (D(2025, 11, 19), D(2025, 11, 28)),
        ]
        words.clear()
        words[D(2025, 11, 12)] = "degraded"
        late, new = lay(asking, lake, "futures_bars", [Month(2025, 11)])
        assert [asked_for.days for asked_for in late.ranges] == [(D(2025, 11, 6),), (D(2025, 11, 18),)]
        assert new > 10
    rows = lake.read("futures_bars", "HE").to_pylist()
    for row in rows:
        assert row["quality"] == ("degraded" if row["as_of"].date() == D(2025, 11, 12) else "normal")
        assert row["available_at"] == row["as_of"] + dt.timedelta(1)  # a gap that is filled is no late row: nobody had looked


def test_a_day_that_the_vendor_mended_is_fetched_again_at_most_three_times(tmp_path, lake, monkeypatch):
    changed, bad, words = {}, D(2025, 11, 12), ["degraded"]
    with vendor() as running, source(running.url, tmp_path) as asking:
        real = type(asking).conditions

        def conditions(self, *asked):
            told = real(self, *asked)
            return {d: type(c)(words[-1] if d == bad else "available", changed.get(d, D(2025, 11, 30))) for d, c in told.items()}

        monkeypatch.setattr(type(asking), "conditions", conditions)
        lay(asking, lake, "futures_definitions", [Month(2025, 11)])
        lay(asking, lake, "futures_bars", [Month(2025, 11)])
        changed.update(dict.fromkeys((D(2025, 11, 3), bad), D(2025, 12, 9)))  # generated anew, the condition as before
        asking._free_answers.clear()
        assert lay(asking, lake, "futures_bars", [Month(2025, 11)])[0].ranges == []
        fetched = []
        for n in range(4):
            changed[bad] = D(2025, 12, 11 + n)
            words.append("degraded" if n % 2 else "available")
            asking._now = lambda n=n: NOW + dt.timedelta(1 + n)
            plan, _ = lay(asking, lake, "futures_bars", [Month(2025, 11)])
            fetched.append([asked_for.days for asked_for in plan.ranges])
        assert fetched == [[(D(2025, 11, 12),)], [(D(2025, 11, 12),)], [], []]
        assert lake.read("futures_bars", "HE").num_rows == len(set(map(str, lake.read("futures_bars", "HE").to_pylist())))


def test_a_restated_bar_is_a_new_vintage_known_when_it_was_seen(tmp_path, lake):
    """A degraded day: its volumes come short at first, and are mended twenty days later."""
    from hydra_assets.sources.sample.curve import is_restated

    bad = next(d for d in (D(2025, 1, 1) + dt.timedelta(n) for n in range(200)) if is_restated(d) and d.weekday() < 5 and d > D(2025, 1, 3))
    month, first_look = [Month.of(bad)], dt.datetime.combine(bad + dt.timedelta(5), dt.time(15), dt.UTC)
    with vendor(now=first_look) as running, source(running.url, tmp_path, now=first_look) as asking:
        for table in ("futures_definitions", "futures_bars"):
            lay(asking, lake, table, month, first_look.date())
        before = lake.read_known("futures_bars", "HE", first_look, key=("instrument", "expiration"), start=bad, end=bad)
        running.now = later = first_look + dt.timedelta(30)
        asking._now = lambda: later
        for table in ("futures_definitions", "futures_bars"):
            plan, _ = lay(asking, lake, table, month, later.date())
        assert bad in {d for asked_for in plan.ranges for d in asked_for.days}
        key = ("instrument", "expiration")
        again = lake.read_known("futures_bars", "HE", later - dt.timedelta(seconds=1), key=key, start=bad, end=bad)
        after = lake.read_known("futures_bars", "HE", later, key=key, start=bad, end=bad)
    assert again.sort_by("instrument").equals(before.sort_by("instrument"))  # nobody could have known
    assert sum(after["volume"].to_pylist()) > sum(before["volume"].to_pylist())
    assert set(after["available_at"].to_pylist()) >= {later}
    assert {row["quality"] for row in after.to_pylist() if row["available_at"] == later} == {"normal"}
    assert set(before["quality"].to_pylist()) == {"degraded"}


def test_a_lost_lake_is_filled_from_the_archive_without_paying(tmp_path):
    with vendor() as running, source(running.url, tmp_path) as asking:
        for name in ("one", "two"):
            lake = ParquetLake(tmp_path / name, world="sample")
            for table in ("futures_definitions", "futures_bars"):
                lay(asking, lake, table, [Month(2025, 10)])
            assert lake.read("futures_bars", "HE").num_rows > 200
        assert running.paid() == 2


def test_days_that_are_paid_for_and_not_in_the_lake_are_not_paid_again_with_the_later_ones(tmp_path, lake):
    """Killed before the lake had them; the next day's range is longer than the one that was asked for."""
    early, late = dt.datetime(2025, 10, 15, 18, tzinfo=dt.UTC), dt.datetime(2025, 10, 16, 18, tzinfo=dt.UTC)
    with vendor(early) as running:
        with source(running.url, tmp_path, now=early) as asking:
            lay(asking, lake, "futures_definitions", [Month(2025, 10)], early.date())
            plan = plan_of(asking, lake, "futures_statistics", HE, [Month(2025, 10)], early.date())
            DATABENTO.fetch(asking, [plan])
            paid, last = asking.ledger.spent(), plan.ranges[0].days[-1]
        running.now = late
        with source(running.url, tmp_path, now=late) as asking:
            lay(asking, lake, "futures_definitions", [Month(2025, 10)], late.date())
            plan, _ = lay(asking, lake, "futures_statistics", [Month(2025, 10)], late.date())
            assert [(part.days[0], part.days[-1]) for part in plan.ranges] == [(D(2025, 10, 1), last), (D(2025, 10, 14),) * 2]
            assert asking.ledger.spent() - paid < paid / 4
            assert set(asking.ledger.captured("futures_statistics", "HE")) == set(plan.ranges[0].days + plan.ranges[1].days)


def test_of_an_archived_answer_only_what_is_asked_now_is_laid(tmp_path):
    """Two months are in the archive, one is asked for: a look speaks for its own days alone."""
    october, november = Month(2025, 10), Month(2025, 11)
    wide, narrow = (ParquetLake(tmp_path / name, world="sample") for name in ("wide", "narrow"))
    with vendor() as running, source(running.url, tmp_path) as asking:
        for lake, months in ((wide, [october, november]), (narrow, [october])):
            for table in ("futures_definitions", "futures_bars"):
                lay(asking, lake, table, months)
        assert running.paid() == 3  # definitions by month, bars by quarter
    for table in ("futures_definitions", "futures_bars"):
        days = set(narrow.read(table, "HE")["as_of"].to_pylist())
        assert days == set(wide.read(table, "HE", october.first, october.last)["as_of"].to_pylist())


def test_what_describes_a_month_not_asked_is_not_lost_and_no_late_row(tmp_path, lake):
    """The settlement of 30 July 2021 was corrected on the afternoon of 2 August, after the look at July ended."""
    july, august = Month(2021, 7), Month(2021, 8)
    apart = ParquetLake(tmp_path / "apart", world="sample")
    with vendor() as running, source(running.url, tmp_path / "a") as whole, source(running.url, tmp_path / "b") as parts:
        for table in ("futures_definitions", "futures_statistics"):
            lay(whole, lake, table, [july, august])
            lay(parts, apart, table, [july])
        before = apart.read("futures_statistics", "HE", july.first, july.last).num_rows
        parts._now = lambda: NOW + dt.timedelta(hours=1)
        lay(parts, apart, "futures_definitions", [august])
        lay(parts, apart, "futures_statistics", [august])
    assert apart.read("futures_statistics", "HE", july.first, july.last).num_rows == before + 1
    order = [(name, "ascending") for name in ("as_of", "stamped_at", "instrument", "stat")]
    one, two = (made.read("futures_statistics", "HE").sort_by(order) for made in (lake, apart))
    assert one.equals(two)  # known from its stamp on, not from the moment at which we came to see it
    looks = apart.looks("databento").to_pylist()
    assert [(row["start"], row["end"]) for row in looks if "statistics" in row["folder"] and "month=07" in row["folder"]] == [
        (D(2021, 7, 1), D(2021, 7, 30)),
        (D(2021, 7, 1), D(2021, 6, 30)),  # of July, the second look covered no day
    ]


def test_days_before_the_vendors_history_are_gaps(tmp_path, lake):
    with vendor() as running, source(running.url, tmp_path) as asking:
        plan, new = lay(asking, lake, "futures_definitions", [Month(2010, 5), Month(2010, 6)])
    assert plan.ranges[0].days[0] == D(2010, 6, 7)
    assert "begins 2010-06-07" in plan.gaps[D(2010, 6, 4)]
    assert new > 50


# ---------------------------------------------------------------- killed, and resumed

KILLED = """
import sys
from pathlib import Path
from hydra_assets_tests.support.databento_vendor import NOW, kill_before_capture, source
from hydra_assets.core.months import months_between
from hydra_assets_tests.flow.test_databento import DATABENTO, HE, keep, plan_of
from hydra_assets.storage.lake import ParquetLake
url, folder, after = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
lake, months = ParquetLake(folder / "lake", world="sample"), months_between("2025-01", "2025-10")
with source(url, folder) as asking:
    kill_before_capture(asking.ledger, after)
    for table in ("futures_definitions", "futures_bars", "futures_statistics"):
        got = DATABENTO.fetch(asking, [plan_of(asking, lake, table, HE, months, NOW.date())])
        for batch in DATABENTO.batches(got, lake):
            keep(batch, lake, asking.ledger)
"""


@pytest.mark.slow
@pytest.mark.parametrize("after", [3, 17])
def test_a_killed_backfill_goes_on_where_it_was_and_pays_nothing_twice(tmp_path, after):
    with vendor() as running:

        def run(folder, kill_after):
            command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(KILLED), running.url, str(folder), str(kill_after)]
            return subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)

        whole, killed = tmp_path / "whole", tmp_path / "killed"
        assert run(whole, 0).returncode == 0
        paid = running.paid()
        assert run(killed, after).returncode == -9
        done = run(killed, 0)
        assert done.returncode == 0, done.stderr
        assert paid > 3  # a request a month, for bars a quarter
        assert running.paid() == 2 * paid
    with Ledger(whole / "ledger.sqlite") as a, Ledger(killed / "ledger.sqlite") as b:
        assert b.spent() == pytest.approx(a.spent())
        assert a.spent() > 0
        assert {row["state"] for row in b.requests()} == {"kept"}
    lakes = [ParquetLake(folder / "lake") for folder in (whole, killed)]
    for table in ("futures_definitions", "futures_bars", "futures_statistics"):
        one, two = (lake.read(table, "HE") for lake in lakes)
        order = [(name, "ascending") for name in ("as_of", "available_at", "instrument", "instrument_id")]
        order += [("stat", "ascending")] if "stat" in one.column_names else []
        assert one.sort_by(order).equals(two.sort_by(order))
        assert one.num_rows > 2000


def test_the_live_world_spends_nothing_without_being_asked():
    """The shipped budgets: schedules and sensors may spend nothing."""
    asked = load_config().vendor("databento", DatabentoSettings)
    assert asked.unattended_day_budget_usd == 0.0
    assert asked.gateway.startswith("https://")
    assert Home("live", Path("/x")).ledger != Home("sample", Path("/x")).ledger
