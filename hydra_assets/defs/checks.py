"""
Asset checks: what was written is read again and judged, by code that did not write it.

A check judges the partitions of its run, or all that is held when it is run alone; what it finds stays open, by market and
month, until the same month is looked at again and is in order. A check with nothing but nulls to look at is `unproven`.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hydra_assets.config.load import load_config, load_release_calendar
from hydra_assets.core.audit import early_rows
from hydra_assets.core.dataset import COT_GROUPS, DATASETS, Dataset
from hydra_assets.core.months import Month
from hydra_assets.core.releases import ReleaseCalendar
from hydra_assets.defs.partitions import months_by_market
from hydra_assets.defs.resources import FeatureStoreResource, FindingsResource, LakeResource
from hydra_assets.features import of_family
from hydra_assets.flow.features import inputs_of
from hydra_assets.proof.replay import replay
from hydra_assets.storage.lake import ParquetLake

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
    """

    rows: int = 0
    values: int = 0
    offences: list[Offence] = field(default_factory=list)

    def accuse(self, market: str, month: str, **facts: object) -> None:
        """Add a fault."""
        self.offences.append({"market": market, "month": month, **facts})


def _asked(context: dg.AssetCheckExecutionContext, lake: ParquetLake, table: str) -> Asked:
    """The run's partitions; all months of the table where the run has none."""
    tags = context.run.tags
    if any(tag.startswith("dagster/partition") or tag.startswith("dagster/asset_partition_range") for tag in tags):
        return months_by_market(context.op_execution_context.partition_keys)
    held: dict[str, list[Month]] = {}
    for folder in lake.folders(table):
        held.setdefault(folder.market, []).append(Month(folder.year, folder.month))
    return held


def _verdict(
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
            **({"offences": _offence_table(judged.offences)} if judged.offences else {}),
        },
    )


def _offence_table(offences: list[Offence]) -> dg.TableMetadataValue:
    columns = list(dict.fromkeys(name for offence in offences for name in offence))
    records = [dg.TableRecord({name: str(offence.get(name, "")) for name in columns}) for offence in offences[:SHOWN]]
    return dg.MetadataValue.table(records, schema=dg.TableSchema(columns=[dg.TableColumn(name) for name in columns]))


def _month_text(as_of: object) -> str:
    return str(as_of)[:7]


# ---------------------------------------------------------------- feature tables


def no_lookahead(family: str) -> dg.AssetChecksDefinition:
    """No stored value was available before the first print of an input that its windows require, in the store and in the lake."""
    asset = f"{family}_features"

    @dg.asset_check(asset=asset, name="no_lookahead", blocking=True, description=no_lookahead.__doc__)
    def check(
        context: dg.AssetCheckExecutionContext, lake: LakeResource, store: FeatureStoreResource, findings: FindingsResource
    ) -> dg.AssetCheckResult:
        opened, judged, features = lake.open(), Judgement(), of_family(family)
        asked = _asked(context, opened, asset)
        names = [feature.name for feature in features]
        with store.open() as served:
            for market, months in asked.items():
                inputs = inputs_of(opened, family, market, months)
                start, end = months[0].first, months[-1].last
                for place, rows in (
                    ("store", served.vintages(market, names, start, end)),
                    ("lake", opened.read_vintages(asset, market, start, end, key=DATASETS[asset].key)),
                ):
                    judged.rows += rows.num_rows
                    judged.values += rows.num_rows - rows["value"].null_count if rows.num_rows else 0
                    for row in early_rows(rows, inputs, features).to_pylist():
                        judged.accuse(market, _month_text(row["as_of"]), place=place, **row)
        looked_at = f"{judged.rows} rows of store and lake against their raw inputs, {judged.values} with a value"
        return _verdict(
            judged, findings, asked, asset=asset, check="no_lookahead", severity=dg.AssetCheckSeverity.ERROR, looked_at=looked_at
        )

    return check


