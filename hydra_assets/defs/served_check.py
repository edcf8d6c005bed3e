"""
The check of vectors served with a log, against what the lake gives for the same instants today.

Where nothing was handed out the check says nothing: Dagster shows it as skipped, neither passed nor a warning.
"""

import datetime as dt
import random
from collections.abc import Iterator

import dagster as dg

from hydra_assets.checks.report import CheckReport
from hydra_assets.config.load import load_config
from hydra_assets.core.tables.registry import FEATURE_TABLES
from hydra_assets.defs.check_result import check_result, months_to_check
from hydra_assets.defs.resources import FeatureStoreResource, FindingsResource, LakeResource
from hydra_assets.proof.served import Fault, ServedComparison, served_versus_recomputed

SAMPLE = 50  # vectors of a market
REACH = dt.timedelta(120)  # a shutdown can hold a report back by two months
NAME = "served"
NOTHING_SERVED = "nothing was handed out with a log: get_features_at(…, log=True) keeps one"
_FAULTS: tuple[Fault, ...] = ("mismatch", "missing", "extra")


def served(family: str) -> dg.AssetChecksDefinition:
    """Vectors handed out with a log are what the lake gives for their instants today; mismatch, missing and extra by feature."""
    asset = FEATURE_TABLES[family].name

    @dg.multi_asset_check(
        name=step_of(asset), specs=[dg.AssetCheckSpec(NAME, asset=asset, blocking=False, description=served.__doc__)], can_subset=True
    )
    def check(
        context: dg.AssetCheckExecutionContext, lake: LakeResource, store: FeatureStoreResource, findings: FindingsResource
    ) -> Iterator[dg.AssetCheckResult]:
        opened, report, settings = lake.open(), CheckReport(), load_config()
        scope = months_to_check(context, opened, asset)
        with store.open() as feature_store:
            handed_out = feature_store.served()
        if not handed_out:
            context.log.info(f"not applicable: {NOTHING_SERVED}")
            return
        compared: list[ServedComparison] = []
        for market, months in scope.items():
            first, last = months[0].first, months[-1].last
            vectors = [v for v in handed_out if v.market == market and first <= v.query_time.date() <= last]
            rng = random.Random(settings.checks.replay_seed)  # noqa: S311  a reproducible sample
            sample = rng.sample(vectors, min(SAMPLE, len(vectors)))
            found = served_versus_recomputed(sample, opened, reach=REACH, families=[family], rules=settings.option_rules)
            compared.append(found)
            report.count(found.vectors, sum(rates.values for rates in found.features))
            for fault in found.violations:
                report.add_failure(market, fault["query_time"], **{name: fact for name, fact in fault.items() if name != "market"})
        report.looked_at = f"{report.rows} vectors handed out, {report.values} values of them and of the lake"
        result = check_result(report, findings, scope, asset=asset, check=NAME, severity=dg.AssetCheckSeverity.WARN)
        rates = {**result.metadata, "rates": _rates(compared)}
        yield result._replace(asset_key=dg.AssetKey(asset), check_name=NAME, metadata=rates)

    return check


def step_of(asset: str) -> str:
    """Name of the step of the check on *asset*."""
    return f"{asset}_{NAME}"


def _rates(compared: list[ServedComparison]) -> dg.TableMetadataValue:
    """Rates of faults by feature, over all markets."""
    counts: dict[str, dict[str, int]] = {}
    for found in compared:
        for rates in found.features:
            count = counts.setdefault(rates.feature, dict.fromkeys(("compared", *_FAULTS), 0))
            for name in count:
                count[name] += getattr(rates, name)
    records = [
        dg.TableRecord({"feature": feature, **{f: f"{count[f] / count['compared']:.2%}" for f in _FAULTS}, "compared": count["compared"]})
        for feature, count in sorted(counts.items())
    ]
    columns = [dg.TableColumn(name) for name in ("feature", *_FAULTS)] + [dg.TableColumn("compared", "int")]
    return dg.MetadataValue.table(records, schema=dg.TableSchema(columns=columns))


SERVED = [served(family) for family in FEATURE_TABLES]
STEPS = {step_of(table.name): table.name for table in FEATURE_TABLES.values()}
