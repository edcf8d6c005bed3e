"""
A month of option quotes from the archived answer to rows: seconds, and the most memory that the process ever held.

    uv run python benchmarks/quotes.py [--records 5000000] [--options 1400]

The answer is written by hand: every option quoted in random minutes of each session of a month, as a real month of ``HE.OPT`` in
``bbo-1m`` is of this size. A process of its own hashes, judges and parses it, as a backfill does; another one reads the same records
at once, as it would be without chunks. All data are synthetic.
"""

import argparse
import datetime as dt
import multiprocessing
import tempfile
import time
from pathlib import Path

import databento_dbn as dbn
import numpy as np
import zstandard

from hydra_assets.core.calendar import LIVESTOCK
from hydra_assets.core.months import Month
from hydra_assets.sources import databento_records
from hydra_assets.sources.databento_judge import judge
from hydra_assets.sources.databento_options import OptionDefinitions, parse_option_definitions, parse_option_quotes
from hydra_assets.sources.databento_request import Payload, Request, sha256_of

MONTH = Month(2025, 10)
SESSIONS = LIVESTOCK.session_days(MONTH.first, MONTH.last)
OPENS, MINUTES = dt.time(8, 30), 285  # until past the cut
NS = 10**9


def nanoseconds(when: dt.datetime) -> int:
    return round(when.timestamp()) * NS


def metadata(schema: str) -> bytes:
    made: bytes = dbn.Metadata(
        dataset="GLBX.MDP3", start=0, end=2**62, stype_in=dbn.SType.PARENT, stype_out=dbn.SType.INSTRUMENT_ID,
        schema=dbn.Schema.from_str(schema), symbols=["HE.OPT"], not_found=[], partial=[], mappings=[], version=3,
    ).encode()  # fmt: skip
    return made


def definitions(options: int) -> OptionDefinitions:
    """Every option defined on every session."""
    body = [
        bytes(
            dbn.InstrumentDefMsg(
                publisher_id=1, instrument_id=number, ts_event=0, ts_recv=nanoseconds(dt.datetime.combine(day, dt.time(), dt.UTC)),
                display_factor=10**7, raw_symbol=f"HEZ5 C{number}", asset="HE", security_type="OOF", underlying="HEZ5", underlying_id=1,
                instrument_class=dbn.InstrumentClass("C"), security_update_action=dbn.SecurityUpdateAction.ADD,
                strike_price=(50 + number % 60) * NS, min_price_increment=25_000_000,
                expiration=nanoseconds(dt.datetime(2025, 12, 12, 18, tzinfo=dt.UTC)),
            )
        )
        for day in SESSIONS
        for number in range(1, options + 1)
    ]  # fmt: skip
    from hydra_assets.config.load import load_config

    store = databento_records.DBNStore.from_bytes(metadata("definition") + b"".join(body))
    common = {"synthetic": True, "degraded": lambda day: False, "place": "benchmark"}
    return OptionDefinitions(parse_option_definitions(store, load_config().market("HE"), **common).table)


def write(path: Path, records: int, options: int) -> None:
    """The answer, a session at a time, in the order of time."""
    rng, structure = np.random.default_rng(5), np.dtype(dbn.BBOMsg._dtypes)
    with path.open("wb") as kept, zstandard.ZstdCompressor(level=3).stream_writer(kept) as packed:
        packed.write(metadata("bbo-1m"))
        for k, day in enumerate(SESSIONS):
            count = records // len(SESSIONS) + (k < records % len(SESSIONS))
            rows = np.zeros(count, dtype=structure)
            opened = nanoseconds(LIVESTOCK.at(day, OPENS))
            rows["length"], rows["rtype"], rows["publisher_id"] = structure.itemsize // 4, 196, 1
            rows["instrument_id"] = rng.integers(1, options + 1, count)
            rows["ts_recv"] = opened + np.sort(rng.integers(1, MINUTES, count)) * 60 * NS
            rows["price"] = dbn.UNDEF_PRICE
            rows["bid_px_00"] = rng.integers(1, 400, count) * 25_000_000
            rows["ask_px_00"] = rows["bid_px_00"] + 50_000_000
            rows["bid_sz_00"] = rows["ask_sz_00"] = 5
            packed.write(rows.tobytes())


def memory(field: str) -> float:
    """``VmRSS``, held now, or ``VmHWM``, the most that was held since `forget_peak`; MB. Linux has both."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def parsed(path: Path, records: int, options: int, chunk: int) -> tuple[int, float, float, float]:
    """The answer hashed, judged and parsed: rows, seconds, memory before and at most (MB)."""
    databento_records.CHUNK = chunk
    known = definitions(options)
    wanted = Request("GLBX.MDP3", "bbo-1m", "HE.OPT", LIVESTOCK.at(SESSIONS[0], dt.time(8)), LIVESTOCK.at(SESSIONS[-1], dt.time(13, 10)))
    common = {"synthetic": True, "degraded": lambda day: False, "within": (wanted.start, wanted.end)}
    forget_peak()
    before, begun = memory("VmRSS"), time.perf_counter()
    judge(path, wanted, records, [])
    payload = Payload(path, sha256_of(path), dt.datetime.now(dt.UTC), 0.0)
    rows = parse_option_quotes(payload.store(), known, cut=LIVESTOCK.quote_cut, zone=LIVESTOCK.zone, **common).table.num_rows
    return rows, time.perf_counter() - begun, before, memory("VmHWM")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=5_000_000)
    parser.add_argument("--options", type=int, default=1_400)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answer.dbn.zst"
        write(path, asked.records, asked.options)
        size = asked.records * np.dtype(dbn.BBOMsg._dtypes).itemsize / 1e6
        print(f"{asked.records:,} records, {size:,.0f} MB, {path.stat().st_size / 1e6:,.0f} MB compressed")
        for name, chunk in (("in chunks", databento_records.CHUNK), ("at once", asked.records)):
            with multiprocessing.get_context("spawn").Pool(1) as alone:
                rows, seconds, before, peak = alone.apply(parsed, (path, asked.records, asked.options, chunk))
            print(f"{name:<10} {rows:,} rows in {seconds:.1f} s; {peak - before:,.0f} MB at most beside the {before:,.0f} MB of before")


if __name__ == "__main__":
    main()
