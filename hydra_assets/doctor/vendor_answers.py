"""Readings of a day's answers: faults, counts, money, speed, and what was inferred, quarantined or could not be joined."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from hydra_assets.doctor.reading import Reading, Verdict
from hydra_assets.doctor.vendor_day import TableDay, VendorDay, licensed_until
from hydra_assets.errors import BudgetError, HydraError, VendorContentError, VendorUnavailableError
from hydra_assets.flow.feeds.databento_plan import SCHEMAS
from hydra_assets.sources.databento_records import UNDEF_TIME, records_of
from hydra_assets.sources.databento_request import Payload
from hydra_assets.sources.databento_statistics import STATS

ANSWERS = "The day's answers"
SLOW_S, SLOW_BYTES_PER_S = 20.0, 50_000
_SMALL = 500_000  # bytes below which the first byte takes longer than the rest
_SHOWN = 3


def read_answers(chosen: VendorDay, quoted: float, requests: Sequence[Mapping[str, Any]]) -> Iterator[Reading]:
    """All readings of the day's answers; *quoted* dollars and the ledger's *requests* are those of the whole run."""
    for each in chosen.tables:
        if each.fault is not None or each.skipped:
            yield read_fault(each)
    yield read_money(quoted, requests)
    for each in chosen.tables:
        if each.payload is not None:
            yield from _read_payload(each, each.payload)
        if each.rows is not None:
            yield read_quality(each, each.rows)
            yield read_quarantine(each)
            if each.table.definitions is not None:
                yield read_joins(each)


def _read_payload(each: TableDay, payload: Payload) -> Iterator[Reading]:
    yield read_count(each, payload)
    yield read_speed(each, payload)
    if SCHEMAS[each.table.name] == "statistics":
        yield read_references(each, payload)
    if payload.warnings:
        yield _of(each, "notes", "look", "; ".join(payload.warnings), "the vendor's own words; option_roots in the settings")


def read_fault(each: TableDay) -> Reading:
    """Why a table has no rows, with the setting or action that mends it."""
    if each.skipped:
        message = f"not asked for: without {each.table.definitions} nothing can be joined"
        return Reading(ANSWERS, each.table.name, "wrong", message, "mend the fault above, then look again")
    return Reading(ANSWERS, each.table.name, "wrong", str(each.fault), remedy_of(each.fault))


def remedy_of(error: HydraError | None) -> str:
    """The action that mends *error*."""
    if licensed_until(error) is not None:
        return "name an earlier day with --day; daily runs get a day once its licence is no longer needed"
    if isinstance(error, BudgetError):
        return "raise the setting that it names, or wait for the next UTC day"
    if isinstance(error, VendorUnavailableError):
        text = str(error)
        if "HTTP 504" in text:
            return "the vendor gives large answers up so: ask again later, and expect backfills to need several tries"
        if "not whole within" in text:
            return "the answer drips: raise databento.deadline_s in the settings"
        if "no answer" in text or "ReadTimeout" in text:
            return "the first byte came too late: raise databento.read_timeout_s in the settings, or check the network"
        return "ask again later; what was kept of it costs nothing again"
    if isinstance(error, VendorContentError):
        return "compare the market's block in the settings with the exchange's contract; the bytes are in the archive"
    return "see the vendor's portal, and databento in the settings"


def read_count(each: TableDay, payload: Payload) -> Reading:
    """Records announced and received."""
    schema = SCHEMAS[each.table.name]
    received, announced = len(records_of(payload.store(), schema)), each.quote.records
    facts = {"announced": announced, "received": received, "rows": each.rows.num_rows if each.rows is not None else None}
    message = f"{received:,} records received, {announced:,} announced"
    if not announced and not each.quote.usd and received:
        return _of(each, "count", "ok", f"{received:,} records, from the archive", "", facts)
    if received == announced:
        return _of(each, "count", "ok", message, "", facts)
    remedy = "more than announced is whole; fewer by up to 0.1 % is taken as whole, beyond it an answer is asked for once more"
    return _of(each, "count", "look", message, remedy, facts)


def read_speed(each: TableDay, payload: Payload, slow_s: float = SLOW_S) -> Reading:
    """Time of the answer, and its speed where it is large enough to tell."""
    size, seconds = payload.path.stat().st_size, max(each.seconds, 1e-3)
    facts = {"seconds": seconds, "compressed_bytes": size}
    message = f"{size / 1e3:,.0f} kB compressed in {seconds:.1f} s"
    slow = seconds > slow_s or (size > _SMALL and size / seconds < SLOW_BYTES_PER_S)
    if not slow:
        return _of(each, "time", "ok", message, "", facts)
    remedy = f"a month of it may take {seconds * 21 / 60:,.0f} minutes: see that databento.deadline_s allows it"
    return _of(each, "time", "look", f"{message}: slow", remedy, facts)


def read_money(quoted: float, requests: Sequence[Mapping[str, Any]]) -> Reading:
    """Dollars quoted of the answers that came, and dollars in the ledger after it."""
    charged = sum(float(row["usd"]) for row in requests if row["state"] != "refused")
    again = [row for row in requests if row["state"] == "failed"]
    kept = [row for row in requests if row["state"] == "kept"]
    facts = {"quoted_usd": quoted, "ledger_usd": charged, "requests": len(requests), "kept": len(kept), "failed": len(again)}
    message = f"${quoted:,.4f} quoted, ${charged:,.4f} in the ledger: {len(requests)} request(s), {len(kept)} kept"
    if not requests:
        return Reading(ANSWERS, "money", "ok", "$0 in the ledger: all of the day was in the archive", "", facts)
    if again:
        reasons = "; ".join(dict.fromkeys(str(row["reason"]) for row in again))
        remedy = "an answer that breaks off may be charged; the ledger counts it, compare with the portal's bill"
        return Reading(ANSWERS, "money", "look", f"{message}, {len(again)} failed ({reasons})", remedy, facts)
    if abs(charged - quoted) > 1e-9:
        return Reading(ANSWERS, "money", "wrong", message, "prices moved between quote and request: compare with the portal's bill", facts)
    return Reading(ANSWERS, "money", "ok", message, "", facts)


def read_quality(each: TableDay, rows: pa.Table) -> Reading:
    """Rows by quality; partial is what was inferred."""
    counts = Counter(rows["quality"].to_pylist())
    message = ", ".join(f"{count:,} {quality}" for quality, count in counts.most_common()) or "no rows"
    if not counts:
        return _of(each, "rows", "wrong", message, "look at another day with --day", dict(counts))
    if set(counts) == {"normal"}:
        return _of(each, "rows", "ok", message, "", dict(counts))
    remedy = "partial is inferred (no reference date, an underlying by its month, a bar of two sessions); degraded is the vendor's word"
    return _of(each, "rows", "look", message, remedy, dict(counts))


def read_quarantine(each: TableDay) -> Reading:
    """Records that could not be used, by reason."""
    reasons = Counter(reason_of(text) for text in each.quarantined)
    facts = {"reasons": dict(reasons), "repeated": each.repeated, "spreads_left_out": each.left_out}
    besides = f"{each.left_out:,} of combinations left out, {each.repeated:,} repeated"
    if not reasons:
        return _of(each, "quarantine", "ok", f"nothing quarantined, {besides}", "", facts)
    message = "; ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
    first = f", such as {each.quarantined[0]}"
    remedy = "single records cost themselves alone; many of one kind mean a rule of the parser does not hold for this vendor"
    return _of(each, "quarantine", "look", f"quarantined: {message}{first}; {besides}", remedy, facts)


def reason_of(quarantined: str) -> str:
    """The reason at the end of a quarantined record's message."""
    return quarantined.rpartition(": ")[2]