def replayed(family: str) -> dg.AssetChecksDefinition:
    """A seeded sample of served values equals what the raw rows that had arrived by then give."""
    asset = f"{family}_features"

    @dg.asset_check(asset=asset, name="replay", blocking=True, description=replayed.__doc__)
    def check(
        context: dg.AssetCheckExecutionContext, lake: LakeResource, store: FeatureStoreResource, findings: FindingsResource
    ) -> dg.AssetCheckResult:
        opened, judged, settings = lake.open(), Judgement(), load_config().checks
        asked = _asked(context, opened, asset)
        names = [feature.name for feature in of_family(family)]
        with store.open() as served:
            for market, months in asked.items():
                answer = replay(
                    served.vintages(market, names, months[0].first, months[-1].last),
                    inputs_of(opened, family, market, months),
                    family=family,
                    market=market,
                    sample=settings.replay_sample,
                    seed=settings.replay_seed,
                )
                judged.rows += answer.compared
                judged.values += answer.values
                for row in answer.differing:
                    judged.accuse(market, _month_text(row["as_of"]), **row)
        looked_at = f"{judged.rows} sampled rows recomputed from the lake cut at their instant, {judged.values} with a value"
        return _verdict(judged, findings, asked, asset=asset, check="replay", severity=dg.AssetCheckSeverity.ERROR, looked_at=looked_at)

    return check


# ---------------------------------------------------------------- every table


def open_findings(asset: str) -> dg.AssetChecksDefinition:
    """No check of this table has an open finding in any market or month; red until each is looked at again and in order."""

    @dg.asset_check(asset=asset, name="open_findings", blocking=False, description=open_findings.__doc__)
    def check(findings: FindingsResource) -> dg.AssetCheckResult:
        with findings.open() as table:
            found = table.open_of(asset)
        shown: list[Offence] = [
            {"market": f.market, "month": f.month, "check": f.check, "finding": f.finding, "found_at": f.found_at} for f in found
        ]
        return dg.AssetCheckResult(
            passed=not found,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{len(found)} open finding(s) in any market or month",
            metadata={
                "verdict": "failed" if found else "passed",
                "looked_at": "the findings of every market and month",
                **({"offences": _offence_table(shown)} if shown else {}),
            },
        )

    return check


def _lake_check(
    name: str,
    doc: str,
    *,
    asset: str,
    blocking: bool,
    severity: dg.AssetCheckSeverity,
    judge: Callable[[Judgement, pa.Table, str, list[Month]], str],
) -> dg.AssetChecksDefinition:
    """A check that reads one market's vintages from the lake and judges them."""

    @dg.asset_check(asset=asset, name=name, blocking=blocking, description=doc)
    def check(context: dg.AssetCheckExecutionContext, lake: LakeResource, findings: FindingsResource) -> dg.AssetCheckResult:
        opened, judged, looked_at = lake.open(), Judgement(), "nothing"
        asked = _asked(context, opened, asset)
        for market, months in asked.items():
            rows = opened.read_vintages(asset, market, months[0].first, months[-1].last, key=DATASETS[asset].key)
            looked_at = judge(judged, rows, market, months)
        return _verdict(judged, findings, asked, asset=asset, check=name, severity=severity, looked_at=looked_at)

    return check


def keys_unique(dataset: Dataset) -> dg.AssetChecksDefinition:
    """No vintage of a key stands twice: in one file of a derived table (which may record it again), in all files of a raw one."""
    names = [*dataset.key, "as_of", "available_at"]

    @dg.asset_check(asset=dataset.name, name="keys_unique", blocking=True, description=keys_unique.__doc__)
    def check(context: dg.AssetCheckExecutionContext, lake: LakeResource, findings: FindingsResource) -> dg.AssetCheckResult:
        opened, judged = lake.open(), Judgement()
        asked = _asked(context, opened, dataset.name)
        for market, months in asked.items():
            # Read file by file, past the lake's own reading, which would hide what this looks for.
            paths = opened.files(dataset.name, market, months[0].first, months[-1].last)
            tables = [pq.ParquetFile(path).read(columns=names) for path in paths]
            for table in tables if dataset.stamps == "derived" else [pa.concat_tables(tables)] if tables else []:
                judged.rows += table.num_rows
                judged.values += table.num_rows
                counted = table.group_by(names).aggregate([([], "count_all")])
                for row in counted.filter(pc.greater(counted["count_all"], 1)).to_pylist():
                    judged.accuse(market, _month_text(row["as_of"]), rows=row.pop("count_all"), **row)
        looked_at = f"{judged.rows} rows by {', '.join(names)}"
        return _verdict(
            judged, findings, asked, asset=dataset.name, check="keys_unique", severity=dg.AssetCheckSeverity.ERROR, looked_at=looked_at
        )

    return check


# ---------------------------------------------------------------- COT


