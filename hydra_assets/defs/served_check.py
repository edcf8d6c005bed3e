"""The check of what was handed out: vectors served with a log, held against what the lake gives for the same instants today."""

import datetime as dt
import random

import dagster as dg

from hydra_assets.config.load import load_config
from hydra_assets.core.tables.registry import FEATURE_TABLES
from hydra_assets.defs.judging import Judgement, asked_of, month_text, verdict_of
from hydra_assets.defs.resources import FeatureStoreResource, FindingsResource, LakeResource
from hydra_assets.proof.served import Fault, ServedComparison, served_versus_recomputed

SAMPLE = 50  # vectors of a market
REACH = dt.timedelta(120)  # a shutdown can hold a report back by two months
_FAULTS: tuple[Fault, ...] = ("mismatch", "missing", "extra")


def served(family: str) -> dg.AssetChecksDefinition:
    """Vectors handed out with a log are what the lake gives for their instants today; mismatch, missing and extra by feature."""
    asset = FEATURE_TABLES[family].name

    @dg.asset_check(asset=asset, name="served", blocking=False, description=served.__doc__)
    def check(
        context: dg.AssetCheckExecutionContext, lake: LakeResource, store: FeatureStoreResource, findings: FindingsResource
    ) -> dg.AssetCheckResult:
        opened, judged, settings = lake.open(), Judgement(), load_config()
        asked = asked_of(context, opened, asset)
        with store.open() as feature_store:
            handed_out = feature_store.served()
        if not handed_out:
            nothing = "nothing was handed out with a log: get_features_at(…, log=True) keeps one"
            return dg.AssetCheckResult(passed=True, description=nothing, metadata={"verdict": "nothing_served", "looked_at": nothing})
        compared: list[ServedComparison] = []
        for market, months in asked.items():
            first, last = months[0].first, months[-1].last
            vectors = [v for v in handed_out if v.market == market and first <= v.query_time.date() <= last]
            dice = random.Random(settings.checks.replay_seed)  # noqa: S311  a reproducible sample
            sample = dice.sample(vectors, min(SAMPLE, len(vectors)))
            found = served_versus_recomputed(sample, opened, reach=REACH, families=[family], rules=settings.option_rules)
            compared.append(found)
            judged.rows += found.vectors
            judged.values += sum(rates.values for rates in found.features)
            for offence in found.offences:
                judged.accuse(market, month_text(offence["query_time"]), **{k: v for k, v in offence.items() if k != "market"})
        looked_at = f"{judged.rows} vectors handed out, {judged.values} values of them and of the lake"
        judgement = verdict_of(
            judged, findings, asked, asset=asset, check="served", severity=dg.AssetCheckSeverity.WARN, looked_at=looked_at
        )
        return judgement._replace(metadata={**judgement.metadata, "rates": _rates(compared)})

    return check


def _rates(compared: list[ServedComparison]) -> dg.TableMetadataValue:
    """Per feature, over all markets."""
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
