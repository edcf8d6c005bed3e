"""A month of option quotes is read in chunks: the rows do not depend on them, and memory does not grow with the month."""

import datetime as dt
import tracemalloc

import databento_dbn as dbn
import numpy as np
import pytest
import zstandard
from databento.common.dbnstore import DBNStore

from hydra_assets.config.load import load_config
from hydra_assets.sources import databento_records
from hydra_assets.sources.databento_judge import judge
from hydra_assets.sources.databento_options import OptionDefinitions, parse_option_definitions, parse_option_quotes
from hydra_assets.sources.databento_request import Request
from hydra_assets_tests.support.dbn_records import answer, never, ns, option

HE = load_config().market("HE")
DAYS = ("2025-10-01", "2025-10-02", "2025-10-03")
OPTIONS = 20


@pytest.fixture(scope="module")
def known():
    made = [option(n, f"HEZ5 C{n}", "2025-12-12 18:00", on=day) for day in DAYS for n in range(1, OPTIONS + 1)]
    return OptionDefinitions(parse_option_definitions(answer("definition", *made), HE, synthetic=True, degraded=never, place="test").table)


def written(path, records: int) -> DBNStore:
    """Quotes at random minutes from 07:00 to 14:00 in Chicago, in no order; the file holds them zstd."""
    rng, rows = np.random.default_rng(3), np.zeros(records, dtype=np.dtype(dbn.BBOMsg._dtypes))
    rows["length"], rows["rtype"], rows["price"] = rows.dtype.itemsize // 4, 196, dbn.UNDEF_PRICE
    rows["instrument_id"] = rng.integers(1, OPTIONS + 2, records)  # one of them is not defined
    opened = np.array([ns(f"{day} 12:00") for day in DAYS])
    rows["ts_recv"] = rng.choice(opened, records) + rng.integers(0, 420, records) * 60 * 10**9
    rows["bid_px_00"], rows["bid_sz_00"] = rng.integers(0, 400, records) * 25_000_000, 5
    rows["ask_px_00"], rows["ask_sz_00"] = rows["bid_px_00"] + 50_000_000, 6
    body = answer("bbo-1m").reader.read() + rows.tobytes()
    path.write_bytes(zstandard.ZstdCompressor().compress(body))
    return DBNStore.from_file(path)


def rows_of(store, known):
    return parse_option_quotes(store, known, cut=HE.calendar.quote_cut, zone=HE.calendar.zone, synthetic=True, degraded=never)


@pytest.mark.parametrize("records", [0, 1, 5_000])
def test_the_rows_are_those_of_the_whole_whatever_the_chunks(records, known, tmp_path, monkeypatch):
    store = written(tmp_path / "quotes.dbn.zst", records)
    whole = rows_of(store, known)
    assert (whole.records, whole.table.num_rows) == (records, min(records, OPTIONS * len(DAYS)))
    for chunk in (1 if records < 10 else 37, 1_000, 5_000):
        monkeypatch.setattr(databento_records, "CHUNK", chunk)
        part = rows_of(store, known)
        order = [("as_of", "ascending"), ("instrument_id", "ascending")]
        assert part.table.sort_by(order).equals(whole.table.sort_by(order))
        assert (part.records, part.left_out, sorted(part.quarantined)) == (records, whole.left_out, sorted(whole.quarantined))


def test_judging_and_parsing_hold_a_chunk_and_not_the_month(known, tmp_path, monkeypatch):
    """400,000 records are 32 MB; a real month is twelve times as large, and benchmarks/quotes.py measures it."""
    monkeypatch.setattr(databento_records, "CHUNK", 1 << 14)
    path, records = tmp_path / "quotes.dbn.zst", 400_000
    written(path, records)
    wanted = Request("GLBX.MDP3", "bbo-1m", "HE.FUT", dt.datetime(2025, 10, 1, tzinfo=dt.UTC), dt.datetime(2025, 10, 4, tzinfo=dt.UTC))
    tracemalloc.start()
    try:
        judge(path, wanted, records, [])
        assert rows_of(DBNStore.from_file(path), known).table.num_rows == OPTIONS * len(DAYS)
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()
