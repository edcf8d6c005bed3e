"""Proofs that every family of features gets: what was published is read again and judged by code that did not write it."""

import random
import zlib
from collections.abc import Callable

import dagster as dg
import pyarrow as pa

from hydra_assets.checks.report import CheckReport
from hydra_assets.config.load import load_config
from hydra_assets.core.audit import early_rows
from hydra_assets.core.months import Month
from hydra_assets.core.tables.registry import FEATURE_TABLES
from hydra_assets.defs.check_result import check_result, months_to_check
from hydra_assets.defs.resources import FeatureStoreResource, FindingsResource, LakeResource
from hydra_assets.features import of_family
from hydra_assets.features.compute import INPUTS, is_shipped
from hydra_assets.flow.publish import evidence_of
from hydra_assets.flow.suspension import suspend
from hydra_assets.proof.child import fresh_interpreter
from hydra_assets.proof.excuses import MonthExcuses
from hydra_assets.proof.poison import AHEAD, BEFORE, poison
from hydra_assets.proof.replay import replay
from hydra_assets.storage.lake import ParquetLake
from hydra_assets.storage.store import FeatureStore

Judge = Callable[[CheckReport, ParquetLake, FeatureStore, str, str, list[Month], int], str]


def no_lookahead(
    report: CheckReport, lake: ParquetLake, store: FeatureStore, family: str, market: str, months: list[Month], _seed: int
) -> str:
    """No stored value was available before the first print of an input that its windows require, in the store and in the lake."""
    table, first, last = FEATURE_TABLES[family], months[0].first, months[-1].last
    inputs = evidence_of(lake, family, market, months)  # lookahead-ok: the audit compares stored values with first prints
    in_lake = lake.read_vintages(table.name, market, first, last)  # lookahead-ok: the audit covers every vintage
    for place, rows in (("store", _stored(store, family, market, months)), ("lake", in_lake)):
        report.count(rows.num_rows, rows.num_rows - rows["value"].null_count if rows.num_rows else 0)
        for row in early_rows(rows, inputs, of_family(family), calendar=load_config().calendar_of(market)).to_pylist():
            report.add_failure(market, row["as_of"], place=place, **row)
    return f"{report.rows} rows of store and lake against their raw inputs, {report.values} with a value"


def replayed(report: CheckReport, lake: ParquetLake, store: FeatureStore, family: str, market: str, months: list[Month], seed: int) -> str:
    """The rows that stand at drawn instants equal what the raw rows that had arrived by then give, both ways, recomputed afresh."""
    settings = load_config()
    found = fresh_interpreter().run(
        replay,
        rows=_stored(store, family, market, months),
        inputs=evidence_of(lake, family, market, months),  # lookahead-ok: the replay cuts them at each row's instant
        family=family,
        market=market,
        sample=settings.checks.replay_sample,
        seed=seed,
        rules=settings.option_rules,
        calendar=settings.calendar_of(market),
        names=[feature.name for feature in of_family(family)],
        features=of_family(family),
    )
    report.count(found.compared, found.values)
    report.counts.update(exact=found.exact, known=found.known)
    excuses = MonthExcuses.of(store, lake, family, market, settings.option_rules)
    excused = [row for row in found.differing if excuses.excuse(row)]
    report.counts["outdated"] += len(excused)
    for row in found.differing:
        if row not in excused:
            report.add_failure(market, row["as_of"], **row)
    for name, fault in found.faults.items():
        report.add_failure(market, months[-1], feature_name=name, fault=fault)
    exact, known = report.counts["exact"], report.counts["known"]
    if not known:
        return "nothing but nulls stored"
    return (
        f"{report.rows} sampled rows recomputed from the lake cut at their instant, {report.values} with a value, {exact} of these"
        f" equal to the last bit; {report.values / known:.1%} of {known} stored values; seed {seed}"
        f"{'; ' + excuses.excuse(excused[0]) if excused else ''}"
    )


def poisoned(report: CheckReport, lake: ParquetLake, store: FeatureStore, family: str, market: str, months: list[Month], seed: int) -> str:
    """Answers at an instant that is drawn stay bit for bit what they are when all that became known later is made absurd."""
    settings, stored = load_config(), _stored(store, family, market, months)
    known = stored.filter(stored["value"].is_valid()) if stored.num_rows else stored
    if known.num_rows:
        place = random.Random(seed).randrange(known.num_rows)  # noqa: S311  a reproducible choice
        day, at = known["as_of"][place].as_py().date(), known["available_at"][place].cast(pa.int64()).as_py()
        # Only the months around the day: an instant needs no more than its windows reach.
        near = [month for month in months if Month.of(day - BEFORE) <= month <= Month.of(day + AHEAD)]
        found = fresh_interpreter().run(
            poison,
            inputs=evidence_of(lake, family, market, near),  # lookahead-ok: the poison replaces later rows
            family=family,
            market=market,
            at=at,
            around=day,
            seed=seed,
            rules=settings.option_rules,
            calendar=settings.calendar_of(market),
            features=of_family(family),
        )
        report.count(found.answers)
        report.counts["absurd"] += found.absurd
        for row in found.moved:
            report.add_failure(market, row["as_of"], at=found.at, **row)
    return f"{report.values} values at an instant of each market, beside {report.counts['absurd']} absurd rows that came later; seed {seed}"


def _stored(store: FeatureStore, family: str, market: str, months: list[Month]) -> pa.Table:
    """Every vintage of the family in the store."""
    return store.vintages(market, [feature.name for feature in of_family(family)], months[0].first, months[-1].last)


def proof_check(name: str, judge: Judge, family: str) -> dg.AssetChecksDefinition:
    """The Dagster asset check of a proof on one family; it blocks."""
    asset = FEATURE_TABLES[family].name

    @dg.asset_check(asset=asset, name=name, blocking=True, description=judge.__doc__)
    def check(
        context: dg.AssetCheckExecutionContext, lake: LakeResource, store: FeatureStoreResource, findings: FindingsResource
    ) -> dg.AssetCheckResult:
        opened, report = lake.open(), CheckReport()
        scope = months_to_check(context, opened, asset)
        # another one every run, and the same when the run is looked at again
        seed = zlib.crc32(f"{context.run.run_id} {load_config().checks.replay_seed}".encode())
        with store.open() as feature_store:
            for market, months in scope.items():
                report.looked_at = judge(report, opened, feature_store, family, market, months, seed)
                failed = _failed_of_third_parties(report, family, market)
                if failed:
                    suspend(feature_store, opened, family, market, months, failed)
                    report.looked_at += f"; suspended, null in store and lake until proven: {', '.join(failed)}"
        return check_result(report, findings, scope, asset=asset, check=name, severity=dg.AssetCheckSeverity.ERROR)

    return check


def _failed_of_third_parties(report: CheckReport, family: str, market: str) -> list[str]:
    """Features of third parties that the report's failures of *market* name."""
    theirs = {feature.name for feature in of_family(family) if not is_shipped(feature)}
    return sorted(theirs & {str(failure.get("feature_name")) for failure in report.failures if failure["market"] == market})


PROOFS = [
    proof_check(name, judge, family)
    for family in INPUTS
    for name, judge in (("no_lookahead", no_lookahead), ("replay", replayed), ("poison", poisoned))
]
