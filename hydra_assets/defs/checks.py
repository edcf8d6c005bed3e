"""Asset checks of every table: one factory that gives each pure check of `checks/` its rows, and renders its report."""

import datetime as dt
from collections.abc import Collection

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.checks.check import Check, Scope
from hydra_assets.checks.registry import CHECKS as PURE_CHECKS
from hydra_assets.checks.report import CheckReport
from hydra_assets.config.load import Config, load_config, load_release_calendar
from hydra_assets.core.months import Month
from hydra_assets.core.tables.cot import COT_DISAGGREGATED
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.core.tables.table import Table
from hydra_assets.defs.check_result import check_result, failure_table, has_partitions, months_to_check
from hydra_assets.defs.proof_checks import PROOFS
from hydra_assets.defs.resources import FindingsResource, LakeResource
from hydra_assets.defs.served_check import SERVED
from hydra_assets.flow.absence import absence
from hydra_assets.flow.feeds.registry import complete_at
from hydra_assets.storage.folder import RECORDED, RETRACTED
from hydra_assets.storage.lake import ParquetLake


def severity_of(check: Check) -> dg.AssetCheckSeverity:
    """Severity of a failure: the check's own, or the one in the settings; an error blocks what is downstream."""
    if check.severity == "by_setting":
        return dg.AssetCheckSeverity(getattr(load_config().checks.severity, check.name))
    return dg.AssetCheckSeverity.ERROR if check.severity == "blocks" else dg.AssetCheckSeverity.WARN


def asset_check(check: Check, table: Table) -> dg.AssetChecksDefinition:
    """The Dagster asset check of *check* on *table*; it waits for the table that it reads beside it, too."""
    severity = severity_of(check)

    @dg.asset_check(
        asset=table.name,
        name=check.name,
        additional_deps=[check.beside] if check.beside not in (None, table.name) else [],
        blocking=severity is dg.AssetCheckSeverity.ERROR,
        description=check.description,
    )
    def judge(context: dg.AssetCheckExecutionContext, lake: LakeResource, findings: FindingsResource) -> dg.AssetCheckResult:
        opened, report, config = lake.open(), CheckReport(), load_config()
        now, alone = dt.datetime.now(dt.UTC), not has_partitions(context)
        values = vars(config.checks) | vars(config.thresholds)
        settings = {name: values[name] for name in check.settings}
        scopes = months_to_check(context, opened, table.name)
        for market, months in scopes.items():
            scope = scope_of(config, table, market, months, now=now, alone=alone, unpublished=unpublished_of(table, market, opened))
            check(report, scope, *rows_for(check, scope, opened), **settings)
        return check_result(report, findings, scopes, asset=table.name, check=check.name, severity=severity_of(check))

    return judge


def unpublished_of(table: Table, market: str, lake: ParquetLake) -> set[dt.date]:
    """Reports that are of other markets alone, by the lake's looks at the archives."""
    return lake.unpublished(COT_DISAGGREGATED.name, market) if table.calendar == "cot_releases" else set()


def scope_of(
    config: Config,
    table: Table,
    market: str,
    months: list[Month],
    *,
    now: dt.datetime,
    alone: bool,
    unpublished: Collection[dt.date] = frozenset(),
) -> Scope:
    """The facts of a market's months that a judge is given beside their rows."""
    known = config.markets.get(market)  # the lake can hold a market that is configured no more
    calendar = config.calendar_of(market)
    return Scope(
        table=table,
        market=market,
        months=months,
        now=now,
        calendar=calendar,
        releases=load_release_calendar(),
        complete_at=lambda day: complete_at(table, calendar, day, config.option_rules),
        option_roots={option_root.root: option_root.since for option_root in (known.option_roots if known else ())},
        known_holes=[hole for hole in config.known_holes if hole.concerns(table, market, known.dataset if known else None)],
        alone=alone,
        unpublished=unpublished,
        below_zero=bool(known and known.below_zero),
        absence=absence(table, known, config) if known else "",
    )


def rows_for(check: Check, scope: Scope, lake: ParquetLake) -> list[pa.Table]:
    """Rows of the check's table, and of the one beside it, over the check's span."""
    first, last = check.span(scope)
    if check.reads == "recordings":
        return [_recordings(lake, scope.table, scope.market, first, last)]
    names = (scope.table.name, *([check.beside] if check.beside else []))
    return [
        lake.read_vintages(name, scope.market, first, last)  # lookahead-ok: a check covers every vintage
        for name in names
    ]


def _recordings(lake: ParquetLake, table: Table, market: str, first: dt.date, last: dt.date) -> pa.Table:
    """Every write, past the lake's own reading, which would hide duplicates; with ``recording`` and ``restamped``."""
    rows = lake.recordings(table.name, market, first, last)
    if not rows.num_rows:  # never written, so that not even its columns are known
        return rows
    restamped = pa.array([False] * rows.num_rows)
    if table.stamps != "derived":
        again = [note.recorded_at for note in lake.writes(table.name, market, first, last) if note.reason is not None]
        restamped = pc.or_(rows[RETRACTED], pc.is_in(rows[RECORDED], pa.array(again, pa.int64())))
    return rows.append_column("recording", rows[RECORDED]).append_column("restamped", restamped)


def open_findings(table: Table) -> dg.AssetChecksDefinition:
    """No check of this table has an open finding in any market or month; red until each is looked at again and in order."""

    @dg.asset_check(asset=table.name, name="open_findings", blocking=False, description=open_findings.__doc__)
    def check(findings: FindingsResource) -> dg.AssetCheckResult:
        with findings.open() as opened:
            found = opened.open_of(table.name)
        failures = [{name: getattr(f, name) for name in ("market", "month", "check", "finding", "found_at")} for f in found]
        return dg.AssetCheckResult(
            passed=not found,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{len(found)} open finding(s) in any market or month",
            metadata={
                "verdict": "failed" if found else "passed",
                "looked_at": "the findings of every market and month",
                **failure_table(failures),
            },
        )

    return check


CHECKS = [
    *(asset_check(check, table) for check in PURE_CHECKS for table in check.tables),
    *(open_findings(table) for table in TABLES.values()),
    *PROOFS,
    *SERVED,
]
