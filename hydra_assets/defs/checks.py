"""Checks that every table, and every family of features, gets: what was written is read again and judged by code that did not write it."""

import random

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from hydra_assets.config.load import load_config
from hydra_assets.core.audit import early_rows
from hydra_assets.core.months import Month
from hydra_assets.core.tables.registry import FEATURE_TABLES, TABLES
from hydra_assets.core.tables.table import Table
from hydra_assets.defs.anomaly_checks import ANOMALIES
from hydra_assets.defs.chain_checks import CHAIN_CHECKS
from hydra_assets.defs.cot_checks import cot_coverage, cot_identity
from hydra_assets.defs.freshness import STALENESS
from hydra_assets.defs.futures_checks import FUTURES_CHECKS
from hydra_assets.defs.judging import Judgement, Offence, asked_of, family_check, month_text, offence_table, verdict_of
from hydra_assets.defs.option_checks import OPTION_CHECKS
from hydra_assets.defs.resources import FindingsResource, LakeResource
from hydra_assets.defs.served_check import SERVED
from hydra_assets.features import of_family
from hydra_assets.features.compute import INPUTS
from hydra_assets.flow.publish import evidence_of
from hydra_assets.proof.poison import AHEAD, BEFORE, poison
from hydra_assets.proof.replay import replay
from hydra_assets.storage.folder import RECORDED, RETRACTED
from hydra_assets.storage.lake import ParquetLake
from hydra_assets.storage.store import FeatureStore

# ---------------------------------------------------------------- feature tables


def _names(family: str) -> list[str]:
    return [feature.name for feature in of_family(family)]


def no_lookahead(family: str) -> dg.AssetChecksDefinition:
    """No stored value was available before the first print of an input that its windows require, in the store and in the lake."""
    table = FEATURE_TABLES[family]

    def judge(judged: Judgement, lake: ParquetLake, store: FeatureStore, market: str, months: list[Month]) -> None:
        inputs = evidence_of(lake, family, market, months)  # lookahead-ok: the audit compares stored values with first prints
        features = of_family(family)
        first, last = months[0].first, months[-1].last
        for place, rows in (
            ("store", store.vintages(market, _names(family), first, last)),
            ("lake", lake.read_vintages(table.name, market, first, last, key=table.key)),  # lookahead-ok: the audit covers every vintage
        ):
            judged.rows += rows.num_rows
            judged.values += rows.num_rows - rows["value"].null_count if rows.num_rows else 0
            for row in early_rows(rows, inputs, features).to_pylist():
                judged.accuse(market, month_text(row["as_of"]), place=place, **row)

    def looked_at(judged: Judgement) -> str:
        return f"{judged.rows} rows of store and lake against their raw inputs, {judged.values} with a value"

    return family_check("no_lookahead", str(no_lookahead.__doc__), family=family, judge=judge, looked_at=looked_at)


def replayed(family: str) -> dg.AssetChecksDefinition:
    """A seeded sample of served values equals what the raw rows that had arrived by then give."""

    def judge(judged: Judgement, lake: ParquetLake, store: FeatureStore, market: str, months: list[Month]) -> None:
        settings = load_config()
        answer = replay(
            store.vintages(market, _names(family), months[0].first, months[-1].last),
            evidence_of(lake, family, market, months),  # lookahead-ok: the replay cuts them at each row's instant
            family=family,
            market=market,
            sample=settings.checks.replay_sample,
            seed=settings.checks.replay_seed,
            rules=settings.option_rules,
        )
        judged.rows += answer.compared
        judged.values += answer.values
        judged.counts.update(exact=answer.exact, known=answer.known)
        for row in answer.differing:
            judged.accuse(market, month_text(row["as_of"]), **row)

    def looked_at(judged: Judgement) -> str:
        exact, known = judged.counts["exact"], judged.counts["known"]
        if not known:
            return "nothing but nulls stored"
        return (
            f"{judged.rows} sampled rows recomputed from the lake cut at their instant, {judged.values} with a value, {exact} of these"
            f" equal to the last bit; {judged.values / known:.1%} of {known} stored values"
        )

    return family_check("replay", str(replayed.__doc__), family=family, judge=judge, looked_at=looked_at)