def read_joins(each: TableDay) -> Reading:
    """Records whose id no definition names."""
    lost = [text for text in each.quarantined if "no definition" in reason_of(text)]
    if not lost:
        return _of(each, "joins", "ok", f"every record's id is in {each.table.definitions}", "", {"lost": 0})
    message = f"{len(lost):,} record(s) of ids that {each.table.definitions} does not have: {', '.join(lost[:_SHOWN])}"
    return _of(each, "joins", "look", message, "compare with the definitions of the week before", {"lost": len(lost)})


def read_references(each: TableDay, payload: Payload) -> Reading:
    """Statistics without a reference date, by kind."""
    raw = records_of(payload.store(), "statistics")
    undated = np.isin(raw["ts_ref"], np.array([0, UNDEF_TIME], dtype=np.uint64))
    counts = {name: int((undated & (raw["stat_type"] == kind)).sum()) for kind, name in STATS.items()}
    message = ", ".join(f"{count:,} of {name}" for name, count in counts.items() if count)
    if not message:
        return _of(each, "ts_ref", "ok", "every settlement, volume and open interest has its day", "", counts)
    remedy = "open interest and volume count for the session before their receipt, partial; a settlement without a day repeats a known one"
    return _of(each, "ts_ref", "look", f"without a reference date: {message}", remedy, counts)


def _of(each: TableDay, aspect: str, verdict: Verdict, message: str, remedy: str = "", facts: Mapping[str, Any] | None = None) -> Reading:
    return Reading(ANSWERS, each.table.name, verdict, message, remedy, facts or {}, aspect)