def cot_identity() -> dg.AssetChecksDefinition:
    """Longs + spreads = shorts + spreads = open interest, in every row of the lake."""
    spreads = [f"{group}_spread" for group in ("swap", "mm", "other")]

    def total(rows: pa.Table, names: Iterable[str]) -> pa.ChunkedArray:
        columns = [rows[name] for name in names]
        sums = columns[0]
        for column in columns[1:]:
            sums = pc.add(sums, column)
        return sums

    def judge(judged: Judgement, rows: pa.Table, market: str, _: list[Month]) -> str:
        judged.rows += rows.num_rows
        judged.values += rows.num_rows - rows["open_interest"].null_count if rows.num_rows else 0
        if rows.num_rows:
            for side in ("long", "short"):
                sums = total(rows, [*(f"{group}_{side}" for group in COT_GROUPS), *spreads])
                wrong = pc.invert(pc.fill_null(pc.equal(sums, rows["open_interest"]), False))
                for as_of, made, stated in zip(
                    *(column.filter(wrong).to_pylist() for column in (rows["as_of"], sums, rows["open_interest"])), strict=True
                ):
                    judged.accuse(market, _month_text(as_of), as_of=as_of, side=side, sum=made, open_interest=stated)
        return f"{judged.rows} reports"

    return _lake_check(
        "cot_identity",
        str(cot_identity.__doc__),
        asset="cot_disaggregated",
        blocking=True,
        severity=dg.AssetCheckSeverity.ERROR,
        judge=judge,
    )


def cot_coverage() -> dg.AssetChecksDefinition:
    """Every report that the release calendar says is out is held, and none that it does not know."""

    def judge(judged: Judgement, rows: pa.Table, market: str, months: list[Month]) -> str:
        calendar, now = load_release_calendar(), dt.datetime.now(dt.UTC)
        held = {as_of.date() for as_of in rows["as_of"].to_pylist()} if rows.num_rows else set()
        for month in months:
            due = {day for day in calendar.report_dates(month.first, month.last) if calendar.release(day).available_at <= now}
            judged.rows += len(due)
            judged.values += len(due)
            here = {day for day in held if Month.of(day) == month}
            for day in sorted(due - here):
                judged.accuse(market, str(month), report=day, fault="missing", due=calendar.release(day).available_at)
            for day in sorted(here - set(calendar.report_dates(month.first, month.last))):
                judged.accuse(market, str(month), report=day, fault="no report date of the calendar", due="")
        return f"{judged.rows} reports due by the release calendar"

    return _lake_check(
        "coverage",
        str(cot_coverage.__doc__),
        asset="cot_disaggregated",
        blocking=False,
        severity=dg.AssetCheckSeverity.WARN,
        judge=judge,
    )


def cot_staleness() -> dg.AssetChecksDefinition:
    """The newest report held is the newest that was due a week ago, judged at the earlier of now and the month's end plus its lag."""

    def judge(judged: Judgement, rows: pa.Table, market: str, months: list[Month]) -> str:
        calendar, days = load_release_calendar(), load_config().thresholds.cot_stale_days
        newest = max((as_of.date() for as_of in rows["as_of"].to_pylist()), default=None) if rows.num_rows else None
        due = newest_expected(calendar, months[-1], dt.datetime.now(dt.UTC), days)
        judged.rows += 1
        judged.values += due is not None
        if due is not None and (newest is None or newest < due):
            judged.accuse(market, str(months[-1]), newest=newest, expected=due, since=calendar.release(due).available_at)
        return f"the newest report of each market, {days} days after it was due"

    return _lake_check(
        "staleness",
        str(cot_staleness.__doc__),
        asset="cot_disaggregated",
        blocking=False,
        severity=dg.AssetCheckSeverity.WARN,
        judge=judge,
    )


def newest_expected(calendar: ReleaseCalendar, month: Month, now: dt.datetime, stale_days: int) -> dt.date | None:
    """The newest report of *month* that was out for *stale_days* at *now*; None where there is none yet."""
    grace = dt.timedelta(days=stale_days)
    out = [day for day in calendar.report_dates(month.first, month.last) if calendar.release(day).available_at + grace <= now]
    return out[-1] if out else None


CHECKS = [
    keys_unique(DATASETS["cot_disaggregated"]),
    cot_identity(),
    cot_coverage(),
    cot_staleness(),
    open_findings("cot_disaggregated"),
    no_lookahead("cot"),
    replayed("cot"),
    keys_unique(DATASETS["cot_features"]),
    open_findings("cot_features"),
]
