"""
Months that a check looks at, and its report in the form that Dagster shows.

A check judges the partitions of its run, or all that is held when it is run alone; a failure stays open, by market and month, until
the same month is looked at again and is in order. A check with nothing but nulls to look at is `unproven`.
"""

from collections.abc import Mapping, Sequence

import dagster as dg

from hydra_assets.checks.report import CheckReport, Failure
from hydra_assets.core.months import Month
from hydra_assets.defs.partitions import months_by_market
from hydra_assets.defs.resources import FindingsResource
from hydra_assets.storage.lake import ParquetLake

MAX_FAILURES = 100  # in the table of one result
MarketMonths = Mapping[str, list[Month]]


def has_partitions(context: dg.AssetCheckExecutionContext) -> bool:
    """Whether the run is on some partitions; else the check was run alone, over all that is held."""
    return any(tag.startswith(("dagster/partition", "dagster/asset_partition_range")) for tag in context.run.tags)


def months_to_check(context: dg.AssetCheckExecutionContext, lake: ParquetLake, table: str) -> MarketMonths:
    """Partitions of the run; all months held of the table where the run has none."""
    if has_partitions(context):
        return months_by_market(context.op_execution_context.partition_keys)
    held: dict[str, list[Month]] = {}
    for folder in lake.folders(table):
        held.setdefault(folder.market, []).append(Month(folder.year, folder.month))
    return held


def check_result(
    report: CheckReport, findings: FindingsResource, scope: MarketMonths, *, asset: str, check: str, severity: dg.AssetCheckSeverity
) -> dg.AssetCheckResult:
    """
    Keep the report's failures as open findings, and render it.

    Args:
        report: what the check found.
        findings: where open findings are kept; those of *scope* are renewed or closed.
        scope: markets and months looked at.
        asset: table that the check hangs on.
        check: name of the check.
        severity: of a failure.
    """
    found: dict[tuple[str, str], str] = {}
    for failure in report.failures:
        place = (str(failure["market"]), str(failure["month"]))
        found.setdefault(place, ", ".join(f"{name}: {fact}" for name, fact in failure.items() if name not in ("market", "month")))
    with findings.open() as table:
        table.judge(asset, check, [(market, str(month)) for market, months in scope.items() for month in months], found)
    return dg.AssetCheckResult(
        passed=report.verdict == "passed",
        severity=severity if report.verdict == "failed" else dg.AssetCheckSeverity.WARN,
        description={
            "passed": report.looked_at,
            "failed": f"{len(report.failures)} fault(s); {report.looked_at}",
            "unproven": f"unproven: there was nothing but nulls to look at; {report.looked_at}",
        }[report.verdict],
        metadata={
            "verdict": report.verdict,
            "looked_at": report.looked_at,
            "partitions": named_scope(scope),
            "rows": report.rows,
            "values": report.values,
            **report.counts,
            **failure_table(report.failures),
            **failure_table(report.known_holes, name="known_holes"),
        },
    )


def named_scope(scope: MarketMonths) -> str:
    """The markets and months of *scope* as text, for example ``HE 2025-01..2025-12``."""
    return ", ".join(
        f"{market} {min(months)}" + (f"..{max(months)}" if len(months) > 1 else "") for market, months in sorted(scope.items()) if months
    )


def failure_table(failures: Sequence[Failure], *, name: str = "violations") -> Mapping[str, dg.MetadataValue]:
    """The failures as a table of metadata; nothing where there is none."""
    if not failures:
        return {}
    columns = list(dict.fromkeys(column for failure in failures for column in failure))
    records = [dg.TableRecord({column: str(failure.get(column, "")) for column in columns}) for failure in failures[:MAX_FAILURES]]
    schema = dg.TableSchema(columns=[dg.TableColumn(column) for column in columns])
    return {name: dg.MetadataValue.table(records, schema=schema)}
