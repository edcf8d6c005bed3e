"""Raw tables: an asset fetches and hands over; the lake decides what is new, and from when on it counts as known. One factory."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import dagster as dg

from hydra_assets.config.load import load_config
from hydra_assets.core.tables.table import Table
from hydra_assets.defs.coverage_calendar import coverage_calendar
from hydra_assets.defs.partitions import MARKET_MONTH, key_of, months_by_market
from hydra_assets.defs.resources import FeedResource, LakeResource
from hydra_assets.defs.retries import one_attempt
from hydra_assets.flow.batch import Batch
from hydra_assets.flow.feed import Fact, Records, fetch_all
from hydra_assets.flow.feeds.registry import FEEDS

# A run with one of these tags was asked for by a machine; backfills and launches from the UI by a person.
UP_TO_BUDGET = "hydra/up_to_budget"  # tag of a run in which what is over budget is a gap, and no failure
AGAIN_SINCE = "hydra/again_since"  # tag of a run that asks for days held too: the day since which an answer must have been seen
UNATTENDED_TAGS = ("dagster/schedule_name", "dagster/sensor_name", "dagster/from_automation_condition")


def raw_table(table: Table) -> dg.AssetsDefinition:
    """The asset of the raw table *table*; it comes after the definitions of its instruments."""
    feed = FEEDS[table.source]

    @dg.asset(
        name=table.name,
        group_name=table.group,
        partitions_def=MARKET_MONTH,
        deps=[table.definitions] if table.definitions else [],
        io_manager_key="lake_io",
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool="vendor",
        kinds={"parquet"},
        description=table.description,
        required_resource_keys={"lake", feed.name},
    )
    def raw(context: dg.AssetExecutionContext) -> dg.Output[Any]:
        lake_resource: LakeResource = context.resources.lake
        vendor: FeedResource = getattr(context.resources, feed.name)
        config, lake = load_config(), lake_resource.open()
        wanted = {config.market(symbol): months for symbol, months in months_by_market(context.partition_keys).items()}
        unattended = any(tag in context.run.tags for tag in UNATTENDED_TAGS)
        # All is fetched, and kept, before any of it is handed over: a fault on the way materialises nothing. The next attempt begins
        # with the ledger: what is captured, or kept, is not asked for again.
        with vendor.open(run=context.run.root_run_id or context.run.run_id, unattended=unattended) as source:
            source.report = context.log.info
            source.again_since = dt.date.fromisoformat(context.run.tags[AGAIN_SINCE]) if AGAIN_SINCE in context.run.tags else None
            plans, fetched = one_attempt(
                context, lambda: fetch_all(feed, source, lake, table, wanted, config, once=True), source.max_attempts
            )

        def batches() -> Iterator[tuple[str, Batch]]:
            # Stamps first: rows held are then compared by the same calendar as the new ones.
            restamped = [(plan, month, feed.restamp(lake, plan, month)) for plan in plans for month in plan.months]
            for batch in feed.batches(fetched, lake):
                yield key_of(batch.market, batch.month), batch
            now = dt.datetime.now(dt.UTC)
            for plan, month, moved in restamped:
                facts = feed.month_facts(fetched, plan, lake, month)
                facts |= {} if moved is None else {"restamped_rows": moved}
                days = feed.coverage(plan, lake, month, config.option_rules, now)
                context.add_asset_metadata(
                    {**metadata_of(facts), **coverage_calendar(days)}, partition_key=str(key_of(plan.market.symbol, month))
                )
            context.add_asset_metadata(metadata_of(feed.run_facts(fetched, vendor.home)))
            faults = [fetched.refusal or "", *(() if UP_TO_BUDGET in context.run.tags else fetched.over_budget)]
            if any(faults):
                raise dg.Failure("; ".join(filter(None, faults)), allow_retries=False)

        return dg.Output(batches())

    return raw


def metadata_of(facts: dict[str, Fact]) -> dict[str, Any]:
    """Facts as Dagster shows them."""
    shown: dict[str, Any] = {}
    for name, fact in facts.items():
        if isinstance(fact, Records):
            rows = [dg.TableRecord(dict(zip(fact.columns, row, strict=True))) for row in fact.rows]
            shown[name] = dg.MetadataValue.table(rows, schema=dg.TableSchema(columns=[dg.TableColumn(column) for column in fact.columns]))
        elif isinstance(fact, list):
            shown[name] = dg.MetadataValue.md("\n".join(f"- {line}" for line in fact) or "none")
        else:
            shown[name] = fact
    return shown


RAW = {table.name: raw_table(table) for feed in FEEDS.values() for table in feed.tables}
