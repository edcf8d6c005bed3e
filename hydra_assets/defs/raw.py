"""Raw tables: an asset fetches and hands over; what is new, and from when on it counts as known, the lake decides."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import dagster as dg

from hydra_assets.config.load import load_config, load_release_calendar
from hydra_assets.core.months import Month
from hydra_assets.core.tables.cot import COT_DISAGGREGATED
from hydra_assets.defs.coverage_calendar import report_calendar
from hydra_assets.defs.partitions import MARKET_MONTH, key_of, months_by_market
from hydra_assets.defs.resources import CftcResource, LakeResource
from hydra_assets.defs.retries import one_attempt
from hydra_assets.flow.batch import Batch
from hydra_assets.flow.feeds.cot import CotFetch, cot_batches, fetch_cot, restamp_cot
from hydra_assets.sources.cftc import CftcSource
from hydra_assets.sources.publications import Publication

MAX_QUARANTINED_SHARE = 0.01


@dg.asset(
    group_name="raw",
    partitions_def=MARKET_MONTH,
    io_manager_key="lake_io",
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool="vendor",
    kinds={"parquet"},
    description="CFTC disaggregated futures-only Commitments of Traders, one row per report. as_of is the day counted (Tuesday);"
    " available_at the release by the calendar, or the moment it was first seen.",
)
def cot_disaggregated(context: dg.AssetExecutionContext, cftc: CftcResource, lake: LakeResource) -> dg.Output[Any]:
    """The reports of the partitions asked, month by month."""
    asked = months_by_market(context.partition_keys)
    config, calendar = load_config(), load_release_calendar()
    every_month = sorted({month for months in asked.values() for month in months})
    with cftc.open() as source:
        fetched = _fetched(context, source, every_month)
    # All of it is parsed before any of it is handed over: a broken file materialises nothing.
    batches = [batch for market, months in asked.items() for batch in cot_batches(fetched, config.market(market), months, calendar)]
    _refuse_too_many_quarantined(fetched, sum(batch.rows.num_rows for batch in batches))
    for batch in batches:
        held = [as_of.date() for as_of in batch.rows["as_of"].to_pylist()]
        facts = report_calendar(calendar, batch.month, held, dt.datetime.now(dt.UTC))
        context.add_asset_metadata(facts, partition_key=str(key_of(batch.market, batch.month)))
    for market, months in asked.items():
        for month in months:
            if month.year in fetched.gaps:
                gap = {"gap": True, "reason": fetched.gaps[month.year]}
                context.add_asset_metadata(gap, partition_key=str(key_of(market, month)))
    with cftc.publications() as seen:
        context.add_asset_metadata({**_facts(fetched), **_publications(seen.newest(8))})
    opened, dataset = lake.open(), COT_DISAGGREGATED

    def handed_over() -> Iterator[tuple[dg.MultiPartitionKey, Batch]]:
        # Stamps first: what the lake holds is then judged by the same calendar as what comes.
        for market, months in asked.items():
            for month in months:
                moved = restamp_cot(opened, config.market(market), month, calendar)
                context.add_asset_metadata({"restamped_rows": moved}, partition_key=str(key_of(market, month)))
        for batch in batches:
            yield key_of(batch.market, batch.month), batch
        for market, months in asked.items():
            for month in months:
                sighted = opened.capture_stats(dataset.name, market, month.first, month.last)
                facts = {"captured_live": sighted.live, "backfilled": sighted.backfilled}
                context.add_asset_metadata(facts, partition_key=str(key_of(market, month)))

    return dg.Output(handed_over())


def _fetched(context: dg.AssetExecutionContext, source: CftcSource, months: list[Month]) -> CotFetch:
    """One attempt of every archive; what is kept already is not fetched again."""
    return one_attempt(context, lambda: fetch_cot(source.fetch_once, months), source.max_attempts)


def _refuse_too_many_quarantined(fetched: CotFetch, believed: int) -> None:
    bad = len(fetched.quarantined)
    if bad > MAX_QUARANTINED_SHARE * (bad + believed) and bad > 1:
        raise dg.Failure(
            f"{bad} of {bad + believed} rows cannot be believed, more than {MAX_QUARANTINED_SHARE:.0%};"
            f" the first: {fetched.quarantined[0]}",
            allow_retries=False,
        )


def _publications(seen: list[Publication]) -> dict[str, dg.MetadataValue]:
    """When the sensor saw the newest reports, beside when they were scheduled."""
    rows = [
        dg.TableRecord(
            {
                "report": str(p.report),
                "scheduled": f"{p.scheduled_at:%Y-%m-%d %H:%M}Z",
                "observed": f"{p.observed_at:%Y-%m-%d %H:%M:%S}Z",
                "last_modified": p.last_modified or "",
            }
        )
        for p in seen
    ]
    columns = [dg.TableColumn(name) for name in ("report", "scheduled", "observed", "last_modified")]
    return {"publications": dg.MetadataValue.table(rows, schema=dg.TableSchema(columns=columns))} if rows else {}


def _facts(fetched: CotFetch) -> dict[str, dg.MetadataValue]:
    """What the run's archives were like, shown beside every month of it."""
    archives = {archive.name: archive for archive in fetched.archives.values()}
    return {
        "archives": dg.MetadataValue.table(
            [
                dg.TableRecord({"archive": a.name, "sha256": a.sha256[:16], "rows": a.rows, "seen_at": a.seen_at.isoformat()})
                for a in archives.values()
            ],
            schema=dg.TableSchema(columns=[dg.TableColumn(name) for name in ("archive", "sha256", "rows", "seen_at")]),
        ),
        "duplicate_rows": dg.MetadataValue.int(fetched.duplicates),
        "unknown_columns": dg.MetadataValue.text(", ".join(fetched.extra_columns) or "none"),
        "quarantined": dg.MetadataValue.table(
            [
                dg.TableRecord({"line": q.line, "code": q.cftc_code, "report_date": q.report_date, "reason": q.reason})
                for q in fetched.quarantined[:50]
            ],
            schema=dg.TableSchema(columns=[dg.TableColumn(name) for name in ("line", "code", "report_date", "reason")]),
        ),
        "gap_years": dg.MetadataValue.text("; ".join(f"{year}: {why}" for year, why in fetched.gaps.items()) or "none"),
    }