def poisoned(family: str) -> dg.AssetChecksDefinition:
    """Answers at a seeded instant stay bit for bit what they are when all that became known later is made absurd."""

    def judge(judged: Judgement, lake: ParquetLake, store: FeatureStore, market: str, months: list[Month]) -> None:
        settings = load_config()
        known = store.vintages(market, _names(family), months[0].first, months[-1].last)
        known = known.filter(known["value"].is_valid()) if known.num_rows else known
        if not known.num_rows:
            return
        place = random.Random(settings.checks.replay_seed).randrange(known.num_rows)  # noqa: S311  a reproducible choice
        day, at = known["as_of"][place].as_py().date(), known["available_at"][place].cast(pa.int64()).as_py()
        # Of a long range the months around the day: an instant needs what windows reach, and no more.
        near = [month for month in months if Month.of(day - BEFORE) <= month <= Month.of(day + AHEAD)]
        blow = poison(
            evidence_of(lake, family, market, near),  # lookahead-ok: the poison replaces later rows
            family=family,
            market=market,
            at=at,
            around=day,
            seed=settings.checks.replay_seed,
            rules=settings.option_rules,
        )
        judged.rows += blow.answers
        judged.values += blow.answers
        judged.counts["absurd"] += blow.absurd
        for row in blow.moved:
            judged.accuse(market, month_text(row["as_of"]), at=blow.at, **row)

    def looked_at(judged: Judgement) -> str:
        return f"{judged.values} values at an instant of each market, beside {judged.counts['absurd']} absurd rows that came later"

    return family_check("poison", str(poisoned.__doc__), family=family, judge=judge, looked_at=looked_at)


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
                **({"offences": offence_table(shown)} if shown else {}),
            },
        )

    return check


def keys_unique(dataset: Table) -> dg.AssetChecksDefinition:
    """No vintage of a key stands twice: in one recording of a derived table (which may record it again), in all of a raw one."""
    # Of a table that the vendor stamps, two prints of one number can become known at one instant: when both were missed at first.
    names = [*dataset.key, "as_of", *(["stamped_at"] if dataset.stamps == "vendor" else []), "available_at"]

    @dg.asset_check(asset=dataset.name, name="keys_unique", blocking=True, description=keys_unique.__doc__)
    def check(context: dg.AssetCheckExecutionContext, lake: LakeResource, findings: FindingsResource) -> dg.AssetCheckResult:
        opened, judged = lake.open(), Judgement()
        asked = asked_of(context, opened, dataset.name)
        for market, months in asked.items():
            # Every recording, past the lake's own reading, which would hide what this looks for.
            first, last = months[0].first, months[-1].last
            table = opened.recordings(dataset.name, market, first, last)
            if not table.num_rows:  # nothing was ever written, so that not even its columns are known
                continue
            judged.rows += table.num_rows
            judged.values += table.num_rows
            if dataset.stamps != "derived":  # what a restamp withdrew or recorded again stands twice, rightly
                again = [note.recorded_at for note in opened.writes(dataset.name, market, first, last) if note.reason is not None]
                table = table.filter(pc.invert(pc.or_(table[RETRACTED], pc.is_in(table[RECORDED], pa.array(again, pa.int64())))))
            counted = table.group_by([*names, *([RECORDED] if dataset.stamps == "derived" else [])]).aggregate([([], "count_all")])
            for row in counted.filter(pc.greater(counted["count_all"], 1)).select([*names, "count_all"]).to_pylist():
                judged.accuse(market, month_text(row["as_of"]), rows=row.pop("count_all"), **row)
        looked_at = f"{judged.rows} rows by {', '.join(names)}"
        return verdict_of(
            judged, findings, asked, asset=dataset.name, check="keys_unique", severity=dg.AssetCheckSeverity.ERROR, looked_at=looked_at
        )

    return check


COT_CHECKS = [cot_identity(), cot_coverage()]
CHECKS = [
    *(keys_unique(dataset) for dataset in TABLES.values()),
    *(open_findings(dataset.name) for dataset in TABLES.values()),
    *(check(family) for family in INPUTS for check in (no_lookahead, replayed, poisoned)),
    *COT_CHECKS,
    *FUTURES_CHECKS,
    *OPTION_CHECKS,
    *CHAIN_CHECKS,
    *ANOMALIES,
    *STALENESS,
    *SERVED,
]
