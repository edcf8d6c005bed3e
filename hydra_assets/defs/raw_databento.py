"""Raw tables from Databento, of futures and of options; one factory for all six."""

import datetime as dt
from collections.abc import Iterator
from functools import partial
from typing import Any

import dagster as dg

from hydra_assets.config.load import load_config
from hydra_assets.core.months import Month
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.defs.coverage_calendar import session_calendar
from hydra_assets.defs.partitions import MARKET_MONTH, key_of, months_by_market
from hydra_assets.defs.resources import DatabentoResource, LakeResource
from hydra_assets.defs.retries import one_attempt
from hydra_assets.errors import VendorContentError
from hydra_assets.flow.batch import Batch
from hydra_assets.flow.feeds.databento import SCHEMAS, Fetched, fetch_plan, plan_of, raw_batches
from hydra_assets.sources.databento import DatabentoSource
from hydra_assets.storage.lake import ParquetLake

# A run with one of these tags was asked for by a machine; backfills and launches from the UI by a person.
UNATTENDED_TAGS = ("dagster/schedule_name", "dagster/sensor_name", "dagster/from_automation_condition")


def databento_table(name: str) -> dg.AssetsDefinition:
    """The asset of the raw table *name*; what is not a definition needs those of its family."""
    dataset = TABLES[name]
    definitions = f"{name.split('_')[0]}_definitions"

    @dg.asset(
        name=name,
        group_name=dataset.group,
        partitions_def=MARKET_MONTH,
        deps=[] if name == definitions else [definitions],
        io_manager_key="lake_io",
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool="vendor",
        kinds={"parquet"},
        description=dataset.description,
    )
    def table(context: dg.AssetExecutionContext, lake: LakeResource, databento: DatabentoResource) -> dg.Output[Any]:
        asked = months_by_market(context.partition_keys)
        unattended = any(tag in context.run.tags for tag in UNATTENDED_TAGS)
        opened, run = lake.open(), context.run.root_run_id or context.run.run_id
        # All is fetched, and kept, before any of it is handed over: a fault on the way materialises nothing. A try again begins
        # with the ledger: what is captured, or kept, is not asked for again.
        with databento.open(run=run, unattended=unattended) as source:
            fetched = {
                symbol: one_attempt(context, partial(_fetched, source, name, symbol, months, opened), source.max_attempts)
                for symbol, months in asked.items()
            }

        def months_of_all() -> Iterator[tuple[str, Batch]]:
            for symbol, months in asked.items():
                refusal: VendorContentError | None = None
                try:
                    for batch in raw_batches(fetched[symbol], opened):
                        yield key_of(symbol, batch.month), batch
                except VendorContentError as error:
                    refusal = error
                _report(context, symbol, months, fetched[symbol])
                if refusal is not None:
                    raise dg.Failure(str(refusal), allow_retries=False) from refusal

        return dg.Output(months_of_all())

    return table


def _fetched(source: DatabentoSource, name: str, symbol: str, months: list[Month], lake: ParquetLake) -> Fetched:
    config, today = load_config(), dt.datetime.now(dt.UTC).date()
    plan = plan_of(source, lake, name, config.market(symbol), months, today, cut=config.option_rules.cut_time)
    return fetch_plan(source.fetch_once, plan, synthetic=lake.world == "sample")


def _report(context: dg.AssetExecutionContext, symbol: str, months: list[Month], fetched: Fetched) -> None:
    """What became of each month, and what the run's answers were like."""
    plan = fetched.plan
    for month in months:
        gaps = [day for day in plan.gaps if Month.of(day) == month]
        degraded = [day for day in plan.conditions if Month.of(day) == month and plan.degraded(day)]
        facts: dict[str, Any] = {
            "gap": bool(gaps),
            **session_calendar(plan, month),
            **({"degraded_days": ", ".join(map(str, degraded))} if degraded else {}),
        }
        context.add_asset_metadata(facts, partition_key=str(key_of(symbol, month)))
    context.add_asset_metadata(
        {
            "days_asked": sum(len(run.days) for run in plan.runs),
            "days_held": plan.held,
            "requests": len(plan.runs),
            "paid_usd": dg.MetadataValue.float(0.0 if fetched.synthetic else fetched.usd),
            "records": fetched.records,
            "spreads_left_out": fetched.left_out,
            "repeated": fetched.repeated,
            "provisional_left_out": fetched.provisional,
            "quarantined": dg.MetadataValue.md("\n".join(f"- {line}" for line in fetched.quarantined[:50]) or "none"),
        }
    )


DATABENTO = [databento_table(name) for name in SCHEMAS]
