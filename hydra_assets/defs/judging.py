"""
How checks judge: what they look at, what they found, and the verdict in the form that Dagster shows.

A check judges the partitions of its run, or all that is held when it is run alone; what it finds stays open, by market and
month, until the same month is looked at again and is in order. A check with nothing but nulls to look at is `unproven`.
"""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.config.load import load_config
from hydra_assets.core.months import Month
from hydra_assets.core.tables.registry import FEATURE_TABLES, TABLES
from hydra_assets.defs.partitions import months_by_market
from hydra_assets.defs.resources import FeatureStoreResource, FindingsResource, LakeResource
from hydra_assets.storage.lake import ParquetLake
from hydra_assets.storage.store import FeatureStore

SHOWN = 100
Asked = Mapping[str, list[Month]]
Offence = Mapping[str, object]


@dataclass
class Judgement:
    """
    What a check saw.

    Attributes:
        rows, values: rows looked at, and how many of them could prove anything.
        offences: one mapping a fault; ``market`` and ``month`` say where it belongs.
        counts: what else a check counts over all markets, by its own names.
    """

    rows: int = 0
    values: int = 0
    offences: list[Offence] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def accuse(self, market: str, month: str, **facts: object) -> None:
        """Add a fault."""
        self.offences.append({"market": market, "month": month, **facts})


@dataclass(frozen=True)
class Weight:
    """What a check's failure does, by the settings' block `checks.severity`: a warning, or an error, which stops what is downstream."""

    severity: dg.AssetCheckSeverity

    @property
    def blocking(self) -> bool:
        """An error blocks, a warning never does."""
        return self.severity is dg.AssetCheckSeverity.ERROR


BLOCKS, WARNS = Weight(dg.AssetCheckSeverity.ERROR), Weight(dg.AssetCheckSeverity.WARN)


def by_setting(check: str) -> Weight:
    """The weight that the settings give *check*."""
    return Weight(dg.AssetCheckSeverity(getattr(load_config().checks.severity, check)))


def of_partitions(context: dg.AssetCheckExecutionContext) -> bool:
    """Whether the run is on some partitions; else the check was run alone, over all that is held."""
    return any(tag.startswith(("dagster/partition", "dagster/asset_partition_range")) for tag in context.run.tags)


def asked_of(context: dg.AssetCheckExecutionContext, lake: ParquetLake, table: str) -> Asked:
    """The run's partitions; all months of the table where the run has none."""
    if of_partitions(context):
        return months_by_market(context.op_execution_context.partition_keys)
    held: dict[str, list[Month]] = {}
    for folder in lake.folders(table):
        held.setdefault(folder.market, []).append(Month(folder.year, folder.month))
    return held


def verdict_of(
    judged: Judgement, findings: FindingsResource, asked: Asked, *, asset: str, check: str, severity: dg.AssetCheckSeverity, looked_at: str
) -> dg.AssetCheckResult:
    found: dict[tuple[str, str], str] = {}
    for offence in judged.offences:
        place = (str(offence["market"]), str(offence["month"]))
        found.setdefault(place, ", ".join(f"{k}: {v}" for k, v in offence.items() if k not in ("market", "month")))
    with findings.open() as table:
        table.judge(asset, check, [(market, str(month)) for market, months in asked.items() for month in months], found)
    verdict = "failed" if judged.offences else "passed" if judged.values else "unproven"
    return dg.AssetCheckResult(
        passed=verdict == "passed",
        severity=severity if verdict == "failed" else dg.AssetCheckSeverity.WARN,
        description={
            "passed": looked_at,
            "failed": f"{len(judged.offences)} fault(s); {looked_at}",
            "unproven": f"unproven: there was nothing but nulls to look at; {looked_at}",
        }[verdict],
        metadata={
            "verdict": verdict,
            "looked_at": looked_at,
            "rows": judged.rows,
            "values": judged.values,
            **({"offences": offence_table(judged.offences)} if judged.offences else {}),
        },
    )


def offence_table(offences: list[Offence]) -> dg.TableMetadataValue:
    columns = list(dict.fromkeys(name for offence in offences for name in offence))
    records = [dg.TableRecord({name: str(offence.get(name, "")) for name in columns}) for offence in offences[:SHOWN]]
    return dg.MetadataValue.table(records, schema=dg.TableSchema(columns=[dg.TableColumn(name) for name in columns]))


def month_text(as_of: object) -> str:
    return str(as_of)[:7]


def lake_check(
    name: str,
    doc: str,
    *,
    asset: str,
    judge: Callable[..., str],
    weight: Weight | None = None,
    beside: str | None = None,
    before: dt.timedelta = dt.timedelta(0),
) -> dg.AssetChecksDefinition:
    """
    A check that reads one market's vintages from the lake and judges them.

    Args:
        judge: gets the judgement, the rows, the market, its months and, where *beside* names one, the rows of another table.
        weight: default what the settings give a check of this name.
        before: how far before the first month the rows begin.
    """

    weight = weight or by_setting(name)

    @dg.asset_check(asset=asset, name=name, blocking=weight.blocking, description=doc)
    def check(context: dg.AssetCheckExecutionContext, lake: LakeResource, findings: FindingsResource) -> dg.AssetCheckResult:
        opened, judged, looked_at = lake.open(), Judgement(), "nothing"
        asked = asked_of(context, opened, asset)
        for market, months in asked.items():
            first, last = months[0].first - before, months[-1].last
            tables = [
                opened.read_vintages(name, market, first, last, key=TABLES[name].key)  # lookahead-ok: a check covers every vintage
                for name in (asset, *([beside] if beside else []))
            ]
            looked_at = judge(judged, tables[0], market, months, *tables[1:])
        return verdict_of(judged, findings, asked, asset=asset, check=name, severity=weight.severity, looked_at=looked_at)

    return check


def family_check(
    name: str,
    doc: str,
    *,
    family: str,
    judge: Callable[[Judgement, ParquetLake, FeatureStore, str, list[Month]], None],
    looked_at: Callable[[Judgement], str],
) -> dg.AssetChecksDefinition:
    """
    A check of one family's values in lake and store; it blocks.

    Args:
        judge: gets the judgement, lake, store, a market and its months.
        looked_at: says what was looked at, once all markets are judged.
    """
    asset = FEATURE_TABLES[family].name

    @dg.asset_check(asset=asset, name=name, blocking=True, description=doc)
    def check(
        context: dg.AssetCheckExecutionContext, lake: LakeResource, store: FeatureStoreResource, findings: FindingsResource
    ) -> dg.AssetCheckResult:
        opened, judged = lake.open(), Judgement()
        asked = asked_of(context, opened, asset)
        with store.open() as opened_store:
            for market, months in asked.items():
                judge(judged, opened, opened_store, market, months)
        severity = dg.AssetCheckSeverity.ERROR
        return verdict_of(judged, findings, asked, asset=asset, check=name, severity=severity, looked_at=looked_at(judged))

    return check


def final_settlements(rows: pa.Table) -> list[dict[str, Any]]:
    """Final settlements of ``futures_statistics`` that hold a value, the newest print of each."""
    if not rows.num_rows:
        return []
    final = pc.and_(pc.equal(rows["stat"], "settlement"), pc.fill_null(rows["is_final"], False))
    ordered = rows.filter(final).sort_by([("stamped_at", "ascending"), ("available_at", "ascending")])
    newest = {}
    for row in ordered.select(["instrument", "instrument_id", "expiration", "as_of", "value"]).to_pylist():
        newest[row["instrument_id"], row["as_of"]] = row
    return [row for row in newest.values() if row["value"] is not None]
